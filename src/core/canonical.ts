import { hash } from 'node:crypto';
import { bsonText, codeWithScope, isBson } from './bson.ts';
import { InvalidRecord } from './errors.ts';
import { Decimal, isPlainObject, NoName, Unreadable } from './value.ts';

/*
 * The canonical encoding: one byte string a value, equal exactly when the values are equal by the rules of value.ts.
 * Every item is a tag, and where its length is open a length, then its bytes:
 *
 *   N null   U undefined (in arrays and sets only; an undefined field is an absent one)   T true   F false
 *   D float64, 8 bytes big endian, one NaN; -0 is not 0     I bigint: length, decimal digits
 *   E decimal: length, canonical text                       S string: length, UTF-8 (lone surrogates as WTF-8)
 *   B bytes: length, bytes                                  W Date: 8 bytes of float64 ms (invalid dates are NaN)
 *   A array: count, items                                   Q set: count, items sorted by their encoding
 *   X a type of BSON's own: its name as S, its text as S (see bson.ts)
 *   O object: count, (name as S, value) sorted by the UTF-16 code units of the name
 *
 * Lengths and counts are 4 bytes big endian. Because every item says how long it is, no two values share an encoding.
 */

const TAG = {
  N: 78,
  U: 85,
  T: 84,
  F: 70,
  D: 68,
  I: 73,
  E: 69,
  S: 83,
  B: 66,
  W: 87,
  A: 65,
  Q: 81,
  O: 79,
  X: 88,
} as const;

class Writer {
  buffer: Buffer;
  length = 0;

  constructor(size: number) {
    this.buffer = Buffer.allocUnsafeSlow(size);
  }

  reserve(bytes: number): void {
    if (this.length + bytes <= this.buffer.length) return;
    const grown = Buffer.allocUnsafeSlow(Math.max(this.buffer.length * 2, this.length + bytes));
    this.buffer.copy(grown, 0, 0, this.length);
    this.buffer = grown;
  }

  tag(tag: number): void {
    this.reserve(1);
    this.buffer[this.length] = tag;
    this.length += 1;
  }

  count(tag: number, count: number): void {
    this.reserve(5);
    this.buffer[this.length] = tag;
    this.length = this.buffer.writeUInt32BE(count, this.length + 1);
  }

  double(tag: number, value: number): void {
    this.reserve(9);
    this.buffer[this.length] = tag;
    this.length = this.buffer.writeDoubleBE(Number.isNaN(value) ? Number.NaN : value, this.length + 1);
  }

  text(tag: number, value: string): void {
    this.reserve(5 + value.length * 3);
    this.buffer[this.length] = tag;
    const written = value.isWellFormed()
      ? this.buffer.write(value, this.length + 5, 'utf8')
      : this.#loose(value, this.length + 5);
    this.buffer.writeUInt32BE(written, this.length + 1);
    this.length += 5 + written;
  }

  bytes(tag: number, value: Uint8Array): void {
    this.count(tag, value.byteLength);
    this.reserve(value.byteLength);
    this.buffer.set(value, this.length);
    this.length += value.byteLength;
  }

  /** WTF-8: a lone surrogate takes the three bytes that UTF-8 forbids, so that it equals no other text. */
  #loose(value: string, at: number): number {
    let end = at;
    for (const character of value) {
      const code = character.codePointAt(0) as number;
      if (code >= 0xd800 && code <= 0xdfff) {
        this.buffer[end] = 0xe0 | (code >> 12);
        this.buffer[end + 1] = 0x80 | ((code >> 6) & 0x3f);
        this.buffer[end + 2] = 0x80 | (code & 0x3f);
        end += 3;
      } else {
        end += this.buffer.write(character, end, 'utf8');
      }
    }
    return end - at;
  }
}

function write(out: Writer, value: unknown): void {
  switch (typeof value) {
    case 'string':
      out.text(TAG.S, value);
      return;
    case 'number':
      out.double(TAG.D, value);
      return;
    case 'boolean':
      out.tag(value ? TAG.T : TAG.F);
      return;
    case 'undefined':
      out.tag(TAG.U);
      return;
    case 'bigint':
      out.text(TAG.I, value.toString());
      return;
    case 'object':
      break;
    default:
      throw new InvalidRecord(`a ${typeof value} has no canonical encoding`);
  }
  if (value === null) out.tag(TAG.N);
  else if (Array.isArray(value)) {
    out.count(TAG.A, value.length);
    for (let i = 0; i < value.length; i += 1) write(out, value[i]);
  } else if (value instanceof Date) out.double(TAG.W, value.getTime());
  else if (value instanceof Decimal) out.text(TAG.E, value.text);
  else if (value instanceof Uint8Array) out.bytes(TAG.B, value);
  else if (value instanceof Set) {
    const items = [...value].map(canonicalBytes).sort(Buffer.compare);
    out.count(TAG.Q, items.length);
    for (const item of items) {
      out.reserve(item.length);
      out.length += item.copy(out.buffer, out.length);
    }
  } else if (isPlainObject(value)) {
    const fields = Object.keys(value)
      .filter((field) => value[field] !== undefined)
      .sort();
    out.count(TAG.O, fields.length);
    for (const field of fields) {
      out.text(TAG.S, field);
      write(out, value[field]);
    }
  } else if (isBson(value)) {
    out.tag(TAG.X);
    out.text(TAG.S, value._bsontype);
    out.text(TAG.S, bsonText(value));
  } else if (codeWithScope(value) !== null) {
    // No value of records, but what a store holds must be told apart all the same.
    const { code, scope } = codeWithScope(value) as { readonly code: string; readonly scope: unknown };
    out.tag(TAG.X);
    out.text(TAG.S, 'CodeWithScope');
    out.text(TAG.S, code);
    write(out, scope);
  } else {
    throw new InvalidRecord(`a ${value.constructor?.name ?? 'class instance'} has no canonical encoding`);
  }
}

/** The canonical encoding of a value. @throws InvalidRecord for what is no {@link Value}. */
export function canonicalBytes(value: unknown): Buffer {
  const out = new Writer(256);
  write(out, value);
  return out.buffer.subarray(0, out.length);
}

/** The first 16 bytes of SHA-256 of the canonical encoding, as 32 hex digits. */
export function canonicalHash(value: unknown): string {
  return hash('sha256', canonicalBytes(value), 'hex').slice(0, 32);
}

/** Equality by the rules of value.ts, without encoding either side. */
export function equalValues(a: unknown, b: unknown): boolean {
  if (Object.is(a, b)) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  if (Array.isArray(a)) {
    if (!Array.isArray(b) || a.length !== b.length) return false;
    // Not `every`, which passes over holes: they are undefined, as the encoding says.
    for (let i = 0; i < a.length; i += 1) if (!equalValues(a[i], b[i])) return false;
    return true;
  }
  if (Array.isArray(b)) return false;
  if (isPlainObject(a) && isPlainObject(b)) {
    return equalFields(a, b);
  }
  if (isPlainObject(a) || isPlainObject(b)) return false;
  return canonicalBytes(a).equals(canonicalBytes(b));
}

/** V8 knows what it answers of a loop's own fields; Object.hasOwn was measured to cost twice the whole comparison. */
const owns = Object.prototype.hasOwnProperty;

/** Without lists of their fields: every shadow read compares two records. */
function equalFields(a: Readonly<Record<string, unknown>>, b: Readonly<Record<string, unknown>>): boolean {
  let more = 0;
  // What others have put on Object.prototype is no field of these.
  for (const field in a) {
    if (!owns.call(a, field)) continue;
    const value = a[field];
    if (value === undefined) continue;
    if (!owns.call(b, field) || !equalValues(value, b[field])) return false;
    more += 1;
  }
  for (const field in b) if (owns.call(b, field) && b[field] !== undefined) more -= 1;
  return more === 0;
}

/**
 * A value as one line of text, injective, for keys and units that are not one string:
 * `["a",1,2n,-0,x'00ff',d'2026-01-01T00:00:00.000Z',true]`.
 */
export function canonicalText(value: unknown): string {
  switch (typeof value) {
    case 'string':
      return JSON.stringify(value);
    case 'number':
      return Object.is(value, -0) ? '-0' : String(value);
    case 'bigint':
      return `${value}n`;
    case 'boolean':
    case 'undefined':
      return String(value);
    case 'object':
      break;
    default:
      throw new InvalidRecord(`a ${typeof value} has no canonical text`);
  }
  if (value === null) return 'null';
  if (Array.isArray(value)) return `[${Array.from(value, canonicalText).join(',')}]`;
  if (value instanceof Date) {
    return Number.isNaN(value.getTime()) ? "d'invalid'" : `d'${value.toISOString()}'`;
  }
  if (value instanceof Decimal) return `m'${value.text}'`;
  if (value instanceof NoName) return value.text;
  if (value instanceof Unreadable) return `u${JSON.stringify(value.held)}`;
  if (value instanceof Uint8Array) return `x'${Buffer.from(value).toString('hex')}'`;
  if (value instanceof Set) return `s{${[...value].map(canonicalText).sort().join(',')}}`;
  if (isPlainObject(value)) {
    const fields = Object.keys(value).filter((field) => value[field] !== undefined);
    return `{${fields
      .sort()
      .map((field) => `${JSON.stringify(field)}:${canonicalText(value[field])}`)
      .join(',')}}`;
  }
  if (isBson(value)) return `${value._bsontype}(${JSON.stringify(bsonText(value))})`;
  throw new InvalidRecord(`a ${value.constructor?.name ?? 'class instance'} has no canonical text`);
}
