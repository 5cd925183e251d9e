import { describe, expect, it } from 'vitest';
import { expectEntry, type Fixture, stampOf } from './fixture.ts';

const ABSENT = { kind: 'absent' } as const;
const version = (s: number) => ({ kind: 'version', stamp: stampOf(s) }) as const;

/** compare-and-set, one writer at a time. */
export function describeCompareAndSet(kit: Fixture): void {
  describe('compare and set', () => {
    it('expecting nothing applies to an absent key', async () => {
      const store = await kit.open();
      expect(await kit.cas(store, kit.entry(1, 10), ABSENT)).toEqual({ kind: 'applied', previous: 'absent' });
      expectEntry(await kit.read(store, 1), kit.entry(1, 10));
    });

    it('expecting nothing applies over an older tombstone', async () => {
      const store = await kit.open();
      await kit.put(store, kit.tombstone(1, 10));
      expect(await kit.cas(store, kit.entry(1, 11), ABSENT)).toEqual({ kind: 'applied', previous: 'absent' });
      expectEntry(await kit.read(store, 1), kit.entry(1, 11));
    });

    it('expecting nothing is superseded by a newer tombstone, whose stamp it is told', async () => {
      const store = await kit.open();
      await kit.put(store, kit.tombstone(1, 10));
      expect(await kit.cas(store, kit.entry(1, 9), ABSENT)).toEqual({ kind: 'superseded', stamp: stampOf(10) });
      expectEntry(await kit.read(store, 1), kit.tombstone(1, 10));
    });

    it('expecting nothing conflicts with a record, older or newer', async () => {
      const store = await kit.open();
      await kit.put(store, kit.entry(1, 10));
      expect(await kit.cas(store, kit.entry(1, 11), ABSENT)).toEqual({ kind: 'conflict' });
      expect(await kit.cas(store, kit.entry(1, 9), ABSENT)).toEqual({ kind: 'conflict' });
      expectEntry(await kit.read(store, 1), kit.entry(1, 10));
    });

    it('expecting nothing leaves a tombstone where nothing is, and none over a record', async () => {
      const store = await kit.open();
      expect(await kit.cas(store, kit.tombstone(1, 10), ABSENT)).toEqual({ kind: 'applied', previous: 'absent' });
      expectEntry(await kit.read(store, 1), kit.tombstone(1, 10));
      expect(await kit.cas(store, kit.tombstone(1, 11), ABSENT)).toEqual({ kind: 'applied', previous: 'absent' });
      await kit.put(store, kit.entry(1, 12));
      expect(await kit.cas(store, kit.tombstone(1, 13), ABSENT)).toEqual({ kind: 'conflict' });
      expectEntry(await kit.read(store, 1), kit.entry(1, 12));
    });

    it('expecting nothing conflicts with a plain record', async () => {
      const store = await kit.open();
      await kit.putPlain(store, kit.plain(1, 5));
      expect(await kit.cas(store, kit.entry(1, 10), ABSENT)).toEqual({ kind: 'conflict' });
      expectEntry(await kit.read(store, 1), kit.plain(1, 5));
    });

    it('expecting the stored version applies', async () => {
      const store = await kit.open();
      await kit.put(store, kit.entry(1, 10));
      expect(await kit.cas(store, kit.entry(1, 11), version(10))).toEqual({ kind: 'applied', previous: 'record' });
      expectEntry(await kit.read(store, 1), kit.entry(1, 11));
    });

    it('expecting another version conflicts, whether the stored one is older, newer or gone', async () => {
      const store = await kit.open();
      await kit.put(store, kit.entry(1, 10));
      await kit.put(store, kit.tombstone(2, 10));
      expect(await kit.cas(store, kit.entry(1, 12), version(9))).toEqual({ kind: 'conflict' });
      expect(await kit.cas(store, kit.entry(1, 12), version(11))).toEqual({ kind: 'conflict' });
      expect(await kit.cas(store, kit.entry(2, 12), version(9))).toEqual({ kind: 'conflict' });
      expect(await kit.cas(store, kit.entry(3, 12), version(9))).toEqual({ kind: 'conflict' });
      expect(await kit.cas(store, kit.entry(1, 12), { kind: 'version', stamp: null })).toEqual({ kind: 'conflict' });
      expect(await kit.cas(store, kit.entry(3, 12), { kind: 'version', stamp: null })).toEqual({ kind: 'conflict' });
      expectEntry(await kit.read(store, 1), kit.entry(1, 10));
      expectEntry(await kit.read(store, 2), kit.tombstone(2, 10));
      expect(await kit.read(store, 3)).toBeUndefined();
    });

    it('with a stamp that is not greater than the expected one is superseded', async () => {
      const store = await kit.open();
      await kit.put(store, kit.entry(1, 10));
      expect(await kit.cas(store, kit.entry(1, 9), version(10))).toEqual({ kind: 'superseded', stamp: stampOf(10) });
      expectEntry(await kit.read(store, 1), kit.entry(1, 10));
    });

    it('sent again after it was applied says so, and changes nothing', async () => {
      const store = await kit.open();
      await kit.cas(store, kit.entry(1, 10), ABSENT);
      expect(await kit.cas(store, kit.entry(1, 10), ABSENT)).toEqual({ kind: 'applied', previous: 'same' });
      await kit.cas(store, kit.entry(1, 11), version(10));
      expect(await kit.cas(store, kit.entry(1, 11), version(10))).toEqual({ kind: 'applied', previous: 'same' });
      await kit.cas(store, kit.tombstone(1, 12), version(11));
      expect(await kit.cas(store, kit.tombstone(1, 12), version(11))).toEqual({ kind: 'applied', previous: 'same' });
      expectEntry(await kit.read(store, 1), kit.tombstone(1, 12));
    });

    it('sent again after it was overwritten conflicts', async () => {
      const store = await kit.open();
      await kit.put(store, kit.entry(1, 10));
      await kit.cas(store, kit.entry(1, 11), version(10));
      await kit.put(store, kit.entry(1, 12));
      expect(await kit.cas(store, kit.entry(1, 11), version(10))).toEqual({ kind: 'conflict' });
      expectEntry(await kit.read(store, 1), kit.entry(1, 12));
    });

    it('deletes the expected version and leaves a tombstone', async () => {
      const store = await kit.open();
      await kit.put(store, kit.entry(1, 10));
      expect(await kit.cas(store, kit.tombstone(1, 12), version(9))).toEqual({ kind: 'conflict' });
      expect(await kit.cas(store, kit.tombstone(1, 11), version(10))).toEqual({ kind: 'applied', previous: 'record' });
      expectEntry(await kit.read(store, 1), kit.tombstone(1, 11));
      expect((await kit.put(store, kit.entry(1, 10))).kind).toBe('superseded');
    });

    it('stamps a plain record that is still the expected one', async () => {
      const store = await kit.open();
      await kit.putPlain(store, kit.plain(1, 5));
      await kit.putPlain(store, kit.plain(2, 5));
      const plain = { kind: 'version', stamp: kit.plain(1, 5).stamp } as const;
      expect(await kit.cas(store, kit.entry(1, 10), plain)).toEqual({ kind: 'applied', previous: 'record' });
      expect(await kit.cas(store, kit.tombstone(2, 10), plain)).toEqual({ kind: 'applied', previous: 'record' });
      expectEntry(await kit.read(store, 1), kit.entry(1, 10));
      expectEntry(await kit.read(store, 2), kit.tombstone(2, 10));
    });

    it('compares the value too where it is told to, on plain records', async () => {
      const store = await kit.open();
      await kit.putPlain(store, kit.plain(1, 5));
      const read = (s: number) => {
        const { stamp, value } = kit.plain(1, s);
        return { kind: 'version', stamp, value } as const;
      };
      expect(await kit.cas(store, kit.entry(1, 10), read(4))).toEqual({ kind: 'conflict' });
      expectEntry(await kit.read(store, 1), kit.plain(1, 5));
      await kit.putPlain(store, kit.plain(1, 6));
      expect(await kit.cas(store, kit.entry(1, 10), read(5))).toEqual({ kind: 'conflict' });
      expect(await kit.cas(store, kit.entry(1, 10), read(6))).toEqual({ kind: 'applied', previous: 'record' });
      expectEntry(await kit.read(store, 1), kit.entry(1, 10));
    });

    it('compares the value too where it is told to, on stamped records', async () => {
      const store = await kit.open();
      await kit.put(store, kit.entry(1, 10));
      const read = (s: number) => ({ kind: 'version', stamp: stampOf(10), value: kit.entry(1, s).value }) as const;
      expect(await kit.cas(store, kit.entry(1, 11), read(9))).toEqual({ kind: 'conflict' });
      expect(await kit.cas(store, kit.tombstone(1, 11), read(9))).toEqual({ kind: 'conflict' });
      expectEntry(await kit.read(store, 1), kit.entry(1, 10));
      expect(await kit.cas(store, kit.entry(1, 11), read(10))).toEqual({ kind: 'applied', previous: 'record' });
      expect(await kit.cas(store, kit.entry(1, 11), read(10))).toEqual({ kind: 'applied', previous: 'same' });
    });

    it('notices a plain write over the stamped record that it read', async () => {
      const store = await kit.open();
      const read = (n: number) => ({ kind: 'version', stamp: stampOf(10), value: kit.entry(n, 10).value }) as const;
      for (const n of [1, 2]) await kit.put(store, kit.entry(n, 10));
      await kit.putPlain(store, kit.plain(1, 77));
      await kit.putPlain(store, kit.plainDelete(2));
      expect(await kit.cas(store, kit.entry(1, 11), read(1))).toEqual({ kind: 'conflict' });
      expect(await kit.cas(store, kit.entry(2, 11), read(2))).toEqual({ kind: 'conflict' });
      expect((await kit.read(store, 1))?.value).toEqual(kit.plain(1, 77).value);
      expect((await kit.read(store, 2))?.value ?? null).toBeNull();
      expect((await kit.cas(store, kit.entry(2, 12), ABSENT)).kind).toBe('applied');
      expectEntry(await kit.read(store, 2), kit.entry(2, 12));
    });

    it('rejected by a constraint or a limit changes nothing', async ({ skip }) => {
      const { breaksConstraint, breaksLimit } = kit.harness;
      if (breaksConstraint === null && breaksLimit === null) return skip('the store rejects nothing');
      const store = await kit.open();
      await kit.put(store, kit.entry(1, 10));
      for (const breaks of [breaksConstraint, breaksLimit]) {
        if (breaks === null) continue;
        const reason = breaks === breaksLimit ? 'limit' : 'constraint';
        const bad = (n: number) => kit.entryOf(breaks(n), stampOf(20));
        expect(await kit.cas(store, bad(1), version(10))).toMatchObject({ kind: 'rejected', reason });
        expect(await kit.cas(store, bad(2), ABSENT)).toMatchObject({ kind: 'rejected', reason });
      }
      expectEntry(await kit.read(store, 1), kit.entry(1, 10));
      expect(await kit.read(store, 2)).toBeUndefined();
    });

    it('with a broken constraint and another version stored conflicts', async ({ skip }) => {
      const { breaksConstraint } = kit.harness;
      if (breaksConstraint === null) return skip('the store has no constraints');
      const store = await kit.open();
      await kit.put(store, kit.entry(1, 10));
      const bad = kit.entryOf(breaksConstraint(1), stampOf(20));
      expect(await kit.cas(store, bad, version(9))).toEqual({ kind: 'conflict' });
      expect(await kit.cas(store, bad, ABSENT)).toEqual({ kind: 'conflict' });
    });
  });
}
