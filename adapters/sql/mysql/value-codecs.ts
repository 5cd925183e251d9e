import { Decimal, type Value } from '../../../src/core/value.ts';
import {
  type Bound,
  type ColumnCodec,
  DECIMAL_AS_TEXT,
  dateOfText,
  INTEGER,
  plainDecimal,
  REAL,
  storedInteger,
} from '../column-codec.ts';
import { Unfit } from '../unfit.ts';

const FIRST_YEAR = 1_901n;

const isSafe = (value: bigint): boolean =>
  value >= BigInt(Number.MIN_SAFE_INTEGER) && value <= BigInt(Number.MAX_SAFE_INTEGER);

/** An integer as bound, or as the driver gives it: 64 bits and decimals as text. */
const integerOf = (stored: unknown): bigint | undefined =>
  typeof stored === 'string' && /^-?\d+$/.test(stored) ? BigInt(stored) : storedInteger(stored);

/** A codec of integers, which reads them as the driver gives them. */
export const readingIntegers = (codec: ColumnCodec): ColumnCodec =>
  Object.freeze({ ...codec, decode: (stored: unknown): Value => codec.decode(integerOf(stored)) });

const outOf = (value: bigint, least: bigint, most: bigint): Unfit | bigint =>
  value >= least && value <= most ? value : new Unfit(`is not within ${least} and ${most}`);

/** Integers of a range: numbers as far as numbers are exact, bigints beyond. */
export function integers(least: bigint, most: bigint): ColumnCodec {
  return Object.freeze({
    key: true,
    text: false,
    encode(value: Value): Bound | Unfit {
      // Those beyond 64 bits with a sign are fine here.
      const bound = typeof value === 'bigint' && !isSafe(value) ? value : INTEGER.encode(value);
      return typeof bound === 'bigint' ? outOf(bound, least, most) : bound;
    },
    decode(stored: unknown): Value {
      const integer = integerOf(stored);
      return integer === undefined || !isSafe(integer) ? integer : Number(integer);
    },
  });
}

/** Integers of a range as bigints. */
export function bigints(least: bigint, most: bigint): ColumnCodec {
  return Object.freeze({
    key: true,
    text: false,
    encode: (value: Value): Bound | Unfit =>
      typeof value === 'bigint' ? outOf(value, least, most) : new Unfit('is not a bigint'),
    decode: integerOf,
  });
}

/** BIT(1), which comes back as a byte. */
export const booleanAsBit: ColumnCodec = Object.freeze({
  key: false,
  text: false,
  encode: (value: Value): Bound | Unfit =>
    typeof value === 'boolean' ? Buffer.of(Number(value)) : new Unfit('is neither true nor false'),
  decode(stored: unknown): Value {
    if (!(stored instanceof Uint8Array) || stored.byteLength !== 1) return undefined;
    return stored[0] === 1 ? true : stored[0] === 0 ? false : undefined;
  },
});

/** Integers in a BIT(n), which come back as bytes. */
export const inBits = (codec: ColumnCodec): ColumnCodec =>
  Object.freeze({
    ...codec,
    key: false,
    decode(stored: unknown): Value {
      const isBytes = stored instanceof Uint8Array && stored.byteLength > 0;
      return codec.decode(isBytes ? BigInt(`0x${Buffer.from(stored).toString('hex')}`) : stored);
    },
  });

/** YEAR, whose first value is 0 and whose second is 1901. */
export const years = (codec: ColumnCodec): ColumnCodec =>
  Object.freeze({
    ...codec,
    encode(value: Value): Bound | Unfit {
      const bound = codec.encode(value);
      return typeof bound === 'bigint' && bound > 0n && bound < FIRST_YEAR
        ? new Unfit(`is not within ${FIRST_YEAR} and 2155, and not 0`)
        : bound;
    },
  });

const finite = (value: Value, unsigned: boolean): number | Unfit => {
  const bound = REAL.encode(value);
  if (typeof bound !== 'number') return bound as Unfit;
  if (!Number.isFinite(bound)) return new Unfit('is infinite');
  return unsigned && bound < 0 ? new Unfit('is negative') : bound;
};

/**
 * Doubles. Not in keys: they are bound and read as text, which sorts otherwise.
 */
export function doubles(unsigned: boolean): ColumnCodec {
  return Object.freeze({
    key: false,
    text: false,
    encode: (value: Value): Bound | Unfit => finite(value, unsigned),
    decode(stored: unknown): Value {
      return REAL.decode(typeof stored === 'string' && stored !== '' ? Number(stored) : stored);
    },
  });
}

/**
 * Numbers of four bytes. The server rounds them to six digits on their way to a client that does not ask for them as
 * doubles; ours come as text, and a number is one that was rounded.
 */
export function floats(unsigned: boolean): ColumnCodec {
  return Object.freeze({
    key: false,
    text: false,
    encode(value: Value): Bound | Unfit {
      const number = finite(value, unsigned);
      if (number instanceof Unfit) return number;
      return Math.fround(number) === number ? String(number) : new Unfit('has more digits than a FLOAT holds');
    },
    decode: (stored: unknown): Value => (typeof stored === 'string' && stored !== '' ? Number(stored) : undefined),
  });
}

/** Exact decimals that DECIMAL would otherwise round without a word. */
export function decimals(precision: number, scale: number, unsigned: boolean): ColumnCodec {
  return Object.freeze({
    ...DECIMAL_AS_TEXT,
    text: false,
    encode(value: Value): Bound | Unfit {
      if (!(value instanceof Decimal)) return new Unfit('is not a Decimal');
      const plain = plainDecimal(value);
      const [, sign, whole = '', fraction = ''] = /^(-?)0*(\d*)(?:\.(\d*?)0*)?$/.exec(plain) ?? [];
      if (sign === undefined || whole.length > precision - scale || fraction.length > scale) {
        return new Unfit(`has more digits than a DECIMAL(${precision},${scale}) holds`);
      }
      return unsigned && sign === '-' ? new Unfit('is negative') : plain;
    },
  });
}

const FIRST_TIMESTAMP = 1_000;
const LAST_TIMESTAMP = Date.UTC(2038, 0, 19, 3, 14, 7);
const DAY_LENGTH = 10;

/** Dates in the one form that the column gives back: with as many digits of a second as it has. */
export function dates(base: 'datetime' | 'timestamp' | 'date', digits: number): ColumnCodec {
  const unit = base === 'date' ? 86_400_000 : 10 ** Math.max(0, 3 - digits);
  const form = (date: Date): string => {
    const iso = date.toISOString();
    if (base === 'date') return iso.slice(0, DAY_LENGTH);
    const fraction = `${iso.slice(20, 23)}000`.slice(0, digits);
    return `${iso.slice(0, DAY_LENGTH)} ${iso.slice(11, 19)}${digits === 0 ? '' : `.${fraction}`}`;
  };
  return Object.freeze({
    key: true,
    text: false,
    encode(value: Value): Bound | Unfit {
      if (!(value instanceof Date)) return new Unfit('is not a date');
      const ms = value.getTime();
      if (Number.isNaN(ms)) return new Unfit('is an invalid date');
      const year = value.getUTCFullYear();
      if (year < 1 || year > 9999) return new Unfit('is a date outside the years 1 to 9999');
      if (base === 'timestamp' && (ms < FIRST_TIMESTAMP || ms > LAST_TIMESTAMP)) {
        return new Unfit('is a date outside of what a TIMESTAMP holds, 1970 to January 2038');
      }
      if (ms % unit === 0) return form(value);
      return new Unfit(`is more exact than its column of type ${base}${base === 'date' ? '' : `(${digits})`}`);
    },
    decode: (stored: unknown): Value => (typeof stored === 'string' ? dateOfText(stored) : undefined),
  });
}

const TIME_FORM = /^(\d{4}-\d\d-\d\d)T((?:[01]\d|2[0-3])(?::[0-5]\d){2})\.(\d{3}(?:\d{3})?)Z$/;
const STORED_TIME = /^(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d)(?:\.(\d{1,6}))?$/;
const DAY_FORM = /^\d{4}-\d\d-\d\d$/;

/** Whether the server holds a day: also one without a month, or without a day of it, as 0000-00-00. */
function isDay(text: string): boolean {
  const [year = 0, month = 0, day = 0] = DAY_FORM.test(text) ? text.split('-').map(Number) : [-1];
  if (year < 0 || month > 12) return false;
  return day <= (month === 0 ? 31 : new Date(Date.UTC(year, month, 0)).getUTCDate());
}

/** Why a TIMESTAMP does not hold a time that is well-formed, or null. */
function outOfTimestamps(time: string): string | null {
  if (/^[0:.TZ-]+$/.test(time)) return null;
  const ms = dateOfText(`${time.slice(0, 23)}Z`)?.getTime() ?? Number.NaN;
  return ms >= FIRST_TIMESTAMP && ms < LAST_TIMESTAMP + 1_000
    ? null
    : 'is a time outside of what a TIMESTAMP holds, 1970 to January 2038';
}

/**
 * Days and times as text: with six digits of a second where a Date would round, and with the zeros that dates of the
 * server may have in place of a month or day. In keys as far as there is one number of digits, as they are ordered by text.
 */
export function timeTexts(base: 'datetime' | 'timestamp' | 'date', digits: number): ColumnCodec {
  const isDate = base === 'date';
  return Object.freeze({
    key: digits <= 3,
    text: false,
    encode(value: Value): Bound | Unfit {
      const text = typeof value === 'string' ? value : '';
      if (isDate) return isDay(text) ? text : new Unfit('is not a day like 2026-01-31');
      const [, day = '', time, fraction = ''] = TIME_FORM.exec(text) ?? [];
      if (!isDay(day) || /.{3}000$/.test(fraction)) {
        return new Unfit('is not a time like 2026-01-31T23:59:59.123Z (or six digits) in UTC');
      }
      if (fraction.replace(/0+$/, '').length > digits)
        return new Unfit(`has more decimals than the ${digits} of its column`);
      const why = base === 'timestamp' ? outOfTimestamps(text) : null;
      if (why !== null) return new Unfit(why);
      return `${day} ${time}${digits === 0 ? '' : `.${fraction.padEnd(6, '0').slice(0, digits)}`}`;
    },
    decode(stored: unknown): Value {
      if (typeof stored !== 'string') return undefined;
      if (isDate) return isDay(stored) ? stored : undefined;
      const [, day = '', time, fraction = ''] = STORED_TIME.exec(stored) ?? [];
      return isDay(day) ? `${day}T${time}.${fraction.padEnd(6, '0').replace(/000$/, '')}Z` : undefined;
    },
  });
}

/** Times of day and spans in the one form that the column gives back. */
export function times(digits: number): ColumnCodec {
  const form = new RegExp(
    `^-?(?:\\d{2}|[1-7]\\d{2}|8[0-2]\\d|83[0-8]):[0-5]\\d:[0-5]\\d${digits === 0 ? '' : `\\.\\d{${digits}}`}$`,
  );
  const nothing = /^-[0:.]*$/;
  return Object.freeze({
    key: false,
    text: true,
    encode(value: Value): Bound | Unfit {
      if (typeof value !== 'string') return new Unfit('is not text');
      const exact = form.test(value) && !nothing.test(value) && !value.includes('838:59:59.');
      return exact ? value : new Unfit(`is not a time in the form of its column, with ${digits} digits of a second`);
    },
    decode: (stored: unknown): Value => (typeof stored === 'string' ? stored : undefined),
  });
}
