import fc from 'fast-check';
import {
  Binary,
  BSONRegExp,
  BSONSymbol,
  Code,
  DBRef,
  Decimal128,
  Double,
  Int32,
  Long,
  MaxKey,
  MinKey,
  ObjectId,
  Timestamp,
  UUID,
} from 'mongodb';
import { describe, expect, it } from 'vitest';
import { equalValues } from '../../../src/core/canonical.ts';
import type { Value } from '../../../src/core/value.ts';
import { entry, entryOf, later, onEveryServer } from '../../support/dynamodb-fixture.ts';

const SEED = 20260102;
const HEX = '65f0c0ffee65f0c0ffee65f0';

onEveryServer((t) => {
  describe('values of BSON', () => {
    it.for<[string, () => object, object, string]>([
      ['ObjectId', () => new ObjectId(HEX), { S: HEX }, 'o'],
      ['UUID', () => new UUID('0f0e0d0c-0b0a-4908-8706-050403020100'), { B: expect.any(Uint8Array) }, 'b4'],
      ['Binary of a subtype', () => new Binary(Uint8Array.of(9, 8), 5), { B: Uint8Array.of(9, 8) }, 'b5'],
      ['empty Binary', () => new Binary(new Uint8Array(0), 255), { B: new Uint8Array(0) }, 'b255'],
      ['Timestamp', () => new Timestamp({ t: 4_294_967_295, i: 7 }), { S: '4294967295:7' }, 'Timestamp'],
      [
        'regular expression',
        () => new BSONRegExp('^"a\\\\\n]', 'im'),
        { S: '["^\\"a\\\\\\\\\\n]","im"]' },
        'BSONRegExp',
      ],
      ['Code', () => new Code('() => "x"'), { S: '() => "x"' }, 'Code'],
      ['symbol', () => new BSONSymbol('sym'), { S: 'sym' }, 'BSONSymbol'],
      ['MinKey', () => new MinKey(), { S: '' }, 'MinKey'],
      ['MaxKey', () => new MaxKey(), { S: '' }, 'MaxKey'],
      ['Decimal128 NaN', () => Decimal128.fromString('NaN'), { S: 'NaN' }, 'Decimal128'],
      ['Decimal128 infinity', () => Decimal128.fromString('-Infinity'), { S: '-Infinity' }, 'Decimal128'],
    ])('%s: readable by others, and back as its own class', async ([, make, attribute, tag]) => {
      const store = await t.fresh();
      const one = entry(10, { v: make() as Value, list: [make() as Value], set: new Set([make() as Value]) });
      expect((await store.putIfNewer(one, later(store))).kind).toBe('applied');
      const item = await t.raw();
      expect(item).toMatchObject({ v: attribute, list: { L: [attribute] }, set: { L: [attribute] } });
      expect(JSON.parse(item?.['_t']?.S ?? '')).toEqual({ v: tag, list: { 0: tag }, set: { $: 's', 0: tag } });
      const found = await store.get(one.id, one.key);
      expect(equalValues(found?.value, one.value)).toBe(true);
      expect(found?.value?.['v']?.constructor).toBe(make().constructor);
    });

    it.for<[string, object, RegExp]>([
      ['Long', Long.fromNumber(5), /"v" is a Long \(expected a bigint\)/],
      ['Int32', new Int32(5), /"v" is a Int32 \(expected a number\)/],
      ['Double', new Double(5), /"v" is a Double \(expected a number\)/],
      ['Decimal128', Decimal128.fromString('1.5'), /"v" is a Decimal128 \(expected a Decimal\)/],
      ['DBRef', new DBRef('c', new ObjectId(HEX)), /"v" is a DBRef \(expected a plain object/],
    ])('%s, which a value of JavaScript stands for, is refused and says which', async ([, value, message]) => {
      const store = await t.fresh();
      expect(store.check(entry(10, { v: value as Value }))?.message).toMatch(message);
    });

    it('come back equal, whatever they hold, wherever they stand', async () => {
      const store = await t.fresh();
      const bytes = fc.uint8Array({ maxLength: 20 });
      const text = fc.string({ unit: 'binary' }).filter((one) => one.isWellFormed() && !one.includes('\0'));
      const any: fc.Arbitrary<object> = fc.oneof(
        fc.uint8Array({ minLength: 12, maxLength: 12 }).map((id) => new ObjectId(id)),
        fc.tuple(bytes, fc.integer({ min: 1, max: 255 })).map(([b, type]) => new Binary(b, type)),
        fc.nat().map((i) => new Timestamp({ t: i, i })),
        text.map((one) => new Code(one)),
        text.map((one) => new BSONSymbol(one)),
        fc.tuple(text, fc.subarray(['i', 'm', 's', 'x'])).map(([p, o]) => new BSONRegExp(p, o.join(''))),
      );
      await fc.assert(
        fc.asyncProperty(fc.array(any, { minLength: 1, maxLength: 6 }), async (values) => {
          const [first, ...rest] = values as unknown as [Value, ...Value[]];
          const one = entryOf({ userKey: 'ada', id: 'e', first, rest, deep: { a: [{ rest }] } }, null);
          expect((await store.putPlain(one, later(store))).kind).toBe('applied');
          const found = await store.get(one.id, one.key);
          expect(equalValues(found?.value, one.value)).toBe(true);
        }),
        { seed: SEED, numRuns: 60 },
      );
    });
  });
});
