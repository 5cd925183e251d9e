import { describePositions } from '../core/dial.ts';
import { Busy, GatesRefused, InvalidArgument } from '../core/errors.ts';
import { covers, type Intervals, intersect, NOTHING } from '../core/intervals.ts';
import { mirroredTo, type RulesetDocument } from '../core/ruleset.ts';
import type { Side } from '../core/stage.ts';
import type { Partition } from '../core/store.ts';
import { behind, migrationRow, stepFactsOf } from './facts.ts';
import { fleetGate } from './fleet-gates.ts';
import { type Authorship, remember } from './publish.ts';
import { measured } from './replay-rate.ts';
import type { ReplayPartitionRow, ReplayRow } from './replay-row.ts';
import type { Transaction } from './storage.ts';
import { otherThan } from './verified.ts';

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
  /** The shares of the source to scan, should it be a new replay; chosen by the caller, who has the store. */
  readonly partitions: readonly Partition[];
  /** Leases its partitions one by one, to any number of processes; one that is shared already is joined. @default false */
  readonly shared?: boolean;
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
  const facts = await stepFactsOf(tx, migration, now);
  refuseAfterStamping(facts.document);
  const running = await runningReplay(tx, migration, kind, target);
  const follower = followerPositions(facts.document, target);
  if (running !== null && !isSuperseded(running, request, now)) return resumeReplay(tx, running, request, now);
  // A repair that its runner left is not resumed where there is other dirt by now: what it had done stays done.
  if (running !== null) {
    await tx.update('replays', { id: running.id }, { state: 'cancelled', finishedAt: now, runner: null });
  }

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
  const [newest] = await tx.select(
    'dirt',
    { migration },
    { orderBy: 'id', descending: true, limit: 1, columns: ['id'] },
  );
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
    runner: request.shared === true ? null : runner,
    leaseUntil: now + request.leaseMs,
    estimate: request.estimate,
    sourceTime: request.sourceTime,
    deadlineLimit: 0,
    looseUntil: 0,
    shared: request.shared === true,
    // Who paused what this supersedes wants nothing to be read or put for now.
    paused: running?.paused ?? false,
    cleared: 0,
    rate: null,
    rateAt: now,
    rateScanned: 0,
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
      runner: null,
      process: null,
      leaseUntil: 0,
      fence: 0,
      failures: 0,
      failure: null,
      retryAt: 0,
      census: null,
      eased: null,
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
    looseUntil: 0,
    shared: false,
    paused: false,
    cleared: 0,
    rate: null,
    rateAt: now,
    rateScanned: 0,
  });
}

const isSuperseded = (running: ReplayRow, request: ReplayRequest, now: number): boolean =>
  request.kind === 'repair' &&
  !isHeld(running, request.runner, now) &&
  (running.mapping !== request.mapping || !sameIntervals(request.positions ?? NOTHING, running.positions));

/** Somebody else is at it. A shared one has no runner of its own; its holders keep it with their partitions. */
const isHeld = ({ shared, runner, leaseUntil }: ReplayRow, by: string, now: number): boolean =>
  (shared || (runner !== null && runner !== by)) && leaseUntil > now;

async function resumeReplay(
  tx: Transaction,
  running: ReplayRow,
  request: ReplayRequest,
  now: number,
): Promise<ReplayWork> {
  const { migration, kind, runner, shared = false } = request;
  const joins = shared && running.shared;
  // A repair of something else is not one to join.
  const other = kind === 'repair' && !sameIntervals(request.positions ?? NOTHING, running.positions);
  if ((!joins || other) && isHeld(running, runner, now)) {
    const { actor, reason } = running;
    const who = running.runner ?? 'several processes';
    throw new Busy(`a ${kind} of ${migration} is being run by ${who}; ${actor} began it: ${reason}`, {
      remedy: `changeover status ${migration} shows it; it can be taken over when its lease ends`,
    });
  }
  refuseOther(running, request);
  if (!joins) {
    // Whoever had it, or had partitions of it, finds out at the next checkpoint.
    await tx.update('replay_partitions', { replay: running.id }, { runner: null, process: null, leaseUntil: 0 });
  }
  const patch = { shared, runner: shared ? null : runner, leaseUntil: now + request.leaseMs };
  await tx.update('replays', { id: running.id }, patch);
  return workOf(tx, running.id, true);
}

/** What people call each kind by. */
const COMMANDS: Readonly<Record<ReplayRow['kind'], (migration: string) => string>> = {
  backfill: (migration) => `backfill ${migration}`,
  repair: (migration) => `repair ${migration}`,
  preload: (migration) => `backfill ${migration} --preload`,
};

/** @throws InvalidArgument when checkpoints were made under another mapping or schema than somebody's own */
export function refuseOtherMapping(running: ReplayRow, mapping: string): void {
  if (running.mapping === mapping) return;
  const { kind, migration } = running;
  const other = otherThan(running.mapping, mapping);
  throw new InvalidArgument(`the ${kind} of ${migration} was begun under another ${other}`, {
    expected:
      other === 'schema'
        ? 'the same schema as when it began'
        : 'the same stores, keys, unit, codecs and compare rules as when it began',
    remedy:
      kind === 'repair'
        ? 'cancel it in the console, or by POST /api/v1/migrations/…/replays/cancel, then begin anew'
        : `changeover ${COMMANDS[kind](migration)} --cancel --reason "…", then begin anew; what is copied already stays as it is: where it is encoded otherwise now, changeover verify and repair write it again`,
  });
}

/** One that is under way is gone on with as it was begun, by who asks for at least that. @throws InvalidArgument */
export function refuseOther(
  running: ReplayRow,
  { mapping, positions }: { readonly mapping: string; readonly positions: Intervals | null },
): void {
  refuseOtherMapping(running, mapping);
  if (positions === null || covers(positions, running.positions)) return;
  const { kind, migration } = running;
  throw new InvalidArgument(
    `the ${kind} of ${migration} that is under way is about ${describePositions(running.positions)}`,
    {
      expected: 'these positions, or more',
      remedy: `changeover ${COMMANDS[kind](migration)} without --positions goes on with it; with --cancel it is given up`,
    },
  );
}

export const sameIntervals = (a: Intervals, b: Intervals): boolean => covers(a, b) && covers(b, a);

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
  /** Why it goes slower than it may. @default as before */
  readonly eased?: string | null;
}

/** What a replay's runner learns at a checkpoint. */
export interface CheckpointReceipt {
  /** False: cancelled, or taken over by another runner; stop. */
  readonly yours: boolean;
  /** The settings in force, so that rate and concurrency follow at once. */
  readonly document: RulesetDocument;
  /** An operator wants nothing to be read or put for now. */
  readonly paused: boolean;
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
  if (row.state !== 'running' || row.runner !== runner) return { yours: false, document, paused: row.paused };
  for (const { partition, ...point } of points) {
    await tx.update('replay_partitions', { id: partition, replay }, point);
  }
  await tx.update(
    'replays',
    { id: replay },
    {
      leaseUntil: now + leaseMs,
      deadlineLimit: Math.max(row.deadlineLimit, deadlineLimit),
      // Until its runner says what became of them, any of its puts may still arrive.
      ...(row.kind === 'preload' ? { looseUntil: Math.max(row.looseUntil, deadlineLimit) } : {}),
      ...(await measured(tx, row, now)),
    },
  );
  return { yours: true, document, paused: row.paused };
}

/** Lets go of a replay that was interrupted, so that anybody may go on with it at once. */
export async function releaseReplay(tx: Transaction, replay: number, runner: string): Promise<void> {
  await tx.update('replays', { id: replay, runner, state: 'running' }, { runner: null });
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

/** Holds a replay that is under way, whoever runs it, or lets it go on; null where there is none. */
export async function pauseReplay(
  tx: Transaction,
  migration: string,
  kind: ReplayRow['kind'],
  target: Side,
  paused: boolean,
  authorship: Authorship,
  now: number,
): Promise<{ readonly changed: boolean } | null> {
  const running = await runningReplay(tx, migration, kind, target);
  if (running === null) return null;
  if (running.paused === paused) return { changed: false };
  await tx.update('replays', { id: running.id }, { paused });
  const summary = `${kind} of ${describePositions(running.positions)} to the ${target} store ${paused ? 'paused' : 'goes on'}`;
  await remember(tx, migration, { ...authorship, kind, summary }, now);
  return { changed: true };
}
