import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { HTML_REPORT_POLICY } from '../../verify/reports/html-report.ts';
import { reportDocument } from '../../verify/reports/report-document.ts';
import { writeReport } from '../../verify/reports/write-report.ts';
import type { VerifyReport } from '../../verify/verify-report.ts';
import { hostileText } from './hostile-text.ts';
import { type Element, elementsOf, readHtml, shapeOf, textOf } from './markup-reader.ts';
import { sampleDivergence, sampleReport } from './sample-report.ts';

const page = (report: VerifyReport, now?: number): Element =>
  readHtml(writeReport(reportDocument(report, { showValues: true }), 'html', now));

const named = (root: Element, name: string): Element[] => [...elementsOf(root)].filter((each) => each.name === name);

/** The part of a page under a heading. */
const under = (root: Element, heading: string): Element | undefined =>
  named(root, 'section').find((section) => named(section, 'h2').map(textOf).includes(heading));

/** What stands in the rows of all tables of a part, without their heads. */
const rowsOf = (part: Element | undefined): string[][] =>
  (part === undefined ? [] : named(part, 'tbody')).flatMap((body) =>
    named(body, 'tr').map((row) => row.children.map((cell) => textOf(cell as Element))),
  );

/** Nothing else is on the page: no script, no form, no frame, and nothing that is fetched. */
const ELEMENTS = new Set(
  'html head meta title style body main header section footer div span p h1 h2 h3 ul ol li dl dt dd table caption thead tbody tr th td code small strong time br a details summary svg path rect line circle text'.split(
    ' ',
  ),
);
const ATTRIBUTES =
  /^(?:lang|charset|http-equiv|content|name|id|class|scope|datetime|href|open|role|aria-label|aria-hidden|data-name|viewBox|fill|stroke|stroke-width|stroke-linecap|stroke-linejoin|width|height|rx|x|y|x1|x2|y1|y2|cx|cy|r|d)$/;

function expectHarmless(root: Element): void {
  const odd = [...elementsOf(root)].flatMap(({ name, attributes }) => [
    ...(ELEMENTS.has(name) ? [] : [name]),
    ...Object.keys(attributes).filter((attribute) => !ATTRIBUTES.test(attribute)),
    ...(/^#(?:missing|extra|different|stale)$/.test(attributes['href'] ?? '#missing') ? [] : [attributes['href']]),
  ]);
  expect(odd).toEqual([]);
}

test('the page is what it is, whatever keys, fields, values, reasons and moves hold', () => {
  const withText = (text: string): VerifyReport =>
    sampleReport([sampleDivergence(text), sampleDivergence('plain', { kind: 'missing', fields: [] })], {
      migration: text,
      reasons: [text],
      mappingHash: text,
      moves: [{ at: '2026-01-02T02:00:00.000Z', kind: text, summary: text }],
    });
  const plain = JSON.stringify(shapeOf(page(withText('ada'))));
  fc.assert(
    fc.property(hostileText, (odd) => {
      const root = page(withText(odd));
      expectHarmless(root);
      expect(JSON.stringify(shapeOf(root))).toBe(plain);
    }),
  );
});

test('the page asks for nothing: its policy allows its own style, by digest, and no script at all', () => {
  const root = page(sampleReport([sampleDivergence('ada')]));
  const [style] = named(root, 'style');
  const digest = createHash('sha256')
    .update(textOf(style as Element))
    .digest('base64');
  expect(HTML_REPORT_POLICY).toBe(
    `default-src 'none'; style-src 'sha256-${digest}'; base-uri 'none'; form-action 'none'`,
  );
  const policy = named(root, 'meta').find(({ attributes }) => attributes['http-equiv'] === 'Content-Security-Policy');
  expect(policy?.attributes['content']).toBe(HTML_REPORT_POLICY);
  expect(textOf(style as Element)).not.toMatch(/url\(|@import|expression/i);
});

test('every number that is drawn is written, too', () => {
  const report = sampleReport([
    ...Array.from({ length: 7 }, (_, i) => sampleDivergence(`u${i}`)),
    sampleDivergence('gone', { kind: 'missing', cause: 'lost mirror', fields: [] }),
  ]);
  const root = page(report);
  const bars = named(root, 'table')
    .filter(({ attributes }) => attributes['class'] === 'bars')
    .map((table) =>
      named(table, 'tr')
        .slice(1)
        .map((row) => row.children.map((cell) => textOf(cell as Element))),
    );
  const rows = bars.flat().map(([label, , number]) => [label, number]);
  expect(rows).toContainEqual(['different', '7']);
  expect(rows).toContainEqual(['missing', '1']);
  expect(rows).toContainEqual(['lossy codec', '7']);
  expect(rows).toContainEqual(['lost mirror', '1']);
  expect(rows).toContainEqual(['1 min to 10 min', '8']);
  for (const svg of named(root, 'svg')) {
    expect(svg.attributes['aria-hidden'] === 'true' || svg.attributes['role'] === 'img').toBe(true);
    if (svg.attributes['role'] === 'img') expect(svg.attributes['aria-label']).toMatch(/\w/);
  }
});

test('the fields that differ are told by name, with the records in which they do; of many, the first', () => {
  const fields = (root: Element) => rowsOf(under(root, 'By field')).map(([name, , records]) => [name, records]);
  const found = page(sampleReport([...'aab'].map((text) => sampleDivergence(text))));
  expect(fields(found)).toEqual([
    ['payload["a"]', '2'],
    ['payload["b"]', '1'],
  ]);
  const many = page(sampleReport([...'abcdefghijklmn'].map((text) => sampleDivergence(text))));
  expect(fields(many)).toHaveLength(12);
  expect(textOf(under(many, 'By field') as Element)).toContain('2 more fields differ');
  expect(
    under(page(sampleReport([sampleDivergence('a', { kind: 'missing', fields: [] })])), 'By field'),
  ).toBeUndefined();
});

test('a line of time has the moves, each drawn and told, and when the records were written', () => {
  const when = under(page(sampleReport([sampleDivergence('ada'), sampleDivergence('bob')])), 'When') as Element;
  expect(rowsOf(when)).toEqual([
    ['1', '2026-01-02 02:00:00 UTC', 'dual-write off → 50 %'],
    ['2', '2026-01-02 03:00:00 UTC', 'backfill of canary, 0–50 % to the new store ended'],
    ['2026-01-02 03:02:36 UTC', '2'],
  ]);
  expect(named(when, 'text').map(textOf)).toEqual(['1', '2']);
  expect(named(when, 'svg')[0]?.attributes['aria-label']).toContain('2 divergent records were written');
  expect(rowsOf(under(page(sampleReport()), 'When'))).toHaveLength(2);
  expect(under(page(sampleReport([], { moves: [] })), 'When')).toBeUndefined();
});

test('what is drawn stays within its chart, whatever was counted', () => {
  const counts = fc.record({
    old: fc.nat(),
    new: fc.nat(),
    equal: fc.nat(),
    missing: fc.nat(),
    extra: fc.nat(),
    different: fc.nat(),
    stale: fc.nat(),
    pending: fc.nat(),
  });
  const times = fc.date({ min: new Date(0), max: new Date('2030-01-01'), noInvalidDate: true });
  fc.assert(
    fc.property(counts, fc.array(times, { maxLength: 5 }), fc.boolean(), (counts, moves, diverges) => {
      const root = page(
        sampleReport(diverges ? [sampleDivergence('ada')] : [], {
          counts,
          moves: moves.map((at) => ({ at: at.toISOString(), kind: 'move', summary: 'moved' })),
        }),
      );
      for (const { attributes } of named(root, 'rect')) {
        const [x = 0, width = 0] = ['x', 'width'].map((name) => Number.parseFloat(attributes[name] ?? '0'));
        if (attributes['width']?.endsWith('%') !== true) continue;
        expect(x).toBeGreaterThanOrEqual(0);
        expect(x + width).toBeLessThanOrEqual(100.01);
      }
    }),
  );
});

test('a page that is shown after its verdict expired says so', () => {
  const report = sampleReport();
  const expires = Date.parse(report.expiresAt);
  expect(textOf(page(report, expires - 1))).not.toContain('has expired');
  expect(textOf(page(report, expires))).toContain('This verdict has expired.');
});

test('a consistent report has no list, a divergent one what to do about it', () => {
  expect(textOf(page(sampleReport()))).not.toContain('Divergent records');
  const text = textOf(page(sampleReport([sampleDivergence('ada')])));
  expect(text).toContain('changeover repair events --dry-run');
  expect(text).toContain('mend the codec or the column first');
});

test('what was never backfilled is to be backfilled; repair is for the rest', () => {
  const due = sampleDivergence('ada', { kind: 'missing', cause: 'not backfilled', fields: [] });
  const text = textOf(page(sampleReport([due])));
  expect(text).toContain('changeover backfill events --reason');
  expect(text).not.toContain('changeover repair');
  const both = textOf(page(sampleReport([due, sampleDivergence('bob')])));
  expect(both).toContain('changeover backfill events --reason');
  expect(both).toContain('changeover repair events --dry-run');
});
