import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { FieldType } from '../../adapters/sql/index.ts';
import { equalValues } from '../../src/core/canonical.ts';
import { InvalidConfiguration, InvalidRecord } from '../../src/core/errors.ts';
import { compareKeys, KeySpec } from '../../src/core/record-key.ts';
import { makeStamp } from '../../src/core/stamp.ts';
import type { Entry, Store } from '../../src/core/store.ts';
import { Decimal, type Key, type StoredRecord, type Value } from '../../src/core/value.ts';
import { listsThreeParts, THREE_PARTS } from '../support/three-part-keys.ts';
import { onFile } from './sql-harness.ts';

const SEED = 20260101;
const byId = new KeySpec(['id'], ['id']);

const entryOf = (keys: KeySpec, record: StoredRecord, ms = 1): Entry => {
  const key = keys.keyOf(record);
  return { id: keys.id(key), key, stamp: makeStamp(ms, 0, 1), value: record };
};
const later = (store: Store): number => store.now() + 60_000;

const anyValue: fc.Arbitrary<Value> = fc.oneof(
  fc.constantFrom<Value>(
    -0,
    0,
    1,
    2 ** 53,
    2 ** 53 - 1,
    -(2 ** 53),
    1e21,
    Number.NaN,
    Number.POSITIVE_INFINITY,
    5e-324,
  ),
  fc.constantFrom<Value>('', '12', '1e5', '0012', '1.50', 'a\0b', '\ud800', ' 7', 'NaN', '2026-01-01', true, false),
  fc.constantFrom<Value>(
    2n ** 63n - 1n,
    -(2n ** 63n),
    2n ** 63n,
    1n,
    2n ** 53n,
    new Date(Number.NaN),
    new Date(8.64e15),
  ),
  fc.constantFrom<Value>(
    new Decimal('0.1'),
    new Decimal('12345678901234567890.5'),
    new Decimal('1e30'),
    new Decimal('-7'),
  ),
  fc.double(),
  fc.integer(),
  fc.bigInt({ min: -(2n ** 64n), max: 2n ** 64n }),
  fc.string({ unit: 'binary' }),
  fc.date({ noInvalidDate: true }),
  fc.uint8Array({ maxLength: 20 }),
  fc.jsonValue() as fc.Arbitrary<Value>,
  fc.double({ noNaN: true, noDefaultInfinity: true }).map((number) => new Decimal(String(number))),
  fc.tuple(fc.bigInt(), fc.integer({ min: -30, max: 30 })).map(([n, e]) => new Decimal(`${n}e${e}`)),
);

/** Types and the declarations that may hold them. */
const COLUMNS: readonly (readonly [FieldType, string])[] = [
  ['text', 'TEXT'],
  ['text', 'VARCHAR(3)'],
  ['text', 'BLOB'],
  ['integer', 'INTEGER'],
  ['integer', 'NUMERIC'],
  ['integer', 'BLOB'],
  ['bigint', 'BIGINT'],
  ['bigint', 'BLOB'],
  ['real', 'REAL'],
  ['real', 'DOUBLE PRECISION'],
  ['real', 'NUMERIC'],
  ['real', 'INTEGER'],
  ['real', 'BLOB'],
  ['boolean', 'BOOLEAN'],
  ['boolean', 'INTEGER'],
  ['json', 'TEXT'],
  ['json', 'JSON'],
  ['json', 'BLOB'],
  ['bytes', 'BLOB'],
  ['bytes', 'TEXT'],
  ['bytes', 'INTEGER'],
  ['date', 'INTEGER'],
  ['date', 'DATETIME'],
  ['date', 'TEXT'],
  ['decimal', 'TEXT'],
  ['decimal', 'DECIMAL(10,2)'],
  ['decimal', 'INTEGER'],
];

describe('a column', () => {
  it.for(COLUMNS)(
    'of type %s declared %s gives back exactly what it took, or takes nothing',
    async ([type, declared]) => {
      await using place = await onFile(`CREATE TABLE things (id INTEGER PRIMARY KEY, v ${declared})`);
      const store = await place.open({ columns: { v: { type } } }, byId);
      await store.prepare();
      let id = 0;
      let held = 0;
      await fc.assert(
        fc.asyncProperty(fc.array(anyValue, { minLength: 10, maxLength: 10 }), async (values) => {
          const entries = values.map((v) => {
            id += 1;
            return entryOf(byId, { id, v });
          });
          const outcomes = await store.putManyIfNewer(entries, later(store));
          for (const [i, entry] of entries.entries()) {
            const refusal = store.check(entry);
            const found = await store.get(entry.id, entry.key);
            if (refusal === null) {
              expect(outcomes[i]).toEqual({ kind: 'applied', previous: 'absent' });
              expect(equalValues(found?.value, entry.value), `${fc.stringify(values[i])}, seed ${SEED}`).toBe(true);
              held += 1;
            } else {
              expect(refusal.message).toContain('"v"');
              expect(outcomes[i]).toEqual(refusal);
              expect(found).toBeUndefined();
            }
          }
        }),
        { seed: SEED, numRuns: 60 },
      );
      expect(held).toBeGreaterThan(0);
    },
  );

  it.for([
    ['text', 'INTEGER'],
    ['text', 'STRING'],
    ['integer', 'TEXT'],
    ['integer', 'REAL'],
    ['bigint', 'REAL'],
    ['json', 'INTEGER'],
    ['decimal', 'REAL'],
  ] as const)('of type %s is refused where SQLite would convert it: %s', async ([type, declared]) => {
    await using place = await onFile(`CREATE TABLE things (id INTEGER PRIMARY KEY, v ${declared})`);
    await expect(place.open({ columns: { v: { type } } }, byId)).rejects.toBeInstanceOf(InvalidConfiguration);
  });

  it('has the type of its declaration when nothing else is said', async () => {
    await using place = await onFile(`CREATE TABLE things (id TEXT PRIMARY KEY, n INT, big BIGINT, r DOUBLE, ok BOOLEAN,
      j JSON, b BLOB, at DATETIME, price DECIMAL(10,2), twice INT AS (n * 2))`);
    const store = await place.open({}, byId);
    await store.prepare();
    const record = {
      id: 'a',
      n: 3,
      big: 3n,
      r: 1.5,
      ok: true,
      j: { a: [null] },
      b: Uint8Array.of(1),
      at: new Date(5),
      price: new Decimal('1.50'),
    };
    expect(await store.putIfNewer(entryOf(byId, record), later(store))).toEqual({
      kind: 'applied',
      previous: 'absent',
    });
    expect(equalValues((await store.get('["a"]', { id: 'a' }))?.value, record)).toBe(true);
    const native = place.raw().prepare('SELECT * FROM things').get();
    expect(equalValues(store.decode(native).value, record)).toBe(true);
  });

  it.for(['v STRING', 'v', 'v UUID'])('whose declaration (%s) says no type must be named', async (declared) => {
    await using place = await onFile(`CREATE TABLE things (id INTEGER PRIMARY KEY, ${declared})`);
    await expect(place.open({}, byId)).rejects.toThrow(/does not tell its type/);
  });

  it('with a value of another kind is an error that names it, not a guess', async () => {
    await using place = await onFile(
      "CREATE TABLE things (id TEXT PRIMARY KEY, n INTEGER); INSERT INTO things VALUES ('a', 'x')",
    );
    const store = await place.open({}, byId);
    const entry = await store.get('["a"]', { id: 'a' });
    expect(entry?.unreadable).toBeInstanceOf(InvalidRecord);
    expect(store.check(entry as Entry)?.reason).toBe('limit');
    expect(() => store.decode({ id: 'a', n: 2 ** 60 })).toThrow(InvalidRecord);
  });
});

describe('null and absence', () => {
  const ddl = 'CREATE TABLE things (id TEXT PRIMARY KEY, a TEXT, must TEXT NOT NULL, body TEXT)';
  const cases: readonly StoredRecord[] = [
    { id: '1', a: null, must: 'm' },
    { id: '2', must: 'm' },
    { id: '3', a: 'x', must: 'm' },
  ];

  it('both survive beside a document', async () => {
    await using place = await onFile(ddl);
    const store = await place.open({ document: 'body' }, byId);
    await store.prepare();
    for (const record of [...cases, { id: '4', must: 'm', other: null, nested: { a: null } }]) {
      const entry = entryOf(byId, record);
      expect((await store.putIfNewer(entry, later(store))).kind).toBe('applied');
      expect(equalValues((await store.get(entry.id, entry.key))?.value, record)).toBe(true);
    }
  });

  it.for([
    ['null', [true, false, true]],
    ['absent', [false, true, true]],
  ] as const)('without a document, what SQL NULL does not stand for is rejected (%s)', async ([nulls, expected]) => {
    await using place = await onFile(ddl);
    const store = await place.open({ columns: { a: 'a', must: 'must' }, nulls }, byId);
    expect(cases.map((record) => store.check(entryOf(byId, record)) === null)).toEqual(expected);
    expect(store.check(entryOf(byId, { id: '1', a: 'x', must: nulls === 'null' ? null : undefined }))).toMatchObject({
      reason: 'constraint',
    });
  });

  it('a field without a column is rejected by name', async () => {
    await using place = await onFile(ddl);
    const store = await place.open({ columns: { a: 'a', must: 'must' } }, byId);
    const refusal = store.check(entryOf(byId, { id: '1', a: null, must: 'm', surprise: 1, nothing: undefined }));
    expect(refusal).toEqual({ kind: 'rejected', reason: 'limit', message: 'the field "surprise" has no column' });
  });

  it('null for a rowid, which SQLite would fill in, is rejected', async () => {
    await using place = await onFile('CREATE TABLE things (n INTEGER PRIMARY KEY, id TEXT UNIQUE NOT NULL)');
    const store = await place.open({}, byId);
    expect(store.check(entryOf(byId, { id: 'a', n: null }))).toMatchObject({ reason: 'limit' });
  });
});

describe('a key', () => {
  const arbitraries: readonly (readonly [string, fc.Arbitrary<Key[string]>])[] = [
    ['TEXT', fc.string({ unit: 'binary' })],
    ['INTEGER', fc.oneof(fc.integer(), fc.maxSafeInteger())],
    ['BIGINT', fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })],
    ['REAL', fc.double({ noNaN: true, noDefaultInfinity: true }).map((n) => n + 0)],
    ['BLOB', fc.uint8Array({ maxLength: 6 })],
    ['DATETIME', fc.date({ noInvalidDate: true })],
    ['BOOLEAN', fc.boolean()],
  ];
  it.for(arbitraries)('in a %s column is found, listed and scanned in its order', async ([declared, arbitrary]) => {
    const keys = new KeySpec(['unit', 'id'], ['unit']);
    await fc.assert(
      fc.asyncProperty(
        fc.uniqueArray(arbitrary, { minLength: 1, maxLength: 25, comparator: equalValues }),
        async (ids) => {
          await using place = await onFile(
            `CREATE TABLE things (unit INTEGER, id ${declared}, PRIMARY KEY (id, unit)) WITHOUT ROWID`,
          );
          const store = await place.open({}, keys);
          await store.prepare();
          const entries = ids
            .map((id) => entryOf(keys, { unit: 1, id }))
            .filter((entry) => store.check(entry) === null);
          await store.putManyIfNewer(entries, later(store));
          entries.sort((a, b) => compareKeys(keys.fields, a.key, b.key));
          const expected = entries.map(({ id }) => id);
          for (const entry of entries) expect(await store.get(entry.id, entry.key)).toEqual(entry);
          const listed: Entry[] = [];
          for (;;) {
            const page = await store.list({ unit: 1 }, listed.at(-1)?.key ?? null, 4);
            listed.push(...page);
            if (page.length < 4) break;
          }
          expect(listed.map(({ id }) => id)).toEqual(expected);
          await store.putManyIfNewer(
            entries
              .filter((_, i) => i % 3 === 0)
              .map((entry) => ({ ...entry, stamp: makeStamp(2, 0, 1), value: null })),
            later(store),
          );
          const seen: string[] = [];
          for (const partition of await store.partitions(3)) {
            for await (const page of store.scan(partition, { pageSize: 3 }))
              seen.push(...page.entries.map(({ id }) => id));
          }
          expect(seen).toEqual(expected);
        },
      ),
      { seed: SEED, numRuns: 12 },
    );
  });

  it('of three parts is listed by the two that the unit leaves', async () => {
    await using place = await onFile(
      'CREATE TABLE things (a INTEGER, unit INTEGER, b INTEGER, PRIMARY KEY (a, unit, b))',
    );
    await listsThreeParts(await place.open({}, THREE_PARTS));
  });

  it('of a type that its column does not have names nothing', async () => {
    await using place = await onFile('CREATE TABLE things (id INTEGER PRIMARY KEY)');
    const store = await place.open({}, byId);
    await store.prepare();
    const entry = entryOf(byId, { id: '7' });
    expect(await store.get(entry.id, entry.key)).toBeUndefined();
    expect(await store.getMany([entry, entryOf(byId, { id: 7 })])).toEqual([undefined, undefined]);
    expect(await store.putIfNewer(entry, later(store))).toMatchObject({ kind: 'rejected', reason: 'limit' });
    expect(await store.list({ id: '7' }, null, 1)).toEqual([]);
  });

  it('must be unique in the table', async () => {
    await using place = await onFile('CREATE TABLE things (id TEXT, n INTEGER); CREATE INDEX i ON things (id)');
    await expect(place.open({}, byId)).rejects.toThrow(/unique/);
  });

  it('that reads as one written in another form is an error, not a second record', async () => {
    await using place = await onFile(
      "CREATE TABLE things (id DATETIME PRIMARY KEY); INSERT INTO things VALUES ('2026-01-01 00:00:00')",
    );
    const store = await place.open({}, byId);
    const [partition] = await store.partitions(1);
    if (partition === undefined) throw new Error('no partition');
    await expect(store.scan(partition, { pageSize: 5 })[Symbol.asyncIterator]().next()).rejects.toBeInstanceOf(
      InvalidRecord,
    );
  });
});
