import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Attribute, Item, Tag } from '../../../adapters/dynamodb/attribute.ts';
import { Marshaller, Unstorable } from '../../../adapters/dynamodb/marshal.ts';
import { naturalNumber, numberLimit, numberSize } from '../../../adapters/dynamodb/number-text.ts';
import { readTags, unmarshal } from '../../../adapters/dynamodb/unmarshal.ts';
import { equalValues } from '../../../src/core/canonical.ts';
import { Decimal, type Value } from '../../../src/core/value.ts';

const SEED = 20260101;

const marshal = (value: unknown): { attribute: Attribute; tag: Tag | undefined; size: number } => {
  const marshaller = new Marshaller();
  const attribute = marshaller.field('f', value);
  return { attribute, tag: marshaller.tag, size: marshaller.size - 1 };
};

/** As through the tag attribute: JSON, and a server that prints numbers in full. */
const roundTrip = (value: unknown): Value => {
  const { attribute, tag } = marshal(value);
  const tags = tag === undefined ? undefined : readTags({ S: JSON.stringify({ f: tag }) });
  return unmarshal(normalized(attribute), tags?.['f']);
};

/** DynamoDB gives numbers back without exponents and superfluous zeros. */
function plainDigits(text: string): string {
  const { text: canonical } = new Decimal(text);
  const [digits = '0', scale = '0'] = canonical.split('e');
  const sign = digits.startsWith('-') ? '-' : '';
  const bare = digits.slice(sign.length);
  const places = Number(scale);
  if (places >= 0) return `${sign}${bare}${'0'.repeat(places)}`;
  const padded = bare.padStart(1 - places, '0');
  return `${sign}${padded.slice(0, places)}.${padded.slice(places)}`;
}

function normalized(attribute: Attribute): Attribute {
  if ('N' in attribute) return { N: plainDigits(attribute.N) };
  if ('NS' in attribute) return { NS: attribute.NS.map(plainDigits).reverse() };
  if ('L' in attribute) return { L: attribute.L.map(normalized) };
  if ('M' in attribute) {
    return { M: Object.fromEntries(Object.entries(attribute.M).map(([k, v]) => [k, normalized(v)])) as Item };
  }
  return attribute;
}

const number = fc.oneof(
  fc.double().filter((n) => n === 0 || !Number.isFinite(n) || (Math.abs(n) < 1e126 && Math.abs(n) >= 1e-130)),
  fc.integer(),
  fc.constantFrom(
    -0,
    2 ** 53,
    -(2 ** 53),
    2 ** 53 - 1,
    1e21,
    1e22,
    1e125,
    1e-130,
    Number.NaN,
    Number.POSITIVE_INFINITY,
  ),
);
const bigint = fc.oneof(fc.bigInt({ min: -(10n ** 38n), max: 10n ** 38n }), fc.bigInt({ min: -9n, max: 9n }));
const decimal = fc
  .tuple(fc.bigInt({ min: -(10n ** 38n) + 1n, max: 10n ** 38n - 1n }), fc.integer({ min: -90, max: 80 }))
  .map(([digits, scale]) => new Decimal(`${digits}e${scale}`));
const text = fc.oneof(fc.string({ unit: 'binary' }), fc.string(), fc.constantFrom('', 'NaN', '\ud800', 'a\udc00b'));
const leaf: fc.Arbitrary<Value> = fc.oneof(
  number,
  bigint,
  decimal,
  text,
  fc.boolean(),
  fc.constant(null),
  fc.constant(undefined),
  fc.date({ noInvalidDate: false }),
  fc.uint8Array({ maxLength: 8 }),
);
const fieldName = fc
  .oneof(
    fc.string({ unit: 'binary', minLength: 1, maxLength: 6 }),
    fc.constantFrom('$', '0', 'toString', 'constructor'),
  )
  .filter((name) => name !== '__proto__' && name.isWellFormed());
const { value } = fc.letrec<{ value: Value }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    leaf,
    fc.array(tie('value'), { maxLength: 4 }),
    fc.dictionary(fieldName, tie('value'), { maxKeys: 4, noNullPrototype: false }),
    fc.array(tie('value'), { maxLength: 4 }).map((items) => new Set(items)),
    fc.array(fc.integer(), { maxLength: 4 }).map((items) => new Set(items)),
    fc.array(text, { maxLength: 4 }).map((items) => new Set(items)),
  ),
}));

describe('values as attributes', () => {
  it('come back exactly as they were, whatever they are made of', () => {
    fc.assert(
      fc.property(value, (original) => {
        const back = roundTrip(original);
        if (!equalValues(back, original)) expect(back).toEqual(original);
        expect(equalValues(back, original)).toBe(true);
      }),
      { seed: SEED, numRuns: 3_000 },
    );
  });

  it.for<[string, Value, Attribute]>([
    ['text', 'abc', { S: 'abc' }],
    ['empty text', '', { S: '' }],
    ['an integer', 42, { N: '42' }],
    ['a fraction', 0.1, { N: '0.1' }],
    ['a large bigint', 2n ** 64n, { N: '18446744073709551616' }],
    ['a fraction of many digits', new Decimal('0.12345678901234567890'), { N: '1234567890123456789e-19' }],
    ['a set of text', new Set(['a', 'b']), { SS: ['a', 'b'] }],
    ['a set of numbers', new Set([1, 2.5]), { NS: ['1', '2.5'] }],
    ['null', null, { NULL: true }],
    ['a list', [1, 'a'], { L: [{ N: '1' }, { S: 'a' }] }],
    ['an object', { a: true }, { M: { a: { BOOL: true } } }],
  ])('%s is a natural attribute with nothing beside it', ([, original, attribute]) => {
    const made = marshal(original);
    expect(made.attribute).toEqual(attribute);
    expect(made.tag).toBeUndefined();
  });

  it.for<[string, Value, Attribute]>([
    ['a small bigint', 5n, { N: '5' }],
    ['a Date', new Date(0), { S: '1970-01-01T00:00:00.000Z' }],
    ['minus zero', -0, { N: '0' }],
    ['NaN', Number.NaN, { S: 'NaN' }],
    ['an empty set', new Set(), { L: [] }],
    ['a Decimal that a double holds', new Decimal('1.5'), { N: '15e-1' }],
  ])('%s stays readable and carries a tag', ([, original, attribute]) => {
    const made = marshal(original);
    expect(made.attribute).toEqual(attribute);
    expect(made.tag).toBeDefined();
  });

  it('what others wrote is read by the documented rule', () => {
    expect(naturalNumber('9007199254740991')).toBe(2 ** 53 - 1);
    expect(naturalNumber('9007199254740993')).toBe(9007199254740993n);
    expect(naturalNumber('100000000000000000000000')).toBe(10n ** 23n);
    expect(naturalNumber('0.30000000000000004')).toBe(0.30000000000000004);
    expect(naturalNumber('0.3000000000000000000000000001')).toEqual(new Decimal('0.3000000000000000000000000001'));
    expect(naturalNumber('1.50')).toBe(1.5);
  });

  it('tags that no longer fit what others wrote are ignored', () => {
    expect(unmarshal({ S: 'not a date' }, 'd')).toBe('not a date');
    expect(unmarshal({ S: 'text' }, 'i')).toBe('text');
    expect(unmarshal({ N: '1.5' }, 'i')).toBe(1.5);
    expect(unmarshal({ N: '7' }, '-')).toBe(7);
    expect(unmarshal({ N: '7' }, { $: 's' })).toBe(7);
    expect(unmarshal({ S: 'no id' }, 'o')).toBe('no id');
    expect(unmarshal({ S: '1:x' }, 'Timestamp')).toBe('1:x');
    expect(unmarshal({ S: '["a"]' }, 'BSONRegExp')).toBe('["a"]');
    expect(unmarshal({ S: 'b' }, 'b4')).toBe('b');
    expect(unmarshal({ B: Uint8Array.of(1) }, 'b256')).toEqual(Uint8Array.of(1));
    for (const text of ['{}', '[]', '5', '[{"L":5}]', 'x', '[{"X":1}]']) expect(unmarshal({ S: text }, 'j')).toBe(text);
    expect(readTags({ S: 'not json' })).toBeUndefined();
    expect(readTags({ N: '1' })).toBeUndefined();
  });

  it.for<[string, unknown, RegExp]>([
    ['numbers of 1e126 and more', { a: 1e126 }, /"f\.a" is 1e126 or more/],
    ['numbers below 1e-130', [1e-131], /"f\[0\]" is less than 1e-130/],
    ['more than 38 digits', 10n ** 38n + 1n, /"f" has more than 38/],
    ['decimals of more than 38 digits', new Decimal(`0.${'3'.repeat(39)}`), /"f" has more than 38/],
    ['functions', { a: [{ b: () => 1 }] }, /"f\.a\[0\]\.b" is a function/],
    ['instances', { a: new Map() }, /"f\.a" is a Map/],
  ])('%s are refused by name', ([, original, message]) => {
    expect(() => marshal(original)).toThrow(Unstorable);
    expect(() => marshal(original)).toThrow(message);
  });

  it('below level 32, or with names that DynamoDB refuses, are packed into one text', () => {
    const nest = (levels: number, leaf: Value): Value => (levels === 0 ? leaf : [nest(levels - 1, leaf)]);
    expect(marshal(nest(31, 1)).tag).toBeUndefined();
    const { attribute } = marshal(nest(33, new Date(0)));
    let inner: Attribute = attribute;
    for (let level = 1; level < 32; level += 1) inner = 'L' in inner ? (inner.L[0] as Attribute) : inner;
    expect(inner).toEqual({ S: '[{"L":[{"L":[{"S":"1970-01-01T00:00:00.000Z"}]}]},{"0":{"0":"d"}}]' });
    const odd: Value[] = [
      nest(150, { at: new Date(1), bytes: Uint8Array.of(1), text: '\ud800', set: new Set([1n]) }),
      { a: { '': 1, b: new Set([Uint8Array.of(1), Uint8Array.of(2)]) } },
      { a: { '\udc00': 'x' } },
      JSON.parse('{"a":{"__proto__":{"x":1},"B":"AA=="}}') as Value,
      { a: { ['n'.repeat(65_536)]: 1 }, b: [{ ['é'.repeat(32_767)]: 2n }] },
    ];
    for (const value of odd) {
      const back = roundTrip(value);
      expect(equalValues(back, value)).toBe(true);
    }
    expect(() => marshal(nest(200, 1))).toThrow(/deeper than 200/);
    const circle: Value[] = [];
    circle.push(circle);
    expect(() => marshal(circle)).toThrow(Unstorable);
  });

  it('have the size that DynamoDB counts', () => {
    const sizes: [Value, number][] = [
      ['abc', 3],
      ['é😀', 6],
      [null, 1],
      [true, 1],
      [0, 1],
      [1, 2],
      [-1, 3],
      [12, 2],
      [120, 3],
      [123, 3],
      [1234, 3],
      [100, 2],
      [Uint8Array.of(1, 2), 2],
      [[], 3],
      [['ab', 1], 3 + 2 + 2 + 2],
      [{ ab: 'c' }, 3 + 1 + 2 + 1],
      [new Set(['a', 'bc']), 3],
    ];
    for (const [original, size] of sizes) expect(marshal(original).size, String(original)).toBe(size);
    expect(numberSize('1e2')).toBe(numberSize('100'));
    expect(numberLimit('1e125')).toBeNull();
  });
});
