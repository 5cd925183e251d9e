import { insteadOfBson, isBson } from '../../src/core/bson.ts';
import { Decimal, isPlainObject } from '../../src/core/value.ts';
import { type Attribute, type Item, setOwn, type Tag, type TagNode, tagNode } from './attribute.ts';
import { bsonAttribute } from './bson-attribute.ts';
import { toJson } from './json-attribute.ts';
import { naturalNumber, numberLimit, numberSize } from './number-text.ts';

/** DynamoDB nests values so deep, the attribute's own being the first level. */
const NATIVE_DEPTH = 32;
/** Records nest so deep; what nests deeper contains itself. */
const MAX_DEPTH = 200;
/** DynamoDB takes names up to this length. */
const MAX_NAME_BYTES = 65_535;
/** No name of so many UTF-16 units is too long. */
const SHORT_NAME = Math.floor(MAX_NAME_BYTES / 3);

/** A value that the store cannot hold; caught inside the adapter and answered as a rejection. */
export class Unstorable extends Error {
  override readonly name = 'Unstorable';
}

const tooLong = (name: string): boolean => name.length > SHORT_NAME && Buffer.byteLength(name) > MAX_NAME_BYTES;

/** Whether DynamoDB (and every SDK's object) can have an attribute of this name in a map. */
const isNative = (name: string): boolean =>
  name !== '' && name !== '__proto__' && name.isWellFormed() && !tooLong(name);

/**
 * Turns values into attributes, counting their size as DynamoDB does, and notes in `tag` what the attribute of the
 * last value cannot tell by itself. One marshaller an item: it is not reentrant.
 *
 * What DynamoDB has no map or list for (too deep, or with names that it refuses) is packed into one text, so that the
 * rest of the record stays natural.
 */
export class Marshaller {
  /** Bytes of all values and nested names so far, as DynamoDB counts them. */
  size = 0;
  /** What the attribute returned last needs beside it. */
  tag: Tag | undefined;
  readonly #path: (string | number)[] = [];
  /** Inside a packed text, which takes any name and depth. */
  #packing = false;

  /** @throws Unstorable names the path, never the value. */
  field(name: string, value: unknown): Attribute {
    this.#path.push(name);
    this.size += this.#nameSize(name);
    const attribute = this.#value(value);
    this.#path.pop();
    return attribute;
  }

  #nameSize(name: string): number {
    if (name === '') this.#refuse('has an empty name', 'field names of at least one character');
    if (!name.isWellFormed()) this.#refuse('has a name with a lone surrogate', 'well-formed field names');
    if (tooLong(name)) this.#refuse('has too long a name', `names of up to ${MAX_NAME_BYTES} bytes`);
    return Buffer.byteLength(name);
  }

  #refuse(what: string, expected?: string): never {
    const path = this.#path.reduce<string>(
      (text, step) => (typeof step === 'number' ? `${text}[${step}]` : text === '' ? step : `${text}.${step}`),
      '',
    );
    throw new Unstorable(`"${shortened(path)}" ${what}${expected === undefined ? '' : ` (expected ${expected})`}`);
  }

  #value(value: unknown): Attribute {
    this.tag = undefined;
    switch (typeof value) {
      case 'string':
        return this.#string(value);
      case 'number':
        return this.#number(value);
      case 'boolean':
        this.size += 1;
        return { BOOL: value };
      case 'bigint': {
        const attribute = this.#numeric(value.toString());
        if (value >= Number.MIN_SAFE_INTEGER && value <= Number.MAX_SAFE_INTEGER) this.tag = 'i';
        return attribute;
      }
      case 'undefined':
        this.size += 1;
        this.tag = 'u';
        return { NULL: true };
      case 'object':
        break;
      default:
        return this.#refuse(`is a ${typeof value}`);
    }
    if (value === null) {
      this.size += 1;
      return { NULL: true };
    }
    if (Array.isArray(value)) return this.#list(value, false);
    if (value instanceof Date) {
      const text = Number.isNaN(value.getTime()) ? 'Invalid Date' : value.toISOString();
      this.size += text.length;
      this.tag = 'd';
      return { S: text };
    }
    if (value instanceof Uint8Array) {
      this.size += value.byteLength;
      // A copy: the caller may go on with its bytes before the request leaves.
      return { B: new Uint8Array(value) };
    }
    if (value instanceof Decimal) {
      const attribute = this.#numeric(value.text);
      if (!(naturalNumber(value.text) instanceof Decimal)) this.tag = 'm';
      return attribute;
    }
    if (value instanceof Set) return this.#set(value);
    if (isPlainObject(value)) return this.#map(value);
    if (isBson(value)) {
      const { attribute, code } = bsonAttribute(value);
      if ('S' in attribute && !attribute.S.isWellFormed()) this.#refuse('has a lone surrogate', 'well-formed text');
      this.size += 'S' in attribute ? Buffer.byteLength(attribute.S) : attribute.B.byteLength;
      this.tag = code;
      return attribute;
    }
    const instead = insteadOfBson(value);
    return this.#refuse(`is a ${value.constructor?.name ?? 'class instance'}`, instead);
  }

  #string(value: string): Attribute {
    if (value.isWellFormed()) {
      this.size += Buffer.byteLength(value);
      return { S: value };
    }
    this.size += value.length * 2;
    this.tag = 'w';
    return { B: new Uint8Array(Buffer.from(value, 'utf16le')) };
  }

  #number(value: number): Attribute {
    if (!Number.isFinite(value)) {
      const text = String(value);
      this.size += text.length;
      this.tag = 'f';
      return { S: text };
    }
    const attribute = this.#numeric(String(value));
    if (Object.is(value, -0)) this.tag = '-';
    else if (Number.isInteger(value) && !Number.isSafeInteger(value)) this.tag = 'n';
    return attribute;
  }

  #numeric(text: string): { N: string } {
    const limit = numberLimit(text);
    if (limit !== null) this.#refuse(limit);
    this.size += numberSize(text);
    return { N: text };
  }

  /** Lists and maps end one level above the last, even empty ones: what could be in them would stand there. */
  get #tooDeep(): boolean {
    if (this.#path.length >= MAX_DEPTH) this.#refuse(`is nested deeper than ${MAX_DEPTH} levels, or in itself`);
    return !this.#packing && this.#path.length >= NATIVE_DEPTH;
  }

  /** A value as the text of what it would be if DynamoDB could nest and name everything. */
  #packed(make: () => Attribute): Attribute {
    const before = this.size;
    this.#packing = true;
    const attribute = make();
    this.#packing = false;
    const json = toJson(attribute);
    const text = JSON.stringify(this.tag === undefined ? [json] : [json, this.tag]);
    this.size = before + Buffer.byteLength(text);
    this.tag = 'j';
    return { S: text };
  }

  #list(items: readonly unknown[], set: boolean): Attribute {
    if (this.#tooDeep) return this.#packed(() => this.#list(items, set));
    this.size += 3 + items.length;
    const list: Attribute[] = new Array(items.length);
    let tags: TagNode | undefined;
    if (set) {
      tags = tagNode();
      tags['$'] = 's';
    }
    const at = this.#path.length;
    for (let i = 0; i < items.length; i += 1) {
      this.#path[at] = i;
      list[i] = this.#value(items[i]);
      if (this.tag !== undefined) {
        tags ??= tagNode();
        tags[i] = this.tag;
      }
    }
    this.#path.length = at;
    this.tag = tags;
    return { L: list };
  }

  #map(fields: Record<string, unknown>): Attribute {
    const names = Object.keys(fields);
    if (this.#tooDeep || !(this.#packing || names.every(isNative))) return this.#packed(() => this.#map(fields));
    this.size += 3;
    const map: Item = {};
    let tags: TagNode | undefined;
    const at = this.#path.length;
    for (const name of names) {
      const value = fields[name];
      if (value === undefined) continue;
      this.#path[at] = name;
      this.size += 1 + Buffer.byteLength(name);
      setOwn(map, name, this.#value(value));
      if (this.tag !== undefined) {
        tags ??= tagNode();
        tags[name] = this.tag;
      }
    }
    this.#path.length = at;
    this.tag = tags;
    return { M: map };
  }

  /** A native set where that reads back as the same set; else a list with a tag. */
  #set(items: ReadonlySet<unknown>): Attribute {
    const native = nativeSet(items);
    if (native === null) return this.#list([...items], true);
    if ('SS' in native) for (const text of native.SS) this.size += Buffer.byteLength(text);
    else if ('BS' in native) for (const bytes of native.BS) this.size += bytes.byteLength;
    else {
      for (const text of native.NS) this.#numeric(text);
    }
    return native;
  }
}

const MAX_PATH = 200;

/** A path that a message can carry. */
const shortened = (path: string): string => (path.length <= MAX_PATH ? path : `${path.slice(0, MAX_PATH)}…`);

type NativeSet = { readonly SS: string[] } | { readonly NS: string[] } | { readonly BS: Uint8Array[] };

function nativeSet(items: ReadonlySet<unknown>): NativeSet | null {
  if (items.size === 0) return null;
  const all = [...items];
  const [first] = all;
  if (typeof first === 'string') {
    const texts = all.filter((item): item is string => typeof item === 'string' && item !== '' && item.isWellFormed());
    return texts.length === all.length ? { SS: texts } : null;
  }
  if (first instanceof Uint8Array) {
    const bytes = all.filter((item): item is Uint8Array => item instanceof Uint8Array && item.byteLength > 0);
    const distinct = new Set(bytes.map((item) => Buffer.from(item).toString('base64')));
    return bytes.length === all.length && distinct.size === all.length ? { BS: bytes } : null;
  }
  const texts = all.map(naturalText);
  if (!texts.every((text) => text !== null)) return null;
  // Equal Decimals of a set are two members there, but one number here.
  return new Set(texts).size === texts.length ? { NS: texts } : null;
}

/** The text of a number that reads back as the same value with nothing beside it, or null. */
function naturalText(value: unknown): string | null {
  if (typeof value === 'number') {
    const plain = Number.isInteger(value) ? Number.isSafeInteger(value) : Number.isFinite(value);
    return plain && !Object.is(value, -0) ? String(value) : null;
  }
  if (typeof value === 'bigint') {
    return value < Number.MIN_SAFE_INTEGER || value > Number.MAX_SAFE_INTEGER ? value.toString() : null;
  }
  return value instanceof Decimal && naturalNumber(value.text) instanceof Decimal ? value.text : null;
}
