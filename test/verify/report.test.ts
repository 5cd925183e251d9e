import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { reportDocument } from '../../verify/reports/report-document.ts';
import { exitCode, REPORT_FORMATS, writeReport } from '../../verify/reports/write-report.ts';
import type { VerifyReport } from '../../verify/verify-report.ts';
import { hostileText } from './hostile-text.ts';
import { sampleDivergence, sampleReport } from './sample-report.ts';

const write = (report: VerifyReport, format: (typeof REPORT_FORMATS)[number], showValues = false): string =>
  writeReport(reportDocument(report, { showValues }), format);

describe('reports', () => {
  test('the exit code says the verdict', () => {
    expect((['consistent', 'divergent', 'inconclusive'] as const).map((verdict) => exitCode({ verdict }))).toEqual([
      0, 1, 2,
    ]);
  });

  test.each(REPORT_FORMATS)('%s shows no value unless asked to', (format) => {
    const report = sampleReport([sampleDivergence('ada')]);
    const masked = write(report, format);
    expect(masked).toContain('ada');
    expect(masked).toContain('string(10)');
    expect(masked).not.toContain('secret');
    expect(write(report, format, true)).toContain('secret ada');
  });

  test.each(REPORT_FORMATS)('%s says what the verdict is bound to', (format) => {
    for (const report of [sampleReport(), sampleReport([sampleDivergence('ada')])]) {
      const text = write(report, format);
      expect(text).toContain(report.verdict);
      expect(text).toMatch(/\b7\b/);
      expect(text).toMatch(/2026-01-03.03:04:06/);
      if (format !== 'text') expect(text).toContain('sha256:abc');
      if (format !== 'text' && format !== 'github') expect(text).toMatch(/canary, 0–50 %|50000/);
    }
  });

  test('a report with fewer lines counts and sums up all of them', () => {
    const report = sampleReport(
      ['a', 'b', 'c'].map((text) => sampleDivergence(text, { cause: text === 'a' ? null : 'rejected' })),
    );
    const document = reportDocument(report, { most: 1 });
    expect(document).toMatchObject({
      truncated: true,
      counts: { different: 3 },
      summary: {
        listed: 3,
        causes: [
          { cause: 'rejected', count: 2 },
          { cause: null, count: 1 },
        ],
      },
    });
    expect(document.divergences.map(({ keyText }) => keyText)).toEqual(['user="a", id=7n']);
  });

  test('indexes count as one field, ages go into their spans, and a record without a stamp is of unknown age', () => {
    const fields = [0, 1].map((i) => ({ path: `items[${i}].price`, old: 1, new: 2 }));
    const { summary } = reportDocument(
      sampleReport([
        sampleDivergence('a', { fields }),
        sampleDivergence('b', { fields: fields.slice(1), stamps: { old: null, new: null } }),
      ]),
    );
    expect(summary.paths).toEqual([{ path: 'items[].price', count: 2 }]);
    expect(summary.unknownAge).toBe(1);
    expect(summary.ages.filter(({ count }) => count > 0)).toEqual([{ belowMs: 600_000, count: 1 }]);
    expect(summary.written?.from).toBe('2026-01-02T03:02:36.500Z');
    expect(summary.written?.counts.reduce((sum, count) => sum + count, 0)).toBe(1);
  });

  test('a terminal stays a terminal, whatever keys and values hold', () => {
    fc.assert(
      fc.property(hostileText, (odd) => {
        const fields = [{ path: odd, old: odd, new: odd }];
        const report = sampleReport([sampleDivergence(odd, { fields }), sampleDivergence(odd, { fields })], {
          reasons: [odd],
        });
        const lines = write(report, 'text', true).trimEnd().split('\n');
        expect(lines).toHaveLength(13);
        expect(lines.join('')).not.toMatch(/[\p{Cc}\u202a-\u202e]/u);
      }),
    );
  });

  test('GitHub reads one command a line and gets back what was written', () => {
    fc.assert(
      fc.property(hostileText, (odd) => {
        const report = sampleReport([sampleDivergence(odd)], { reasons: [odd] });
        const lines = write(report, 'github', true).trimEnd().split('\n');
        expect(lines).toHaveLength(2);
        for (const line of lines) expect(line).toMatch(/^::error title=[^:,\p{Cc}]+::[^\p{Cc}]*$/u);
        const [, title = '', message = ''] = /^::error title=(.*?)::(.*)$/.exec(lines[1] as string) ?? [];
        expect(unescaped(title)).toMatch(/^different: user=/);
        expect(unescaped(message)).toMatch(/^lossy codec, age 90\.0 s\n/);
        // Two lines: what is in them ends none.
        expect(unescaped(message).split('\n')).toHaveLength(2);
      }),
    );
  });

  test('GitHub gets the verdict and at most nine records, which is all that it shows', () => {
    const many = Array.from({ length: 30 }, (_, i) => sampleDivergence(`u${i}`));
    expect(write(sampleReport(many), 'github').trimEnd().split('\n')).toHaveLength(10);
    expect(write(sampleReport(), 'github')).toMatch(/^::notice title=events%3A consistent::/);
    const unsure = sampleReport([], { verdict: 'inconclusive', reasons: ['2 dirty range(s) wait for repair'] });
    expect(write(unsure, 'github')).toMatch(/^::error title=events%3A inconclusive::.*2 dirty range/);
  });

  test('Markdown keeps its tables, and nothing in it is markup, a mention or a link', () => {
    fc.assert(
      fc.property(hostileText, (odd) => {
        const report = sampleReport([sampleDivergence(odd)], { reasons: [odd], mappingHash: odd });
        const lines = write(report, 'markdown', true).split('\n');
        const row = lines.find((line) => line.includes('| lossy codec | 90.0 s |')) ?? '';
        // A cell ends at a pipe without a backslash before it.
        expect(row.replace(/\\\|/g, '').split('|')).toHaveLength(7);
        for (const line of lines) {
          const markup = withoutCode(line).replaceAll('<br>', '');
          expect(markup).not.toMatch(/<|(?<!\\)[[\]`]|\p{Cc}/u);
        }
      }),
    );
  });

  test('a verification that did not prove itself does not say that nothing was found', () => {
    const proof = { planted: 9, missed: ['stale'], refused: null };
    const report = sampleReport([sampleDivergence('ada')], { verdict: 'inconclusive', proof, reasons: ['invalid'] });
    for (const format of ['markdown', 'html'] as const) {
      const text = write(report, format);
      expect(text).toContain('did not prove itself');
      expect(text).not.toContain('No difference was found');
      expect(text).toContain('1 of 9 planted records missed: stale');
    }
  });

  test('a terminal shows which fields differ, and what to do next', () => {
    const fields = (...paths: readonly string[]) => paths.map((path) => ({ path, old: 1, new: 2 }));
    const divergences = [
      sampleDivergence('a', { fields: fields('note', 'items[0].n', 'items[7].n'), cause: 'written outside' }),
      sampleDivergence('b', { fields: fields('note', 'items[3].n'), cause: 'written outside' }),
      sampleDivergence('c', { fields: fields('note'), cause: 'written outside' }),
    ];
    const lines = write(sampleReport(divergences), 'text').trimEnd().split('\n');
    expect(lines).toContain('  fields    note in 3, items[].n in 2 of 3 that were looked at');
    const next = lines.findIndex((line) => line.startsWith('  next      written outside (3): '));
    expect(lines[next + 1]).toMatch(/^ {12}changeover repair events --dry-run: /);
    expect(write(sampleReport(), 'text')).not.toMatch(/next|fields/);
    const one = sampleReport([sampleDivergence('a', { fields: fields('note') })]);
    expect(write(one, 'text')).not.toContain('fields  ');
    const wide = [1, 2].map((n) => sampleDivergence(`w${n}`, { fields: fields(...'abcdefghij') }));
    expect(write(sampleReport(wide), 'text')).toContain('h in 2, … of 2 that were looked at');
  });

  test.each([
    [
      '18 planted record(s) of a proof that was ended are left; another proof removes them',
      'changeover verify events --prove',
    ],
    ['2 dirty range(s) wait for repair', 'changeover repair events --dry-run: says what the next one would do'],
    ['3 record(s) kept changing while they were compared: verify again', 'changeover verify events'],
    ['the sample held no record: take a larger one', 'changeover verify events'],
  ])('what could not be judged because %s is followed by what helps', (reason, first) => {
    const steps = (...reasons: readonly string[]): readonly string[] =>
      write(sampleReport([], { verdict: 'inconclusive', reasons }), 'text')
        .trimEnd()
        .split('\n')
        .slice(2);
    expect(steps(reason).slice(0, 2)).toEqual([`  ? ${reason}`, `  next      ${first}`]);
    // Whatever else there is, the next verification would find the same dirt.
    expect(steps(reason, '1 dirty range(s) wait for repair').at(-2)).toMatch(/^ +changeover repair events --reason/);
    const last = first.endsWith('--prove') ? first : 'changeover verify events';
    expect(steps(reason, '1 dirty range(s) wait for repair').at(-1)).toBe(`            ${last}`);
  });

  test('Markdown is short enough for the summary of a job, and says what it leaves out', () => {
    const fields = Array.from({ length: 50 }, (_, i) => ({ path: `f${i}`, old: 'x'.repeat(5_000), new: 'y' }));
    const many = Array.from({ length: 2_000 }, (_, i) => sampleDivergence(`u${i}`, { fields }));
    const text = write(sampleReport(many), 'markdown', true);
    expect(text.length).toBeLessThan(100_000);
    expect(text).toContain('The first 50 are listed, 1,950 more are counted.');
  });
});

const unescaped = (text: string): string =>
  text.replace(/%3A/g, ':').replace(/%2C/g, ',').replace(/%0A/g, '\n').replace(/%0D/g, '\r').replace(/%25/g, '%');

/** A line of Markdown without its code: a run of backticks, up to the next run of the same length. */
function withoutCode(line: string): string {
  return line.replace(/(?<!`)(`+)(?!`).*?(?<!`)\1(?!`)/g, '');
}
