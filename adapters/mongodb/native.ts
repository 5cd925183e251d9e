import { bsonText, insteadOfBson, isBson, reviveBson } from '../../src/core/bson.ts';
import { Decimal, isPlainObject, type Value } from '../../src/core/value.ts';
import type { DriverModule } from './bson-reader.ts';
import { Unstorable } from './rejection.ts';

/** The server stores no more. */
const MAX_DEPTH = 180;
const MAX_INT64 = 2n ** 63n - 1n;
const MIN_INT64 = -(2n ** 63n);
const MOST_SAFE = BigInt(Number.MAX_SAFE_INTEGER);
/** Objects in which these are fields reach the driver as Maps: it takes the first for the mark of its own classes. */
const SPECIAL: ReadonlySet<string> = new Set(['_bsontype', 'toBSON', '__proto__']);
/** Type and terminator of a field; with its name and its value that is all there is. */
const FIELD_BYTES = 2;
const DIGITS = /^\d+$/;

/** Turns one record's values into what the driver writes; `size` is an upper bound of the bytes so far. */
export class NativeWriter {
  size = 0;
  readonly #driver: DriverModule;
  readonly #int64: 'bigint' | 'number';

  constructor(driver: DriverModule, int64: 'bigint' | 'number') {
    this.#driver = driver;
    this.#int64 = int64;
  }

  /** A top-level field's value, under a name that {@link mustBeName} lets pass. @throws Unstorable */
  field(field: string, value: Value): unknown {
    this.size += FIELD_BYTES + field.length * 3;
    const native = this.#value(value, field, 1);
    const empty = native instanceof this.#driver.Timestamp && native.isZero();
    // The server replaces it by the time of the insert.
    if (empty) throw new Unstorable(`the field "${field}" is an empty Timestamp at the top level`);
    return native;
  }

  #value(value: unknown, path: string, depth: number): unknown {
    switch (typeof value) {
      case 'string':
        if (!value.isWellFormed()) throw new Unstorable(`${path} is text with a lone surrogate`);
        this.size += 5 + value.length * 3;
        return value;
      case 'number':
        this.size += 8;
        return value;
      case 'boolean':
        this.size += 1;
        return value;
      case 'bigint':
        this.size += 8;
        return this.#long(value, path);
      case 'undefined':
        throw new Unstorable(`${path} is undefined in an array`);
      case 'object':
        return value === null ? null : this.#object(value, path, depth);
      default:
        throw new Unstorable(`${path} is a ${typeof value}`);
    }
  }

  #long(value: bigint, path: string): unknown {
    if (value > MAX_INT64 || value < MIN_INT64) throw new Unstorable(`${path} is an integer beyond 64 bits`);
    if (this.#int64 === 'number' && value <= MOST_SAFE && value >= -MOST_SAFE) {
      throw new Unstorable(`${path} is a small bigint, which would come back as a number ("int64" is "number")`);
    }
    return this.#driver.Long.fromBigInt(value);
  }

  #object(value: object, path: string, depth: number): unknown {
    if (value instanceof Date) {
      if (Number.isNaN(value.getTime())) throw new Unstorable(`${path} is an invalid Date`);
      this.size += 8;
      return new Date(value.getTime());
    }
    if (value instanceof Uint8Array) {
      this.size += 5 + value.byteLength;
      return new this.#driver.Binary(new Uint8Array(value), 0);
    }
    if (value instanceof Decimal) return this.#decimal(value, path);
    if (value instanceof Set) throw new Unstorable(`${path} is a set, which MongoDB does not have`);
    if (depth >= MAX_DEPTH && (Array.isArray(value) || isPlainObject(value))) {
      throw new Unstorable(`${path.slice(0, 100)}… is nested deeper than ${MAX_DEPTH} levels`);
    }
    if (Array.isArray(value)) {
      this.size += 5;
      return Array.from(value, (item, i) => {
        this.size += FIELD_BYTES + 10;
        return this.#value(item, `${path}[${i}]`, depth + 1);
      });
    }
    if (isPlainObject(value)) return this.#document(value, path, depth);
    return this.#bson(value, path);
  }

  #document(value: Record<string, unknown>, path: string, depth: number): unknown {
    this.size += 5;
    const fields: [string, unknown][] = [];
    let special = false;
    for (const field of Object.keys(value)) {
      const item = value[field];
      if (item === undefined) continue;
      if (field.includes('\0')) throw new Unstorable(`the name of a field in ${path} contains NUL`);
      if (!field.isWellFormed()) throw new Unstorable(`the name of a field in ${path} is not well-formed text`);
      this.size += FIELD_BYTES + field.length * 3;
      special ||= SPECIAL.has(field);
      fields.push([field, this.#value(item, `${path}.${field}`, depth + 1)]);
    }
    return special ? new Map(fields) : Object.fromEntries(fields);
  }

  #decimal(value: Decimal, path: string): unknown {
    this.size += 16;
    const { Decimal128 } = this.#driver;
    try {
      const decimal = Decimal128.fromString(value.text);
      if (new Decimal(decimal.toString()).text === value.text) return decimal;
    } catch {
      // Falls through to the refusal.
    }
    throw new Unstorable(`${path} is a decimal of more than 34 digits or beyond the exponents of Decimal128`);
  }

  #bson(value: object, path: string): unknown {
    if (!isBson(value)) {
      const instead = insteadOfBson(value);
      const name = value.constructor?.name ?? 'class instance';
      throw new Unstorable(`${path} is a ${name}${instead === undefined ? '' : `; pass ${instead}`}`);
    }
    const text = bsonText(value);
    this.size += 16 + text.length * 3;
    if (value._bsontype === 'ObjectId' && value instanceof this.#driver.ObjectId) return value;
    try {
      // Through its text: it may be of another library, or of another version of it.
      return reviveBson(value._bsontype, text, this.#driver);
    } catch (error) {
      throw new Unstorable(`${path} is no ${value._bsontype} that the driver writes (${(error as Error).name})`);
    }
  }
}

/** @throws Unstorable for a name that BSON does not hold */
export function mustBeName(field: string): void {
  if (field.includes('\0')) throw new Unstorable(`the name of the field "${field}" contains NUL`);
  if (!field.isWellFormed()) throw new Unstorable('the name of a field is not well-formed text');
}

/** A document of the driver with one more field; a Map where a plain object would change their order or their meaning. */
export function withField(document: object, field: string, value: unknown): object {
  if (document instanceof Map) return document.set(field, value);
  if (needsMap(field)) return new Map(Object.entries(document)).set(field, value);
  (document as Record<string, unknown>)[field] = value;
  return document;
}

/** Whether a field's name is the mark of a class, or one that objects put first. */
function needsMap(field: string): boolean {
  const first = field.charCodeAt(0);
  return (first >= 0x30 && first <= 0x39 && DIGITS.test(field)) || SPECIAL.has(field);
}
