import * as bson from 'bson';
import { describe, expect, it } from 'vitest';
import { type BsonType, bsonText, isBson, reviveBson } from '../../src/core/bson.ts';
import { canonicalBytes, canonicalText, equalValues } from '../../src/core/canonical.ts';
import { keyFromJson, keyToJson } from '../../src/core/key-json.ts';
import { compareKeys, KeySpec } from '../../src/core/record-key.ts';
import { cloneValue, type Key, type Value } from '../../src/core/value.ts';

const HELD: Record<string, () => bson.BSONValue> = {
  objectId: () => new bson.ObjectId('65a1b2c3d4e5f60718293a4b'),
  'another objectId': () => new bson.ObjectId('65a1b2c3d4e5f60718293a4c'),
  timestamp: () => new bson.Timestamp({ t: 4_294_967_295, i: 7 }),
  regex: () => new bson.BSONRegExp('^a/"b', 'im'),
  code: () => new bson.Code('function () { return "x"; }'),
  symbol: () => new bson.BSONSymbol('sym'),
  minKey: () => new bson.MinKey(),
  maxKey: () => new bson.MaxKey(),
  uuid: () => new bson.UUID('0de857d9-53c4-4c1b-92e0-c20d07182b6d'),
  'binary of a subtype': () => new bson.Binary(Buffer.from([1, 2, 0, 255]), 128),
  'empty binary of a subtype': () => new bson.Binary(Buffer.alloc(0), 5),
  'decimal NaN': () => bson.Decimal128.fromString('NaN'),
  'decimal infinity': () => bson.Decimal128.fromString('-Infinity'),
};
const all = Object.entries(HELD);

describe("values of BSON's own types", () => {
  it.for(all)('%s is cloned, and comes back from its text as the same class', ([, make]) => {
    const value = make();
    const copy = cloneValue({ a: [value] }) as unknown as { a: [bson.BSONValue] };
    expect(copy.a[0]).toStrictEqual(value);
    expect(isBson(value)).toBe(true);
    if (!isBson(value)) return;
    const revived = reviveBson(value._bsontype, bsonText(value), bson);
    expect(revived).toStrictEqual(value);
    const standIn = reviveBson(value._bsontype, bsonText(value));
    expect(equalValues(standIn, value)).toBe(true);
    expect(canonicalText(standIn)).toBe(canonicalText(value));
    expect(isBson(standIn as object)).toBe(true);
  });

  it('each have an encoding of their own', () => {
    const values: unknown[] = [...all.map(([, make]) => make()), '65a1b2c3d4e5f60718293a4b', { _bsontype: 'ObjectId' }];
    const encodings = new Set(values.map((value) => canonicalBytes(value).toString('hex')));
    expect(encodings.size).toBe(values.length);
    expect(new Set(values.map(canonicalText)).size).toBe(values.length);
  });

  it.for([
    ['Long', bson.Long.fromNumber(5), 'bigint'],
    ['Double', new bson.Double(5), 'number'],
    ['Int32', new bson.Int32(5), 'number'],
    ['Decimal128', bson.Decimal128.fromString('1.5E+3'), 'Decimal'],
    ['Binary', new bson.Binary(Buffer.from('x'), 0), 'Uint8Array'],
    ['DBRef', new bson.DBRef('c', new bson.ObjectId()), 'plain object'],
    ['Code', new bson.Code('f', { a: 1 }), 'without scope'],
  ] as const)('a %s is refused by its path with what to pass instead', ([, value, instead]) => {
    expect(() => cloneValue({ a: { b: value } })).toThrow(new RegExp(`a\\.b is a .*pass .*${instead}`));
  });

  it('does not take a field called _bsontype for one', () => {
    const value = { _bsontype: 'ObjectId', id: 'x' };
    expect(cloneValue(value)).toEqual(value);
    expect(equalValues(cloneValue(value), value)).toBe(true);
  });

  it('ObjectId and UUID name records, in keys, units and their JSON', () => {
    const spec = new KeySpec(['id'], ['id']);
    const ids: Value[] = [HELD['objectId']?.(), HELD['uuid']?.(), HELD['another objectId']?.()] as unknown as Value[];
    for (const id of ids) {
      const key = spec.keyOf({ id });
      const back = keyFromJson(JSON.parse(JSON.stringify(keyToJson(key))));
      expect(spec.id(back)).toBe(spec.id(key));
      expect(compareKeys(['id'], back, key)).toBe(0);
    }
    expect(() => spec.keyOf({ id: new bson.MinKey() })).toThrow(/cannot name a record/);
    const sorted = [...ids].map((id) => ({ id }) as Key).sort((a, b) => compareKeys(['id'], a, b));
    expect(sorted.map(({ id }) => (id as { _bsontype: BsonType })._bsontype)).toEqual([
      'ObjectId',
      'ObjectId',
      'Binary',
    ]);
  });
});
