import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { equalValues } from '../../src/core/canonical.ts';
import { InvalidRecord } from '../../src/core/errors.ts';
import { cloneValue, Decimal, isPlainObject, type Value } from '../../src/core/value.ts';
import { anyValue } from '../support/arbitrary-value.ts';

/** Everything in a value that somebody could change in place. */
function mutableParts(value: unknown, found = new Set<object>()): Set<object> {
  if (typeof value !== 'object' || value === null || value instanceof Decimal || found.has(value)) return found;
  found.add(value);
  if (value instanceof Uint8Array) found.add(value.buffer);
  for (const item of value instanceof Set ? value : Object.values(value)) mutableParts(item, found);
  return found;
}

const caught = (run: () => unknown): unknown => {
  try {
    return run();
  } catch (error) {
    return error;
  }
};

describe('a clone', () => {
  test('equals its original and shares nothing with it that can be changed', () => {
    fc.assert(
      fc.property(anyValue, (value) => {
        const copy = cloneValue(value);
        expect(equalValues(copy, value)).toBe(true);
        const copied = mutableParts(copy);
        expect([...mutableParts(value)].filter((part) => copied.has(part))).toStrictEqual([]);
      }),
      { numRuns: 1_000 },
    );
  });

  test('takes only the bytes that are seen, not the buffer behind them', () => {
    const copy = cloneValue(Buffer.from('secret neighbour: abc').subarray(18));
    expect(copy).toHaveLength(3);
    expect(copy.buffer.byteLength).toBe(3);
    expect(copy.constructor).toBe(Uint8Array);
  });

  test('keeps a field named __proto__ a field', () => {
    const value = JSON.parse('{"__proto__":{"admin":true},"a":1}') as Value;
    const copy = cloneValue(value) as Record<string, unknown>;
    expect(Object.keys(copy)).toStrictEqual(['__proto__', 'a']);
    expect(copy['admin']).toBeUndefined();
    expect(Object.getPrototypeOf(copy)).toBe(Object.prototype);
  });

  test('makes the same value twice where it stands twice', () => {
    const inner = { n: 1 };
    const copy = cloneValue({ a: inner, b: inner });
    expect(copy.a).not.toBe(copy.b);
    expect(copy).toStrictEqual({ a: { n: 1 }, b: { n: 1 } });
  });

  class Money {
    readonly cents = 1;
  }

  test.each<[string, unknown, string, string]>([
    ['a function', { a: { b: () => 1 } }, 'a.b', 'a.b is a function'],
    ['a symbol', { a: [1, Symbol('s')] }, 'a[1]', 'a[1] is a symbol'],
    ['a class instance', { price: new Money() }, 'price', 'price is a Money'],
    ['a Map', { a: [{ b: new Map() }] }, 'a[0].b', 'a[0].b is a Map'],
    ['a member of a set', { tags: new Set([new Money()]) }, 'tags{0}', 'tags{0} is a Money'],
    ['a promise', Promise.resolve(1), '', 'the record is a Promise'],
    ['a regular expression', { a: /x/ }, 'a', 'a is a RegExp'],
    ['another typed array', { a: new Float64Array(1) }, 'a', 'a is a Float64Array'],
  ])('refuses %s, naming its path', (_, value, path, message) => {
    const error = caught(() => cloneValue(value));
    expect(error).toBeInstanceOf(InvalidRecord);
    expect(error).toMatchObject({ message, details: { path } });
  });

  test('refuses a circle instead of running on', () => {
    const value: Record<string, unknown> = { n: 1 };
    value['self'] = value;
    const error = caught(() => cloneValue(value));
    expect(error).toBeInstanceOf(InvalidRecord);
    expect((error as Error).message).toContain('in itself');
  });

  test('goes 200 levels deep', () => {
    let deep: Value = 1;
    for (let i = 0; i < 200; i += 1) deep = [deep];
    expect(equalValues(cloneValue(deep), deep)).toBe(true);
    expect(() => cloneValue([[deep]])).toThrow(InvalidRecord);
  });
});

describe('a decimal', () => {
  test('is the same for all ways to write one number, and only for them', () => {
    const written = fc.record({
      digits: fc.bigInt({ min: -(10n ** 30n), max: 10n ** 30n }),
      scale: fc.integer({ min: 0, max: 20 }),
      zeros: fc.integer({ min: 0, max: 5 }),
    });
    /** With `scale` digits after the point, and some more zeros on both ends. */
    const write = ({ digits, scale, zeros }: { digits: bigint; scale: number; zeros: number }): string => {
      const sign = digits < 0n ? '-' : '';
      const text = (digits < 0n ? -digits : digits).toString().padStart(scale + 1, '0');
      const point = text.length - scale;
      return `${sign}${'0'.repeat(zeros)}${text.slice(0, point)}.${text.slice(point)}${'0'.repeat(zeros + 1)}`;
    };
    fc.assert(
      fc.property(written, written, (a, b) => {
        const same = a.digits * 10n ** BigInt(b.scale) === b.digits * 10n ** BigInt(a.scale);
        expect(new Decimal(write(a)).text === new Decimal(write(b)).text).toBe(same);
        expect(new Decimal(write(a)).text).toBe(new Decimal(`${a.digits}e-${a.scale}`).text);
        expect(new Decimal(new Decimal(write(a)).text).text).toBe(new Decimal(write(a)).text);
      }),
    );
  });

  test.each([
    ['1.50', '15e-1'],
    ['1000', '1e3'],
    ['-0.00', '0'],
    ['007', '7'],
    [' 12 ', '12'],
    ['1E+2', '1e2'],
    ['123456789012345678901234567890.5', '1234567890123456789012345678905e-1'],
  ])('of %j has the text %j', (text, canonical) => expect(String(new Decimal(text))).toBe(canonical));

  test.each(['', '.', '.5', '5.', '1,5', 'NaN', 'Infinity', '0x10', '1e', '1e1.5', '--1', '1_000', '+1'])(
    'is not %j',
    (text) => {
      expect(() => new Decimal(text)).toThrow(InvalidRecord);
    },
  );

  test('cannot be changed', () => expect(Object.isFrozen(new Decimal('1'))).toBe(true));
});

describe('a plain object', () => {
  class Own {}

  test.each<[string, unknown, boolean]>([
    ['a literal', {}, true],
    ['one without prototype', Object.create(null), true],
    ['an array', [], false],
    ['a date', new Date(), false],
    ['a class instance', new Own(), false],
    ['null', null, false],
    ['text', 'a', false],
    ['a Map', new Map(), false],
    ['an error', new Error('a'), false],
  ])('is or is not %s', (_, value, plain) => expect(isPlainObject(value)).toBe(plain));
});
