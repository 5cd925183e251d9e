import { inspect } from 'node:util';
import type { Document, FindOptions } from 'mongodb';
import { canonicalText } from '../../src/core/canonical.ts';
import { CursorExpired, InvalidRecord } from '../../src/core/errors.ts';
import type { Stamp } from '../../src/core/stamp.ts';
import type { Entry, KeyRef, Partition, ScanOptions, ScanPage } from '../../src/core/store.ts';
import type { Key } from '../../src/core/value.ts';
import type { RawDocument } from './bson-reader.ts';
import type { DocumentLayout, Held } from './document-layout.ts';
import type { Found } from './raw-find.ts';
import { isRejection } from './rejection.ts';
import { pooled, type Wire } from './wire.ts';

const KEYS_A_REQUEST = 1_000;
const MAX_PARTITIONS = 4_096;
/** So many samples a partition even out where they fall. */
const SAMPLES_A_CUT = 20;

/** The first document of a page may be the last of the one before. */
const SEEN_AND_NEXT = 2;

/** Where a scan stands in the order of `_id`, which is one order over values of all types. */
interface Place {
  readonly native: unknown;
  /** BSON, as text: exact. */
  readonly bytes: string;
  /** Equal for equal keys. */
  readonly text: string;
}

/** The reads of a store: of the primary, what a majority has. */
export class Reads {
  readonly #wire: Wire;
  readonly #layout: DocumentLayout;

  constructor(wire: Wire, layout: DocumentLayout) {
    this.#wire = wire;
    this.#layout = layout;
  }

  async get(id: string, key: Key): Promise<Entry | undefined> {
    const native = this.#layout.encodeKey(key);
    // What no document can hold is in none.
    if (isRejection(native)) return undefined;
    const raw = await this.#wire.findOne({ _id: { $eq: native._id } });
    const entry = raw === undefined ? undefined : this.#layout.decode(raw);
    // A document of this _id may belong to a key with other fields beside it.
    return entry?.id === id ? entry : undefined;
  }

  async getMany(refs: readonly KeyRef[], stampsOnly: boolean): Promise<(Entry | undefined)[]> {
    if (stampsOnly) {
      const held = await this.#held(refs);
      return refs.map(({ id, key }) => {
        const stored = held.get(id);
        return stored && { id, key, stamp: stored.stamp, value: stored.tombstone ? null : key };
      });
    }
    const found = new Map<string, RawDocument>();
    for (const raw of (await this.#documents(refs, {})).flat()) found.set(this.#layout.decode(raw).id, raw);
    // Decoded anew for each, so that no two share what a caller may change.
    return refs.map(({ id }) => {
      const raw = found.get(id);
      return raw === undefined ? undefined : this.#layout.decode(raw);
    });
  }

  async stamps(refs: readonly KeyRef[]): Promise<readonly (Stamp | null)[]> {
    const held = await this.#held(refs);
    return refs.map(({ id }) => held.get(id)?.stamp ?? null);
  }

  /** What is there of them, by id. */
  async #held(refs: readonly KeyRef[]): Promise<ReadonlyMap<string, Held>> {
    const held = new Map<string, Held>();
    for (const answer of await this.#documents(refs, { projection: this.#layout.stampFields })) {
      for (const raw of answer) {
        const stored = this.#layout.held(this.#layout.reader.record(raw));
        if (stored.id !== null) held.set(stored.id, stored);
      }
    }
    return held;
  }

  /** Documents with the `_id`s of these keys, in no order. */
  #documents(refs: readonly KeyRef[], options: FindOptions): Promise<RawDocument[][]> {
    // One that is asked for twice is one for the server.
    const wanted: unknown[] = [];
    for (const { key } of refs) {
      const native = this.#layout.encodeKey(key);
      if (!isRejection(native)) wanted.push(native._id);
    }
    const chunks = Array.from({ length: Math.ceil(wanted.length / KEYS_A_REQUEST) }, (_, i) =>
      wanted.slice(i * KEYS_A_REQUEST, (i + 1) * KEYS_A_REQUEST),
    );
    return pooled(chunks, this.#wire.maxInFlight, (chunk) =>
      this.#wire.find({ _id: { $in: chunk } }, { batchSize: KEYS_A_REQUEST + 1, ...options }),
    );
  }

  /** Shares between `_id`s that were sampled; the first and the last are open, so that nothing falls between. */
  async partitions(count: number): Promise<readonly Partition[]> {
    const shares = Math.min(Math.max(1, Math.floor(count)), MAX_PARTITIONS);
    const cuts = shares === 1 ? [] : await this.#cuts(shares);
    const bounds = [null, ...cuts, null];
    return bounds.slice(1).map((below, i) => ({ id: `${i + 1}/${bounds.length - 1}`, from: bounds[i] ?? null, below }));
  }

  async #cuts(shares: number): Promise<readonly string[]> {
    const size = shares * SAMPLES_A_CUT;
    const pipeline = [{ $sample: { size } }, { $project: { _id: 1 } }, { $sort: { _id: 1 } }];
    const sampled = await this.#wire.aggregate(pipeline, size + 1);
    // A sample may hold a document twice.
    const places = sampled.flatMap((raw) => this.#placeIn(raw) ?? []).filter(({ native }) => !isEnd(native));
    const distinct = [...new Set(places.map(({ bytes }) => bytes))];
    const cuts = Array.from(
      { length: shares - 1 },
      (_, i) => distinct[Math.floor(((i + 1) * distinct.length) / shares)],
    );
    return [...new Set(cuts.filter((cut) => cut !== undefined))];
  }

  async *scan(partition: Partition, options: ScanOptions): AsyncIterable<ScanPage> {
    const { pageSize, signal, stampsOnly = false } = options;
    const size = Math.max(1, Math.floor(pageSize));
    const below = this.#readPlace(partition['below'], partition.id);
    let from = this.#readPlace(options.cursor ?? partition['from'], partition.id);
    // A cursor names the last document that was seen, the bound of a partition the first that was not.
    let seen = options.cursor === undefined ? null : from;
    const pageOf = (documents: readonly RawDocument[]): ScanPage => {
      from = seen = this.#placeOf(documents.at(-1) as RawDocument);
      return { entries: documents.map((raw) => this.#layout.decode(raw, stampsOnly)), cursor: from.bytes };
    };
    const find = (filter: Document, bounds: FindOptions): Promise<Found> => {
      const shape = stampsOnly ? { projection: this.#layout.stampFields } : {};
      return this.#wire.page(filter, { ...shape, hint: { _id: 1 }, ...bounds }, SEEN_AND_NEXT, signal);
    };
    for (let more = !isEnd(seen?.native, 'MaxKey'); more; ) {
      const bounds = {
        ...(from === null ? {} : { min: { _id: from.native } }),
        ...(below === null ? {} : { max: { _id: below.native } }),
      };
      const found = await find({}, { sort: { _id: 1 }, limit: size + 1, ...bounds } as FindOptions);
      const first = found.documents[0];
      const skipped = first !== undefined && seen?.text === this.#placeOf(first).text ? 1 : 0;
      const page = found.documents.slice(skipped, skipped + size);
      if (page.length > 0) yield pageOf(page);
      more = page.length > 0 && (found.documents.length > size || found.more);
      // A range that has a beginning and no end is taken to end before the last of all ids.
      if (more || below !== null || !('min' in bounds)) continue;
      const last = await find({ _id: new this.#wire.driver.MaxKey() }, { limit: 1 });
      if (last.documents.length > 0) yield pageOf(last.documents);
    }
  }

  /** @throws InvalidRecord for an `_id` that nobody can write again, as the server would take another place for it */
  #placeOf(raw: RawDocument): Place {
    const place = this.#placeIn(raw);
    if (place !== null) return place;
    throw new InvalidRecord(`no scan can go on behind the _id ${inspect(this.#layout.reader.exact(raw).get('_id'))}`, {
      expected: 'text of UTF-8, and dates that JavaScript knows',
      remedy: 'mend or remove the document',
    });
  }

  #placeIn(raw: RawDocument): Place | null {
    const { reader } = this.#layout;
    const native = reader.exact(raw).get('_id');
    const bytes = this.#wire.driver.BSON.serialize({ _id: native });
    if (!isSame(bytes, raw)) return null;
    const text = canonicalText(reader.record(bytes)['_id']);
    return { native, bytes: Buffer.from(bytes).toString('base64url'), text };
  }

  /** @throws CursorExpired for what is no place in this store */
  #readPlace(text: unknown, partition: string): Place | null {
    if (text === null || text === undefined) return null;
    try {
      return this.#placeOf(Buffer.from(String(text), 'base64url'));
    } catch (cause) {
      throw new CursorExpired(`the cursor is none of a scan of this store (partition ${partition})`, { cause });
    }
  }
}

/** Whether an `_id` is an end of the order of all: the server makes no range between it and nothing. */
const isEnd = (native: unknown, end?: 'MinKey' | 'MaxKey'): boolean => {
  const type = (native as { readonly _bsontype?: string } | null | undefined)?._bsontype;
  return end === undefined ? type === 'MinKey' || type === 'MaxKey' : type === end;
};

const ID = Buffer.from('_id\0');

/** Whether an `_id` was written again as it stands in its document, at the beginning of which servers keep it. */
function isSame(id: Uint8Array, document: Uint8Array): boolean {
  if (Buffer.compare(ID, document.subarray(5, 5 + ID.length)) !== 0) return true;
  return Buffer.compare(id.subarray(4, -1), document.subarray(4, id.length - 1)) === 0;
}
