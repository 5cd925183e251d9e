import { BUCKETS } from '../core/bucket.ts';
import { StoreFault } from '../core/errors.ts';
import { type Intervals, intervals, type Range, size } from '../core/intervals.ts';
import { type KeyJson, keyFromJson } from '../core/key-json.ts';
import { Ruleset } from '../core/ruleset.ts';
import { otherSide, type Side } from '../core/stage.ts';
import type { Store } from '../core/store.ts';
import type { ControllerParts } from './controller-parts.ts';
import { isSingle, rangesOf } from './repair.ts';
import type { DirtRow, DivergenceRow } from './storage.ts';

/** What a repair would do. */
export interface RepairPlan {
  /** One line a direction that has something to do, in the order in which it is done. */
  readonly replays: readonly PlannedReplay[];
  readonly restamps: PlannedRestamps;
}

/** What is dirty on one store, and copied from the other one. */
export interface PlannedReplay {
  readonly target: Side;
  /** The positions of the dirty ranges: they are scanned. */
  readonly positions: Intervals;
  /** About how many records of the source are in them; null where it cannot say. */
  readonly records: number | null;
  /** Single keys out of these positions that are read one by one; `rejected` those of them that the target refused. */
  readonly keys: number;
  readonly rejected: number;
  /** Lines of dirt that would be gone, if nothing is refused. */
  readonly lines: number;
  /** A few of the keys, by why they are dirty. */
  readonly examples: readonly PlannedKey[];
}

/** Divergent records that would be written again by the store that leads them. */
export interface PlannedRestamps {
  readonly records: number;
  /** How many each store leads. */
  readonly from: Readonly<Record<Side, number>>;
  readonly kinds: Readonly<Record<DivergenceRow['kind'], number>>;
  /** How many have which cause, most frequent first; null where it is not known. */
  readonly causes: readonly { readonly cause: string | null; readonly records: number }[];
  /** Not mirrored any more, so that writing them again does not reach the other store. */
  readonly unmirrored: number;
  readonly examples: readonly PlannedKey[];
}

export interface PlannedKey {
  readonly key: KeyJson;
  readonly cause: string;
}

const PAGE = 500;
const EXAMPLES = 10;

/** Looks at what a repair would do; changes nothing. */
export async function planRepair(parts: ControllerParts): Promise<RepairPlan> {
  const replays: PlannedReplay[] = [];
  for (const target of ['old', 'new'] as const) {
    const planned = await planReplay(parts, target);
    if (planned.lines > 0) replays.push(planned);
  }
  return { replays, restamps: await planRestamps(parts) };
}

/** What a store that is away would say nobody knows; the plan is known all the same. */
async function estimateOf(store: Store): Promise<number | null> {
  try {
    return await store.estimate();
  } catch (error) {
    if (error instanceof StoreFault) return null;
    throw error;
  }
}

async function planReplay(parts: ControllerParts, target: Side): Promise<PlannedReplay> {
  const { plane, migration, stores, keys } = parts;
  const ranges: Range[] = [];
  const named = new Map<string, DirtRow>();
  let lines = 0;
  for (let after = 0; ; ) {
    const rows = await plane.dirtOf(migration, target, null, after, PAGE);
    if (rows.length === 0) break;
    after = rows.at(-1)?.id ?? after;
    lines += rows.length;
    ranges.push(...rangesOf(rows));
    for (const row of rows) if (row.key !== null) named.set(keys.id(keyFromJson(row.key)), row);
  }
  const positions = intervals(ranges);
  const rows = [...named.values()].filter((row) => isSingle(row, positions));
  const all = positions.length === 0 ? 0 : await estimateOf(stores[otherSide(target)]);
  return {
    target,
    positions,
    records: all === null ? null : Math.round((all * Math.min(BUCKETS, size(positions))) / BUCKETS),
    keys: rows.length,
    rejected: rows.filter(({ kind }) => kind === 'rejected').length,
    lines,
    examples: rows.slice(0, EXAMPLES).map(({ key, cause }) => ({ key: key ?? {}, cause })),
  };
}

async function planRestamps({ plane, migration, keys }: ControllerParts): Promise<PlannedRestamps> {
  const ruleset = new Ruleset(await plane.ruleset(migration));
  const from = { old: 0, new: 0 };
  const kinds = { missing: 0, extra: 0, different: 0, stale: 0 };
  const causes = new Map<string | null, number>();
  const examples: PlannedKey[] = [];
  let records = 0;
  let unmirrored = 0;
  for (let after = 0; ; ) {
    const rows = await plane.divergences(migration, after, PAGE);
    if (rows.length === 0) break;
    after = rows.at(-1)?.id ?? after;
    for (const { key, kind, cause } of rows) {
      const route = ruleset.route(keys.unit(keyFromJson(key)));
      records += 1;
      from[route.authority] += 1;
      kinds[kind] += 1;
      causes.set(cause, (causes.get(cause) ?? 0) + 1);
      if (!route.mirror) unmirrored += 1;
      if (examples.length < EXAMPLES) examples.push({ key, cause: `${kind}, ${cause ?? 'cause unknown'}` });
    }
  }
  const ranked = [...causes].sort(([, a], [, b]) => b - a).map(([cause, count]) => ({ cause, records: count }));
  return { records, from, kinds, causes: ranked, unmirrored, examples };
}
