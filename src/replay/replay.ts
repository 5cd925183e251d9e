import PQueue from 'p-queue';
import type { Clock, Random } from '../core/clock.ts';
import { Interrupted } from '../core/errors.ts';
import { PageSize } from '../core/page-size.ts';
import type { Settings } from '../core/settings.ts';
import type { Entry, Rejection, Store } from '../core/store.ts';
import { Checkpoints, type ReplayJournal, type ReplayReceipt } from './checkpoints.ts';
import { EqualRuns } from './equal-runs.ts';
import { LagWatch } from './lag-watch.ts';
import { Putter } from './putter.ts';
import type { ReplayShare } from './replay-share.ts';
import { runShare } from './share-run.ts';
import { Throttle } from './throttle.ts';
import { Trouble } from './trouble.ts';
import { Window } from './window.ts';

export interface ReplayOptions {
  readonly source: Store;
  readonly target: Store;
  /** Any of a replay's shares: other runners may have the others. */
  readonly shares: readonly ReplayShare[];
  /** True for the entries that are replayed; looks at no value. Null is all. */
  readonly includes: ((entry: Entry) => boolean) | null;
  /** Told of every entry that is replayed and was read with its value. */
  readonly onRead?: ((entry: Entry) => void) | undefined;
  /** All are read with their values, also while the target has nearly all of them. @default false */
  readonly whole?: boolean;
  readonly journal: ReplayJournal;
  readonly settings: Settings;
  readonly clock: Clock;
  readonly random: Random;
  readonly signal?: AbortSignal | undefined;
  /** The target refuses an entry; the replay goes on (R19). */
  readonly onRejected: (entry: Entry, rejection: Rejection) => Promise<void>;
  readonly onProgress?: ((shares: readonly ReplayShare[]) => void) | undefined;
  /** No page has more entries. @default 2000 */
  readonly pageSize?: number;
  /** Partitions scanned at once. @default 4 */
  readonly lanes?: number;
  /** @default 400 */
  readonly checkpointMs?: number;
}

/** So that a changed setting is obeyed, and a crash repeats, within half a second with what a checkpoint itself takes. */
const CHECKPOINT_MS = 400;
const LANES = 4;
/** Of pages so large each lane has one at a time: while some are put, the others are read. */
const LARGE_PAGE = 2_000;

/**
 * Copies entries from a source to a target by put-if-newer (R10): backfill, repair of ranges, and crash recovery are
 * this. It scans fuzzily, partitions in parallel, and reads on while it puts: page size and puts in flight follow from
 * the target's answers, within what the settings allow. Memory is bounded by the window of puts and a page a lane.
 * A checkpoint describes only what is definite, so a resumed replay skips nothing; what it repeats is put with the same
 * stamps and changes nothing.
 *
 * @throws Interrupted when aborted, cancelled or taken over; the checkpoints stand
 */
export async function replay(options: ReplayOptions): Promise<void> {
  const { clock, random, source, target, shares, includes } = options;
  const stop = new AbortController();
  const signal = options.signal === undefined ? stop.signal : AbortSignal.any([options.signal, stop.signal]);
  const throttle = new Throttle(clock);
  const trouble = { reads: new Trouble(clock), puts: new Trouble(clock) };
  const replicas = new LagWatch(target, clock, (ms) => throttle.ease(`replica lag ${Math.round(ms / 1_000)} s`));
  const window = new Window(clock, target.capabilities.batchSize, options.settings.replayConcurrency);
  const pages = new PageSize(options.pageSize);
  const stampPages = new PageSize(options.pageSize);
  const queue = new PQueue({ concurrency: options.lanes ?? LANES });
  const onFailed = (error: unknown): void => stop.abort(error);

  const obey = ({ settings, paused = false, trafficMs = null }: ReplayReceipt): void => {
    throttle.setRate(settings.replayRate);
    throttle.setPaused(paused);
    window.setMost(settings.replayConcurrency);
    putter.latencyBudgetMs = settings.replayLatencyBudgetMs;
    // Services come first: while their calls are slow, the replay gives way.
    if (trafficMs !== null && settings.replayTrafficBudgetMs !== null && trafficMs > settings.replayTrafficBudgetMs) {
      throttle.ease(`calls of the services take ${Math.round(trafficMs)} ms (p99)`);
    }
    if (!paused) replicas.look(settings.replayLagBudgetMs);
  };
  /** Why it goes slower than it may, and how fast that is. */
  const eased = (): string | null => {
    if (throttle.eased !== null) return `${throttle.eased}; at most ${Math.round(throttle.limit ?? 0)} a second`;
    const narrowed = window.limit < window.most ? trouble.puts.current : null;
    return narrowed === null ? trouble.reads.current : `${narrowed}; at most ${window.limit} at once`;
  };
  const checkpoints = new Checkpoints({
    journal: options.journal,
    shares,
    target,
    clock,
    random,
    everyMs: options.checkpointMs ?? CHECKPOINT_MS,
    settings: options.settings,
    signal,
    eased,
    onReceipt: obey,
    onStop: onFailed,
  });
  const runs = new EqualRuns({ source, target, signal, throttle });
  const putter = new Putter({
    source,
    target,
    clock,
    random,
    signal,
    throttle,
    trouble,
    window,
    deadline: () => checkpoints.deadline(),
    pageSize: () => pages.for(putter.wanted(lanesOpen())),
    onRejected: options.onRejected,
  });

  const lanesOpen = (): number => Math.max(1, queue.pending);
  /** Enough for all that the window holds, shared out among the lanes, beside the one that is read meanwhile. */
  const ahead = (): number => {
    const lanes = lanesOpen();
    const wanted = putter.wanted(lanes);
    const page = pages.for(wanted);
    const held = Math.min(window.limit / page, pages.fitting(wanted) - lanes);
    if (held < 0 || (page >= LARGE_PAGE && held < lanes)) return 0;
    return Math.max(1, Math.ceil(held / lanes));
  };
  let pressure = source.pressure ?? 0;
  const stampsOnly = (): boolean => options.whole !== true && putter.stampsOnly;
  const run = (share: ReplayShare): Promise<void> =>
    runShare(share, {
      source,
      clock,
      random,
      signal,
      onFault: (fault) => trouble.reads.say(fault),
      includes,
      pageSize: (stampsOnly) => (stampsOnly ? stampPages : pages).for(putter.wanted(lanesOpen())),
      stampsOnly,
      equal: async (cursor) => (includes === null && stampsOnly() ? runs.next(share.partition, cursor) : null),
      onRead: options.onRead,
      ahead,
      ready: () => throttle.unpaused(signal),
      put: (entries, stampsOnly) => putter.put(entries, stampsOnly),
      onPage: (page, wanted, stampsOnly) => {
        (stampsOnly ? stampPages : pages).learn(page.entries, wanted);
        if ((source.pressure ?? 0) > pressure) throttle.ease(`${source.label} asks for less load`);
        pressure = source.pressure ?? 0;
      },
      onMoved: () => options.onProgress?.(shares),
      onFailed,
    });

  try {
    await checkpoints.write();
    signal.throwIfAborted();
    checkpoints.start();
    const open = shares.filter((share) => !share.done);
    await Promise.all(
      open.map((share) =>
        queue
          .add(() => (signal.aborted ? undefined : run(share)))
          .catch((error: unknown) => {
            // The first failure stops the other lanes; they end at their next page.
            onFailed(error);
            throw error;
          }),
      ),
    );
    signal.throwIfAborted();
    await checkpoints.finish();
    signal.throwIfAborted();
  } catch (error) {
    queue.clear();
    await queue.onIdle();
    // What is definite by now need not be repeated.
    await checkpoints.finish(1).catch(() => {});
    const reason: unknown = signal.aborted ? signal.reason : error;
    if (options.signal?.aborted === true && reason === options.signal.reason) {
      throw new Interrupted('the replay was interrupted; the same command goes on from its checkpoint', {
        cause: error,
      });
    }
    throw reason;
  } finally {
    await runs.close();
  }
}
