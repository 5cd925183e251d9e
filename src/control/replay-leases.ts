import type { NodeInfo } from '../core/control-client.ts';
import type { RulesetDocument } from '../core/ruleset.ts';
import { recordCensus } from './acceptances.ts';
import { coversEveryUnit } from './publish.ts';
import { concludeReplay } from './replay-end.ts';
import { measured } from './replay-rate.ts';
import type { PartitionCensus, ReplayPartitionRow, ReplayRow } from './replay-row.ts';
import { type Checkpoint, refuseOtherMapping } from './replays.ts';
import type { Transaction } from './storage.ts';

/** Asks for a partition of a shared replay. */
export interface PartitionRequest {
  readonly replay: number;
  /** This one, or null: any that nobody works on. */
  readonly partition: number | null;
  readonly runner: string;
  readonly process: NodeInfo;
  readonly mapping: string;
  readonly leaseMs: number;
}

/** What somebody holds who works on a partition. */
export interface PartitionLease {
  readonly replay: ReplayRow;
  readonly partition: ReplayPartitionRow;
  readonly document: RulesetDocument;
  /** Leases of the whole replay that are in force, this one included: they share its rate. */
  readonly active: number;
}

/** Which lease somebody means. */
export interface LeaseName {
  readonly replay: number;
  readonly partition: number;
  readonly runner: string;
  readonly fence: number;
}

export interface PartitionCheckpoint extends LeaseName {
  readonly leaseMs: number;
  readonly deadlineLimit: number;
  /** How far it is; null only keeps the lease. */
  readonly point: Omit<Checkpoint, 'partition'> | null;
  /** What was learned since the last one. */
  readonly census: Omit<PartitionCensus, 'whole'> | null;
}

export interface PartitionReceipt {
  /** False: cancelled, or taken over; stop. */
  readonly yours: boolean;
  readonly document: RulesetDocument;
  readonly active: number;
  /** An operator wants nothing to be read or put for now. */
  readonly paused: boolean;
}

/** A running replay that is shared, and the partitions of it that are not done. */
export interface OpenReplay {
  readonly replay: ReplayRow;
  readonly partitions: readonly ReplayPartitionRow[];
}

/** A failed partition is tried again after so long, and twice as long each time. */
const FIRST_RETRY_MS = 1_000;
const LONGEST_RETRY_MS = 60_000;

/** Nobody works on it, as far as the control plane knows. */
export const isFree = (partition: ReplayPartitionRow, now: number): boolean =>
  !partition.done && partition.leaseUntil <= now && partition.retryAt <= now;

/** The partitions of a replay that somebody works on. */
const activeIn = (tx: Transaction, replay: number, now: number): Promise<number> =>
  tx.count('replay_partitions', { replay, done: false, leaseUntil: { gt: now } });

/**
 * Gives somebody a partition that is nobody's, or whose holder has let its lease end; null when there is none. The fence
 * counts up, so that an earlier holder is told so whenever it comes back.
 * @throws InvalidArgument under another mapping than the replay was begun with
 */
export async function takePartition(
  tx: Transaction,
  request: PartitionRequest,
  now: number,
): Promise<PartitionLease | null> {
  const { replay, partition, runner, process, mapping, leaseMs } = request;
  const [row] = await tx.select('replays', { id: replay, state: 'running', shared: true });
  if (row === undefined) return null;
  refuseOtherMapping(row, mapping);
  const [free] = await tx.select(
    'replay_partitions',
    {
      replay,
      done: false,
      leaseUntil: { lte: now },
      retryAt: { lte: now },
      ...(partition === null ? {} : { id: partition }),
    },
    { limit: 1 },
  );
  if (free === undefined) return null;
  const patch = { runner, process, leaseUntil: now + leaseMs, fence: free.fence + 1 };
  await tx.update('replay_partitions', { id: free.id }, patch);
  await tx.update('replays', { id: replay }, { leaseUntil: Math.max(row.leaseUntil, now + leaseMs) });
  const [migration] = await tx.select('migrations', { name: row.migration });
  const { document } = migration!;
  return { replay: row, partition: { ...free, ...patch }, document, active: await activeIn(tx, replay, now) };
}

/**
 * Makes a holder's progress durable, keeps its lease, and ends the replay where this was the last partition: whoever
 * finishes last does that, once.
 */
export async function checkpointPartition(
  tx: Transaction,
  request: PartitionCheckpoint,
  now: number,
): Promise<PartitionReceipt | null> {
  const { replay, leaseMs, point, census } = request;
  const [row] = await tx.select('replays', { id: replay });
  if (row === undefined) return null;
  const [migration] = await tx.select('migrations', { name: row.migration });
  const { document } = migration!;
  const held = await heldPartition(tx, request);
  const receipt = async (yours: boolean): Promise<PartitionReceipt> => ({
    yours,
    document,
    active: await activeIn(tx, replay, now),
    paused: row.paused,
  });
  // After its end nothing is to be written down, and nobody has lost anything.
  if (held === undefined || row.state !== 'running') return receipt(held?.done === true && row.state === 'done');
  const moved = point !== null && point.scanned > held.scanned;
  await tx.update(
    'replay_partitions',
    { id: held.id },
    {
      ...point,
      leaseUntil: now + leaseMs,
      ...(moved ? { failures: 0, failure: null } : {}),
      ...(census === null
        ? {}
        : { census: merged(held.census ?? { ...NO_CENSUS, whole: held.scanned === 0 }, census) }),
    },
  );
  const patch = {
    leaseUntil: Math.max(row.leaseUntil, now + leaseMs),
    deadlineLimit: Math.max(row.deadlineLimit, request.deadlineLimit),
    ...(await measured(tx, row, now)),
  };
  await tx.update('replays', { id: replay }, patch);
  if (point?.done === true && (await tx.count('replay_partitions', { replay, done: false })) === 0) {
    await concludeReplay(tx, row, now);
    await recordPartitionCensus(tx, row, document, now);
  }
  return receipt(true);
}

const NO_CENSUS = { sampled: 0, losses: [] } as const;

const merged = (before: PartitionCensus, more: Omit<PartitionCensus, 'whole'>): PartitionCensus => ({
  sampled: before.sampled + more.sampled,
  losses: [...new Set([...before.losses, ...more.losses])].sort(),
  whole: before.whole,
});

/** What all holders learned about round trips, as one census. */
async function recordPartitionCensus(
  tx: Transaction,
  row: ReplayRow,
  document: RulesetDocument,
  now: number,
): Promise<void> {
  const { migration, mapping, actor, reason, coverable, startedAt } = row;
  const partitions = await tx.select('replay_partitions', { replay: row.id });
  const scanned = partitions.reduce((total, partition) => total + partition.scanned, 0);
  const all = partitions.flatMap(({ census }) => census ?? []).reduce(merged, { ...NO_CENSUS, whole: true });
  if (all.sampled === 0) return;
  // A record that two holders saw was counted twice.
  const sampled = Math.min(all.sampled, scanned);
  const seen = partitions.every((partition) => partition.scanned === 0 || partition.census?.whole === true);
  // What changed its cohort meanwhile, and may not have been seen, can be covered no more.
  const exhaustive = seen && coversEveryUnit(document, coverable);
  const census = { sampled, exhaustive, losses: [...all.losses], report: null, startedAt, finishedAt: now };
  await recordCensus(tx, { id: 0, migration, mapping, ...census }, { actor, reason }, now);
}

async function heldPartition(
  tx: Transaction,
  { replay, partition, runner, fence }: LeaseName,
): Promise<ReplayPartitionRow | undefined> {
  const [held] = await tx.select('replay_partitions', { id: partition, replay, runner, fence });
  return held;
}

/** Gives a partition back, so that anybody may go on with it: at once, or after a while where it failed. */
export async function releasePartition(
  tx: Transaction,
  name: LeaseName,
  failure: string | null,
  now: number,
): Promise<boolean> {
  const held = await heldPartition(tx, name);
  if (held === undefined || held.done) return false;
  const failures = failure === null ? held.failures : held.failures + 1;
  const retryAt = failure === null ? 0 : now + Math.min(FIRST_RETRY_MS * 2 ** (failures - 1), LONGEST_RETRY_MS);
  await tx.update(
    'replay_partitions',
    { id: held.id },
    { ...NOBODYS, failures, failure: failure ?? held.failure, retryAt },
  );
  await letGo(tx, name.replay, now);
  return true;
}

/** Frees a partition whose holder has surely ended, as somebody on its host has found; false where it is another's now. */
export async function freePartition(
  tx: Transaction,
  { replay, partition, fence }: Omit<LeaseName, 'runner'>,
  now: number,
): Promise<boolean> {
  const freed = await tx.update('replay_partitions', { id: partition, replay, fence, done: false }, NOBODYS);
  if (freed > 0) await letGo(tx, replay, now);
  return freed > 0;
}

const NOBODYS = { runner: null, process: null, leaseUntil: 0 } as const;

/** A replay is nobody's when the last of its partitions is. */
async function letGo(tx: Transaction, replay: number, now: number): Promise<void> {
  if ((await activeIn(tx, replay, now)) === 0) await tx.update('replays', { id: replay }, { leaseUntil: now });
}

/** The shared replays of some migrations that are under way. */
export async function openReplays(tx: Transaction, migrations: readonly string[]): Promise<readonly OpenReplay[]> {
  const rows = await tx.select('replays', { migration: { in: migrations }, state: 'running', shared: true });
  const open: OpenReplay[] = [];
  for (const replay of rows) {
    open.push({ replay, partitions: await tx.select('replay_partitions', { replay: replay.id, done: false }) });
  }
  return open;
}
