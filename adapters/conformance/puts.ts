import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { keyFromJson, keyToJson } from '../../src/core/key-json.ts';
import type { Entry } from '../../src/core/store.ts';
import { definite, expectEntry, type Fixture, seeded, shuffled, stampOf } from './fixture.ts';

/** put-if-newer, deletes, deadlines and rejections, one writer at a time. */
export function describePuts(kit: Fixture): void {
  describe('put if newer', () => {
    it('applies to an absent key', async () => {
      const store = await kit.open();
      expect(await kit.put(store, kit.entry(1, 10))).toEqual({ kind: 'applied', previous: 'absent' });
      expectEntry(await kit.read(store, 1), kit.entry(1, 10));
      expect(await kit.read(store, 2)).toBeUndefined();
    });

    it('applies over an older version', async () => {
      const store = await kit.open();
      await kit.put(store, kit.entry(1, 10));
      expect(await kit.put(store, kit.entry(1, 11))).toEqual({ kind: 'applied', previous: 'record' });
      expectEntry(await kit.read(store, 1), kit.entry(1, 11));
    });

    it('replaces the whole record, dropping fields that the new version lacks', async () => {
      const store = await kit.open();
      const bare = kit.entryOf(kit.harness.record(1), stampOf(11));
      await kit.put(store, kit.entry(1, 10));
      expect((await kit.put(store, bare)).kind).toBe('applied');
      expectEntry(await kit.read(store, 1), bare);
    });

    it('is superseded by a newer version, whose stamp it is told', async () => {
      const store = await kit.open();
      await kit.put(store, kit.entry(1, 10));
      expect(await kit.put(store, kit.entry(1, 9))).toEqual({ kind: 'superseded', stamp: stampOf(10) });
      expectEntry(await kit.read(store, 1), kit.entry(1, 10));
    });

    it('compares every part of the stamp, the incarnation last', async () => {
      const store = await kit.open();
      const by = (writer: number) => kit.entryOf(kit.record(1, writer), stampOf(10, writer));
      expect((await kit.put(store, by(0x7fff_ffff))).kind).toBe('applied');
      expect(await kit.put(store, by(3))).toEqual({ kind: 'superseded', stamp: stampOf(10, 0x7fff_ffff) });
      expect((await kit.put(store, by(0x8000_0000))).kind).toBe('applied');
      expect((await kit.put(store, by(0xffff_ffff))).kind).toBe('applied');
      expectEntry(await kit.read(store, 1), by(0xffff_ffff));
    });

    it('answers a repeated put with applied, and leaves the record as the first copy made it', async () => {
      const store = await kit.open();
      await kit.put(store, kit.entry(1, 10));
      expect(await kit.put(store, kit.entry(1, 10))).toEqual({ kind: 'applied', previous: 'same' });
      expectEntry(await kit.read(store, 1), kit.entry(1, 10));
      await kit.put(store, kit.tombstone(2, 10));
      expect(await kit.put(store, kit.tombstone(2, 10))).toEqual({ kind: 'applied', previous: 'same' });
    });

    it('knows a key by its parts, whoever made them: repairs write by the text of reports', async () => {
      const store = await kit.open();
      const named = (entry: Entry): Entry => ({ ...entry, key: keyFromJson(keyToJson(entry.key)) });
      await kit.put(store, kit.entry(1, 10));
      const version = { kind: 'version', stamp: stampOf(10) } as const;
      expect(await kit.cas(store, named(kit.entry(1, 11)), version)).toEqual({ kind: 'applied', previous: 'record' });
      const { id, key } = named(kit.entry(1, 11));
      expectEntry(await store.get(id, key), kit.entry(1, 11));
      const many = [named(kit.entry(1, 12)), named(kit.tombstone(2, 12))];
      expect((await store.putManyIfNewer(many, kit.later(store))).map(({ kind }) => kind)).toEqual([
        'applied',
        'applied',
      ]);
      expect(await kit.put(store, named(kit.tombstone(1, 13)))).toEqual({ kind: 'applied', previous: 'record' });
      expectEntry(await kit.read(store, 1), kit.tombstone(1, 13));
    });

    it('converges to the greatest stamp in whatever order versions arrive', async () => {
      const store = await kit.open();
      let n = 0;
      const version = fc.record({ s: fc.integer({ min: 1, max: 1_000 }), deleted: fc.boolean() });
      const versions = fc.uniqueArray(version, { minLength: 2, maxLength: 8, selector: ({ s }) => s });
      await fc.assert(
        fc.asyncProperty(versions, fc.array(fc.nat({ max: 7 }), { maxLength: 4 }), async (sent, again) => {
          n += 1;
          let newest = 0;
          const entryOf = ({ s, deleted }: { s: number; deleted: boolean }) =>
            deleted ? kit.tombstone(n, s) : kit.entry(n, s);
          for (const one of [...sent, ...again.flatMap((i) => sent[i] ?? [])]) {
            const outcome = await kit.put(store, entryOf(one));
            expect(outcome.kind).toBe(one.s >= newest ? 'applied' : 'superseded');
            newest = Math.max(newest, one.s);
          }
          const winner = sent.find(({ s }) => s === newest);
          if (winner !== undefined) expectEntry(await kit.read(store, n), entryOf(winner));
        }),
        { seed: kit.seed, numRuns: kit.scaled(30, 5) },
      );
    });

    it('lets the greatest stamp win when many versions are under way at once', async () => {
      const store = await kit.open();
      const stamps = shuffled(
        Array.from({ length: kit.scaled(40, 10) }, (_, i) => i + 1),
        seeded(kit.seed),
      );
      await Promise.all(stamps.map((s) => kit.put(store, s % 3 === 0 ? kit.tombstone(1, s) : kit.entry(1, s))));
      const greatest = Math.max(...stamps);
      expectEntry(await kit.read(store, 1), greatest % 3 === 0 ? kit.tombstone(1, greatest) : kit.entry(1, greatest));
    });
  });

  describe('deletes', () => {
    it('leave a tombstone that get, getMany and scan show', async () => {
      const store = await kit.open();
      await kit.put(store, kit.entry(1, 10));
      expect(await kit.put(store, kit.tombstone(1, 11))).toEqual({ kind: 'applied', previous: 'record' });
      expectEntry(await kit.read(store, 1), kit.tombstone(1, 11));
      const [many] = await store.getMany([kit.ref(1)]);
      expectEntry(many, kit.tombstone(1, 11));
      const [scanned] = await kit.scanAll(store);
      expectEntry(scanned, kit.tombstone(1, 11));
    });

    it('of an absent key leave a tombstone too', async () => {
      const store = await kit.open();
      expect(await kit.put(store, kit.tombstone(1, 10))).toEqual({ kind: 'applied', previous: 'absent' });
      expectEntry(await kit.read(store, 1), kit.tombstone(1, 10));
      expect(await kit.scanAll(store)).toHaveLength(1);
    });

    it('are not undone by an older put that arrives late', async () => {
      const store = await kit.open();
      await kit.put(store, kit.entry(1, 10));
      await kit.put(store, kit.tombstone(1, 12));
      expect(await kit.put(store, kit.entry(1, 11))).toEqual({ kind: 'superseded', stamp: stampOf(12) });
      expect(await kit.put(store, kit.entry(1, 10))).toEqual({ kind: 'superseded', stamp: stampOf(12) });
      expectEntry(await kit.read(store, 1), kit.tombstone(1, 12));
    });

    it('give way to a newer put', async () => {
      const store = await kit.open();
      await kit.put(store, kit.tombstone(1, 10));
      expect(await kit.put(store, kit.entry(1, 11))).toEqual({ kind: 'applied', previous: 'absent' });
      expectEntry(await kit.read(store, 1), kit.entry(1, 11));
    });

    it('are superseded by a newer record and leave it alone', async () => {
      const store = await kit.open();
      await kit.put(store, kit.entry(1, 10));
      expect(await kit.put(store, kit.tombstone(1, 9))).toEqual({ kind: 'superseded', stamp: stampOf(10) });
      expectEntry(await kit.read(store, 1), kit.entry(1, 10));
    });

    it('follow each other, the newer tombstone staying', async () => {
      const store = await kit.open();
      await kit.put(store, kit.tombstone(1, 10));
      expect(await kit.put(store, kit.tombstone(1, 12))).toEqual({ kind: 'applied', previous: 'absent' });
      expect(await kit.put(store, kit.tombstone(1, 11))).toEqual({ kind: 'superseded', stamp: stampOf(12) });
      expectEntry(await kit.read(store, 1), kit.tombstone(1, 12));
    });
  });

  describe('deadlines', () => {
    it('that have passed change nothing, and leave nothing behind on an absent key', async () => {
      const store = await kit.open();
      const past = kit.past(store);
      const outcomes = [
        await definite(() => store.putIfNewer(kit.entry(1, 10), past)),
        await definite(() => store.putIfNewer(kit.tombstone(2, 10), past)),
        await definite(() => store.compareAndSet(kit.entry(3, 10), { kind: 'absent' }, past)),
      ];
      if (store.capabilities.lateBoundMs === 0) {
        expect(outcomes.map(({ kind }) => kind)).toEqual(['expired', 'expired', 'expired']);
      }
      for (const [i, outcome] of outcomes.entries()) {
        if (outcome.kind !== 'expired') continue;
        expect(await kit.read(store, i + 1)).toBeUndefined();
        expect((await kit.scanAll(store)).map(({ id }) => id)).not.toContain(kit.ref(i + 1).id);
        expect(await kit.put(store, kit.entry(i + 1, 1))).toEqual({ kind: 'applied', previous: 'absent' });
      }
    });

    it('that have passed leave records and tombstones as they were', async ({ skip }) => {
      const store = await kit.open();
      if (store.capabilities.lateBoundMs > 0) skip('the store has no clock in its conditions');
      const past = kit.past(store);
      await kit.put(store, kit.entry(1, 10));
      await kit.put(store, kit.tombstone(2, 10));
      const version = { kind: 'version', stamp: stampOf(10) } as const;
      expect(await definite(() => store.putIfNewer(kit.entry(1, 11), past))).toEqual({ kind: 'expired' });
      expect(await definite(() => store.putIfNewer(kit.tombstone(1, 11), past))).toEqual({ kind: 'expired' });
      expect(await definite(() => store.putIfNewer(kit.entry(2, 11), past))).toEqual({ kind: 'expired' });
      expect(await definite(() => store.compareAndSet(kit.entry(1, 11), version, past))).toEqual({ kind: 'expired' });
      expect(await definite(() => store.compareAndSet(kit.entry(2, 11), { kind: 'absent' }, past))).toEqual({
        kind: 'expired',
      });
      expectEntry(await kit.read(store, 1), kit.entry(1, 10));
      expectEntry(await kit.read(store, 2), kit.tombstone(2, 10));
    });

    it('are in the time of the store, of which every client has an estimate', async () => {
      const store = await kit.open();
      const other = await kit.second();
      const error = store.capabilities.clockErrorMs + other.capabilities.clockErrorMs;
      const before = store.now();
      const middle = other.now();
      const after = store.now();
      expect(middle).toBeGreaterThanOrEqual(before - error - 1);
      expect(middle).toBeLessThanOrEqual(after + error + 1);
    });
  });

  describe('rejections', () => {
    it('by a constraint leave everything as it was, the stamp included', async ({ skip }) => {
      const { breaksConstraint } = kit.harness;
      if (breaksConstraint === null) return skip('the store has no constraints');
      const store = await kit.open();
      const bad = (n: number, s: number) => kit.entryOf(breaksConstraint(n), stampOf(s));
      await kit.put(store, kit.entry(1, 10));
      expect(await kit.put(store, bad(1, 20))).toMatchObject({ kind: 'rejected', reason: 'constraint' });
      expect(await kit.put(store, bad(2, 20))).toMatchObject({ kind: 'rejected', reason: 'constraint' });
      expectEntry(await kit.read(store, 1), kit.entry(1, 10));
      expect(await kit.read(store, 2)).toBeUndefined();
      expect(await kit.put(store, kit.entry(1, 11))).toEqual({ kind: 'applied', previous: 'record' });
      expect(await kit.put(store, kit.entry(2, 11))).toEqual({ kind: 'applied', previous: 'absent' });
    });

    it('by a constraint happen only to a put that would be applied: an older one is superseded', async ({ skip }) => {
      const { breaksConstraint } = kit.harness;
      if (breaksConstraint === null) return skip('the store has no constraints');
      const store = await kit.open();
      await kit.put(store, kit.entry(1, 10));
      await kit.put(store, kit.tombstone(2, 10));
      for (const n of [1, 2]) {
        const older = kit.entryOf(breaksConstraint(n), stampOf(9));
        expect(await kit.put(store, older)).toEqual({ kind: 'superseded', stamp: stampOf(10) });
      }
      expect(await kit.scanAll(store)).toHaveLength(2);
    });

    it('by a unique value of another record leave both records as they were', async ({ skip }) => {
      const { breaksUnique } = kit.harness;
      if (breaksUnique === null) return skip('nothing is unique but the key');
      const store = await kit.open();
      await kit.put(store, kit.entry(1, 10));
      await kit.put(store, kit.entry(2, 10));
      const taken = kit.record(1, 10);
      const bad = (n: number) => kit.entryOf(breaksUnique(n, taken), stampOf(20));
      expect(await kit.put(store, bad(2))).toMatchObject({ kind: 'rejected', reason: 'constraint' });
      expect(await kit.put(store, bad(3))).toMatchObject({ kind: 'rejected', reason: 'constraint' });
      expect(await kit.cas(store, bad(3), { kind: 'absent' })).toMatchObject({
        kind: 'rejected',
        reason: 'constraint',
      });
      expectEntry(await kit.read(store, 1), kit.entry(1, 10));
      expectEntry(await kit.read(store, 2), kit.entry(2, 10));
      expect(await kit.read(store, 3)).toBeUndefined();
      expect(await kit.put(store, { ...bad(2), stamp: stampOf(9) })).toEqual({
        kind: 'superseded',
        stamp: stampOf(10),
      });
      await kit.put(store, kit.tombstone(1, 21));
      expect((await kit.put(store, bad(3))).kind).toBe('applied');
    });

    it('by a limit are foreseen by check and leave everything as it was', async ({ skip }) => {
      const { breaksLimit } = kit.harness;
      if (breaksLimit === null) return skip('the store has no limits');
      const store = await kit.open();
      const bad = (n: number, s: number) => kit.entryOf(breaksLimit(n), stampOf(s));
      expect(store.check(bad(1, 20))).toMatchObject({ kind: 'rejected', reason: 'limit' });
      expect(store.check(kit.entry(1, 20))).toBeNull();
      expect(store.check(kit.tombstone(1, 20))).toBeNull();
      await kit.put(store, kit.entry(1, 10));
      expect(await kit.put(store, bad(1, 20))).toMatchObject({ kind: 'rejected', reason: 'limit' });
      expect(await kit.put(store, bad(2, 20))).toMatchObject({ kind: 'rejected', reason: 'limit' });
      expect(await kit.cas(store, bad(2, 20), { kind: 'absent' })).toMatchObject({ kind: 'rejected', reason: 'limit' });
      expectEntry(await kit.read(store, 1), kit.entry(1, 10));
      expect(await kit.read(store, 2)).toBeUndefined();
      expect((await kit.put(store, kit.entry(1, 11))).kind).toBe('applied');
    });
  });
}
