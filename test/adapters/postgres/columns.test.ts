import fc from 'fast-check';
import { BSON as bson } from 'mongodb';
import { describe, expect, it } from 'vitest';
import type { FieldType } from '../../../adapters/sql/index.ts';
import { equalValues } from '../../../src/core/canonical.ts';
import { InvalidConfiguration, InvalidRecord } from '../../../src/core/errors.ts';
import { compareKeys, KeySpec } from '../../../src/core/record-key.ts';
import { makeStamp } from '../../../src/core/stamp.ts';
import type { Entry, Store } from '../../../src/core/store.ts';
import { Decimal, type Key, type StoredRecord, type Value } from '../../../src/core/value.ts';
import { testServer } from '../../support/servers.ts';
import { listsThreeParts, THREE_PARTS } from '../../support/three-part-keys.ts';
import { onPostgres } from '../postgres-harness.ts';

const SEED = 20260101;
const byId = new KeySpec(['id'], ['id']);
const describePostgres = describe.skipIf(testServer('postgres').missing !== undefined);

const entryOf = (keys: KeySpec, record: StoredRecord, ms = 1): Entry => {
  const key = keys.keyOf(record);
  return { id: keys.id(key), key, stamp: makeStamp(ms, 0, 1), value: record };
};
const later = (store: Store): number => store.now() + 60_000;
const oid = new bson.ObjectId() as unknown as Value;

const anyValue: fc.Arbitrary<Value> = fc.oneof(
  fc.constantFrom<Value>(
    -0,
    0,
    1,
    7,
    2 ** 53,
    2 ** 53 - 1,
    32_768,
    2 ** 31,
    1e21,
    Number.NaN,
    5e-324,
    0.1,
    1.25,
    99.99,
  ),
  fc.constantFrom<Value>(Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 3.4028234663852886e38, 16_777_217),
  fc.constantFrom<Value>('', 'abc', 'abc ', 'ab', 'a\0b', '\ud800', '\u{1f600}bc', 'NaN', '2026-01-01', true, false),
  fc.constantFrom<Value>('happy', 'sad', '{}', 'null', '\\x41', '"', "'", '{a,b}', 'NULL', '\\', 'a,"b"\\'),
  fc.constantFrom<Value>('0f8fad5b-d9cb-469f-a165-70867728950e', '0F8FAD5B-D9CB-469F-A165-70867728950E', oid),
  fc.constantFrom<Value>('2026-01-01T00:00:00.123456Z', '2026-01-01T00:00:00.120Z', '2026-01-01T00:00:00.120000Z'),
  fc.constantFrom<Value>(2n ** 63n - 1n, -(2n ** 63n), 2n ** 63n, 1n, 2n ** 53n, 10n ** 30n, new Date(Number.NaN)),
  fc.constantFrom<Value>(new Date(8.64e15), new Date('0000-06-01T00:00:00Z'), new Date('0001-01-01T00:00:00.001Z')),
  fc.constantFrom<Value>(
    new Decimal('0.1'),
    new Decimal('12345678901234567890.5'),
    new Decimal('1e30'),
    new Decimal('-7'),
  ),
  fc.constantFrom<Value>(
    new Decimal('1e400'),
    new Decimal('1e-400'),
    new Decimal('99999999.99'),
    new Decimal('100000000'),
  ),
  fc.constantFrom<Value>({ a: 1e308, b: 5e-324 }, { a: 'x\0' }, { 'x\0': 1 }, { a: '\\u0000' }, [1e21, 0.1]),
  fc.double(),
  fc.float(),
  fc.integer(),
  fc.bigInt({ min: -(2n ** 64n), max: 2n ** 64n }),
  fc.string({ unit: 'binary' }),
  fc.date({ noInvalidDate: true }),
  fc.integer({ min: -20_000, max: 60_000 }).map((days) => new Date(days * 86_400_000)),
  fc.uint8Array({ maxLength: 20 }),
  fc.jsonValue() as fc.Arbitrary<Value>,
  fc.uuid({ version: 4 }),
  fc.tuple(fc.bigInt(), fc.integer({ min: -30, max: 30 })).map(([n, e]) => new Decimal(`${n}e${e}`)),
);

/** Types, the declarations that may hold them, and one value that must be held. */
const COLUMNS: readonly (readonly [FieldType, string, Value])[] = [
  ['text', 'text', '\u{1f600}bc'],
  ['text', 'varchar(3)', '\u{1f600}bc'],
  ['text', 'char(3)', 'abc'],
  ['text', 'char(3)', 'a  '],
  ['text', 'text COLLATE "en-x-icu"', 'abc '],
  ['text', 'citext', 'ABC'],
  ['text', 'short', 'abc'],
  ['text', 'mood', 'happy'],
  ['uuid', 'uuid', '0f8fad5b-d9cb-469f-a165-70867728950e'],
  ['text', 'uuid', '0f8fad5b-d9cb-469f-a165-70867728950e'],
  ['uuid', 'varchar(36)', '0f8fad5b-d9cb-469f-a165-70867728950e'],
  ['integer', 'smallint', -32_768],
  ['integer', 'integer', 2 ** 31 - 1],
  ['integer', 'bigint', 2 ** 53 - 1],
  ['integer', 'numeric', 2 ** 53 - 1],
  ['integer', 'numeric(10)', 1],
  ['bigint', 'smallint', 1n],
  ['bigint', 'bigint', -(2n ** 63n)],
  ['bigint', 'numeric', 10n ** 30n],
  ['real', 'real', 1.25],
  ['real', 'double precision', 5e-324],
  ['real', 'numeric', 0.1],
  ['real', 'numeric(10,2)', 99.99],
  ['boolean', 'boolean', false],
  ['json', 'json', { a: 'x\0' }],
  ['json', 'jsonb', { a: 1e308, b: 5e-324 }],
  ['json', 'text', [1e21, 0.1]],
  ['bytes', 'bytea', Uint8Array.of(0, 92, 255)],
  ['date', 'timestamptz', new Date('0002-01-01T00:00:00.001Z')],
  ['date', 'timestamptz', new Date('9999-12-31T23:59:59.999Z')],
  ['date', 'timestamp', new Date(-1)],
  ['date', 'timestamp', new Date('9999-12-31T23:59:59.999Z')],
  ['date', 'timestamptz(0)', new Date(5_000)],
  ['date', 'date', new Date('2026-02-28')],
  ['date', 'bigint', new Date(8.64e15)],
  ['date', 'text', new Date(5)],
  ['text', 'timestamptz', '2026-01-01T00:00:00.123456Z'],
  ['text', 'timestamp(4)', '2026-01-01T00:00:00.120Z'],
  ['text', 'date', '2026-01-01'],
  ['decimal', 'numeric', new Decimal('1e400')],
  ['decimal', 'numeric(10,2)', new Decimal('99999999.99')],
  ['decimal', 'numeric(3,-2)', new Decimal('1200')],
  ['decimal', 'text', new Decimal('1e400')],
  ['objectId', 'text', oid],
  ['objectId', 'char(24)', oid],
  ['objectId', 'bytea', oid],
];

describePostgres('a column of PostgreSQL', () => {
  it.for(COLUMNS)(
    'of type %s declared %s gives back exactly what it took, or takes nothing',
    async ([type, declared, must]) => {
      await using place = await onPostgres(`CREATE EXTENSION citext; CREATE DOMAIN short AS varchar(3);
      CREATE TYPE mood AS ENUM ('sad', 'happy', 'a,"b"\\'); CREATE TABLE things (id int8 PRIMARY KEY, v ${declared})`);
      // Neither the time zone of a session nor how it prints dates and numbers may change a value.
      const options =
        '-c TimeZone=America/St_Johns -c DateStyle=German -c extra_float_digits=-10 -c bytea_output=escape';
      const connection = { connectionString: place.url, options };
      const store = await place.open({ connection, columns: { id: { type: 'integer' }, v: { type } } }, byId);
      await store.prepare();
      let id = 0;
      let held = 0;
      const check = async (values: readonly Value[]): Promise<void> => {
        const entries = values.map((v) => {
          id += 1;
          return entryOf(byId, { id, v });
        });
        const outcomes = await store.putManyIfNewer(entries, later(store));
        const found = await store.getMany(entries);
        for (const [i, entry] of entries.entries()) {
          const refusal = store.check(entry);
          const outcome = outcomes[i];
          const hint = `${fc.stringify(values[i])}, seed ${SEED}`;
          if (refusal === null && !(declared === 'mood' && outcome?.kind === 'rejected')) {
            expect(outcome, hint).toEqual({ kind: 'applied', previous: 'absent' });
            expect(equalValues(found[i]?.value, entry.value), hint).toBe(true);
            held += 1;
          } else {
            if (refusal !== null) expect(refusal.message).toContain('"v"');
            expect(outcome).toMatchObject({ kind: 'rejected' });
            expect(found[i]).toBeUndefined();
          }
        }
      };
      await check([must]);
      expect(held, 'what must be held').toBe(1);
      await fc.assert(fc.asyncProperty(fc.array(anyValue, { minLength: 25, maxLength: 25 }), check), {
        seed: SEED,
        numRuns: 12,
        endOnFailure: true,
      });
    },
  );

  it.for([
    ['text', 'integer'],
    ['text', 'interval'],
    ['integer', 'text'],
    ['integer', 'double precision'],
    ['real', 'integer'],
    ['json', 'varchar(20)'],
    ['json', 'bytea'],
    ['decimal', 'double precision'],
    ['date', 'time'],
    ['bytes', 'text'],
    ['boolean', 'integer'],
    ['objectId', 'uuid'],
  ] as const)('of type %s is refused where PostgreSQL would convert it: %s', async ([type, declared]) => {
    await using place = await onPostgres(`CREATE TABLE things (id int8 PRIMARY KEY, v ${declared})`);
    await expect(place.open({ columns: { v: { type } } }, byId)).rejects.toBeInstanceOf(InvalidConfiguration);
  });

  it('has the type of its declaration when nothing else is said, in native rows too', async () => {
    await using place = await onPostgres(`CREATE TABLE things (id text PRIMARY KEY, s int2, n int4, big int8, r float8,
      f real, ok bool, j json, b jsonb, raw bytea, at timestamptz, local timestamp, day date, price numeric(10,2), ref uuid,
      twice int GENERATED ALWAYS AS (n * 2) STORED, serial int GENERATED ALWAYS AS IDENTITY)`);
    const store = await place.open({}, byId);
    await store.prepare();
    const record = {
      id: 'a',
      s: 1,
      n: 3,
      big: 3n,
      r: 1.5,
      f: Math.fround(0.1),
      ok: true,
      j: { a: [null], n: 1.25 },
      b: [1, 'x'],
      raw: Uint8Array.of(1),
      at: new Date(5),
      local: new Date(6),
      day: new Date('2026-01-02'),
      price: new Decimal('1.50'),
      ref: '0f8fad5b-d9cb-469f-a165-70867728950e',
    };
    expect(await store.putIfNewer(entryOf(byId, record), later(store))).toEqual({
      kind: 'applied',
      previous: 'absent',
    });
    expect(equalValues((await store.get('["a"]', { id: 'a' }))?.value, record)).toBe(true);
    const { default: knex } = await import('knex');
    const [native] = await (store.native as ReturnType<typeof knex>)('things').select();
    expect(equalValues(store.decode(native).value, record)).toBe(true);
  });

  it.for(['v interval', 'v int[]', 'v "char"', 'v point'])(
    'that stands for no type (%s) must be named',
    async (column) => {
      await using place = await onPostgres(`CREATE TABLE things (id text PRIMARY KEY, ${column})`);
      await expect(place.open({}, byId)).rejects.toThrow(/does not tell its type/);
    },
  );

  it.for([
    ['timestamptz', "'2026-01-01 00:00:00.123456+00'", '2026-01-01T00:00:00.123456Z'],
    ['timestamp', "'2026-01-01 00:00:00.000001'", '2026-01-01T00:00:00.000001Z'],
  ])('of %s with microseconds is read whole as text, and not at all as a Date', async ([declared, value, text]) => {
    await using place = await onPostgres(
      `CREATE TABLE things (id text PRIMARY KEY, at ${declared}); INSERT INTO things VALUES ('a', ${value})`,
    );
    const asDate = await place.open({}, byId);
    expect((await asDate.get('["a"]', { id: 'a' }))?.unreadable).toBeInstanceOf(InvalidRecord);
    const asText = await place.open({ columns: { at: { type: 'text' } } }, byId);
    const record = (await asText.get('["a"]', { id: 'a' }))?.value;
    expect(record).toEqual({ id: 'a', at: text });
    await asText.prepare();
    expect((await asText.putIfNewer(entryOf(byId, record ?? {}), later(asText))).kind).toBe('applied');
    expect(await place.rows(`SELECT at = ${value}::${declared} FROM things`)).toEqual([['t']]);
  });

  it.for([
    ['numeric', "'NaN'"],
    ['timestamptz', "'infinity'"],
    ['timestamp', "'0044-03-15 00:00:00 BC'"],
    ['jsonb', "'[12345678901234567890123]'"],
    ['json', "'[1e999]'"],
  ])('of %s with what no record can hold (%s) is an error that names it', async ([declared, value]) => {
    await using place = await onPostgres(
      `CREATE TABLE things (id text PRIMARY KEY, v ${declared}); INSERT INTO things VALUES ('a', ${value})`,
    );
    const store = await place.open({}, byId);
    expect((await store.get('["a"]', { id: 'a' }))?.unreadable).toMatchObject({
      message: expect.stringContaining('"v"'),
    });
  });
});

describePostgres('a key in PostgreSQL', () => {
  const uuids = fc.uuid({ version: 4 });
  const arbitraries: readonly (readonly [string, FieldType | null, fc.Arbitrary<Key[string]>])[] = [
    ['text', null, fc.string({ unit: 'binary' })],
    [
      'text COLLATE "en-x-icu"',
      null,
      fc.oneof(fc.string({ unit: 'grapheme' }), fc.constantFrom('a', 'B', 'ä', 'a-b', 'ab')),
    ],
    ['varchar(9) COLLATE "de-x-icu"', null, fc.string({ unit: 'grapheme' })],
    ['char(2)', null, fc.string({ minLength: 2, maxLength: 2 })],
    ['int4', null, fc.integer()],
    ['int8', 'integer', fc.maxSafeInteger()],
    ['int8', 'bigint', fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })],
    ['numeric', 'bigint', fc.bigInt()],
    ['numeric(16)', 'integer', fc.maxSafeInteger()],
    ['float8', null, fc.double({ noNaN: true, noDefaultInfinity: true }).map((n) => n + 0)],
    ['bytea', null, fc.uint8Array({ maxLength: 6 })],
    ['timestamptz', null, fc.date({ noInvalidDate: true, min: new Date('0002-01-01'), max: new Date('9999-12-31') })],
    [
      'timestamp(3)',
      'text',
      fc
        .date({ noInvalidDate: true, min: new Date('0002-01-01'), max: new Date('9999-12-31') })
        .map((date) => date.toISOString()),
    ],
    ['boolean', null, fc.boolean()],
    ['uuid', null, uuids],
    ['char(24)', 'objectId', fc.uint8Array({ minLength: 12, maxLength: 12 }).map((b) => new bson.ObjectId(b) as never)],
    ['bytea', 'objectId', fc.uint8Array({ minLength: 12, maxLength: 12 }).map((b) => new bson.ObjectId(b) as never)],
  ];
  it('of times as text is refused where they have texts of two lengths, which are ordered otherwise', async () => {
    await using place = await onPostgres('CREATE TABLE things (id timestamptz PRIMARY KEY, n int4)');
    const opened = place.open({ columns: { id: { type: 'text' } } }, byId);
    await expect(opened).rejects.toThrow(/cannot be part of a key as text/);
  });

  it('of three parts is listed by the two that the unit leaves', async () => {
    await using place = await onPostgres('CREATE TABLE things (a int4, unit int4, b int4, PRIMARY KEY (a, unit, b))');
    await listsThreeParts(await place.open({}, THREE_PARTS));
  });

  it.for(arbitraries)(
    'in a column declared %s (%s) is found, listed by bytes and scanned once',
    async ([declared, type, arbitrary]) => {
      const keys = new KeySpec(['unit', 'id'], ['unit']);
      await using place = await onPostgres();
      let tables = 0;
      await fc.assert(
        fc.asyncProperty(
          fc.uniqueArray(arbitrary, { minLength: 1, maxLength: 25, comparator: equalValues }),
          async (ids) => {
            tables += 1;
            const table = `things ${tables}`;
            await place.rows(`CREATE TABLE "${table}" (unit int4, id ${declared}, PRIMARY KEY (id, unit))`);
            const columns = type === null ? {} : { columns: { id: { type } } };
            const store = await place.open({ table, ...columns }, keys);
            await store.prepare();
            const entries = ids
              .map((id) => entryOf(keys, { unit: 1, id }))
              .filter((entry) => store.check(entry) === null);
            const outcomes = await store.putManyIfNewer(entries, later(store));
            expect(new Set(outcomes.map(({ kind }) => kind)).has('rejected')).toBe(false);
            const expected = entries.toSorted((a, b) => compareKeys(keys.fields, a.key, b.key)).map(({ id }) => id);
            for (const entry of entries) expect((await store.get(entry.id, entry.key))?.stamp).toBe(entry.stamp);
            const listed: Entry[] = [];
            for (;;) {
              const page = await store.list({ unit: 1 }, listed.at(-1)?.key ?? null, 4);
              listed.push(...page);
              if (page.length < 4) break;
            }
            expect(listed.map(({ id }) => id)).toEqual(expected);
            const buried = entries.filter((_, i) => i % 3 === 0);
            await store.putManyIfNewer(
              buried.map((entry) => ({ ...entry, stamp: makeStamp(2, 0, 1), value: null })),
              later(store),
            );
            const seen: string[] = [];
            for (const partition of await store.partitions(3)) {
              for await (const page of store.scan(partition, { pageSize: 3 }))
                seen.push(...page.entries.map(({ id }) => id));
            }
            expect(seen.toSorted()).toEqual(expected.toSorted());
            await store.close();
          },
        ),
        { seed: SEED, numRuns: 6, endOnFailure: true },
      );
    },
  );

  it.for(['citext', 'mood', 'text COLLATE "blind"', 'numeric(10,2)', 'json'])(
    'cannot be in a column declared %s, where different texts may be equal or the order is another one',
    async (declared) => {
      await using place = await onPostgres(`CREATE EXTENSION citext; CREATE TYPE mood AS ENUM ('sad', 'happy');
      CREATE COLLATION blind (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
      CREATE TABLE things (n int UNIQUE, id ${declared})`);
      const type = declared === 'numeric(10,2)' ? ('real' as const) : undefined;
      await expect(place.open({ columns: { id: type === undefined ? 'id' : { type } } }, byId)).rejects.toThrow(/key/);
    },
  );
});
