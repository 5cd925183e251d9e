import { UnknownMigration } from '../core/errors.ts';
import type { Intervals } from '../core/intervals.ts';
import type { RulesetDocument } from '../core/ruleset.ts';
import type { Side } from '../core/stage.ts';
import type {
  AcceptanceRow,
  CensusRow,
  DirtRow,
  MigrationRow,
  NodeRow,
  Transaction,
  VerificationRow,
} from './storage.ts';

/** A process of the fleet, as gates and people name it. */
export interface FleetMember {
  readonly incarnation: number;
  readonly name: string;
  readonly acknowledged: number;
}

/** What gates are computed from: durable revisions, acknowledgements, coverage and dirt, nothing else. */
export interface Facts {
  readonly row: MigrationRow;
  readonly document: RulesetDocument;
  /** The processes whose acknowledgements are required. */
  readonly fleet: readonly FleetMember[];
  readonly dirt: readonly DirtSummary[];
  readonly openDivergences: readonly { readonly position: number }[];
  readonly verification: VerificationRow | null;
  readonly runningReplays: number;
  /** Newest first. */
  readonly censuses: readonly CensusRow[];
  readonly acceptances: readonly AcceptanceRow[];
  readonly now: number;
}

export interface DirtSummary {
  readonly target: Side;
  readonly kind: DirtRow['kind'];
  readonly range: readonly [from: number, to: number];
  readonly cause: string;
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

/** The members of the fleet whose acknowledgements a migration needs. */
export async function fleetOf(tx: Transaction, migration: string): Promise<readonly FleetMember[]> {
  const nodes = await tx.select('nodes', { state: 'alive' });
  const acknowledgements = await tx.select('acknowledgements', {
    migration,
    node: { in: nodes.map((node) => node.id) },
  });
  const byNode = new Map(nodes.map((node) => [node.id, node]));
  return acknowledgements.map(({ node, revision }) => ({
    incarnation: node,
    name: nameOf(byNode.get(node) as NodeRow),
    acknowledged: revision,
  }));
}

/** The members that have not acknowledged a revision. */
export const behind = (fleet: readonly FleetMember[], revision: number): readonly FleetMember[] =>
  fleet.filter((member) => member.acknowledged < revision);

/** Gates name a few examples; more rows than this are not read for them. */
const MOST_ROWS = 10_000;

export async function factsOf(tx: Transaction, name: string, now: number): Promise<Facts> {
  const row = await migrationRow(tx, name);
  const [verification] = await tx.select(
    'verifications',
    { migration: name },
    { orderBy: 'id', descending: true, limit: 1 },
  );
  const dirt = await tx.select('dirt', { migration: name }, { limit: MOST_ROWS });
  return {
    row,
    document: row.document,
    fleet: await fleetOf(tx, name),
    dirt: dirt.map(({ target, kind, fromPosition, toPosition, cause }) => ({
      target,
      kind,
      range: [fromPosition, toPosition],
      cause,
    })),
    openDivergences: await tx.select('divergences', { migration: name }, { limit: MOST_ROWS }),
    verification: verification ?? null,
    runningReplays: await tx.count('replays', { migration: name, state: 'running' }),
    censuses: await tx.select('censuses', { migration: name }, { orderBy: 'id', descending: true, limit: MOST_ROWS }),
    acceptances: await tx.select('acceptances', { migration: name }),
    now,
  };
}
