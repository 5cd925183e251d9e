import fc from 'fast-check';
import { expect, test } from 'vitest';
import { reportDocument } from '../../verify/reports/report-document.ts';
import { writeReport } from '../../verify/reports/write-report.ts';
import type { VerifyReport } from '../../verify/verify-report.ts';
import { hostileText } from './hostile-text.ts';
import { type Element, elementsOf, FORBIDDEN, readXml, shapeOf, textOf } from './markup-reader.ts';
import { sampleDivergence, sampleReport } from './sample-report.ts';

const junit = (report: VerifyReport): string => writeReport(reportDocument(report, { showValues: true }), 'junit');
const named = (root: Element, name: string): Element[] => [...elementsOf(root)].filter((each) => each.name === name);

/** What the JUnit plug-in of Jenkins and Surefire's schema know: required attributes, other attributes, children. */
const SHAPES: Readonly<Record<string, readonly [readonly string[], readonly string[], readonly string[]]>> = {
  testsuites: [[], ['name', 'tests', 'failures', 'errors', 'time', 'disabled'], ['testsuite']],
  testsuite: [
    ['name', 'tests'],
    ['failures', 'errors', 'time', 'skipped', 'timestamp', 'hostname', 'id', 'package'],
    ['properties', 'testcase', 'system-out', 'system-err'],
  ],
  properties: [[], [], ['property']],
  property: [['name', 'value'], [], []],
  testcase: [
    ['name', 'classname', 'time'],
    ['assertions', 'status'],
    ['failure', 'error', 'skipped', 'system-out'],
  ],
  failure: [[], ['type', 'message'], []],
  error: [[], ['type', 'message'], []],
  'system-out': [[], [], []],
};

function expectJunit(xml: string): Element {
  const root = readXml(xml);
  expect(root.name).toBe('testsuites');
  for (const element of elementsOf(root)) {
    const [required, others, children] = SHAPES[element.name] ?? expect.fail(`JUnit has no ${element.name}`);
    const names = Object.keys(element.attributes);
    expect(required.filter((name) => !names.includes(name))).toEqual([]);
    expect(names.filter((name) => !required.includes(name) && !others.includes(name))).toEqual([]);
    for (const child of element.children) if (typeof child !== 'string') expect(children).toContain(child.name);
  }
  const [suite] = named(root, 'testsuite');
  expect(suite?.attributes['timestamp']).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d$/);
  for (const each of [root, suite as Element]) {
    expect(each.attributes).toMatchObject({
      tests: String(named(root, 'testcase').length),
      failures: String(named(root, 'failure').length),
      errors: String(named(root, 'error').length),
    });
  }
  return root;
}

test('JUnit is well-formed, and of one shape, whatever keys and values hold', () => {
  const plain = shapeOf(readXml(junit(sampleReport([sampleDivergence('ada')], { reasons: ['x'] }))));
  fc.assert(
    fc.property(hostileText, (odd) => {
      const root = expectJunit(
        junit(sampleReport([sampleDivergence(odd)], { migration: odd, mappingHash: odd, reasons: [odd] })),
      );
      expect(shapeOf(root)).toEqual(plain);
      expect(root.attributes['name']).toBe(`changeover verify ${legal(odd)}`);
      expect(textOf(named(root, 'error')[0] as Element)).toBe(legal(odd));
    }),
  );
});

const legal = (text: string): string => text.toWellFormed().replace(FORBIDDEN, '\ufffd');

test('JUnit has the same tests in every run: one a kind, and that everything could be judged', () => {
  const names = (report: VerifyReport): (string | undefined)[] =>
    named(expectJunit(junit(report)), 'testcase').map(({ attributes }) => attributes['name']);
  const all = [
    'no record is missing',
    'no record is extra',
    'no record is different',
    'no record is stale',
    'everything could be judged',
  ];
  expect(names(sampleReport())).toEqual(all);
  expect(names(sampleReport([sampleDivergence('ada'), sampleDivergence('bob')]))).toEqual(all);
});

test('JUnit passes what is consistent, and does not look green where nothing could be judged', () => {
  expect(expectJunit(junit(sampleReport())).attributes).toMatchObject({ failures: '0', errors: '0' });
  const unsure = sampleReport([], { verdict: 'inconclusive', reasons: ['2 dirty range(s) wait for repair'] });
  const root = expectJunit(junit(unsure));
  expect(root.attributes).toMatchObject({ failures: '0', errors: '1' });
  expect(textOf(named(root, 'error')[0] as Element)).toContain('2 dirty range(s)');
});

test('a verification that misses what was planted has an error of its own', () => {
  const proof = { planted: 9, missed: ['stale'], refused: null };
  const missed = expectJunit(junit(sampleReport([], { verdict: 'inconclusive', proof, reasons: ['invalid'] })));
  expect(missed.attributes).toMatchObject({ tests: '6', errors: '2' });
  expect(textOf(missed)).toContain('1 of 9 planted records missed: stale');
  const found = expectJunit(junit(sampleReport([], { proof: { ...proof, missed: [] } })));
  expect(found.attributes).toMatchObject({ tests: '6', errors: '0' });
});

test('a failed check names its records, and counts those that it does not name', () => {
  const kinds = ['missing', 'stale'] as const;
  const many = Array.from({ length: 300 }, (_, i) =>
    sampleDivergence(`u${i}`, { kind: kinds[i % 2] as 'missing', ...(i % 2 === 0 ? { fields: [] } : {}) }),
  );
  const root = expectJunit(junit(sampleReport(many)));
  const [missing, stale] = named(root, 'failure');
  expect(missing?.attributes).toMatchObject({ type: 'missing', message: expect.stringMatching(/^150 missing: /) });
  expect(textOf(missing as Element).split('\n')).toHaveLength(101);
  expect(textOf(missing as Element)).toMatch(/^user="u0", id=7n \(lossy codec, age 90\.0 s\)\n/);
  expect(textOf(missing as Element)).toMatch(/… and 50 more$/);
  expect(textOf(stale as Element)).toContain('old "secret u1", new (no such field)');
});
