import { Census } from '../../verify/census.ts';
import { WHOLE_LINE } from '../core/dial.ts';
import type { Intervals } from '../core/intervals.ts';
import { covers, includes } from '../core/intervals.ts';
import { keyToJson } from '../core/key-json.ts';
import { Ruleset } from '../core/ruleset.ts';
import { otherSide, type Side } from '../core/stage.ts';
import type { Entry } from '../core/store.ts';
import { type ReplayShare, replay } from '../replay/replay.ts';
import type { ControllerParts } from './controller-parts.ts';
import { censusRow } from './preflight.ts';
import type { Authorship } from './publish.ts';
import type { ReplayWork } from './replays.ts';
import type { ReplayRow } from './storage.ts';

export interface ReplayProgress {
  readonly kind: ReplayRow['kind'];
  readonly scanned: number;
  readonly applied: number;
  readonly skipped: number;
  readonly rejected: number;
  /** Records of the source, where it can say. */
  readonly estimate: number | null;
}

export interface BackfillOptions extends Authorship {
  /** @default new */
  readonly target?: Side;
  /** @default everything whose follower the target is */
  readonly positions?: Intervals | null;
  readonly partitions?: number;
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
/** Nobody else takes a replay over while its runner keeps its checkpoints this fresh. */
const LEASE_MS = 10_000;

/** Runs replays of ranges: a backfill, or the ranges of a repair. */
export class Backfill {
  readonly #parts: ControllerParts;

  constructor(parts: ControllerParts) {
    this.#parts = parts;
  }

  run(options: BackfillOptions): Promise<ReplaySummary> {
    return this.runKind('backfill', options);
  }

  async runKind(kind: ReplayRow['kind'], options: BackfillOptions): Promise<ReplaySummary> {
    const { plane, migration, stores, mapping, runner, clock, random } = this.#parts;
    const target = options.target ?? 'new';
    const source = stores[otherSide(target)];
    const running = await plane.runningReplay(migration, kind, target);
    const partitions = running === null ? await source.partitions(options.partitions ?? PARTITIONS) : [];
    const work = await plane.beginReplay({
      migration,
      kind,
      target,
      positions: options.positions ?? null,
      mapping,
      runner,
      leaseMs: LEASE_MS,
      estimate: running === null ? await source.estimate() : running.estimate,
      sourceTime: source.now() - source.capabilities.clockErrorMs,
      partitions,
      actor: options.actor,
      reason: options.reason,
    });
    const { document } = await this.#checkpoint(work, [], 0);
    const ruleset = new Ruleset(document);
    const { positions } = work.replay;
    const shares: readonly ReplayShare[] = work.partitions.map((row) => ({ ...row }));
    const summary = (): ReplayProgress => progressOf(work.replay, shares);
    // A backfill of the new store sees every record anyway, so it takes the census too.
    const census = kind === 'backfill' && target === 'new' ? new Census(this.#parts) : null;
    const run = replay({
      source,
      target: stores[target],
      shares,
      includes: (entry) => {
        const wanted = includes(positions, ruleset.position(this.#unit(entry)));
        if (wanted) census?.add(entry);
        return wanted;
      },
      journal: {
        checkpoint: async (points, deadlineLimit) => {
          const receipt = await this.#checkpoint(work, points, deadlineLimit);
          return { yours: receipt.yours, settings: receipt.document.settings };
        },
      },
      settings: document.settings,
      clock,
      random,
      signal: options.signal,
      onRejected: (entry, rejection) =>
        plane.addRejected(migration, target, ruleset.position(this.#unit(entry)), {
          key: keyToJson(entry.key),
          cause: `${rejection.reason}: ${rejection.message}`,
          revision: document.revision,
        }),
      onProgress: () => options.onProgress?.(summary()),
    });
    try {
      await run;
    } catch (error) {
      await plane.releaseReplay(work.replay.id, runner).catch(() => {});
      throw error;
    }
    const ended = await plane.endReplay(work.replay.id, runner);
    const exhaustive = !work.resumed && covers(positions, WHOLE_LINE);
    if (census !== null && (exhaustive || census.sampled > 0)) {
      const { actor, reason } = options;
      await plane.recordCensus(censusRow(this.#parts, census.report(exhaustive)), { actor, reason });
    }
    return { ...summary(), resumed: work.resumed, covered: ended.covered, clearedDirt: ended.cleared };
  }

  #unit(entry: Entry): string {
    return this.#parts.keys.unit(entry.key);
  }

  #checkpoint(work: ReplayWork, points: readonly ReplayShare[], deadlineLimit: number) {
    const { plane, runner } = this.#parts;
    return plane.checkpoint(
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
      })),
    );
  }
}

function progressOf(row: ReplayRow, shares: readonly ReplayShare[]): ReplayProgress {
  const sum = (column: 'scanned' | 'applied' | 'skipped' | 'rejected'): number =>
    shares.reduce((total, share) => total + share[column], 0);
  return {
    kind: row.kind,
    scanned: sum('scanned'),
    applied: sum('applied'),
    skipped: sum('skipped'),
    rejected: sum('rejected'),
    estimate: row.estimate,
  };
}
