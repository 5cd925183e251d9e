import { type BsonLibrary, bsonText, isBson, reviveBson } from '../../src/core/bson.ts';
import { Decimal, type Value } from '../../src/core/value.ts';
import type { JsonNotation } from './json-text.ts';
import { Unfit } from './unfit.ts';

/** What is bound to a statement and read from a row. */
export type Bound = string | number | bigint | Uint8Array | null;

/**
 * How one column holds one field, exactly: `decode(encode(v))` equals `v`, or `encode` says {@link Unfit}. Neither
 * sees null or undefined, which are the row's affair. `decode` gives undefined for what is no value of the type.
 */
export interface ColumnCodec {
  /** Whether values of the column are ordered as `compareKeys` orders them, and each has one form: may be part of a key. */
  readonly key: boolean;
  /** Whether comparisons need the binary collation said. */
  readonly text: boolean;
  encode(value: Value): Bound | Unfit;
  decode(stored: unknown): Value;
  /** What speaks against a bound value in a key, though the column holds it, as a phrase or null. @default nothing */
  readonly unfitKey?: (bound: Bound) => string | null;
}

/** A codec as keys use it. */
export function asKey(codec: ColumnCodec): ColumnCodec {
  const { unfitKey } = codec;
  if (unfitKey === undefined) return codec;
  const encode: ColumnCodec['encode'] = (value) => {
    const bound = codec.encode(value);
    if (bound instanceof Unfit) return bound;
    const why = unfitKey(bound);
    return why === null ? bound : new Unfit(why);
  };
  return Object.freeze({ ...codec, encode });
}

/** How values are held that SQL has no type for. */
export interface ValueForms {
  readonly json: JsonNotation;
  /** Makes the classes of BSON values, where it is installed. */
  readonly bson: BsonLibrary | null;
}

export const INT64_MAX = 2n ** 63n - 1n;
export const INT64_MIN = -(2n ** 63n);

const fitsInt64 = (value: bigint): boolean => value >= INT64_MIN && value <= INT64_MAX;
const LEAST_SAFE = BigInt(Number.MIN_SAFE_INTEGER);
const MOST_SAFE = BigInt(Number.MAX_SAFE_INTEGER);
const isSafe = (value: bigint): boolean => value >= LEAST_SAFE && value <= MOST_SAFE;

/** A stored integer; a number that the driver may have rounded is none. */
export function storedInteger(stored: unknown): bigint | undefined {
  if (typeof stored === 'bigint') return stored;
  return typeof stored === 'number' && Number.isSafeInteger(stored) ? BigInt(stored) : undefined;
}

/** Well-formed text. */
export const TEXT: ColumnCodec = Object.freeze({
  key: true,
  text: true,
  encode(value: Value): Bound | Unfit {
    if (typeof value !== 'string') return new Unfit('is not text');
    return value.isWellFormed() ? value : new Unfit('has half a character (a lone surrogate)');
  },
  decode: (stored: unknown): Value => (typeof stored === 'string' ? stored : undefined),
});

/** 64-bit integers: numbers as far as numbers are exact, bigints beyond. */
export const INTEGER: ColumnCodec = Object.freeze({
  key: true,
  text: false,
  encode(value: Value): Bound | Unfit {
    if (typeof value === 'bigint') {
      if (!fitsInt64(value)) return new Unfit('is beyond 64 bits');
      return isSafe(value)
        ? new Unfit('is a bigint that would come back as a number; the type "bigint" holds it')
        : value;
    }
    if (typeof value !== 'number') return new Unfit('is not an integer');
    if (Object.is(value, -0)) return new Unfit('is -0');
    if (!Number.isInteger(value)) return new Unfit('is not an integer');
    if (!Number.isSafeInteger(value)) return new Unfit('is a number beyond 2^53');
    return BigInt(value);
  },
  decode(stored: unknown): Value {
    const integer = storedInteger(stored);
    return integer === undefined || !isSafe(integer) ? integer : Number(integer);
  },
});

/** 64-bit integers as bigints. */
export const BIGINT: ColumnCodec = Object.freeze({
  key: true,
  text: false,
  encode(value: Value): Bound | Unfit {
    if (typeof value !== 'bigint') return new Unfit('is not a bigint');
    return fitsInt64(value) ? value : new Unfit('is beyond 64 bits');
  },
  decode: storedInteger,
});

/** Doubles without NaN and -0, which SQL columns do not tell from NULL and 0. */
export const REAL: ColumnCodec = Object.freeze({
  key: true,
  text: false,
  encode(value: Value): Bound | Unfit {
    if (typeof value !== 'number') return new Unfit('is not a number');
    if (Number.isNaN(value)) return new Unfit('is NaN');
    return Object.is(value, -0) ? new Unfit('is -0') : value;
  },
  decode(stored: unknown): Value {
    if (typeof stored === 'number') return stored;
    // A whole double may be held as an integer; an integer that is no double is none of ours.
    return typeof stored === 'bigint' && BigInt(Number(stored)) === stored ? Number(stored) : undefined;
  },
});

/** Truth values held as 1 and 0. */
export const BOOLEAN_AS_INTEGER: ColumnCodec = Object.freeze({
  key: true,
  text: false,
  encode(value: Value): Bound | Unfit {
    return typeof value === 'boolean' ? BigInt(value) : new Unfit('is neither true nor false');
  },
  decode(stored: unknown): Value {
    const integer = storedInteger(stored);
    return integer === 0n ? false : integer === 1n ? true : undefined;
  },
});

/** Bytes. */
export const BYTES: ColumnCodec = Object.freeze({
  key: true,
  text: false,
  encode(value: Value): Bound | Unfit {
    return value instanceof Uint8Array ? Buffer.from(value) : new Unfit('is not bytes');
  },
  decode: (stored: unknown): Value => (stored instanceof Uint8Array ? new Uint8Array(stored) : undefined),
});

/** A column of JSON text; the only kind that can hold a document. */
export interface JsonColumn extends ColumnCodec {
  readonly notation: JsonNotation;
}

/** Whether a codec is one of JSON text. */
export const isJsonColumn = (codec: ColumnCodec): codec is JsonColumn => 'notation' in codec;

/** Anything that a notation of JSON says exactly, as text. */
export function jsonColumn(notation: JsonNotation): JsonColumn {
  return Object.freeze({
    key: false,
    text: false,
    notation,
    encode(value: Value): Bound | Unfit {
      const why = notation.why(value);
      return why === null ? notation.write(value) : new Unfit(why);
    },
    decode(stored: unknown): Value {
      if (typeof stored !== 'string') return undefined;
      try {
        return notation.read(stored);
      } catch {
        return undefined;
      }
    },
  });
}

const OBJECT_ID_HEX = /^[0-9a-f]{24}$/;
const OBJECT_ID_BYTES = 12;

const objectIdHex = (value: Value): string | Unfit =>
  typeof value === 'object' && value !== null && isBson(value) && value._bsontype === 'ObjectId'
    ? bsonText(value)
    : new Unfit('is not an ObjectId');

/** ObjectIds as 24 hex digits. */
export function objectIdAsText(library: BsonLibrary | null): ColumnCodec {
  return Object.freeze({
    key: true,
    text: true,
    encode: (value: Value): Bound | Unfit => objectIdHex(value),
    decode: (stored: unknown): Value =>
      typeof stored === 'string' && OBJECT_ID_HEX.test(stored) ? reviveBson('ObjectId', stored, library) : undefined,
  });
}

/** ObjectIds as 12 bytes. */
export function objectIdAsBytes(library: BsonLibrary | null): ColumnCodec {
  return Object.freeze({
    key: true,
    text: false,
    encode(value: Value): Bound | Unfit {
      const hex = objectIdHex(value);
      return hex instanceof Unfit ? hex : Buffer.from(hex, 'hex');
    },
    decode(stored: unknown): Value {
      if (!(stored instanceof Uint8Array) || stored.byteLength !== OBJECT_ID_BYTES) return undefined;
      return reviveBson('ObjectId', Buffer.from(stored).toString('hex'), library);
    },
  });
}

const UUID_FORM = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** UUIDs as text in their one canonical form. */
export const UUID_TEXT: ColumnCodec = Object.freeze({
  key: true,
  text: true,
  encode(value: Value): Bound | Unfit {
    if (typeof value !== 'string') return new Unfit('is not text');
    return UUID_FORM.test(value) ? value : new Unfit('is not a UUID in lower case with hyphens');
  },
  decode: (stored: unknown): Value => (typeof stored === 'string' && UUID_FORM.test(stored) ? stored : undefined),
});

/** Dates as ISO text in UTC, which sorts as dates do within the years of four digits. */
export const DATE_AS_TEXT: ColumnCodec = Object.freeze({
  key: true,
  text: true,
  encode(value: Value): Bound | Unfit {
    if (!(value instanceof Date)) return new Unfit('is not a date');
    if (Number.isNaN(value.getTime())) return new Unfit('is an invalid date');
    const year = value.getUTCFullYear();
    return year >= 0 && year <= 9999 ? value.toISOString() : new Unfit('is a date outside the years 0 to 9999');
  },
  decode: (stored: unknown): Value => (typeof stored === 'string' ? dateOfText(stored) : undefined),
});

/** Dates as milliseconds since 1970. */
export const DATE_AS_INTEGER: ColumnCodec = Object.freeze({
  key: true,
  text: false,
  encode(value: Value): Bound | Unfit {
    if (!(value instanceof Date)) return new Unfit('is not a date');
    const ms = value.getTime();
    return Number.isNaN(ms) ? new Unfit('is an invalid date') : BigInt(ms);
  },
  decode(stored: unknown): Value {
    const ms = storedInteger(stored);
    return ms === undefined || !isSafe(ms) ? undefined : validDate(Number(ms));
  },
});

/** Exact decimals as text. */
export const DECIMAL_AS_TEXT: ColumnCodec = Object.freeze({
  key: false,
  text: true,
  encode: (value: Value): Bound | Unfit =>
    value instanceof Decimal ? plainDecimal(value) : new Unfit('is not a Decimal'),
  decode: (stored: unknown): Value => (typeof stored === 'string' ? decimalOf(stored) : undefined),
});

const validDate = (ms: number): Date | undefined => {
  const date = new Date(ms);
  return Number.isNaN(date.getTime()) ? undefined : date;
};

const DATE_TEXT = /^(\d{4}-\d{2}-\d{2})(?:[ T](\d{2}:\d{2}(?::\d{2}(?:\.\d{1,3}0*)?)?)(Z|[+-]\d{2}:\d{2})?)?$/;

/** A date of ISO or SQL text (UTC unless it says otherwise); undefined for more than milliseconds, or anything else. */
export function dateOfText(text: string): Date | undefined {
  const match = DATE_TEXT.exec(text);
  if (match === null) return undefined;
  const [, day, time = '00:00', zone = 'Z'] = match;
  const date = validDate(Date.parse(`${day}T${time}${zone}`));
  // Date.parse takes the 30th of February for the 2nd of March.
  return zone === 'Z' && date !== undefined && date.toISOString().slice(0, 10) !== day ? undefined : date;
}

/** A Decimal of text, or undefined. */
export function decimalOf(text: string): Decimal | undefined {
  try {
    return new Decimal(text);
  } catch {
    return undefined;
  }
}

const LONGEST_PLAIN = 400;

/** A decimal as people write it, with an exponent only where that would take hundreds of digits. */
export function plainDecimal({ text }: Decimal): string {
  const [mantissa = '', exponent = '0'] = text.split('e');
  const scale = Number(exponent);
  if (Math.abs(scale) > LONGEST_PLAIN) return text;
  const sign = mantissa.startsWith('-') ? '-' : '';
  const digits = mantissa.slice(sign.length);
  if (scale >= 0) return `${sign}${digits}${'0'.repeat(scale)}`;
  const padded = digits.padStart(1 - scale, '0');
  return `${sign}${padded.slice(0, scale)}.${padded.slice(scale)}`;
}
