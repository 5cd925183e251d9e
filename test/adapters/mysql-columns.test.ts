import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { FieldType } from '../../adapters/sql/index.ts';
import { equalValues } from '../../src/core/canonical.ts';
import { InvalidConfiguration, InvalidRecord } from '../../src/core/errors.ts';
import { compareKeys, KeySpec } from '../../src/core/record-key.ts';
import { makeStamp } from '../../src/core/stamp.ts';
import type { Entry, Partition, Store } from '../../src/core/store.ts';
import { Decimal, type Key, type StoredRecord, type Value } from '../../src/core/value.ts';
import { anyValue } from '../support/arbitrary-value.ts';
import { testServer } from '../support/servers.ts';
import { listsThreeParts, THREE_PARTS } from '../support/three-part-keys.ts';
import { onMysql } from './mysql-harness.ts';

const { missing } = testServer('mysql');
const SEED = 20260101;
const byId = new KeySpec(['id'], ['id']);

const entryOf = (keys: KeySpec, record: StoredRecord, ms = 1): Entry => {
  const key = keys.keyOf(record);
  return { id: keys.id(key), key, stamp: makeStamp(ms, 0, 1), value: record };
};
const later = (store: Store): number => store.now() + 60_000;

const finiteDouble = fc.double({ noNaN: true, noDefaultInfinity: true });
/** Values at the edges of columns, and everything else. */
const edgy: fc.Arbitrary<Value> = fc.oneof(
  anyValue.filter((value) => value !== null && value !== undefined),
  finiteDouble,
  fc.float({ noNaN: true, noDefaultInfinity: true }),
  fc.integer({ min: -300, max: 300 }),
  fc.integer({ min: 1895, max: 2160 }),
  fc.constantFrom<Value>(0, 1, 255, 256, 255n),
  fc
    .constantFrom(7, 8, 15, 16, 23, 24, 31, 32, 63, 64)
    .chain((bits) =>
      fc.constantFrom<Value>(
        2n ** BigInt(bits),
        2n ** BigInt(bits) - 1n,
        -(2n ** BigInt(bits)),
        Number(2n ** BigInt(bits)) - 1,
      ),
    ),
  fc.date({ noInvalidDate: true, min: new Date('1960-01-01'), max: new Date('2045-01-01') }),
  fc.constantFrom<Value>(
    new Date('2026-02-28'),
    new Date('1970-01-01T00:00:01.000Z'),
    new Date('2038-01-19T03:14:07.000Z'),
    new Date('0001-01-01T00:00:00.000Z'),
    new Date('9999-12-31T23:59:59.999Z'),
    new Date('2026-01-01T00:00:00.500Z'),
    new Date('2026-01-01T00:00:00.999Z'),
  ),
  fc.constantFrom<Value>(
    'a',
    'A',
    'b',
    "it's",
    'x',
    'y',
    'x,y',
    'y,x',
    'x,x',
    'a ',
    'é',
    '€',
    '日本',
    '😀',
    'abcd',
    'a\0b',
    'a\\b',
  ),
  fc.constantFrom<Value>(
    '01:02:03',
    '01:02:03.000',
    '-00:00:01',
    '-00:00:00',
    '838:59:59',
    '839:00:00',
    '25:60:00',
    '1:2:3',
  ),
  fc.constantFrom<Value>(
    '2026-02-28T23:59:59.123456Z',
    '2026-02-28T23:59:59.120Z',
    '2026-02-28T23:59:59.120000Z',
    '2026-02-29T00:00:00.000Z',
    '1970-01-01T00:00:00.999Z',
    '2038-01-19T03:14:07.999999Z',
    '2038-01-19T03:14:08.000Z',
    '0000-00-00T00:00:00.000Z',
    '0000-00-00T00:00:01.000Z',
    '2026-00-00T01:02:03.000Z',
    '2026-02-00T00:00:00.000001Z',
    '2026-00-31T00:00:00.000Z',
    '2026-13-01T00:00:00.000Z',
    '0000-02-29T00:00:00.000Z',
    '0004-02-29T24:00:00.000Z',
    '2026-02-28',
    '0000-00-00',
    '2026-00-31',
    '2026-02-30',
    '2000-02-29',
    '1900-02-29',
    '0000-02-29',
  ),
  fc.constantFrom<Value>('123e4567-e89b-12d3-a456-426614174000', '123E4567-E89B-12D3-A456-426614174000', true, false),
  fc.constantFrom<Value>(
    new Decimal('1.50'),
    new Decimal('12345678.9'),
    new Decimal('0.001'),
    new Decimal('-7'),
    new Decimal('99999999.99'),
  ),
  fc.uint8Array({ minLength: 4, maxLength: 4 }),
  fc.constantFrom<Value>('5 € “ž”…', '\u0080', '\u009f'),
  fc.constantFrom<Value>('x'.repeat(300), 'x'.repeat(70_000), 'é'.repeat(40_000), new Uint8Array(70_000)),
);

/** Types and the declarations that may hold them. */
const COLUMNS: readonly (readonly [FieldType, string])[] = [
  ['text', 'VARCHAR(4) CHARACTER SET utf8mb4'],
  ['text', 'CHAR(4) CHARACTER SET utf8mb4'],
  ['text', 'VARCHAR(30) CHARACTER SET utf8mb3'],
  ['text', 'VARCHAR(30) CHARACTER SET latin1'],
  ['text', 'TEXT CHARACTER SET ascii'],
  ['text', 'TINYTEXT CHARACTER SET utf8mb4'],
  ['text', 'TEXT CHARACTER SET utf8mb4'],
  ['text', 'LONGTEXT CHARACTER SET utf8mb4'],
  ['text', "ENUM('a','it''s','B','x,y') CHARACTER SET utf8mb4"],
  ['text', "SET('x','y') CHARACTER SET utf8mb4"],
  ['text', 'TIME'],
  ['text', 'TIME(3)'],
  ['text', 'DATETIME'],
  ['text', 'DATETIME(6)'],
  ['text', 'TIMESTAMP(6) NULL'],
  ['text', 'DATE'],
  ['integer', 'TINYINT'],
  ['integer', 'SMALLINT UNSIGNED'],
  ['integer', 'MEDIUMINT'],
  ['integer', 'INT UNSIGNED ZEROFILL'],
  ['integer', 'BIGINT'],
  ['integer', 'BIGINT UNSIGNED'],
  ['integer', 'YEAR'],
  ['integer', 'BIT(8)'],
  ['bigint', 'BIT(64)'],
  ['integer', 'DECIMAL(30,0)'],
  ['bigint', 'BIGINT'],
  ['bigint', 'BIGINT UNSIGNED'],
  ['bigint', 'DECIMAL(40)'],
  ['bigint', 'INT'],
  ['real', 'DOUBLE'],
  ['real', 'FLOAT'],
  ['boolean', 'TINYINT(1)'],
  ['boolean', 'BIT(1)'],
  ['boolean', 'BIGINT'],
  ['decimal', 'DECIMAL(10,2)'],
  ['decimal', 'DECIMAL(60,30) UNSIGNED'],
  ['decimal', 'VARCHAR(60) CHARACTER SET ascii'],
  ['date', 'DATETIME'],
  ['date', 'DATETIME(1)'],
  ['date', 'DATETIME(3)'],
  ['date', 'DATETIME(6)'],
  ['date', 'TIMESTAMP(3) NULL'],
  ['date', 'DATE'],
  ['date', 'BIGINT'],
  ['date', 'VARCHAR(24) CHARACTER SET ascii'],
  ['bytes', 'BINARY(4)'],
  ['bytes', 'VARBINARY(6)'],
  ['bytes', 'BLOB'],
  ['bytes', 'LONGBLOB'],
  ['json', 'JSON'],
  ['json', 'TEXT CHARACTER SET utf8mb4'],
  ['json', 'MEDIUMTEXT CHARACTER SET latin1'],
];

describe.skipIf(missing !== undefined)('a column', () => {
  it.for(COLUMNS)(
    'of type %s declared %s gives back exactly what it took, or takes nothing',
    async ([type, declared]) => {
      await using place = await onMysql(`CREATE TABLE things (id INT PRIMARY KEY, v ${declared})`);
      const store = await place.open({ columns: { v: { type } } }, byId);
      await store.prepare();
      let id = 0;
      let held = 0;
      await fc.assert(
        fc.asyncProperty(fc.array(edgy, { minLength: 40, maxLength: 40 }), async (values) => {
          const entries = values.map((v) => {
            id += 1;
            return entryOf(byId, { id, v });
          });
          const outcomes = await store.putManyIfNewer(entries, later(store));
          const found = await store.getMany(entries);
          const native = new Map(
            (
              (await (store.native as (table: string) => Promise<readonly { id: number }[]>)('things')) as readonly {
                id: number;
              }[]
            ).map((row) => [row.id, row]),
          );
          for (const [i, entry] of entries.entries()) {
            const refusal = store.check(entry);
            if (refusal === null) {
              const back = store.roundTrip(entry);
              expect(back.kind === 'held' && equalValues(back.value, entry.value), fc.stringify(values[i])).toBe(true);
              expect(outcomes[i]).toEqual({ kind: 'applied', previous: 'absent' });
              expect(equalValues(found[i]?.value, entry.value), `${fc.stringify(values[i])}, seed ${SEED}`).toBe(true);
              // FLOAT is rounded on its way to everybody else, and then said to be.
              if (declared !== 'FLOAT') {
                const decoded = store.decode(native.get(entry.key['id'] as number));
                expect(equalValues(decoded.value, entry.value), `a native row of ${fc.stringify(values[i])}`).toBe(
                  true,
                );
              } else expect(() => store.decode(native.get(entry.key['id'] as number))).toThrow(InvalidRecord);
              held += 1;
            } else {
              expect(refusal.message).toContain('"v"');
              expect(outcomes[i]).toEqual(refusal);
              expect(found[i]).toBeUndefined();
            }
          }
        }),
        { seed: SEED, numRuns: 12 },
      );
      expect(held).toBeGreaterThan(0);
    },
  );

  it('of latin1 holds what MySQL takes for that, but not in keys, where it sorts otherwise', async () => {
    const declared = 'VARCHAR(9) CHARACTER SET latin1';
    await using place = await onMysql(`CREATE TABLE things (id ${declared} PRIMARY KEY, v ${declared})`);
    const store = await place.open({}, byId);
    await store.prepare();
    const entry = entryOf(byId, { id: 'a', v: '5 € “ž”' });
    expect(await store.putIfNewer(entry, later(store))).toEqual({ kind: 'applied', previous: 'absent' });
    expect((await store.get(entry.id, entry.key))?.value).toEqual(entry.value);
    expect(store.check(entryOf(byId, { id: '€', v: 'x' }))?.message).toContain('"id"');
    expect(store.check(entryOf(byId, { id: 'a', v: '\u0080' }))?.message).toContain('"v"');
  });

  it.for([
    ['real', 'DOUBLE(10,2)'],
    ['real', 'DECIMAL(10,2)'],
    ['integer', 'DECIMAL(10,2)'],
    ['integer', 'VARCHAR(20)'],
    ['text', 'INT'],
    ['text', 'VARCHAR(20) CHARACTER SET cp1250'],
    ['text', 'BLOB'],
    ['json', 'INT'],
    ['bytes', 'TEXT'],
    ['boolean', 'BIT(2)'],
  ] as const)('of type %s is refused where the server would convert it: %s', async ([type, declared]) => {
    await using place = await onMysql(`CREATE TABLE things (id INT PRIMARY KEY, v ${declared})`);
    await expect(place.open({ columns: { v: { type } } }, byId)).rejects.toBeInstanceOf(InvalidConfiguration);
  });

  it('of three parts of a key is listed by the two that the unit leaves', async () => {
    await using place = await onMysql('CREATE TABLE things (a INT, unit INT, b INT, PRIMARY KEY (a, unit, b))');
    await listsThreeParts(await place.open({}, THREE_PARTS));
  });

  it('has the type of its declaration when nothing else is said', async () => {
    await using place =
      await onMysql(`CREATE TABLE things (id VARCHAR(20) PRIMARY KEY, n INT, big BIGINT, r DOUBLE, ok BOOLEAN, j JSON,
      b BLOB, at DATETIME(3), price DECIMAL(10,2), kind ENUM('x','y'), twice INT AS (n * 2), serial INT AUTO_INCREMENT UNIQUE)`);
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
      kind: 'y',
      serial: 0,
    };
    expect(await store.putIfNewer(entryOf(byId, record), later(store))).toEqual({
      kind: 'applied',
      previous: 'absent',
    });
    expect(equalValues((await store.get('["a"]', { id: 'a' }))?.value, record)).toBe(true);
    // AUTO_INCREMENT would put a number in the place of NULL.
    expect(store.check(entryOf(byId, { ...record, serial: null }))).toMatchObject({ reason: 'limit' });
  });

  it('with a value that ours cannot hold exactly is an error that names it, not a rounded one', async () => {
    await using place = await onMysql(
      'CREATE TABLE things (id VARCHAR(20) PRIMARY KEY, at DATETIME(6), ok BOOLEAN, j LONGTEXT)',
      "INSERT INTO things VALUES ('us', '2026-01-01 00:00:00.123456', 1, NULL), ('five', NULL, 5, NULL), ('digits', NULL, NULL, '[1.00000000000000000001]')",
    );
    const store = await place.open({ columns: { at: 'at', ok: 'ok', j: { type: 'json' } } }, byId);
    for (const [id, column, type] of [
      ['us', 'at', 'text'],
      ['five', 'ok', 'integer'],
      ['digits', 'j', 'text'],
    ] as const) {
      const error = (await store.get(`["${id}"]`, { id }))?.unreadable;
      expect(error, id).toBeInstanceOf(InvalidRecord);
      const { message, remedy } = error as InvalidRecord;
      expect(message).toContain(`"${column}" of the record ["${id}"]`);
      expect(remedy).toContain(`'${type}'`);
    }
    const exact = { at: { type: 'text' }, ok: { type: 'integer' }, j: { type: 'text' } } as const;
    const other = await place.open({ columns: exact }, byId);
    const values = await Promise.all(['us', 'five', 'digits'].map((id) => other.get(`["${id}"]`, { id })));
    expect(values.map((entry) => entry?.value)).toEqual([
      { id: 'us', at: '2026-01-01T00:00:00.123456Z', ok: 1, j: null },
      { id: 'five', at: null, ok: 5, j: null },
      { id: 'digits', at: null, ok: null, j: '[1.00000000000000000001]' },
    ]);
  });
});

describe.skipIf(missing !== undefined)('a key', () => {
  it.for([
    ['ENUM("a","b")', 'as text', null],
    ['DOUBLE', 'as real', null],
    ['DECIMAL(20,0)', 'as decimal', "'integer' or 'bigint'"],
    ['DATETIME(6)', null, null],
  ] as const)('in a column declared %s is refused by name, or taken', async ([declared, what, types]) => {
    await using place = await onMysql(`CREATE TABLE things (id ${declared} PRIMARY KEY, v INT)`);
    const opened = await place.open({}, byId).catch((error: unknown) => error);
    if (what === null) return expect(opened).not.toBeInstanceOf(Error);
    expect(opened).toBeInstanceOf(InvalidConfiguration);
    const { message, remedy } = opened as InvalidConfiguration;
    expect(message).toContain(`cannot be part of a key ${what}`);
    if (types === null) expect(remedy).toBeUndefined();
    else expect(remedy).toContain(types);
  });

  it('that is NULL is named as that', async () => {
    await using place = await onMysql(
      'CREATE TABLE things (id INT UNIQUE, v INT)',
      'INSERT INTO things VALUES (NULL, 1)',
    );
    const store = await place.open({}, byId);
    const [all] = await store.partitions(1);
    const pages = store.scan(all as Partition, { pageSize: 10 })[Symbol.asyncIterator]();
    await expect(pages.next()).rejects.toThrow(
      expect.objectContaining({ name: 'InvalidRecord', expected: expect.stringContaining('NULL') }),
    );
  });

  const upTo = (bits: number): fc.Arbitrary<bigint> => fc.bigInt({ min: 0n, max: 2n ** BigInt(bits) - 1n });
  const arbitraries: readonly (readonly [string, fc.Arbitrary<Key[string]>, FieldType?])[] = [
    ['VARCHAR(60) CHARACTER SET utf8mb4 COLLATE BYTEWISE', fc.string({ unit: 'binary', maxLength: 40 })],
    ['VARCHAR(60) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin', fc.string({ unit: 'binary', maxLength: 40 })],
    ['VARCHAR(60) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci', fc.stringMatching(/^[a-zA-Zäé ]{0,3}$/)],
    ['CHAR(9) CHARACTER SET latin1 COLLATE latin1_swedish_ci', fc.stringMatching(/^[a-zA-Zé]{0,3}$/)],
    ['VARCHAR(9) CHARACTER SET latin1 COLLATE latin1_bin', fc.stringMatching(/^[aé€ÿ\x80]{0,3}$/)],
    ['INT', fc.integer()],
    ['BIGINT UNSIGNED', upTo(64)],
    ['VARBINARY(6)', fc.uint8Array({ maxLength: 6 })],
    ['DATETIME(3)', fc.date({ noInvalidDate: true, min: new Date('0002-01-01'), max: new Date('9999-01-01') })],
    ['TIMESTAMP(3)', fc.date({ noInvalidDate: true, min: new Date('1971-01-01'), max: new Date('2037-01-01') })],
    ['BOOLEAN', fc.boolean()],
    [
      'DATE',
      fc.constantFrom('0000-00-00', '0004-02-29', '2026-00-00', '2026-00-31', '2026-01-00', '2026-01-01'),
      'text',
    ],
    [
      'DATETIME(2)',
      fc.constantFrom('0000-00-00T00:00:00.000Z', '2026-01-31T00:00:00.000Z', '2026-01-31T00:00:00.120Z'),
      'text',
    ],
  ];
  it.for(arbitraries)(
    'in a %s column is found, listed and scanned, and takes no other for itself',
    async ([declared, arbitrary, type]) => {
      const keys = new KeySpec(['unit', 'id'], ['unit']);
      let tables = 0;
      await using place = await onMysql();
      await fc.assert(
        fc.asyncProperty(
          fc.uniqueArray(arbitrary, { minLength: 1, maxLength: 30, comparator: equalValues }),
          async (ids) => {
            tables += 1;
            await place.exec(`CREATE TABLE t${tables} (unit INT, id ${declared} NOT NULL, PRIMARY KEY (id, unit))`);
            const columns = type === undefined ? {} : { columns: { id: { type } } };
            const store = await place.open({ table: `t${tables}`, ...columns }, keys);
            await store.prepare();
            const entries = ids
              .map((id) => entryOf(keys, { unit: 1, id }))
              .filter((entry) => store.check(entry) === null);
            const outcomes = await store.putManyIfNewer(entries, later(store));
            // The second of two that the collation takes for equal is refused, and the first one stays.
            const held = entries.filter((_, i) => outcomes[i]?.kind === 'applied');
            const refused = entries.filter((_, i) => outcomes[i]?.kind === 'rejected');
            expect(held.length + refused.length).toBe(entries.length);
            const known = declared.includes('COLLATE') && !declared.includes('BYTEWISE');
            if (!known) expect(refused).toEqual([]);
            held.sort((a, b) => compareKeys(keys.fields, a.key, b.key));
            for (const entry of held) expect(await store.get(entry.id, entry.key)).toEqual(entry);
            expect(await store.getMany([...held, ...refused])).toEqual([...held, ...refused.map(() => undefined)]);
            const listed: Entry[] = [];
            for (;;) {
              const page = await store.list({ unit: 1 }, listed.at(-1)?.key ?? null, 4);
              listed.push(...page);
              if (page.length < 4) break;
            }
            expect(listed).toEqual(held);
            // A tombstone may stand beside a record that the collation takes for equal.
            const gone = [...held.filter((_, i) => i % 3 === 0), ...refused].map((entry) => ({
              ...entry,
              stamp: makeStamp(2, 0, 1),
              value: null,
            }));
            await store.putManyIfNewer(gone, later(store));
            const expected = [...held.filter((_, i) => i % 3 !== 0), ...gone];
            for (const shares of [1, 4]) {
              const seen: Entry[] = [];
              for (const partition of await store.partitions(shares)) {
                for await (const page of store.scan(partition, { pageSize: 3 })) seen.push(...page.entries);
              }
              const sorted = (all: readonly Entry[]) => all.toSorted((a, b) => compareKeys(keys.fields, a.key, b.key));
              expect(sorted(seen)).toEqual(sorted(expected));
            }
            await store.close();
          },
        ),
        { seed: SEED, numRuns: 6 },
      );
    },
  );
});
