import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { makeStamp } from '../../src/core/stamp.ts';
import { exitCode, type ReportFormat, writeReport } from '../../verify/report.ts';
import type { Divergence, VerifyReport } from '../../verify/verify-report.ts';

const stamp = makeStamp(1, 2, 3);

function reportWith(divergences: readonly Divergence[], more: Partial<VerifyReport> = {}): VerifyReport {
  const scanned = { records: 3, bytes: 300 };
  return {
    migration: 'events',
    verdict: divergences.length > 0 ? 'divergent' : 'consistent',
    counts: { old: 3, new: 3, equal: 2, missing: 0, extra: 0, different: divergences.length, stale: 0, pending: 0 },
    divergences,
    truncated: false,
    reasons: [],
    revision: 7,
    mappingHash: 'abc',
    startedAt: '2026-01-01T00:00:00.000Z',
    finishedAt: '2026-01-01T00:00:01.500Z',
    expiresAt: '2026-01-02T00:00:01.500Z',
    scanned: {
      old: scanned,
      new: scanned,
      spilledBytes: 0,
      hashPartitions: 16,
      joinedPartitions: 1,
      splitPartitions: 0,
      candidates: 1,
    },
    ...more,
  };
}

const divergence = (text: string): Divergence => ({
  key: { user: text, id: 7n },
  kind: 'different',
  cause: 'lossy codec',
  fields: [{ path: 'payload.text', old: `secret ${text}`, new: undefined }],
  ageMs: 90_000,
  stamps: { old: stamp, new: stamp },
});

const FORMATS: readonly ReportFormat[] = ['json', 'markdown', 'junit', 'text'];

/** A strict reader of the XML that we write; gives all names of elements, and throws where it is not well-formed. */
function elementsOf(xml: string): string[] {
  const names: string[] = [];
  const open: string[] = [];
  const body = xml.replace(/^<\?xml version="1\.0" encoding="UTF-8"\?>\n/, '');
  const token = /<(\/?)([a-z]+)((?: [a-zA-Z]+="[^"<]*")*)(\/?)>|([^<]+)/y;
  const reference = /&(?!(?:amp|lt|gt|quot|#9|#10|#13);)/;
  for (let at = 0; at < body.length; at = token.lastIndex) {
    token.lastIndex = at;
    const match = token.exec(body);
    if (match === null) throw new Error(`not XML at ${at}: ${body.slice(at, at + 40)}`);
    const [whole, closes, name, , empty] = match;
    if (reference.test(whole)) throw new Error(`a bare ampersand: ${whole}`);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what XML 1.0 forbids
    if (/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/.test(whole) || !whole.isWellFormed()) {
      throw new Error('a character that XML forbids');
    }
    if (name === undefined) continue;
    if (closes === '/') {
      if (open.pop() !== name) throw new Error(`</${name}> closes another element`);
      continue;
    }
    names.push(name);
    if (empty !== '/') open.push(name);
  }
  if (open.length > 0) throw new Error(`open: ${open.join()}`);
  return names;
}

describe('reports', () => {
  test('the exit code says the verdict', () => {
    expect((['consistent', 'divergent', 'inconclusive'] as const).map((verdict) => exitCode({ verdict }))).toEqual([
      0, 1, 2,
    ]);
  });

  test.each(FORMATS)('%s shows no value unless asked to', (format) => {
    const report = reportWith([divergence('ada')]);
    const masked = writeReport(report, format);
    expect(masked).toContain('ada');
    expect(masked).toContain('string(10)');
    expect(masked).not.toContain('secret');
    expect(writeReport(report, format, { showValues: true })).toContain('secret ada');
  });

  test('JSON has the documented shape', () => {
    const data = JSON.parse(writeReport(reportWith([divergence('ada')]), 'json'));
    expect(data).toMatchObject({
      verdict: 'divergent',
      counts: { old: 3, new: 3, equal: 2, missing: 0, extra: 0, different: 1, stale: 0, pending: 0 },
      divergences: [
        {
          key: { user: 'ada', id: '7n' },
          kind: 'different',
          cause: 'lossy codec',
          fields: [{ path: 'payload.text', old: 'string(10)', new: 'undefined' }],
        },
      ],
      revision: 7,
      expiresAt: '2026-01-02T00:00:01.500Z',
    });
  });

  test('JUnit is well-formed whatever keys and values hold', () => {
    const text = fc.string({ unit: 'binary', maxLength: 30 });
    fc.assert(
      fc.property(
        fc.oneof(text, fc.constantFrom(']]>', '<a b="c">&amp;', '\u0000\r\n\t\ud800\uffff', '-->')),
        (odd) => {
          const report = reportWith([divergence(odd)], { migration: odd, reasons: [odd] });
          const elements = elementsOf(writeReport(report, 'junit', { showValues: true }));
          expect(elements.filter((name) => name === 'testcase')).toHaveLength(2);
          expect(elements.filter((name) => name === 'failure')).toHaveLength(2);
        },
      ),
    );
  });

  test('JUnit passes what is consistent, and does not look green where nothing could be judged', () => {
    expect(elementsOf(writeReport(reportWith([]), 'junit'))).not.toContain('failure');
    const report = reportWith([], { verdict: 'inconclusive', reasons: ['2 dirty range(s) wait for repair'] });
    const xml = writeReport(report, 'junit');
    expect(elementsOf(xml)).toContain('error');
    expect(xml).toContain('errors="1"');
    expect(xml).toContain('2 dirty range(s)');
  });

  test('Markdown stays a table and the terminal a terminal, whatever keys hold', () => {
    const odd = 'a|b\n<script>\u001b[31m`';
    const report = reportWith([divergence(odd)], { truncated: true, reasons: [odd] });
    const row = writeReport(report, 'markdown', { showValues: true })
      .split('\n')
      .find((line) => line.includes('lossy codec'));
    expect(row?.replace(/\\\\|\\\|/g, '').split('|')).toHaveLength(7);
    expect(row).not.toContain('<script>');
    // biome-ignore lint/suspicious/noControlCharactersInRegex: the escape character is what must not come through
    expect(writeReport(report, 'text', { showValues: true })).not.toMatch(/\u001b/);
  });
});
