import fc from 'fast-check';
import { Decimal, type Key, type KeyPart, type Value } from '../../src/core/value.ts';

/** Text of all kinds: ASCII, any script, lone surrogates, what separators and escapes could confuse. */
export const anyText: fc.Arbitrary<string> = fc.oneof(
  fc.string(),
  fc.string({ unit: 'grapheme' }),
  fc.string({ unit: fc.integer({ min: 0, max: 0xffff }).map((code) => String.fromCharCode(code)) }),
  fc.constantFrom(
    '',
    '"',
    '\\',
    '","',
    '["a"]',
    '1',
    '1n',
    'null',
    'undefined',
    "x'00'",
    '\u0000',
    '\ud800',
    '\\ud800',
    '__proto__',
  ),
);

/** Text that UTF-8 can hold. */
export const wellFormedText: fc.Arbitrary<string> = anyText.filter((text) => text.isWellFormed());

export const anyNumber: fc.Arbitrary<number> = fc.oneof(
  fc.double(),
  fc.integer(),
  fc.constantFrom(0, -0, Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 2 ** 53, 5e-324),
);

export const anyDecimal: fc.Arbitrary<Decimal> = fc
  .tuple(fc.bigInt({ min: -(10n ** 40n), max: 10n ** 40n }), fc.integer({ min: -50, max: 50 }))
  .map(([digits, exponent]) => new Decimal(`${digits}e${exponent}`));

const leaf: fc.Arbitrary<Value> = fc.oneof(
  fc.constantFrom(null, undefined, true, false),
  anyNumber,
  fc.bigInt(),
  fc.constantFrom(0n, 1n, -1n),
  anyText,
  fc.date(),
  fc.constant(new Date(Number.NaN)),
  fc.uint8Array({ maxLength: 8 }),
  anyDecimal,
);

/** Everything that a record may be made of. */
export const anyValue: fc.Arbitrary<Value> = fc.letrec<{ value: Value }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    leaf,
    fc.array(tie('value'), { maxLength: 4 }),
    fc.dictionary(anyText, tie('value'), { maxKeys: 4, noNullPrototype: true }),
    fc.array(leaf, { maxLength: 4 }).map((items) => new Set(items)),
  ),
})).value;

/** A value a key may hold. */
export const anyKeyPart: fc.Arbitrary<KeyPart> = fc.oneof(
  wellFormedText,
  anyNumber.filter((value) => Number.isFinite(value)),
  fc.bigInt(),
  fc.boolean(),
  fc.date({ noInvalidDate: true }),
  fc.uint8Array({ maxLength: 8 }),
);

/** A key of these fields. */
export const anyKey = (fields: readonly string[]): fc.Arbitrary<Key> =>
  fc
    .tuple(...fields.map(() => anyKeyPart))
    .map((parts) => Object.fromEntries(fields.map((field, i) => [field, parts[i] as KeyPart])));
