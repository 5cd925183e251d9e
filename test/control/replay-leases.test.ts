import { afterAll, describe, expect, onTestFinished, test } from 'vitest';
import { ControlPlane } from '../../src/control/control-plane.ts';
import type { LeaseName, PartitionCheckpoint, PartitionLease } from '../../src/control/replay-leases.ts';
import type { ReplayRequest } from '../../src/control/replays.ts';
import type { ControlStorage } from '../../src/control/storage.ts';
import { systemClock } from '../../src/core/clock.ts';
import { ALL, WHOLE_LINE } from '../../src/core/dial.ts';
import { initialRuleset } from '../../src/core/ruleset.ts';
import { dirtRow, migrationRow } from '../support/control-rows.ts';
import { FreshStorages, missingPostgres, STORAGES } from '../support/fresh-storages.ts';

const storages = new FreshStorages();
afterAll(() => storages[Symbol.asyncDispose]());
if (missingPostgres !== undefined) test.skip(`leases of partitions on PostgreSQL: ${missingPostgres}`, () => {});

const MIGRATION = 'events';
const LEASE_MS = 1_000;
const why = { actor: 'test', reason: 'a test of leases' };
const process = (name: string) => ({ host: 'h', pid: 1, processId: name, version: '1', name });

/** A control plane with everything mirrored to the new store, at a time that the test owns. */
class Setting {
  readonly storage: ControlStorage;
  readonly plane: ControlPlane;
  #now = 1_750_000_000_000;

  private constructor(storage: ControlStorage) {
    this.storage = storage;
    this.plane = new ControlPlane(storage, { ...systemClock, now: () => this.#now });
  }

  pass(ms: number): void {
    this.#now += ms;
  }

  static async open(kind: (typeof STORAGES)[number]): Promise<Setting> {
    const storage = await storages.open(kind);
    onTestFinished(() => storage.close());
    const initial = initialRuleset(MIGRATION);
    const document = { ...initial, stamping: 'on' as const, dials: { ...initial.dials, dualWrite: ALL } };
    await storage.transaction((tx) =>
      tx.insert('migrations', migrationRow(MIGRATION, { document, coverageOld: WHOLE_LINE })),
    );
    return new Setting(storage);
  }

  begin(changes: Partial<ReplayRequest> = {}) {
    return this.plane.beginReplay({
      migration: MIGRATION,
      kind: 'backfill',
      target: 'new',
      positions: null,
      mapping: 'm',
      runner: 'starter',
      leaseMs: LEASE_MS,
      estimate: 100,
      sourceTime: 0,
      partitions: [{ id: 'a' }, { id: 'b' }],
      shared: true,
      ...why,
      ...changes,
    });
  }

  take(replay: number, runner: string, partition: number | null = null, mapping = 'm') {
    const request = { replay, partition, runner, process: process(runner), mapping, leaseMs: LEASE_MS };
    return this.plane.takePartition(request);
  }

  checkpoint(lease: PartitionLease, scanned: number, changes: Partial<PartitionCheckpoint> = {}) {
    const point = { cursor: `at ${scanned}`, done: false, scanned, applied: scanned, skipped: 0, rejected: 0 };
    const request = { ...nameOf(lease), leaseMs: LEASE_MS, deadlineLimit: 0, point, census: null };
    return this.plane.checkpointPartition({ ...request, ...changes });
  }

  /** What it says is the last of its partition. */
  done(lease: PartitionLease, scanned: number) {
    return this.checkpoint(lease, scanned, {
      point: { cursor: null, done: true, scanned, applied: scanned, skipped: 0, rejected: 0 },
    });
  }

  async ends(): Promise<readonly string[]> {
    const history = await this.plane.history(MIGRATION, { limit: 100 });
    return history.flatMap(({ summary }) => summary.split(' ended: ').slice(1));
  }
}

const nameOf = ({ replay, partition }: PartitionLease): LeaseName => ({
  replay: replay.id,
  partition: partition.id,
  runner: partition.runner as string,
  fence: partition.fence,
});

const leased = async (lease: Promise<PartitionLease | null>): Promise<PartitionLease> => {
  const taken = await lease;
  if (taken === null) throw new Error('there was no partition to take');
  return taken;
};

describe.each(STORAGES)('a shared replay on %s', (kind) => {
  test('gives each partition to one holder, and ends once, with the last of them', async () => {
    const setting = await Setting.open(kind);
    await setting.storage.transaction((tx) => tx.insert('dirt', dirtRow()));
    const { replay } = await setting.begin();
    await setting.storage.transaction((tx) => tx.insert('dirt', dirtRow({ fromPosition: 5, toPosition: 6 })));
    const [one, two] = [await leased(setting.take(replay.id, 'one')), await leased(setting.take(replay.id, 'two'))];
    expect(two.partition.id).not.toBe(one.partition.id);
    expect([one.active, two.active]).toEqual([1, 2]);
    expect(await setting.take(replay.id, 'three')).toBeNull();
    expect(await setting.take(replay.id, 'three', one.partition.id)).toBeNull();

    expect(await setting.checkpoint(one, 10)).toMatchObject({ yours: true, active: 2 });
    expect(await setting.done(one, 20)).toMatchObject({ yours: true, active: 1 });
    expect((await setting.plane.status(MIGRATION)).coverage.new).toBe(0);
    expect(await setting.done(two, 30)).toMatchObject({ yours: true });
    // Its answer may have been lost: the same again is answered the same, and changes nothing.
    expect(await setting.done(two, 30)).toMatchObject({ yours: true });
    const status = await setting.plane.status(MIGRATION);
    expect(status).toMatchObject({ coverage: { old: 100, new: 100 }, replay: null, dirty: { ranges: 1 } });
    expect(await setting.ends()).toEqual(['50 scanned, 50 applied, 0 there already, 0 rejected']);
    expect((await setting.plane.replayWork(replay.id))?.replay).toMatchObject({ state: 'done', cleared: 1 });
    expect(await setting.take(replay.id, 'three')).toBeNull();
  });

  test('gives a partition to somebody else when its lease has ended, and the first holder finds out', async () => {
    const setting = await Setting.open(kind);
    const { replay } = await setting.begin({ partitions: [{ id: 'a' }] });
    const slept = await leased(setting.take(replay.id, 'sleeper'));
    await setting.checkpoint(slept, 10, { deadlineLimit: 5_000 });
    setting.pass(LEASE_MS - 1);
    expect(await setting.take(replay.id, 'other')).toBeNull();
    setting.pass(2);
    // Nobody has taken it yet: its holder may keep it.
    expect(await setting.checkpoint(slept, 20)).toMatchObject({ yours: true });
    setting.pass(LEASE_MS + 1);
    const other = await leased(setting.take(replay.id, 'other'));
    expect(other.partition).toMatchObject({ cursor: 'at 20', scanned: 20, fence: slept.partition.fence + 1 });

    expect(await setting.checkpoint(slept, 99, { deadlineLimit: 9_000 })).toMatchObject({ yours: false });
    expect(await setting.done(slept, 99)).toMatchObject({ yours: false });
    expect(await setting.plane.releasePartition(nameOf(slept), null)).toBe(false);
    expect(await setting.plane.freePartition(nameOf(slept))).toBe(false);
    const work = await setting.plane.replayWork(replay.id);
    // A deadline that nobody was allowed to use is no deadline.
    expect(work?.replay).toMatchObject({ state: 'running', deadlineLimit: 5_000 });
    expect(work?.partitions).toMatchObject([{ scanned: 20, done: false, runner: 'other' }]);
    // The same process may come back for it; its earlier lease is void all the same.
    setting.pass(LEASE_MS + 1);
    const again = await leased(setting.take(replay.id, 'sleeper'));
    expect(await setting.checkpoint(slept, 99)).toMatchObject({ yours: false });
    expect(await setting.done(again, 30)).toMatchObject({ yours: true });
    expect(await setting.ends()).toHaveLength(1);
  });

  test('frees a partition at once when it is given back or its process has ended, after a while when it failed', async () => {
    const setting = await Setting.open(kind);
    const { replay } = await setting.begin({ partitions: [{ id: 'a' }] });
    const first = await leased(setting.take(replay.id, 'one'));
    expect(await setting.plane.releasePartition(nameOf(first), null)).toBe(true);
    const second = await leased(setting.take(replay.id, 'two'));
    expect(await setting.plane.freePartition(nameOf(second))).toBe(true);
    const waits: number[] = [];
    for (let failures = 1; failures <= 8; failures += 1) {
      const lease = await leased(setting.take(replay.id, 'three'));
      expect(await setting.plane.releasePartition(nameOf(lease), 'the store is away')).toBe(true);
      expect((await setting.plane.status(MIGRATION)).replay).toMatchObject({
        failure: 'the store is away',
        runners: 0,
      });
      const work = await setting.plane.replayWork(replay.id);
      const waitMs = (work?.partitions[0]?.retryAt ?? 0) - (work?.now ?? 0);
      waits.push(waitMs);
      setting.pass(waitMs - 1);
      expect(await setting.take(replay.id, 'early')).toBeNull();
      setting.pass(1);
    }
    expect(waits).toEqual([1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]);
    const mended = await leased(setting.take(replay.id, 'four'));
    await setting.checkpoint(mended, 5);
    expect((await setting.plane.status(MIGRATION)).replay?.failure).toBeNull();
  });

  test('is joined by whoever begins it again, and refuses another mapping or range by name', async () => {
    const setting = await Setting.open(kind);
    const { replay } = await setting.begin();
    await leased(setting.take(replay.id, 'one'));
    const joined = await setting.begin({ runner: 'two' });
    expect(joined).toMatchObject({ replay: { id: replay.id, shared: true, runner: null }, resumed: true });
    await expect(setting.begin({ mapping: 'other' })).rejects.toThrow(/begun under another mapping/);
    await expect(setting.take(replay.id, 'two', null, 'other')).rejects.toThrow(/begun under another mapping/);
    await expect(setting.begin({ positions: [[0, 10]] })).rejects.toThrow(/that is under way is about/);
    // Who wants it alone waits until nobody is at it.
    await expect(setting.begin({ shared: false })).rejects.toThrow(/run by several processes/);
    setting.pass(LEASE_MS + 1);
    const alone = await setting.begin({ shared: false, runner: 'alone' });
    expect(alone.replay).toMatchObject({ id: replay.id, shared: false, runner: 'alone' });
    expect(await setting.take(replay.id, 'two')).toBeNull();
    await expect(setting.begin()).rejects.toThrow(/run by alone/);
  });

  test('tells its holders when it is cancelled', async () => {
    const setting = await Setting.open(kind);
    const { replay } = await setting.begin();
    const lease = await leased(setting.take(replay.id, 'one'));
    await setting.plane.cancelReplay(MIGRATION, 'backfill', 'new', why);
    expect(await setting.checkpoint(lease, 10)).toMatchObject({ yours: false });
    expect(await setting.take(replay.id, 'two')).toBeNull();
    expect((await setting.plane.status(MIGRATION)).coverage.new).toBe(0);
  });

  test('measures the rate of the whole, whoever works on it', async () => {
    const setting = await Setting.open(kind);
    const { replay } = await setting.begin();
    const [one, two] = [await leased(setting.take(replay.id, 'one')), await leased(setting.take(replay.id, 'two'))];
    for (let second = 1; second <= 8; second += 1) {
      setting.pass(500);
      await setting.checkpoint(one, second * 2);
      setting.pass(500);
      await setting.checkpoint(two, second * 3);
    }
    const { replay: status } = await setting.plane.status(MIGRATION);
    expect(status).toMatchObject({ scanned: 40, runners: 2 });
    expect(status?.rate).toBeGreaterThan(4);
    expect(status?.rate).toBeLessThan(6);
    expect(status?.etaMs).toBe(Math.round((60 * 1_000) / (status?.rate as number)));
    setting.pass(60_000);
    expect((await setting.plane.status(MIGRATION)).replay).toMatchObject({ rate: null, etaMs: null, runners: 0 });
  });

  test('says what slows a holder down, for as long as it does and the partition is held', async () => {
    const setting = await Setting.open(kind);
    const { replay } = await setting.begin();
    const [one, two] = [await leased(setting.take(replay.id, 'one')), await leased(setting.take(replay.id, 'two'))];
    const eased = async (): Promise<unknown> => (await setting.plane.status(MIGRATION)).replay?.eased;
    const point = { cursor: 'at 9', done: false, scanned: 9, applied: 9, skipped: 0, rejected: 0 };
    await setting.checkpoint(one, 9, { point: { ...point, eased: null } });
    expect(await eased()).toBeNull();
    await setting.checkpoint(two, 9, { point: { ...point, eased: 'replica lag 14 s' } });
    expect(await eased()).toBe(`partition ${two.partition.id}: replica lag 14 s`);
    setting.pass(LEASE_MS + 1);
    expect(await eased(), 'nobody is at it').toBeNull();
    await setting.checkpoint(two, 10);
    expect(await eased(), 'a holder that says nothing of it').toMatch(/: replica lag 14 s$/);
    await setting.checkpoint(two, 10, { point: { ...point, eased: null } });
    expect(await eased()).toBeNull();
  });

  test('keeps what its holders learned about round trips as one census', async () => {
    const setting = await Setting.open(kind);
    const { replay } = await setting.begin();
    const [one, two] = [await leased(setting.take(replay.id, 'one')), await leased(setting.take(replay.id, 'two'))];
    await setting.checkpoint(one, 10, { census: { sampled: 12, losses: ['b'] } });
    await setting.plane.releasePartition(nameOf(one), null);
    const next = await leased(setting.take(replay.id, 'three'));
    await setting.checkpoint(next, 20, { census: { sampled: 10, losses: ['a', 'b'] } });
    await setting.done(next, 20);
    await setting.checkpoint(two, 5, { census: { sampled: 5, losses: [] } });
    await setting.done(two, 5);
    // What was seen twice, ahead of a cursor, is not more than there is.
    expect(await setting.plane.censuses(MIGRATION)).toMatchObject([
      { sampled: 25, losses: ['a', 'b'], exhaustive: true, mapping: 'm' },
    ]);
  });
});
