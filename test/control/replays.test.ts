import { expect, test } from 'vitest';
import { ControlPlane } from '../../src/control/control-plane.ts';
import { memoryStorage } from '../../src/control/memory-storage.ts';
import type { ReplayRequest } from '../../src/control/replays.ts';
import { ALL, WHOLE_LINE } from '../../src/core/dial.ts';
import { initialRuleset } from '../../src/core/ruleset.ts';
import { migrationRow } from '../support/control-rows.ts';
import { VirtualClock } from '../support/virtual-clock.ts';

const MIGRATION = 'events';
const why = { actor: 'test', reason: 'a test of replays' };

/** A control plane with everything mirrored to the new store; replays are begun by the whole mapping `m.s`. */
async function setting() {
  const storage = memoryStorage();
  const plane = new ControlPlane(storage, new VirtualClock());
  const initial = initialRuleset(MIGRATION);
  const document = { ...initial, stamping: 'on' as const, dials: { ...initial.dials, dualWrite: ALL } };
  await storage.transaction((tx) =>
    tx.insert('migrations', migrationRow(MIGRATION, { document, coverageOld: WHOLE_LINE })),
  );
  const begin = (changes: Partial<ReplayRequest> = {}) =>
    plane.beginReplay({
      migration: MIGRATION,
      kind: 'backfill',
      target: 'new',
      positions: null,
      mapping: 'm.s',
      runner: 'one',
      leaseMs: 1_000,
      estimate: 100,
      sourceTime: 0,
      partitions: [{ id: 'a' }],
      ...why,
      ...changes,
    });
  /** Begun, and let go of. */
  const left = async (changes: Partial<ReplayRequest> = {}) => {
    const { replay } = await begin(changes);
    await plane.releaseReplay(replay.id, replay.runner as string);
    return replay;
  };
  return { plane, begin, left };
}

test.each([
  ['schema', 'm.other'],
  ['mapping', 'other.s'],
])('a backfill is not gone on with under another %s, and says which it is', async (what, mapping) => {
  const { plane, begin, left } = await setting();
  const { id } = await left();
  await expect(begin({ mapping, runner: 'two' })).rejects.toMatchObject({
    code: 'INVALID_ARGUMENT',
    message: `the backfill of ${MIGRATION} was begun under another ${what}`,
    expected: expect.stringMatching(what === 'schema' ? /^the same schema/ : /^the same stores/),
    remedy: expect.stringContaining(`backfill ${MIGRATION} --cancel`),
  });
  expect(await plane.runningReplay(MIGRATION, 'backfill', 'new')).toMatchObject({ id, runner: null, mapping: 'm.s' });
});

test('a backfill that is under way is gone on with by whoever asks for at least its positions', async () => {
  const { begin, left } = await setting();
  const positions = [[10, 20]] as const;
  const { id } = await left({ positions });
  for (const others of [[[10, 19]], [[11, 20]], [[0, 15]], [[20, 30]]] as const) {
    await expect(begin({ positions: others, runner: 'two' })).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
      message: expect.stringContaining('that is under way is about'),
    });
  }
  for (const enough of [positions, [[5, 30]], null] as const) {
    const again = await begin({ positions: enough, runner: 'one' });
    expect(again).toMatchObject({ resumed: true, replay: { id, positions, coverable: positions } });
  }
});

test.each([
  ['about other positions', { positions: [[10, 30]] }],
  ['under another mapping', { mapping: 'other.s' }],
] as const)(
  'a repair %s takes the place of one that was left, and is as paused as that was',
  async (_name, changes) => {
    for (const paused of [true, false]) {
      const { plane, begin, left } = await setting();
      const repair = { kind: 'repair', positions: [[10, 20]] } as const;
      const before = await left(repair);
      if (paused) await plane.pauseReplay(MIGRATION, 'repair', 'new', true, why);
      const { replay, resumed } = await begin({ ...repair, ...changes, runner: 'two' });
      expect([resumed, replay]).toMatchObject([false, { ...changes, paused }]);
      expect(replay.id).not.toBe(before.id);
      expect(await plane.runningReplay(MIGRATION, 'repair', 'new')).toMatchObject({ id: replay.id });
    }
  },
);
