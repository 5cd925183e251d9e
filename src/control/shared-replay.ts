import type { Census } from '../../verify/census.ts';
import { sleep } from '../core/clock.ts';
import { ChangeoverError, ControlUnavailable, Interrupted, InvalidArgument } from '../core/errors.ts';
import { NOTHING } from '../core/intervals.ts';
import type { Settings } from '../core/settings.ts';
import type { ReplayReceipt } from '../replay/checkpoints.ts';
import { outwait } from '../replay/outwait.ts';
import type { ReplayShare } from '../replay/replay-share.ts';
import type { BackfillOptions, ReplayCopy, ReplaySummary } from './backfill.ts';
import type { ControllerParts } from './controller-parts.ts';
import { censusFor, isCounted } from './preflight.ts';
import { isFree, type LeaseName, type PartitionLease } from './replay-leases.ts';
import { easedOf, progressOf } from './replay-progress.ts';
import type { PartitionCensus, ReplayPartitionRow } from './replay-row.ts';
import type { ReplayWork } from './replays.ts';

/** Nobody else takes a replay, or a partition of one, while its holder keeps its checkpoints this fresh. */
export const LEASE_MS = 10_000;
/** Partitions that whoever began a replay works on at once. */
const SLOTS = 4;
/** A setting is obeyed within a second, by those too who wait for their turn; every lease of every machine writes one. */
const CHECKPOINT_MS = 600;
const LOOK_MS = 500;
/** A control plane that is begun anew ends nobody's part. */
const LOOKS = 40;
/** Nor does one that answers now and then; where nothing at all succeeds any more, this many failures do. */
const MOST_FAILURES = 24;

export interface WorkOptions {
  readonly signal?: AbortSignal | undefined;
  /** Told how far the partition is, whatever becomes of it. */
  readonly onProgress?: ((share: ReplayShare) => void) | undefined;
}

/** What became of a lease: the partition is done, or it is somebody else's by now. */
export interface WorkOutcome {
  readonly state: 'done' | 'lost';
  readonly share: ReplayShare;
}

/**
 * A replay whose partitions any number of processes work on. Leases and fences are rows of the control plane; what
 * carries word of a partition from one process to another may lose it or say it twice.
 */
export class SharedReplay {
  readonly #parts: ControllerParts;
  readonly #copy: (work: ReplayCopy) => Promise<void>;
  /** Leases that this process holds, by replay. */
  readonly #held = new Map<number, number>();

  constructor(parts: ControllerParts, copy: (work: ReplayCopy) => Promise<void>) {
    this.#parts = parts;
    this.#copy = copy;
  }

  /** Lets workers know of it, and does nothing else. @throws ControlUnavailable */
  async offer(work: ReplayWork): Promise<ReplaySummary> {
    const { migration, mapping, carrier } = this.#parts;
    const open = work.partitions.filter(({ done }) => !done);
    const { id: replay } = work.replay;
    await carrier?.offer(
      open.map(({ id: partition }) => ({ migration, mapping, work: 'replay', of: replay, partition })),
    );
    return {
      ...progressOf(work.replay, work.partitions, null),
      resumed: work.resumed,
      covered: NOTHING,
      clearedDirt: 0,
    };
  }

  /**
   * Works on whatever nobody else works on, until the whole has ended, whoever ends it.
   * @throws Interrupted when the signal aborts or somebody cancels it; what stopped a partition here
   */
  async takePart(work: ReplayWork, options: BackfillOptions): Promise<ReplaySummary> {
    const { plane, runner, mapping, migration } = this.#parts;
    const { id, kind } = work.replay;
    const stop = new AbortController();
    const signal = options.signal === undefined ? stop.signal : AbortSignal.any([options.signal, stop.signal]);
    const running = new Set<Promise<void>>();
    let failures = 0;
    const failed = (error: unknown): void => {
      failures += 1;
      if (!(error instanceof ControlUnavailable) || failures > MOST_FAILURES) stop.abort(error);
    };
    // Whoever sweeps offers them again: nothing waits for this.
    const offered = this.offer(work).catch(() => {});
    try {
      for (;;) {
        const { replay, partitions, now } = await this.#look(id, signal);
        const progress = progressOf(replay, partitions, easedOf(replay, partitions, now));
        options.onProgress?.(progress);
        if (replay.state === 'done') {
          const { coverable: covered, cleared: clearedDirt } = replay;
          return { ...progress, resumed: work.resumed, covered, clearedDirt };
        }
        if (replay.state !== 'running') throw new Interrupted(`the ${kind} of ${migration} was cancelled`);
        try {
          await freeEnded(this.#parts, partitions, now);
          while (running.size < SLOTS && partitions.some((one) => isFree(one, now))) {
            const request = { replay: id, partition: null, runner, process: this.#parts.process, mapping };
            const lease = await plane.takePartition({ ...request, leaseMs: LEASE_MS });
            if (lease === null) break;
            const part = this.work(lease, { signal })
              .then(() => {
                failures = 0;
              }, failed)
              .finally(() => running.delete(part));
            running.add(part);
          }
        } catch (error) {
          failed(error);
        }
        await this.#something(running, signal);
      }
    } catch (error) {
      stop.abort(error);
      await Promise.all(running);
      if (options.signal?.aborted !== true) throw stop.signal.reason;
      throw new Interrupted(`the ${kind} of ${migration} was interrupted here; others may go on with it`, {
        remedy: 'the same command takes part again',
        cause: error,
      });
    } finally {
      await offered;
    }
  }

  /**
   * Works on a partition until it is done or lost.
   * @throws Interrupted when the signal aborts, and whatever stops it; the partition is given back, its checkpoint stands
   */
  async work(lease: PartitionLease, { signal, onProgress }: WorkOptions): Promise<WorkOutcome> {
    const { plane, runner } = this.#parts;
    const { replay, document } = lease;
    const { id: partition, fence } = lease.partition;
    const name: LeaseName = { replay: replay.id, partition, runner, fence };
    const share = shareOf(lease.partition);
    const counted = await outwait({ ...this.#parts, signal }, () => isCounted(this.#parts));
    // What its partitions learn adds up to one census only where each looks at all of its records.
    const census = new CensusLines(counted ? null : censusFor(this.#parts, replay));
    let lost = false;
    this.#hold(replay.id, 1);
    try {
      await this.#copy({
        replay,
        document,
        shares: [share],
        census: census.census,
        whole: census.census !== null,
        settings: this.#sharedOut(document.settings, replay.id, lease.active),
        checkpointMs: CHECKPOINT_MS,
        journal: {
          checkpoint: async ([point], deadlineLimit, eased): Promise<ReplayReceipt> => {
            const lines = census.next();
            const receipt = await plane.checkpointPartition({
              ...name,
              leaseMs: LEASE_MS,
              deadlineLimit,
              point: point === undefined ? null : { ...pointOf(point), eased },
              census: lines,
            });
            census.sent(lines);
            lost = receipt?.yours !== true;
            const { settings } = receipt?.document ?? document;
            return {
              yours: !lost,
              settings: this.#sharedOut(settings, replay.id, receipt?.active ?? 1),
              paused: receipt?.paused ?? false,
            };
          },
        },
        signal,
        onProgress: () => onProgress?.(share),
      });
      return { state: 'done', share };
    } catch (error) {
      if (lost) return { state: 'lost', share };
      await plane.releasePartition(name, signal?.aborted === true ? null : causeOf(error)).catch(() => {});
      throw error;
    } finally {
      this.#hold(replay.id, -1);
    }
  }

  #hold(replay: number, change: 1 | -1): void {
    const held = (this.#held.get(replay) ?? 0) + change;
    if (held === 0) this.#held.delete(replay);
    else this.#held.set(replay, held);
  }

  /** The rate is the whole replay's, so every lease has its part of it; what is put at once is a process's. */
  #sharedOut(settings: Settings, replay: number, active: number): Settings {
    const { replayRate, replayConcurrency } = settings;
    const held = this.#held.get(replay) ?? 1;
    return {
      ...settings,
      replayRate: replayRate === null ? null : replayRate / Math.max(1, active),
      replayConcurrency: Math.max(1, Math.floor(replayConcurrency / held)),
    };
  }

  async #look(replay: number, signal: AbortSignal) {
    for (let look = 1; ; look += 1) {
      signal.throwIfAborted();
      try {
        const work = await this.#parts.plane.replayWork(replay);
        if (work !== null) return work;
        throw new Interrupted(`replay ${replay} is gone`);
      } catch (error) {
        if (!(error instanceof ControlUnavailable) || look >= LOOKS) throw error;
        await sleep(this.#parts.clock, LOOK_MS, signal);
      }
    }
  }

  /** Waits until a partition has ended here, or for the next look. */
  async #something(running: ReadonlySet<Promise<void>>, signal: AbortSignal): Promise<void> {
    const over = new AbortController();
    const next = sleep(this.#parts.clock, LOOK_MS, AbortSignal.any([signal, over.signal]));
    try {
      await Promise.race([next, ...running]);
    } finally {
      over.abort();
      await next.catch(() => {});
    }
    signal.throwIfAborted();
  }
}

/** Why a replay cannot be left to others. */
export const noWorkers = (): InvalidArgument =>
  new InvalidArgument('there are no workers to leave it to', {
    expected: 'a control plane on PostgreSQL, and pg-boss installed',
    remedy: 'without --detach this process does the work itself',
  });

/** Frees partitions whose holders' processes have surely ended, so that nobody waits for their leases; gives their ids. */
export async function freeEnded(
  { plane, probe }: Pick<ControllerParts, 'plane' | 'probe'>,
  partitions: readonly ReplayPartitionRow[],
  now: number,
): Promise<readonly number[]> {
  const freed: number[] = [];
  for (const { id, replay, done, process, leaseUntil, fence } of partitions) {
    if (done || process === null || leaseUntil <= now || probe(process) !== 'ended') continue;
    if (await plane.freePartition({ replay, partition: id, fence })) freed.push(id);
  }
  return freed;
}

type Lines = Omit<PartitionCensus, 'whole'>;

/** What a census has learned since the last checkpoint that is durable. */
class CensusLines {
  readonly census: Census | null;
  #sampled = 0;

  constructor(census: Census | null) {
    this.census = census;
  }

  next(): Lines | null {
    if (this.census === null || this.census.sampled === this.#sampled) return null;
    const { losses } = this.census.report(false);
    return { sampled: this.census.sampled - this.#sampled, losses };
  }

  sent(lines: Lines | null): void {
    this.#sampled += lines?.sampled ?? 0;
  }
}

function shareOf(row: ReplayPartitionRow): ReplayShare {
  const { id, partition, cursor, done, scanned, applied, skipped, rejected } = row;
  return { id, partition, cursor, done, scanned, applied, skipped, rejected };
}

const pointOf = ({ cursor, done, scanned, applied, skipped, rejected }: ReplayShare) => ({
  cursor,
  done,
  scanned,
  applied,
  skipped,
  rejected,
});

/** For people, and without what a driver may have said. */
const causeOf = (error: unknown): string =>
  error instanceof ChangeoverError ? error.message : error instanceof Error ? error.name : 'unknown';
