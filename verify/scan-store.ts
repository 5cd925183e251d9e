import { sleep } from '../src/core/clock.ts';
import { StoreFault } from '../src/core/errors.ts';
import { PageSize } from '../src/core/page-size.ts';
import { isPlanted } from '../src/core/planted.ts';
import type { KeySpec } from '../src/core/record-key.ts';
import type { Side } from '../src/core/stage.ts';
import type { Stamp } from '../src/core/stamp.ts';
import type { Entry, Partition, Store } from '../src/core/store.ts';
import type { Key } from '../src/core/value.ts';
import { fittingPages } from './fitting-pages.ts';
import { backOff, inParallel, type RetryContext, readAgain, STORE_ATTEMPTS } from './in-parallel.ts';
import type { RecordDigests } from './record-digest.ts';

/** Where the digests of a scan go. */
export interface DigestSink {
  /** Hash partitions. */
  readonly partitions: number;
  append(partition: number, id: string, digest: Int32Array, stamp: Stamp | null): void;
  /** Called after every page, with the place behind it where there is one. */
  relieve(cursor: string | null): Promise<void>;
}

/** What a scan needs, whoever does it. */
export interface PartitionScan extends RetryContext {
  readonly side: Side;
  readonly store: Store;
  readonly keys: KeySpec;
  /** Null where every unit is. */
  readonly includes: ((unit: string) => boolean) | null;
  readonly digests: RecordDigests;
  /** Which planted records are this run's; others are told of and left out. */
  readonly planted: { has(id: string): boolean; leftover(entry: Entry): void };
  readonly sink: DigestSink;
  readonly pageSize: number;
  /** What is known of the store's records, for all its partitions. @default what this scan finds out */
  readonly pages?: PageSize;
  readonly onPage: (records: number) => void;
}

export interface ScanJob extends PartitionScan {
  /** Only this unit, where the store can list; `includes` tells it from others anyway. */
  readonly unit: Key | null;
  /** Only these shares, where it is known that the others are equal. */
  readonly only: readonly Partition[] | null;
  /** Into how many shares the store is split, and how many of them are scanned at once. */
  readonly partitions: number;
  readonly concurrency: number;
  /** Told of a failure at once, so that nothing goes on beside it. */
  readonly fail: (error: unknown) => void;
}

/** For how long the loop may keep the event loop to itself. */
const SLICE_MS = 20;

/** Reads all of a store, in the store's own order. */
export async function scanStore(job: ScanJob): Promise<void> {
  try {
    if (job.unit !== null && job.store.capabilities.list) {
      await listUnit(job, job.unit);
      return;
    }
    const partitions = job.only ?? (await readAgain(job, () => job.store.partitions(job.partitions)));
    const atOnce = Math.min(job.concurrency, job.store.capabilities.scans ?? job.concurrency);
    await inParallel(partitions, atOnce, async (partition) => {
      await scanPartition(job, partition).catch((error: unknown) => {
        job.fail(error);
        throw error;
      });
    });
  } catch (error) {
    job.fail(error);
    throw error;
  }
}

/** Reads one share of a store, from its beginning or from where an earlier scan of it stood. */
export async function scanPartition(
  job: PartitionScan,
  partition: Partition,
  from: string | null = null,
): Promise<void> {
  const { store, sink, signal, clock, pageSize, pages = new PageSize() } = job;
  let cursor: string | undefined = from ?? undefined;
  let sliceFrom = clock.monotonic();
  for (let attempt = 1; ; attempt += 1) {
    signal.throwIfAborted();
    try {
      const options = { cursor, pageSize, signal, recordsOnly: true };
      for await (const page of fittingPages(store, partition, pages, options)) {
        signal.throwIfAborted();
        attempt = 1;
        takeEntries(job, page.entries);
        cursor = page.cursor;
        await sink.relieve(cursor);
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

async function listUnit(job: ScanJob, unit: Key): Promise<void> {
  const { store, sink, signal, pageSize, pages = new PageSize() } = job;
  for (let after: Key | null = null; ; ) {
    signal.throwIfAborted();
    const from: Key | null = after;
    const entries: readonly Entry[] = await readAgain(job, () => store.list(unit, from, pages.for(pageSize)));
    takeEntries(job, entries);
    pages.learn(entries);
    await sink.relieve(null);
    after = entries.at(-1)?.key ?? null;
    // A page that is not full may be one from which the store took entries that are not the unit's.
    if (after === null) return;
  }
}

/** Makes the digests of entries that were read. */
export function takeEntries(
  { side, keys, includes, digests, planted, sink, onPage }: PartitionScan,
  entries: readonly Entry[],
): void {
  let records = 0;
  for (let i = 0; i < entries.length; i += 1) {
    const entry = entries[i] as Entry;
    const { id, stamp, value } = entry;
    // A tombstone is no record: for a key that the other side holds, the point read finds it.
    if (value === null) continue;
    const ours = isPlanted(stamp);
    if (ours && !planted.has(id)) {
      planted.leftover(entry);
      continue;
    }
    if (includes !== null && !includes(keys.unit(entry.key))) continue;
    const unread = entry.unreadable === undefined ? undefined : side;
    const partition = (digests.make(id, value, unread) >>> 0) % sink.partitions;
    sink.append(partition, id, digests.lanes, stamp);
    if (!ours) records += 1;
  }
  onPage(records);
}
