import { InvalidRecord } from '../../src/core/errors.ts';
import { type Stamp, stampFromBytes, stampToBytes } from '../../src/core/stamp.ts';
import { type Entry, identityCodec, type Rejection, type StoreContext } from '../../src/core/store.ts';
import { cloneValue, Decimal, type Key, type KeyPart, type StoredRecord, type Value } from '../../src/core/value.ts';
import { type Attribute, type Item, type KeyType, setOwn, tagNode } from './attribute.ts';
import { Marshaller, Unstorable } from './marshal.ts';
import { integerOf, naturalNumber, numberLimit } from './number-text.ts';
import type { ResolvedOptions } from './options.ts';
import { isRejection, limit } from './rejection.ts';
import { readTags, unmarshal } from './unmarshal.ts';

/** The largest item, all names and values counted. */
const MAX_ITEM_BYTES = 400 * 1024;
const STAMP_BYTES = 12;

/** How an entry's key stands in the table. */
export interface NativeKey {
  readonly attributes: Item;
  /** One letter a key field where the number is not what it naturally is (see {@link ItemLayout}); null if none. */
  readonly kinds: string | null;
}

/** A field of the key and where it stands. */
export interface KeyField {
  readonly field: string;
  readonly attribute: string;
  readonly maxBytes: number;
}

/**
 * How entries stand in items: every field a natural attribute, beside them the reserved ones.
 *
 * A number and a bigint are different keys but one N: on an item whose numeric key is not what its number naturally
 * is, `_s_key` says so (`i` a small bigint, `n` a large number, `.` natural), and a put to an item of the other kind
 * is refused.
 */
export class ItemLayout {
  readonly partition: KeyField;
  readonly sort: KeyField | null;
  readonly #keyFields: readonly KeyField[];
  readonly #options: ResolvedOptions;
  readonly #context: StoreContext;
  readonly #fieldOf: ReadonlyMap<string, string>;
  readonly #taken: ReadonlySet<string>;
  readonly #hidden: ReadonlySet<string>;
  #types: ReadonlyMap<string, KeyType> = new Map();

  constructor(options: ResolvedOptions, context: StoreContext) {
    this.#options = options;
    this.#context = context;
    this.partition = this.#keyField(options.partitionKey, 2048);
    this.sort = options.sortKey === null ? null : this.#keyField(options.sortKey, 1024);
    this.#keyFields = this.sort === null ? [this.partition] : [this.partition, this.sort];
    this.#fieldOf = new Map(Object.entries(options.attributes).map(([field, attribute]) => [attribute, field]));
    this.#hidden = new Set(Object.values(options.reserved));
    this.#taken = new Set([...this.#hidden, ...this.#fieldOf.keys()]);
  }

  #keyField(field: string, maxBytes: number): KeyField {
    return { field, attribute: this.attributeOf(field), maxBytes };
  }

  attributeOf(field: string): string {
    return Object.hasOwn(this.#options.attributes, field) ? (this.#options.attributes[field] as string) : field;
  }

  /** The attributes of the table's key, partition key first. */
  get keyAttributes(): readonly string[] {
    return this.#keyFields.map((key) => key.attribute);
  }

  /** Whether a key attribute is a number, so that kinds may be confused; true until the table is known. */
  get numericKey(): boolean {
    return this.#types.size === 0 || [...this.#types.values()].includes('N');
  }

  /** Tells the types of the table's key attributes, by attribute. */
  useKeyTypes(types: ReadonlyMap<string, KeyType>): void {
    this.#types = types;
  }

  /** The key as the table holds it, or why it cannot. */
  encodeKey(key: Key): NativeKey | Rejection {
    const attributes: Item = {};
    let kinds = '';
    for (const spec of this.#keyFields) {
      const part = encodeKeyPart(key[spec.field], spec);
      if (typeof part === 'string') return limit(part);
      const type = this.#types.get(spec.attribute);
      if (type !== undefined && !(type in part.attribute)) {
        return limit(`the key field "${spec.field}" is of another type than the table's key (${type})`);
      }
      attributes[spec.attribute] = part.attribute;
      kinds += part.kind;
    }
    return { attributes, kinds: /^\.+$/.test(kinds) ? null : kinds };
  }

  /** One attribute of a key, or null when the table cannot hold it. */
  encodeKeyField(key: Key, spec: KeyField): Attribute | null {
    const part = encodeKeyPart(key[spec.field], spec);
    const type = this.#types.get(spec.attribute);
    return typeof part === 'string' || (type !== undefined && !(type in part.attribute)) ? null : part.attribute;
  }

  /**
   * The whole item of an entry, tombstones included. The size counts a stamp even where there is none, so that what
   * fits once fits always.
   */
  encode(entry: Entry): Item | Rejection {
    const key = this.encodeKey(entry.key);
    if (isRejection(key)) return key;
    const { reserved } = this.#options;
    const item: Item = { ...key.attributes };
    if (key.kinds !== null) item[reserved.keyKinds] = { S: key.kinds };
    if (entry.stamp !== null) item[reserved.stamp] = { B: stampToBytes(entry.stamp) };
    if (entry.value === null) {
      item[reserved.tombstone] = { BOOL: true };
      return item;
    }
    try {
      this.#fields(this.#encoded(entry.value), key, item);
      return item;
    } catch (error) {
      if (error instanceof Unstorable || error instanceof InvalidRecord) return limit(error.message);
      throw error;
    }
  }

  /** A codec of others gets a copy, because it may change its argument. */
  #encoded(record: StoredRecord): StoredRecord {
    const { codec } = this.#context;
    return codec === identityCodec ? record : codec.encode(cloneValue(record));
  }

  #fields(record: StoredRecord, key: NativeKey, item: Item): void {
    const marshaller = new Marshaller();
    let tags = undefined as ReturnType<typeof tagNode> | undefined;
    for (const field of Object.keys(record)) {
      const value = record[field];
      if (value === undefined) continue;
      if (field === '__proto__') throw new Unstorable('a field cannot be named "__proto__" (the SDK cannot carry it)');
      const renamed = Object.hasOwn(this.#options.attributes, field);
      const attribute = renamed ? (this.#options.attributes[field] as string) : field;
      if (!renamed && this.#taken.has(attribute)) {
        throw new Unstorable(`the field "${field}" has the name of a reserved attribute`);
      }
      if (Object.hasOwn(key.attributes, attribute)) continue;
      setOwn(item, attribute, marshaller.field(attribute, value));
      if (marshaller.tag !== undefined) {
        tags ??= tagNode();
        tags[attribute] = marshaller.tag;
      }
    }
    const { reserved } = this.#options;
    let size = marshaller.size + Buffer.byteLength(reserved.stamp) + STAMP_BYTES;
    const key2 = new Marshaller();
    for (const [attribute, value] of Object.entries(key.attributes)) {
      key2.field(attribute, 'N' in value ? new Decimal(value.N) : unmarshal(value));
    }
    size += key2.size;
    if (key.kinds !== null) size += Buffer.byteLength(reserved.keyKinds) + key.kinds.length;
    if (tags !== undefined) {
      const text = JSON.stringify(tags);
      item[reserved.types] = { S: text };
      size += Buffer.byteLength(reserved.types) + Buffer.byteLength(text);
    }
    if (size > MAX_ITEM_BYTES) {
      throw new Unstorable(`the item has ${size} bytes, more than the ${MAX_ITEM_BYTES} that DynamoDB holds`);
    }
  }

  /** The stamp of an item; null for a plain one. @throws InvalidRecord when the attribute is not ours. */
  stampOf(item: Item): Stamp | null {
    const held = item[this.#options.reserved.stamp];
    if (held === undefined) return null;
    if (!('B' in held) || held.B.byteLength !== 12) {
      throw new InvalidRecord(`the attribute "${this.#options.reserved.stamp}" of an item is no stamp`, {
        expected: '12 bytes, written by changeover only',
        remedy: 'choose another "stampAttribute"',
      });
    }
    return stampFromBytes(held.B);
  }

  isTombstone(item: Item): boolean {
    const held = item[this.#options.reserved.tombstone];
    return held !== undefined && 'BOOL' in held && held.BOOL;
  }

  kindsOf(item: Item): string | null {
    const held = item[this.#options.reserved.keyKinds];
    return held !== undefined && 'S' in held ? held.S : null;
  }

  /** @throws InvalidRecord when the item lacks its key. */
  decode(item: Item, stampsOnly = false): Entry {
    const key = this.#decodeKey(item);
    const stamp = this.stampOf(item);
    const id = this.#context.keys.id(key);
    if (this.isTombstone(item)) return { id, key, stamp, value: null };
    if (stampsOnly) return { id, key, stamp, value: { ...key } };
    const tags = readTags(item[this.#options.reserved.types]);
    const record: { [field: string]: Value } = { ...key };
    for (const attribute of Object.keys(item)) {
      if (this.#hidden.has(attribute)) continue;
      const field = this.#fieldOf.get(attribute) ?? attribute;
      if (Object.hasOwn(key, field)) continue;
      const tag = tags !== undefined && Object.hasOwn(tags, attribute) ? tags[attribute] : undefined;
      setOwn(record, field, unmarshal(item[attribute] as Attribute, tag));
    }
    return { id, key, stamp, value: this.#context.codec.decode(record) };
  }

  #decodeKey(item: Item): Key {
    const kinds = this.kindsOf(item);
    const key: Record<string, KeyPart> = {};
    this.#keyFields.forEach((spec, i) => {
      const held = item[spec.attribute];
      if (held === undefined) {
        throw new InvalidRecord(`an item lacks its key attribute "${spec.attribute}"`, {
          expected: `items with ${this.keyAttributes.join(', ')}`,
        });
      }
      key[spec.field] = decodeKeyPart(held, kinds?.[i], spec.field);
    });
    return key;
  }
}

/** The key attributes of an item as one text: equal exactly where DynamoDB holds one item. */
export function wireId(key: Item): string {
  let id = '';
  for (const attribute of Object.values(key)) {
    if ('S' in attribute) id += `S${attribute.S.length}:${attribute.S}`;
    else if ('N' in attribute) id += `N${new Decimal(attribute.N).text}:`;
    else if ('B' in attribute) id += `B${Buffer.from(attribute.B).toString('base64')}:`;
  }
  return id;
}

function encodeKeyPart(part: unknown, spec: KeyField): { attribute: Attribute; kind: string } | string {
  const name = `the key field "${spec.field}"`;
  if (typeof part === 'string' || part instanceof Uint8Array) {
    if (part.length === 0) return `${name} is empty (expected at least one byte)`;
    const bytes = typeof part === 'string' ? Buffer.byteLength(part) : part.byteLength;
    if (bytes > spec.maxBytes) return `${name} has ${bytes} bytes, more than ${spec.maxBytes}`;
    return { attribute: typeof part === 'string' ? { S: part } : { B: part }, kind: '.' };
  }
  if (typeof part === 'number' || typeof part === 'bigint') {
    const text = part === 0 ? '0' : String(part);
    const why = Number.isFinite(Number(part)) || typeof part === 'bigint' ? numberLimit(text) : 'is not finite';
    if (why !== null) return `${name} ${why}`;
    const natural = typeof naturalNumber(text) === typeof part;
    return { attribute: { N: text }, kind: natural ? '.' : typeof part === 'bigint' ? 'i' : 'n' };
  }
  const what = part instanceof Date ? 'Date' : typeof part;
  return `${name} is a ${what} (expected a string, number, bigint or bytes)`;
}

function decodeKeyPart(held: Attribute, kind: string | undefined, field: string): KeyPart {
  if ('S' in held) return held.S;
  if ('B' in held) return new Uint8Array(held.B);
  if ('N' in held) {
    if (kind === 'n') return Number(held.N);
    const value = kind === 'i' ? (integerOf(held.N) ?? naturalNumber(held.N)) : naturalNumber(held.N);
    // A key cannot be a Decimal; a fraction that no double holds is unreachable by any key of ours, but has a name.
    return value instanceof Decimal ? value.text : value;
  }
  throw new InvalidRecord(`the key field "${field}" of an item is no key`, { expected: 'S, N or B' });
}
