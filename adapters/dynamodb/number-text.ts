import { Decimal } from '../../src/core/value.ts';

/** The most significant digits, and the decimal exponents of the first digit, that DynamoDB's numbers hold. */
const MAX_DIGITS = 38;
const MAX_EXPONENT = 125;
const MIN_EXPONENT = -130;

const FORM = /^-?(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/;

interface Shape {
  /** Significant digits, without zeros at either end; 0 for zero. */
  readonly digits: number;
  /** The decimal exponent of the first significant digit. */
  readonly exponent: number;
}

function shapeOf(text: string): Shape | null {
  const match = FORM.exec(text);
  if (match === null) return null;
  const [, whole = '', fraction = '', exponent = '0'] = match;
  const all = whole + fraction;
  let first = 0;
  while (first < all.length && all.charCodeAt(first) === 48) first += 1;
  if (first === all.length) return { digits: 0, exponent: 0 };
  let last = all.length;
  while (all.charCodeAt(last - 1) === 48) last -= 1;
  return { digits: last - first, exponent: Number(exponent) + whole.length - 1 - first };
}

/** Why DynamoDB cannot hold this number exactly, or null. */
export function numberLimit(text: string): string | null {
  // Nothing this short can pass a limit unless it has an exponent.
  if (text.length <= MAX_DIGITS && !text.includes('e')) return null;
  const shape = shapeOf(text);
  if (shape === null) return 'is no decimal number';
  if (shape.digits > MAX_DIGITS) return `has more than ${MAX_DIGITS} significant digits`;
  if (shape.digits > 0 && shape.exponent > MAX_EXPONENT) return 'is 1e126 or more in magnitude';
  if (shape.digits > 0 && shape.exponent < MIN_EXPONENT) return 'is less than 1e-130 in magnitude';
  return null;
}

/**
 * The bytes that DynamoDB counts for a number: one, and one for each pair of significant digits (pairs stand on even
 * powers of ten, so an even number of digits may straddle one pair more), and one for a minus.
 */
export function numberSize(text: string): number {
  // One digit, the usual case, needs no look at its shape.
  if (text.length === 1) return text === '0' ? 1 : 2;
  const shape = shapeOf(text);
  if (shape === null || shape.digits === 0) return 1;
  const straddles = shape.digits % 2 === 0 && shape.exponent % 2 === 0;
  return 1 + Math.ceil(shape.digits / 2) + (straddles ? 1 : 0) + (text.startsWith('-') ? 1 : 0);
}

/**
 * What a number attribute is when nothing beside it says more: an integer within ±(2^53−1) a number, beyond it a
 * bigint; a fraction a number where a double prints as the same decimal, else a Decimal.
 */
export function naturalNumber(text: string): number | bigint | Decimal {
  const number = Number(text);
  if (String(number) === text && (Number.isSafeInteger(number) || !Number.isInteger(number))) return number;
  const decimal = new Decimal(text);
  const [digits = '0', scale = '0'] = decimal.text.split('e');
  if (!scale.startsWith('-')) {
    const integer = BigInt(digits) * 10n ** BigInt(scale);
    const small = Number(integer);
    return Number.isSafeInteger(small) ? small : integer;
  }
  return Number.isFinite(number) && new Decimal(String(number)).text === decimal.text ? number : decimal;
}

/** The integer that a number attribute holds, or null when it is a fraction. */
export function integerOf(text: string): bigint | null {
  const [digits = '0', scale = '0'] = new Decimal(text).text.split('e');
  return scale.startsWith('-') ? null : BigInt(digits) * 10n ** BigInt(scale);
}
