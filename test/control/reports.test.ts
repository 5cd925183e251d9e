import { expect, test } from 'vitest';
import { upsertDivergences } from '../../src/control/fleet-desk.ts';
import { memoryStorage } from '../../src/control/memory-storage.ts';
import { migrationRow } from '../support/control-rows.ts';

test('a divergence that is reported again keeps when it was first seen, and every sight of it counts', async () => {
  const storage = memoryStorage();
  const line = (migration: string, id: number, at: number, cause: string) => ({
    migration,
    key: { id },
    position: id,
    kind: 'different' as const,
    cause,
    fields: [],
    at,
  });
  const rows = await storage.transaction(async (tx) => {
    for (const name of ['events', 'notes']) await tx.insert('migrations', migrationRow(name));
    await upsertDivergences(tx, [line('events', 1, 10, 'first')]);
    await upsertDivergences(tx, [
      line('events', 2, 20, 'new'),
      line('notes', 1, 21, 'another migration'),
      line('events', 1, 22, 'again'),
      line('events', 2, 23, 'twice in one report'),
    ]);
    return tx.select('divergences', {});
  });
  const seen = rows.map(({ migration, position, firstSeen, lastSeen, seen, cause }) => [
    migration,
    position,
    firstSeen,
    lastSeen,
    seen,
    cause,
  ]);
  expect(seen.sort()).toEqual([
    ['events', 1, 10, 22, 2, 'again'],
    ['events', 2, 20, 23, 2, 'twice in one report'],
    ['notes', 1, 21, 21, 1, 'another migration'],
  ]);
});
