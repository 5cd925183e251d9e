import { type BsonLibrary, type BsonValue, bsonText, isBson, reviveBson } from '../../src/core/bson.ts';
import { Decimal, isPlainObject, type Value } from '../../src/core/value.ts';
import { dateOfText, decimalOf, INT64_MAX, INT64_MIN } from './column-codec.ts';
import { type JsonNotation, parseExactly } from './json-text.ts';

/*
 * MongoDB's Extended JSON v2, relaxed: what JSON knows is written as JSON, all else as an object of one field that
 * begins with `$`. An object is such a wrapper exactly if its fields are those of one, whatever is in them: so a
 * record's own object of these fields is refused when it is written, and a wrapper with nonsense in it when it is read.
 */

const MAX_DEPTH = 500;
const DECIMAL128_DIGITS = 34;
const DECIMAL128_EXPONENTS = [-6176, 6111] as const;
const UUID_SUBTYPE = 4;

/** What cannot be written: a phrase after `the field "x"`. */
class Inexpressible extends Error {}

const at = (path: string): string => (path === '' ? '' : ` at ${path}`);

const hexByte = (byte: number): string => byte.toString(16).padStart(2, '0');

const binary = (base64: string, subType: number): unknown => ({ $binary: { base64, subType: hexByte(subType) } });

function dateWrapper(date: Date, path: string): unknown {
  const ms = date.getTime();
  if (Number.isNaN(ms)) throw new Inexpressible(`has an invalid date${at(path)}`);
  const plain = ms >= 0 && date.getUTCFullYear() <= 9999;
  return { $date: plain ? date.toISOString() : { $numberLong: String(ms) } };
}

function decimalWrapper({ text }: Decimal, path: string): unknown {
  const [digits = '', exponent = '0'] = text.replace(/^-/, '').split('e');
  const [least, most] = DECIMAL128_EXPONENTS;
  // Zeros may be added to the digits to bring a great exponent into range.
  const spare = DECIMAL128_DIGITS - digits.length;
  if (spare < 0 || Number(exponent) < least || Number(exponent) > most + spare) {
    throw new Inexpressible(`has a Decimal${at(path)} with more digits than a Decimal128 holds`);
  }
  return { $numberDecimal: text };
}

function bsonWrapper(value: BsonValue): unknown {
  const text = bsonText(value);
  const [head = '', rest = ''] = text.split(':');
  switch (value._bsontype) {
    case 'ObjectId':
      return { $oid: text };
    case 'Timestamp':
      return { $timestamp: { t: Number(head), i: Number(rest) } };
    case 'BSONRegExp': {
      const [pattern, options] = JSON.parse(text) as [string, string];
      return { $regularExpression: { pattern, options } };
    }
    case 'Code':
      return { $code: text };
    case 'BSONSymbol':
      return { $symbol: text };
    case 'MinKey':
      return { $minKey: 1 };
    case 'MaxKey':
      return { $maxKey: 1 };
    case 'Binary':
      return binary(rest, Number(head));
    case 'Decimal128':
      return { $numberDecimal: text };
  }
}

function special(value: object, path: string): unknown {
  if (value instanceof Date) return dateWrapper(value, path);
  if (value instanceof Decimal) return decimalWrapper(value, path);
  if (value instanceof Uint8Array) return binary(Buffer.from(value).toString('base64'), 0);
  if (isBson(value)) {
    if (bsonText(value).isWellFormed()) return bsonWrapper(value);
    throw new Inexpressible(`has half a character (a lone surrogate)${at(path)}`);
  }
  throw new Inexpressible(
    `has a ${value.constructor?.name ?? 'class instance'}${at(path)}, which Extended JSON does not know`,
  );
}

/** A value as JSON knows it. @throws Inexpressible */
function wrapped(value: unknown, path: string, depth: number): unknown {
  switch (typeof value) {
    case 'string':
      if (value.isWellFormed()) return value;
      throw new Inexpressible(`has half a character (a lone surrogate)${at(path)}`);
    case 'boolean':
      return value;
    case 'number':
      if (Object.is(value, -0)) return { $numberDouble: '-0.0' };
      return Number.isFinite(value) ? value : { $numberDouble: String(value) };
    case 'bigint':
      if (value <= INT64_MAX && value >= INT64_MIN) return { $numberLong: String(value) };
      throw new Inexpressible(`has a bigint${at(path)} beyond 64 bits`);
    case 'undefined':
      return { $undefined: true };
    case 'object':
      break;
    default:
      throw new Inexpressible(`has a ${typeof value}${at(path)}, which Extended JSON does not know`);
  }
  if (value === null) return null;
  if (depth > MAX_DEPTH) throw new Inexpressible('is nested too deeply, or in itself');
  if (Array.isArray(value)) return Array.from(value, (item, i) => wrapped(item, `${path}[${i}]`, depth + 1));
  if (!isPlainObject(value)) return special(value, path);
  const fields: Record<string, unknown> = Object.create(null) as Record<string, unknown>;
  for (const field of Object.keys(value)) {
    if (value[field] === undefined) continue;
    if (!field.isWellFormed()) throw new Inexpressible(`has a field name with half a character${at(path)}`);
    fields[field] = wrapped(value[field], path === '' ? field : `${path}.${field}`, depth + 1);
  }
  if (wrapperOf(fields) !== undefined) {
    throw new Inexpressible(`has an object${at(path)} that Extended JSON would take for a ${Object.keys(fields)[0]}`);
  }
  return fields;
}

type Fields = Readonly<Record<string, unknown>>;
type Unwrap = (content: unknown, library: BsonLibrary | null) => Value;

const text = (content: unknown): string => {
  if (typeof content === 'string') return content;
  throw new SyntaxError('not a text');
};
const matching = (content: unknown, form: RegExp): string => {
  if (form.test(text(content))) return content as string;
  throw new SyntaxError('not of its form');
};
const fieldsOf = (content: unknown, ...names: readonly string[]): Fields => {
  if (isPlainObject(content) && Object.keys(content).sort().join() === [...names].sort().join()) return content;
  throw new SyntaxError('not the fields of its kind');
};
const there = <T>(value: T | undefined): T => {
  if (value !== undefined) return value;
  throw new SyntaxError('not a value of its kind');
};
const uint32 = (content: unknown): number => {
  if (Number.isInteger(content) && (content as number) >= 0 && (content as number) < 2 ** 32) return content as number;
  throw new SyntaxError('not a 32-bit number');
};

const long = (content: unknown): bigint => BigInt(matching(content, /^-?\d{1,19}$/));

function readDate(content: unknown): Date {
  if (typeof content === 'string') return there(dateOfText(content));
  const date = new Date(Number(long(fieldsOf(content, '$numberLong')['$numberLong'])));
  return there(Number.isNaN(date.getTime()) ? undefined : date);
}

function readDouble(content: unknown): number {
  const number = Number(matching(content, /^(?:NaN|-?Infinity|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)$/));
  return number;
}

function readBinary(subType: number, base64: string, library: BsonLibrary | null): Value {
  return subType === 0
    ? new Uint8Array(Buffer.from(base64, 'base64'))
    : reviveBson('Binary', `${subType}:${base64}`, library);
}

/** What the content of each wrapper of one field stands for. */
const WRAPPERS: Readonly<Record<string, Unwrap>> = {
  $oid: (content, library) => reviveBson('ObjectId', matching(content, /^[0-9a-f]{24}$/), library),
  $date: readDate,
  $numberLong: long,
  $numberInt: (content) => Number(matching(content, /^-?\d{1,10}$/)),
  $numberDouble: readDouble,
  $numberDecimal(content, library) {
    const decimal = decimalOf(text(content));
    return decimal ?? reviveBson('Decimal128', matching(content, /^(?:NaN|-?Infinity)$/), library);
  },
  $binary(content, library) {
    const { base64, subType } = fieldsOf(content, 'base64', 'subType');
    const form = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;
    return readBinary(Number.parseInt(matching(subType, /^[0-9a-f]{1,2}$/i), 16), matching(base64, form), library);
  },
  $uuid(content, library) {
    const hex = matching(content, /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i).replaceAll('-', '');
    return readBinary(UUID_SUBTYPE, Buffer.from(hex, 'hex').toString('base64'), library);
  },
  $undefined: () => undefined,
  $timestamp(content, library) {
    const { t, i } = fieldsOf(content, 't', 'i');
    return reviveBson('Timestamp', `${uint32(t)}:${uint32(i)}`, library);
  },
  $regularExpression(content, library) {
    const { pattern, options } = fieldsOf(content, 'pattern', 'options');
    return reviveBson('BSONRegExp', JSON.stringify([text(pattern), text(options)]), library);
  },
  $symbol: (content, library) => reviveBson('BSONSymbol', text(content), library),
  $code: (content, library) => reviveBson('Code', text(content), library),
  $minKey: (_content, library) => reviveBson('MinKey', '', library),
  $maxKey: (_content, library) => reviveBson('MaxKey', '', library),
};

/** The wrapper that an object of these fields is. */
function wrapperOf(fields: Fields): string | undefined {
  const [only, ...more] = Object.keys(fields);
  return only !== undefined && more.length === 0 && Object.hasOwn(WRAPPERS, only) ? only : undefined;
}

function unwrapped(json: unknown, library: BsonLibrary | null): Value {
  if (Array.isArray(json)) return json.map((item) => unwrapped(item, library));
  if (!isPlainObject(json)) return json as Value;
  const wrapper = wrapperOf(json);
  if (wrapper !== undefined) return (WRAPPERS[wrapper] as Unwrap)(json[wrapper], library);
  const fields: Record<string, Value> = {};
  for (const field of Object.keys(json)) {
    const value = unwrapped(json[field], library);
    if (field !== '__proto__') fields[field] = value;
    else Object.defineProperty(fields, field, { value, enumerable: true, configurable: true, writable: true });
  }
  return fields;
}

/** Extended JSON; BSON's values come back as classes of `library` where there is one. */
export function extendedJson(library: BsonLibrary | null): JsonNotation {
  return Object.freeze({
    why(value: unknown): string | null {
      try {
        wrapped(value, '', 0);
        return null;
      } catch (error) {
        if (error instanceof Inexpressible) return error.message;
        throw error;
      }
    },
    write: (value: Value) => JSON.stringify(wrapped(value, '', 0)),
    read(json: string): Value {
      const value = parseExactly(json);
      return json.includes('"$') || json.includes('\\u0024') ? unwrapped(value, library) : value;
    },
  });
}
