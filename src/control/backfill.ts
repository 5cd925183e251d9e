import { randomUUID } from 'node:crypto';
import type { Census } from '../../verify/census.ts';
import { Busy } from '../core/errors.ts';
import type { Intervals } from '../core/intervals.ts';
import { includes } from '../core/intervals.ts';
import { keyToJson } from '../core/key-json.ts';
import { Ruleset, type RulesetDocument } from '../core/ruleset.ts';
import { otherSide, type Side } from '../core/stage.ts';
import type { Entry, Store } from '../core/store.ts';
import type { ReplayJournal } from '../replay/checkpoints.ts';
import { outwait } from '../replay/outwait.ts';
import { Pace } from '../replay/pace.ts';
import { again } from '../replay/put-newer.ts';
import { type ReplayOptions, replay } from '../replay/replay.ts';
import type { ReplayShare } from '../replay/replay-share.ts';
import type { ControllerParts } from './controller-parts.ts';
import { censusFor, censusRow, isCounted } from './preflight.ts';
import { type Authorship, coversEveryUnit } from './publish.ts';
import type { PartitionLease } from './replay-leases.ts';
import { progressOf } from './replay-progress.ts';
import type { ReplayRow } from './replay-row.ts';
import type { ReplayRequest, ReplayWork } from './replays.ts';
import { LEASE_MS, noWorkers, SharedReplay, type WorkOptions, type WorkOutcome } from './shared-replay.ts';
import { TrafficWatch } from './traffic-watch.ts';

export interface ReplayProgress {
  readonly kind: ReplayRow['kind'];
  readonly scanned: number;
  readonly applied: number;
  readonly skipped: number;
  readonly rejected: number;
  /** Records of the source, where it can say. */
  readonly estimate: number | null;
  /** Records a second of late; null before it is known. */
  readonly rate: number | null;
  /** How long the rest takes at that rate, ms, where it can be told. */
  readonly etaMs: number | null;
  /** Nothing is read or put for now; an operator wants it so. */
  readonly paused: boolean;
  /** Why it goes slower than it may: a store, its replicas or the services asked for that; null when nothing did. */
  readonly eased: string | null;
}

export interface BackfillOptions extends Authorship {
  /** @default new */
  readonly target?: Side;
  /** @default everything whose follower the target is */
  readonly positions?: Intervals | null;
  readonly partitions?: number;
  /** Nobody else takes part, whatever the control plane: a handover waits for it. @default false */
  readonly alone?: boolean;
  /** Only begins it: workers do the work, and the summary says how far they were. @default false */
  readonly detach?: boolean;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: ReplayProgress) => void) | undefined;
}

export interface ReplaySummary extends ReplayProgress {
  readonly resumed: boolean;
  /** Positions in which the target is complete now because of it. */
  readonly covered: Intervals;
  readonly clearedDirt: number;
}

const PARTITIONS = 16;

/** What is copied, and where its checkpoints go. */
export interface ReplayCopy
  extends Pick<ReplayOptions, 'shares' | 'journal' | 'settings' | 'signal' | 'onProgress' | 'checkpointMs' | 'whole'> {
  readonly replay: ReplayRow;
  readonly document: RulesetDocument;
  /** Where it goes. @default the store of the replay's target */
  readonly target?: Store;
  /** Takes the census of what it sees; null where none is wanted. */
  readonly census: Census | null;
}

/** What a kind of replay does otherwise. */
export interface ReplayWays {
  /** Where it goes. */
  readonly target: Store;
  begin(request: Omit<ReplayRequest, 'kind' | 'target' | 'positions' | 'shared'>): Promise<ReplayWork>;
  /** Before it is let go of, however it ended. */
  leave(work: ReplayWork, runner: string): Promise<void>;
}

/** Runs replays of ranges: a backfill, the ranges of a repair, or (in ways of its own) a preload. */
export class Backfill {
  readonly #parts: ControllerParts;
  readonly #shared: SharedReplay;

  constructor(parts: ControllerParts) {
    this.#parts = parts;
    this.#shared = new SharedReplay(parts, (work) => this.#copy(work));
  }

  run(options: BackfillOptions): Promise<ReplaySummary> {
    return this.runKind('backfill', options);
  }

  async runKind(kind: ReplayRow['kind'], options: BackfillOptions, ways?: ReplayWays): Promise<ReplaySummary> {
    const { plane, migration, stores, mapping, carrier, clock, random } = this.#parts;
    // Each run by a name of its own: two of one process must not take each other's checkpoints for theirs.
    const runner = `${this.#parts.runner}/${randomUUID()}`;
    const target = options.target ?? 'new';
    const source = stores[otherSide(target)];
    const running = await plane.runningReplay(migration, kind, target);
    // Also where one is under way: it may end, or be given up for this one, before this is asked for.
    const reading = { target: source, clock, random, signal: options.signal };
    const partitions = await again(reading, () => source.partitions(options.partitions ?? PARTITIONS));
    const shared = options.alone !== true && (carrier !== null || running?.shared === true);
    if (options.detach === true && carrier === null) throw noWorkers();
    const request = {
      migration,
      mapping,
      runner,
      leaseMs: LEASE_MS,
      estimate: running === null ? await again(reading, () => source.estimate()) : running.estimate,
      sourceTime: source.now() - source.capabilities.clockErrorMs,
      partitions,
      actor: options.actor,
      reason: options.reason,
    };
    const positionsAsked = options.positions ?? null;
    const work =
      ways === undefined
        ? await plane.beginReplay({ ...request, kind, target, positions: positionsAsked, shared })
        : await ways.begin(request);
    if (shared) {
      await this.#endLeftover(work, runner);
      return options.detach === true ? this.#shared.offer(work) : this.#shared.takePart(work, options);
    }
    const { document } = await this.#checkpoint(runner, work, [], 0, null);
    const { positions } = work.replay;
    const shares: readonly ReplayShare[] = work.partitions.map((row) => ({ ...row }));
    const pace = new Pace(clock);
    let { paused } = work.replay;
    let eased: string | null = null;
    const summary = (): ReplayProgress => progressOf({ ...work.replay, rate: pace.rate, paused }, shares, eased);
    const report = (): void => {
      pace.reach(summary().scanned);
      options.onProgress?.(summary());
    };
    report();
    const census = censusFor(this.#parts, work.replay);
    // A census of everything is taken once for a mapping; from then on, of what has to be read anyway.
    const whole = census !== null && !(await isCounted(this.#parts));
    const run = this.#copy({
      replay: work.replay,
      document,
      ...(ways === undefined ? {} : { target: ways.target }),
      shares,
      census,
      whole,
      journal: {
        checkpoint: async (points, deadlineLimit, because) => {
          const receipt = await this.#checkpoint(runner, work, points, deadlineLimit, because);
          paused = receipt.paused;
          eased = because;
          // Also while nothing moves: the rate falls, a pause is seen.
          report();
          return { yours: receipt.yours, settings: receipt.document.settings, paused };
        },
      },
      settings: document.settings,
      signal: options.signal,
      onProgress: report,
    });
    try {
      await run;
    } catch (error) {
      // Where that fails, its lease ends by itself.
      await (async () => {
        await ways?.leave(work, runner);
        await plane.releaseReplay(work.replay.id, runner);
      })().catch(() => {});
      throw error;
    }
    await ways?.leave(work, runner);
    const patience = { clock, random, signal: options.signal };
    const ended = await outwait(patience, () => plane.endReplay(work.replay.id, runner));
    const exhaustive = !work.resumed && whole && coversEveryUnit(document, positions);
    if (census !== null && (exhaustive || census.sampled > 0)) {
      const { actor, reason } = options;
      await plane.recordCensus(censusRow(this.#parts, census.report(exhaustive)), { actor, reason });
    }
    return { ...summary(), resumed: work.resumed, covered: ended.covered, clearedDirt: ended.cleared };
  }

  /** Works on a partition of a shared replay that somebody began, until it is done, lost or the signal ends it. */
  work(lease: PartitionLease, options: WorkOptions): Promise<WorkOutcome> {
    return this.#shared.work(lease, options);
  }

  /** One process may have done all of it and died before it said so: no partition is left that anybody would take. */
  async #endLeftover({ replay: { id }, partitions }: ReplayWork, runner: string): Promise<void> {
    if (partitions.some(({ done }) => !done)) return;
    try {
      await this.#parts.plane.endReplay(id, runner);
    } catch (error) {
      // Somebody else has just done so.
      if (!(error instanceof Busy)) throw error;
    }
  }

  /** The work itself, whoever keeps its checkpoints. */
  #copy({ replay: row, document, census, ...work }: ReplayCopy): Promise<void> {
    const { plane, migration, stores, clock, random, logger } = this.#parts;
    const { target, positions } = row;
    let before: string | null = null;
    const ruleset = new Ruleset(document);
    const traffic = new TrafficWatch(plane, migration, clock);
    const journal: ReplayJournal = {
      checkpoint: async (shares, deadlineLimit, eased) => {
        if (eased !== null && before === null) logger?.warn({ migration, eased }, `the ${row.kind} is eased`);
        if (eased === null && before !== null) logger?.info({ migration }, `the ${row.kind} is eased no more`);
        before = eased;
        const receipt = await work.journal.checkpoint(shares, deadlineLimit, eased);
        const watched = receipt.yours && receipt.settings.replayTrafficBudgetMs !== null;
        return watched ? { ...receipt, trafficMs: await traffic.p99Ms() } : receipt;
      },
    };
    return replay({
      ...work,
      journal,
      source: stores[otherSide(target)],
      target: work.target ?? stores[target],
      includes: coversEveryUnit(document, positions)
        ? null
        : (entry) => includes(positions, ruleset.position(this.#unit(entry))),
      onRead: (entry) => census?.add(entry),
      clock,
      random,
      // What a store refuses before anything is mirrored, the backfill will find again.
      onRejected: async (entry, rejection) => {
        if (row.kind === 'preload') return;
        const refused = {
          key: keyToJson(entry.key),
          cause: `${rejection.reason}: ${rejection.message}`,
          revision: document.revision,
        };
        const position = ruleset.position(this.#unit(entry));
        const patience = { clock, random, signal: work.signal };
        await outwait(patience, () => plane.addRejected(migration, target, position, refused));
      },
    });
  }

  #unit(entry: Entry): string {
    return this.#parts.keys.unit(entry.key);
  }

  #checkpoint(
    runner: string,
    work: ReplayWork,
    points: readonly ReplayShare[],
    deadlineLimit: number,
    eased: string | null,
  ) {
    return this.#parts.plane.checkpoint(
      work.replay.id,
      runner,
      LEASE_MS,
      deadlineLimit,
      points.map(({ id, cursor, done, scanned, applied, skipped, rejected }) => ({
        partition: id,
        cursor,
        done,
        scanned,
        applied,
        skipped,
        rejected,
        eased,
      })),
    );
  }
}
