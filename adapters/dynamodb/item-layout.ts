import { InvalidRecord } from '../../src/core/errors.ts';
import { shortId } from '../../src/core/short-id.ts';
import { type Stamp, stampFromBytes, stampToBytes } from '../../src/core/stamp.ts';
import { decoded, type Entry, identityCodec, type Rejection, type StoreContext } from '../../src/core/store.ts';
import { cloneValue, Decimal, type StoredRecord, type Value } from '../../src/core/value.ts';
import { type Attribute, type Item, type KeyType, setOwn, tagNode } from './attribute.ts';
import type { Bson } from './bson-attribute.ts';
import { byteLength, isKinds, KeyLayout, type NativeKey } from './key-layout.ts';
import { Marshaller, Unstorable } from './marshal.ts';
import type { ReservedAttributes, ResolvedOptions } from './options.ts';
import { constraint, isRejection, limit } from './rejection.ts';
import { readTags, unmarshal } from './unmarshal.ts';

/** The largest item, all names and values counted. */
const MAX_ITEM_BYTES = 400 * 1024;
const STAMP_BYTES = 12;

/** The nonce of a compare-and-set, which an item holds between its two steps. */
export const MARK_BYTES = 12;

/** An attribute that an index has as a key: it may be absent, but what it holds must fit. */
export interface IndexKey {
  readonly index: string;
  readonly attribute: string;
  readonly type: KeyType;
  readonly maxBytes: number;
}

/** What the reserved attributes are for, and which option names them. */
export const USES: Readonly<Record<keyof ReservedAttributes, { readonly what: string; readonly option: string }>> = {
  stamp: { what: 'the stamp', option: 'stampAttribute' },
  tombstone: { what: 'the flag of deleted records', option: 'tombstoneAttribute' },
  types: { what: 'the types of values', option: 'typesAttribute' },
  keyKinds: { what: 'the types of keys', option: 'stampAttribute' },
  mark: { what: 'the mark of a compare-and-set', option: 'stampAttribute' },
};

const isOurs: Readonly<Record<keyof ReservedAttributes, (held: Attribute) => boolean>> = {
  stamp: (held) => 'B' in held && held.B.byteLength === STAMP_BYTES,
  tombstone: (held) => 'BOOL' in held,
  types: (held) => readTags(held) !== undefined,
  keyKinds: (held) => 'S' in held && isKinds(held.S),
  mark: (held) => 'B' in held && held.B.byteLength === MARK_BYTES,
};

/** How entries stand in items: every field a natural attribute, beside them the reserved ones. */
export class ItemLayout {
  readonly keys: KeyLayout;
  readonly #options: ResolvedOptions;
  readonly #context: StoreContext;
  readonly #bson: Bson;
  readonly #fieldOf: ReadonlyMap<string, string>;
  readonly #taken: ReadonlySet<string>;
  readonly #hidden: ReadonlySet<string>;
  readonly #reserved: readonly (readonly [keyof ReservedAttributes, string])[];
  #indexKeys: readonly IndexKey[] = [];

  constructor(options: ResolvedOptions, context: StoreContext, bson: Bson) {
    this.#options = options;
    this.#context = context;
    this.#bson = bson;
    const keyField = (field: string) => ({ field, attribute: this.attributeOf(field) });
    const sort = options.sortKey === null ? null : keyField(options.sortKey);
    this.keys = new KeyLayout(keyField(options.partitionKey), sort, bson);
    this.#fieldOf = new Map(Object.entries(options.attributes).map(([field, attribute]) => [attribute, field]));
    this.#hidden = new Set(Object.values(options.reserved));
    this.#reserved = Object.entries(options.reserved) as [keyof ReservedAttributes, string][];
    this.#taken = new Set([...this.#hidden, ...this.#fieldOf.keys()]);
  }

  attributeOf(field: string): string {
    return Object.hasOwn(this.#options.attributes, field) ? (this.#options.attributes[field] as string) : field;
  }

  /** Tells the types of the table's key attributes, and what its indexes ask of items. */
  useSchema(types: ReadonlyMap<string, KeyType>, indexKeys: readonly IndexKey[]): void {
    const own = new Set(this.keys.attributes);
    this.#indexKeys = indexKeys.filter(({ attribute }) => !own.has(attribute));
    const limits = new Map<string, number>();
    for (const { attribute, maxBytes } of indexKeys) {
      limits.set(attribute, Math.min(maxBytes, limits.get(attribute) ?? maxBytes));
    }
    this.keys.use(types, limits);
  }

  /**
   * The whole item of an entry, tombstones included. The size counts a stamp and a mark even where there is none, so
   * that what fits once can always be stamped and compared.
   */
  encode(entry: Entry): Item | Rejection {
    const key = this.keys.encode(entry.key);
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
      return this.#unfitForIndex(item) ?? item;
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
      if (field === '__proto__') throw new Unstorable('a field of a record cannot be named "__proto__"');
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
    size += Buffer.byteLength(reserved.mark) + MARK_BYTES;
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

  /** What an index of the table would refuse the item for. */
  #unfitForIndex(item: Item): Rejection | undefined {
    for (const { index, attribute, type, maxBytes } of this.#indexKeys) {
      const held = Object.hasOwn(item, attribute) ? item[attribute] : undefined;
      if (held === undefined) continue;
      const bytes = byteLength(held);
      if (type in held && bytes > 0 && bytes <= maxBytes) continue;
      const field = this.#fieldOf.get(attribute) ?? attribute;
      const expected = type === 'N' ? 'a number' : `${type === 'S' ? 'text' : 'bytes'} of 1 to ${maxBytes} bytes`;
      return constraint(
        `the field "${field}" is a key of the index "${index}" (expected ${expected}, or no such field)`,
      );
    }
    return undefined;
  }

  /** The stamp of an item; null for a plain one. @throws InvalidRecord when the attribute is not ours. */
  stampOf(item: Item): Stamp | null {
    const held = item[this.#options.reserved.stamp];
    if (held === undefined) return null;
    if (!isOurs.stamp(held)) throw this.#notOurs('stamp');
    return stampFromBytes((held as { readonly B: Uint8Array }).B);
  }

  /** The first of the reserved attributes that holds what changeover never writes there; null if none does. */
  foreign(item: Item): keyof ReservedAttributes | null {
    for (const [use, attribute] of this.#reserved) {
      const held = item[attribute];
      if (held !== undefined && !isOurs[use](held)) return use;
    }
    // A tombstone of ours has a stamp.
    const { stamp, tombstone } = this.#options.reserved;
    return item[tombstone] !== undefined && item[stamp] === undefined ? 'tombstone' : null;
  }

  #notOurs(use: keyof ReservedAttributes): InvalidRecord {
    return new InvalidRecord(`the attribute "${this.#options.reserved[use]}" of an item is not changeover's`, {
      expected: `an attribute that changeover alone writes, for ${USES[use].what}`,
      remedy: `choose another name with "${USES[use].option}"`,
    });
  }

  isTombstone(item: Item): boolean {
    const held = item[this.#options.reserved.tombstone];
    return held !== undefined && 'BOOL' in held && held.BOOL;
  }

  kindsOf(item: Item): string | null {
    const held = item[this.#options.reserved.keyKinds];
    return held !== undefined && 'S' in held ? held.S : null;
  }

  /** @throws InvalidRecord when the item lacks its key, or has a field of its own under a reserved name. */
  decode(item: Item, stampsOnly = false): Entry {
    const foreign = this.foreign(item);
    if (foreign !== null) throw this.#notOurs(foreign);
    const key = this.keys.decode(item, this.kindsOf(item));
    const stamp = this.stampOf(item);
    const id = this.#context.keys.id(key);
    if (this.isTombstone(item)) return { id, key, stamp, value: null };
    if (stampsOnly) return { id, key, stamp, value: { ...key } };
    const tags = readTags(item[this.#options.reserved.types]);
    const record: { [field: string]: Value } = { ...key };
    let unreadable: InvalidRecord | undefined;
    for (const attribute of Object.keys(item)) {
      if (this.#hidden.has(attribute)) continue;
      const field = this.#fieldOf.get(attribute) ?? attribute;
      if (Object.hasOwn(key, field)) continue;
      const tag = tags !== undefined && Object.hasOwn(tags, attribute) ? tags[attribute] : undefined;
      const held = item[attribute];
      if (held !== undefined) setOwn(record, field, unmarshal(held, tag, this.#bson));
      else unreadable = lostByDriver(attribute, id);
    }
    if (unreadable !== undefined) return { id, key, stamp, value: record, unreadable };
    const { codec } = this.#context;
    return codec === identityCodec ? { id, key, stamp, value: record } : { id, key, stamp, ...decoded(codec, record) };
  }
}

/** The SDK says of an attribute named `__proto__` that it is there, and not what it holds. */
const lostByDriver = (attribute: string, id: string): InvalidRecord =>
  new InvalidRecord(`the attribute "${attribute}" of the item ${shortId(id)} cannot be read`, {
    expected: 'names that the SDK for DynamoDB gives back',
    remedy: 'give the attribute another name',
    details: { attribute, id },
  });
