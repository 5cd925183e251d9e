import { describe, expect, it } from 'vitest';
import { ChangeoverError } from '../../src/core/errors.ts';
import { definite, expectEntry, expectValue, type Fixture, stampOf } from './fixture.ts';

const ABSENT = { kind: 'absent' } as const;

/** Plain writes: while stamping is off, on stores that were never prepared. */
export function describePlainWrites(kit: Fixture): void {
  describe('plain writes', () => {
    it('put, replace and physically delete on a store that was never prepared', async () => {
      const store = await kit.plainStore();
      expect(await kit.putPlain(store, kit.plain(1, 1))).toEqual({ kind: 'applied', previous: 'absent' });
      expectEntry(await kit.read(store, 1), kit.plain(1, 1));
      expect(await kit.putPlain(store, kit.plain(1, 2))).toEqual({ kind: 'applied', previous: 'record' });
      expectEntry(await kit.read(store, 1), kit.plain(1, 2));
      expect(await kit.putPlain(store, kit.plainDelete(1))).toEqual({ kind: 'applied', previous: 'record' });
      expect(await kit.read(store, 1)).toBeUndefined();
      expect(await kit.putPlain(store, kit.plainDelete(1))).toEqual({ kind: 'applied', previous: 'absent' });
      await kit.expectEmpty(store);
    });

    it('create, replace and delete under a condition on a store that was never prepared', async () => {
      const store = await kit.plainStore();
      const read = (s: number) => ({ kind: 'version', stamp: null, value: kit.plain(1, s).value }) as const;
      expect(await kit.cas(store, kit.plain(1, 1), read(1))).toEqual({ kind: 'conflict' });
      expect(await kit.cas(store, kit.plain(1, 1), ABSENT)).toEqual({ kind: 'applied', previous: 'absent' });
      expect(await kit.cas(store, kit.plain(1, 2), ABSENT)).toEqual({ kind: 'conflict' });
      expect(await kit.cas(store, kit.plain(1, 3), read(2))).toEqual({ kind: 'conflict' });
      expectEntry(await kit.read(store, 1), kit.plain(1, 1));
      expect(await kit.cas(store, kit.plain(1, 3), read(1))).toEqual({ kind: 'applied', previous: 'record' });
      expectEntry(await kit.read(store, 1), kit.plain(1, 3));
      expect(await kit.cas(store, kit.plainDelete(1), read(1))).toEqual({ kind: 'conflict' });
      expect(await kit.cas(store, kit.plainDelete(1), read(3))).toEqual({ kind: 'applied', previous: 'record' });
      expect(await kit.read(store, 1)).toBeUndefined();
    });

    it('are read, listed and scanned without stamps on a store that was never prepared', async () => {
      const store = await kit.plainStore();
      for (const n of [1, 2, 3]) await kit.putPlain(store, kit.plain(n, n));
      const [two, none] = await store.getMany([kit.ref(2), kit.ref(9)]);
      expectEntry(two, kit.plain(2, 2));
      expect(none).toBeUndefined();
      expect((await kit.scanAll(store)).map(({ stamp }) => stamp)).toEqual([null, null, null]);
      if (!store.capabilities.list) return;
      const [first] = await store.list(kit.harness.keys.unitKeyOf(kit.record(1, 1)), null, 10);
      expect(first?.stamp).toBeNull();
    });

    it('count for older than every stamp', async () => {
      const store = await kit.open();
      for (const n of [1, 2]) await kit.putPlain(store, kit.plain(n, 99));
      expect(await kit.put(store, kit.entry(1, 1))).toEqual({ kind: 'applied', previous: 'record' });
      expect(await kit.put(store, kit.tombstone(2, 1))).toEqual({ kind: 'applied', previous: 'record' });
      expectEntry(await kit.read(store, 1), kit.entry(1, 1));
      expectEntry(await kit.read(store, 2), kit.tombstone(2, 1));
    });

    it('stay when the store is prepared afterwards, and can then be stamped', async ({ skip }) => {
      const store = await kit.unprepared();
      if (store === null) return skip('nothing needs to be prepared');
      await kit.putPlain(store, kit.plain(1, 1));
      await store.prepare();
      expectEntry(await kit.read(store, 1), kit.plain(1, 1));
      expect(await kit.put(store, kit.entry(1, 10))).toEqual({ kind: 'applied', previous: 'record' });
      expectEntry(await kit.read(store, 1), kit.entry(1, 10));
    });

    it('replace and remove stamped records and tombstones', async () => {
      const store = await kit.open();
      await kit.put(store, kit.entry(1, 10));
      await kit.put(store, kit.tombstone(2, 10));
      await kit.put(store, kit.entry(3, 10));
      expect(await kit.putPlain(store, kit.plain(1, 50))).toEqual({ kind: 'applied', previous: 'record' });
      expect((await kit.putPlain(store, kit.plain(2, 50))).kind).toBe('applied');
      expect(await kit.putPlain(store, kit.plainDelete(3))).toEqual({ kind: 'applied', previous: 'record' });
      for (const n of [1, 2]) expectValue((await kit.read(store, n))?.value, kit.plain(n, 50).value, `record ${n}`);
      expect((await kit.read(store, 3))?.value ?? null).toBeNull();
      for (const n of [1, 2, 3]) {
        expect((await kit.put(store, kit.entry(n, 60))).kind).toBe('applied');
        expectEntry(await kit.read(store, n), kit.entry(n, 60));
      }
    });

    it('that reach the store after their deadline change nothing', async ({ skip }) => {
      const store = await kit.plainStore();
      if (store.capabilities.lateBoundMs > 0) skip('the store has no clock in its conditions');
      await kit.putPlain(store, kit.plain(1, 1));
      const past = kit.past(store);
      expect(await store.putPlain(kit.plain(1, 2), past)).toEqual({ kind: 'expired' });
      expect(await store.putPlain(kit.plain(2, 2), past)).toEqual({ kind: 'expired' });
      expect(await store.putPlain(kit.plainDelete(1), past)).toEqual({ kind: 'expired' });
      expect(await store.compareAndSet(kit.plain(2, 2), ABSENT, past)).toEqual({ kind: 'expired' });
      expectEntry(await kit.read(store, 1), kit.plain(1, 1));
      expect(await kit.read(store, 2)).toBeUndefined();
    });

    it('that break a constraint or a limit are rejected', async ({ skip }) => {
      const { breaksConstraint, breaksLimit } = kit.harness;
      if (breaksConstraint === null && breaksLimit === null) return skip('the store rejects nothing');
      const store = await kit.plainStore();
      await kit.putPlain(store, kit.plain(1, 1));
      for (const breaks of [breaksConstraint, breaksLimit]) {
        if (breaks === null) continue;
        const reason = breaks === breaksLimit ? 'limit' : 'constraint';
        const bad = (n: number) => kit.entryOf(breaks(n), null);
        expect(await kit.putPlain(store, bad(1))).toMatchObject({ kind: 'rejected', reason });
        expect(await kit.putPlain(store, bad(2))).toMatchObject({ kind: 'rejected', reason });
        expect(await kit.cas(store, bad(2), ABSENT)).toMatchObject({ kind: 'rejected', reason });
      }
      expectEntry(await kit.read(store, 1), kit.plain(1, 1));
      expect(await kit.read(store, 2)).toBeUndefined();
    });

    it('do not make a stamped write possible that nothing was prepared for', async ({ skip }) => {
      const store = await kit.unprepared();
      if (store === null) return skip('nothing needs to be prepared');
      await kit.putPlain(store, kit.plain(1, 1));
      expect(await store.prepared()).toBe(false);
      await expect(store.putIfNewer(kit.entry(1, 10), kit.later(store))).rejects.toBeInstanceOf(ChangeoverError);
      expectEntry(await kit.read(store, 1), kit.plain(1, 1));
    });

    it('let exactly one of many concurrent creates through', async () => {
      const store = await kit.plainStore();
      const other = await kit.second();
      const outcomes = await Promise.all(
        Array.from({ length: kit.scaled(12, 6) }, (_, i) =>
          definite(() => kit.cas(i % 2 === 0 ? store : other, kit.plain(1, i), ABSENT)),
        ),
      );
      const winners = outcomes.flatMap(({ kind }, i) => (kind === 'applied' ? [i] : []));
      expect(winners).toHaveLength(1);
      expectEntry(await kit.read(store, 1), kit.plain(1, winners[0] ?? -1));
      expect((await kit.read(other, 1))?.stamp === stampOf(1)).toBe(false);
    });
  });
}
