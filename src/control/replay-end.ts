import { describePositions } from '../core/dial.ts';
import { Busy, InvalidArgument } from '../core/errors.ts';
import { type Intervals, intervals, subtract, union } from '../core/intervals.ts';
import { removeDirt } from './dirt.ts';
import { coverageOf } from './facts.ts';
import { remember } from './publish.ts';
import { progressOf } from './replay-progress.ts';
import type { ReplayRow } from './replay-row.ts';
import { sameIntervals } from './replays.ts';
import type { DirtRow, Transaction } from './storage.ts';

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
  // Whoever had no answer asks again.
  if (row?.state === 'done') return { covered: row.coverable, cleared: row.cleared };
  // A shared one is anybody's to end, once its partitions are done.
  if (row === undefined || row.state !== 'running' || (!row.shared && row.runner !== runner)) {
    throw new Busy('this replay was cancelled or taken over');
  }
  const open = await tx.count('replay_partitions', { replay, done: false });
  if (open > 0) throw new InvalidArgument(`${open} partitions of the replay are not done`);
  return concludeReplay(tx, row, now);
}

/** What the end of a replay brings with it, in the transaction that finds its partitions done. */
export async function concludeReplay(
  tx: Transaction,
  row: ReplayRow,
  now: number,
): Promise<{ readonly covered: Intervals; readonly cleared: number }> {
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
  await tx.update('replays', { id: row.id }, { state: 'done', finishedAt: now, runner: null, cleared });
  const { scanned, applied, skipped, rejected } = progressOf(
    row,
    await tx.select('replay_partitions', { replay: row.id }),
    null,
  );
  const [all, put, there, refused] = [scanned, applied, skipped, rejected].map((many) => many.toLocaleString('en-US'));
  await remember(
    tx,
    row.migration,
    {
      actor: row.actor,
      reason: row.reason,
      kind: row.kind,
      summary: `${row.kind} of ${describePositions(row.positions)} to the ${target} store ended: ${all} scanned, ${put} applied, ${there} there already, ${refused} rejected`,
    },
    now,
  );
  return { covered: row.coverable, cleared };
}

/** What was compared while a store was known to be wrong says nothing about what it holds now. */
export async function forgetComparisons(tx: Transaction, migration: string, now: number): Promise<void> {
  await tx.update('migrations', { name: migration }, { shadowCompared: 0, shadowDivergent: 0, shadowSince: now });
}

const PAGE = 5_000;

async function clearLost(tx: Transaction, row: ReplayRow): Promise<number> {
  let cleared = 0;
  for (let after = 0; ; ) {
    const lines = await tx.select(
      'dirt',
      // In the order of an index: with its kind, SQLite would sort all that is dirty for each page.
      { migration: row.migration, target: row.target, id: { gt: after, lte: row.dirtUpTo } },
      { orderBy: 'id', limit: PAGE },
    );
    if (lines.length === 0) return cleared;
    after = lines.at(-1)?.id ?? after;
    // A source write without an answer may still come after the scan passed it: such dirt outlives this replay.
    const ripe = lines.filter(
      ({ kind, notBefore }) => kind === 'lost' && (notBefore === null || notBefore <= row.sourceTime),
    );
    const gone: number[] = [];
    const rests: DirtRow[] = [];
    for (const line of ripe) {
      const range = intervals([[line.fromPosition, line.toPosition]]);
      const left = subtract(range, row.positions);
      if (left.length === 1 && sameIntervals(left, range)) continue;
      gone.push(line.id);
      rests.push(...left.map(([fromPosition, toPosition]) => ({ ...line, id: 0, fromPosition, toPosition })));
    }
    await tx.insertMany('dirt', rests);
    cleared += await removeDirt(tx, gone);
  }
}
