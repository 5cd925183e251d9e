import { murmur3 } from '../src/core/bucket.ts';
import { sleep } from '../src/core/clock.ts';
import { StoreFault } from '../src/core/errors.ts';
import type { KeySpec } from '../src/core/record-key.ts';
import type { Entry, Partition, Store } from '../src/core/store.ts';
import type { CompareRules } from './compare.ts';
import { backOff, inParallel, type RetryContext, readAgain, STORE_ATTEMPTS } from './in-parallel.ts';
import { recordDigest } from './record-digest.ts';
import type { Spill } from './spill.ts';

export interface ScanJob extends RetryContext {
  readonly store: Store;
  readonly keys: KeySpec;
  readonly includes: (unit: string) => boolean;
  readonly rules: CompareRules;
  readonly spill: Spill;
  /** Into how many shares the store is split, and how many of them are scanned at once. */
  readonly partitions: number;
  readonly concurrency: number;
  readonly pageSize: number;
  /** Told of a failure at once, so that nothing goes on beside it. */
  readonly fail: (error: unknown) => void;
  readonly onPage: (records: number, bytes: number) => void;
}

/** For how long the loop may keep the event loop to itself. */
const SLICE_MS = 20;

/** Reads all of a store, in the store's own order, into its spill. */
export async function scanStore(job: ScanJob): Promise<void> {
  try {
    const partitions = await readAgain(job, () => job.store.partitions(job.partitions));
    await inParallel(partitions, job.concurrency, async (partition) => {
      await scanPartition(job, partition).catch((error: unknown) => {
        job.fail(error);
        throw error;
      });
    });
    await job.spill.seal();
  } catch (error) {
    job.fail(error);
    throw error;
  }
}

async function scanPartition(job: ScanJob, partition: Partition): Promise<void> {
  const { store, spill, signal, clock, pageSize } = job;
  let cursor: string | undefined;
  let sliceFrom = clock.monotonic();
  for (let attempt = 1; ; attempt += 1) {
    signal.throwIfAborted();
    try {
      for await (const page of store.scan(partition, { cursor, pageSize, signal })) {
        signal.throwIfAborted();
        attempt = 1;
        take(job, page.entries);
        cursor = page.cursor;
        await spill.relieve();
        if (clock.monotonic() - sliceFrom >= SLICE_MS) {
          await sleep(clock, 0, signal);
          sliceFrom = clock.monotonic();
        }
      }
      return;
    } catch (error) {
      if (signal.aborted || !(error instanceof StoreFault) || attempt >= STORE_ATTEMPTS) throw error;
      await backOff(job, attempt);
    }
  }
}

function take({ keys, includes, rules, spill, onPage }: ScanJob, entries: readonly Entry[]): void {
  let records = 0;
  let bytes = 0;
  for (const { id, key, stamp, value } of entries) {
    // A tombstone is no record: for a key that the other side holds, the point read finds it.
    if (value === null || !includes(keys.unit(key))) continue;
    const digest = recordDigest(id, value, rules);
    spill.append(partitionOf(id, spill.partitions), id, digest.digest, stamp);
    records += 1;
    bytes += digest.bytes;
  }
  onPage(records, bytes);
}

const partitionOf = (id: string, partitions: number): number => murmur3('', id) % partitions;
