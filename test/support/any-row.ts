import fc from 'fast-check';
import { type AnyColumnKind, kindsOf, type TableName } from '../../src/control/columns.ts';

/** A row made of its columns' kinds alone. */
export type Generated = Record<string, unknown>;

const json = fc
  .jsonValue({ depthSize: 'small', stringUnit: 'binary' })
  .filter((value) => value !== null)
  // Through JSON once, so that -0 is what JSON makes of it.
  .map((value): unknown => JSON.parse(JSON.stringify(value)));

const VALUES: Readonly<Record<string, fc.Arbitrary<unknown>>> = {
  number: fc.oneof(fc.maxSafeInteger(), fc.constantFrom(0, 1.5, 1_763_700_000_000.25)),
  text: fc.string({ unit: 'binary' }).map((text) => text.toWellFormed()),
  boolean: fc.boolean(),
  json,
};

function cellOf(column: string, kind: AnyColumnKind): fc.Arbitrary<unknown> {
  // Whole numbers only, where the column holds no time.
  const base = VALUES[kind.replace('?', '')] as fc.Arbitrary<unknown>;
  const values = kind.startsWith('number') && !TIMES.test(column) ? fc.maxSafeInteger() : base;
  return kind.endsWith('?') ? fc.option(values, { nil: null }) : values;
}

const TIMES = /^at$|At$|Since$|Seen$|Until$|Limit$|Before$|Time$|^estimate$/;

/** Any row of a table; its id means nothing. */
export function rowOf(table: TableName): fc.Arbitrary<Generated> {
  return fc.record(Object.fromEntries([...kindsOf(table)].map(([column, kind]) => [column, cellOf(column, kind)])), {
    noNullPrototype: true,
  });
}
