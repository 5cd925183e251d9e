import type { BsonValue } from './bson.ts';
import { bsonText, copyBson, isBson } from './bson.ts';
import { canonicalText } from './canonical.ts';
import { InvalidConfiguration, InvalidRecord } from './errors.ts';
import type { Key, KeyPart } from './value.ts';

function isKeyPart(value: unknown): value is KeyPart {
  switch (typeof value) {
    case 'string':
      return value.isWellFormed();
    case 'boolean':
    case 'bigint':
      return true;
    case 'number':
      return Number.isFinite(value);
    case 'object':
      if (value === null) return false;
      if (isBson(value)) return value._bsontype === 'ObjectId' || value._bsontype === 'Binary';
      return value instanceof Uint8Array || (value instanceof Date && !Number.isNaN(value.getTime()));
    default:
      return false;
  }
}

const copyPart = (part: KeyPart): KeyPart => {
  if (typeof part !== 'object') return part === 0 ? 0 : part; // -0 names the same record as 0
  if (part instanceof Date) return new Date(part.getTime());
  return part instanceof Uint8Array ? new Uint8Array(part) : copyBson(part);
};

/** What reads and writes of one record name it by. */
export interface Target {
  readonly id: string;
  readonly key: Key;
  readonly unit: string;
}

/**
 * How records of a migration are named: the fields of the key, and the unit, which is made of some of them.
 *
 * @example
 * const spec = new KeySpec(['userKey', 'id'], ['userKey']);
 * const key = spec.keyOf(event);      // { userKey, id }, checked
 * spec.id(key);                       // ["ada","7"], injective
 * spec.unit(key);                     // ada
 */
export class KeySpec {
  readonly fields: readonly string[];
  readonly unitFields: readonly string[];
  /** The names of a key of two fields whose unit is one of them: they cost less than those in a list. */
  readonly #first: string | null = null;
  readonly #second: string = '';
  readonly #unitIsFirst: boolean = true;

  /** @throws InvalidConfiguration for no, empty or repeated fields, or a unit that is not part of the key. */
  constructor(fields: readonly string[], unitFields: readonly string[]) {
    const wrong = (what: string, expected: string): never => {
      throw new InvalidConfiguration(what, { expected });
    };
    if (fields.length === 0) wrong('the key has no fields', 'at least one field name');
    if (unitFields.length === 0) wrong('the unit has no fields', 'at least one field of the key');
    for (const list of [fields, unitFields]) {
      if (new Set(list).size !== list.length) wrong(`a field is named twice in ${list.join(', ')}`, 'each once');
      if (list.some((field) => typeof field !== 'string' || field === '')) {
        wrong('a field of the key has no name', 'non-empty field names');
      }
    }
    for (const field of unitFields) {
      if (!fields.includes(field)) {
        wrong(`the unit field "${field}" is not part of the key`, `one or more of: ${fields.join(', ')}`);
      }
    }
    this.fields = Object.freeze([...fields]);
    this.unitFields = Object.freeze([...unitFields]);
    const [first, second] = fields;
    if (fields.length === 2 && unitFields.length === 1 && first !== undefined && second !== undefined) {
      this.#first = first;
      this.#second = second;
      this.#unitIsFirst = unitFields[0] === first;
    }
    Object.freeze(this);
  }

  /** The checked key of a record or of a key that a caller passed; a copy. @throws InvalidRecord names the field. */
  keyOf(source: unknown): Key {
    return this.#pick(source, this.fields);
  }

  /**
   * The checked key of a record or a key that a caller passed, with its texts.
   * @throws InvalidRecord names the field.
   */
  target(source: unknown): Target {
    const first = this.#first;
    if (first !== null && typeof source === 'object' && source !== null) {
      const second = this.#second;
      const one: unknown = (source as Record<string, unknown>)[first];
      const other: unknown = (source as Record<string, unknown>)[second];
      // Most keys are like this, and each character is looked at once; JSON writes nothing ill-formed as it is.
      if (typeof one === 'string' && typeof other === 'string' && isPlain(one) && isPlain(other)) {
        const key: Key = { [first]: one, [second]: other };
        return { key, id: `["${one}","${other}"]`, unit: this.#unitIsFirst ? one : other };
      }
    }
    const key = this.keyOf(source);
    return { key, id: this.id(key), unit: this.unit(key) };
  }

  /** The checked unit fields out of a record, a key, or (for a unit of one field) the bare value. */
  unitKeyOf(source: unknown): Key {
    const [only] = this.unitFields;
    if (this.unitFields.length === 1 && only !== undefined && isKeyPart(source)) return { [only]: copyPart(source) };
    return this.#pick(source, this.unitFields);
  }

  /** The key as one text; two keys share it only if they are the same. */
  id(key: Key): string {
    return textOf(key, this.fields);
  }

  /** What is hashed into a bucket: a unit of one string field as it is, any other by its canonical text. */
  unit(key: Key): string {
    const [first] = this.unitFields;
    if (this.unitFields.length === 1 && first !== undefined) {
      const value = key[first];
      return typeof value === 'string' ? value : canonicalText(value);
    }
    return textOf(key, this.unitFields);
  }

  #pick(source: unknown, fields: readonly string[]): Key {
    if (typeof source !== 'object' || source === null) {
      throw new InvalidRecord(`a key is ${source === null || source === undefined ? source : `a ${typeof source}`}`, {
        expected: `an object with ${fields.join(', ')}`,
      });
    }
    // Nearly every key has one field or two, and a literal costs half of setting them one by one.
    const first = fields[0] as string;
    const second = fields[1] as string;
    if (fields.length === 1) return { [first]: partOf(source, first, fields) };
    if (fields.length === 2)
      return { [first]: partOf(source, first, fields), [second]: partOf(source, second, fields) };
    const key: Record<string, KeyPart> = {};
    for (const field of fields) key[field] = partOf(source, field, fields);
    return key;
  }
}

/** The checked copy of one field of a key. */
function partOf(source: object, field: string, fields: readonly string[]): KeyPart {
  const value: unknown = (source as Record<string, unknown>)[field];
  if (isKeyPart(value)) return copyPart(value);
  if (value === undefined || value === null) {
    throw new InvalidRecord(`the key field "${field}" is missing`, {
      expected: `a value for each of: ${fields.join(', ')}`,
      details: { field },
    });
  }
  throw new InvalidRecord(`the key field "${field}" cannot name a record`, {
    expected: 'a well-formed string, finite number, bigint, boolean, valid Date, bytes, ObjectId or UUID',
    details: { field },
  });
}

/** Whether JSON writes a text as it is. */
function isPlain(text: string): boolean {
  for (let i = 0; i < text.length; i += 1) {
    const code = text.charCodeAt(i);
    if (code < 0x20 || code > 0x7e || code === 0x22 || code === 0x5c) return false;
  }
  return true;
}

/** The canonical text of the list of these fields, without making the list. */
function textOf(key: Key, fields: readonly string[]): string {
  if (fields.length === 2) {
    const first = key[fields[0] as string];
    const second = key[fields[1] as string];
    // Most keys are like this, and every step between would be a text of its own.
    if (typeof first === 'string' && typeof second === 'string' && isPlain(first) && isPlain(second)) {
      return `["${first}","${second}"]`;
    }
  }
  let text = '';
  for (let i = 0; i < fields.length; i += 1) {
    const part = key[fields[i] as string];
    if (typeof part !== 'string' || !isPlain(part)) text += (i === 0 ? '[' : ',') + canonicalText(part);
    else text += i === 0 ? `["${part}"` : `,"${part}"`;
  }
  return `${text}]`;
}

/** ObjectIds by their bytes, before Binaries by subtype and bytes. */
const bsonOrder = (value: BsonValue): string => {
  if (value._bsontype === 'ObjectId') return `0${bsonText(value)}`;
  const [subType = '', base64 = ''] = bsonText(value).split(':');
  return `1${subType.padStart(3, '0')}${Buffer.from(base64, 'base64').toString('hex')}`;
};

/** Orders two values of a key: strings by UTF-8 bytes, numbers by value, kinds apart: the order of `list`. */
function compareParts(a: KeyPart, b: KeyPart): number {
  const kind = (part: KeyPart): number => {
    if (typeof part === 'boolean') return 0;
    if (typeof part === 'number' || typeof part === 'bigint') return 1;
    if (typeof part === 'string') return 2;
    if (part instanceof Date) return 3;
    return part instanceof Uint8Array ? 4 : 5;
  };
  const kinds = kind(a) - kind(b);
  if (kinds !== 0) return kinds;
  if (typeof a === 'string' && typeof b === 'string') return compareText(a, b);
  if (a instanceof Uint8Array && b instanceof Uint8Array) return Buffer.compare(a, b);
  if (kind(a) === 5) return compareText(bsonOrder(a as BsonValue), bsonOrder(b as BsonValue));
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Orders text by its UTF-8 bytes, which differs from UTF-16 order above U+FFFF only. */
export function compareText(a: string, b: string): number {
  if (a === b) return 0;
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i += 1) {
    const x = a.charCodeAt(i);
    const y = b.charCodeAt(i);
    if (x === y) continue;
    const high = (unit: number): boolean => unit >= 0xd800 && unit <= 0xdfff;
    if (high(x) !== high(y)) return high(x) ? 1 : -1;
    return x - y;
  }
  return a.length - b.length;
}

/** Orders keys field by field: the order in which every store pages. */
export function compareKeys(fields: readonly string[], a: Key, b: Key): number {
  for (const field of fields) {
    const order = compareParts(a[field] as KeyPart, b[field] as KeyPart);
    if (order !== 0) return order;
  }
  return 0;
}
