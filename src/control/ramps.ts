import { describeDial, type Threshold } from '../core/dial.ts';
import { Busy, InvalidArgument, MigrationFinished, NotFound } from '../core/errors.ts';
import { type RampCheck, type RampPlan, shareDial, validateRampPlan } from '../core/ramp.ts';
import { migrationRow } from './facts.ts';
import { type Authorship, remember } from './publish.ts';
import type { RampRow } from './ramp-row.ts';
import type { Transaction } from './storage.ts';
import { trafficOf } from './traffic-desk.ts';

export interface RampRequest extends Authorship {
  readonly migration: string;
  readonly plan: RampPlan;
}

/** Who drives a ramp: only they move its dial for it. */
export interface RampHold {
  readonly ramp: number;
  readonly runner: string;
}

/** What a ramp's driver has found out. */
export interface RampProgress {
  readonly step?: number;
  readonly stepSince?: number | null;
  readonly marks?: RampRow['marks'];
  readonly checks?: readonly RampCheck[];
  readonly note?: string | null;
}

/** Under way: it will move its dial by itself. */
const OPEN = ['running', 'returning'] as const;
/** Not at its end. */
const UNFINISHED = [...OPEN, 'paused'] as const;

const stepsText = ({ dial, steps }: RampPlan): string => `${dial} ${steps.map(describeDial).join(', ')}`;

/** The ramp of a migration that has not ended, or null. */
export async function unfinishedRamp(tx: Transaction, migration: string): Promise<RampRow | null> {
  const [row] = await tx.select('ramps', { migration, state: { in: UNFINISHED } });
  return row ?? null;
}

/** Those of several. */
export const unfinishedRamps = (tx: Transaction, migrations: readonly string[]): Promise<readonly RampRow[]> =>
  tx.select('ramps', { migration: { in: migrations }, state: { in: UNFINISHED } });

/** @throws Busy while the migration has another one, InvalidArgument for steps that do not rise from where the dial is */
export async function startRamp(tx: Transaction, request: RampRequest, now: number): Promise<RampRow> {
  const { migration, plan, actor, reason } = request;
  const { document } = await migrationRow(tx, migration);
  if (document.finished) throw new MigrationFinished(`${migration} is finished; its dials do not move any more`);
  const other = await unfinishedRamp(tx, migration);
  if (other !== null) {
    throw new Busy(`${migration} has a ramp already: ${stepsText(other.plan)}`, {
      remedy: `changeover ramp ${migration} shows it; changeover ramp ${migration} --stop ends it`,
    });
  }
  const start = document.dials[shareDial(plan.dial)];
  validateRampPlan(plan, start);
  const row: RampRow = {
    id: 0,
    migration,
    state: 'running',
    plan,
    start,
    step: 0,
    stepSince: null,
    marks: { begun: await trafficOf(tx, migration), step: null, compared: 0, divergent: 0 },
    checks: [],
    note: null,
    actor,
    reason,
    startedAt: now,
    finishedAt: null,
    runner: null,
    leaseUntil: 0,
  };
  const id = await tx.insert('ramps', row);
  await remember(tx, migration, { actor, reason, kind: 'ramp', summary: `ramp ${id} begins: ${stepsText(plan)}` }, now);
  return { ...row, id };
}

/** Ramps under way that nobody drives, or this runner does. */
export async function idleRamps(
  tx: Transaction,
  runner: string,
  migrations: readonly string[],
  now: number,
): Promise<readonly RampRow[]> {
  const open = await tx.select('ramps', { state: { in: OPEN }, migration: { in: migrations } });
  return open.filter((row) => row.runner === null || row.runner === runner || row.leaseUntil <= now);
}

/**
 * Takes a ramp, or keeps it, and notes what was found out; null when somebody else drives it or it is no longer under
 * way.
 */
export async function holdRamp(
  tx: Transaction,
  hold: RampHold,
  leaseMs: number,
  progress: RampProgress,
  now: number,
): Promise<RampRow | null> {
  const [row] = await tx.select('ramps', { id: hold.ramp });
  if (row === undefined || !isOpen(row)) return null;
  if (row.runner !== null && row.runner !== hold.runner && row.leaseUntil > now) return null;
  // Whoever lost its lease must not write what it believed in meanwhile.
  const known = row.runner === hold.runner ? progress : {};
  const { checks, ...rest } = known;
  const patch = {
    ...rest,
    ...(checks === undefined ? {} : { checks: [...checks] }),
    runner: hold.runner,
    leaseUntil: now + leaseMs,
  };
  await tx.update('ramps', { id: row.id }, patch);
  return { ...row, ...patch };
}

/** Lets go of a ramp: anybody may drive it on. */
export async function releaseRamp(tx: Transaction, { ramp, runner }: RampHold): Promise<void> {
  await tx.update('ramps', { id: ramp, runner }, { runner: null, leaseUntil: 0 });
}

/** A budget is broken: from now on the ramp goes back and nowhere else. */
export async function turnBack(
  tx: Transaction,
  hold: RampHold,
  checks: readonly RampCheck[],
  now: number,
): Promise<boolean> {
  const row = await heldRamp(tx, hold, now);
  if (row === null || row.state !== 'running') return row?.state === 'returning';
  const why = whyBroken(checks);
  await tx.update('ramps', { id: row.id }, { state: 'returning', checks: [...checks], note: why });
  const summary = `ramp ${row.id} goes back to ${describeDial(row.start)}: ${why}`;
  await remember(tx, row.migration, { ...automatic(row), kind: 'ramp', summary, gates: evidence(checks) }, now);
  return true;
}

/** Ends a ramp that somebody drives. */
export async function endRamp(
  tx: Transaction,
  hold: RampHold,
  state: 'done' | 'returned' | 'stopped',
  note: string,
  now: number,
): Promise<boolean> {
  const row = await heldRamp(tx, hold, now);
  if (row === null) return false;
  await tx.update('ramps', { id: row.id }, { state, note, finishedAt: now, runner: null, leaseUntil: 0 });
  const summary = `ramp ${row.id} ${state === 'done' ? 'is done' : state === 'returned' ? 'is back' : 'stopped'}: ${note}`;
  await remember(tx, row.migration, { ...automatic(row), kind: 'ramp', summary, gates: evidence(row.checks) }, now);
  return true;
}

/**
 * What people do with a ramp: it stays where it is (`pause`), goes on with a fresh hold (`resume`), or ends there
 * (`stop`).
 * @throws NotFound where none is under way
 */
export async function steerRamp(
  tx: Transaction,
  migration: string,
  how: 'pause' | 'resume' | 'stop',
  authorship: Authorship,
  now: number,
): Promise<RampRow> {
  await migrationRow(tx, migration);
  const row = await unfinishedRamp(tx, migration);
  if (row === null)
    throw new NotFound(`${migration} has no ramp under way`, { remedy: `changeover ramp ${migration}` });
  if (row.state === 'returning' && how !== 'stop') {
    throw new InvalidArgument(`the ramp of ${migration} is going back; it can only be stopped`, {
      remedy: `changeover ramp ${migration} --stop`,
    });
  }
  const state = how === 'pause' ? ('paused' as const) : how === 'resume' ? ('running' as const) : ('stopped' as const);
  if (state === row.state) return row;
  const patch = {
    state,
    // Time that passed unwatched proves nothing.
    ...(how === 'resume' ? { stepSince: null } : { runner: null, leaseUntil: 0 }),
    ...(how === 'stop' ? { finishedAt: now, note: `stopped by ${authorship.actor}` } : {}),
  };
  await tx.update('ramps', { id: row.id }, patch);
  const word = how === 'pause' ? 'pauses' : how === 'resume' ? 'goes on' : 'is stopped';
  await remember(tx, migration, { ...authorship, kind: 'ramp', summary: `ramp ${row.id} ${word}` }, now);
  return { ...row, ...patch };
}

/** The ramp that a move is made for, in the move's own transaction. @throws Busy when it is not this runner's any more */
export async function demandHold(tx: Transaction, hold: RampHold, now: number): Promise<void> {
  if ((await heldRamp(tx, hold, now)) !== null) return;
  throw new Busy('the ramp was stopped, or is driven by somebody else now');
}

export const isOpen = ({ state }: RampRow): boolean => (OPEN as readonly string[]).includes(state);

async function heldRamp(tx: Transaction, { ramp, runner }: RampHold, now: number): Promise<RampRow | null> {
  const [row] = await tx.select('ramps', { id: ramp });
  return row !== undefined && isOpen(row) && row.runner === runner && row.leaseUntil > now ? row : null;
}

/** Who did it where nobody did: the history's mark of what happened by itself. */
export const automatic = ({ id, actor, reason }: RampRow): Authorship => ({
  actor: 'changeover',
  reason: `ramp ${id} of ${actor}: ${reason}`,
});

export const whyBroken = (checks: readonly RampCheck[]): string =>
  checks
    .filter(({ state }) => state === 'broken')
    .map(({ check, evidence: text }) => `${check}: ${text}`)
    .join('; ');

/** Checks in the form in which the history keeps gates. */
const evidence = (checks: readonly RampCheck[]) =>
  checks.map(({ check, state, evidence: text }) => ({
    gate: check,
    passed: state !== 'broken',
    advice: false,
    evidence: text,
    remedy: null,
  }));

/** Where the ramp's present step leads. */
export const stepTarget = ({ plan, step }: RampRow): Threshold => plan.steps[step] as Threshold;
