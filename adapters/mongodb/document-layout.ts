import { isBson } from '../../src/core/bson.ts';
import { equalValues } from '../../src/core/canonical.ts';
import { InvalidRecord } from '../../src/core/errors.ts';
import { shortId } from '../../src/core/short-id.ts';
import { type Stamp, stampFromBytes, stampToBytes } from '../../src/core/stamp.ts';
import { decoded, type Entry, identityCodec, type Rejection, type StoreContext } from '../../src/core/store.ts';
import {
  cloneValue,
  Decimal,
  isPlainObject,
  type Key,
  type KeyPart,
  type StoredRecord,
  Unreadable,
  type Value,
} from '../../src/core/value.ts';
import { BsonReader, type DriverModule, fieldOf, type RawDocument, setOwn } from './bson-reader.ts';
import { FieldPlaces } from './field-places.ts';
import { mustBeName, NativeWriter, withField } from './native.ts';
import type { ResolvedOptions } from './options.ts';
import { plainSize } from './plain-size.ts';
import { isRejection, limit, Unstorable } from './rejection.ts';

/** The largest document. */
const MAX_DOCUMENT_BYTES = 16 * 1024 * 1024;
const STAMP_BYTES = 12;

/** How an entry's key stands in a document: values as the driver writes them. */
export interface NativeKey {
  readonly _id: unknown;
  /** The fields that stand beside the `_id`, and their values. */
  readonly fields: readonly string[];
  readonly beside: readonly unknown[];
  /** Paths of numbers in the key, and what BSON types hold just that kind: 1 and 1n are one `_id` to the server. */
  readonly kinds: readonly KeyKind[];
}

type KeyKind = readonly [path: string, types: readonly string[]];

/** A document ready to be sent. */
export interface NativeEntry {
  readonly entry: Entry;
  readonly key: NativeKey;
  readonly document: object;
  /** An upper bound of its bytes. */
  readonly size: number;
}

/** What a document says about its version, whatever else is in it. */
export interface Held {
  readonly stamp: Stamp | null;
  readonly tombstone: boolean;
  /** Null: nothing but an `_id`, which belongs to any key that has it. */
  readonly id: string | null;
}

/** What may name a record here: beside what a key may be, the decimals that stand in an `_id`. */
function isKeyPart(value: Value): boolean {
  if (typeof value === 'number') return Number.isFinite(value);
  if (typeof value !== 'object') return value !== undefined;
  if (value === null) return false;
  if (isBson(value)) return value._bsontype === 'ObjectId' || value._bsontype === 'Binary';
  return value instanceof Date || value instanceof Uint8Array || value instanceof Decimal;
}

/** Fills a path, unless something below it is filled. */
function fill(fields: Map<string, unknown>, [first = '', ...rest]: readonly string[], filler: object): void {
  if (rest.length === 0) {
    if (!fields.has(first)) fields.set(first, filler);
    return;
  }
  const inner = (fields.get(first) ?? new Map()) as Map<string, unknown>;
  fields.set(first, inner);
  fill(inner, rest, filler);
}

const bare = (document: StoredRecord): boolean => Object.keys(document).length === 1 && '_id' in document;

const sameNames = (a: readonly string[], b: readonly string[]): boolean =>
  a.length === b.length && a.every((name, i) => name === b[i]);

/** How entries stand in documents. */
export class DocumentLayout {
  readonly reader: BsonReader;
  /** Fields of the key that stand beside the `_id`. */
  readonly besideFields: readonly string[];
  readonly #driver: DriverModule;
  readonly #options: ResolvedOptions;
  readonly #context: StoreContext;
  readonly #places: FieldPlaces;
  /** The stamp that was written last: a replay of what never had one writes the same with every record. */
  #stamp: { readonly text: Stamp; readonly bytes: unknown } | null = null;
  /** The stamp that was read last. */
  #read: { readonly text: Stamp; readonly bytes: Uint8Array } | null = null;
  /** What the names of the key take in a document, and whether BSON can hold them at all. */
  readonly #keyNameBytes: number;
  readonly #keyNamesFit: boolean;
  readonly #hidden: ReadonlySet<string>;
  /** Paths that a tombstone must fill with something unique, because a unique index may count a missing field as one. */
  fillPaths: readonly string[] = [];

  constructor(driver: DriverModule, options: ResolvedOptions, context: StoreContext) {
    this.#driver = driver;
    this.#options = options;
    this.#context = context;
    this.reader = new BsonReader(driver, options.int64);
    const { reserved, idFields } = options;
    this.besideFields = context.keys.fields.filter((field) => !idFields.includes(field));
    const taken = [reserved.stamp, reserved.tombstone, ...(idFields.includes('_id') ? [] : ['_id'])];
    this.#places = new FieldPlaces(taken, idFields, this.besideFields);
    this.#keyNameBytes = context.keys.fields.reduce((bytes, field) => bytes + field.length * 3 + 16, 0);
    this.#keyNamesFit = context.keys.fields.every((field) => !field.includes('\0') && field.isWellFormed());
    this.#hidden = new Set([reserved.stamp, reserved.tombstone, '_id']);
  }

  /** Where a field of the key stands, as a path. */
  pathOf(field: string): string {
    if (!this.#options.idFields.includes(field)) return field;
    return this.#options.compoundId ? `_id.${field}` : '_id';
  }

  /** The key as the server holds it, or why it cannot. */
  encodeKey(key: Key): NativeKey | Rejection {
    const { idFields, compoundId } = this.#options;
    const kinds: KeyKind[] = [];
    try {
      const _id = compoundId
        ? Object.fromEntries(idFields.map((field) => [field, this.encodeKeyField(key, field, kinds)]))
        : this.encodeKeyField(key, idFields[0] as string, kinds);
      const fields = this.besideFields;
      const beside = new Array<unknown>(fields.length);
      for (let i = 0; i < fields.length; i += 1) beside[i] = this.encodeKeyField(key, fields[i] as string, kinds);
      return { _id, fields, beside, kinds };
    } catch (error) {
      if (error instanceof Unstorable) return limit(error.message);
      throw error;
    }
  }

  /** @throws Unstorable */
  encodeKeyField(key: Key, field: string, kinds: KeyKind[] = []): unknown {
    const value: Value = key[field];
    if (typeof value === 'string' && this.#keyNamesFit && value.isWellFormed()) return value;
    const name = `the key field "${field}"`;
    if (!isKeyPart(value)) throw new Unstorable(`${name} cannot name a record`);
    mustBeName(name);
    const normal = value === 0 ? 0 : value;
    const native = new NativeWriter(this.#driver, this.#options.int64).field(name, normal);
    const types = this.#kindsOf(normal);
    if (types !== null) kinds.push([this.pathOf(field), types]);
    return native;
  }

  #kindsOf(value: Value): readonly string[] | null {
    if (typeof value === 'bigint') return ['long'];
    if (value instanceof Decimal) return ['decimal'];
    if (typeof value !== 'number') return null;
    const alsoLong = this.#options.int64 === 'number' && Number.isSafeInteger(value);
    return alsoLong ? ['int', 'double', 'long'] : ['int', 'double'];
  }

  /** The whole document of an entry, tombstones included. */
  encode(entry: Entry): NativeEntry | Rejection {
    const key = this.encodeKey(entry.key);
    if (isRejection(key)) return key;
    try {
      const writer = new NativeWriter(this.#driver, this.#options.int64);
      const written =
        entry.value === null ? this.#tombstone(key) : this.#written(this.#encoded(entry.value), key, writer);
      const { stamp } = this.#options.reserved;
      const document = entry.stamp === null ? written : withField(written, stamp, this.#stampBytes(entry.stamp));
      return { entry, key, document, size: this.#sized(document, writer.size, entry, key) };
    } catch (error) {
      if (error instanceof Unstorable || error instanceof InvalidRecord) return limit(error.message);
      throw error;
    }
  }

  /**
   * Whether the document of a live entry is surely read as the very record that it was made of. False says nothing: what
   * is not plain goes through {@link encode} and back to be known.
   */
  holdsPlainly({ key, value }: Entry): boolean {
    if (value === null || this.#context.codec !== identityCodec || !this.#keyNamesFit) return false;
    for (const field of this.#context.keys.fields) {
      const part = key[field];
      const fits = typeof part === 'string' ? part.isWellFormed() : typeof part === 'number' && Number.isFinite(part);
      if (!fits || !Object.is(value[field], part) || Object.is(part, -0)) return false;
    }
    let size = 0;
    for (const field of Object.keys(value)) {
      if (!this.#places.has(field)) return false;
      const part = value[field];
      if (part !== undefined) size += 2 + field.length * 3 + plainSize(part);
    }
    // Far from the limit, whatever its key and its stamp take.
    return size < MAX_DOCUMENT_BYTES / 4;
  }

  /** The size counts a stamp even where there is none, so that what fits once fits always. */
  #sized(document: object, bound: number, entry: Entry, key: NativeKey): number {
    const stampBytes = this.#options.reserved.stamp.length + STAMP_BYTES + 7;
    // Once as it is and once as the _id; a tombstone may fill indexed fields besides.
    const keyBytes = (entry.value === null ? 4_096 : 64) + this.#keyBytes(entry.key, key) * 2;
    const most = bound + keyBytes + stampBytes;
    if (most <= MAX_DOCUMENT_BYTES) return most;
    const size = this.#driver.BSON.serialize(document).byteLength + (entry.stamp === null ? stampBytes : 0);
    if (size <= MAX_DOCUMENT_BYTES) return size;
    throw new Unstorable(`the document has ${size} bytes, more than the ${MAX_DOCUMENT_BYTES} that MongoDB holds`);
  }

  /** At most what a key takes, once. Only what it became is the driver's: a part may be of another library, or a stand-in. */
  #keyBytes(key: Key, { _id, beside }: NativeKey): number {
    let bytes = this.#keyNameBytes;
    for (const field of this.#context.keys.fields) {
      const part = key[field];
      if (typeof part === 'string') bytes += part.length * 3;
      else if (typeof part === 'object') return bytes + this.#driver.BSON.calculateObjectSize({ _id, beside });
    }
    return bytes;
  }

  /** A codec of others gets a copy, because it may change its argument. */
  #encoded(record: StoredRecord): StoredRecord {
    const { codec } = this.#context;
    return codec === identityCodec ? record : codec.encode(cloneValue(record));
  }

  #stampBytes(stamp: Stamp): unknown {
    if (this.#stamp?.text !== stamp) {
      this.#stamp = { text: stamp, bytes: new this.#driver.Binary(stampToBytes(stamp), 0) };
    }
    return this.#stamp.bytes;
  }

  #written(record: StoredRecord, key: NativeKey, writer: NativeWriter): object {
    const { compoundId, repeatId } = this.#options;
    let document: object = { _id: key._id };
    let found = 0;
    for (const field of Object.keys(record)) {
      const value = record[field];
      if (value === undefined) continue;
      const place = this.#places.of(field);
      if (place === 'value') {
        document = withField(document, field, writer.field(field, value));
      } else if (place === 'id') {
        const part = compoundId ? (key._id as Record<string, unknown>)[field] : key._id;
        if (repeatId && field !== '_id') document = withField(document, field, part);
      } else {
        document = withField(document, field, key.beside[place]);
        found += 1;
      }
    }
    if (found === key.beside.length) return document;
    // What a codec dropped.
    key.fields.forEach((field, i) => {
      if (fieldOf(record, field) === undefined) document = withField(document, field, key.beside[i]);
    });
    return document;
  }

  #tombstone(key: NativeKey): object {
    const fields = new Map<string, unknown>([['_id', key._id]]);
    for (const [i, field] of key.fields.entries()) fields.set(field, key.beside[i]);
    const filler = { [this.#options.reserved.tombstone]: key._id };
    for (const path of this.fillPaths) fill(fields, path.split('.'), filler);
    let document: object = {};
    for (const [field, value] of fields) document = withField(document, field, value);
    return withField(document, this.#options.reserved.tombstone, true);
  }

  /** The stamp of a document; null for a plain one. @throws InvalidRecord when the field is not ours. */
  #stampOf(document: StoredRecord): Stamp | null {
    const held = fieldOf(document, this.#options.reserved.stamp);
    if (held === undefined) return null;
    if (!(held instanceof Uint8Array) || held.byteLength !== STAMP_BYTES) {
      throw new InvalidRecord(`the field "${this.#options.reserved.stamp}" of a document is no stamp`, {
        expected: '12 bytes, written by changeover only',
        remedy: 'choose another "stampField"',
      });
    }
    // What was filled at once has one stamp, and its text costs more than a look.
    let last = this.#read;
    if (last === null || !last.bytes.every((byte, i) => byte === held[i])) {
      last = { bytes: Uint8Array.from(held), text: stampFromBytes(held) };
      this.#read = last;
    }
    return last.text;
  }

  /** What a document, or the part of it that {@link stampFields} names, says of its version. */
  held(document: StoredRecord): Held {
    return {
      stamp: this.#stampOf(document),
      tombstone: fieldOf(document, this.#options.reserved.tombstone) === true,
      id: this.besideFields.length > 0 && bare(document) ? null : this.#context.keys.id(this.#keyOf(document)),
    };
  }

  /** A projection to what {@link held} reads. */
  get stampFields(): Record<string, 1> {
    const { stamp, tombstone } = this.#options.reserved;
    return Object.fromEntries(['_id', stamp, tombstone, ...this.besideFields].map((field) => [field, 1]));
  }

  decode(raw: RawDocument, stampsOnly = false): Entry {
    return this.decodeRecord(this.reader.record(raw), stampsOnly);
  }

  decodeRecord(document: StoredRecord, stampsOnly = false): Entry {
    const key = this.#keyOf(document);
    const stamp = this.#stampOf(document);
    const id = this.#context.keys.id(key);
    if (fieldOf(document, this.#options.reserved.tombstone) === true) return { id, key, stamp, value: null };
    if (stampsOnly) return { id, key, stamp, value: key };
    let unreadable = this.reader.unreadable === null ? null : unreadableIn(document, id, this.reader.unreadable);
    const record: { [field: string]: Value } = { ...key };
    for (const field of Object.keys(document)) {
      if (this.#hidden.has(field)) continue;
      if (!Object.hasOwn(key, field)) setOwn(record, field, document[field]);
      else if (!this.besideFields.includes(field) && !equalValues(document[field], key[field])) {
        unreadable ??= notOfId(field, id);
      }
    }
    if (unreadable !== null) return { id, key, stamp, value: record, unreadable };
    const { codec } = this.#context;
    return codec === identityCodec ? { id, key, stamp, value: record } : { id, key, stamp, ...decoded(codec, record) };
  }

  /** The key that a document has; parts that no key of ours could be stay what they are, so that they are seen. */
  #keyOf(document: StoredRecord): Key {
    const { idFields, compoundId } = this.#options;
    const _id = fieldOf(document, '_id');
    const parts = compoundId ? ((_id ?? {}) as StoredRecord) : { [idFields[0] as string]: _id };
    if (compoundId && !sameNames(Object.keys(parts), idFields)) {
      throw new InvalidRecord('a document has an _id of other fields than the configured ones', {
        expected: `an _id of ${idFields.join(', ')}, in this order`,
      });
    }
    const key: Record<string, KeyPart> = {};
    for (const field of this.#context.keys.fields) {
      const part = idFields.includes(field) ? fieldOf(parts, field) : fieldOf(document, field);
      key[field] = (part === 0 ? 0 : part) as KeyPart;
    }
    return key;
  }
}

function unreadableIn(document: StoredRecord, id: string, what: string): InvalidRecord {
  const field = Object.keys(document).find((name) => isUnreadable(document[name]));
  const where = field === undefined ? '' : `the field "${field}" of `;
  return new InvalidRecord(`${where}the document ${shortId(id)} holds ${what}`, {
    expected: 'what a value of JavaScript can tell',
    remedy: 'mend the document',
    details: { id, ...(field !== undefined && { field }) },
  });
}

const isUnreadable = (value: unknown): boolean =>
  value instanceof Unreadable ||
  (Array.isArray(value) ? value.some(isUnreadable) : isPlainObject(value) && Object.values(value).some(isUnreadable));

const notOfId = (field: string, id: string): InvalidRecord =>
  new InvalidRecord(`the field "${field}" of the document ${shortId(id)} is not what its _id says`, {
    expected: `documents whose _id is "${field}"`,
    remedy: 'mend the document, or map another field of the key to the _id',
    details: { field, id },
  });
