import { expect, test } from 'vitest';
import { factsOf } from '../../src/control/facts.ts';
import { ensureMigration } from '../../src/control/fleet-desk.ts';
import { memoryStorage } from '../../src/control/memory-storage.ts';
import { COHORT_CHANGE, carried, cohortMovesSince, publish } from '../../src/control/publish.ts';
import type { Transaction } from '../../src/control/storage.ts';
import { bucketOf } from '../../src/core/bucket.ts';
import { ALL, CANARY_POSITION, KEPT_BACK_POSITION, NOBODY, type Threshold } from '../../src/core/dial.ts';
import type { RulesetDocument } from '../../src/core/ruleset.ts';

const MIGRATION = 'events';
const WHY = { actor: 'op', reason: 'because', kind: COHORT_CHANGE, summary: 'a unit moves' };
const unitOf = (n: number): string => `unit-${n}`;
const bucket = (n: number): number => bucketOf(MIGRATION, unitOf(n));

async function pin(tx: Transaction, cohorts: RulesetDocument['cohorts']): Promise<number> {
  const [row] = await tx.select('migrations', { name: MIGRATION });
  return (await publish(tx, row!, { cohorts }, WHY, 0)).revision;
}

const units = (count: number): string[] => Array.from({ length: count }, (_, n) => unitOf(n));

/** Runs a story where so many units are canaries, one after another, and the first's record differs since before. */
function withCanaries<T>(count: number, story: (tx: Transaction) => Promise<T>): Promise<T> {
  return memoryStorage().transaction(async (tx) => {
    await ensureMigration(tx, MIGRATION, 0);
    await tx.insert('divergences', {
      ...{
        id: 0,
        migration: MIGRATION,
        keyId: 'k',
        key: { id: 'k' },
        position: bucket(0),
        kind: 'missing',
        cause: null,
      },
      ...{ fields: [], firstSeen: 0, lastSeen: 0, seen: 1 },
    });
    for (let n = 1; n <= count; n += 1) await pin(tx, { canary: units(n), keptBack: [] });
    return story(tx);
  });
}

/** What a story selects, for which columns. */
function watched(tx: Transaction): { readonly tx: Transaction; readonly asked: string[] } {
  const asked: string[] = [];
  const select: Transaction['select'] = (table, where, page) => {
    asked.push(`${table} ${page?.columns?.join() ?? '*'}`);
    return tx.select(table, where, page);
  };
  const seen = new Proxy(tx, {
    get: (target, name) => (name === 'select' ? select : Reflect.get(target, name).bind(target)),
  });
  return { tx: seen, asked };
}

test('the facts of a move read no ruleset of a unit’s move, and ask as often however many units are pinned', async () => {
  const readWith = (count: number, to: Threshold): Promise<string[]> =>
    withCanaries(count, async (tx) => {
      const { tx: seen, asked } = watched(tx);
      await factsOf(seen, MIGRATION, 0, { dial: 'cutover', to });
      return asked;
    });
  const few = await readWith(2, ALL);
  expect(few.filter((line) => line.startsWith('history'))).toEqual(['history revision,cohortMoves']);
  expect(await readWith(60, ALL)).toEqual(few);
  expect(await readWith(60, CANARY_POSITION + 1)).toEqual(await readWith(2, CANARY_POSITION + 1));
});

test('a record that differed before its unit was pinned is open where the unit stands now, nowhere else', async () => {
  const open = (to: Threshold) =>
    withCanaries(3, async (tx) => (await factsOf(tx, MIGRATION, 0, { dial: 'cutover', to })).openDivergences.length);
  expect(await open(CANARY_POSITION + 1)).toBe(1);
  expect(await open(NOBODY)).toBe(0);
});

test('moves of units are known of rows from before they had a column of their own too', async () => {
  const [fresh, older] = await withCanaries(3, async (tx) => {
    await pin(tx, { canary: [unitOf(1), unitOf(2)], keptBack: [unitOf(0)] });
    await pin(tx, { canary: [unitOf(2)], keptBack: [unitOf(0)] });
    const told = async () => ({
      moves: await cohortMovesSince(tx, MIGRATION, 0),
      dirty: await carried(tx, MIGRATION, [[bucket(0), bucket(0) + 1]], 0),
    });
    const before = await told();
    await tx.update('history', { migration: MIGRATION, revision: { gt: 2 } }, { cohortMoves: null });
    return [before, await told()];
  });
  expect(older).toEqual(fresh);
  expect(fresh?.moves.map(({ from, to }) => [from, to])).toEqual([
    ...[0, 1, 2].map((n) => [bucket(n), CANARY_POSITION]),
    [CANARY_POSITION, KEPT_BACK_POSITION],
    [CANARY_POSITION, bucket(1)],
  ]);
});
