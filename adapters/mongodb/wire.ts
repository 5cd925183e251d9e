import type { Collection, Db, Document, FindOptions, MongoClient } from 'mongodb';
import { type Clock, sleep } from '../../src/core/clock.ts';
import { Closed, Interrupted, InvalidConfiguration } from '../../src/core/errors.ts';
import { ServerClock } from '../../src/core/server-clock.ts';
import type { DriverModule, RawDocument } from './bson-reader.ts';
import { classify, faultOf, isRepeatable, type Verdict } from './faults.ts';
import type { ResolvedOptions } from './options.ts';
import { type Found, findRaw } from './raw-find.ts';

/** A command that writes, made for the moment at which it may start at the latest. */
export type WriteCommand = (latest: Date) => Document;

/** What became of a write. */
export type WriteAnswer =
  | { readonly kind: 'done'; readonly reply: Document }
  | { readonly kind: 'failed'; readonly verdict: Verdict }
  | { readonly kind: 'expired' };

/** Where a command that the server lets run may run to the end: half of what is left until the deadline, at most so long. */
const MOST_RUN_MS = 10_000;
/** How long a primary is looked for, unless the URL says: then it is certain that nothing was sent. */
const SELECTION_MS = 3_000;
/** How long after the server's own limit an answer is awaited; longer than a primary is looked for. */
const ANSWER_SLACK_MS = 3_500;
const FIRST_DELAY_MS = 20;
/** So exactly is the server's clock told, or it is not used at all. */
export const CLOCK_ERROR_MS = 250;
const LONGEST_TIMER_MS = 2 ** 31 - 1;
const POOL_SIZE = 100;

/** Why a request was given up: it may or may not have been carried out. */
class NoAnswerInTime extends Error {
  override readonly name = 'NoAnswerInTime';
}

/** What keeps apart in answers what the driver would otherwise make one. */
const LOSSLESS = {
  promoteValues: true,
  promoteLongs: false,
  promoteBuffers: false,
  useBigInt64: false,
  bsonRegExp: true,
  raw: false,
} as const;

const NOT_BY_MAJORITY: Verdict = {
  kind: 'fault',
  outcome: 'unknown',
  pressure: false,
  passing: false,
  name: 'no majority in time',
};

/** Sends commands to the primary: writes with their deadline, reads with their time limit. */
export class Wire {
  readonly driver: DriverModule;
  readonly clock: Clock;
  readonly label: string;
  readonly client: MongoClient;
  readonly db: Db;
  /** For named queries: 64-bit integers and bytes come as the driver's objects, which {@link Store.decode} reads. */
  readonly collection: Collection;
  readonly serverClock: ServerClock;
  readonly #options: ResolvedOptions;
  readonly #owned: boolean;
  #closed = false;
  /** A standalone server knows no majority. */
  replicated = true;

  constructor(driver: DriverModule, options: ResolvedOptions, clock: Clock) {
    this.driver = driver;
    this.#options = options;
    this.clock = clock;
    this.label = `mongodb ${options.collection}`;
    this.#owned = options.client === null;
    this.client = options.client ?? connectTo(driver, options);
    this.db = this.client.db(options.database, { ...LOSSLESS, readPreference: 'primary' });
    const strong = { readPreference: 'primary', readConcern: { level: 'majority' } } as const;
    this.collection = this.db.collection(options.collection, { ...LOSSLESS, ...strong, ignoreUndefined: true });
    this.serverClock = new ServerClock(clock, this.label, CLOCK_ERROR_MS, async () => {
      const { localTime } = await this.db.command({ hello: 1 });
      // The server says whole milliseconds.
      return (localTime as Date).getTime() + 0.5;
    });
  }

  get maxInFlight(): number {
    return this.#options.maxInFlight;
  }

  now(): number {
    return this.serverClock.now();
  }

  /** Connects, also when that has failed before: a client that found no server looks for none again by itself. */
  connect(): Promise<void> {
    const made = (signal: AbortSignal) =>
      new Promise<void>((resolve, reject) => {
        signal.addEventListener('abort', () => reject(signal.reason), { once: true });
        this.client.connect().then(() => resolve(), reject);
      });
    return this.read('connecting', made);
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.serverClock.stop();
    if (this.#owned) await this.client.close();
  }

  get writeConcern(): Document {
    return { w: 'majority' };
  }

  /**
   * One command that writes. The server takes `$$NOW` when a command starts, so what it may wait for afterwards counts
   * against the deadline too: a command may start in the first half of the time that is left, and is killed when it
   * has run for the second. Nothing is sent again by the driver; by us only what was surely not carried out.
   */
  async write(command: WriteCommand, deadline: number): Promise<WriteAnswer> {
    let last: Verdict | null = null;
    for (let attempt = 1; ; attempt += 1) {
      const left = deadline - this.now();
      if (left <= 0) return last === null ? { kind: 'expired' } : { kind: 'failed', verdict: last };
      const maxTimeMS = Math.max(1, Math.min(MOST_RUN_MS, Math.floor(left / 2)));
      const document = { ...command(new Date(deadline - maxTimeMS)), maxTimeMS, writeConcern: this.writeConcern };
      try {
        const reply = await this.#once(left + ANSWER_SLACK_MS, (signal) =>
          this.db.command(document, { ...LOSSLESS, signal, readPreference: 'primary' }),
        );
        // It was carried out, but a majority may not have it: after a failover it may be gone.
        if (reply['writeConcernError'] !== undefined) return { kind: 'failed', verdict: NOT_BY_MAJORITY };
        return { kind: 'done', reply };
      } catch (error) {
        if (error instanceof Closed) throw error;
        const verdict = classify(error);
        if (verdict.kind === 'expired') return { kind: 'expired' };
        if (verdict.kind === 'fault') this.serverClock.refresh();
        last = verdict;
        const again = verdict.passing && verdict.outcome === 'nothing-written' && attempt < this.#options.maxAttempts;
        if (!again) return { kind: 'failed', verdict };
        await this.pause(attempt);
      }
    }
  }

  /** Documents as the server sent them. Repeated once after what passes, as the driver repeats reads. */
  async find(filter: Document, options: FindOptions, signal?: AbortSignal): Promise<RawDocument[]> {
    return (await this.#found(filter, options, null, signal)).documents;
  }

  /** The first of these documents: `atLeast` so many, and what else the server puts into an answer. Large ones are few. */
  page(filter: Document, options: FindOptions, atLeast: number, signal?: AbortSignal): Promise<Found> {
    return this.#found(filter, options, atLeast, signal);
  }

  #found(filter: Document, options: FindOptions, atLeast: number | null, signal?: AbortSignal): Promise<Found> {
    const { collection, readTimeoutMs } = this.#options;
    // All of a page in the first answer: unasked the server puts no more than 101 documents there.
    const page = options.limit === undefined ? {} : { batchSize: options.limit + 1 };
    const all: FindOptions = { maxTimeMS: readTimeoutMs, ...page, ...options };
    return this.#look('find', { find: collection, filter, ...all }, all.batchSize, atLeast, signal);
  }

  /** What a pipeline over the collection brings, in one answer that has room for `most`. */
  async aggregate(pipeline: readonly Document[], most: number): Promise<RawDocument[]> {
    const { collection } = this.#options;
    const command = { aggregate: collection, pipeline, allowDiskUse: true, cursor: { batchSize: most } };
    return (await this.#look('aggregate', command, most, null)).documents;
  }

  #look(
    operation: 'find' | 'aggregate',
    command: Document,
    batchSize: number | undefined,
    atLeast: number | null,
    signal?: AbortSignal,
  ): Promise<Found> {
    const { client, db } = this;
    const { collection } = this.#options;
    // The name of the command stands first.
    const all = { ...command, readConcern: command['readConcern'] ?? { level: 'majority' } };
    return this.read(
      operation,
      (abort) => {
        const look = () => findRaw({ client, db, collection, command: all, batchSize, signal: abort, atLeast });
        return look().catch((error: unknown) => {
          if (abort.aborted || this.#closed || !isRepeatable(error)) throw error;
          return look();
        });
      },
      signal,
    );
  }

  /** One record, as strongly as configured. */
  async findOne(filter: Document, options: FindOptions = {}): Promise<RawDocument | undefined> {
    const level = this.replicated ? this.#options.readConcern : 'local';
    const found = await this.find(filter, { ...options, limit: 1, singleBatch: true, readConcern: { level } });
    return found[0];
  }

  /** A read, or a write of which nothing depends on how often it is carried out. */
  async read<T>(operation: string, send: (signal: AbortSignal) => Promise<T>, signal?: AbortSignal): Promise<T> {
    this.proceed(operation, signal);
    try {
      return await this.#once(this.#options.readTimeoutMs + ANSWER_SLACK_MS, send, signal);
    } catch (error) {
      if (error instanceof Closed) throw error;
      this.proceed(operation, signal);
      const verdict = classify(error);
      if (verdict.kind === 'fault') this.serverClock.refresh();
      throw faultOf(this.label, operation, verdict);
    }
  }

  async #once<T>(limitMs: number, send: (signal: AbortSignal) => Promise<T>, signal?: AbortSignal): Promise<T> {
    if (this.#closed) throw new Closed(`${this.label} is closed`);
    const controller = new AbortController();
    const abort = (): void => controller.abort(new NoAnswerInTime());
    const timer = this.clock.after(Math.min(limitMs, LONGEST_TIMER_MS), abort);
    signal?.addEventListener('abort', abort, { once: true });
    try {
      return await send(controller.signal);
    } finally {
      timer.cancel();
      signal?.removeEventListener('abort', abort);
    }
  }

  /** Waits a random part of a doubling time: full jitter. */
  pause(attempt: number): Promise<void> {
    return sleep(this.clock, this.#options.random() * FIRST_DELAY_MS * 2 ** (attempt - 1));
  }

  /** Throws when the signal says so; between the steps of long work. */
  proceed(operation: string, signal: AbortSignal | undefined): void {
    if (signal?.aborted) {
      throw new Interrupted(`${this.label}: ${operation} was interrupted`, { cause: signal.reason });
    }
  }
}

function connectTo(driver: DriverModule, options: ResolvedOptions): MongoClient {
  try {
    return new driver.MongoClient(options.url ?? '', {
      appName: 'changeover',
      // A repeated write with a transaction number makes the server keep the old document each time; stamps do as well.
      retryWrites: false,
      // Options here would override those of the URL.
      ...(/[?&]serverSelectionTimeoutMS=/i.test(options.url ?? '') ? {} : { serverSelectionTimeoutMS: SELECTION_MS }),
      ...(/[?&]maxPoolSize=/i.test(options.url ?? '') ? {} : { maxPoolSize: POOL_SIZE }),
    });
  } catch (error) {
    // The driver's text may hold parts of the URL.
    throw new InvalidConfiguration(`mongodb: the driver cannot read "url" (${(error as Error).name})`, {
      expected: 'mongodb://user:password@host:port/database?options, with special characters percent-encoded',
    });
  }
}

/** Runs `work` for every item, at most `width` at a time, and answers in their order. */
export async function pooled<T, R>(items: readonly T[], width: number, work: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = new Array(items.length);
  const queue = items.entries();
  const worker = async (): Promise<void> => {
    for (const [i, item] of queue) results[i] = await work(item);
  };
  await Promise.all(Array.from({ length: Math.min(width, items.length) }, worker));
  return results;
}
