import { bucketOf } from '../core/bucket.ts';
import { below, CANARY_POSITION, KEPT_BACK_POSITION, WHOLE_LINE } from '../core/dial.ts';
import { type GateVerdict, RevisionConflict } from '../core/errors.ts';
import { covers, type Intervals, includes, intervals, subtract, union } from '../core/intervals.ts';
import { mirroredTo, type RulesetDocument, validateRuleset } from '../core/ruleset.ts';
import type { MigrationRow, Transaction } from './storage.ts';

/** Who it is that does something which nobody asked for at that moment. */
export const AUTOMATIC_ACTOR = 'changeover';

/** Who changes something, and why; goes into the history. */
export interface Authorship {
  readonly actor: string;
  readonly reason: string;
}

export interface Publication extends Authorship {
  readonly kind: string;
  readonly summary: string;
  readonly gates?: readonly GateVerdict[];
}

/** The positions that are mirrored at all, in whichever direction. */
export function mirrored(document: RulesetDocument): Intervals {
  return document.dials.retireOld || document.finished ? [] : below(document.dials.dualWrite);
}

/** Whether there is no unit that stands outside these positions: where no cohort has one, its position is nobody's. */
export function coversEveryUnit({ cohorts }: RulesetDocument, positions: Intervals): boolean {
  const nobodys: (readonly [from: number, to: number])[] = [];
  if (cohorts.canary.length === 0) nobodys.push([CANARY_POSITION, CANARY_POSITION + 1]);
  if (cohorts.keptBack.length === 0) nobodys.push([KEPT_BACK_POSITION, KEPT_BACK_POSITION + 1]);
  return covers(union(positions, nobodys), WHOLE_LINE);
}

/** Takes positions out of what running replays will have covered when they end. */
export async function uncover(
  tx: Transaction,
  migration: string,
  target: 'old' | 'new',
  positions: Intervals,
): Promise<void> {
  if (positions.length === 0) return;
  for (const replay of await tx.select('replays', { migration, state: 'running', target })) {
    await tx.update('replays', { id: replay.id }, { coverable: subtract(replay.coverable, positions) });
  }
}

/**
 * Makes the next revision, with everything that must change in the same transaction: coverage that a mirror turned off
 * takes with it (R11), the revision that turned one on, and the history.
 */
export async function publish(
  tx: Transaction,
  row: MigrationRow,
  patch: Partial<RulesetDocument>,
  publication: Publication,
  now: number,
): Promise<RulesetDocument> {
  const before = row.document;
  const revision = row.revision + 1;
  const document = validateRuleset({ ...before, ...patch, revision });
  const off = subtract(mirrored(before), mirrored(document));
  const on = subtract(mirrored(document), mirrored(before));
  const lost = {
    // The follower of what is no longer mirrored is no longer complete.
    new: subtract(off, mirroredTo(before, 'old')),
    old: subtract(off, mirroredTo(before, 'new')),
  };
  await uncover(tx, row.name, 'new', lost.new);
  await uncover(tx, row.name, 'old', lost.old);
  const dialsMoved = JSON.stringify(before.dials) !== JSON.stringify(document.dials);
  const written = tx.update(
    'migrations',
    { name: row.name, revision: row.revision },
    {
      revision,
      document,
      coverageOld: subtract(row.coverageOld, lost.old),
      coverageNew: subtract(row.coverageNew, lost.new),
      ...(on.length > 0 ? { mirrorOnRevision: revision } : {}),
      ...(dialsMoved ? { shadowCompared: 0, shadowDivergent: 0, shadowSince: now } : {}),
    },
  );
  const noted = tx.insert('history', {
    id: 0,
    migration: row.name,
    revision,
    at: now,
    actor: publication.actor,
    reason: publication.reason,
    kind: publication.kind,
    summary: publication.summary,
    before,
    after: document,
    gates: [...(publication.gates ?? [])],
    cohortMoves: publication.kind === COHORT_CHANGE ? cohortMoves(before, document) : null,
  });
  // Sent together: whoever has the document waits for both.
  const [changed] = await Promise.all([written, noted]);
  if (changed !== 1) throw new RevisionConflict(`somebody else changed ${row.name} at the same moment`);
  return document;
}

/** A line of history that makes no revision. */
export async function remember(
  tx: Transaction,
  migration: string,
  publication: Publication,
  now: number,
): Promise<void> {
  await tx.insert('history', {
    id: 0,
    migration,
    revision: null,
    at: now,
    actor: publication.actor,
    reason: publication.reason,
    kind: publication.kind,
    summary: publication.summary,
    before: null,
    after: null,
    gates: [...(publication.gates ?? [])],
    cohortMoves: null,
  });
}

/** The history's word for a change of a unit's cohort: what dirt of earlier revisions is carried along. */
export const COHORT_CHANGE = 'cohort';

/**
 * Where writes that ran at `positions` under revision `since` or later count as dirty now: there, and at the present
 * positions of units that changed their cohort since (R18).
 */
export async function carried(
  tx: Transaction,
  migration: string,
  positions: Intervals,
  since: number,
): Promise<Intervals> {
  return along(positions, await cohortMovesSince(tx, migration, since));
}

/** A unit that took another position. */
export interface CohortMove {
  readonly revision: number;
  readonly from: number;
  readonly to: number;
}

/** Rows with whole rulesets that are held at once. */
const OLDER_ROWS = 100;

/**
 * The changes of cohorts after revision `since`, oldest first. There may be thousands, each with two rulesets that name
 * all units that are pinned: those are read only of rows that were written before the moves had a column.
 */
export async function cohortMovesSince(
  tx: Transaction,
  migration: string,
  since: number,
): Promise<readonly CohortMove[]> {
  const where = { migration, kind: COHORT_CHANGE };
  const columns = ['revision', 'cohortMoves'] as const;
  const rows = await tx.select('history', { ...where, revision: { gt: since } }, { columns });
  const known = new Map(rows.map(({ revision, cohortMoves }) => [revision as number, cohortMoves]));
  const older = [...known].flatMap(([revision, moves]) => (moves === null ? [revision] : []));
  for (let i = 0; i < older.length; i += OLDER_ROWS) {
    const revision = { in: older.slice(i, i + OLDER_ROWS) };
    for (const { before, after } of await tx.select('history', { ...where, revision })) {
      if (before !== null && after !== null) known.set(after.revision, cohortMoves(before, after));
    }
  }
  return [...known].flatMap(([revision, moves]) => (moves ?? []).map(([from, to]) => ({ revision, from, to })));
}

/** Some positions, and those that units took who left one of them. */
export function along(positions: Intervals, moves: readonly CohortMove[]): Intervals {
  const taken = new Set<number>();
  for (const { from, to } of moves) if (taken.has(from) || includes(positions, from)) taken.add(to);
  return taken.size === 0 ? positions : union(positions, points(taken));
}

/** The positions from which {@link along} leads to some positions, and these themselves. */
export function origins(positions: Intervals, moves: readonly CohortMove[]): Intervals {
  return along(positions, moves.map(({ revision, from, to }) => ({ revision, from: to, to: from })).reverse());
}

const points = (positions: Iterable<number>): Intervals =>
  intervals([...positions].map((position) => [position, position + 1] as const));

/** The positions that units left and took between two revisions. */
function cohortMoves(before: RulesetDocument, after: RulesetDocument): (readonly [from: number, to: number])[] {
  const was = pinned(before);
  const is = pinned(after);
  const bucket = (unit: string): number => bucketOf(before.migration, unit);
  return [...new Set([...was.keys(), ...is.keys()])]
    .filter((unit) => was.get(unit) !== is.get(unit))
    .map((unit) => [was.get(unit) ?? bucket(unit), is.get(unit) ?? bucket(unit)] as const);
}

const pinned = ({ cohorts }: RulesetDocument): ReadonlyMap<string, number> =>
  new Map([
    ...cohorts.keptBack.map((unit) => [unit, KEPT_BACK_POSITION] as const),
    ...cohorts.canary.map((unit) => [unit, CANARY_POSITION] as const),
  ]);

/** Where a unit stands under a document, without compiling it. */
export function unitPosition(document: RulesetDocument, unit: string): number {
  if (document.cohorts.canary.includes(unit)) return CANARY_POSITION;
  if (document.cohorts.keptBack.includes(unit)) return KEPT_BACK_POSITION;
  return bucketOf(document.migration, unit);
}
