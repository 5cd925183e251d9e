import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { equalValues } from '../../src/core/canonical.ts';
import { InvalidConfiguration, InvalidRecord } from '../../src/core/errors.ts';
import { keyFromJson, keyToJson } from '../../src/core/key-json.ts';
import { compareKeys, compareText, KeySpec } from '../../src/core/record-key.ts';
import type { Key, KeyPart } from '../../src/core/value.ts';
import { anyKey, anyKeyPart, wellFormedText } from '../support/arbitrary-value.ts';

const spec = new KeySpec(['a', 'b'], ['a']);
const both = new KeySpec(['a', 'b'], ['a', 'b']);

/** Zero has one name in keys. */
const folded = (part: KeyPart): KeyPart => (Object.is(part, -0) ? 0 : part);
const same = (x: Key, y: Key): boolean =>
  Object.keys(x).every((field) => equalValues(folded(x[field]!), folded(y[field]!)));

/** Parts that a careless encoding would confuse. */
const tricky: fc.Arbitrary<KeyPart> = fc.constantFrom<KeyPart>(
  1,
  1n,
  '1',
  '1n',
  true,
  'true',
  'a","b',
  'a',
  'b',
  '","',
  '[',
  ']',
  '\\',
  '\\"',
  '',
  ' ',
  '0',
  0,
  -0,
  0n,
  new Date(0),
  "d'1970-01-01T00:00:00.000Z'",
  '1970-01-01T00:00:00.000Z',
  new Uint8Array([0]),
  "x'00'",
  new Uint8Array(),
  'é',
  'e\u0301',
  '\u0000',
  '\u2028',
  1e21,
  '1e21',
  10n ** 21n,
  Number.MAX_SAFE_INTEGER,
);
const part = fc.oneof(anyKeyPart, tricky);
const key = fc.tuple(part, part).map(([a, b]): Key => ({ a, b }));

describe('the id of a key', () => {
  test('is shared by two keys only if they are the same', () => {
    fc.assert(
      fc.property(key, key, (x, y) => {
        const [one, two] = [spec.keyOf(x), spec.keyOf(y)];
        expect(spec.id(one) === spec.id(two)).toBe(same(one, two));
      }),
      { numRuns: 5_000 },
    );
  });

  test('and the unit of several fields are the same text for the same key, whatever else the record holds', () => {
    fc.assert(
      fc.property(key, wellFormedText, (x, other) => {
        const record = { ...x, other };
        expect(spec.id(spec.keyOf(record))).toBe(spec.id(spec.keyOf(x)));
        expect(both.unit(both.keyOf(record))).toBe(both.id(both.keyOf(x)));
      }),
    );
  });

  test('reads like this', () => {
    expect(spec.id(spec.keyOf({ a: 'ada', b: '7' }))).toBe('["ada","7"]');
    const odd = new KeySpec(['a', 'b', 'c', 'd', 'e'], ['a']);
    const parts = { a: 1, b: 2n, c: true, d: new Date(0), e: new Uint8Array([0, 255]) };
    expect(odd.id(odd.keyOf(parts))).toBe("[1,2n,true,d'1970-01-01T00:00:00.000Z',x'00ff']");
  });

  test('is the same for 0 and -0, and for bytes of any class', () => {
    expect(spec.id(spec.keyOf({ a: -0, b: '' }))).toBe(spec.id(spec.keyOf({ a: 0, b: '' })));
    expect(spec.id(spec.keyOf({ a: Buffer.from([1]), b: '' }))).toBe(
      spec.id(spec.keyOf({ a: new Uint8Array([1]), b: '' })),
    );
  });

  test('differs for a number, the same number as bigint, and as text', () => {
    expect(new Set([1, 1n, '1', true].map((a) => spec.id(spec.keyOf({ a, b: '' })))).size).toBe(4);
  });
});

describe('the target of a call', () => {
  const specs = [
    spec,
    both,
    new KeySpec(['a', 'b'], ['b']),
    new KeySpec(['b'], ['b']),
    new KeySpec(['a', 'b', 'c'], ['c']),
  ];

  test('is the key with the texts that it has by itself', () => {
    fc.assert(
      fc.property(key, part, fc.constantFrom(...specs), (x, c, one) => {
        const record = { ...x, c, other: 1 };
        const alone = one.keyOf(record);
        expect(one.target(record)).toStrictEqual({ key: alone, id: one.id(alone), unit: one.unit(alone) });
      }),
      { numRuns: 2_000 },
    );
  });

  test('is refused for what names no record', () => {
    for (const record of [null, 'ada', {}, { a: 'ada' }, { a: 'ada', b: '\ud800' }, { a: 'ada', b: Number.NaN }]) {
      expect(() => spec.target(record)).toThrow(InvalidRecord);
    }
  });
});

describe('the unit', () => {
  test('of one text goes into the bucket as it is, and any other by its canonical text', () => {
    expect(spec.unit(spec.keyOf({ a: 'ada', b: 1 }))).toBe('ada');
    expect(spec.unit(spec.keyOf({ a: 1, b: 1 }))).toBe('1');
    expect(spec.unit(spec.keyOf({ a: 1n, b: 1 }))).toBe('1n');
    expect(both.unit(both.keyOf({ a: 'ada', b: 1 }))).toBe('["ada",1]');
  });

  test('can be named by its bare value, by its fields, or by a whole record', () => {
    expect(spec.unitKeyOf('ada')).toStrictEqual({ a: 'ada' });
    expect(spec.unitKeyOf({ a: 'ada' })).toStrictEqual({ a: 'ada' });
    expect(spec.unitKeyOf({ a: 'ada', b: '7', n: 1 })).toStrictEqual({ a: 'ada' });
    const when = new Date(5);
    expect(spec.unitKeyOf(when)).toStrictEqual({ a: when });
    expect(() => both.unitKeyOf('ada')).toThrow(InvalidRecord);
    expect(() => spec.unitKeyOf({ b: '7' })).toThrow('"a" is missing');
  });
});

describe('a key', () => {
  test('is a copy: changing the record afterwards changes no key', () => {
    const record = { a: new Date(1), b: new Uint8Array([1]) };
    const taken = spec.keyOf(record);
    record.a.setTime(9);
    record.b[0] = 9;
    expect(taken).toStrictEqual({ a: new Date(1), b: new Uint8Array([1]) });
  });

  test.each<[string, unknown, string]>([
    ['undefined', undefined, 'is missing'],
    ['null', null, 'is missing'],
    ['NaN', Number.NaN, 'cannot name'],
    ['infinity', Number.POSITIVE_INFINITY, 'cannot name'],
    ['half a surrogate pair', 'a\ud800', 'cannot name'],
    ['an invalid date', new Date(Number.NaN), 'cannot name'],
    ['an object', { x: 1 }, 'cannot name'],
    ['an array', ['a'], 'cannot name'],
    ['a function', () => 'a', 'cannot name'],
    ['a symbol', Symbol('a'), 'cannot name'],
  ])('refuses %s, naming the field', (_, b, message) => {
    const error = (() => {
      try {
        return spec.keyOf({ a: 'ada', b });
      } catch (thrown) {
        return thrown;
      }
    })();
    expect(error).toBeInstanceOf(InvalidRecord);
    expect(error).toMatchObject({ details: { field: 'b' } });
    expect((error as Error).message).toContain('"b"');
    expect((error as Error).message).toContain(message);
  });

  test.each([null, undefined, 'ada', 5, () => 1])('is not %j', (source) => {
    expect(() => spec.keyOf(source)).toThrow(InvalidRecord);
  });

  test('comes back from its JSON', () => {
    fc.assert(
      fc.property(anyKey(['a', 'b']), (given) => {
        const taken = spec.keyOf(given);
        const back = keyFromJson(JSON.parse(JSON.stringify(keyToJson(taken))));
        expect(spec.id(back)).toBe(spec.id(taken));
        expect(equalValues(back, taken)).toBe(true);
      }),
    );
  });
});

describe('a key specification', () => {
  test.each<[string, string[], string[], string]>([
    ['no key', [], ['a'], 'the key has no fields'],
    ['no unit', ['a'], [], 'the unit has no fields'],
    ['a field twice', ['a', 'a'], ['a'], 'named twice'],
    ['an empty name', ['a', ''], ['a'], 'no name'],
    ['a unit that is not part of the key', ['a', 'b'], ['c'], '"c" is not part of the key'],
  ])('with %s is refused', (_, fields, unit, message) => {
    expect(() => new KeySpec(fields, unit)).toThrow(InvalidConfiguration);
    expect(() => new KeySpec(fields, unit)).toThrow(message);
  });
});

describe('the order of keys', () => {
  test('of text is that of its UTF-8 bytes', () => {
    fc.assert(
      fc.property(wellFormedText, wellFormedText, (a, b) => {
        expect(Math.sign(compareText(a, b))).toBe(Buffer.compare(Buffer.from(a), Buffer.from(b)));
      }),
      { numRuns: 2_000 },
    );
    expect(compareText('\uffff', '😀')).toBeLessThan(0);
  });

  test('is total: antisymmetric, transitive, and zero only for the same key', () => {
    const order = (x: Key, y: Key): number => Math.sign(compareKeys(['a', 'b'], x, y));
    fc.assert(
      fc.property(key, key, key, (x, y, z) => {
        expect(order(x, y) + order(y, x)).toBe(0);
        if (order(x, y) <= 0 && order(y, z) <= 0) expect(order(x, z)).toBeLessThanOrEqual(0);
        if (same(x, y)) expect(order(x, y)).toBe(0);
      }),
      { numRuns: 2_000 },
    );
  });
});
