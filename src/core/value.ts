import { type BsonValue, copyBson, insteadOfBson, isBson } from './bson.ts';
import { InvalidRecord } from './errors.ts';

/**
 * What a record may be made of. Everything else (functions, symbols, class instances, Map, Set, circles) is refused
 * with {@link InvalidRecord} before anything is written.
 *
 * - `undefined` is a value of its own and not `null`; a field that is `undefined` equals a field that is absent.
 * - `-0` is not `0`; `NaN` equals `NaN`; key order does not matter; array order does.
 * - `bigint`, `Date` and bytes are themselves: `1n` is not `1`, a Date is not its ISO text.
 * - values of types that only MongoDB has (ObjectId, UUID, Timestamp, …) are the driver's own objects; they compare by type and
 *   content.
 * - exact decimals are {@link Decimal}; they compare by numeric value (`1.50` equals `1.5`).
 */
export type Value =
  | null
  | undefined
  | boolean
  | number
  | bigint
  | string
  | Date
  | Uint8Array
  | Decimal
  | BsonValue
  | ReadonlySet<Value>
  | readonly Value[]
  | { readonly [field: string]: Value };

/** A record as stores hold it: a plain object of values. */
export type StoredRecord = { readonly [field: string]: Value };

/** What a field of a key may be; of BSON's types, ObjectId and Binary (UUID). */
export type KeyPart = string | number | bigint | boolean | Date | Uint8Array | BsonValue;

/** A key as callers pass it: its fields by name. */
export type Key = { readonly [field: string]: KeyPart };

/**
 * What stands in a store where a part of a key should and names no record: null, nothing, a list, a Timestamp. A scan meets
 * it; no call can ask for it. Only its canonical text is kept.
 */
export class NoName {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

/**
 * Stands in a record for what a store holds there and no value of records can tell: a date that JavaScript does not know,
 * text that is not UTF-8. `held` tells two of them apart, and is shown to nobody.
 */
export class Unreadable {
  readonly held: string;

  constructor(held: string) {
    this.held = held;
  }
}

const DECIMAL = /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d{1,6}))?$/;

/** An exact decimal number of any length, kept as text: what NUMERIC columns and DynamoDB numbers beyond 2^53 become. */
export class Decimal {
  /** The canonical text: no exponent sign games, no superfluous zeros, no `-0`. */
  readonly text: string;

  /** @throws InvalidRecord when `text` is no decimal number. */
  constructor(text: string) {
    const match = DECIMAL.exec(text.trim());
    if (match === null) {
      throw new InvalidRecord('a decimal is not a number', {
        expected: 'digits, perhaps with sign, point and exponent',
      });
    }
    const [, sign = '', whole = '', fraction = '', exponent = '0'] = match;
    const digits = (whole + fraction).replace(/^0+/, '');
    const significant = digits.replace(/0+$/, '');
    if (significant === '') {
      this.text = '0';
    } else {
      const scale = Number(exponent) - fraction.length + (digits.length - significant.length);
      this.text = `${sign}${significant}${scale === 0 ? '' : `e${scale}`}`;
    }
    Object.freeze(this);
  }

  toString(): string {
    return this.text;
  }
}

/** True for objects that came from `{}`, `Object.create(null)` or another realm's literal. */
export function isPlainObject(value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || prototype === Object.prototype || Object.getPrototypeOf(prototype as object) === null;
}

const MAX_DEPTH = 200;

/** What cannot be copied, with the steps that lead to it, innermost last; turned into an error at the top. */
class Uncopyable {
  readonly steps: string[] = [];
  readonly what: string;

  constructor(what: string) {
    this.what = what;
  }
}

/** A deep copy that shares nothing mutable with `value`. @throws InvalidRecord names the path that cannot be copied. */
export function cloneValue<T>(value: T): T {
  try {
    return copy(value, 0) as T;
  } catch (error) {
    if (!(error instanceof Uncopyable)) throw error;
    const path = error.steps.reverse().join('').replace(/^\./, '');
    throw new InvalidRecord(`${path === '' ? 'the record' : path} is ${error.what}`, {
      expected: 'null, boolean, number, bigint, string, Date, bytes, Decimal, set, array or plain object',
      details: { path },
    });
  }
}

function copy(value: unknown, depth: number): unknown {
  if (isPrimitive(value)) return value;
  if (typeof value !== 'object' || value === null) throw new Uncopyable(`a ${typeof value}`);
  if (depth > MAX_DEPTH) throw new Uncopyable(`nested deeper than ${MAX_DEPTH} levels, or in itself`);
  if (Array.isArray(value)) return copyArray(value, depth);
  if (isPlainObject(value)) return copyFields(value, depth);
  if (value instanceof Date) return new Date(value.getTime());
  if (value instanceof Decimal) return value;
  if (value instanceof Uint8Array) return new Uint8Array(value);
  if (value instanceof Set) return new Set(copyArray([...value], depth, '{}'));
  if (isBson(value)) return copyBson(value);
  const instead = insteadOfBson(value);
  throw new Uncopyable(
    `a ${value.constructor?.name ?? 'class instance'}${instead === undefined ? '' : `, which would come back as something else; pass ${instead}`}`,
  );
}

function copyArray(items: readonly unknown[], depth: number, [open, close] = '[]'): unknown[] {
  const result: unknown[] = new Array(items.length);
  let i = 0;
  try {
    for (; i < items.length; i += 1) result[i] = copy(items[i], depth + 1);
  } catch (error) {
    if (error instanceof Uncopyable) error.steps.push(`${open}${i}${close}`);
    throw error;
  }
  return result;
}

/** A spread keeps the object's shape and costs a fraction of setting field by field; only what can change is copied. */
function copyFields(fields: Record<string, unknown>, depth: number): Record<string, unknown> {
  const result: Record<string, unknown> = { ...fields };
  // A field that has no name is none; it would be shared.
  if (Object.getOwnPropertySymbols(result).length > 0) {
    for (const symbol of Object.getOwnPropertySymbols(result)) Reflect.deleteProperty(result, symbol);
  }
  let field = '';
  try {
    // A name of the loop's own: of any other V8 does not know that it is a field, and looks it up.
    for (const name in result) {
      const item = result[name];
      // What others have put on Object.prototype is no field of this one.
      if (isPrimitive(item) || !Object.hasOwn(result, name)) continue;
      field = name;
      result[name] = copy(item, depth + 1);
    }
  } catch (error) {
    if (error instanceof Uncopyable) error.steps.push(`.${field}`);
    throw error;
  }
  return result;
}

/** What is its own copy. */
const isPrimitive = (value: unknown): boolean =>
  typeof value === 'string' ||
  typeof value === 'number' ||
  typeof value === 'boolean' ||
  value === null ||
  value === undefined ||
  typeof value === 'bigint';
