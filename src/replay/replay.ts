import PQueue from 'p-queue';
import type { Clock, Random } from '../core/clock.ts';
import { Interrupted } from '../core/errors.ts';
import type { Settings } from '../core/settings.ts';
import type { Entry, Partition, Rejection, ScanPage, Store } from '../core/store.ts';
import { again, putNewer } from './put-newer.ts';
import { Throttle } from './throttle.ts';

/** A share of a replay and how far it is; what a checkpoint holds. */
export interface ReplayShare {
  readonly id: number;
  readonly partition: Partition;
  cursor: string | null;
  done: boolean;
  scanned: number;
  applied: number;
  skipped: number;
  rejected: number;
}

/** Where checkpoints go. */
export interface ReplayJournal {
  /** Makes the shares durable. `yours: false` stops the replay: it was cancelled or taken over. */
  checkpoint(
    shares: readonly ReplayShare[],
    deadlineLimit: number,
  ): Promise<{ readonly yours: boolean; readonly settings: Settings }>;
}

export interface ReplayOptions {
  readonly source: Store;
  readonly target: Store;
  readonly shares: readonly ReplayShare[];
  /** True for the entries that are replayed. */
  readonly includes: (entry: Entry) => boolean;
  readonly journal: ReplayJournal;
  readonly settings: Settings;
  readonly clock: Clock;
  readonly random: Random;
  readonly signal?: AbortSignal | undefined;
  /** The target refuses an entry; the replay goes on (R19). */
  readonly onRejected: (entry: Entry, rejection: Rejection) => Promise<void>;
  readonly onProgress?: ((shares: readonly ReplayShare[]) => void) | undefined;
  /** @default 500 */
  readonly pageSize?: number;
  /** Partitions scanned at once. @default 4 */
  readonly lanes?: number;
  /** @default 500 */
  readonly checkpointMs?: number;
}

/** How far ahead a checkpoint promises deadlines, so that puts seldom wait for one, ms. */
const AHEAD_MS = 5_000;

/**
 * Copies entries from a source to a target by put-if-newer (R10): backfill, repair of ranges, and crash recovery are
 * this. It scans fuzzily, partitions in parallel, reads the target's stamps a page at a time and puts only what differs.
 * A checkpoint is written after the puts that it describes are definite, so a resumed replay skips nothing; what it
 * repeats is put with the same stamps and changes nothing.
 *
 * @throws Interrupted when aborted, cancelled or taken over; the checkpoints stand
 */
export async function replay(options: ReplayOptions): Promise<void> {
  const { clock, random, source, target, shares, journal, includes } = options;
  const pageSize = options.pageSize ?? 500;
  const stop = new AbortController();
  const signal = options.signal === undefined ? stop.signal : AbortSignal.any([options.signal, stop.signal]);
  const throttle = new Throttle(clock);
  const queue = new PQueue({ concurrency: options.lanes ?? 4 });
  let settings = options.settings;
  let durableLimit = 0;
  throttle.setRate(settings.replayRate);

  let lastCheckpoint = clock.monotonic();
  let writing: Promise<void> | undefined;
  const checkpoint = (): Promise<void> => {
    writing ??= (async () => {
      lastCheckpoint = clock.monotonic();
      const limit = Math.floor(target.now()) + settings.putTimeoutMs + AHEAD_MS;
      // A copy: lanes go on while it is written, and what it says must be true when it is read back.
      const receipt = await journal.checkpoint(
        shares.map((share) => ({ ...share })),
        limit,
      );
      if (receipt.yours) durableLimit = limit;
      settings = receipt.settings;
      throttle.setRate(settings.replayRate);
      if (!receipt.yours) stop.abort(new Interrupted('the replay was cancelled or is run by somebody else now'));
    })().finally(() => {
      writing = undefined;
    });
    return writing;
  };

  /** A put may not come later than what is durable: a runner that slept finds out that it lost its replay first. */
  const deadline = async (): Promise<number> => {
    for (;;) {
      signal.throwIfAborted();
      const wanted = Math.floor(target.now()) + settings.putTimeoutMs;
      if (wanted <= durableLimit) return wanted;
      await checkpoint();
    }
  };

  const putPage = async (share: ReplayShare, page: ScanPage): Promise<void> => {
    const wanted = page.entries.filter(includes);
    let applied = 0;
    let skipped = 0;
    let rejected = 0;
    const step = Math.max(1, Math.min(settings.replayConcurrency, target.capabilities.batchSize));
    for (let at = 0; at < wanted.length; at += step) {
      const batch = wanted.slice(at, at + step);
      await throttle.take(batch.length, signal);
      const result = await putNewer(batch, {
        target,
        clock,
        random,
        signal,
        deadline,
      });
      if (result.pressed) throttle.ease();
      for (const { entry, rejection } of result.rejected) await options.onRejected(entry, rejection);
      applied += result.applied;
      skipped += result.skipped;
      rejected += result.rejected.length;
    }
    // All at once with the cursor: a checkpoint of another lane must not count what a resume would count again.
    share.scanned += page.entries.length;
    share.applied += applied;
    share.skipped += skipped;
    share.rejected += rejected;
    share.cursor = page.cursor;
  };

  const runShare = async (share: ReplayShare): Promise<void> => {
    while (!share.done) {
      signal.throwIfAborted();
      const scan = source.scan(share.partition, { cursor: share.cursor ?? undefined, pageSize, signal });
      const pages = scan[Symbol.asyncIterator]();
      try {
        for (;;) {
          // A fault ends the iterator, so the read is repeated by a new scan from the share's cursor.
          const next = await pages.next();
          if (next.done === true) {
            share.done = true;
            break;
          }
          await putPage(share, next.value);
          options.onProgress?.(shares);
          if (clock.monotonic() - lastCheckpoint >= (options.checkpointMs ?? 500)) await checkpoint();
          signal.throwIfAborted();
        }
      } catch (error) {
        signal.throwIfAborted();
        await pages.return?.();
        throw error;
      }
    }
  };

  const scanAgain = (share: ReplayShare): Promise<void> =>
    again({ target: source, clock, random, signal }, () => runShare(share));

  try {
    await checkpoint();
    signal.throwIfAborted();
    const open = shares.filter((share) => !share.done);
    await Promise.all(
      open.map((share) =>
        queue
          .add(() => (signal.aborted ? undefined : scanAgain(share)))
          .catch((error: unknown) => {
            // The first failure stops the other lanes; they end at their next page.
            stop.abort(error);
            throw error;
          }),
      ),
    );
    signal.throwIfAborted();
    await writing;
    await checkpoint();
    signal.throwIfAborted();
  } catch (error) {
    queue.clear();
    await queue.onIdle();
    if (options.signal?.aborted === true && error === options.signal.reason) {
      await writing?.catch(() => {});
      await checkpoint().catch(() => {});
      throw new Interrupted('the replay was interrupted; the same command goes on from its checkpoint', {
        cause: error,
      });
    }
    throw error;
  }
}
