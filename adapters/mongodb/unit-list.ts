import type { Document } from 'mongodb';
import { InvalidRecord } from '../../src/core/errors.ts';
import { compareKeys, type KeySpec } from '../../src/core/record-key.ts';
import type { Entry } from '../../src/core/store.ts';
import type { Key, KeyPart } from '../../src/core/value.ts';
import type { RawDocument } from './bson-reader.ts';
import type { DocumentLayout } from './document-layout.ts';
import type { ReservedFields } from './options.ts';
import { Unstorable } from './rejection.ts';
import type { Wire } from './wire.ts';

/**
 * The kinds of key parts in the order of lists. The server orders kinds in another way, and compares within a kind only,
 * so that each is asked for by itself. Bytes it orders by their length first: those of one unit are ordered here.
 */
const KINDS = [
  { type: 'bool', sortedHere: false, of: (part: KeyPart) => typeof part === 'boolean' },
  { type: 'number', sortedHere: false, of: (part: KeyPart) => typeof part === 'number' || typeof part === 'bigint' },
  { type: 'string', sortedHere: false, of: (part: KeyPart) => typeof part === 'string' },
  { type: 'date', sortedHere: false, of: (part: KeyPart) => part instanceof Date },
  { type: 'binData', sortedHere: true, of: (part: KeyPart) => part instanceof Uint8Array },
  { type: 'objectId', sortedHere: false, of: (part: KeyPart) => bsonTypeOf(part) === 'ObjectId' },
  { type: 'binData', sortedHere: true, of: (part: KeyPart) => bsonTypeOf(part) === 'Binary' },
] as const;

type Kind = (typeof KINDS)[number];

const bsonTypeOf = (part: KeyPart): unknown =>
  typeof part === 'object' && '_bsontype' in part ? part._bsontype : undefined;

/** Of a key that a document has and no call can name. */
const noWayOn = (cause?: Unstorable): InvalidRecord =>
  new InvalidRecord('a record of the unit has a key behind which no list can go on', {
    expected: 'what the part of a key may be',
    remedy: 'mend or remove the record',
    cause,
  });

/** Lists the records of a unit in the order of their keys. */
export class UnitList {
  readonly #wire: Wire;
  readonly #layout: DocumentLayout;
  readonly #keys: KeySpec;
  readonly #tombstone: string;
  /** The fields of the key that are not the unit's. */
  readonly #rest: readonly string[];

  constructor(wire: Wire, layout: DocumentLayout, keys: KeySpec, reserved: ReservedFields) {
    this.#wire = wire;
    this.#layout = layout;
    this.#keys = keys;
    this.#tombstone = reserved.tombstone;
    this.#rest = keys.fields.filter((field) => !keys.unitFields.includes(field));
  }

  async list(unit: Key, after: Key | null, limit: number): Promise<readonly Entry[]> {
    const filter: Document = { [this.#tombstone]: { $ne: true } };
    try {
      for (const field of this.#keys.unitFields) {
        filter[this.#layout.pathOf(field)] = { $eq: this.#layout.encodeKeyField(unit, field) };
      }
    } catch (error) {
      // What no document can hold is in none.
      if (error instanceof Unstorable) return [];
      throw error;
    }
    const entries: Entry[] = [];
    try {
      if (limit > 0) await this.#level(unit, filter, 0, after, limit, entries);
    } catch (error) {
      if (error instanceof Unstorable) throw noWayOn(error);
      throw error;
    }
    return entries;
  }

  /** Adds the records under `filter`, which fixes the fields before `level`. */
  async #level(
    unit: Key,
    filter: Document,
    level: number,
    after: Key | null,
    limit: number,
    entries: Entry[],
  ): Promise<void> {
    const field = this.#rest[level];
    if (field === undefined) {
      // All fields are fixed: one record, or none if it is the one to go on after.
      if (after === null) this.#add(await this.#find(filter, null, 1), unit, entries);
      return;
    }
    const begin = after === null ? 0 : KINDS.findIndex((kind) => kind.of(after[field] as KeyPart));
    if (begin < 0) throw noWayOn();
    for (let i = begin; i < KINDS.length && entries.length < limit; i += 1) {
      const kind = KINDS[i] as Kind;
      const from = after !== null && i === begin ? after : null;
      if (level < this.#rest.length - 1) await this.#values(unit, filter, level, kind, from, limit, entries);
      else if (kind.sortedHere) await this.#sorted(unit, filter, field, kind, from, limit, entries);
      else await this.#ordered(unit, filter, field, kind, from, limit, entries);
    }
  }

  /** The last field, in the server's order: until there are enough, as a page may be full of another unit's records. */
  async #ordered(
    unit: Key,
    filter: Document,
    field: string,
    kind: Kind,
    after: Key | null,
    limit: number,
    entries: Entry[],
  ): Promise<void> {
    const path = this.#layout.pathOf(field);
    for (let from = after; entries.length < limit; ) {
      const wanted = limit - entries.length;
      const found = await this.#find({ ...filter, [path]: this.#range(kind, field, from, '$gt') }, path, wanted);
      this.#add(found, unit, entries);
      const last = found.at(-1);
      if (last === undefined || found.length < wanted) return;
      from = this.#layout.decode(last, true).key;
    }
  }

  #range(kind: Kind, field: string, from: Key | null, operator: '$gt' | '$gte'): Document {
    if (from === null) return { $type: kind.type };
    return { $type: kind.type, [operator]: this.#layout.encodeKeyField(from, field) };
  }

  /** A field before the last: each of its values in turn, and the records under it. */
  async #values(
    unit: Key,
    filter: Document,
    level: number,
    kind: Kind,
    after: Key | null,
    limit: number,
    entries: Entry[],
  ): Promise<void> {
    const field = this.#rest[level] as string;
    const path = this.#layout.pathOf(field);
    if (after !== null) {
      const fixed = { ...filter, [path]: { $eq: this.#layout.encodeKeyField(after, field) } };
      await this.#level(unit, fixed, level + 1, after, limit, entries);
    }
    if (kind.sortedHere) {
      for (const value of await this.#bytesOf(filter, field, kind, after)) {
        if (entries.length >= limit) return;
        const fixed = { ...filter, [path]: { $eq: this.#layout.encodeKeyField(value, field) } };
        await this.#level(unit, fixed, level + 1, null, limit, entries);
      }
      return;
    }
    for (let from = after; entries.length < limit; ) {
      const [next] = await this.#find({ ...filter, [path]: this.#range(kind, field, from, '$gt') }, path, 1);
      if (next === undefined) return;
      from = this.#layout.decode(next, true).key;
      const fixed = { ...filter, [path]: { $eq: this.#layout.encodeKeyField(from, field) } };
      await this.#level(unit, fixed, level + 1, null, limit, entries);
    }
  }

  /** The last field, where the server's order is not ours. */
  async #sorted(
    unit: Key,
    filter: Document,
    field: string,
    kind: Kind,
    after: Key | null,
    limit: number,
    entries: Entry[],
  ): Promise<void> {
    const path = this.#layout.pathOf(field);
    const natives = (await this.#bytesOf(filter, field, kind, after)).map((key) =>
      this.#layout.encodeKeyField(key, field),
    );
    while (natives.length > 0 && entries.length < limit) {
      const some = natives.splice(0, limit - entries.length);
      const found: Entry[] = [];
      this.#add(await this.#find({ ...filter, [path]: { $in: some } }, null, 0), unit, found);
      entries.push(...found.sort((a, b) => compareKeys([field], a.key, b.key)));
    }
  }

  /** The distinct bytes of a field in our order, behind `after`; only keys are read for it. */
  async #bytesOf(filter: Document, field: string, kind: Kind, after: Key | null): Promise<readonly Key[]> {
    const range = { ...filter, [this.#layout.pathOf(field)]: { $type: kind.type } };
    const found = await this.#wire.find(range, { projection: this.#layout.stampFields });
    const keys = found
      .map((raw) => this.#layout.decode(raw, true).key)
      .filter((key) => kind.of(key[field] as KeyPart) && (after === null || compareKeys([field], key, after) > 0))
      .sort((a, b) => compareKeys([field], a, b));
    return keys.filter((key, i) => i === 0 || compareKeys([field], keys[i - 1] as Key, key) !== 0);
  }

  #find(filter: Document, path: string | null, limit: number): Promise<RawDocument[]> {
    return this.#wire.find(filter, { limit, ...(path === null ? {} : { sort: { [path]: 1 } }) });
  }

  /** 1 and 1n are equal to the server, and two units to us. */
  #add(found: readonly RawDocument[], unit: Key, entries: Entry[]): void {
    const wanted = this.#keys.unit(unit);
    for (const raw of found) {
      const entry = this.#layout.decode(raw);
      if (this.#keys.unit(entry.key) === wanted) entries.push(entry);
    }
  }
}
