import { Decimal, type Value } from '../../src/core/value.ts';

/** Parsed, because a literal `{ __proto__: … }` would set the prototype instead of a field. */
const prototypeField = JSON.parse('{"__proto__":{"polluted":true},"constructor":"c","toString":1}') as Value;

/** Values that stores are known to bend; functions, so that every use gets its own. */
export const UNUSUAL_VALUES = {
  'empty text': () => '',
  'empty object': () => ({}),
  'empty array': () => [],
  'nested empties': () => ({ a: {}, b: [], c: '', d: [{}, [], ''], e: { f: { g: {} } } }),
  null: () => null,
  'null in an object': () => ({ a: null, b: [null] }),
  'undefined in an object': () => ({ a: undefined, b: 1 }),
  'undefined in an array': () => [1, undefined, null],
  'true and false': () => [true, false],
  'text of digits': () => ['1', '007', '1e5', 'true', 'null', 'NaN'],
  'accents, emoji and combining marks': () => 'naïve 日本語 😀 👩‍👩‍👧‍👦 e\u0301 \u{10ffff}',
  'composed and decomposed text apart': () => ['\u00e9', 'e\u0301'],
  'trailing blanks': () => ['a', 'a ', 'a  ', ' a', 'a\u00a0'],
  'upper and lower case': () => ['Straße', 'STRASSE', 'i', 'I', 'ı', 'İ'],
  'control characters': () => 'a\tb\nc\rd\u0001e\u007f\u2028\u2029',
  'NUL in text': () => 'a\u0000b',
  'lone surrogate': () => 'a\ud800b',
  'quotes and slashes': () => `'"\`\\/%_;--?:$1 {{}} \${x}`,
  'long text': () => 'x'.repeat(70_000),
  'fields with odd names': () => ({ $set: 1, 'a.b': 2, '': 3, ' ': 4, 'a/b': 5, 'a\'b"c': 6, _id: 7, é: 8, '0': 9 }),
  'a field named __proto__': () => prototypeField,
  'zero and minus zero': () => [0, -0],
  'minus zero': () => -0,
  'whole numbers at 2^53': () => [2 ** 53 - 1, 2 ** 53, 2 ** 53 + 2, -(2 ** 53) + 1],
  'whole numbers beyond 2^64': () => [2 ** 64, 1e21, 123456789012345680000],
  fractions: () => [0.1, 0.30000000000000004, 1 / 3, -2.5, 123456.789],
  'smallest and greatest numbers': () => [Number.MIN_VALUE, Number.MAX_VALUE, Number.EPSILON],
  NaN: () => Number.NaN,
  infinities: () => [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY],
  bigint: () => 12345678901234567890123n,
  'small bigint': () => [1n, 0n, -7n],
  'number and bigint apart': () => [1, 1n, '1'],
  date: () => new Date('2026-02-28T23:59:59.123Z'),
  'dates far away': () => [new Date(-1), new Date(0), new Date('0001-01-01T00:00:00.000Z'), new Date(8.64e15)],
  'invalid date': () => new Date(Number.NaN),
  'date and its text apart': () => [new Date(0), '1970-01-01T00:00:00.000Z', 0],
  bytes: () => Uint8Array.of(0, 1, 127, 128, 255),
  'no bytes': () => new Uint8Array(0),
  decimal: () => new Decimal('1234567890.123456789012345678901234'),
  'decimal and number apart': () => [new Decimal('1.5'), 1.5],
  'decimal of 60 digits': () => new Decimal(`${'1234567890'.repeat(6)}.5`),
  'set of text': () => new Set(['a', 'b', '']),
  'set of numbers': () => new Set([1, 2, 3.5]),
  'empty set': () => new Set<Value>(),
  'mixed set': () => new Set<Value>([1, '1', null, true]),
  'deep nesting': () => {
    let value: Value = 'leaf';
    for (let i = 0; i < 40; i += 1) value = i % 2 === 0 ? [value] : { a: value };
    return value;
  },
  'nested everything': () => ({
    list: [{ at: new Date(1), bytes: Uint8Array.of(1), tags: new Set(['x']), n: 5n, price: new Decimal('9.90') }],
  }),
} as const satisfies Record<string, () => Value>;

/** The name of an unusual value. */
export type UnusualValue = keyof typeof UNUSUAL_VALUES;

/** Text in keys that stores are known to bend or refuse. */
export const UNUSUAL_KEYS = {
  'empty text': '',
  blank: ' ',
  'trailing blank': 'a ',
  'upper case': 'KEY',
  'lower case': 'key',
  quotes: `it's "quoted" \`so\``,
  slashes: 'a/b\\c',
  newlines: 'a\nb\r\nc\t',
  dollar: '$where',
  dots: 'a.b..c.',
  percent: '%_%',
  separators: 'a#b|c,d;e:f\u001f\u001e',
  brackets: '["a",{"b":1}]',
  'the word __proto__': '__proto__',
  'the word constructor': 'constructor',
  accents: 'naïve Ünïcode',
  'combining mark': 'nai\u0308ve',
  emoji: '😀👩‍👩‍👧',
  'a character beyond the basic plane': '\u{1f600}',
  'a character at its end': '\uffee',
  'NUL inside': 'a\u0000b',
  digits: '0012',
  'like a number': '1e5',
  'like null': 'null',
  'long, 200 characters': 'k'.repeat(200),
  'long, 3000 characters': 'k'.repeat(3000),
} as const satisfies Record<string, string>;

/** The name of an unusual text in a key. */
export type UnusualKey = keyof typeof UNUSUAL_KEYS;
