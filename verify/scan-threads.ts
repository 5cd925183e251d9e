import { Worker } from 'node:worker_threads';
import { errorFromJson } from '../src/core/revive-error.ts';
import type { Side } from '../src/core/stage.ts';
import type { Partition, Store } from '../src/core/store.ts';
import type { CompareRules } from './compare.ts';
import { settleAll } from './in-parallel.ts';
import { keyFromId } from './key-text.ts';
import type { ScanChunk, ScanPlan } from './scan-share.ts';
import type { ThreadOrder, ThreadRequest, ThreadResponse } from './scan-thread.ts';

/** The scan of both stores by threads of this process. */
export interface ThreadedScan {
  readonly threads: number;
  readonly stores: Readonly<Record<Side, Store>>;
  readonly keyFields: readonly string[];
  readonly rules: CompareRules;
  readonly plan: ScanPlan;
  readonly partitions: Readonly<Record<Side, readonly Partition[]>>;
  readonly adopt: (side: Side, chunk: ScanChunk) => Promise<void>;
  readonly signal: AbortSignal;
}

/** Partitions that a thread scans at once: one is read while the other is hashed. */
const LANES = 2;
/** Below, starting threads takes longer than they save. */
const WORTH_THREADS = 200_000;
const MOST_THREADS = 4;
/** Room for pages that are being read: collected while they are young, they would be copied again and again. */
const YOUNG_MB = 48;
const ENTRY = new URL('./scan-thread.ts', import.meta.url);

/** How many threads a scan of so many records of both stores is worth. */
export const threadsFor = (records: number, processors: number): number =>
  records < WORTH_THREADS ? 0 : Math.min(MOST_THREADS, processors);

interface Running {
  readonly side: Side;
  readonly done: () => void;
}

class ScanThread {
  readonly ready: Promise<void>;
  readonly #worker: Worker;
  readonly #exited = Promise.withResolvers<void>();
  readonly #failed = Promise.withResolvers<never>();
  readonly #running = new Map<number, Running>();
  readonly #adopt: (side: Side, chunk: ScanChunk) => Promise<void>;
  readonly #keyFields: readonly string[];

  constructor({ rules, plan, keyFields, adopt }: ThreadedScan, stores: ThreadOrder['stores']) {
    this.#adopt = adopt;
    this.#keyFields = keyFields;
    const ready = Promise.withResolvers<void>();
    const order: ThreadOrder = { stores, rules, plan };
    this.#worker = new Worker(ENTRY, {
      workerData: order,
      name: 'changeover-scan',
      resourceLimits: { maxYoungGenerationSizeMb: YOUNG_MB },
    });
    this.#worker.on('message', (response: ThreadResponse) => {
      if (response.kind === 'ready') ready.resolve();
      else if (response.kind === 'failed') this.#failed.reject(errorFromJson(response.error));
      else this.#take(response).catch(this.#failed.reject);
    });
    this.#worker.on('error', this.#failed.reject);
    this.#worker.on('exit', () => {
      this.#failed.reject(new Error('a thread that scanned ended'));
      this.#exited.resolve();
    });
    // Whoever waits meets the failure; this keeps it from counting as unhandled when nobody does any more.
    this.#failed.promise.catch(() => undefined);
    this.ready = Promise.race([ready.promise, this.#failed.promise]);
  }

  #send(request: ThreadRequest): void {
    this.#worker.postMessage(request);
  }

  async #take(chunk: Extract<ThreadResponse, { kind: 'chunk' }>): Promise<void> {
    const { scan, data, records, leftovers, done } = chunk;
    const { side, done: end } = this.#running.get(scan) as Running;
    await this.#adopt(side, {
      data: Buffer.from(data.buffer, data.byteOffset, data.byteLength),
      records,
      leftovers: leftovers.map((id) => ({ id, key: keyFromId(id, this.#keyFields) })),
    });
    if (done) {
      this.#running.delete(scan);
      end();
    } else this.#send({ kind: 'taken', scan });
  }

  /** Resolves when all of the partition is adopted. */
  scan(number: number, side: Side, partition: Partition): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#running.set(number, { side, done: resolve });
    this.#send({ kind: 'scan', scan: number, side, partition });
    return Promise.race([promise, this.#failed.promise]);
  }

  /** Lets it close its stores and end. */
  async close(): Promise<void> {
    this.#send({ kind: 'close' });
    await this.#exited.promise;
  }

  async stop(): Promise<void> {
    await this.#worker.terminate();
  }
}

/** Partitions of both stores by turns, so that two servers are busy at once. */
function byTurns(partitions: ThreadedScan['partitions']): (readonly [Side, Partition])[] {
  const { old, new: fresh } = partitions;
  return Array.from({ length: Math.max(old.length, fresh.length) }).flatMap((_, i) => [
    ...(old[i] === undefined ? [] : [['old', old[i]] as const]),
    ...(fresh[i] === undefined ? [] : [['new', fresh[i]] as const]),
  ]);
}

/**
 * Has both stores scanned by threads, and adopts every chunk of theirs once.
 * @returns false where threads cannot open the stores, and nothing was done
 */
export async function scanByThreads(scan: ThreadedScan): Promise<boolean> {
  const { old, new: fresh } = scan.stores;
  if (scan.threads < 1 || old.elsewhere === undefined || fresh.elsewhere === undefined) return false;
  const stores = { old: old.elsewhere, new: fresh.elsewhere };
  const threads = Array.from({ length: scan.threads }, () => new ScanThread(scan, stores));
  const stop = (): void => void Promise.allSettled(threads.map((thread) => thread.stop()));
  scan.signal.addEventListener('abort', stop, { once: true });
  try {
    const ready = await Promise.allSettled(threads.map((thread) => thread.ready));
    scan.signal.throwIfAborted();
    // What keeps a thread from its stores is met again here, and told by name.
    if (ready.some(({ status }) => status === 'rejected')) return false;
    const lanes = Math.min(LANES, old.capabilities.scans ?? LANES, fresh.capabilities.scans ?? LANES);
    const queue = byTurns(scan.partitions).entries();
    const lane = async (thread: ScanThread): Promise<void> => {
      for (const [number, [side, partition]] of queue) await thread.scan(number, side, partition);
    };
    const work = threads.flatMap((thread) => Array.from({ length: lanes }, () => lane(thread)));
    // The first failure ends all threads; that they ended says nothing.
    await Promise.all(work).catch(async (error: unknown) => {
      stop();
      await Promise.allSettled(work);
      throw error;
    });
    await settleAll(threads.map((thread) => thread.close()));
    return true;
  } catch (error) {
    scan.signal.throwIfAborted();
    throw error;
  } finally {
    scan.signal.removeEventListener('abort', stop);
    await Promise.allSettled(threads.map((thread) => thread.stop()));
  }
}
