import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { canonicalBytes, canonicalHash, canonicalText, equalValues } from '../../src/core/canonical.ts';
import { InvalidRecord } from '../../src/core/errors.ts';
import { cloneValue, Decimal, type Value } from '../../src/core/value.ts';
import { anyValue } from '../support/arbitrary-value.ts';

/** Values that are all different from one another. */
const APART: readonly (readonly [string, Value])[] = [
  ['null', null],
  ['undefined', undefined],
  ['false', false],
  ['0', 0],
  ['-0', -0],
  ['NaN', Number.NaN],
  ['1', 1],
  ['1n', 1n],
  ['decimal 1', new Decimal('1')],
  ["'1'", '1'],
  ["''", ''],
  ['the epoch', new Date(0)],
  ['its text', '1970-01-01T00:00:00.000Z'],
  ['its milliseconds', 0.5],
  ['an invalid date', new Date(Number.NaN)],
  ['no bytes', new Uint8Array()],
  ['a zero byte', new Uint8Array([0])],
  ['[]', []],
  ['[undefined]', [undefined]],
  ['[null]', [null]],
  ['[[]]', [[]]],
  ['[1, 2]', [1, 2]],
  ['[2, 1]', [2, 1]],
  ['the empty set', new Set<Value>()],
  ['a set of an empty set', new Set<Value>([new Set<Value>()])],
  ['a set of 1 and 2', new Set([1, 2])],
  ['{}', {}],
  ['{ a: null }', { a: null }],
  ['{ a: 1 }', { a: 1 }],
  ['{ b: 1 }', { b: 1 }],
  ['{ a: { b: 1 } }', { a: { b: 1 } }],
  ['a high surrogate', '\ud800'],
  ['another', '\ud801'],
  ['a low surrogate', '\udc00'],
  ['the replacement character', '\ufffd'],
  ['a pair', '\ud800\udc00'],
  ['an own field __proto__', JSON.parse('{"__proto__":{"a":1}}') as Value],
];

/** Pairs of values that are equal although they are written differently. */
const TOGETHER: readonly (readonly [string, Value, Value])[] = [
  ['an undefined field and an absent one', { a: 1, b: undefined }, { a: 1 }],
  ['fields in another order', { a: 1, b: 2 }, { b: 2, a: 1 }],
  ['members of a set in another order', new Set([1, 'a', null]), new Set([null, 'a', 1])],
  ['NaN and NaN', Number.NaN, 0 / 0],
  ['two invalid dates', new Date(Number.NaN), new Date('no date')],
  ['1.50 and 1.5', new Decimal('1.50'), new Decimal('+1.5'.slice(1))],
  ['1e3 and 1000', new Decimal('1e3'), new Decimal('1000')],
  ['0 and -0 as decimals', new Decimal('-0.00'), new Decimal('0')],
  ['a Buffer and its bytes', Buffer.from([1, 2]), new Uint8Array([1, 2])],
  ['a part of a buffer and the same bytes', new Uint8Array([9, 1, 2, 9]).subarray(1, 3), new Uint8Array([1, 2])],
  [
    'objects with and without a prototype',
    Object.assign(Object.create(null) as Record<string, Value>, { a: 1 }),
    { a: 1 },
  ],
];

describe('the canonical encoding', () => {
  test('is equal exactly when the values are', () => {
    fc.assert(
      fc.property(anyValue, anyValue, (a, b) => {
        expect(canonicalBytes(a).equals(canonicalBytes(b))).toBe(equalValues(a, b));
      }),
      { numRuns: 2_000 },
    );
  });

  test('is equal exactly when the values are, where one is a slight change of the other', () => {
    const shuffled = (value: Value): Value =>
      value !== null && typeof value === 'object' && Object.getPrototypeOf(value) === Object.prototype
        ? Object.fromEntries(
            Object.entries(value)
              .reverse()
              .map(([field, item]) => [field, shuffled(item as Value)]),
          )
        : value;
    fc.assert(
      fc.property(anyValue, anyValue, fc.nat(), (value, other, at) => {
        const copy = cloneValue(value);
        expect(equalValues(value, copy)).toBe(true);
        expect(canonicalHash(copy)).toBe(canonicalHash(value));
        expect(equalValues(shuffled(value), value)).toBe(true);
        expect(canonicalHash(shuffled(value))).toBe(canonicalHash(value));
        const changed = { value, list: [copy, other], at };
        const same = equalValues(value, other);
        expect(equalValues(changed, { value: other, list: [copy, other], at })).toBe(same);
        expect(canonicalBytes(changed).equals(canonicalBytes({ value: other, list: [copy, other], at }))).toBe(same);
      }),
      { numRuns: 1_000 },
    );
  });

  test('tells apart everything that is not the same', () => {
    const confused = APART.flatMap(([a, x], i) =>
      APART.slice(i + 1)
        .filter(([, y]) => equalValues(x, y) || equalValues(y, x) || canonicalBytes(x).equals(canonicalBytes(y)))
        .map(([b]) => `${a} and ${b}`),
    );
    expect(confused).toStrictEqual([]);
  });

  test.each(TOGETHER)('takes %s for equal', (_, a, b) => {
    expect(equalValues(a, b)).toBe(true);
    expect(equalValues(b, a)).toBe(true);
    expect(canonicalHash(a)).toBe(canonicalHash(b));
    expect(equalValues([{ a }], [{ a: b }])).toBe(true);
  });

  test('of an array with holes is that of one with undefined in their place', () => {
    const holes: Value[] = [];
    holes.length = 2;
    expect(equalValues(holes, [undefined, undefined])).toBe(true);
    expect(equalValues(holes, [1, 2])).toBe(false);
    expect(equalValues([1, 2], holes)).toBe(false);
    expect(canonicalBytes(holes)).toStrictEqual(canonicalBytes([undefined, undefined]));
  });

  test('writes these bytes', () => {
    expect(canonicalBytes({ b: 1, a: 'é' }).toString('hex')).toBe(
      `4f00000002${'5300000001'}61${'5300000002'}c3a9${'5300000001'}62${'44'}3ff0000000000000`,
    );
    expect(canonicalBytes([null, undefined, true, false, 12n]).toString('latin1')).toBe(
      'A\u0000\u0000\u0000\u0005NUTFI\u0000\u0000\u0000\u000212',
    );
    expect(canonicalBytes('\ud800a').toString('hex')).toBe('5300000004eda08061');
  });

  /** They bind verdicts and versions that were given out: a change of any is a change of format. */
  test.each<[string, Value]>([
    ['8ce86a6ae65d3692e7305e2c58ac62ee', null],
    ['e49256fa89d79b1425a91b1400b5afa5', {}],
    ['361d13db65f2ad90e9a1aed6b1344558', { userKey: 'ada', id: '7', n: 1 }],
    [
      '6b028a9aa8ace828c07367d2475df2e7',
      { at: new Date(0), big: 12n, bytes: new Uint8Array([0, 255]), price: new Decimal('1.50') },
    ],
    ['cbd9a7066fcca9c90d5d526c68c60ee9', [-0, 0, Number.NaN, null, undefined, true, new Set(['b', 'a'])]],
    ['f31ecb6eac0f9b2e3b870452024a13d3', '\ud800 naïve 😀'],
  ])('keeps the hash %s', (hash, value) => expect(canonicalHash(value)).toBe(hash));

  test('does not depend on how deep or long the value is', () => {
    let deep: Value = 1;
    for (let i = 0; i < 150; i += 1) deep = { deep };
    expect(equalValues(deep, cloneValue(deep))).toBe(true);
    expect(canonicalHash(deep)).toBe(canonicalHash(cloneValue(deep)));
    const long = 'ä😀'.repeat(100_000);
    expect(canonicalBytes(long)).toHaveLength(5 + 600_000);
  });

  test.each([
    ['a function', () => 1],
    ['a symbol', Symbol('a')],
    ['a Map', new Map()],
    ['a class instance', new URL('http://localhost')],
  ])('refuses %s', (_, value) => {
    expect(() => canonicalBytes(value)).toThrow(InvalidRecord);
    expect(() => canonicalBytes({ a: [value] })).toThrow(InvalidRecord);
    expect(() => canonicalText(value)).toThrow(InvalidRecord);
  });
});

describe('the canonical text', () => {
  test('is equal exactly when the values are', () => {
    fc.assert(
      fc.property(anyValue, anyValue, (a, b) => {
        expect(canonicalText(a) === canonicalText(b)).toBe(equalValues(a, b));
      }),
      { numRuns: 2_000 },
    );
  });

  test('tells apart everything that is not the same', () => {
    const confused = APART.flatMap(([a, x], i) =>
      APART.slice(i + 1)
        .filter(([, y]) => canonicalText(x) === canonicalText(y))
        .map(([b]) => `${a} and ${b}`),
    );
    expect(confused).toStrictEqual([]);
  });

  test.each(TOGETHER)('is one for %s', (_, a, b) => expect(canonicalText(a)).toBe(canonicalText(b)));
});
