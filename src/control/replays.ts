import { describePositions } from '../core/dial.ts';
import { Busy, GatesRefused, InvalidArgument } from '../core/errors.ts';
import { covers, type Intervals, intersect, intervals, NOTHING, subtract, union } from '../core/intervals.ts';
import { mirroredTo, type RulesetDocument } from '../core/ruleset.ts';
import type { Side } from '../core/stage.ts';
import type { Partition } from '../core/store.ts';
import { behind, coverageOf, factsOf, migrationRow } from './facts.ts';
import { fleetGate } from './gates.ts';
import { type Authorship, remember } from './publish.ts';
import type { DirtRow, ReplayPartitionRow, ReplayRow, Transaction } from './storage.ts';

export interface ReplayRequest extends Authorship {
  readonly migration: string;
  readonly kind: ReplayRow['kind'];
  readonly target: Side;
  /** What to replay; null is everything whose follower the target is (a repair: everything dirty). */
  readonly positions: Intervals | null;
  readonly mapping: string;
  readonly runner: string;
  readonly leaseMs: number;
  readonly estimate: number | null;
  /** The source's time now, less its error. */
  readonly sourceTime: number;
  /** The shares of the source to scan, for a new replay; chosen by the caller, who has the store. */
  readonly partitions: readonly Partition[];
}

/** A replay that is under way, whoever began it. */
export interface ReplayWork {
  readonly replay: ReplayRow;
  readonly partitions: readonly ReplayPartitionRow[];
  /** Went on from checkpoints of an earlier run. */
  readonly resumed: boolean;
}

/** The running replay of a kind and direction, whoever runs it. */
export async function runningReplay(
  tx: Transaction,
  migration: string,
  kind: ReplayRow['kind'],
  target: Side,
): Promise<ReplayRow | null> {
  const [running] = await tx.select('replays', { migration, kind, target, state: 'running' });
  return running ?? null;
}

/** The positions whose follower a side is now. */
export const followerPositions = (document: RulesetDocument, target: Side): Intervals => mirroredTo(document, target);

/**
 * Begins a replay, or goes on with the one that is running if its runner has let go of it (R10, R11).
 * @throws Busy while another runner has it; InvalidArgument when its checkpoints were made under another mapping;
 * GatesRefused when the revision that turned the mirror on is not acknowledged by all
 */
export async function beginReplay(tx: Transaction, request: ReplayRequest, now: number): Promise<ReplayWork> {
  const { migration, kind, target, runner } = request;
  const facts = await factsOf(tx, migration, now);
  refuseAfterStamping(facts.document);
  const running = await runningReplay(tx, migration, kind, target);
  if (running !== null && !isSuperseded(running, request, now)) return resumeReplay(tx, running, request, now);
  // A repair that its runner left is not resumed where there is other dirt by now: what it had done stays done.
  if (running !== null) {
    await tx.update('replays', { id: running.id }, { state: 'cancelled', finishedAt: now, runner: null });
  }

  const follower = followerPositions(facts.document, target);
  const positions =
    kind === 'backfill' ? intersect(request.positions ?? follower, follower) : (request.positions ?? NOTHING);
  if (positions.length === 0) {
    throw new InvalidArgument(
      kind === 'backfill'
        ? `nothing of ${migration} is mirrored to the ${target} store`
        : `nothing of ${migration} is dirty towards the ${target} store`,
      { remedy: `changeover set ${migration} dual-write …; a backfill needs the mirror on first` },
    );
  }
  // R11: what was written before the mirror was on everywhere must be settled before the scan begins.
  // A unit that changed its cohort counts too (R18), so what makes coverage asks for the revision of this moment.
  const needed = kind === 'backfill' ? facts.row.revision : facts.row.mirrorOnRevision;
  if (behind(facts.fleet, needed).length > 0) {
    const gate = fleetGate(facts, needed, `revision ${needed}`);
    throw new GatesRefused(`the replay of ${migration} cannot begin yet`, [gate]);
  }
  const [newest] = await tx.select('dirt', { migration }, { orderBy: 'id', descending: true, limit: 1 });
  const id = await tx.insert('replays', {
    id: 0,
    migration,
    kind,
    target,
    state: 'running',
    positions,
    coverable: kind === 'backfill' ? intersect(positions, follower) : NOTHING,
    dirtUpTo: newest?.id ?? 0,
    mapping: request.mapping,
    revision: facts.row.revision,
    actor: request.actor,
    reason: request.reason,
    startedAt: now,
    finishedAt: null,
    runner,
    leaseUntil: now + request.leaseMs,
    estimate: request.estimate,
    sourceTime: request.sourceTime,
    deadlineLimit: 0,
  });
  await tx.insertMany(
    'replay_partitions',
    request.partitions.map((partition) => ({
      id: 0,
      replay: id,
      partition,
      cursor: null,
      done: false,
      scanned: 0,
      applied: 0,
      skipped: 0,
      rejected: 0,
    })),
  );
  const summary = `${kind} of ${describePositions(positions)} to the ${target} store begins`;
  await remember(tx, migration, { ...request, kind, summary }, now);
  return workOf(tx, id, false);
}

/** Nothing stamped may be put into a store that is being finished or wiped (R13). */
function refuseAfterStamping({ migration, finished, stamping }: RulesetDocument): void {
  if (!finished && stamping === 'on') return;
  throw new InvalidArgument(
    `the stamping of ${migration} ${finished ? 'has ended' : 'is not on'}; nothing is replayed`,
    {
      expected: 'a migration with dual-write on',
    },
  );
}

/** Under whose name the deadlines of single keys' repairs stand. */
const KEYS = 'single keys';

/**
 * Makes it durable that puts of single keys may come until `limit` (target's time), before the first of them is sent, so
 * that a finish waits for them (R13).
 */
export async function promiseDeadline(
  tx: Transaction,
  migration: string,
  target: Side,
  limit: number,
  now: number,
): Promise<void> {
  const row = await migrationRow(tx, migration);
  refuseAfterStamping(row.document);
  const [known] = await tx.select('replays', { migration, kind: 'repair', target, state: 'done', mapping: KEYS });
  if (known !== undefined) {
    await tx.update('replays', { id: known.id }, { deadlineLimit: Math.max(known.deadlineLimit, limit) });
    return;
  }
  await tx.insert('replays', {
    id: 0,
    migration,
    kind: 'repair',
    target,
    state: 'done',
    positions: NOTHING,
    coverable: NOTHING,
    dirtUpTo: 0,
    mapping: KEYS,
    revision: row.revision,
    actor: KEYS,
    reason: KEYS,
    startedAt: now,
    finishedAt: now,
    runner: null,
    leaseUntil: now,
    estimate: null,
    sourceTime: 0,
    deadlineLimit: limit,
  });
}

const isSuperseded = (running: ReplayRow, { kind, runner, positions, mapping }: ReplayRequest, now: number): boolean =>
  kind === 'repair' &&
  (running.runner === null || running.runner === runner || running.leaseUntil <= now) &&
  (running.mapping !== mapping || !sameIntervals(positions ?? NOTHING, running.positions));

async function resumeReplay(
  tx: Transaction,
  running: ReplayRow,
  request: ReplayRequest,
  now: number,
): Promise<ReplayWork> {
  const { migration, kind, runner } = request;
  if (running.runner !== null && running.runner !== runner && running.leaseUntil > now) {
    throw new Busy(`a ${kind} of ${migration} is being run by ${running.runner}`, {
      remedy: `changeover status ${migration} shows it; it can be taken over when its lease ends`,
    });
  }
  if (running.mapping !== request.mapping) {
    throw new InvalidArgument(`the ${kind} of ${migration} was begun under another mapping`, {
      expected: 'the same stores, keys, unit and codecs as when it began',
      remedy: `changeover ${kind} ${migration} --cancel, then begin anew`,
    });
  }
  if (request.positions !== null && !sameIntervals(request.positions, running.positions)) {
    throw new InvalidArgument(
      `the ${kind} of ${migration} that is under way is about ${describePositions(running.positions)}`,
      {
        remedy: `resume it without a range, or changeover ${kind} ${migration} --cancel`,
      },
    );
  }
  await tx.update('replays', { id: running.id }, { runner, leaseUntil: now + request.leaseMs });
  return workOf(tx, running.id, true);
}

const sameIntervals = (a: Intervals, b: Intervals): boolean => covers(a, b) && covers(b, a);

async function workOf(tx: Transaction, id: number, resumed: boolean): Promise<ReplayWork> {
  const [replay] = await tx.select('replays', { id });
  const partitions = await tx.select('replay_partitions', { replay: id });
  return { replay: replay as ReplayRow, partitions, resumed };
}

export interface Checkpoint {
  readonly partition: number;
  readonly cursor: string | null;
  readonly done: boolean;
  /** Counts of the partition so far, not since the last checkpoint. */
  readonly scanned: number;
  readonly applied: number;
  readonly skipped: number;
  readonly rejected: number;
}

/** What a replay's runner learns at a checkpoint. */
export interface CheckpointReceipt {
  /** False: cancelled, or taken over by another runner; stop. */
  readonly yours: boolean;
  /** The settings in force, so that rate and concurrency follow at once. */
  readonly document: RulesetDocument;
}

/** Makes progress durable, after the puts that it describes are definite, and keeps the lease. */
export async function checkpoint(
  tx: Transaction,
  replay: number,
  runner: string,
  leaseMs: number,
  deadlineLimit: number,
  points: readonly Checkpoint[],
  now: number,
): Promise<CheckpointReceipt> {
  const [row] = await tx.select('replays', { id: replay });
  if (row === undefined) throw new InvalidArgument(`there is no replay ${replay}`);
  const [migration] = await tx.select('migrations', { name: row.migration });
  const document = migration!.document;
  if (row.state !== 'running' || row.runner !== runner) return { yours: false, document };
  for (const { partition, ...point } of points) {
    await tx.update('replay_partitions', { id: partition, replay }, point);
  }
  await tx.update(
    'replays',
    { id: replay },
    { leaseUntil: now + leaseMs, deadlineLimit: Math.max(row.deadlineLimit, deadlineLimit) },
  );
  return { yours: true, document };
}

/** Lets go of a replay that was interrupted, so that anybody may go on with it at once. */
export async function releaseReplay(tx: Transaction, replay: number, runner: string): Promise<void> {
  await tx.update('replays', { id: replay, runner, state: 'running' }, { runner: null });
}

/** The dirt that a repair towards a target is to replay, oldest first. */
export async function dirtOf(
  tx: Transaction,
  migration: string,
  target: Side,
  upTo: number | null,
  after: number,
  limit: number,
): Promise<readonly DirtRow[]> {
  return tx.select(
    'dirt',
    { migration, target, id: upTo === null ? { gt: after } : { gt: after, lte: upTo } },
    { orderBy: 'id', limit },
  );
}

/**
 * Ends a replay whose partitions are all done: what it could cover is covered, and lost dirt that stood at its start is
 * gone where it went over all of it (R10, R11). Rejected keys stay until they are accepted (R19).
 */
export async function endReplay(
  tx: Transaction,
  replay: number,
  runner: string,
  now: number,
): Promise<{ readonly covered: Intervals; readonly cleared: number }> {
  const [row] = await tx.select('replays', { id: replay });
  if (row === undefined || row.state !== 'running' || row.runner !== runner) {
    throw new Busy('this replay was cancelled or taken over');
  }
  const open = await tx.count('replay_partitions', { replay, done: false });
  if (open > 0) throw new InvalidArgument(`${open} partitions of the replay are not done`);
  const [migration] = await tx.select('migrations', { name: row.migration });
  const { target } = row;
  const covered = union(coverageOf(migration!, target), row.coverable);
  await tx.update(
    'migrations',
    { name: row.migration },
    target === 'old' ? { coverageOld: covered } : { coverageNew: covered },
  );
  const cleared = await clearLost(tx, row);
  if (cleared > 0) await forgetComparisons(tx, row.migration, now);
  await tx.update('replays', { id: replay }, { state: 'done', finishedAt: now, runner: null });
  await remember(
    tx,
    row.migration,
    {
      actor: row.actor,
      reason: row.reason,
      kind: row.kind,
      summary: `${row.kind} of ${describePositions(row.positions)} to the ${target} store ended`,
    },
    now,
  );
  return { covered: row.coverable, cleared };
}

/** What was compared while a store was known to be wrong says nothing about what it holds now. */
export async function forgetComparisons(tx: Transaction, migration: string, now: number): Promise<void> {
  await tx.update('migrations', { name: migration }, { shadowCompared: 0, shadowDivergent: 0, shadowSince: now });
}

async function clearLost(tx: Transaction, row: ReplayRow): Promise<number> {
  const lines = await tx.select('dirt', {
    migration: row.migration,
    target: row.target,
    kind: 'lost',
    id: { lte: row.dirtUpTo },
  });
  // A source write without an answer may still come after the scan passed it: such dirt outlives this replay.
  const ripe = lines.filter((line) => line.notBefore === null || line.notBefore <= row.sourceTime);
  let cleared = 0;
  const gone: number[] = [];
  for (const line of ripe) {
    const range = intervals([[line.fromPosition, line.toPosition]]);
    const left = subtract(range, row.positions);
    if (left.length === 1 && sameIntervals(left, range)) continue;
    gone.push(line.id);
    cleared += 1;
    await tx.insertMany(
      'dirt',
      left.map(([fromPosition, toPosition]) => ({ ...line, id: 0, fromPosition, toPosition })),
    );
  }
  for (let at = 0; at < gone.length; at += 500) {
    await tx.remove('dirt', { id: { in: gone.slice(at, at + 500) } });
  }
  return cleared;
}

/** Removes dirt by its ids: keys whose present entry the target has accepted. */
export async function clearDirt(tx: Transaction, migration: string, ids: readonly number[]): Promise<number> {
  let cleared = 0;
  for (let at = 0; at < ids.length; at += 500) {
    cleared += await tx.remove('dirt', { migration, id: { in: ids.slice(at, at + 500) } });
  }
  return cleared;
}

export async function cancelReplay(
  tx: Transaction,
  migration: string,
  kind: ReplayRow['kind'],
  target: Side,
  authorship: Authorship,
  now: number,
): Promise<boolean> {
  const running = await runningReplay(tx, migration, kind, target);
  if (running === null) return false;
  await tx.update('replays', { id: running.id }, { state: 'cancelled', finishedAt: now, runner: null });
  await remember(tx, migration, { ...authorship, kind, summary: `${kind} cancelled` }, now);
  return true;
}
