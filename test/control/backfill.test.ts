import { expect, test } from 'vitest';
import type { ReplayProgress } from '../../src/control/backfill.ts';
import { TrafficWatch } from '../../src/control/traffic-watch.ts';
import { ALL, WHOLE_LINE } from '../../src/core/dial.ts';
import { Busy, ChangeoverError, StoreFault } from '../../src/core/errors.ts';
import { makeStamp } from '../../src/core/stamp.ts';
import type { Entry } from '../../src/core/store.ts';
import { bucketOf, type CallTotals, NO_TRAFFIC, type Traffic } from '../../src/core/traffic.ts';
import { type Fleet, forced, keyOf, record, SETTINGS, scenario, why } from '../protocol/fleet.ts';
import { SeededRandom } from '../simulation/random.ts';
import { MIGRATION, World } from '../simulation/world.ts';
import { censusRow } from '../support/control-rows.ts';
import { item, startService } from '../support/memory-service.ts';

/** Records of long ago in the old store: some plain, some stamped. */
function seed({ world }: Pick<Fleet, 'world'>, count: number): void {
  const { keys, databases } = world;
  databases.old.load(
    Array.from({ length: count }, (_, n): Entry => {
      const value = { ...record(`unit-${n % 29}`, `seed ${n}`, String(n)) };
      const key = { unit: value.unit, id: value.id };
      const stamp = n % 3 === 0 ? null : makeStamp(1_700_000_000_000 + n, 0, 1);
      return { id: keys.id(key), key, stamp, value };
    }),
  );
}

const values = ({ world }: Pick<Fleet, 'world'>, side: 'old' | 'new'): unknown[] =>
  world.databases[side].snapshot().map(({ id, value }) => [id, value]);

/** A backfill in bad weather, by one process after another: five of them die at it, unless they are done before. */
async function interruptedBackfill(world: World, random: SeededRandom): Promise<void> {
  const { plane, clock } = world;
  const sleep = (ms: number): Promise<void> => new Promise((resolve) => clock.after(ms, resolve));
  const count = random.int(150, 600);
  seed({ world }, count);
  await plane.ensureMigration(MIGRATION);
  await plane.recordCensus(censusRow(MIGRATION), why);
  await plane.changeSettings(MIGRATION, { ...SETTINGS, replayRate: 100, replayConcurrency: 40 }, why);
  await world.startNode();
  const { controller: first } = await world.controller('operator');
  await first.set({ dial: 'dual-write', to: ALL }, forced);
  for (const weather of Object.values(world.weather)) {
    Object.assign(weather, { delayMs: 40, fail: 0.05, loseRequest: 0.03, loseAnswer: 0.03, late: 0.03, twice: 0.03 });
  }
  let deaths = 0;
  for (let tries = 1; ; tries += 1) {
    const { process, controller } = await world.controller(`operator-${tries}`);
    const run = controller.backfill(why).catch((error: unknown) => {
      // A store could not be opened: whoever wants it asks again.
      if (error instanceof StoreFault) return 'closed' as const;
      throw error;
    });
    const death = deaths === 5 ? [] : [sleep(random.int(50, 1_500)).then(() => 'death' as const)];
    // It may end before: then there is nobody to kill.
    const end = await Promise.race([run, ...death]);
    if (end === 'closed') continue;
    if (end !== 'death') {
      const { scanned, applied, skipped, rejected } = end;
      expect([scanned, applied + skipped + rejected]).toStrictEqual([count, count]);
      break;
    }
    process.dying = random.chance(0.5);
    if (process.dying) await sleep(random.int(0, 60));
    process.kill();
    world.ended.add(process.name);
    deaths += 1;
    await sleep(11_000);
  }
  expect(deaths).toBeGreaterThan(0);
  // What was on its way when its process died comes late, and changes nothing.
  await sleep(60_000);
  expect(values({ world }, 'new')).toStrictEqual(values({ world }, 'old'));
  expect(await plane.status(MIGRATION)).toMatchObject({ coverage: { new: 100 } });
}

// In a world of its own, for no weather reaches a fleet.
for (const seedOfRun of [1, 2, 3, 4, 5, 6]) {
  test(`is gone on with by others, wherever its process dies and whatever it had on its way (seed ${seedOfRun})`, async () => {
    const world = new World(seedOfRun);
    await world.clock.runUntil(interruptedBackfill(world, new SeededRandom(seedOfRun)));
  });
}

scenario('fills the old store again after it was retired, so that there is a way back', async (fleet) => {
  seed(fleet, 200);
  const [a] = await fleet.start();
  await fleet.live();
  const { controller } = await fleet.operator();
  await controller.set({ dial: 'retire-old', to: true }, forced);
  await fleet.settled();
  await a!.repository.put(record('ada', 'only in the new store'));
  await a!.repository.delete({ unit: 'unit-1', id: '1' });
  expect(fleet.held('old', 'ada')).toBeUndefined();
  await controller.set({ dial: 'retire-old', to: false }, forced);
  await fleet.settled();
  expect(await fleet.coverage()).toMatchObject({ old: 0, new: 100 });
  const back = await controller.backfill({ ...why, target: 'old' });
  expect(back.applied).toBeGreaterThanOrEqual(2);
  expect(back.scanned).toBe(back.applied + back.skipped);
  expect(await fleet.coverage()).toMatchObject({ old: 100, new: 100 });
  expect(values(fleet, 'old')).toStrictEqual(values(fleet, 'new'));
  await fleet.set('cutover', -1);
  expect(await a!.repository.get({ unit: 'ada', id: '1' })).toMatchObject({ value: 'only in the new store' });
  expect(await a!.repository.get({ unit: 'unit-1', id: '1' })).toBeUndefined();
});

scenario('is held by a pause of anybody, and goes on from there', async (fleet) => {
  seed(fleet, 400);
  await fleet.start(1, { replayRate: 50 });
  await fleet.set('dual-write', ALL);
  const { controller } = await fleet.operator();
  const seen: { readonly scanned: number; readonly paused: boolean; readonly rate: number | null }[] = [];
  const run = fleet.begin(controller.backfill({ ...why, onProgress: (progress) => seen.push(progress) }));
  await fleet.sleep(2_000);
  expect(seen.at(-1)?.rate).toBeGreaterThan(0);
  expect(await fleet.plane.pauseReplay(MIGRATION, 'backfill', 'new', true, why)).toStrictEqual({ changed: true });
  expect(await fleet.plane.pauseReplay(MIGRATION, 'backfill', 'new', true, why)).toStrictEqual({ changed: false });
  await fleet.sleep(1_000);
  const { scanned } = seen.at(-1) as { readonly scanned: number };
  await fleet.sleep(60_000);
  expect(seen.at(-1)).toMatchObject({ scanned, paused: true });
  // Its lease is kept meanwhile.
  const other = await fleet.operator();
  await expect(other.controller.backfill(why)).rejects.toBeInstanceOf(Busy);
  expect(await fleet.plane.status(MIGRATION)).toMatchObject({ replay: { scanned, paused: true, etaMs: null } });
  await fleet.plane.pauseReplay(MIGRATION, 'backfill', 'new', false, why);
  await run.promise;
  expect(seen.at(-1)).toMatchObject({ scanned: 400, paused: false });
  expect(await fleet.plane.pauseReplay(MIGRATION, 'backfill', 'new', true, why)).toBeNull();
});

scenario('survives a control plane that is away for a moment', async (fleet) => {
  seed(fleet, 300);
  await fleet.start(1, { replayRate: 100 });
  await fleet.set('dual-write', ALL);
  const { process, controller } = await fleet.operator();
  const run = fleet.begin(controller.backfill(why));
  await fleet.sleep(1_000);
  const mend = fleet.cut({ process });
  await fleet.sleep(2_000);
  mend();
  expect(await run.promise).toMatchObject({ scanned: 300 });
});

scenario('waits, where workers may take part, for a control plane that is begun anew', async (fleet) => {
  seed(fleet, 300);
  await fleet.start(1, { replayRate: 40 });
  await fleet.set('dual-write', ALL);
  const { process, controller } = await fleet.world.controller('whoever began it', { offer: async () => {} });
  const run = fleet.begin(controller.backfill(why));
  await fleet.sleep(1_000);
  const mend = fleet.cut({ process });
  await fleet.sleep(12_000);
  expect(run.state).toBe('pending');
  mend();
  expect(await run.promise).toMatchObject({ scanned: 300 });
});

scenario('goes on with the same part of the line under a lower mirror, and refuses another by name', async (fleet) => {
  seed(fleet, 300);
  await fleet.start(1, { replayRate: 50 });
  await fleet.set('dual-write', 30_000);
  const { controller } = await fleet.operator();
  const stop = new AbortController();
  const run = fleet.begin(controller.backfill({ ...why, positions: [[0, 50_000]], signal: stop.signal }));
  await fleet.sleep(1_000);
  stop.abort(new Error('enough'));
  await fleet.until(() => run.state === 'failed');
  const refused: unknown = await controller
    .backfill({ ...why, positions: [[0, 20_000]] })
    .catch((error: unknown) => error);
  expect(refused).toBeInstanceOf(ChangeoverError);
  expect((refused as ChangeoverError).message).toContain('0–30 %');
  const done = await controller.backfill({ ...why, positions: [[0, 50_000]] });
  expect(done).toMatchObject({ resumed: true, covered: [[0, 30_000]], scanned: 300 });
});

scenario('measures the traffic of the services from one look to the next', async (fleet) => {
  const { clock } = fleet.world;
  const calls = (count: number, ms: number): CallTotals => ({ count, errors: 0, latency: [[bucketOf(ms), count]] });
  let traffic: Traffic = NO_TRAFFIC;
  const watch = new TrafficWatch({ traffic: async () => traffic }, MIGRATION, clock);
  expect(await watch.p99Ms()).toBeNull();
  traffic = {
    old: { read: calls(500, 3), write: calls(100, 40) },
    new: { read: calls(3, 9_000), write: calls(50, 9) },
  };
  expect(await watch.p99Ms(), 'too early').toBeNull();
  await fleet.sleep(2_100);
  const p99 = (await watch.p99Ms()) as number;
  expect(p99).toBeGreaterThan(30);
  expect(p99).toBeLessThan(60);
  await fleet.sleep(2_100);
  expect(await watch.p99Ms(), 'no calls since').toBeNull();
});

scenario('gives way while the calls of the services take longer than their budget, and says so', async (fleet) => {
  seed(fleet, 3_000);
  const [a] = await fleet.start(1, { replayRate: 100 });
  await fleet.set('dual-write', ALL);
  const calls = async (): Promise<void> => {
    for (;;) {
      await Promise.all(Array.from({ length: 10 }, () => a!.repository.get(keyOf('unit-1', '1'))));
      await fleet.sleep(200);
    }
  };
  fleet.begin(calls());
  let eased: string | null | undefined;
  const { controller } = await fleet.operator();
  const onProgress = (progress: ReplayProgress): void => {
    eased = progress.eased;
  };
  const run = fleet.begin(controller.backfill({ ...why, onProgress }));
  const slow = fleet.strike([a!, 'old', 'get'], { kind: 'slow', answerMs: 80 }, Number.POSITIVE_INFINITY);
  await fleet.sleep(6_000);
  expect(eased, 'nobody has a budget').toBeNull();
  await fleet.plane.changeSettings(MIGRATION, { replayTrafficBudgetMs: 50 }, why);
  await fleet.sleep(6_000);
  expect(eased).toMatch(/^calls of the services take [789]\d ms \(p99\); at most \d\d a second$/);
  slow.stop();
  await fleet.sleep(40_000);
  expect(eased).toBeNull();
  expect(run.state).toBe('pending');
});

scenario(
  'outwaits a control plane that is away while a refusal is written down, and at its very end',
  async (fleet) => {
    seed(fleet, 60);
    await fleet.start(1);
    await fleet.set('dual-write', ALL);
    const { process, controller } = await fleet.operator();
    const refused = fleet.world.keys.id(keyOf('unit-1', '1'));
    fleet.strike([{ process }, 'new', 'putManyIfNewer'], { kind: 'reject', reason: 'constraint', ids: [refused] }, 60);
    // Away before the first call of each; the answer to the second one is lost.
    const looks = { addRejected: 0, endReplay: 0 };
    fleet.cut({ process }, (method) => {
      if (method !== 'addRejected' && method !== 'endReplay') return false;
      looks[method] += 1;
      return looks[method] === 1 || looks[method] === 3;
    });
    const summary = await controller.backfill(why);
    expect(summary).toMatchObject({ scanned: 60, applied: 59, rejected: 1, covered: WHOLE_LINE });
    expect(looks, 'the third call of each was answered').toStrictEqual({ addRejected: 5, endReplay: 5 });
    expect(await fleet.dirtLines()).toStrictEqual(['new rejected unit-1/1']);
    expect(await fleet.coverage()).toMatchObject({ new: 100 });
  },
);

scenario('does not run twice at once in one process, which would take one for the other', async (fleet) => {
  seed(fleet, 300);
  await fleet.start(1);
  await fleet.set('dual-write', ALL);
  await fleet.plane.changeSettings(MIGRATION, { replayRate: 200 }, why);
  await fleet.settled();
  const { controller } = await fleet.operator();
  const first = fleet.begin(controller.backfill(why));
  await fleet.until(async () => (await fleet.plane.runningReplay(MIGRATION, 'backfill', 'new')) !== null);
  await expect(controller.backfill(why)).rejects.toBeInstanceOf(Busy);
  expect(await first.promise).toMatchObject({ scanned: 300, resumed: false });
  expect((await fleet.coverage()).new).toBe(100);
});

scenario('ends when others share what one process alone had done but for its last word', async (fleet) => {
  seed(fleet, 50);
  await fleet.start(1);
  await fleet.set('dual-write', ALL);
  const { process, controller } = await fleet.operator();
  fleet.killBefore(process, 'endReplay');
  fleet.begin(controller.backfill(why));
  await fleet.until(() => !process.alive, 'its end');
  await fleet.sleep(11_000);
  expect((await fleet.coverage()).new).toBe(0);
  const { controller: sharing } = await fleet.world.controller('sharing', { offer: async () => {} });
  const rest = fleet.begin(sharing.backfill(why));
  await fleet.until(() => rest.state !== 'pending', 'the end of the whole');
  expect(await rest.promise).toMatchObject({ resumed: true, scanned: 50 });
  expect((await fleet.coverage()).new).toBe(100);
});

test('asks again where the store that it reads fails before it begins', async () => {
  await using service = await startService();
  const { controller } = service;
  await service.items.put(item('ada', '1'));
  await service.to('dualwrite');
  const failed: string[] = [];
  service.faults.old = ({ op }) => {
    if ((op !== 'partitions' && op !== 'estimate') || failed.includes(op)) return undefined;
    failed.push(op);
    return { kind: 'fail' };
  };
  expect(await controller.backfill(why)).toMatchObject({ scanned: 1, rejected: 0 });
  expect(failed.sort()).toEqual(['estimate', 'partitions']);
});
