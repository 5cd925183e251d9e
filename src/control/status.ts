import { BUCKETS } from '../core/bucket.ts';
import { below, type DialValue, describePositions, dialValue } from '../core/dial.ts';
import { type Intervals, intersect, size, subtract } from '../core/intervals.ts';
import type { RampPlan } from '../core/ramp.ts';
import type { Handover, Stamping } from '../core/ruleset.ts';
import { type Side, type Stage, stageOf } from '../core/stage.ts';
import { migrationRow } from './facts.ts';
import { isCleaned } from './finish.ts';
import type { RampRow } from './ramp-row.ts';
import { unfinishedRamps } from './ramps.ts';
import { easedOf, leftMs } from './replay-progress.ts';
import type { ReplayPartitionRow, ReplayRow } from './replay-row.ts';
import type { MigrationRow, Transaction, VerificationRow } from './storage.ts';
import type { RememberedReport } from './verified.ts';

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
  readonly ramp: RampStatus | null;
  readonly stamping: Stamping;
  readonly finished: boolean;
  /** Stamps and tombstones are gone: nothing is left to do. */
  readonly cleaned: boolean;
  /** Records that differ, by shadow reads, and are not repaired. */
  readonly divergences: number;
  readonly verification: VerificationStatus | null;
}

/** The last verdict. */
export interface VerificationStatus extends Pick<VerificationRow, 'verdict' | 'revision' | 'finishedAt' | 'expiresAt'> {
  /** Dual-write was raised since: gates take it no more. */
  readonly outdated: boolean;
  /** What alone it is about, in words, such as `a sample of 1 % of the units`; null for all that dual-write mirrors. */
  readonly only: string | null;
}

export interface ReplayStatus {
  readonly kind: ReplayRow['kind'];
  readonly target: Side;
  readonly scanned: number;
  readonly applied: number;
  readonly skipped: number;
  readonly rejected: number;
  readonly partitions: { readonly done: number; readonly all: number };
  readonly estimate: number | null;
  readonly startedAt: number;
  /** Whose it is: a runner's, or that of the processes that share it; null where nobody is at it. */
  readonly runner: string | null;
  /** Processes that work on it now. */
  readonly runners: number;
  /** Why a partition failed that is tried again. */
  readonly failure: string | null;
  /** Records a second of late, whoever works on it; null before it is known. */
  readonly rate: number | null;
  /** How long the rest takes at that rate, ms, where it can be told. */
  readonly etaMs: number | null;
  /** Nothing is read or put for now. */
  readonly paused: boolean;
  /** Why it goes slower than it may: `replica lag 14 s`; null when nothing holds it back. */
  readonly eased: string | null;
}

/** A ramp that has not ended. */
export interface RampStatus {
  readonly dial: RampPlan['dial'];
  readonly state: 'running' | 'paused' | 'returning';
  readonly steps: readonly DialValue[];
  /** The index of the step that is on. */
  readonly step: number;
  /** What it waits for. */
  readonly note: string | null;
}

/** The share of the buckets; the cohorts' positions are no share of anything. */
const percent = (positions: Intervals): number => (size(intersect(positions, BUCKET_LINE)) * 100) / BUCKETS;
const BUCKET_LINE: Intervals = [[0, BUCKETS]];

export async function statusOf(tx: Transaction, name: string, now: number): Promise<MigrationStatus> {
  const [status] = await statusesOf(tx, [await migrationRow(tx, name)], now);
  return status as MigrationStatus;
}

/** Of several migrations, with what they share read once. */
export async function statusesOf(
  tx: Transaction,
  rows: readonly MigrationRow[],
  now: number,
): Promise<readonly MigrationStatus[]> {
  const names = rows.map(({ name }) => name);
  const alive = new Set((await tx.select('nodes', { state: 'alive' })).map(({ id }) => id));
  const acknowledgements = Map.groupBy(
    (await tx.select('acknowledgements', { migration: { in: names } })).filter(({ node }) => alive.has(node)),
    ({ migration }) => migration,
  );
  const replays = await tx.select('replays', { migration: { in: names }, state: 'running' }, { orderBy: 'id' });
  const ramps = await unfinishedRamps(tx, names);
  const statuses: MigrationStatus[] = [];
  for (const row of rows) {
    const { name: migration, document, revision } = row;
    const { dials } = document;
    const fleet = acknowledgements.get(migration) ?? [];
    const rejected = await tx.count('dirt', { migration, kind: 'rejected' });
    const replay = replays.find((each) => each.migration === migration);
    const [verification] = await tx.select(
      'verifications',
      { migration },
      { orderBy: 'id', descending: true, limit: 1 },
    );
    statuses.push({
      migration,
      revision,
      stage: stageOf(dials),
      dials: {
        dualWrite: dialValue(dials.dualWrite),
        shadowRead: dialValue(dials.shadowRead),
        cutover: dialValue(dials.cutover),
        retireOld: dials.retireOld,
      },
      coverage: { old: percent(row.coverageOld), new: percent(row.coverageNew) },
      covered: { old: row.coverageOld, new: row.coverageNew },
      dirty: { ranges: (await tx.count('dirt', { migration })) - rejected, rejected },
      fleet: {
        nodes: fleet.length,
        acknowledged: fleet.filter((member) => member.revision >= revision).length,
      },
      handover: document.handover,
      shadow: { compared: row.shadowCompared, divergent: row.shadowDivergent },
      replay:
        replay === undefined
          ? null
          : replayStatus(replay, await tx.select('replay_partitions', { replay: replay.id }), now),
      ramp: rampStatus(ramps.find((each) => each.migration === migration)),
      stamping: document.stamping,
      finished: document.finished,
      cleaned: document.finished && (await isCleaned(tx, migration)),
      divergences: await tx.count('divergences', { migration }),
      verification:
        verification === undefined
          ? null
          : {
              verdict: verification.verdict,
              revision: verification.revision,
              finishedAt: verification.finishedAt,
              expiresAt: verification.expiresAt,
              outdated: verification.revision < row.mirrorOnRevision,
              only: onlyOf(verification, below(dials.dualWrite)),
            },
    });
  }
  return statuses;
}

function onlyOf({ positions, report }: VerificationRow, mirrored: Intervals): string | null {
  const { unit, sample } = (report ?? {}) as Partial<RememberedReport>;
  if (unit !== undefined) return 'one unit';
  if (sample !== undefined) return `a sample of ${Number((sample * 100).toPrecision(3))} % of the units`;
  return subtract(mirrored, positions).length === 0 ? null : describePositions(positions);
}

const rampStatus = (row: RampRow | undefined): RampStatus | null =>
  row === undefined
    ? null
    : {
        dial: row.plan.dial,
        state: row.state as RampStatus['state'],
        steps: row.plan.steps.map(dialValue),
        step: row.step,
        note: row.note,
      };

/** What was measured longer ago says nothing about now. */
const RATE_COUNTS_MS = 15_000;

function replayStatus(row: ReplayRow, partitions: readonly ReplayPartitionRow[], now: number): ReplayStatus {
  const replay = now - row.rateAt < RATE_COUNTS_MS ? row : { ...row, rate: null };
  const sum = (column: 'scanned' | 'applied' | 'skipped' | 'rejected'): number =>
    partitions.reduce((total, partition) => total + partition[column], 0);
  return {
    kind: replay.kind,
    target: replay.target,
    scanned: sum('scanned'),
    applied: sum('applied'),
    skipped: sum('skipped'),
    rejected: sum('rejected'),
    partitions: { done: partitions.filter((partition) => partition.done).length, all: partitions.length },
    estimate: replay.estimate,
    startedAt: replay.startedAt,
    ...holdersOf(replay, partitions, now),
    failure: partitions.find(({ done, failure }) => !done && failure !== null)?.failure ?? null,
    rate: replay.paused ? 0 : replay.rate,
    etaMs: leftMs(replay, sum('scanned')),
    paused: replay.paused,
    eased: easedOf(replay, partitions, now),
  };
}

function holdersOf(
  { shared, runner, leaseUntil }: ReplayRow,
  partitions: readonly ReplayPartitionRow[],
  now: number,
): Pick<ReplayStatus, 'runner' | 'runners'> {
  if (!shared) return { runner, runners: runner !== null && leaseUntil > now ? 1 : 0 };
  const live = partitions.filter((partition) => !partition.done && partition.leaseUntil > now);
  const holders = new Set(live.map((partition) => partition.runner));
  return { runner: holders.size === 0 ? null : [...holders].join(', '), runners: holders.size };
}
