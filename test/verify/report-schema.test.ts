import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Ajv2020 } from 'ajv/dist/2020.js';
import formats from 'ajv-formats';
import { expect, test } from 'vitest';
import { REPORT_SCHEMA, reportDocument } from '../../verify/reports/report-document.ts';
import { writeReport } from '../../verify/reports/write-report.ts';
import type { VerifyReport } from '../../verify/verify-report.ts';
import { sampleDivergence, sampleReport } from './sample-report.ts';

interface Schema {
  readonly $id?: string;
  readonly $ref?: string;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly items?: Schema;
  readonly $defs?: Readonly<Record<string, Schema>>;
}

const schema = JSON.parse(
  readFileSync(join(import.meta.dirname, '../../docs/verify-report-schema.json'), 'utf8'),
) as Schema;

const ajv = new Ajv2020({ strict: true, strictTypes: false, allErrors: true });
(formats as unknown as { default: (ajv: Ajv2020) => void }).default(ajv);
const valid = ajv.compile(schema);

const REPORTS: Readonly<Record<string, VerifyReport>> = {
  consistent: sampleReport(),
  divergent: sampleReport([
    sampleDivergence('ada'),
    sampleDivergence('bob', { kind: 'missing', cause: 'lost mirror', fields: [] }),
    sampleDivergence('eve', { kind: 'extra', cause: null, fields: [], stamps: { old: null, new: null } }),
  ]),
  'sampled and unproven': sampleReport([], {
    verdict: 'inconclusive',
    sample: 0.01,
    unit: 'ada',
    proof: { planted: 9, missed: ['stale'], refused: null },
    reasons: ['invalid: 1 of 9 planted records missed (stale)'],
  }),
  'inconclusive and dirty': sampleReport([], {
    verdict: 'inconclusive',
    reasons: ['2 dirty range(s) wait for repair', '1 key(s) were rejected by the follower and wait for repair'],
  }),
};

test('the schema has the id that reports name', () => {
  expect(schema.$id).toBe(REPORT_SCHEMA);
});

test.each(Object.keys(REPORTS))(
  'a %s report is valid, values shown or not, and says nothing that the schema does not',
  (name) => {
    for (const showValues of [false, true]) {
      const text = writeReport(reportDocument(REPORTS[name] as VerifyReport, { showValues }), 'json');
      const document: unknown = JSON.parse(text);
      expect(valid(document) ? [] : valid.errors).toEqual([]);
      expect(undeclared(document, schema)).toEqual([]);
    }
  },
);

test.each([
  ['an unknown verdict', { verdict: 'fine' }],
  ['a count below zero', { counts: { ...sampleReport().counts, old: -1 } }],
  ['a time that is none', { expiresAt: 'tomorrow' }],
] as const)('a report with %s is not valid', (_, change) => {
  expect(valid({ ...reportDocument(sampleReport()), ...change })).toBe(false);
});

/** Properties that no line of the schema describes; what is free by the schema is not looked into. */
function undeclared(value: unknown, described: Schema, path = ''): string[] {
  const { $ref } = described;
  const here = $ref === undefined ? described : (schema.$defs?.[$ref.replace('#/$defs/', '')] as Schema);
  if (Array.isArray(value)) {
    const { items } = here;
    return items === undefined ? [] : value.flatMap((item, i) => undeclared(item, items, `${path}[${i}]`));
  }
  const { properties } = here;
  if (typeof value !== 'object' || value === null || properties === undefined) return [];
  return Object.entries(value).flatMap(([name, item]) => {
    const property = properties[name];
    return property === undefined ? [`${path}.${name}`] : undeclared(item, property, `${path}.${name}`);
  });
}
