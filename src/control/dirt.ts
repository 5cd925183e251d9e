import { type Intervals, intervals, type Range } from '../core/intervals.ts';
import type { Side } from '../core/stage.ts';
import type { DirtRow, Transaction } from './storage.ts';

/** A line of dirt as gates and people see it, or one for many. */
export interface DirtSummary {
  readonly target: Side;
  readonly kind: DirtRow['kind'];
  readonly range: Range;
  readonly cause: string;
  /** How many lines it stands for. */
  readonly lines: number;
}

/** All kinds of lines: the index that finds positions begins with them. */
const GROUPS = (['lost', 'rejected'] as const).flatMap((kind) =>
  (['old', 'new'] as const).map((target) => ({ kind, target })),
);

/** So many of a kind are named. */
const NAMED = 3;

const SHOWN = ['target', 'kind', 'fromPosition', 'toPosition', 'cause'] as const;
const summarized = ({
  target,
  kind,
  fromPosition,
  toPosition,
  cause,
}: Pick<DirtRow, (typeof SHOWN)[number]>): DirtSummary => ({
  ...{ target, kind, cause },
  range: [fromPosition, toPosition],
  lines: 1,
});

const over = ([from, to]: Range) => ({ fromPosition: { lt: to }, toPosition: { gt: from } });

/**
 * What is dirty in some positions: of each kind the first lines, the last of them for all others. However much is dirty,
 * there and elsewhere, nothing is missed and little is read.
 */
export async function dirtIn(
  tx: Transaction,
  migration: string,
  positions: Intervals,
): Promise<readonly DirtSummary[]> {
  const found = await Promise.all(
    positions.flatMap((range) => GROUPS.map((group) => summary(tx, migration, group, range))),
  );
  return found.flat();
}

async function summary(
  tx: Transaction,
  migration: string,
  group: (typeof GROUPS)[number],
  range: Range,
): Promise<readonly DirtSummary[]> {
  const where = { migration, ...group, ...over(range) };
  const first = await tx.select('dirt', where, { orderBy: 'fromPosition', limit: NAMED + 1, columns: SHOWN });
  const named = first.map(summarized);
  if (named.length <= NAMED) return named;
  const rest = named.pop() as DirtSummary;
  return [...named, { ...rest, lines: (await tx.count('dirt', where)) - NAMED }];
}

/** Of all that is dirty in some positions, what ends last. */
export async function lastDirtIn(
  tx: Transaction,
  migration: string,
  positions: Intervals,
): Promise<readonly DirtSummary[]> {
  const page = { orderBy: 'toPosition', descending: true, limit: 1 } as const;
  const found = await Promise.all(
    positions.flatMap((range) =>
      GROUPS.map((group) => tx.select('dirt', { migration, ...group, ...over(range) }, { ...page, columns: SHOWN })),
    ),
  );
  return found.flat().map(summarized);
}

export async function countDirt(
  tx: Transaction,
  migration: string,
  target: Side,
  positions: Intervals,
): Promise<number> {
  let lines = 0;
  for (const range of positions) lines += await tx.count('dirt', { migration, target, ...over(range) });
  return lines;
}

/** The dirt that a repair towards a target is to replay, oldest first; all of it, or what is in some positions. */
export async function dirtOf(
  tx: Transaction,
  migration: string,
  target: Side,
  upTo: number | null,
  after: number,
  limit: number,
  within: Intervals | null = null,
): Promise<readonly DirtRow[]> {
  const where = { migration, target, id: upTo === null ? { gt: after } : { gt: after, lte: upTo } };
  const page = { orderBy: 'id', limit } as const;
  if (within === null) return tx.select('dirt', where, page);
  const rows = new Map<number, DirtRow>();
  for (const range of within) {
    for (const row of await tx.select('dirt', { ...where, ...over(range) }, page)) rows.set(row.id, row);
  }
  return [...rows.values()].sort((a, b) => a.id - b.id).slice(0, limit);
}

/** More lines than this are not drawn: as many as there are positions, and as many keys again. */
const MOST_DRAWN = 200_000;

/** Where a store may be missing something, or refuses something. */
export async function dirtyPositions(
  tx: Transaction,
  migration: string,
  kind: DirtRow['kind'],
  target: Side,
): Promise<Intervals> {
  const rows = await tx.select(
    'dirt',
    { migration, kind, target },
    { orderBy: 'fromPosition', limit: MOST_DRAWN, columns: ['fromPosition', 'toPosition'] },
  );
  return intervals(rows.map(({ fromPosition, toPosition }) => [fromPosition, toPosition]));
}

/** R18: a position is as dirty as another one too, from which a unit comes. */
export async function copyDirt(tx: Transaction, migration: string, from: number, to: number): Promise<void> {
  const lines = await Promise.all(
    GROUPS.map((group) =>
      tx.select('dirt', { migration, ...group, fromPosition: { lte: from }, toPosition: { gt: from } }),
    ),
  );
  await insertDirt(
    tx,
    lines.flat().map((line) => ({ ...line, id: 0, fromPosition: to, toPosition: to + 1 })),
  );
}

/** Keys or positions of one question. */
const MOST_ASKED = 500;

type Place = Pick<DirtRow, 'kind' | 'target' | 'keyId' | 'fromPosition' | 'toPosition' | 'notBefore'>;
type Places = Map<string, DirtRow>;

const PLACE = ['id', 'kind', 'target', 'keyId', 'fromPosition', 'toPosition', 'notBefore'] as const;
const placeOf = ({ kind, target, keyId, fromPosition, toPosition, notBefore }: Place): string =>
  JSON.stringify([kind, target, keyId, fromPosition, toPosition, notBefore]);

/**
 * Dirt, each place once: however often a key is written that the follower refuses, or a report is sent again whose answer
 * was lost, it is one key, and however much is lost of a position, one position.
 */
export async function insertDirt(tx: Transaction, rows: readonly DirtRow[]): Promise<void> {
  // Writes that may still come, of nobody knows which keys, are lines of their own.
  const added = rows.filter(({ keyId, notBefore }) => keyId === null && notBefore !== null);
  const keys = rows.filter(({ keyId }) => keyId !== null);
  for (const [migration, its] of Map.groupBy(keys, (row) => row.migration)) {
    const places = new Map(its.map((row) => [placeOf(row), row]));
    await replaceKeys(tx, migration, places);
    added.push(...places.values());
  }
  const positions = rows.filter(({ keyId, notBefore }) => keyId === null && notBefore === null);
  for (const its of Map.groupBy(positions, (row) => JSON.stringify([row.migration, row.kind, row.target])).values()) {
    const places = new Map(its.map((row) => [placeOf(row), row]));
    await keepPositions(tx, its[0] as DirtRow, places);
    added.push(...places.values());
  }
  await tx.insertMany('dirt', added);
}

/** The new line stands for an older one of the key, and is not cleared by whoever has looked at that. */
async function replaceKeys(tx: Transaction, migration: string, places: Places): Promise<void> {
  for (const some of inParts(new Set([...places.values()].map(({ keyId }) => keyId)))) {
    // In the order of the index: SQLite would go through all that is dirty otherwise. So below.
    const page = { orderBy: 'keyId', columns: PLACE } as const;
    const known = await tx.select('dirt', { migration, keyId: { in: some } }, page);
    await removeDirt(
      tx,
      known.filter((row) => places.has(placeOf(row))).map(({ id }) => id),
    );
  }
}

/**
 * A lost position's line says all that a new one would, unless a replay is under way that began after it: that one would
 * clear it at its end, and may have passed the position before the new loss.
 */
async function keepPositions(tx: Transaction, { migration, kind, target }: DirtRow, places: Places): Promise<void> {
  const running = await tx.select('replays', { migration, target, state: 'running' }, { columns: ['dirtUpTo'] });
  const looked = Math.max(0, ...running.map(({ dirtUpTo }) => dirtUpTo));
  for (const some of inParts(new Set([...places.values()].map(({ fromPosition }) => fromPosition)))) {
    const known = await tx.select(
      'dirt',
      { migration, kind, target, key: null, notBefore: null, fromPosition: { in: some } },
      { orderBy: 'fromPosition', columns: PLACE },
    );
    const stale: number[] = [];
    for (const row of known) {
      const place = placeOf(row);
      if (row.id > looked) places.delete(place);
      else if (places.has(place)) stale.push(row.id);
    }
    await removeDirt(tx, stale);
  }
}

const inParts = <T>(all: ReadonlySet<T>): readonly (readonly T[])[] =>
  Array.from({ length: Math.ceil(all.size / MOST_ASKED) }, (_, i) =>
    [...all].slice(i * MOST_ASKED, (i + 1) * MOST_ASKED),
  );

/** Removes dirt by its ids alone: where the migration is named too, SQLite goes through all of its dirt for them. */
export async function removeDirt(tx: Transaction, ids: readonly number[]): Promise<number> {
  let removed = 0;
  for (let at = 0; at < ids.length; at += MOST_ASKED) {
    removed += await tx.remove('dirt', { id: { in: ids.slice(at, at + MOST_ASKED) } });
  }
  return removed;
}

/** Removes dirt of a migration: keys whose present entry the target has accepted. */
export async function clearDirt(tx: Transaction, migration: string, ids: readonly number[]): Promise<number> {
  const own: number[] = [];
  for (const some of inParts(new Set(ids))) {
    const rows = await tx.select('dirt', { id: { in: some } }, { columns: ['id', 'migration'] });
    own.push(...rows.filter((row) => row.migration === migration).map(({ id }) => id));
  }
  return removeDirt(tx, own);
}
