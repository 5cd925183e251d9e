import fc from 'fast-check';
import { BSON as bson } from 'mongodb';
import { describe, expect, it } from 'vitest';
import { extendedJson } from '../../adapters/sql/extended-json.ts';
import { parseExactly } from '../../adapters/sql/json-text.ts';
import type { BsonLibrary } from '../../src/core/bson.ts';
import { equalValues } from '../../src/core/canonical.ts';
import { KeySpec } from '../../src/core/record-key.ts';
import { makeStamp } from '../../src/core/stamp.ts';
import { Decimal, type Value } from '../../src/core/value.ts';
import { anyText, anyValue } from '../support/arbitrary-value.ts';
import { onFile } from './sql-harness.ts';

const SEED = 20260101;
const library = bson as unknown as BsonLibrary;
const notation = extendedJson(library);

const WRAPPERS = [
  '$oid',
  '$date',
  '$numberLong',
  '$numberInt',
  '$numberDouble',
  '$numberDecimal',
  '$binary',
  '$uuid',
  '$undefined',
  '$timestamp',
  '$regularExpression',
  '$symbol',
  '$code',
  '$minKey',
  '$maxKey',
];

const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });
const uint32 = fc.integer({ min: 0, max: 2 ** 32 - 1 });
const anyBson: fc.Arbitrary<unknown> = fc.oneof(
  bytes(12).map((id) => new bson.ObjectId(id)),
  fc.tuple(uint32, uint32).map(([t, i]) => new bson.Timestamp({ t, i })),
  fc.tuple(anyText, fc.constantFrom('', 'i', 'im')).map(([pattern, options]) => {
    return new bson.BSONRegExp(pattern.replaceAll('\0', ''), options);
  }),
  anyText.map((text) => new bson.Code(text)),
  anyText.map((text) => new bson.BSONSymbol(text)),
  fc.constantFrom(new bson.MinKey(), new bson.MaxKey()),
  fc.tuple(fc.uint8Array({ maxLength: 9 }), fc.constantFrom(1, 2, 5, 128)).map(([b, type]) => new bson.Binary(b, type)),
  bytes(16).map((id) => new bson.UUID(id)),
  fc.constantFrom('NaN', 'Infinity', '-Infinity').map((text) => bson.Decimal128.fromString(text)),
);

/** Values of all kinds, with objects that could be taken for something else. */
const tricky: fc.Arbitrary<Value> = fc.letrec<{ value: Value }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small' },
    anyValue,
    anyBson as fc.Arbitrary<Value>,
    fc.array(tie('value'), { maxLength: 3 }),
    fc
      .tuple(fc.constantFrom(...WRAPPERS, '$set', '$', 'a'), tie('value'))
      .map(([field, value]) => ({ [field]: value })),
    fc.dictionary(fc.constantFrom(...WRAPPERS, '__proto__', 'b'), tie('value'), { maxKeys: 3 }),
  ),
})).value;

describe('Extended JSON', () => {
  it('gives every value back equal, or says why not', () => {
    let written = 0;
    let refused = 0;
    fc.assert(
      fc.property(tricky, (value) => {
        // A field that is undefined at the top is absent, which is the row's affair.
        fc.pre(value !== undefined);
        const why = notation.why(value);
        if (why !== null) {
          expect(why).not.toBe('');
          refused += 1;
          return;
        }
        const text = notation.write(value);
        expect(equalValues(notation.read(text), value), text).toBe(true);
        expect(equalValues(extendedJson(null).read(text), value), `${text}, without the library`).toBe(true);
        written += 1;
      }),
      { seed: SEED, numRuns: 3_000 },
    );
    expect(written).toBeGreaterThan(1_000);
    expect(refused).toBeGreaterThan(50);
  });

  it("is what MongoDB's own library reads and writes", () => {
    const value = {
      id: new bson.ObjectId('65f0a1b2c3d4e5f6a7b8c9d0'),
      at: new Date('2026-01-02T03:04:05.006Z'),
      early: new Date(-1),
      big: 2n ** 40n,
      price: new Decimal('12.50'),
      raw: Uint8Array.of(1, 2, 255),
      uuid: new bson.UUID('0f8fad5b-d9cb-469f-a165-70867728950e'),
      nan: Number.NaN,
      less: Number.NEGATIVE_INFINITY,
      zero: -0,
      list: [undefined, null, 1.5, 'x'],
      when: new bson.Timestamp({ t: 7, i: 9 }),
      like: new bson.BSONRegExp('^a', 'i'),
    };
    const text = notation.write(value as unknown as Value);
    expect(JSON.parse(text)).toEqual({
      id: { $oid: '65f0a1b2c3d4e5f6a7b8c9d0' },
      at: { $date: '2026-01-02T03:04:05.006Z' },
      early: { $date: { $numberLong: '-1' } },
      big: { $numberLong: '1099511627776' },
      price: { $numberDecimal: '125e-1' },
      raw: { $binary: { base64: 'AQL/', subType: '00' } },
      uuid: { $binary: { base64: 'D4+tW9nLRp+hZXCGdyiVDg==', subType: '04' } },
      nan: { $numberDouble: 'NaN' },
      less: { $numberDouble: '-Infinity' },
      zero: { $numberDouble: '-0.0' },
      list: [{ $undefined: true }, null, 1.5, 'x'],
      when: { $timestamp: { t: 7, i: 9 } },
      like: { $regularExpression: { pattern: '^a', options: 'i' } },
    });
    const theirs = bson.EJSON.parse(text, { relaxed: false }) as Record<string, { toString(): string }>;
    expect(String(theirs['id'])).toBe('65f0a1b2c3d4e5f6a7b8c9d0');
    expect(String(theirs['price'])).toBe('12.5');
    const canonical = bson.EJSON.stringify(theirs, { relaxed: false });
    // Their reader makes null of undefined.
    expect(equalValues(notation.read(canonical), { ...value, list: [null, null, 1.5, 'x'] })).toBe(true);
  });

  it.for(WRAPPERS)('refuses an object of its own whose only field is %s, at any depth', (field) => {
    for (const record of [{ [field]: 1 }, { a: [{ [field]: {} }] }]) {
      expect(notation.why(record)).toContain(field);
    }
    const beside = { a: { [field]: 'x', more: 1 }, $set: { n: 1 } };
    expect(notation.why(beside)).toBeNull();
    expect(notation.read(notation.write(beside as Value))).toEqual(beside);
  });

  it.for([
    '{"$oid":"xyz"}',
    '{"$oid":1}',
    '{"$date":"yesterday"}',
    '{"$date":"2026-01-01T00:00:00.123456Z"}',
    '{"$numberLong":5}',
    '{"$binary":"AAAA"}',
    '{"$binary":{"base64":"*","subType":"00"}}',
    '{"$timestamp":{"t":-1,"i":0}}',
    '{"$regularExpression":{"pattern":"a"}}',
    '[{"$numberDecimal":"many"}]',
  ])('reads no nonsense: %s', (text) => {
    expect(() => notation.read(text)).toThrow(SyntaxError);
  });

  it('names the place of what it cannot say', () => {
    expect(notation.why({ a: [new Set([1])] })).toMatch(/Set at a\[0\]/);
    expect(notation.why({ a: { b: 2n ** 63n } })).toMatch(/bigint at a\.b/);
    expect(notation.why([new Decimal(`1.${'1'.repeat(40)}`)])).toMatch(/Decimal at \[0\]/);
    expect(notation.why(new Decimal('1e-7000'))).toMatch(/Decimal/);
    expect(notation.why([new Decimal('1e-6176'), new Decimal('1e6144'), new Decimal('-1.5e-20')])).toBeNull();
  });

  it('lets a table of SQLite hold what JSON does not know', async () => {
    await using place = await onFile('CREATE TABLE things (id TEXT PRIMARY KEY, extra JSON, body TEXT, oid TEXT)');
    const keys = new KeySpec(['id'], ['id']);
    const columns = { id: 'id', extra: 'extra', oid: { type: 'objectId' as const } };
    const store = await place.open({ columns, document: 'body', json: 'extended' }, keys);
    await store.prepare();
    const oid = new bson.ObjectId() as unknown as Value;
    const record = { id: 'a', oid, extra: { at: new Date(5), n: 1n }, more: [oid, Number.NaN, Uint8Array.of(7)] };
    const key = { id: 'a' };
    const entry = { id: keys.id(key), key, stamp: makeStamp(1, 0, 1), value: record };
    expect(await store.putIfNewer(entry, store.now() + 10_000)).toEqual({ kind: 'applied', previous: 'absent' });
    const found = await store.get(entry.id, key);
    expect(equalValues(found?.value, record)).toBe(true);
    expect(found?.value?.['oid']).toBeInstanceOf(bson.ObjectId);
    expect(place.raw().prepare('SELECT extra, oid FROM things').get()).toEqual({
      extra: '{"at":{"$date":"1970-01-01T00:00:00.005Z"},"n":{"$numberLong":"1"}}',
      oid: String(oid),
    });
  });
});

describe('JSON', () => {
  it('is read without rounding any number', () => {
    expect(parseExactly('{"a":[0.1,1e3,1.50,123456789012345678]}')).toBeUndefined();
    expect(parseExactly('[9007199254740993]')).toBeUndefined();
    expect(parseExactly('[1e400]')).toBeUndefined();
    expect(parseExactly('{"a":[0.30000000000000004,1e21,9007199254740992,1.0,"12345678901234567890"]}')).toEqual({
      a: [0.30000000000000004, 1e21, 9007199254740992, 1, '12345678901234567890'],
    });
  });

  it('of any number that JavaScript has is read as that number', () => {
    fc.assert(
      fc.property(fc.double({ noNaN: true, noDefaultInfinity: true }), (number) => {
        fc.pre(!Object.is(number, -0));
        expect(parseExactly(JSON.stringify([number]))).toEqual([number]);
      }),
      { seed: SEED },
    );
  });
});
