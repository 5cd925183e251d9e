import { expect, onTestFinished, vi } from 'vitest';
import { MemoryStore } from '../../adapters/memory/memory-store.ts';
import { ALL, EVERY_BUCKET } from '../../src/core/dial.ts';
import type { Settings } from '../../src/core/settings.ts';
import { makeStamp } from '../../src/core/stamp.ts';
import type { Entry } from '../../src/core/store.ts';
import { type Fleet, failure, record, SETTINGS, scenario, why } from '../protocol/fleet.ts';
import { MIGRATION, type SimRecord } from '../simulation/world.ts';

/** Workers are told of nothing: what is tried here is whoever began. */
const carrier = { offer: async () => {} };

const seeded = (count: number): readonly SimRecord[] =>
  Array.from({ length: count }, (_, n) => record(`unit-${n % 29}`, `seed ${n}`, String(n)));

/** Records of long ago in the old store. */
function seed(fleet: Fleet, count: number): void {
  const { keys, databases } = fleet.world;
  databases.old.load(
    seeded(count).map((value, n): Entry => {
      const key = { unit: value.unit, id: value.id };
      return { id: keys.id(key), key, stamp: makeStamp(1_700_000_000_000 + n, 0, 1), value: { ...value } };
    }),
  );
}

/** How many records are read from the stores by scans: with their values, and without. */
function watchScans() {
  const read = { whole: 0, stampsOnly: 0 };
  const { scan } = MemoryStore.prototype;
  const spy = vi.spyOn(MemoryStore.prototype, 'scan').mockImplementation(async function* (
    this: MemoryStore,
    ...[partition, options]
  ) {
    for await (const page of scan.call(this, partition, options)) {
      read[options.stampsOnly === true ? 'stampsOnly' : 'whole'] += page.entries.length;
      yield page;
    }
  });
  onTestFinished(() => spy.mockRestore());
  /** Since it was asked last. */
  return (): Readonly<typeof read> => {
    const now = { ...read };
    Object.assign(read, { whole: 0, stampsOnly: 0 });
    return now;
  };
}

/** Two processes that share a backfill of so many records, each with as many of its partitions as it takes at once. */
async function shared(fleet: Fleet, records: number, settings: Partial<Settings>) {
  seed(fleet, records);
  await fleet.start(1, settings);
  await fleet.set('dual-write', ALL);
  const runs = [];
  for (const name of ['one', 'other']) {
    const { controller } = await fleet.world.controller(name, carrier);
    runs.push(fleet.begin(controller.backfill(why)));
  }
  /** By leases of how many partitions, and how many records were looked at. */
  const state = async (): Promise<{ readonly leases: number; readonly scanned: number }> => {
    const running = await fleet.plane.runningReplay(MIGRATION, 'backfill', 'new');
    const { partitions = [], now = 0 } = (running && (await fleet.plane.replayWork(running.id))) ?? {};
    return {
      leases: partitions.filter(({ done, leaseUntil }) => !done && leaseUntil > now).length,
      scanned: partitions.reduce((sum, { scanned }) => sum + scanned, 0),
    };
  };
  await fleet.until(async () => (await state()).leases === 8, 'all of their leases');
  await fleet.sleep(2_000);
  /** Records a second of all that they do in a time. */
  const during = async (ms: number): Promise<number> => {
    const before = await state();
    await fleet.sleep(ms);
    return (((await state()).scanned - before.scanned) * 1_000) / ms;
  };
  const change = async (settings: Partial<Settings>): Promise<void> => {
    await fleet.plane.changeSettings(MIGRATION, settings, why);
    await fleet.sleep(2_000);
  };
  return { runs, state, during, change };
}

scenario(
  'a shared backfill whose target fails again and again ends with that, and another goes on with it at once',
  async (fleet) => {
    const [a] = await fleet.start();
    const units = ['ada', 'bob', 'cyd', 'dan', 'eve'];
    for (const unit of units) await a!.repository.put(record(unit, `of ${unit}`));
    await fleet.set('dual-write', ALL);
    const broken = await fleet.world.controller('broken', carrier);
    fleet.strike([broken, 'new', 'putManyIfNewer'], { kind: 'fail' }, 1_000);
    const error = await failure(broken.controller.backfill(why));
    expect(error).toMatchObject({ code: 'STORE_UNAVAILABLE', message: expect.stringContaining('did not take') });
    expect(units.filter((unit) => fleet.held('new', unit) !== undefined)).toEqual([]);
    expect(await fleet.plane.status(MIGRATION)).toMatchObject({
      replay: { runners: 0, failure: expect.stringContaining('did not take') },
    });

    const other = await fleet.world.controller('other', carrier);
    expect(await other.controller.backfill(why)).toMatchObject({ resumed: true, applied: units.length, rejected: 0 });
    expect(units.map((unit) => fleet.held('new', unit))).toEqual(units.map((unit) => `of ${unit}`));
  },
);

scenario('a shared backfill keeps to its rate with all of its leases together, and to a changed one', async (fleet) => {
  const { during, change } = await shared(fleet, 12_000, { replayRate: 40 });
  const slow = await during(10_000);
  expect(slow).toBeGreaterThan(36);
  expect(slow).toBeLessThan(44);
  await change({ replayRate: 400 });
  const fast = await during(10_000);
  expect(fast).toBeGreaterThan(360);
  expect(fast).toBeLessThan(440);
});

scenario('a pause holds every lease of a shared backfill, and all of them go on after it', async (fleet) => {
  const { runs, state, during, change } = await shared(fleet, 2_000, { replayRate: 80 });
  await fleet.plane.pauseReplay(MIGRATION, 'backfill', 'new', true, why);
  // It outlasts a higher rate, and their leases.
  await change({ replayRate: null });
  expect(await during(30_000)).toBe(0);
  expect(await state()).toMatchObject({ leases: 8 });
  await fleet.plane.pauseReplay(MIGRATION, 'backfill', 'new', false, why);
  for (const { promise } of runs)
    expect(await promise).toMatchObject({ scanned: 2_000, applied: 2_000, paused: false });
});

scenario('the leases of a process put no more at once together than a changed setting allows', async (fleet) => {
  let [open, most] = [0, 0];
  const { putManyIfNewer } = MemoryStore.prototype;
  const spy = vi.spyOn(MemoryStore.prototype, 'putManyIfNewer').mockImplementation(async function (
    this: MemoryStore,
    ...[entries, deadline]
  ) {
    open += entries.length;
    most = Math.max(most, open);
    return putManyIfNewer.call(this, entries, deadline).finally(() => {
      open -= entries.length;
    });
  });
  onTestFinished(() => spy.mockRestore());
  seed(fleet, 8_000);
  await fleet.start(1, { replayConcurrency: 40 });
  await fleet.set('dual-write', ALL);
  const one = await fleet.world.controller('one', carrier);
  fleet.strike([one, 'new', 'putManyIfNewer'], { kind: 'slow', answerMs: 50 }, Number.POSITIVE_INFINITY);
  const run = fleet.begin(one.controller.backfill({ ...why, partitions: 4 }));
  const atOnce = async (replayConcurrency: number): Promise<number> => {
    await fleet.plane.changeSettings(MIGRATION, { replayConcurrency }, why);
    await fleet.sleep(1_500);
    most = 0;
    await fleet.sleep(500);
    return most;
  };
  expect([await atOnce(40), await atOnce(12), await atOnce(80)]).toStrictEqual([40, 12, 80]);
  expect(run.state).toBe('pending');
});

for (const [whose, workers] of [
  ['a shared backfill', carrier],
  ['one process’s backfill', null],
] as const) {
  for (const keptBack of [false, true]) {
    scenario(
      keptBack
        ? `${whose} that a unit is kept back from is no count of everything, and the next one reads all values again`
        : `${whose} of everything counts it, and the next one reads stamps, and values only of what is missing`,
      async (fleet) => {
        seed(fleet, 800);
        await fleet.plane.ensureMigration(MIGRATION);
        await fleet.plane.changeSettings(MIGRATION, { ...SETTINGS, replayConcurrency: 40 }, why);
        await fleet.world.startNode();
        const { controller } = await fleet.world.controller('one', workers);
        if (keptBack) await controller.cohort({ unit: 'unit-3' }, 'kept-back', why);
        // All but those that are kept back.
        await fleet.set('dual-write', EVERY_BUCKET);
        const there = keptBack ? seeded(800).filter(({ unit }) => unit !== 'unit-3').length : 800;

        const scanned = watchScans();
        const first = await controller.backfill({ ...why, partitions: 2 });
        expect(first).toMatchObject({ scanned: 800, applied: there });
        expect(scanned()).toStrictEqual({ whole: 800, stampsOnly: 0 });
        expect(await fleet.plane.censuses(MIGRATION)).toMatchObject([{ exhaustive: !keptBack, sampled: there }]);

        const [entry] = fleet.world.databases.old.snapshot().filter(({ key }) => key['unit'] === 'unit-7');
        const newer = { ...entry!.value, value: 'newer' };
        fleet.world.databases.old.load([{ ...entry!, stamp: makeStamp(1_700_000_100_000, 0, 1), value: newer }]);
        const next = await controller.backfill({ ...why, partitions: 2 });
        expect(next).toMatchObject({ scanned: 800, applied: 1, skipped: there - 1 });
        expect(fleet.held('new', 'unit-7', String(entry!.key['id']))).toBe('newer');
        const { whole, stampsOnly } = scanned();
        expect(whole + stampsOnly).toBe(800);
        if (keptBack) expect(stampsOnly).toBe(0);
        else expect(whole, 'a page or two of each partition').toBeLessThanOrEqual(160);
      },
    );
  }
}
