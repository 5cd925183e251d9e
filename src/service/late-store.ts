import type { Clock } from '../core/clock.ts';
import { StoreFault } from '../core/errors.ts';
import type { Side } from '../core/stage.ts';
import type { ScanOptions, ScanPage, Store } from '../core/store.ts';
import type { StorePair } from '../core/store-pair.ts';

/** Whoever asks within so long after a failed attempt to connect gets its answer. */
const AGAIN_MS = 1_000;

/** What helps beside what always does: users who are led to a new store can go back. */
const remedyOf = (side: Side, migration: string): { readonly remedy?: string } =>
  side === 'old'
    ? {}
    : {
        remedy: `see that the store can be reached (changeover doctor looks at both); where it leads and stays away: changeover rollback ${migration} --emergency`,
      };

/**
 * A store that connects when it is first needed, so that one that is away is in nobody's way. While it is away reads
 * fail, and so do writes, of which nothing was sent: their deadlines are in a time that nobody has measured.
 */
export class LateStore implements Store {
  readonly inner: Store;
  readonly stamps?: NonNullable<Store['stamps']>;
  readonly load?: NonNullable<Store['load']>;
  readonly replicaLag?: NonNullable<Store['replicaLag']>;
  readonly #migration: string;
  readonly #side: Side;
  readonly #clock: Clock;
  #connected = false;
  #connecting: Promise<void> | null = null;
  #failure: { readonly error: unknown; readonly at: number } | null = null;

  constructor(inner: Store, migration: string, side: Side, clock: Clock) {
    this.inner = inner;
    this.#migration = migration;
    this.#side = side;
    this.#clock = clock;
    // What a store cannot do is absent.
    const { stamps, load, replicaLag } = inner;
    if (stamps) this.stamps = (keys) => this.#read(() => stamps.call(inner, keys));
    if (load) this.load = (entries, deadline) => this.#write(() => load.call(inner, entries, deadline));
    if (replicaLag) this.replicaLag = () => this.#read(() => replicaLag.call(inner));
  }

  get label(): string {
    return this.inner.label;
  }

  get capabilities(): Store['capabilities'] {
    return this.inner.capabilities;
  }

  get native(): unknown {
    return this.inner.native;
  }

  get pressure(): number {
    return this.inner.pressure ?? 0;
  }

  get digests(): Store['digests'] {
    return this.inner.digests;
  }

  get away(): boolean {
    return !this.#connected;
  }

  open(): Promise<void> {
    if (this.#connected) return Promise.resolve();
    this.#connecting ??= this.#connect();
    return this.#connecting;
  }

  async #connect(): Promise<void> {
    try {
      await this.inner.open();
      this.#connected = true;
    } catch (error) {
      const told = this.#told(error);
      this.#failure = { error: told, at: this.#clock.monotonic() };
      throw told;
    } finally {
      this.#connecting = null;
    }
  }

  #told(error: unknown): unknown {
    if (!(error instanceof StoreFault)) return error;
    return new StoreFault(`the ${this.#side} store of ${this.#migration} cannot be reached: ${error.message}`, {
      // However the attempt to connect ended: whoever is told this has sent nothing.
      ...{ outcome: 'nothing-written', pressure: error.pressure, cause: error },
      ...remedyOf(this.#side, this.#migration),
    });
  }

  /** Connected, or why not: each caller does not try again by itself. */
  #ready(): Promise<void> {
    const { error, at } = this.#failure ?? { error: null, at: Number.NEGATIVE_INFINITY };
    const asked = this.#connecting === null && this.#clock.monotonic() - at < AGAIN_MS;
    return asked && !this.#connected ? Promise.reject(error) : this.open();
  }

  #read<T>(ask: (store: Store) => Promise<T>): Promise<T> {
    return this.#connected ? ask(this.inner) : this.#ready().then(() => ask(this.inner));
  }

  #write<T>(send: (store: Store) => Promise<T>): Promise<T> {
    if (this.#connected) return send(this.inner);
    // The next one finds it connected, perhaps.
    this.#ready().catch(() => {});
    return Promise.reject(
      this.#failure?.error instanceof StoreFault
        ? this.#failure.error
        : new StoreFault(`the ${this.#side} store of ${this.#migration} is not connected yet`, {
            outcome: 'nothing-written',
            remedy: 'try again; nothing was written',
          }),
    );
  }

  async close(): Promise<void> {
    await this.inner.close();
  }

  now(): number {
    return this.inner.now();
  }

  async pair(other: Store): Promise<StorePair | null> {
    return (await this.inner.pair?.(other instanceof LateStore ? other.inner : other)) ?? null;
  }

  prepare: Store['prepare'] = (options) => this.#read((store) => store.prepare(options));
  prepared: Store['prepared'] = () => this.#read((store) => store.prepared());
  /** Looks also at what cannot be opened. */
  inspect: Store['inspect'] = async () => {
    await this.#ready().catch(() => {});
    return this.inner.inspect();
  };
  /** What it would say is not known before its tables were looked at: then the write itself decides. */
  check: Store['check'] = (entry) => (this.#connected ? this.inner.check(entry) : null);
  roundTrip: Store['roundTrip'] = (entry) => this.inner.roundTrip(entry);
  get: Store['get'] = (id, key) => this.#read((store) => store.get(id, key));
  getMany: Store['getMany'] = (keys, options) => this.#read((store) => store.getMany(keys, options));
  putIfNewer: Store['putIfNewer'] = (entry, deadline) => this.#write((store) => store.putIfNewer(entry, deadline));
  putManyIfNewer: Store['putManyIfNewer'] = (entries, deadline) =>
    this.#write((store) => store.putManyIfNewer(entries, deadline));
  compareAndSet: Store['compareAndSet'] = (entry, expected, deadline) =>
    this.#write((store) => store.compareAndSet(entry, expected, deadline));
  putPlain: Store['putPlain'] = (entry, deadline) => this.#write((store) => store.putPlain(entry, deadline));
  partitions: Store['partitions'] = (count) => this.#read((store) => store.partitions(count));
  list: Store['list'] = (unit, after, limit) => this.#read((store) => store.list(unit, after, limit));
  decode: Store['decode'] = (row) => this.inner.decode(row);
  estimate: Store['estimate'] = () => this.#read((store) => store.estimate());
  wipe: Store['wipe'] = (options) => this.#read((store) => store.wipe(options));
  finish: Store['finish'] = (options) => this.#read((store) => store.finish(options));

  async *scan(partition: Parameters<Store['scan']>[0], options: ScanOptions): AsyncGenerator<ScanPage> {
    await this.#ready();
    yield* this.inner.scan(partition, options);
  }
}
