import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { ControlPlane } from '../../src/control/control-plane.ts';
import type { ControlStorage } from '../../src/control/storage.ts';
import type { NodeReport } from '../../src/core/control-client.ts';
import { STAMP_MIN } from '../../src/core/stamp.ts';
import { bucketOf, NO_TRAFFIC, type Traffic } from '../../src/core/traffic.ts';
import { FreshStorages, STORAGES } from '../support/fresh-storages.ts';
import { VirtualClock } from '../support/virtual-clock.ts';

const storages = new FreshStorages();
const open: ControlStorage[] = [];
afterEach(async () => {
  for (const storage of open.splice(0)) await storage.close();
});
afterAll(() => storages[Symbol.asyncDispose]());

const WHY = { actor: 'ada', reason: 'test' };
const node = { host: 'h', pid: 1, processId: 'p', version: '1', name: 'svc' };

/** So many reads of the old store, each of so many ms. */
const reads = (count: number, ms: number, errors = 0): Traffic => ({
  ...NO_TRAFFIC,
  old: { ...NO_TRAFFIC.old, read: { count, errors, latency: count === 0 ? [] : [[bucketOf(ms), count]] } },
});

const reportOf = (incarnation: number, traffic?: Readonly<Record<string, Traffic>>, queue = 0): NodeReport => ({
  incarnation,
  ...{ acknowledged: {}, dirt: [], divergences: [], shadow: [], deadlineLimit: 1, stampLimit: STAMP_MIN },
  health: {
    ...{ mirrorQueue: queue, shed: 0, operations: 0, errors: 0, memoryBytes: 1_000, aheadMs: 0 },
    mirrorQueues: { events: queue },
    highWater: STAMP_MIN,
  },
  ...(traffic === undefined ? {} : { traffic }),
});

async function fleet(kind: (typeof STORAGES)[number]) {
  const storage = await storages.open(kind);
  open.push(storage);
  const clock = new VirtualClock(1_750_000_000_000);
  const plane = new ControlPlane(storage, clock);
  let sessions = 0;
  const join = async (): Promise<number> => {
    sessions += 1;
    const request = { session: `s${sessions}`, attempt: 1, node, migrations: ['events'], deadlineLimit: 1 };
    return (await plane.join({ ...request, stampLimit: STAMP_MIN })).incarnation;
  };
  const other = new ControlPlane(storage, clock);
  return { storage, clock, plane, other, join, count: async () => (await plane.traffic('events')).old.read.count };
}

describe.each(STORAGES)('the traffic of a fleet, kept in %s', (kind) => {
  test('is told of a migration whose name every object knows, and does not stand in the way of the others', async () => {
    const { clock, plane, join } = await fleet(kind);
    const a = await join();
    await plane.ensureMigration('constructor');
    await plane.report(reportOf(a, { events: reads(10, 5) }, 2));
    expect(await plane.traffic('constructor')).toEqual(NO_TRAFFIC);
    expect(await plane.sample()).toBe(true);
    await plane.ensureMigration('valueOf');
    await clock.advance(5_000);
    expect(await plane.sample()).toBe(true);
    for (const name of ['events', 'constructor', 'valueOf']) {
      expect((await plane.series(name, '15m')).mirrorQueue.at(-1)).toBe(name === 'events' ? 2 : 0);
    }
  });

  test('never goes back: not by a report that was overtaken, by one without traffic, by leaving nor by dying', async () => {
    const { plane, join, count } = await fleet(kind);
    const [a, b] = [await join(), await join()];
    expect(await plane.traffic('events')).toEqual(NO_TRAFFIC);
    await plane.report(reportOf(a, { events: reads(10, 5) }));
    await plane.report(reportOf(b, { events: reads(7, 5), others: reads(100, 5) }));
    expect(await count()).toBe(17);
    await plane.report(reportOf(a, { events: reads(4, 5) }));
    await plane.report(reportOf(a));
    expect(await count()).toBe(17);
    await plane.leave(reportOf(a, { events: reads(12, 5) }));
    expect(await count()).toBe(19);
    await plane.bury({ incarnation: b, deadlineLimit: 0, notBefore: null, ...WHY });
    expect(await count()).toBe(19);
    // Somebody who is gone is not heard any more, and who comes after counts from nothing.
    expect((await plane.report(reportOf(b, { events: reads(99, 5) }))).standing).toBe('dead');
    await plane.report(reportOf(await join(), { events: reads(1, 5) }));
    expect(await count()).toBe(20);
    await expect(plane.traffic('nothing')).rejects.toMatchObject({ code: 'UNKNOWN_MIGRATION' });
  });

  test('is sampled once a slot, whoever does it, as rates and latencies of that time', async () => {
    const { clock, plane, other, join } = await fleet(kind);
    const a = await join();
    expect(await plane.sample()).toBe(true);
    await clock.advance(1_000);
    expect(await other.sample()).toBe(false);
    await plane.report(reportOf(a, { events: reads(500, 8, 5) }, 3));
    await clock.advance(4_000);
    expect([await plane.sample(), await other.sample()]).toEqual([true, false]);
    const { at, old, fleet: nodes, mirrorQueue, stepMs } = await plane.series('events', '15m');
    expect([at.length, stepMs, at.at(-1)]).toEqual([180, 5_000, Math.floor(clock.now() / 5_000) * 5_000]);
    expect([old.reads.at(-1), old.errors.at(-1), old.writes.at(-1), old.writeP50.at(-1)]).toEqual([100, 1, 0, null]);
    expect(old.readP50.at(-1)).toBeGreaterThan(6);
    expect(old.readP99.at(-1)).toBeLessThan(10);
    expect([nodes.nodes.at(-1), nodes.memoryBytes.at(-1), mirrorQueue.at(-1)]).toEqual([1, 1_000, 3]);
    // Before anybody sampled there is nothing, and of the first slot no rate.
    expect([old.reads.at(-2), nodes.nodes.at(-2), nodes.nodes.at(-3)]).toEqual([null, 1, null]);
  });

  test('has no rate over a time that nobody sampled, and goes on after it', async () => {
    const { clock, plane, join } = await fleet(kind);
    const a = await join();
    await plane.sample();
    await plane.report(reportOf(a, { events: reads(1_000, 8) }));
    await clock.advance(600_000);
    await plane.sample();
    await plane.report(reportOf(a, { events: reads(1_050, 8) }));
    await clock.advance(5_000);
    await plane.sample();
    const { old } = await plane.series('events', '1h');
    expect([old.reads.at(-1), old.reads.at(-2)]).toEqual([10, null]);
    expect(old.reads.filter((rate) => rate !== null).length).toBe(1);
  });

  test('is kept for an hour in steps of 5 s and for a day in minutes, and no longer', async () => {
    const { clock, plane, storage } = await fleet(kind);
    await plane.ensureMigration('events');
    for (let minute = 0; minute < 70; minute += 1) {
      await plane.sample();
      await clock.advance(60_000);
    }
    await plane.sample();
    const kept = (step: number) => storage.read((tx) => tx.count('samples', { migration: 'events', step }));
    expect(await kept(5_000)).toBe(60);
    expect(await kept(60_000)).toBe(71);
    const day = await plane.series('events', '24h');
    expect([day.at.length, day.dirty.filter((value) => value === 0).length]).toEqual([1_440, 71]);
    await clock.advance(86_400_000);
    await plane.sample();
    expect(await kept(60_000)).toBe(1);
  });

  test('goes on when the clock of a server was ahead', async () => {
    const { clock, plane, storage } = await fleet(kind);
    await plane.ensureMigration('events');
    const ahead = new ControlPlane(storage, clock.skewed(3_600_000));
    expect(await ahead.sample()).toBe(true);
    expect(await plane.sample()).toBe(true);
    await clock.advance(5_000);
    expect(await plane.sample()).toBe(true);
    await clock.advance(3_600_000);
    expect(await plane.sample()).toBe(true);
  });

  test('shows every move of a dial as a mark, and which one changeover made by itself', async () => {
    const { clock, plane } = await fleet(kind);
    await plane.ensureMigration('events');
    await plane.changeSettings('events', { noOutsideWriters: true }, WHY);
    for (let step = 0; step < 2; step += 1) await plane.advanceStamping('events', WHY);
    const move = async (to: number, actor: string): Promise<void> => {
      await clock.advance(1_000);
      await plane.move({
        migration: 'events',
        move: { dial: 'dual-write', to },
        evidence: { prepared: { old: true, new: true }, findings: { old: [], new: [] }, mapping: 'm' },
        ...{ force: false, dryRun: false, ifRevision: null, actor, reason: 'test' },
      });
    };
    await move(25_000, 'ada');
    await move(-1, 'changeover');
    const { marks } = await plane.series('events', '15m');
    const now = clock.now();
    expect(marks).toEqual([
      { at: now - 1_000, revision: 5, text: 'dual-write 0 % → 25 %', actor: 'ada', automatic: false },
      { at: now, revision: 6, text: 'dual-write 25 % → 0 %', actor: 'changeover', automatic: true },
    ]);
  });
});
