import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { InvalidRecord } from '../../src/core/errors.ts';
import type { Codec, Entry, Store } from '../../src/core/store.ts';
import type { StoredRecord } from '../../src/core/value.ts';
import { expectEntry, expectValue, type Fixture, scanPages, stampOf } from './fixture.ts';
import { UNUSUAL_KEYS, UNUSUAL_VALUES, type UnusualKey, type UnusualValue } from './unusual.ts';

const mustHold = (holds: 'all' | readonly string[], name: string): boolean => holds === 'all' || holds.includes(name);

/** What goes in comes out, or is refused by name before anything is written. */
export function describeValues(kit: Fixture): void {
  describe('values', () => {
    let store: Store;
    let next = 0;
    beforeAll(async () => {
      store = await kit.harness.open();
    });
    afterAll(() => store.close());

    /** True when it was held; false when it was refused, and properly so. */
    const held = async (entry: Entry): Promise<boolean> => {
      const refusal = store.check(entry);
      const outcome = await kit.put(store, entry);
      if (refusal === null) {
        expect(outcome).toEqual({ kind: 'applied', previous: 'absent' });
        expectEntry(await store.get(entry.id, entry.key), entry);
        return true;
      }
      expect(refusal.message).not.toBe('');
      expect(outcome).toMatchObject({ kind: 'rejected', reason: refusal.reason });
      return false;
    };

    it.for(Object.keys(UNUSUAL_VALUES) as UnusualValue[])(
      '%s: comes back equal or is refused',
      async (name, { skip }) => {
        const { any } = kit.harness.fields;
        if (any === null) return skip('no field holds any value');
        next += 2;
        const n = next;
        const entry = kit.entry(n, 10, { [any]: UNUSUAL_VALUES[name]() });
        const must = mustHold(kit.harness.holdsValues, name);
        if (must) expect(store.check(entry)).toBeNull();
        if (!(await held(entry))) {
          expect(must, `${name} must be held`).toBe(false);
          expect(await kit.read(store, n)).toBeUndefined();
          const plain = { ...entry, stamp: null };
          expect(await kit.putPlain(store, plain)).toMatchObject({ kind: 'rejected' });
          expect(await kit.cas(store, entry, { kind: 'absent' })).toMatchObject({ kind: 'rejected' });
          const [outcome] = await store.putManyIfNewer([entry], kit.later(store));
          expect(outcome).toMatchObject({ kind: 'rejected' });
          expect(await kit.read(store, n)).toBeUndefined();
          return;
        }

        // The same through every other way in and out.
        const [many] = await store.getMany([entry]);
        expectEntry(many, entry);
        const batch = kit.entry(n + 1, 10, { [any]: UNUSUAL_VALUES[name]() });
        const [outcome] = await store.putManyIfNewer([batch], kit.later(store));
        expect(outcome?.kind).toBe('applied');
        expectEntry(await kit.read(store, n + 1), batch);
        const read = await kit.read(store, n);
        const expected = { kind: 'version', stamp: stampOf(10), value: read?.value ?? null } as const;
        const after = kit.entry(n, 11, { [any]: UNUSUAL_VALUES[name]() });
        expect((await kit.cas(store, after, expected)).kind).toBe('applied');
        expectEntry(await kit.read(store, n), after);
        const plain = { ...entry, stamp: null };
        expect((await kit.putPlain(store, plain)).kind).toBe('applied');
        expectValue((await kit.read(store, n))?.value, plain.value, 'written plainly');
      },
    );

    it.for(Object.keys(UNUSUAL_KEYS) as UnusualKey[])(
      'key with %s: names its own record or is refused',
      async (name, { skip }) => {
        const { recordNamed } = kit.harness;
        if (recordNamed === null) return skip('no field of the key is text');
        const entry = kit.entryOf(recordNamed(UNUSUAL_KEYS[name]), stampOf(10));
        const must = mustHold(kit.harness.holdsKeys, name);
        if (must) expect(store.check(entry)).toBeNull();
        const wasHeld = await held(entry);
        if (must) expect(wasHeld).toBe(true);
        if (!wasHeld) return;
        expectEntry((await store.getMany([entry]))[0], entry);
        const newer = { ...entry, stamp: stampOf(11) };
        expect(await kit.put(store, newer)).toEqual({ kind: 'applied', previous: 'record' });
        const gone = { ...entry, stamp: stampOf(12), value: null };
        const expected = { kind: 'version', stamp: stampOf(11) } as const;
        expect(await kit.cas(store, gone, expected)).toEqual({ kind: 'applied', previous: 'record' });
        expectEntry(await store.get(entry.id, entry.key), gone);
        const back = { ...entry, stamp: stampOf(13) };
        expect((await store.putManyIfNewer([back], kit.later(store)))[0]?.kind).toBe('applied');
        expectEntry(await store.get(entry.id, entry.key), back);
      },
    );

    it('unusual keys are all found by a scan, and none is mistaken for another', async ({ skip }) => {
      const { recordNamed } = kit.harness;
      if (recordNamed === null) return skip('no field of the key is text');
      const fresh = await kit.open();
      const entries = Object.values(UNUSUAL_KEYS)
        .map((text, i) => kit.entryOf(recordNamed(text, { [kit.harness.fields.number]: i }), stampOf(10)))
        .filter((entry) => fresh.check(entry) === null);
      for (const entry of entries) {
        expect(await kit.put(fresh, entry), entry.id).toEqual({ kind: 'applied', previous: 'absent' });
      }
      const seen: Entry[] = [];
      for (const partition of await fresh.partitions(4)) {
        let cursor: string | undefined;
        for (;;) {
          const [page] = await scanPages(fresh, partition, 1, cursor);
          if (page === undefined) break;
          seen.push(...page.entries);
          expect(page.cursor, 'a cursor that stands still').not.toBe(cursor);
          cursor = page.cursor;
        }
      }
      expect(seen.map(({ id }) => id).sort()).toEqual(entries.map(({ id }) => id).sort());
      for (const entry of entries) expectEntry(await fresh.get(entry.id, entry.key), entry);
    });
  });

  describe('copies', () => {
    const spoil = (entry: Entry | undefined): void => {
      const value = entry?.value as Record<string, unknown> | null | undefined;
      if (value === null || value === undefined) return;
      for (const field of Object.keys(value)) {
        const item = value[field];
        if (Array.isArray(item)) item.push('spoiled');
        else value[field] = 'spoiled';
      }
      value['spoiled'] = true;
    };

    it('that a store hands out may be changed without changing what is stored', async () => {
      const store = await kit.open();
      const { any } = kit.harness.fields;
      const made = () => kit.entry(1, 10, any === null ? {} : { [any]: ['a'] });
      await kit.put(store, made());
      spoil(await kit.read(store, 1));
      spoil((await store.getMany([kit.ref(1)]))[0]);
      for (const entry of await kit.scanAll(store)) spoil(entry);
      if (store.capabilities.list) {
        for (const entry of await store.list(kit.harness.keys.unitKeyOf(made().value), null, 10)) spoil(entry);
      }
      expectEntry(await kit.read(store, 1), made());
      expectEntry((await kit.scanAll(store))[0], made());
    });

    it('that a caller keeps may be changed after the put', async () => {
      const store = await kit.open();
      const { any } = kit.harness.fields;
      const made = (n: number) => kit.entry(n, 10, any === null ? {} : { [any]: ['a'] });
      const given = [made(1), made(2), made(3), { ...made(4), stamp: null }];
      const [one, two, three, four] = given as [Entry, Entry, Entry, Entry];
      await kit.put(store, one);
      await store.putManyIfNewer([two], kit.later(store));
      await kit.cas(store, three, { kind: 'absent' });
      await kit.putPlain(store, four);
      for (const entry of given) spoil(entry);
      for (const n of [1, 2, 3]) expectEntry(await kit.read(store, n), made(n));
      expectEntry(await kit.read(store, 4), { ...made(4), stamp: kit.plain(4, 10).stamp });
    });
  });

  describe('codecs', () => {
    const wrapping = (field: string): Codec => ({
      encode: (record) => ({ ...record, [field]: `<${String(record[field])}>` }),
      decode: (stored) => ({ ...stored, [field]: String(stored[field]).slice(1, -1) }),
    });

    it('stand between the record and the store on every way in and out', async () => {
      const store = await kit.open({ codec: wrapping(kit.harness.fields.text) });
      await kit.put(store, kit.entry(1, 10));
      expectEntry(await kit.read(store, 1), kit.entry(1, 10));
      await store.putManyIfNewer([kit.entry(2, 10)], kit.later(store));
      await kit.putPlain(store, kit.plain(3, 3));
      const read = { kind: 'version', stamp: stampOf(10), value: kit.entry(1, 10).value } as const;
      expect((await kit.cas(store, kit.entry(1, 11), read)).kind).toBe('applied');
      const other = await kit.second();
      const found = await other.getMany([1, 2, 3].map((n) => kit.ref(n)));
      expectEntry(found[0], kit.entry(1, 11));
      expectEntry(found[1], kit.entry(2, 10));
      expectEntry(found[2], kit.plain(3, 3));
      const scanned = new Map((await kit.scanAll(other)).map((entry) => [entry.id, entry]));
      expectEntry(scanned.get(kit.ref(1).id), kit.entry(1, 11));
      if (!store.capabilities.list) return;
      const [first] = await store.list(kit.harness.keys.unitKeyOf(kit.record(1, 1)), null, 1);
      expect(String(first?.value?.[kit.harness.fields.text])).toMatch(/^text /);
    });

    it('are given copies, so that one which scribbles on its argument hurts nobody', async () => {
      const { text } = kit.harness.fields;
      const plain = wrapping(text);
      const scribbled = (record: StoredRecord, code: (record: StoredRecord) => StoredRecord): StoredRecord => {
        const result = code(record);
        (record as Record<string, unknown>)[text] = 'scribble';
        return result;
      };
      const store = await kit.open({
        codec: {
          encode: (record) => scribbled(record, plain.encode),
          decode: (stored) => scribbled(stored, plain.decode),
        },
      });
      const entry = kit.entry(1, 10);
      expect(store.check(entry)).toBeNull();
      await kit.put(store, entry);
      expectEntry(entry, kit.entry(1, 10), 'the argument');
      expectEntry(await kit.read(store, 1), kit.entry(1, 10));
      expectEntry(await kit.read(store, 1), kit.entry(1, 10));
    });

    it('that refuse to decode a record make it one that cannot be read, and hide no other', async () => {
      const { text } = kit.harness.fields;
      const codec: Codec = {
        encode: (record) => record,
        decode: (stored) => {
          if (stored[text] === 'bad') throw new InvalidRecord(`${text} is bad`);
          return stored;
        },
      };
      const store = await kit.open({ codec });
      const bad = kit.entry(2, 10, { [text]: 'bad' });
      for (const entry of [kit.entry(1, 10), bad, kit.entry(3, 10)]) await kit.put(store, entry);
      const reason = expect.objectContaining({ code: 'INVALID_RECORD', message: `${text} is bad` });
      const expectBad = (entry: Entry | undefined): void => {
        expect(entry).toMatchObject({ id: bad.id, stamp: bad.stamp, unreadable: reason });
      };
      expectBad(await kit.read(store, 2));
      const found = await store.getMany([1, 2, 3].map((n) => kit.ref(n)));
      expectEntry(found[0], kit.entry(1, 10));
      expectBad(found[1]);
      expectEntry(found[2], kit.entry(3, 10));
      const scanned = new Map((await kit.scanAll(store)).map((entry) => [entry.id, entry]));
      expect(scanned.size).toBe(3);
      expectBad(scanned.get(bad.id));
      expectEntry(scanned.get(kit.ref(3).id), kit.entry(3, 10));
      // What is asked before anything is written must not say that the store holds it.
      expect(() => store.roundTrip(bad)).toThrow(InvalidRecord);
      // Nor is it what anybody has read before.
      const read = { kind: 'version', stamp: stampOf(10), value: bad.value } as const;
      const kind = await kit.cas(store, kit.entry(2, 11), read).then(
        (outcome) => outcome.kind,
        (error: unknown) => (error instanceof InvalidRecord ? 'conflict' : String(error)),
      );
      expect(kind).toBe('conflict');
      expectBad(await kit.read(store, 2));
      expectEntry(await kit.read(store, 1), kit.entry(1, 10));
      if (!store.capabilities.list) return;
      const listed = await store.list(kit.harness.keys.unitKeyOf(kit.record(2, 1)), null, 5);
      expectBad(listed.find(({ id }) => id === bad.id));
    });

    it('that refuse a record keep it out', async () => {
      const { text } = kit.harness.fields;
      const store = await kit.open({
        codec: {
          encode: (record) => {
            if (record[text] === 'bad') throw new InvalidRecord(`${text} is bad`);
            return record;
          },
          decode: (stored) => stored,
        },
      });
      const bad = kit.entry(1, 10, { [text]: 'bad' });
      const kind = await kit.put(store, bad).then(
        (outcome) => outcome.kind,
        (error: unknown) => (error instanceof InvalidRecord ? 'rejected' : String(error)),
      );
      expect(kind).toBe('rejected');
      expect(await kit.read(store, 1)).toBeUndefined();
      expect((await kit.put(store, kit.entry(1, 9))).kind).toBe('applied');
    });
  });
}
