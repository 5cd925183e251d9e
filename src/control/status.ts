import { BUCKETS } from '../core/bucket.ts';
import { type DialValue, dialValue } from '../core/dial.ts';
import { type Intervals, intersect, size } from '../core/intervals.ts';
import type { Handover, Stamping } from '../core/ruleset.ts';
import { type Side, type Stage, stageOf } from '../core/stage.ts';
import { factsOf } from './facts.ts';
import type { Transaction, VerificationRow } from './storage.ts';

/** `changeover status --json`: the shape that scripts rely on. */
export interface MigrationStatus {
  readonly migration: string;
  readonly revision: number;
  readonly stage: Stage | 'mixed';
  readonly dials: {
    readonly dualWrite: DialValue;
    readonly shadowRead: DialValue;
    readonly cutover: DialValue;
    readonly retireOld: boolean;
  };
  /** Percent of the line in which each store is known to be complete. */
  readonly coverage: { readonly old: number; readonly new: number };
  /** The same as positions: −1 the canaries, 0 … 99 999 the buckets, 100 000 the kept-back units. */
  readonly covered: { readonly old: Intervals; readonly new: Intervals };
  readonly dirty: { readonly ranges: number; readonly rejected: number };
  readonly fleet: { readonly nodes: number; readonly acknowledged: number };
  readonly handover: Handover | null;
  readonly shadow: { readonly compared: number; readonly divergent: number };
  readonly replay: ReplayStatus | null;
  readonly stamping: Stamping;
  readonly finished: boolean;
  /** Records that differ, by shadow reads, and are not repaired. */
  readonly divergences: number;
  readonly verification: Pick<VerificationRow, 'verdict' | 'revision' | 'finishedAt' | 'expiresAt'> | null;
}

export interface ReplayStatus {
  readonly kind: 'backfill' | 'repair';
  readonly target: Side;
  readonly scanned: number;
  readonly applied: number;
  readonly skipped: number;
  readonly rejected: number;
  readonly partitions: { readonly done: number; readonly all: number };
  readonly estimate: number | null;
  readonly startedAt: number;
  readonly runner: string | null;
}

/** The share of the buckets; the cohorts' positions are no share of anything. */
const percent = (positions: Intervals): number => (size(intersect(positions, BUCKET_LINE)) * 100) / BUCKETS;
const BUCKET_LINE: Intervals = [[0, BUCKETS]];

export async function statusOf(tx: Transaction, name: string, now: number): Promise<MigrationStatus> {
  const { row, document, fleet, verification } = await factsOf(tx, name, now);
  const { dials } = document;
  const rejected = await tx.count('dirt', { migration: name, kind: 'rejected' });
  const [replay] = await tx.select('replays', { migration: name, state: 'running' }, { orderBy: 'id', limit: 1 });
  const partitions = replay === undefined ? [] : await tx.select('replay_partitions', { replay: replay.id });
  const sum = (column: 'scanned' | 'applied' | 'skipped' | 'rejected'): number =>
    partitions.reduce((total, partition) => total + partition[column], 0);
  return {
    migration: name,
    revision: row.revision,
    stage: stageOf(dials),
    dials: {
      dualWrite: dialValue(dials.dualWrite),
      shadowRead: dialValue(dials.shadowRead),
      cutover: dialValue(dials.cutover),
      retireOld: dials.retireOld,
    },
    coverage: { old: percent(row.coverageOld), new: percent(row.coverageNew) },
    covered: { old: row.coverageOld, new: row.coverageNew },
    dirty: { ranges: (await tx.count('dirt', { migration: name })) - rejected, rejected },
    fleet: {
      nodes: fleet.length,
      acknowledged: fleet.filter((member) => member.acknowledged >= row.revision).length,
    },
    handover: document.handover,
    shadow: { compared: row.shadowCompared, divergent: row.shadowDivergent },
    replay:
      replay === undefined
        ? null
        : {
            kind: replay.kind,
            target: replay.target,
            scanned: sum('scanned'),
            applied: sum('applied'),
            skipped: sum('skipped'),
            rejected: sum('rejected'),
            partitions: { done: partitions.filter((partition) => partition.done).length, all: partitions.length },
            estimate: replay.estimate,
            startedAt: replay.startedAt,
            runner: replay.runner,
          },
    stamping: document.stamping,
    finished: document.finished,
    divergences: await tx.count('divergences', { migration: name }),
    verification:
      verification === null
        ? null
        : {
            verdict: verification.verdict,
            revision: verification.revision,
            finishedAt: verification.finishedAt,
            expiresAt: verification.expiresAt,
          },
  };
}
