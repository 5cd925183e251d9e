import { describe, expect, it } from 'vitest';
import type { Store } from '../../src/core/store.ts';
import { expectEntry, expectSameEntries, type Fixture } from './fixture.ts';

/** Records, tombstones and plain records; returns how many live records there are. */
async function fill(kit: Fixture, store: Store, count: number): Promise<void> {
  const entries = Array.from({ length: count }, (_, n) => (n % 4 === 0 ? kit.tombstone(n, 10) : kit.entry(n, 10)));
  await store.putManyIfNewer(entries, kit.later(store));
  await kit.putPlain(store, kit.plain(count, 1));
}

/** Preparing, wiping, finishing, closing. */
export function describeLifecycle(kit: Fixture): void {
  describe('prepare', () => {
    it('says what it would do, and does nothing, when it is only asked', async ({ skip }) => {
      const store = await kit.unprepared();
      if (store === null) return skip('nothing needs to be prepared');
      expect(await store.prepared()).toBe(false);
      expect((await store.prepare({ dryRun: true })).actions.length).toBeGreaterThan(0);
      expect(await store.prepared()).toBe(false);
      expect((await store.prepare({ dryRun: true })).actions.length).toBeGreaterThan(0);
    });

    it('makes stamped writing possible, and has nothing to do the second time', async ({ skip }) => {
      const store = await kit.unprepared();
      if (store === null) return skip('nothing needs to be prepared');
      expect((await store.prepare()).actions.length).toBeGreaterThan(0);
      expect(await store.prepared()).toBe(true);
      expect((await store.prepare()).actions).toEqual([]);
      expect((await store.prepare({ dryRun: true })).actions).toEqual([]);
      expect((await kit.put(store, kit.entry(1, 10))).kind).toBe('applied');
    });

    it('of a store in use changes nothing', async () => {
      const store = await kit.open();
      await fill(kit, store, 12);
      const before = await kit.scanAll(store);
      expect(await store.prepared()).toBe(true);
      expect((await store.prepare()).actions).toEqual([]);
      expectSameEntries(await kit.scanAll(store), before);
    });

    it('by several at once succeeds for all', async ({ skip }) => {
      const store = await kit.unprepared();
      if (store === null) return skip('nothing needs to be prepared');
      const other = await kit.second();
      await Promise.all([store.prepare(), other.prepare()]);
      expect(await store.prepared()).toBe(true);
      expect(await other.prepared()).toBe(true);
      expect((await kit.put(other, kit.entry(1, 10))).kind).toBe('applied');
    });
  });

  describe('wipe', () => {
    it('removes records, stamps, tombstones and plain records', async () => {
      const store = await kit.open();
      await fill(kit, store, 60);
      let progress = 0;
      await store.wipe({
        onProgress: (done) => {
          expect(done).toBeGreaterThanOrEqual(progress);
          progress = done;
        },
      });
      await kit.expectEmpty(store);
      expect(await kit.read(store, 0)).toBeUndefined();
      expect(await kit.read(store, 1)).toBeUndefined();
    });

    it('leaves no stamp that could refuse a later put, and can be repeated', async () => {
      const store = await kit.open();
      await fill(kit, store, 8);
      await store.wipe({});
      await store.wipe({});
      await store.prepare();
      expect(await kit.put(store, kit.entry(0, 1))).toEqual({ kind: 'applied', previous: 'absent' });
      expect(await kit.put(store, kit.entry(1, 1))).toEqual({ kind: 'applied', previous: 'absent' });
    });

    it('that is interrupted can be taken up again', async () => {
      const store = await kit.open();
      await fill(kit, store, 30);
      await store.wipe({ signal: AbortSignal.abort() }).catch((error: unknown) => expect(error).toBeDefined());
      await store.wipe({});
      await kit.expectEmpty(store);
    });
  });

  describe('finish', () => {
    it('removes stamps and tombstones and leaves every record as it was', async () => {
      const store = await kit.open();
      await fill(kit, store, 60);
      const live = (await kit.scanAll(store)).filter(({ value }) => value !== null);
      const plain = live.map((entry) => ({ ...entry, stamp: null }));
      await store.finish({});
      expectSameEntries(await kit.scanAll(store), plain);
      expect(await kit.read(store, 0)).toBeUndefined();
      expectEntry(await kit.read(store, 1), { ...kit.plain(1, 10), stamp: null });
    });

    it('can be repeated, and interrupted', async () => {
      const store = await kit.open();
      await fill(kit, store, 20);
      await store.finish({ signal: AbortSignal.abort() }).catch((error: unknown) => expect(error).toBeDefined());
      await store.finish({});
      const once = await kit.scanAll(store);
      await store.finish({});
      expectSameEntries(await kit.scanAll(store), once);
      expect(once.every(({ stamp, value }) => stamp === null && value !== null)).toBe(true);
    });

    it('leaves a store that takes plain writes, and stamped ones once it is prepared again', async () => {
      const store = await kit.open();
      await fill(kit, store, 8);
      await store.finish({});
      expect((await kit.putPlain(store, kit.plain(1, 50))).kind).toBe('applied');
      expectEntry(await kit.read(store, 1), { ...kit.plain(1, 50), stamp: null });
      await store.prepare();
      expect(await kit.put(store, kit.entry(1, 1))).toEqual({ kind: 'applied', previous: 'record' });
      expect(await kit.put(store, kit.entry(0, 1))).toEqual({ kind: 'applied', previous: 'absent' });
    });
  });

  describe('clients', () => {
    it('open and close more than once without harm', async () => {
      const store = await kit.open();
      await store.open();
      expect((await kit.put(store, kit.entry(1, 10))).kind).toBe('applied');
      await store.close();
      await store.close();
    });

    it('see what the others wrote, and go on when one of them is closed', async () => {
      const store = await kit.open();
      const other = await kit.second();
      await kit.put(store, kit.entry(1, 10));
      expectEntry(await kit.read(other, 1), kit.entry(1, 10));
      await store.close();
      expect((await kit.put(other, kit.entry(1, 11))).kind).toBe('applied');
      expectEntry(await kit.read(other, 1), kit.entry(1, 11));
    });

    it('describe themselves', async () => {
      const store = await kit.open();
      const { lateBoundMs, clockErrorMs, batchSize } = store.capabilities;
      expect(store.label).not.toBe('');
      expect(lateBoundMs).toBeGreaterThanOrEqual(0);
      expect(clockErrorMs).toBeGreaterThanOrEqual(0);
      expect(batchSize).toBeGreaterThan(0);
      expect(store.native).toBeDefined();
    });
  });
}
