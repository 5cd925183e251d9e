import { isBson } from '../../src/core/bson.ts';
import { InvalidRecord } from '../../src/core/errors.ts';
import type { Rejection } from '../../src/core/store.ts';
import { Decimal, type Key, type KeyPart } from '../../src/core/value.ts';
import type { Attribute, Item, KeyType } from './attribute.ts';
import { type Bson, bsonAttribute, bsonOf } from './bson-attribute.ts';
import { integerOf, naturalNumber, numberLimit } from './number-text.ts';
import { isRejection, limit } from './rejection.ts';

/** What DynamoDB takes of a partition key, and of a sort key. */
export const MAX_PARTITION_KEY_BYTES = 2048;
export const MAX_SORT_KEY_BYTES = 1024;

/** How an entry's key stands in the table. */
export interface NativeKey {
  readonly attributes: Item;
  /**
   * What each part of the key is where its attribute does not tell, one code a part: `.` what it naturally is, `i` a
   * small bigint, `n` a large number, `d` a Date, `o` an ObjectId, `b4` a Binary of subtype 4. Null: all natural.
   */
  readonly kinds: string | null;
  /** Whether a key of other kinds could have the same attributes, so that a put has to look. */
  readonly ambiguous: boolean;
}

/** A field of the key and where it stands. */
export interface KeyField {
  readonly field: string;
  readonly attribute: string;
}

/** A part of a key as the table holds it. */
interface HeldPart {
  readonly attribute: Attribute;
  readonly kind: string;
  readonly ambiguous: boolean;
}

const KINDS = /\.|[a-z]\d*/g;
const ALL_KINDS = /^(?:\.|[a-z]\d*){1,2}$/;
const HEX = /^[0-9a-f]{24}$/;
/** Dates of these years sort as text as they do in time. */
const ISO_DATE = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;

/**
 * The key of a table. Parts stand in it so that they sort and read naturally. A number and an equal bigint, or an
 * ObjectId and its hex digits, are different keys but one native key: the item says which it is in an attribute of its
 * own (`_s_key`), only where that is not the natural reading, and a put to the item of the other kind is refused.
 */
export class KeyLayout {
  readonly partition: KeyField;
  readonly sort: KeyField | null;
  readonly fields: readonly KeyField[];
  readonly #bson: Bson;
  #types: ReadonlyMap<string, KeyType> = new Map();
  #limits: ReadonlyMap<string, number> = new Map();

  constructor(partition: KeyField, sort: KeyField | null, bson: Bson) {
    this.partition = partition;
    this.sort = sort;
    this.fields = sort === null ? [partition] : [partition, sort];
    this.#bson = bson;
  }

  /** The attributes of the table's key, partition key first. */
  get attributes(): readonly string[] {
    return this.fields.map(({ attribute }) => attribute);
  }

  /** Tells what the table's key attributes are, and which of them an index narrows to fewer bytes. */
  use(types: ReadonlyMap<string, KeyType>, limits: ReadonlyMap<string, number>): void {
    this.#types = types;
    this.#limits = limits;
  }

  /** The key as the table holds it, or why it cannot. */
  encode(key: Key): NativeKey | Rejection {
    const attributes: Item = {};
    let kinds = '';
    let ambiguous = false;
    for (const spec of this.fields) {
      const part = this.#part(key, spec);
      if (isRejection(part)) return part;
      attributes[spec.attribute] = part.attribute;
      kinds += part.kind;
      ambiguous ||= part.ambiguous;
    }
    return { attributes, kinds: /^\.+$/.test(kinds) ? null : kinds, ambiguous };
  }

  /** One attribute of a key, or null when the table cannot hold it. */
  encodeField(key: Key, spec: KeyField): Attribute | null {
    const part = this.#part(key, spec);
    return isRejection(part) ? null : part.attribute;
  }

  #part(key: Key, spec: KeyField): HeldPart | Rejection {
    const name = `the key field "${spec.field}"`;
    const part = heldPart(key[spec.field]);
    if (typeof part === 'string') return limit(`${name} ${part}`);
    const { attribute } = part;
    const bytes = byteLength(attribute);
    if (bytes === 0) return limit(`${name} is empty (expected at least one byte)`);
    const type = this.#types.get(spec.attribute);
    if (type !== undefined && !(type in attribute)) {
      return limit(`${name} is of another type than the table's key (${type})`);
    }
    const native = spec === this.partition ? MAX_PARTITION_KEY_BYTES : MAX_SORT_KEY_BYTES;
    const most = Math.min(native, this.#limits.get(spec.attribute) ?? native);
    return bytes > most ? limit(`${name} has ${bytes} bytes, more than ${most}`) : part;
  }

  /** @throws InvalidRecord when the item lacks its key. */
  decode(item: Item, kinds: string | null): Key {
    const key: Record<string, KeyPart> = {};
    const codes = kinds?.match(KINDS);
    this.fields.forEach((spec, i) => {
      const held = item[spec.attribute];
      if (held === undefined) {
        throw new InvalidRecord(`an item lacks its key attribute "${spec.attribute}"`, {
          expected: `items with ${this.attributes.join(', ')}`,
        });
      }
      key[spec.field] = this.#decodePart(held, codes?.[i], spec.field);
    });
    return key;
  }

  #decodePart(held: Attribute, kind: string | undefined, field: string): KeyPart {
    const bson = kind === undefined || kind === '.' ? undefined : bsonOf(held, kind, this.#bson);
    if (bson !== undefined) return bson as KeyPart;
    if ('S' in held) return kind === 'd' && ISO_DATE.test(held.S) ? new Date(held.S) : held.S;
    if ('B' in held) return new Uint8Array(held.B);
    if ('N' in held) {
      if (kind === 'n') return Number(held.N);
      const value = kind === 'i' ? (integerOf(held.N) ?? naturalNumber(held.N)) : naturalNumber(held.N);
      // A key cannot be a Decimal; a fraction that no double holds is unreachable by any key of ours, but has a name.
      return value instanceof Decimal ? value.text : value;
    }
    throw new InvalidRecord(`the key field "${field}" of an item is no key`, { expected: 'S, N or B' });
  }
}

/** Whether a text can be the kinds of a key. */
export const isKinds = (text: string): boolean => ALL_KINDS.test(text);

/** The bytes of a text or binary key; a number always fits, and is never empty. */
export function byteLength(attribute: Attribute): number {
  if ('S' in attribute) return Buffer.byteLength(attribute.S);
  return 'B' in attribute ? attribute.B.byteLength : 1;
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

/** A part of a key, or what is wrong with it. */
function heldPart(part: unknown): HeldPart | string {
  if (typeof part === 'string') {
    return { attribute: { S: part }, kind: '.', ambiguous: HEX.test(part) || ISO_DATE.test(part) };
  }
  if (part instanceof Uint8Array) return { attribute: { B: new Uint8Array(part) }, kind: '.', ambiguous: true };
  if (typeof part === 'number' || typeof part === 'bigint') {
    const text = part === 0 ? '0' : String(part);
    const why = Number.isFinite(Number(part)) || typeof part === 'bigint' ? numberLimit(text) : 'is not finite';
    if (why !== null) return why;
    const natural = typeof naturalNumber(text) === typeof part;
    return { attribute: { N: text }, kind: natural ? '.' : typeof part === 'bigint' ? 'i' : 'n', ambiguous: true };
  }
  if (part instanceof Date) {
    const text = Number.isNaN(part.getTime()) ? '' : part.toISOString();
    if (!ISO_DATE.test(text)) return 'is a Date that does not sort as text (expected the years 0 to 9999)';
    return { attribute: { S: text }, kind: 'd', ambiguous: true };
  }
  if (typeof part === 'object' && part !== null && isBson(part)) {
    const { attribute, code } = bsonAttribute(part);
    if (code === 'o' || 'B' in attribute) return { attribute, kind: code, ambiguous: true };
    return `is a ${part._bsontype} (expected an ObjectId or a Binary)`;
  }
  return `is a ${typeof part} (expected text, a number, bytes, a Date, an ObjectId or a Binary)`;
}
