import { equalValues } from '../../src/core/canonical.ts';
import { CursorExpired, InvalidArgument, NotSupported } from '../../src/core/errors.ts';
import { compareKeys, type KeySpec } from '../../src/core/record-key.ts';
import type { Entry, KeyRef, Partition, ScanOptions, ScanPage } from '../../src/core/store.ts';
import type { Key } from '../../src/core/value.ts';
import type { Attribute, Item } from './attribute.ts';
import type { ItemLayout } from './item-layout.ts';
import { fromJson, type JsonAttribute, toJson } from './json-attribute.ts';
import { type NativeKey, wireId } from './key-layout.ts';
import type { ReservedAttributes } from './options.ts';
import { isRejection } from './rejection.ts';
import { asItem, pooled, type Wire } from './wire.ts';

/** BatchGetItem takes so many keys. */
const KEYS_A_REQUEST = 100;
const MAX_SEGMENTS = 1_000_000;

/** The reads of a store, all of them strongly consistent. */
export class Reads {
  readonly #wire: Wire;
  readonly #layout: ItemLayout;
  readonly #reserved: ReservedAttributes;
  readonly #keys: KeySpec;

  constructor(wire: Wire, layout: ItemLayout, reserved: ReservedAttributes, keys: KeySpec) {
    this.#wire = wire;
    this.#layout = layout;
    this.#reserved = reserved;
    this.#keys = keys;
  }

  /** Names for a projection of keys and stamps. */
  get stampProjection(): { ProjectionExpression: string; ExpressionAttributeNames: Record<string, string> } {
    const { stamp, tombstone, keyKinds, mark } = this.#reserved;
    const attributes = [...this.#layout.keys.attributes, stamp, tombstone, keyKinds, mark];
    const names = Object.fromEntries(attributes.map((attribute, i) => [`#r${i}`, attribute]));
    return { ProjectionExpression: Object.keys(names).join(', '), ExpressionAttributeNames: names };
  }

  async item(key: NativeKey): Promise<Item | null> {
    const { sdk, client, table } = this.#wire;
    const command = () => new sdk.GetItemCommand({ TableName: table, Key: key.attributes, ConsistentRead: true });
    const output = await this.#wire.read('GetItem', (abortSignal) => client.send(command(), { abortSignal }));
    return asItem(output.Item);
  }

  async get(id: string, key: Key): Promise<Entry | undefined> {
    const native = this.#layout.keys.encode(key);
    // What the table cannot hold is not in it.
    if (isRejection(native)) return undefined;
    return this.#own(await this.item(native), id, false);
  }

  #own(item: Item | null | undefined, id: string, stampsOnly: boolean): Entry | undefined {
    if (item === null || item === undefined) return undefined;
    const entry = this.#layout.decode(item, stampsOnly);
    return entry.id === id ? entry : undefined;
  }

  async getMany(refs: readonly KeyRef[], stampsOnly: boolean): Promise<(Entry | undefined)[]> {
    const asked = refs.map(({ key }) => {
      const native = this.#layout.keys.encode(key);
      return isRejection(native) ? null : { id: wireId(native.attributes), key: native.attributes };
    });
    const distinct = [...new Map(asked.flatMap((one) => (one === null ? [] : [[one.id, one.key] as const]))).values()];
    const chunks = Array.from({ length: Math.ceil(distinct.length / KEYS_A_REQUEST) }, (_, i) =>
      distinct.slice(i * KEYS_A_REQUEST, (i + 1) * KEYS_A_REQUEST),
    );
    const found = new Map<string, Item>();
    await pooled(chunks, this.#wire.maxInFlight, (chunk) => this.#chunk(chunk, stampsOnly, found));
    return refs.map(({ id }, i) => {
      const one = asked[i];
      return one ? this.#own(found.get(one.id), id, stampsOnly) : undefined;
    });
  }

  async #chunk(keys: readonly Item[], stampsOnly: boolean, found: Map<string, Item>): Promise<void> {
    const { sdk, client, table } = this.#wire;
    const projection = stampsOnly ? this.stampProjection : {};
    await this.#wire.drain('BatchGetItem', keys, async (left) => {
      const request = { Keys: [...left], ConsistentRead: true, ...projection };
      const command = () => new sdk.BatchGetItemCommand({ RequestItems: { [table]: request } });
      const output = await this.#wire.read('BatchGetItem', (abortSignal) => client.send(command(), { abortSignal }));
      // The answer names the table as it was asked for, or by its bare name where an ARN was given.
      for (const item of Object.values(output.Responses ?? {}).flat()) {
        found.set(wireId(this.#keyOf(item as Item)), item as Item);
      }
      return Object.values(output.UnprocessedKeys ?? {}).flatMap(({ Keys }) => (Keys ?? []) as Item[]);
    });
  }

  #keyOf(item: Item): Item {
    return Object.fromEntries(this.#layout.keys.attributes.map((name) => [name, item[name] as Attribute]));
  }

  partitions(count: number): readonly Partition[] {
    const total = Math.min(Math.max(1, Math.floor(count)), MAX_SEGMENTS);
    return Array.from({ length: total }, (_, segment) => ({ id: `${segment}/${total}`, segment, total }));
  }

  async *scan(partition: Partition, options: ScanOptions): AsyncIterable<ScanPage> {
    const { segment, total } = partition;
    if (typeof segment !== 'number' || typeof total !== 'number') {
      throw new InvalidArgument(`"${partition.id}" is no partition of a DynamoDB table`, {
        expected: 'segment, total',
      });
    }
    let start = options.cursor === undefined ? undefined : readCursor(options.cursor);
    while (start !== null) {
      const page = await this.page(start, { Segment: segment, TotalSegments: total }, options);
      start = page.next;
      const entries = page.items.map((item) => this.#layout.decode(item, options.stampsOnly ?? false));
      yield { entries, cursor: writeCursor(start) };
    }
  }

  /** One request of a scan; `next` is null at the end. */
  async page(
    start: Item | undefined,
    segment: { readonly Segment?: number; readonly TotalSegments?: number },
    options: Pick<ScanOptions, 'pageSize' | 'signal' | 'stampsOnly'>,
  ): Promise<{ items: Item[]; next: Item | null }> {
    const { sdk, client, table } = this.#wire;
    this.#wire.proceed('Scan', options.signal);
    const input = {
      TableName: table,
      ConsistentRead: true,
      Limit: Math.max(1, Math.floor(options.pageSize)),
      ...segment,
      ...(start === undefined ? {} : { ExclusiveStartKey: start }),
      ...(options.stampsOnly ? this.stampProjection : {}),
    };
    const send = (abortSignal: AbortSignal) => client.send(new sdk.ScanCommand(input), { abortSignal });
    const output = await this.#wire.read('Scan', send, options.signal);
    return { items: (output.Items ?? []) as Item[], next: asItem(output.LastEvaluatedKey) };
  }

  /** Whether the unit is the partition, so that a query pages through it in order. */
  get lists(): boolean {
    const [only, ...more] = this.#keys.unitFields;
    return only === this.#layout.keys.partition.field && more.length === 0;
  }

  async list(unit: Key, after: Key | null, limit: number): Promise<readonly Entry[]> {
    if (!this.lists) {
      throw new NotSupported(`${this.#wire.label} cannot list: the unit is not the partition key`, {
        expected: `the unit to be "${this.#layout.keys.partition.field}"`,
      });
    }
    if (this.#layout.keys.sort === null) {
      const entry = await this.get(this.#keys.id(unit), unit);
      const live = entry !== undefined && entry.value !== null && limit > 0;
      return live && (after === null || compareKeys(this.#keys.fields, entry.key, after) > 0) ? [entry] : [];
    }
    const { field } = this.#layout.keys.partition;
    const query = this.#query(unit, after);
    const entries: Entry[] = [];
    let start: Item | null | undefined = query === null ? null : undefined;
    while (entries.length < limit && start !== null && query !== null) {
      const { sdk, client } = this.#wire;
      const from: Item | undefined = start;
      const input = {
        ...query,
        Limit: limit - entries.length,
        ...(from === undefined ? {} : { ExclusiveStartKey: from }),
      };
      const send = (abortSignal: AbortSignal) => client.send(new sdk.QueryCommand(input), { abortSignal });
      const output = await this.#wire.read('Query', send);
      for (const item of (output.Items ?? []) as Item[]) {
        const entry = this.#layout.decode(item);
        // An equal number of another kind, or an ObjectId's hex digits, have the same partition.
        if (equalValues(entry.key[field], unit[field])) entries.push(entry);
      }
      start = asItem(output.LastEvaluatedKey);
    }
    return entries;
  }

  /** Null: no item of the table can answer it. */
  #query(unit: Key, after: Key | null) {
    const sort = this.#layout.keys.sort;
    if (sort === null) return null;
    const { partition } = this.#layout.keys;
    const place = this.#layout.keys.encodeField(unit, partition);
    const last = after === null ? null : this.#layout.keys.encodeField(after, sort);
    if (place === null || (after !== null && last === null)) return null;
    return {
      TableName: this.#wire.table,
      ConsistentRead: true,
      ScanIndexForward: true,
      KeyConditionExpression: last === null ? '#p = :p' : '#p = :p AND #q > :q',
      FilterExpression: 'attribute_not_exists(#d)',
      ExpressionAttributeNames: {
        '#p': partition.attribute,
        '#d': this.#reserved.tombstone,
        ...(last === null ? {} : { '#q': sort.attribute }),
      },
      ExpressionAttributeValues: { ':p': place, ...(last === null ? {} : { ':q': last }) },
    };
  }
}

interface Cursor {
  /** A key as DynamoDB's own JSON; null at the end. */
  readonly after: { [name: string]: JsonAttribute } | null;
}

function writeCursor(start: Item | null): string {
  const after = start === null ? null : (toJson({ M: start }) as { readonly M: Cursor['after'] }).M;
  return JSON.stringify({ after } satisfies Cursor);
}

/** The key to go on after; null at the end. @throws CursorExpired for what is no cursor of a scan */
function readCursor(cursor: string): Item | null {
  try {
    const { after } = JSON.parse(cursor) as Cursor;
    return after === null ? null : (fromJson({ M: after }) as { readonly M: Item }).M;
  } catch {
    // Without a cause, which would quote the cursor, and a cursor is the key of a record.
    throw new CursorExpired('the cursor is none of a scan of this store');
  }
}
