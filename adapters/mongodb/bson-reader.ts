import type * as Driver from 'mongodb';
import { Decimal, type StoredRecord, Unreadable, type Value } from '../../src/core/value.ts';

/** The driver, loaded when a store is made. */
export type DriverModule = typeof Driver;

/** A document as the server sent it. */
export type RawDocument = Uint8Array;

/** What a document becomes: a record's values, or the driver's objects that write the very same bytes. */
interface Target {
  /** An empty one, and how a field is added to it. */
  document(): object;
  set(document: object, field: string, value: unknown): void;
  number(value: number, isInteger: boolean): unknown;
  long(value: bigint): unknown;
  bytes(value: Uint8Array): unknown;
  date(ms: bigint): unknown;
  decimal(bytes: Uint8Array): unknown;
  /** What no value of JavaScript can tell. */
  unreadable(what: string, held: string): unknown;
}

const MOST_MS = 8_640_000_000_000_000n;
const isDate = (ms: bigint): boolean => ms >= -MOST_MS && ms <= MOST_MS;
const MOST_SAFE = BigInt(Number.MAX_SAFE_INTEGER);
const UUID_TYPE = 4;
const UUID_BYTES = 16;
/** A subtype whose bytes repeat their length. */
const OLD_BINARY_TYPE = 2;
const REPLACEMENT = '\ufffd';

/** Sets a field of one's own, also one named `__proto__`. */
export function setOwn(target: object, field: string, value: unknown): void {
  if (field === '__proto__') {
    Object.defineProperty(target, field, { value, enumerable: true, configurable: true, writable: true });
  } else {
    (target as Record<string, unknown>)[field] = value;
  }
}

/**
 * Reads BSON. The driver's own reading loses what it takes for conveniences: `{ $ref, $id }` becomes a DBRef that
 * splits dotted names, int and double and long become one number, the order of digit-like fields is lost.
 */
export class BsonReader {
  readonly #driver: DriverModule;
  readonly #values: Target;
  readonly #exact: Target;
  /** What the record that was read last holds and no value can tell; null where all is told. */
  unreadable: string | null = null;

  constructor(driver: DriverModule, int64: 'bigint' | 'number') {
    this.#driver = driver;
    this.#values = {
      document: () => ({}),
      set: setOwn,
      number: (value) => value,
      long: (value) => (int64 === 'number' && value >= -MOST_SAFE && value <= MOST_SAFE ? Number(value) : value),
      bytes: (value) => value,
      date: (ms) => (isDate(ms) ? new Date(Number(ms)) : this.#values.unreadable('a date out of range', `${ms} ms`)),
      decimal: (bytes) => {
        const decimal = new driver.Decimal128(bytes);
        const text = decimal.toString();
        return /^-?\d/.test(text) ? new Decimal(text) : driver.Decimal128.fromString(text);
      },
      unreadable: (what, held) => {
        this.unreadable ??= what;
        return new Unreadable(held);
      },
    };
    this.#exact = {
      document: () => new Map<string, unknown>(),
      set: (document, field, value) => (document as Map<string, unknown>).set(field, value),
      number: (value, isInteger) => (isInteger ? new driver.Int32(value) : new driver.Double(value)),
      long: (value) => driver.Long.fromBigInt(value),
      bytes: (value) => new driver.Binary(value, 0),
      date: (ms) => (isDate(ms) ? new Date(Number(ms)) : this.#exact.unreadable('a date out of range', `${ms} ms`)),
      decimal: (bytes) => new driver.Decimal128(bytes),
      unreadable: (_what, held) => new Unreadable(held),
    };
  }

  /** A document as values. Shares no bytes with `raw`. */
  record(raw: RawDocument): StoredRecord {
    this.unreadable = null;
    return new Cursor(raw, this.#driver, this.#values).document() as StoredRecord;
  }

  /** A document as the driver writes it again, field for field in the same order. */
  exact(raw: RawDocument): Map<string, unknown> {
    return new Cursor(raw, this.#driver, this.#exact).document() as Map<string, unknown>;
  }

  /** A document that went through the driver, as values. */
  revived(document: object): StoredRecord {
    return this.record(this.#driver.BSON.serialize(document));
  }
}

/** Names of fields that were read, by a hash of their bytes; a power of two. */
const NAMES = 1_024;
const LONGEST_NAME = 64;
const NAMES_KNOWN: ({ readonly text: string; readonly bytes: Uint8Array } | undefined)[] = new Array(NAMES);

/** Whether a text that holds what stands for bytes that are none was written so. */
const isText = (text: string, bytes: Buffer, from: number, end: number): boolean =>
  Buffer.from(text).equals(bytes.subarray(from, end));

function isAt(name: Uint8Array, bytes: Uint8Array, from: number, end: number): boolean {
  if (name.length !== end - from) return false;
  for (let i = 0; i < name.length; i += 1) if (name[i] !== bytes[from + i]) return false;
  return true;
}

class Cursor {
  readonly #bytes: Buffer;
  readonly #driver: DriverModule;
  readonly #target: Target;
  #at = 0;

  constructor(raw: RawDocument, driver: DriverModule, target: Target) {
    this.#bytes = Buffer.from(raw.buffer, raw.byteOffset, raw.byteLength);
    this.#driver = driver;
    this.#target = target;
  }

  document(): unknown {
    const target = this.#target;
    const result = target.document();
    this.#at += 4;
    for (;;) {
      const type = this.#bytes[this.#at] as number;
      this.#at += 1;
      if (type === 0) return result;
      const name = this.#name();
      target.set(result, name, this.#value(type));
    }
  }

  #array(): unknown[] {
    this.#at += 4;
    const items: unknown[] = [];
    for (;;) {
      const type = this.#bytes[this.#at] as number;
      this.#at += 1;
      if (type === 0) return items;
      // The names of items are their numbers.
      this.#at = this.#bytes.indexOf(0, this.#at) + 1;
      if (this.#at === 0) throw new RangeError('BSON that ends too early');
      items.push(this.#value(type));
    }
  }

  /** A name of a field: mostly one that was read before, and then no text is made of it again. */
  #name(): string {
    const bytes = this.#bytes;
    const from = this.#at;
    let hash = 0;
    let end = from;
    for (; end < bytes.length && bytes[end] !== 0; end += 1) {
      hash = Math.imul(hash ^ (bytes[end] as number), 0x9e3779b1);
    }
    this.#at = end + 1;
    const place = (hash ^ (hash >>> 16)) & (NAMES - 1);
    const known = NAMES_KNOWN[place];
    if (known !== undefined && isAt(known.bytes, bytes, from, end)) return known.text;
    const text = bytes.toString('utf8', from, end);
    if (text.includes(REPLACEMENT) && !isText(text, bytes, from, end)) {
      this.#target.unreadable('a name or a pattern that is not UTF-8', '');
      // Two of them are not to become one.
      return `${text} ${bytes.toString('hex', from, end)}`;
    }
    if (end - from <= LONGEST_NAME) NAMES_KNOWN[place] = { text, bytes: Uint8Array.from(bytes.subarray(from, end)) };
    return text;
  }

  #int(): number {
    const value = this.#bytes.readInt32LE(this.#at);
    this.#at += 4;
    return value;
  }

  #long(): bigint {
    const value = this.#bytes.readBigInt64LE(this.#at);
    this.#at += 8;
    return value;
  }

  #take(length: number): Uint8Array {
    const from = this.#at;
    this.#at += length;
    return new Uint8Array(this.#bytes.subarray(from, from + length));
  }

  #text(): unknown {
    const length = this.#int();
    const from = this.#at;
    const bytes = this.#bytes;
    const end = from + length - 1;
    this.#at += length;
    const text = bytes.toString('utf8', from, end);
    if (!text.includes(REPLACEMENT) || isText(text, bytes, from, end)) return text;
    return this.#target.unreadable('text that is not UTF-8', bytes.toString('hex', from, end));
  }

  #binary(): unknown {
    let length = this.#int();
    const subType = this.#bytes[this.#at] as number;
    this.#at += 1;
    if (subType === OLD_BINARY_TYPE) length = this.#int();
    const bytes = this.#take(length);
    if (subType === 0) return this.#target.bytes(bytes);
    return subType === UUID_TYPE && length === UUID_BYTES
      ? new this.#driver.UUID(bytes)
      : new this.#driver.Binary(bytes, subType);
  }

  #value(type: number): unknown {
    const driver = this.#driver;
    switch (type) {
      case 0x01: {
        const value = this.#bytes.readDoubleLE(this.#at);
        this.#at += 8;
        return this.#target.number(value, false);
      }
      case 0x02:
        return this.#text();
      case 0x03:
        return this.document();
      case 0x04:
        return this.#array();
      case 0x05:
        return this.#binary();
      case 0x06:
        return undefined;
      case 0x07:
        return new driver.ObjectId(this.#take(12));
      case 0x08:
        this.#at += 1;
        return this.#bytes[this.#at - 1] === 1;
      case 0x09:
        return this.#target.date(this.#long());
      case 0x0a:
        return null;
      case 0x0b:
        return new driver.BSONRegExp(this.#name(), this.#name());
      case 0x0c: {
        const name = this.#text();
        const id = new driver.ObjectId(this.#take(12));
        return typeof name === 'string' ? new driver.DBRef(name, id) : name;
      }
      case 0x0d:
        return this.#symbolic((code) => new driver.Code(code));
      case 0x0e:
        return this.#symbolic((text) => new driver.BSONSymbol(text));
      case 0x0f: {
        this.#at += 4;
        const code = this.#text();
        const scope = this.document() as Driver.Document;
        return typeof code === 'string' ? new driver.Code(code, scope) : code;
      }
      case 0x10:
        return this.#target.number(this.#int(), true);
      case 0x11: {
        const i = this.#bytes.readUInt32LE(this.#at);
        const t = this.#bytes.readUInt32LE(this.#at + 4);
        this.#at += 8;
        return new driver.Timestamp({ t, i });
      }
      case 0x12:
        return this.#target.long(this.#long());
      case 0x13:
        return this.#target.decimal(this.#take(16));
      case 0x7f:
        return new driver.MaxKey();
      case 0xff:
        return new driver.MinKey();
      default:
        throw new RangeError(`BSON of an unknown type (${type})`);
    }
  }

  #symbolic(make: (text: string) => unknown): unknown {
    const text = this.#text();
    return typeof text === 'string' ? make(text) : text;
  }
}

/** The value of a field, absent ones as undefined. */
export const fieldOf = (record: StoredRecord, field: string): Value =>
  Object.hasOwn(record, field) ? record[field] : undefined;
