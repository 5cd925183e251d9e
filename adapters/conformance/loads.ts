import { describe, expect, it } from 'vitest';
import type { Entry, LoadAnswer, Store } from '../../src/core/store.ts';
import { expectSameEntries, type Fixture, stampOf } from './fixture.ts';

const range = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

/** Puts that look at nothing, where the store has them. */
export function describeLoads(kit: Fixture): void {
  describe('a load', () => {
    /** A fresh store and its load, or null where it has none. */
    const loading = async () => {
      const store = await kit.open();
      if (store.load === undefined) return null;
      const load = store.load.bind(store);
      return { store, load: (entries: readonly Entry[], by: Store = store) => load(entries, kit.later(by)) };
    };
    const NONE = 'this store puts as fast when it looks';
    const kinds = ({ outcomes }: LoadAnswer): string[] => outcomes.map(({ kind }) => kind);

    it('of none is answered with none', async ({ skip }) => {
      const at = await loading();
      if (at === null) return skip(NONE);
      expect(await at.load([])).toEqual({ outcomes: [], loose: false });
    });

    it('of many keeps the stamp of each, tombstones included, and is settled', async ({ skip }) => {
      const at = await loading();
      if (at === null) return skip(NONE);
      const batch = range(kit.scaled(300, 60)).map((n) => (n % 7 === 3 ? kit.tombstone(n, n) : kit.entry(n, n)));
      const answer = await at.load(batch);
      expect(new Set(kinds(answer))).toEqual(new Set(['applied']));
      expect(answer).toMatchObject({ loose: false, outcomes: { length: batch.length } });
      expectSameEntries(await kit.scanAll(at.store, 1, 100), batch);
      expect(kinds(await at.load(batch)), 'the same again').toEqual(kinds(answer));
      expectSameEntries(await kit.scanAll(at.store, 1, 100), batch);
    });

    it('goes over what is older and what has no stamp', async ({ skip }) => {
      const at = await loading();
      if (at === null) return skip(NONE);
      for (const older of [kit.entry(1, 10), kit.entry(2, 10), kit.tombstone(3, 10)]) await kit.put(at.store, older);
      await kit.putPlain(at.store, kit.plain(4, 1));
      const batch = [kit.entry(1, 20), kit.tombstone(2, 20), kit.entry(3, 20), kit.entry(4, 20), kit.entry(5, 20)];
      expect(new Set(kinds(await at.load(batch)))).toEqual(new Set(['applied']));
      expectSameEntries(await kit.scanAll(at.store), batch);
    });

    it('that names a key more than once leaves its greatest stamp', async ({ skip }) => {
      const at = await loading();
      if (at === null) return skip(NONE);
      const batch = [kit.entry(1, 10), kit.tombstone(1, 12), kit.entry(1, 11), kit.entry(2, 10), kit.entry(2, 10)];
      const { outcomes } = await at.load(batch);
      const superseded = { kind: 'superseded', stamp: stampOf(12) };
      expect(outcomes.slice(0, 3)).toMatchObject([superseded, { kind: 'applied' }, superseded]);
      expect(outcomes.slice(3)).toMatchObject([{ kind: 'applied' }, { kind: 'applied' }]);
      expectSameEntries(await kit.scanAll(at.store), [kit.tombstone(1, 12), kit.entry(2, 10)]);
    });

    it('says of each entry that the store cannot hold that it is rejected, and takes the others', async ({ skip }) => {
      const at = await loading();
      const { breaksLimit } = kit.harness;
      if (at === null || breaksLimit === null) return skip(at === null ? NONE : 'nothing is too much for this store');
      const batch = [kit.entry(1, 10), kit.entryOf(breaksLimit(2), stampOf(10)), kit.entry(3, 10)];
      const { outcomes } = await at.load(batch);
      expect(outcomes).toMatchObject([{ kind: 'applied' }, { kind: 'rejected', reason: 'limit' }, { kind: 'applied' }]);
      expectSameEntries(await kit.scanAll(at.store), [kit.entry(1, 10), kit.entry(3, 10)]);
    });

    it('after its deadline changes nothing', async ({ skip }) => {
      const at = await loading();
      if (at === null) return skip(NONE);
      const { store } = at;
      const answer = await store.load?.([kit.entry(1, 10), kit.entry(2, 10)], kit.past(store));
      if (store.capabilities.lateBoundMs === 0 || answer?.outcomes[0]?.kind === 'expired') {
        expect(answer).toEqual({ outcomes: [{ kind: 'expired' }, { kind: 'expired' }], loose: false });
        await kit.expectEmpty(store);
      } else {
        expect(new Set(answer === undefined ? [] : kinds(answer)), 'its bound has not passed').toEqual(
          new Set(['applied']),
        );
      }
    });
  });
}
