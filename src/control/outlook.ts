import { CANARY_POSITION, type DialValue, dialValue, KEPT_BACK_POSITION } from '../core/dial.ts';
import type { GateVerdict } from '../core/errors.ts';
import { type Intervals, includes, intervals } from '../core/intervals.ts';
import type { KeyJson } from '../core/key-json.ts';
import type { Handover } from '../core/ruleset.ts';
import type { Dials, Side } from '../core/stage.ts';
import { countDirt, dirtOf, dirtyPositions } from './dirt.ts';
import { migrationRow, nameOf, stepFactsOf } from './facts.ts';
import { planEmergency } from './handovers.ts';
import type { ReplayRow } from './replay-row.ts';
import { SPANS } from './series.ts';
import type { DirtRow, Transaction } from './storage.ts';
import { entryOf } from './traffic-desk.ts';

/** Where everything of a migration stands on the line: what the bucket bar shows. Positions as in `covered` of the status. */
export interface LineView {
  readonly migration: string;
  readonly revision: number;
  /** Thresholds: positions below one are in. */
  readonly dials: Dials;
  readonly cohorts: { readonly canary: number; readonly keptBack: number };
  readonly covered: Readonly<Record<Side, Intervals>>;
  /** By the store that may be missing something; neighbours that are very close are joined where there are too many. */
  readonly dirty: Readonly<Record<Side, Intervals>>;
  readonly rejected: Readonly<Record<Side, Intervals>>;
  readonly replays: readonly {
    readonly kind: ReplayRow['kind'];
    readonly target: Side;
    readonly positions: Intervals;
    readonly share: number | null;
  }[];
  readonly handover: Handover | null;
}

const MOST_RANGES = 1_000;

export async function lineOf(tx: Transaction, migration: string): Promise<LineView> {
  const { document, revision, coverageOld, coverageNew } = await migrationRow(tx, migration);
  const ranges = async (kind: DirtRow['kind'], target: Side): Promise<Intervals> =>
    joined(await dirtyPositions(tx, migration, kind, target));
  const replays = [];
  for (const { id, kind, target, positions, estimate } of await tx.select('replays', { migration, state: 'running' })) {
    const partitions = await tx.select('replay_partitions', { replay: id });
    const scanned = partitions.reduce((sum, partition) => sum + partition.scanned, 0);
    const share = estimate === null || estimate <= 0 ? null : Math.min(scanned / estimate, 1);
    replays.push({ kind, target, positions, share });
  }
  return {
    migration,
    revision,
    dials: document.dials,
    cohorts: { canary: document.cohorts.canary.length, keptBack: document.cohorts.keptBack.length },
    covered: { old: coverageOld, new: coverageNew },
    dirty: { old: await ranges('lost', 'old'), new: await ranges('lost', 'new') },
    rejected: { old: await ranges('rejected', 'old'), new: await ranges('rejected', 'new') },
    replays,
    handover: document.handover,
  };
}

/** Few enough to draw: gaps that nobody would see are closed. The cohorts' positions stay apart from the buckets. */
function joined(ranges: Intervals): Intervals {
  let all = ranges;
  for (let gap = 8; all.length > MOST_RANGES; gap *= 2) {
    const wide = all.map(([from, to]): [number, number] =>
      from === CANARY_POSITION || to > KEPT_BACK_POSITION ? [from, to] : [from, Math.min(to + gap, KEPT_BACK_POSITION)],
    );
    all = intervals(wide).map(([from, to]) => [from, to]);
  }
  return all;
}

/** Who has not acknowledged a revision yet. */
export interface AcknowledgementView {
  readonly migration: string;
  readonly revision: number;
  readonly nodes: number;
  readonly acknowledged: number;
  /** The first of them, by when they joined. */
  readonly waitingFor: readonly {
    readonly incarnation: number;
    readonly name: string;
    readonly acknowledged: number;
    readonly seenAt: number;
  }[];
}

const MOST_NAMED = 100;

export async function acknowledgementsOf(
  tx: Transaction,
  migration: string,
  wanted: number | null,
): Promise<AcknowledgementView> {
  const row = await migrationRow(tx, migration);
  const revision = wanted ?? row.revision;
  const nodes = new Map((await tx.select('nodes', { state: 'alive' })).map((node) => [node.id, node]));
  const lines = (await tx.select('acknowledgements', { migration })).filter(({ node }) => nodes.has(node));
  const late = lines.filter((line) => line.revision < revision);
  return {
    migration,
    revision,
    nodes: lines.length,
    acknowledged: lines.length - late.length,
    waitingFor: late.slice(0, MOST_NAMED).flatMap((line) => {
      const node = nodes.get(line.node);
      if (node === undefined) return [];
      return [{ incarnation: node.id, name: nameOf(node), acknowledged: line.revision, seenAt: node.seenAt }];
    }),
  };
}

/** What an emergency roll-back would leave behind: what only the new store has, as far as anybody knows. */
export interface EmergencyOutlook {
  readonly migration: string;
  readonly revision: number;
  readonly allowed: boolean;
  /** The gate that is in its way. */
  readonly gate: GateVerdict | null;
  readonly from: DialValue;
  /** How far back it would go; null where it may not. */
  readonly to: DialValue | null;
  readonly positions: Intervals;
  /** Writes that the old store is known to miss: invisible until the new one is back and they are replayed. */
  readonly behind: {
    readonly lines: number;
    /** The first, oldest first. */
    readonly first: readonly {
      readonly key: KeyJson | null;
      readonly from: number;
      readonly to: number;
      readonly kind: DirtRow['kind'];
      readonly cause: string;
      readonly at: number;
    }[];
  };
  /** Mirror puts that wait in the processes: those to the old store would still be sent. */
  readonly mirrorQueue: number;
  /** Writes a second that the new store has lately taken; those without an answer end as OUTCOME_UNKNOWN. Null: unknown. */
  readonly writesPerSecond: number | null;
  /** Processes that have to acknowledge, and those that have not been heard for a while. */
  readonly nodes: number;
  readonly silent: readonly string[];
  /** The incarnations of these. */
  readonly silentNodes: readonly number[];
}

const SILENT_MS = 5_000;
const MOST_SHOWN = 50;

/** @throws Busy where the old store leads everything already */
export async function emergencyOutlook(tx: Transaction, migration: string, now: number): Promise<EmergencyOutlook> {
  const facts = await stepFactsOf(tx, migration, now);
  const { document, row, fleet } = facts;
  const plan = planEmergency(facts);
  const allowed = !('gate' in plan);
  const positions = allowed ? plan.positions : [];
  const lines = await countDirt(tx, migration, 'old', positions);
  const first = await dirtOf(tx, migration, 'old', null, 0, MOST_SHOWN, positions);
  const members = await tx.select('nodes', { id: { in: fleet.map(({ incarnation }) => incarnation) } });
  const silent = members.filter(({ seenAt }) => now - seenAt > SILENT_MS);
  const [sample] = await tx.select(
    'samples',
    { migration, step: SPANS['15m'].step, slot: { gt: now - 60_000 } },
    { orderBy: 'slot', descending: true, limit: 1 },
  );
  return {
    migration,
    revision: row.revision,
    allowed,
    gate: allowed ? null : plan,
    from: dialValue(document.dials.cutover),
    to: allowed ? dialValue(plan.to) : null,
    positions,
    behind: {
      lines,
      first: first.map(({ key, fromPosition: from, toPosition: to, kind, cause, at }) => ({
        ...{ key, from, to, kind, cause, at },
      })),
    },
    mirrorQueue: members.reduce((sum, { health }) => sum + (entryOf(health?.mirrorQueues, migration) ?? 0), 0),
    writesPerSecond: sample?.reading.new.writes ?? null,
    nodes: members.length,
    silent: silent.map(nameOf),
    silentNodes: silent.map(({ id }) => id),
  };
}

/** What a move of a dial concerns. */
export interface MoveShare {
  readonly positions: Intervals;
  /** Percent of the units on the ordinary line. */
  readonly percent: number;
  /** Units out of it. */
  readonly canary: number;
  readonly keptBack: number;
  /** What the fleet has lately done to these units, as far as the shares of the line tell; null: unknown. */
  readonly traffic: { readonly reads: number; readonly writes: number } | null;
}

/** Pure but for the latest sample. */
export async function moveShare(
  tx: Transaction,
  migration: string,
  positions: Intervals,
  now: number,
): Promise<MoveShare> {
  const { document } = await migrationRow(tx, migration);
  const buckets = positions.reduce(
    (sum, [from, to]) => sum + Math.max(Math.min(to, KEPT_BACK_POSITION) - Math.max(from, 0), 0),
    0,
  );
  const share = buckets / KEPT_BACK_POSITION;
  const [sample] = await tx.select(
    'samples',
    { migration, step: SPANS['15m'].step, slot: { gt: now - 60_000 } },
    { orderBy: 'slot', descending: true, limit: 1 },
  );
  const reading = sample?.reading;
  const known = reading !== undefined && reading.old.reads !== null && reading.new.reads !== null;
  const [old, fresh] = [reading?.old, reading?.new];
  // A mirrored write and a compared read are two calls of one operation.
  const compared =
    Math.min(Math.max(document.dials.shadowRead, 0) / KEPT_BACK_POSITION, 1) * document.settings.shadowSample;
  const reads = Math.max(
    old?.reads ?? 0,
    fresh?.reads ?? 0,
    ((old?.reads ?? 0) + (fresh?.reads ?? 0)) / (1 + compared),
  );
  const writes = Math.max(old?.writes ?? 0, fresh?.writes ?? 0);
  return {
    positions,
    percent: share * 100,
    canary: includes(positions, CANARY_POSITION) ? document.cohorts.canary.length : 0,
    keptBack: includes(positions, KEPT_BACK_POSITION) ? document.cohorts.keptBack.length : 0,
    traffic: known ? { reads: reads * share, writes: writes * share } : null,
  };
}
