import { expect } from 'vitest';
import { RampDriver } from '../../src/control/ramp-driver.ts';
import { ALL, parseDialValue } from '../../src/core/dial.ts';
import { DEFAULT_BUDGETS } from '../../src/core/ramp.ts';
import { makeStamp, STAMP_MIN } from '../../src/core/stamp.ts';
import type { Entry } from '../../src/core/store.ts';
import { type Fleet, record, scenario, why } from '../protocol/fleet.ts';
import { MIGRATION } from '../simulation/world.ts';

const RECORDS = 300;

/** Records of long ago in both stores. */
function seed({ world: { keys, databases } }: Fleet): void {
  const entries = Array.from({ length: RECORDS }, (_, n): Entry => {
    const value = { ...record(`unit-${n}`, 'x') };
    const key = { unit: value.unit, id: value.id };
    return { id: keys.id(key), key, stamp: makeStamp(1_700_000_000_000 + n, 0, 1), value };
  });
  for (const database of Object.values(databases)) database.load(entries);
}

/** What a process leaves that had to forget which keys of so many positions its mirrors to the old store missed. */
async function leaveDirty({ plane }: Fleet, positions: readonly number[]): Promise<void> {
  const limits = { deadlineLimit: 0, stampLimit: STAMP_MIN };
  const node = { host: 'h', pid: 1, processId: 'p', version: '1', name: 'n' };
  const { incarnation } = await plane.join({ session: 's', attempt: 1, node, migrations: [MIGRATION], ...limits });
  const { revision } = await plane.ruleset(MIGRATION);
  const lost = {
    migration: MIGRATION,
    target: 'old',
    kind: 'lost',
    key: null,
    cause: 'shed',
    notBefore: null,
  } as const;
  const health = {
    mirrorQueue: 0,
    shed: 0,
    operations: 0,
    errors: 0,
    memoryBytes: 1,
    aheadMs: 0,
    highWater: STAMP_MIN,
  };
  const acknowledged = { [MIGRATION]: revision };
  const dirt = positions.map((position) => ({ ...lost, position, revision }));
  await plane.leave({ incarnation, acknowledged, dirt, divergences: [], shadow: [], health, ...limits });
}

scenario('a ramp that goes back keeps its hold while it repairs, however long that takes', async (fleet) => {
  await fleet.start(1);
  await fleet.dualWrite();
  seed(fleet);
  const { plane } = fleet;
  const plan = {
    dial: 'cutover',
    steps: [parseDialValue(100)],
    holdMs: 600_000,
    budgets: DEFAULT_BUDGETS,
    force: true,
  } as const;
  const { id: ramp } = await plane.startRamp({ migration: MIGRATION, plan, ...why });
  const { controller } = await fleet.operator();
  const hold = { ramp, runner: 'one' };
  const notes = new Set<string | null>();
  const driver = new RampDriver({
    plane,
    controller: async () => controller,
    clock: fleet.world.clock,
    runner: hold.runner,
    signal: new AbortController().signal,
    onChange: ({ note }) => notes.add(note),
  });
  const driven = fleet.begin(driver.drive(ramp));
  await fleet.until(async () => (await plane.ramps(MIGRATION, 1))[0]!.stepSince !== null, 'the step');
  const positions = await Promise.all(Array.from({ length: RECORDS }, (_, n) => fleet.position(`unit-${n}`)));
  await plane.changeSettings(MIGRATION, { replayRate: 10 }, why);
  await leaveDirty(fleet, positions);
  const check = { check: 'errors', state: 'broken', evidence: 'the new store fails' } as const;
  expect(await plane.turnBack(hold, [check])).toBe(true);

  await fleet.until(async () => (await plane.runningReplay(MIGRATION, 'repair', 'old')) !== null, 'the repair');
  for (let s = 0; s < 20; s += 1) {
    await fleet.sleep(1_000);
    expect(await plane.idleRamps('two', [MIGRATION]), `after ${s + 1} s`).toEqual([]);
  }
  expect(await plane.runningReplay(MIGRATION, 'repair', 'old'), 'it takes longer than a lease').not.toBeNull();
  expect(await driven.promise).toMatchObject({ state: 'returned' });
  expect([...notes].filter((note) => note?.includes('somebody else'))).toEqual([]);
  expect((await fleet.document()).dials).toMatchObject({ cutover: -1, dualWrite: ALL });
});

scenario("a step's hold begins when the step is in force everywhere, not before", async (fleet) => {
  const [, late] = await fleet.start(2);
  await fleet.dualWrite();
  const { plane } = fleet;
  const plan = {
    dial: 'shadow-read',
    steps: [parseDialValue(100)],
    holdMs: 600_000,
    budgets: DEFAULT_BUDGETS,
    force: true,
  } as const;
  const { id: ramp } = await plane.startRamp({ migration: MIGRATION, plan, ...why });
  const { controller } = await fleet.operator();
  const stop = new AbortController();
  const driver = new RampDriver({
    plane,
    controller: async () => controller,
    clock: fleet.world.clock,
    runner: 'one',
    signal: stop.signal,
  });
  const heal = fleet.deaf(late!, ({ dials }) => dials.shadowRead > -1);
  const driven = fleet.begin(driver.drive(ramp));
  const row = async () => (await plane.ramps(MIGRATION, 1))[0]!;
  await fleet.until(async () => (await row()).note?.includes('not acknowledged') === true, 'the note');
  await fleet.sleep(15_000);
  expect((await fleet.document()).dials.shadowRead).toBe(100_000);
  expect(await row()).toMatchObject({
    state: 'running',
    stepSince: null,
    note: expect.stringContaining('not acknowledged'),
  });
  heal();
  await fleet.settled();
  await fleet.until(async () => (await row()).stepSince !== null, 'the step');
  expect((await row()).note).toBeNull();
  stop.abort();
  await fleet.until(() => driven.state !== 'pending');
});
