import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { equalValues } from '../../src/core/canonical.ts';
import { InvalidConfiguration } from '../../src/core/errors.ts';
import { Decimal } from '../../src/core/value.ts';
import { compareRecords, MAX_FIELD_DIFFERENCES, maskValue, validateRules } from '../../verify/compare.ts';
import { digestSeed, RecordDigests } from '../../verify/record-digest.ts';

const value = fc.letrec((tie) => ({
  value: fc.oneof(
    { depthSize: 'small' },
    fc.constantFrom(null, undefined, true, 0, -0, Number.NaN, 1n, 'a', new Decimal('1.50')),
    fc.integer(),
    fc.string({ unit: 'binary' }),
    fc.date({ noInvalidDate: false }),
    fc.uint8Array({ maxLength: 3 }),
    fc.array(tie('value'), { maxLength: 3 }),
    tie('record'),
  ),
  record: fc.dictionary(fc.constantFrom('a', 'b', 'a.b', '*', '', '__proto__', '0'), tie('value'), { maxKeys: 4 }),
}));

describe('compareRecords', () => {
  test('finds no difference exactly when the values are equal', () => {
    fc.assert(
      fc.property(value.record, value.record, (a, b) => {
        expect(compareRecords(a, b).length === 0).toBe(equalValues(a, b));
        expect(compareRecords(a, structuredCloneLike(a))).toEqual([]);
      }),
    );
  });

  test('names the place of each difference', () => {
    const a = { n: 1, payload: { items: [{ id: 1 }, { id: 2 }, { id: 3 }] }, 'a.b': 'x', gone: 1 };
    const b = { n: 1, payload: { items: [{ id: 1 }, { id: 2 }, { id: 4 }, 5] }, 'a.b': 'y', hello: 'joe' };
    expect(compareRecords(a, b)).toEqual([
      { path: 'payload.items[2].id', old: 3, new: 4 },
      { path: 'payload.items[3]', old: undefined, new: 5 },
      { path: '["a.b"]', old: 'x', new: 'y' },
      { path: 'gone', old: 1, new: undefined },
      { path: 'hello', old: undefined, new: 'joe' },
    ]);
  });

  test('takes a missing field for an undefined one, and nothing else for another kind', () => {
    expect(compareRecords({ a: undefined }, {})).toEqual([]);
    for (const [x, y] of [
      [null, undefined],
      [1, 1n],
      [0, -0],
      [1, '1'],
      [new Date(0), '1970-01-01T00:00:00.000Z'],
      [[undefined], []],
    ]) {
      expect(compareRecords({ a: x }, { a: y })).toHaveLength(1);
    }
    expect(compareRecords({ a: Number.NaN, b: new Decimal('1.50') }, { a: Number.NaN, b: new Decimal('1.5') })).toEqual(
      [],
    );
  });

  test('lists a bounded number of differences', () => {
    const many = (n: number) => Object.fromEntries(Array.from({ length: 500 }, (_, i) => [`f${i}`, n]));
    expect(compareRecords(many(1), many(2))).toHaveLength(MAX_FIELD_DIFFERENCES);
  });

  test('leaves out ignored places, with any field or index for a star', () => {
    const a = { at: 1, items: [{ id: 1, at: 1 }, { id: 2 }], 'x.y': 1, '*': 1 };
    const b = {
      at: 2,
      items: [
        { id: 1, at: 9 },
        { id: 3, at: 4 },
      ],
      'x.y': 2,
      '*': 1,
    };
    expect(compareRecords(a, b, { ignore: ['at', 'items[*].at', '["x.y"]'] })).toEqual([
      { path: 'items[1].id', old: 2, new: 3 },
    ]);
    expect(compareRecords(a, b, { ignore: ['at', 'items.*', '["x.y"]'] })).toEqual([]);
    expect(compareRecords(a, b, { ignore: ['["*"]'] })).not.toEqual([]);
    expect(compareRecords(a, b, { ignore: ['*'] })).toEqual([]);
  });

  test('allows numbers to be a little apart where told so', () => {
    const rules = { numericTolerance: { 'prices[*]': 0.01 } };
    expect(compareRecords({ prices: [1, new Decimal('2.5')] }, { prices: [1.009, 2.5] }, rules)).toEqual([]);
    expect(compareRecords({ prices: [1] }, { prices: [1.02] }, rules)).toHaveLength(1);
    expect(compareRecords({ prices: [1] }, { prices: ['1'] }, rules)).toHaveLength(1);
    expect(compareRecords({ price: 1 }, { price: 1.001 }, rules)).toHaveLength(1);
  });

  test('asks the custom rule about what differs, with copies', () => {
    const a = { name: 'Ada', tags: ['x'] };
    const custom = (x: unknown, y: unknown): boolean => {
      (x as { tags: string[] }).tags.push('changed');
      return JSON.stringify(x).length > 0 && (y as { name: string }).name.toLowerCase() === 'ada';
    };
    expect(compareRecords(a, { name: 'ADA', tags: ['x'] }, { custom })).toEqual([]);
    expect(compareRecords(a, { name: 'Bob', tags: ['x'] }, { custom })).toHaveLength(1);
    expect(a.tags).toEqual(['x']);
  });

  test('refuses a custom rule that returns a promise, or anything else but a boolean', () => {
    const answers: unknown[] = [Promise.resolve(true), Promise.reject(new Error('later')), undefined, null, 1, 'true'];
    for (const answer of answers) {
      const custom = (() => answer) as unknown as () => boolean;
      expect(() => compareRecords({ a: 1 }, { a: 2 }, { custom })).toThrow(InvalidConfiguration);
    }
    const custom = (async () => true) as unknown as () => boolean;
    expect(() => validateRules({ custom })).toThrow(InvalidConfiguration);
  });

  test.each([
    ['decimals beyond a double', new Decimal('123456789012345.671'), new Decimal('123456789012345.679'), 0.001, false],
    ['decimals just as far apart', new Decimal('1.1'), new Decimal('1.0'), 0.1, true],
    ['doubles just as far apart', 1.1, 1, 0.1, true],
    ['the twentieth place', new Decimal('1.00000000000000000001'), new Decimal('1'), 0, false],
    ['a bigint and a double', 9_007_199_254_740_993n, 9_007_199_254_740_992, 0, false],
    ['a bigint and a double one apart', 9_007_199_254_740_993n, 9_007_199_254_740_992, 1, true],
    ['very small against nothing', new Decimal('1e-6176'), 0, 1e-300, true],
    ['very large', new Decimal('1e6111'), new Decimal('1'), 1e300, false],
    ['more digits than anybody adds up', new Decimal('1e999999'), new Decimal('1'), 1, false],
    ['no limit', new Decimal('1e300'), 0n, Number.POSITIVE_INFINITY, true],
    ['what is not finite', Number.POSITIVE_INFINITY, 1, 1, false],
    ['no number', '1', 1, 1, false],
  ])('takes a tolerance exactly: %s', (_, a, b, tolerance, equal) => {
    const rules = { numericTolerance: { v: tolerance } };
    expect(compareRecords({ v: a }, { v: b }, rules).length === 0).toBe(equal);
    expect(compareRecords({ v: b }, { v: a }, rules).length === 0).toBe(equal);
  });

  test('tolerates exactly what is no further apart than it says, whatever the numbers', () => {
    const part = fc.tuple(fc.bigInt({ min: -(10n ** 25n), max: 10n ** 25n }), fc.integer({ min: 0, max: 12 }));
    fc.assert(
      fc.property(part, part, fc.integer({ min: 0, max: 1_000_000 }), ([a, x], [b, y], limit) => {
        const decimal = (digits: bigint, places: number) => new Decimal(`${digits}e-${places}`);
        const apart = a * 10n ** BigInt(12 - x) - b * 10n ** BigInt(12 - y);
        // The limit is in thousandths.
        const within = (apart < 0n ? -apart : apart) <= BigInt(limit) * 10n ** 9n;
        const rules = { numericTolerance: { v: limit / 1_000 } };
        expect(compareRecords({ v: decimal(a, x) }, { v: decimal(b, y) }, rules).length === 0).toBe(within);
        const near = decimal(a * 10n ** BigInt(12 - x) + BigInt(limit) * 10n ** 9n, 12);
        expect(compareRecords({ v: decimal(a, x) }, { v: near }, rules)).toEqual([]);
      }),
    );
  });

  test('refuses paths and tolerances that cannot be read', () => {
    for (const path of ['', '.', 'a..b', 'a.', '.a', 'a[', 'a[x]', '["a]', 'a b', 'a[0]b']) {
      expect(() => validateRules({ ignore: [path] }), path).toThrow(InvalidConfiguration);
    }
    for (const tolerance of [-1, Number.NaN]) {
      expect(() => validateRules({ numericTolerance: { a: tolerance } })).toThrow(InvalidConfiguration);
    }
  });

  test('never calls two records different whose digests are equal, whatever is ignored', () => {
    const path = fc.constantFrom('a', 'b', 'a.*', '*.b', 'a[*]', 'a[0]', '["a.b"]', '["__proto__"]', '["0"]');
    fc.assert(
      fc.property(value.record, value.record, fc.array(path, { maxLength: 3 }), (a, b, ignore) => {
        const rules = { ignore };
        const digests = new RecordDigests(rules, digestSeed(Math.random));
        const digest = (record: unknown) => digests.text('k', record as never);
        if (digest(a) === digest(b)) expect(compareRecords(a, b, rules)).toEqual([]);
      }),
      { numRuns: 500 },
    );
  });
});

test('a masked value shows type and length only', () => {
  const values = ['secret', 12, 1n, null, undefined, true, [1, 2], { a: 1 }, new Date(), new Uint8Array(3)];
  expect(values.map(maskValue)).toEqual(
    'string(6) number bigint null undefined boolean array(2) object(1) date bytes(3)'.split(' '),
  );
});

/** The same value built anew with the fields in another order. */
function structuredCloneLike(input: unknown): unknown {
  if (Array.isArray(input)) return input.map(structuredCloneLike);
  if (typeof input !== 'object' || input === null) return input;
  if (Object.getPrototypeOf(input) !== Object.prototype && Object.getPrototypeOf(input) !== null) return input;
  const result: Record<string, unknown> = Object.create(null);
  for (const [field, item] of Object.entries(input).reverse()) result[field] = structuredCloneLike(item);
  return result;
}
