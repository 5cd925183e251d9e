import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { ControlPlane } from '../../src/control/control-plane.ts';
import type { ControlStorage, JobRow } from '../../src/control/storage.ts';
import { FreshStorages, STORAGES } from '../support/fresh-storages.ts';
import { VirtualClock } from '../support/virtual-clock.ts';

const storages = new FreshStorages();
const open: ControlStorage[] = [];
afterEach(async () => {
  for (const storage of open.splice(0)) await storage.close();
});
afterAll(() => storages[Symbol.asyncDispose]());

async function planeOn(kind: (typeof STORAGES)[number]) {
  const storage = await storages.open(kind);
  open.push(storage);
  const clock = new VirtualClock(1_750_000_000_000);
  const plane = new ControlPlane(storage, clock);
  await plane.ensureMigration('events');
  return { storage, clock, plane };
}

const jobRow = (id: string, startedAt: number, aliveUntil: number): JobRow => ({
  id,
  ...{ kind: 'backfill', migration: 'events', actor: 'ada', reason: 'r', state: 'running', startedAt },
  ...{ finishedAt: null, progress: null, result: null, error: null, again: null, resumes: null },
  ...{ server: 's1', aliveUntil, cancelRequested: false },
});

describe.each(STORAGES)('what is listed for pages, in %s', (kind) => {
  test('a filtered page looks at so many rows only, and goes on where it stopped', async () => {
    const { plane } = await planeOn(kind);
    const COUNT = 6_000;
    const lines = Array.from({ length: COUNT }, (_, i) => ({
      ...{ migration: 'events', key: { id: i }, position: i, kind: 'missing' as const, cause: null, at: 1 },
      fields: i === COUNT - 1 ? [{ path: 'rare[0]', old: 1, new: 2 }] : [],
    }));
    // Straight into the rows: as reports they would be looked up one by one.
    for (let i = 0; i < COUNT; i += 1_000) {
      const rows = lines.slice(i, i + 1_000).map(({ at, ...line }) => ({
        ...{ id: 0, keyId: `k${line.position}`, firstSeen: at, lastSeen: at, seen: 1 },
        ...line,
      }));
      await open[0]?.transaction((tx) => tx.insertMany('divergences', rows));
    }
    const first = await plane.divergencePage('events', { limit: 10, field: 'rare' });
    expect([first.rows.length, first.next === null]).toEqual([0, false]);
    const second = await plane.divergencePage('events', { limit: 10, field: 'rare', after: first.next ?? 0 });
    expect(second.rows.map(({ position }) => position)).toEqual([COUNT - 1]);
    expect(second.next).toBeNull();
    expect(second.counts).toEqual({ missing: COUNT, extra: 0, different: 0, stale: 0 });
    await expect(plane.divergencePage('none', { limit: 1 })).rejects.toMatchObject({ code: 'UNKNOWN_MIGRATION' });
  });

  test('history is met by kind, by time and by words', async () => {
    const { plane, clock } = await planeOn(kind);
    for (const actor of ['ada', 'Bob', 'ada']) {
      await clock.advance(1_000);
      await plane.changeSettings(
        'events',
        { holdTimeoutMs: 1_000 + (clock.now() % 1_000) },
        { actor, reason: '50% off' },
      );
    }
    const ids = async (query: Parameters<ControlPlane['historyPage']>[1]) =>
      (await plane.historyPage('events', query)).rows.map(({ actor }) => actor);
    expect(await ids({ limit: 10 })).toEqual(['ada', 'Bob', 'ada']);
    expect(await ids({ limit: 10, kinds: ['move'] })).toEqual([]);
    expect(await ids({ limit: 10, kinds: ['settings', 'move'], search: 'BOB' })).toEqual(['Bob']);
    expect(await ids({ limit: 10, search: '50% o' })).toEqual(['ada', 'Bob', 'ada']);
    expect(await ids({ limit: 10, since: clock.now() - 1_000, until: clock.now() })).toEqual(['Bob']);
    expect((await plane.historyPage('events', { limit: 2 })).next).not.toBeNull();
  });

  test('the line shows much dirt in few ranges, and never less than there is', async () => {
    const { plane, storage } = await planeOn(kind);
    const rows = Array.from({ length: 4_000 }, (_, i) => ({
      ...{ id: 0, migration: 'events', target: 'new' as const, kind: 'lost' as const, keyId: null, key: null },
      ...{ fromPosition: i * 25, toPosition: i * 25 + 1, cause: 'x', at: 1, revision: 1, notBefore: null },
    }));
    await storage.transaction((tx) => tx.insertMany('dirt', rows));
    const { dirty, rejected } = await plane.line('events');
    expect(dirty.new.length).toBeLessThanOrEqual(1_000);
    for (const { fromPosition } of rows) {
      expect(dirty.new.some(([from, to]) => from <= fromPosition && fromPosition < to)).toBe(true);
    }
    expect([dirty.old, rejected]).toEqual([[], { old: [], new: [] }]);
    expect(await plane.moveShare('events', [[-1, 25_000]])).toMatchObject({ percent: 25, traffic: null });
    expect(await plane.acknowledgements('events', null)).toMatchObject({ nodes: 0, waitingFor: [] });
    await expect(plane.emergencyOutlook('events')).rejects.toMatchObject({ code: 'BUSY' });
    expect((await plane.statuses()).map((status) => status.migration)).toEqual(['events']);
    expect((await plane.statuses())[0]).toEqual(await plane.status('events'));
  });

  test('jobs are listed newest first, end once, and are interrupted when their server is silent', async () => {
    const { plane, clock } = await planeOn(kind);
    const now = clock.now();
    await plane.beginJob(jobRow('a', now, now + 10_000));
    await plane.beginJob(jobRow('b', now + 1, now + 10_000));
    expect((await plane.jobs(null, 10)).map(({ id }) => id)).toEqual(['b', 'a']);
    expect((await plane.jobs(['others'], 10)).length).toBe(0);
    expect([await plane.cancelJob('a'), await plane.cancelJob('none')]).toEqual([true, false]);
    expect(await plane.keepJobs('s1', 10_000, { b: { scanned: 3 } })).toEqual(['a']);
    expect(await plane.keepJobs('s2', 10_000, { b: { scanned: 9 } })).toEqual([]);
    await plane.endJob('a', { state: 'cancelled', finishedAt: now, progress: null, result: null, error: null });
    await clock.advance(10_001);
    expect((await plane.jobs(null, 10)).map(({ id, state, progress }) => [id, state, progress])).toEqual([
      ['b', 'interrupted', { scanned: 3 }],
      ['a', 'cancelled', null],
    ]);
    expect(await plane.cancelJob('b')).toBe(false);
    // Kept for thirty days, and no longer.
    await clock.advance(31 * 86_400_000);
    await plane.beginJob(jobRow('c', clock.now(), clock.now() + 10_000));
    expect((await plane.jobs(null, 10)).map(({ id }) => id)).toEqual(['c']);
  });
});
