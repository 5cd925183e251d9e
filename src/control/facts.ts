import type { Configured } from '../core/control-client.ts';
import { between, WHOLE_LINE } from '../core/dial.ts';
import { UnknownMigration } from '../core/errors.ts';
import { type Intervals, NOTHING, subtract } from '../core/intervals.ts';
import type { RulesetDocument } from '../core/ruleset.ts';
import type { DialMove, Side } from '../core/stage.ts';
import { type DirtSummary, dirtIn } from './dirt.ts';
import { type CohortMove, cohortMovesSince, origins } from './publish.ts';
import type { AcceptanceRow, CensusRow, MigrationRow, NodeRow, Transaction, VerificationRow } from './storage.ts';

/** A process of the fleet, as gates and people name it. */
export interface FleetMember {
  readonly incarnation: number;
  readonly name: string;
  readonly acknowledged: number;
  /** What it has configured for the migration, where it says so. */
  readonly configured?: Configured | undefined;
}

/** What gates are computed from: durable revisions, acknowledgements, coverage and dirt, nothing else. */
export interface Facts {
  readonly row: MigrationRow;
  readonly document: RulesetDocument;
  /** The processes whose acknowledgements are required. */
  readonly fleet: readonly FleetMember[];
  /** In the positions whose cutover moves, if that is what the facts are for; else all. */
  readonly dirt: readonly DirtSummary[];
  /** Those that a move of the cutover may meet, if that is what the facts are for. */
  readonly openDivergences: readonly { readonly position: number }[];
  /** Newest first. */
  readonly verifications: readonly VerificationRow[];
  /** Units that took another position since the oldest of what is open or still holds, oldest first. */
  readonly cohortMoves: readonly CohortMove[];
  readonly runningReplays: number;
  /** What a preload, if there ever was one, means for dual-write (R20). */
  readonly preload: PreloadFacts | null;
  /** Newest first. */
  readonly censuses: readonly CensusRow[];
  readonly acceptances: readonly AcceptanceRow[];
  readonly now: number;
}

export interface PreloadFacts {
  readonly running: boolean;
  /** The latest deadline of a put that is not known to be settled (the new store's time), or 0. */
  readonly looseUntil: number;
}

export const coverageOf = (row: MigrationRow, side: Side): Intervals =>
  side === 'old' ? row.coverageOld : row.coverageNew;

/** @throws UnknownMigration */
export async function migrationRow(tx: Transaction, name: string): Promise<MigrationRow> {
  const [row] = await tx.select('migrations', { name });
  if (row !== undefined) return row;
  const known = await tx.select('migrations', {});
  throw new UnknownMigration(`there is no migration "${name}"`, {
    expected: known.map((other) => other.name).join(', ') || 'a migration that `changeover prepare` has created',
  });
}

export function nameOf(node: NodeRow): string {
  const { name, host, pid } = node.info;
  return `${name || 'process'} ${pid}@${host} (#${node.id})`;
}

/** A process and what it has configured for a migration, where it says so. */
export function configuredMember(node: NodeRow, migration: string): Omit<FleetMember, 'acknowledged'> {
  const { configured = {} } = node.info;
  const own = Object.hasOwn(configured, migration) ? configured[migration] : undefined;
  return { incarnation: node.id, name: nameOf(node), configured: own };
}

/** The members of the fleet whose acknowledgements a migration needs. */
export async function fleetOf(tx: Transaction, migration: string): Promise<readonly FleetMember[]> {
  return membersOf(tx, migration, await aliveNodes(tx));
}

const aliveNodes = (tx: Transaction): Promise<readonly NodeRow[]> => tx.select('nodes', { state: 'alive' });

async function membersOf(
  tx: Transaction,
  migration: string,
  nodes: readonly NodeRow[],
): Promise<readonly FleetMember[]> {
  const acknowledgements = await tx.select('acknowledgements', {
    migration,
    node: { in: nodes.map((node) => node.id) },
  });
  const byNode = new Map(nodes.map((node) => [node.id, node]));
  return acknowledgements.map(({ node, revision }) => ({
    ...configuredMember(byNode.get(node) as NodeRow, migration),
    acknowledged: revision,
  }));
}

/** The members that have not acknowledged a revision. */
export const behind = (fleet: readonly FleetMember[], revision: number): readonly FleetMember[] =>
  fleet.filter((member) => member.acknowledged < revision);

/** Those of some members that are still there and have not acknowledged a revision. */
export async function membersBehind(
  tx: Transaction,
  migration: string,
  revision: number,
  among: readonly number[],
): Promise<readonly FleetMember[]> {
  const [late, nodes] = await Promise.all([
    tx.select('acknowledgements', { migration, node: { in: among }, revision: { lt: revision } }),
    tx.select('nodes', { id: { in: among }, state: 'alive' }),
  ]);
  const byNode = new Map(nodes.map((node) => [node.id, node]));
  return late.flatMap(({ node, revision: acknowledged }) => {
    const row = byNode.get(node);
    return row === undefined ? [] : [{ incarnation: node, name: nameOf(row), acknowledged }];
  });
}

/** Gates name a few examples; more rows than this are not read for them. */
export const MOST_ROWS = 10_000;
/** Verdicts that are looked through for those that still hold. */
const MOST_VERDICTS = 200;

async function preloadFacts(tx: Transaction, name: string): Promise<PreloadFacts | null> {
  const rows = await tx.select('replays', { migration: name, kind: 'preload' });
  if (rows.length === 0) return null;
  return {
    running: rows.some(({ state }) => state === 'running'),
    looseUntil: Math.max(...rows.map(({ looseUntil }) => looseUntil)),
  };
}

/** A divergence does not say at which revision it was found, so all moves may matter to it. */
async function movesSince(
  tx: Transaction,
  { name, document }: MigrationRow,
  diverge: boolean,
  verifications: readonly VerificationRow[],
  now: number,
): Promise<readonly CohortMove[]> {
  const revisions = verifications.filter(({ expiresAt }) => expiresAt > now).map(({ revision }) => revision);
  // While a handover is going on no dial moves, and its steps are not to wait for this.
  if (document.handover !== null || !(diverge || revisions.length > 0)) return [];
  return cohortMovesSince(tx, name, diverge ? 0 : Math.min(...revisions));
}

/** Records that differ at some positions, or that did where a unit stood before. */
async function divergencesIn(
  tx: Transaction,
  migration: string,
  positions: Intervals,
  moves: readonly CohortMove[],
): Promise<readonly { readonly position: number }[]> {
  const page = { columns: ['position'], limit: MOST_ROWS } as const;
  const found: { readonly position: number }[] = [];
  for (const [gte, lt] of positions) {
    found.push(...(await tx.select('divergences', { migration, position: { gte, lt } }, page)));
  }
  // As many places as there are units that moved: asked for at once.
  const elsewhere = subtract(origins(positions, moves), positions).flatMap(([from, to]) =>
    Array.from({ length: to - from }, (_, i) => from + i),
  );
  if (elsewhere.length === 0) return found;
  return [...found, ...(await tx.select('divergences', { migration, position: { in: elsewhere } }, page))];
}

/** What the steps of a handover, and all that asks no gates of data, are taken by: writes wait for them. */
export type StepFacts = Pick<Facts, 'row' | 'document' | 'fleet' | 'now'>;

export async function stepFactsOf(tx: Transaction, name: string, now: number): Promise<StepFacts> {
  const [row, nodes] = await Promise.all([migrationRow(tx, name), aliveNodes(tx)]);
  return { row, document: row.document, fleet: await membersOf(tx, name, nodes), now };
}

/** `move` is what they are gathered for, if it is a move. What can be asked together is: one round trip, where there are any. */
export async function factsOf(tx: Transaction, name: string, now: number, move?: DialMove): Promise<Facts> {
  const where = { migration: name };
  const newest = { orderBy: 'id', descending: true } as const;
  const [row, nodes, verifications, [different], runningReplays, preload, censuses, acceptances] = await Promise.all([
    migrationRow(tx, name),
    aliveNodes(tx),
    tx.select('verifications', where, { ...newest, limit: MOST_VERDICTS }),
    tx.select('divergences', where, { limit: 1 }),
    tx.count('replays', { ...where, state: 'running' }),
    preloadFacts(tx, name),
    tx.select('censuses', where, { ...newest, limit: MOST_ROWS }),
    tx.select('acceptances', where),
  ]);
  const moving = move?.dial === 'cutover' ? between(row.document.dials.cutover, move.to) : null;
  const cohortMoves = await movesSince(tx, row, different !== undefined, verifications, now);
  return {
    row,
    document: row.document,
    fleet: await membersOf(tx, name, nodes),
    dirt: await dirtIn(tx, name, moving ?? WHOLE_LINE),
    openDivergences: await divergencesIn(tx, name, moving ?? NOTHING, cohortMoves),
    verifications,
    cohortMoves,
    runningReplays,
    preload,
    censuses,
    acceptances,
    now,
  };
}
