import { describe, expect, it } from 'vitest';
import { STAMP_MIN } from '../../src/core/stamp.ts';
import type { Entry, PutFault, PutOutcome, Store } from '../../src/core/store.ts';
import { expectEntry, expectSameEntries, type Fixture, seeded, shuffled, stampOf } from './fixture.ts';

type Outcome = PutOutcome | PutFault;

/** Sends a batch, and again, with the same stamps, the part of it that had no definite outcome (R4). */
async function putMany(kit: Fixture, store: Store, entries: readonly Entry[]): Promise<Outcome[]> {
  const outcomes = await store.putManyIfNewer(entries, kit.later(store));
  for (let round = 0; round < 20; round += 1) {
    const open = outcomes.flatMap(({ kind }, i) => (kind === 'fault' ? [i] : []));
    if (open.length === 0) break;
    const again = await store.putManyIfNewer(
      open.map((i) => entries[i] as Entry),
      kit.later(store),
    );
    for (const [j, i] of open.entries()) outcomes[i] = again[j] as Outcome;
  }
  return outcomes;
}

const range = (count: number, from = 0): number[] => Array.from({ length: count }, (_, i) => from + i);

/** Many puts in one call, and many reads. */
export function describeBatches(kit: Fixture): void {
  describe('batches', () => {
    it('of none are answered with none', async () => {
      const store = await kit.open();
      expect(await store.putManyIfNewer([], kit.later(store))).toEqual([]);
      expect(await store.getMany([])).toEqual([]);
    });

    it('hold what had no stamp under the least one, which is known again and which any other replaces', async () => {
      const store = await kit.open();
      const least = [1, 2, 3].map((n) => kit.entryOf(kit.record(n, 1), STAMP_MIN));
      const [first] = least as [Entry];
      expect(await kit.put(store, first)).toEqual({ kind: 'applied', previous: 'absent' });
      expect(await kit.put(store, first)).toEqual({ kind: 'applied', previous: 'same' });
      // A store that keeps no stamp for it puts it once more.
      const again = kit.harness.plainStamp == null ? 'same' : 'record';
      for (const previous of ['absent', again, 'same']) {
        const outcomes = await putMany(kit, store, least);
        expect(outcomes).toEqual(['same', previous, previous].map((each) => ({ kind: 'applied', previous: each })));
      }
      expect((await store.getMany(least, { stampsOnly: true })).map((entry) => entry?.stamp)).toEqual(
        least.map(() => STAMP_MIN),
      );
      for (const [i, entry] of (await store.getMany(least)).entries()) expectEntry(entry, least[i] as Entry);
      expect(await kit.put(store, kit.entry(1, 10))).toEqual({ kind: 'applied', previous: 'record' });
      expect(await kit.put(store, first)).toMatchObject({ kind: 'superseded' });
    });

    it('of a thousand, some of them superseded, answer for each in order', async () => {
      const store = await kit.open();
      const count = kit.scaled(1_000, 100);
      const newer = range(count).filter((n) => n % 10 === 3);
      const deleted = range(count).filter((n) => n % 10 === 7);
      await putMany(kit, store, [...newer.map((n) => kit.entry(n, 20)), ...deleted.map((n) => kit.tombstone(n, 20))]);
      const batch = shuffled(range(count), seeded(kit.seed)).map((n) => kit.entry(n, 10));
      const outcomes = await putMany(kit, store, batch);
      const kept = new Set([...newer, ...deleted].map((n) => kit.ref(n).id));
      expect(outcomes).toHaveLength(count);
      for (const [i, outcome] of outcomes.entries()) {
        const { id } = batch[i] as Entry;
        if (kept.has(id)) expect(outcome, id).toEqual({ kind: 'superseded', stamp: stampOf(20) });
        else expect(outcome.kind, id).toBe('applied');
      }
      expectSameEntries(
        await kit.scanAll(store, 1, 200),
        range(count).map((n) => {
          if (n % 10 === 3) return kit.entry(n, 20);
          return n % 10 === 7 ? kit.tombstone(n, 20) : kit.entry(n, 10);
        }),
      );
    });

    it('mix inserts, updates, deletes and repeated puts', async () => {
      const store = await kit.open();
      await putMany(kit, store, [kit.entry(1, 10), kit.entry(2, 10), kit.tombstone(3, 10)]);
      const outcomes = await putMany(kit, store, [
        kit.entry(1, 10),
        kit.tombstone(2, 11),
        kit.entry(3, 11),
        kit.tombstone(4, 11),
        kit.entry(5, 11),
        kit.tombstone(3, 9),
      ]);
      expect(outcomes.map(({ kind }) => kind)).toEqual([
        'applied',
        'applied',
        'applied',
        'applied',
        'applied',
        'superseded',
      ]);
      expectSameEntries(await kit.scanAll(store), [
        kit.entry(1, 10),
        kit.tombstone(2, 11),
        kit.entry(3, 11),
        kit.tombstone(4, 11),
        kit.entry(5, 11),
      ]);
    });

    it('with a key more than once apply its greatest stamp, wherever it stands', async () => {
      const store = await kit.open();
      await kit.put(store, kit.entry(4, 90));
      const outcomes = await putMany(kit, store, [
        kit.entry(1, 12),
        kit.entry(1, 10),
        kit.entry(2, 10),
        kit.tombstone(2, 12),
        kit.entry(3, 10),
        kit.tombstone(3, 12),
        kit.entry(3, 14),
        kit.entry(4, 10),
        kit.entry(4, 12),
      ]);
      expect(outcomes.map(({ kind }) => kind)).toEqual([
        'applied',
        'superseded',
        'superseded',
        'applied',
        'superseded',
        'superseded',
        'applied',
        'superseded',
        'superseded',
      ]);
      expect(outcomes[1]).toEqual({ kind: 'superseded', stamp: stampOf(12) });
      expectSameEntries(await kit.scanAll(store), [
        kit.entry(1, 12),
        kit.tombstone(2, 12),
        kit.entry(3, 14),
        kit.entry(4, 90),
      ]);
    });

    it('with the very same put twice answer both with applied', async () => {
      const store = await kit.open();
      const outcomes = await putMany(kit, store, [kit.entry(1, 10), kit.entry(1, 10)]);
      expect(outcomes.map(({ kind }) => kind)).toEqual(['applied', 'applied']);
      expectEntry(await kit.read(store, 1), kit.entry(1, 10));
    });

    it('put over plain records, which are older', async () => {
      const store = await kit.open();
      for (const n of [1, 2]) await kit.putPlain(store, kit.plain(n, 99));
      const outcomes = await putMany(kit, store, [kit.entry(1, 1), kit.tombstone(2, 1), kit.entry(3, 1)]);
      expect(outcomes.map(({ kind }) => kind)).toEqual(['applied', 'applied', 'applied']);
      expectSameEntries(await kit.scanAll(store), [kit.entry(1, 1), kit.tombstone(2, 1), kit.entry(3, 1)]);
    });

    it('name exactly the entries that break a constraint or a limit, and apply the others', async ({ skip }) => {
      const { breaksConstraint, breaksLimit } = kit.harness;
      if (breaksConstraint === null && breaksLimit === null) return skip('the store rejects nothing');
      const store = await kit.open();
      const count = kit.scaled(200, 50);
      const kindOf = (n: number): 'constraint' | 'limit' | 'superseded' | 'applied' => {
        if (n % 17 === 5 && breaksConstraint !== null) return 'constraint';
        if (n % 23 === 7 && breaksLimit !== null) return 'limit';
        return n % 11 === 2 ? 'superseded' : 'applied';
      };
      const older = range(count).filter((n) => kindOf(n) === 'superseded');
      await putMany(
        kit,
        store,
        older.map((n) => kit.entry(n, 20)),
      );
      const batch = range(count).map((n) => {
        const kind = kindOf(n);
        if (kind === 'constraint' && breaksConstraint) return kit.entryOf(breaksConstraint(n), stampOf(10));
        if (kind === 'limit' && breaksLimit) return kit.entryOf(breaksLimit(n), stampOf(10));
        return kit.entry(n, 10);
      });
      const outcomes = await putMany(kit, store, batch);
      const seen = outcomes.map((outcome) => (outcome.kind === 'rejected' ? outcome.reason : outcome.kind));
      expect(seen).toEqual(range(count).map(kindOf));
      expectSameEntries(
        await kit.scanAll(store),
        range(count).flatMap((n) => {
          const kind = kindOf(n);
          if (kind === 'applied') return [kit.entry(n, 10)];
          return kind === 'superseded' ? [kit.entry(n, 20)] : [];
        }),
      );
    });

    it('tell superseded entries from rejected ones where both would be true', async ({ skip }) => {
      const { breaksConstraint } = kit.harness;
      if (breaksConstraint === null) return skip('the store has no constraints');
      const store = await kit.open();
      await kit.put(store, kit.entry(1, 20));
      const outcomes = await putMany(kit, store, [
        kit.entryOf(breaksConstraint(1), stampOf(10)),
        kit.entryOf(breaksConstraint(2), stampOf(10)),
        kit.entry(3, 10),
      ]);
      expect(outcomes.map(({ kind }) => kind)).toEqual(['superseded', 'rejected', 'applied']);
      expect(outcomes[0]).toEqual({ kind: 'superseded', stamp: stampOf(20) });
    });

    it('name the entries that take a unique value of another record', async ({ skip }) => {
      const { breaksUnique } = kit.harness;
      if (breaksUnique === null) return skip('nothing is unique but the key');
      const store = await kit.open();
      await kit.put(store, kit.entry(1, 10));
      const thief = kit.entryOf(breaksUnique(2, kit.record(1, 10)), stampOf(20));
      const outcomes = await putMany(kit, store, [kit.entry(3, 20), thief, kit.entry(4, 20)]);
      expect(outcomes.map(({ kind }) => kind)).toEqual(['applied', 'rejected', 'applied']);
      expectSameEntries(await kit.scanAll(store), [kit.entry(1, 10), kit.entry(3, 20), kit.entry(4, 20)]);
    });

    it('whose deadline has passed leave nothing behind', async ({ skip }) => {
      const store = await kit.open();
      if (store.capabilities.lateBoundMs > 0) skip('the store has no clock in its conditions');
      await kit.put(store, kit.entry(1, 10));
      const batch = [...range(50).map((n) => kit.entry(n, 20)), ...range(10, 50).map((n) => kit.tombstone(n, 20))];
      const outcomes = await store.putManyIfNewer(batch, kit.past(store));
      expect(new Set(outcomes.map(({ kind }) => kind))).toEqual(new Set(['expired']));
      expectSameEntries(await kit.scanAll(store), [kit.entry(1, 10)]);
    });

    it('of which a part fails say so for that part only, and can be sent again', async ({ skip }) => {
      const { failingFor } = kit.harness;
      if (failingFor === null) return skip('partial failures cannot be forced');
      const store = await kit.open();
      const batch = range(30).map((n) => kit.entry(n, 10));
      const failing = [3, 4, 17].map((n) => kit.ref(n).id);
      const weak = kit.keep(await failingFor(failing));
      const outcomes = await weak.putManyIfNewer(batch, kit.later(weak));
      for (const [i, { kind }] of outcomes.entries()) {
        expect(kind, `entry ${i}`).toBe(failing.includes((batch[i] as Entry).id) ? 'fault' : 'applied');
      }
      const again = await putMany(kit, store, batch);
      expect(new Set(again.map(({ kind }) => kind))).toEqual(new Set(['applied']));
      expectSameEntries(await kit.scanAll(store), batch);
    });

    it('of several clients at once leave the greatest stamp of each key', async () => {
      const store = await kit.open();
      const other = await kit.second();
      const random = seeded(kit.seed);
      const keys = kit.scaled(60, 20);
      const clients = 4;
      await Promise.all(
        range(clients).map((client) => {
          const entries = shuffled(range(keys), random).map((n) => {
            const s = 1 + n * 10 + ((client + n) % clients);
            return s % 5 === 0 ? kit.tombstone(n, s) : kit.entry(n, s);
          });
          return putMany(kit, client % 2 === 0 ? store : other, entries);
        }),
      );
      expectSameEntries(
        await kit.scanAll(store),
        range(keys).map((n) => {
          const s = 1 + n * 10 + clients - 1;
          return s % 5 === 0 ? kit.tombstone(n, s) : kit.entry(n, s);
        }),
        `seed ${kit.seed}`,
      );
    });
  });

  describe('reading many', () => {
    it('answers in the order of the keys, repeated and missing ones included', async () => {
      const store = await kit.open();
      await putMany(kit, store, [kit.entry(1, 10), kit.tombstone(2, 10), kit.entry(3, 10)]);
      await kit.putPlain(store, kit.plain(5, 1));
      const found = await store.getMany([3, 4, 1, 3, 2, 5].map((n) => kit.ref(n)));
      expect(found).toHaveLength(6);
      expectEntry(found[0], kit.entry(3, 10));
      expect(found[1]).toBeUndefined();
      expectEntry(found[2], kit.entry(1, 10));
      expectEntry(found[3], kit.entry(3, 10));
      expectEntry(found[4], kit.tombstone(2, 10));
      expectEntry(found[5], kit.plain(5, 1));
    });

    it('of stamps only gives stamps and tells records from tombstones', async () => {
      const store = await kit.open();
      await putMany(kit, store, [kit.entry(1, 10), kit.tombstone(2, 11)]);
      await kit.putPlain(store, kit.plain(3, 1));
      const found = await store.getMany(
        [1, 2, 3, 4].map((n) => kit.ref(n)),
        { stampsOnly: true },
      );
      expect(found.map((entry) => entry?.stamp)).toEqual([stampOf(10), stampOf(11), kit.plain(3, 1).stamp, undefined]);
      expect(found.map((entry) => entry && entry.value === null)).toEqual([false, true, false, undefined]);
      expect(found.slice(0, 3).map((entry) => entry?.id)).toEqual([1, 2, 3].map((n) => kit.ref(n).id));
    });

    it('of nothing but stamps gives them in the order of the keys, where the store has that', async () => {
      const store = await kit.open();
      const keys = [3, 4, 1, 2, 1, 9].map((n) => kit.ref(n));
      const stamps = await store.stamps?.(keys);
      expect(stamps ?? []).toEqual(stamps === undefined ? [] : keys.map(() => null));
      await putMany(kit, store, [kit.entry(1, 10), kit.tombstone(2, 11), kit.entry(4, 12)]);
      await kit.putPlain(store, kit.plain(3, 1));
      const expected = [kit.plain(3, 1).stamp, stampOf(12), stampOf(10), stampOf(11), stampOf(10), null];
      expect((await store.stamps?.(keys)) ?? expected).toEqual(expected);
      expect((await store.stamps?.([])) ?? []).toEqual([]);
      const many = range(kit.scaled(2_100, 60)).map((n) => kit.ref(n));
      const found = (await store.stamps?.(many)) ?? [];
      expect(found.filter((stamp) => stamp !== null)).toHaveLength(
        store.stamps === undefined ? 0 : kit.plain(3, 1).stamp === null ? 3 : 4,
      );
    });

    it('works for more keys than one request holds', async () => {
      const store = await kit.open();
      const count = kit.scaled(350, 120);
      await putMany(
        kit,
        store,
        range(count).map((n) => kit.entry(n, 10)),
      );
      const found = await store.getMany(range(count * 2).map((n) => kit.ref(n)));
      for (const n of range(count)) expectEntry(found[n], kit.entry(n, 10));
      expect(found.slice(count).every((entry) => entry === undefined)).toBe(true);
    });
  });
}
