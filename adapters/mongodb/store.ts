import { Closed, InvalidArgument, InvalidRecord } from '../../src/core/errors.ts';
import type { Stamp } from '../../src/core/stamp.ts';
import {
  type Capabilities,
  type CasOutcome,
  type Entry,
  type Expected,
  type Inspection,
  type KeyRef,
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
import { isPlainObject, type Key } from '../../src/core/value.ts';
import type { DriverModule } from './bson-reader.ts';
import { BulkWrites } from './bulk-writes.ts';
import { DocumentLayout } from './document-layout.ts';
import { Guards } from './guards.ts';
import { inspectCollection } from './inspection.ts';
import type { ResolvedOptions } from './options.ts';
import { Reads } from './reads.ts';
import { isRejection } from './rejection.ts';
import { Replicas } from './replicas.ts';
import { UnitList } from './unit-list.ts';
import { Upkeep } from './upkeep.ts';
import { CLOCK_ERROR_MS, Wire } from './wire.ts';
import { Writes } from './writes.ts';

/** A collection as a store. */
export class MongoDbStore implements Store {
  readonly label: string;
  readonly #wire: Wire;
  readonly #layout: DocumentLayout;
  readonly #reads: Reads;
  readonly #list: UnitList;
  readonly #writes: Writes;
  readonly #bulk: BulkWrites;
  readonly #upkeep: Upkeep;
  readonly #replicas: Replicas;
  readonly #options: ResolvedOptions;
  #opening: Promise<void> | null = null;
  #closed = false;

  constructor(driver: DriverModule, options: ResolvedOptions, context: StoreContext) {
    const { keys } = context;
    this.#options = options;
    this.#wire = new Wire(driver, options, context.clock);
    this.#layout = new DocumentLayout(driver, options, context);
    this.#upkeep = new Upkeep(this.#wire, this.#layout, options, keys);
    const guards = new Guards(driver, options.reserved);
    this.#reads = new Reads(this.#wire, this.#layout);
    this.#list = new UnitList(this.#wire, this.#layout, keys, options.reserved);
    this.#writes = new Writes(this.#wire, this.#layout, guards, this.#upkeep);
    this.#bulk = new BulkWrites(this.#wire, this.#layout, guards, this.#upkeep, this.#writes);
    this.#replicas = new Replicas(this.#wire);
    this.label = this.#wire.label;
  }

  get capabilities(): Capabilities {
    return { lateBoundMs: 0, clockErrorMs: CLOCK_ERROR_MS, list: true, batchSize: 2_000 };
  }

  /** The driver's Collection. */
  get native(): unknown {
    return this.#wire.collection;
  }

  open(): Promise<void> {
    if (this.#closed) return Promise.reject(new Closed(`${this.label} is closed`));
    this.#opening ??= this.#upkeep.look().catch((error: unknown) => {
      this.#opening = null;
      throw error;
    });
    return this.#opening;
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#wire.close();
  }

  now(): number {
    return this.#wire.now();
  }

  prepare(options: { readonly dryRun?: boolean } = {}): Promise<PrepareReport> {
    return this.#upkeep.prepare(options.dryRun ?? false);
  }

  /** Stamps and tombstones are part of the documents: nothing has to be made for them. */
  async prepared(): Promise<boolean> {
    await this.#upkeep.learn();
    return true;
  }

  inspect(): Promise<Inspection> {
    return inspectCollection(this.#wire, this.#upkeep, this.#layout, this.#options);
  }

  replicaLag(): Promise<number | null> {
    return this.#replicas.lag();
  }

  check(entry: Entry): Rejection | null {
    const native = this.#layout.encode(entry);
    return isRejection(native) ? native : null;
  }

  roundTrip(entry: Entry): RoundTrip {
    if (entry.value !== null && this.#layout.holdsPlainly(entry)) return { kind: 'held', value: entry.value };
    const native = this.#layout.encode(entry);
    if (isRejection(native)) return native;
    const back = this.#layout.decodeRecord(this.#layout.reader.revived(native.document));
    return { kind: 'held', value: readable(back).value ?? {} };
  }

  get(id: string, key: Key): Promise<Entry | undefined> {
    return this.#reads.get(id, key);
  }

  getMany(keys: readonly KeyRef[], options: { readonly stampsOnly?: boolean } = {}): Promise<(Entry | undefined)[]> {
    return this.#reads.getMany(keys, options.stampsOnly ?? false);
  }

  stamps(keys: readonly KeyRef[]): Promise<readonly (Stamp | null)[]> {
    return this.#reads.stamps(keys);
  }

  async putIfNewer(entry: Entry, deadline: number): Promise<PutOutcome> {
    mustBeStamped(entry);
    return this.#writes.putIfNewer(entry, deadline);
  }

  async putManyIfNewer(entries: readonly Entry[], deadline: number): Promise<(PutOutcome | PutFault)[]> {
    entries.forEach(mustBeStamped);
    return this.#bulk.putManyIfNewer(entries, deadline);
  }

  compareAndSet(entry: Entry, expected: Expected, deadline: number): Promise<CasOutcome> {
    return this.#writes.compareAndSet(entry, expected, deadline);
  }

  async putPlain(entry: Entry, deadline: number): Promise<PutOutcome> {
    if (entry.stamp !== null) throw new InvalidArgument('a plain write has a stamp', { expected: 'stamp: null' });
    return this.#writes.putPlain(entry, deadline);
  }

  partitions(count: number): Promise<readonly Partition[]> {
    return this.#reads.partitions(count);
  }

  scan(partition: Partition, options: ScanOptions): AsyncIterable<ScanPage> {
    return this.#reads.scan(partition, options);
  }

  list(unit: Key, after: Key | null, limit: number): Promise<readonly Entry[]> {
    return this.#list.list(unit, after, limit);
  }

  /** Reads a document as the {@link native} collection gives it, or its bytes (`raw: true`), which lose nothing. */
  decode(row: unknown): Entry {
    if (row instanceof Uint8Array) return this.#layout.decode(row);
    if (!isPlainObject(row)) throw new InvalidRecord('a row is no document', { expected: 'a document or its BSON' });
    return this.#layout.decodeRecord(this.#layout.reader.revived(row));
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

function mustBeStamped(entry: Entry): void {
  if (entry.stamp === null) throw new InvalidArgument('a put-if-newer has no stamp', { expected: 'a stamp' });
}
