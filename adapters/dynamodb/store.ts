import { InvalidRecord } from '../../src/core/errors.ts';
import {
  type Capabilities,
  type CasOutcome,
  type Entry,
  type Expected,
  type Inspection,
  type KeyRef,
  type LoadAnswer,
  type Partition,
  type PrepareReport,
  type PutFault,
  type PutOutcome,
  type Rejection,
  type RoundTrip,
  readable,
  type ScanOptions,
  type ScanPage,
  type StepOptions,
  type Store,
  type StoreContext,
} from '../../src/core/store.ts';
import { silentLogger } from '../../src/core/telemetry.ts';
import { isPlainObject, type Key } from '../../src/core/value.ts';
import type { Item } from './attribute.ts';
import { Batches } from './batches.ts';
import type { Bson } from './bson-attribute.ts';
import { Inserts } from './inserts.ts';
import { ItemLayout } from './item-layout.ts';
import { Loads } from './loads.ts';
import type { ResolvedOptions } from './options.ts';
import { Preflight } from './preflight.ts';
import { Reads } from './reads.ts';
import { isRejection } from './rejection.ts';
import { Statements } from './statements.ts';
import { Table } from './table.ts';
import { Transactions } from './transactions.ts';
import { Upkeep } from './upkeep.ts';
import { type SdkModule, Wire } from './wire.ts';
import { Writes } from './writes.ts';

/** The `Date` header, from which the server's clock is learnt, counts seconds. */
const CLOCK_ERROR_MS = 1_000;

/** A table as a store. */
export class DynamoDbStore implements Store {
  readonly label: string;
  readonly capabilities: Capabilities;
  readonly #wire: Wire;
  readonly #layout: ItemLayout;
  readonly #reads: Reads;
  readonly #writes: Writes;
  readonly #inserts: Inserts;
  readonly #loads: Loads;
  readonly #table: Table;
  readonly #upkeep: Upkeep;
  readonly #preflight: Preflight;
  #opening: Promise<void> | null = null;

  constructor(sdk: SdkModule, options: ResolvedOptions, context: StoreContext, bson: Bson) {
    this.#wire = new Wire(sdk, options, context.clock);
    this.#layout = new ItemLayout(options, context, bson);
    this.#reads = new Reads(this.#wire, this.#layout, options.reserved, context.keys);
    this.#writes = new Writes(this.#wire, this.#layout, options.reserved, (key) => this.#reads.item(key));
    const batches = new Batches(this.#wire, this.#layout);
    const way =
      options.inserts === 'transactions' ? new Transactions(this.#wire, this.#layout) : new Statements(this.#wire);
    this.#inserts = new Inserts(this.#wire, way, batches, this.#writes, context.logger ?? silentLogger);
    this.#loads = new Loads(this.#wire, this.#layout, batches, this.#inserts);
    this.#table = new Table(this.#wire, this.#layout, options);
    this.#upkeep = new Upkeep(this.#wire, this.#layout, this.#reads, this.#table, options.reserved);
    this.#preflight = new Preflight(this.#wire, this.#layout, this.#table, way, options);
    this.label = this.#wire.label;
    this.capabilities = Object.freeze({
      lateBoundMs: options.lateBoundMs,
      clockErrorMs: CLOCK_ERROR_MS,
      list: this.#reads.lists,
      batchSize: 100,
    });
  }

  get pressure(): number {
    return this.#wire.pressure;
  }

  get native(): unknown {
    return this.#wire.client;
  }

  open(): Promise<void> {
    this.#opening ??= this.#table.look().then(
      () => undefined,
      (error: unknown) => {
        this.#opening = null;
        throw error;
      },
    );
    return this.#opening;
  }

  async close(): Promise<void> {
    this.#wire.close();
  }

  now(): number {
    return this.#wire.now();
  }

  prepare(options: { readonly dryRun?: boolean } = {}): Promise<PrepareReport> {
    return this.#table.prepare(options.dryRun ?? false);
  }

  prepared(): Promise<boolean> {
    return this.#table.prepared();
  }

  inspect(): Promise<Inspection> {
    return this.#preflight.inspect();
  }

  check(entry: Entry): Rejection | null {
    const item = this.#layout.encode(entry);
    return isRejection(item) ? item : null;
  }

  roundTrip(entry: Entry): RoundTrip {
    const item = this.#layout.encode(entry);
    if (isRejection(item)) return item;
    return { kind: 'held', value: readable(this.#layout.decode(item)).value ?? {} };
  }

  get(id: string, key: Key): Promise<Entry | undefined> {
    return this.#reads.get(id, key);
  }

  getMany(keys: readonly KeyRef[], options: { readonly stampsOnly?: boolean } = {}): Promise<(Entry | undefined)[]> {
    return this.#reads.getMany(keys, options.stampsOnly ?? false);
  }

  putIfNewer(entry: Entry, deadline: number): Promise<PutOutcome> {
    return this.#writes.putIfNewer(entry, deadline);
  }

  putManyIfNewer(entries: readonly Entry[], deadline: number): Promise<(PutOutcome | PutFault)[]> {
    return this.#inserts.putManyIfNewer(entries, deadline);
  }

  load(entries: readonly Entry[], deadline: number): Promise<LoadAnswer> {
    return this.#loads.load(entries, deadline);
  }

  compareAndSet(entry: Entry, expected: Expected, deadline: number): Promise<CasOutcome> {
    return this.#writes.compareAndSet(entry, expected, deadline);
  }

  putPlain(entry: Entry, deadline: number): Promise<PutOutcome> {
    return this.#writes.putPlain(entry, deadline);
  }

  async partitions(count: number): Promise<readonly Partition[]> {
    return this.#reads.partitions(count);
  }

  scan(partition: Partition, options: ScanOptions): AsyncIterable<ScanPage> {
    return this.#reads.scan(partition, options);
  }

  list(unit: Key, after: Key | null, limit: number): Promise<readonly Entry[]> {
    return this.#reads.list(unit, after, limit);
  }

  decode(row: unknown): Entry {
    if (!isPlainObject(row)) throw new InvalidRecord('a row is no item', { expected: 'a map of attribute values' });
    return this.#layout.decode(row as Item);
  }

  estimate(): Promise<number | null> {
    return this.#upkeep.estimate();
  }

  wipe(options: StepOptions): Promise<void> {
    return this.#upkeep.wipe(options);
  }

  finish(options: StepOptions): Promise<void> {
    return this.#upkeep.finish(options);
  }
}
