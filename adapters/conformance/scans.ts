import { describe, expect, it } from 'vitest';
import { compareKeys } from '../../src/core/record-key.ts';
import type { Entry, Store } from '../../src/core/store.ts';
import { expectEntry, expectSameEntries, expectValue, type Fixture, scanPages, seeded, stampOf } from './fixture.ts';

const range = (count: number, from = 0): number[] => Array.from({ length: count }, (_, i) => from + i);

/** Fills a store with records, tombstones and plain records, and says with what. */
async function filled(kit: Fixture, store: Store, count: number): Promise<Entry[]> {
  const stamped = range(count).map((n) => (n % 7 === 3 ? kit.tombstone(n, n + 1) : kit.entry(n, n + 1)));
  await store.putManyIfNewer(stamped, kit.later(store));
  const plain = range(Math.ceil(count / 10), count).map((n) => kit.plain(n, n));
  for (const entry of plain) await kit.putPlain(store, entry);
  return [...stamped, ...plain];
}

/** Scans and lists. */
export function describeScans(kit: Fixture): void {
  describe('scans', () => {
    it('of an empty store see nothing', async () => {
      const store = await kit.open();
      for (const count of [1, 4, 16]) expect(await kit.scanAll(store, count)).toEqual([]);
    });

    it.for([1, 4, 16])('over %i partitions see every entry once, tombstones included', async (count) => {
      const store = await kit.open();
      const expected = await filled(kit, store, kit.scaled(150, 60));
      const partitions = await store.partitions(count);
      expect(partitions.length).toBeGreaterThan(0);
      expect(new Set(partitions.map(({ id }) => id)).size).toBe(partitions.length);
      expectSameEntries(await kit.scanAll(store, count, 7), expected);
    });

    it('take partitions that went through JSON, from another client', async () => {
      const store = await kit.open();
      const expected = await filled(kit, store, 40);
      const partitions = JSON.parse(JSON.stringify(await store.partitions(4))) as Awaited<
        ReturnType<Store['partitions']>
      >;
      const other = await kit.second();
      const seen: Entry[] = [];
      for (const partition of partitions) {
        for (const page of await scanPages(other, partition, 10)) seen.push(...page.entries);
      }
      expectSameEntries(seen, expected);
    });

    it('never give a page more entries than asked for', async () => {
      const store = await kit.open();
      await filled(kit, store, 60);
      for (const pageSize of [1, 3, 25, 1_000]) {
        for (const partition of await store.partitions(2)) {
          for (const page of await scanPages(store, partition, pageSize)) {
            expect(page.entries.length).toBeLessThanOrEqual(pageSize);
          }
        }
      }
    });

    it("can be resumed from every page's cursor by another client", async () => {
      const store = await kit.open();
      await filled(kit, store, 60);
      const other = await kit.second();
      for (const partition of await store.partitions(3)) {
        const pages = await scanPages(store, partition, 4);
        for (const [i, page] of pages.entries()) {
          const rest = await scanPages(other, partition, 9, page.cursor);
          expectSameEntries(
            rest.flatMap(({ entries }) => entries),
            pages.slice(i + 1).flatMap(({ entries }) => entries),
          );
        }
      }
    });

    it('for stamps only give keys and stamps', async () => {
      const store = await kit.open();
      const expected = await filled(kit, store, 50);
      const seen = new Map<string, Entry>();
      for (const partition of await store.partitions(2)) {
        for await (const page of store.scan(partition, { pageSize: 11, stampsOnly: true })) {
          for (const entry of page.entries) seen.set(entry.id, entry);
        }
      }
      expect(seen.size).toBe(expected.length);
      for (const entry of expected) expect(seen.get(entry.id)?.stamp, entry.id).toBe(entry.stamp);
    });

    it('stop when they are told to', async () => {
      const store = await kit.open();
      await filled(kit, store, 40);
      const controller = new AbortController();
      const [partition] = await store.partitions(1);
      if (partition === undefined) throw new Error('no partition');
      let pages = 0;
      const scan = async (): Promise<void> => {
        for await (const _ of store.scan(partition, { pageSize: 2, signal: controller.signal })) {
          pages += 1;
          controller.abort();
        }
      };
      // Ending early and rejecting with the reason are both a stop.
      await scan().catch((error: unknown) => expect(error).toBeDefined());
      expect(pages).toBe(1);
    });

    it.for([1, 3])('over %i partitions see every stable entry once while others come, change and go', async (count) => {
      const store = await kit.open();
      const other = await kit.second();
      const random = seeded(kit.seed + count);
      const size = kit.scaled(90, 45);
      const stable = range(size).filter((n) => n % 3 === 0);
      await store.putManyIfNewer(
        range(size).map((n) => kit.entry(n, 10)),
        kit.later(store),
      );
      let s = 20;
      let fresh = size;
      const seen = new Map<string, number>();
      for (const partition of await store.partitions(count)) {
        for await (const page of store.scan(partition, { pageSize: 5 })) {
          for (const { id } of page.entries) seen.set(id, (seen.get(id) ?? 0) + 1);
          for (let i = 0; i < 4; i += 1) {
            s += 1;
            const n = Math.floor(random() * size);
            if (n % 3 === 0) await kit.put(other, kit.entry(n, s));
            else await kit.put(other, random() < 0.5 ? kit.tombstone(n, s) : kit.entry(n, s));
            fresh += 1;
            await kit.put(other, kit.entry(fresh, s));
            if (n % 3 === 1) await kit.putPlain(other, kit.plainDelete(n));
          }
        }
      }
      for (const n of stable) expect(seen.get(kit.ref(n).id), `record ${n}, seed ${kit.seed}`).toBe(1);
      for (const [id, times] of seen) expect(times, `${id}, seed ${kit.seed}`).toBe(1);
    });

    it('see an entry that is deleted meanwhile as the record or as its tombstone, once', async () => {
      const store = await kit.open();
      const size = kit.scaled(60, 30);
      await store.putManyIfNewer(
        range(size).map((n) => kit.entry(n, 10)),
        kit.later(store),
      );
      const [partition] = await store.partitions(1);
      if (partition === undefined) throw new Error('no partition');
      const seen: Entry[] = [];
      let next = 0;
      for await (const page of store.scan(partition, { pageSize: 4 })) {
        seen.push(...page.entries);
        for (let i = 0; i < 3 && next < size; i += 1, next += 1) await kit.put(store, kit.tombstone(next, 20));
        for (let i = 0; i < 3 && next < size; i += 1, next += 1) await kit.put(store, kit.entry(size - 1 - next, 21));
      }
      expect(seen.map(({ id }) => id).sort()).toEqual(
        range(size)
          .map((n) => kit.ref(n).id)
          .sort(),
      );
      for (const { stamp, value } of seen) expect(value === null).toBe(stamp === stampOf(20));
    });

    it('report an estimate that is no nonsense', async () => {
      const store = await kit.open();
      await filled(kit, store, 40);
      const estimate = await store.estimate();
      if (estimate === null) return;
      expect(estimate).toBeGreaterThanOrEqual(0);
      expect(estimate).toBeLessThanOrEqual(10_000);
    });
  });

  describe('native rows', () => {
    it('are read as the entries that they are, with their stamps or without', async ({ skip }) => {
      const { nativeRows, keys } = kit.harness;
      if (nativeRows === undefined) return skip('the harness gives no native rows');
      const store = await kit.open();
      const live = new Map((await filled(kit, store, 20)).flatMap((entry) => (entry.value ? [[entry.id, entry]] : [])));
      const rows = await nativeRows(store);
      expect(rows).toHaveLength(live.size);
      for (const row of rows) {
        const decoded = store.decode(row);
        const expected = live.get(decoded.id);
        expect(expected, decoded.id).toBeDefined();
        expect(decoded.id).toBe(keys.id(decoded.key));
        if (decoded.stamp !== null) expect(decoded.stamp).toBe(expected?.stamp);
        expectValue(decoded.value, expected?.value, decoded.id);
      }
    });
  });

  describe('lists', () => {
    it('give the live records of one unit in the order of their keys, page by page', async ({ skip }) => {
      const store = await kit.open();
      if (!store.capabilities.list) skip('the store cannot list');
      const { keys } = kit.harness;
      const live = (await filled(kit, store, kit.scaled(120, 50))).filter(({ value }) => value !== null);
      const units = Map.groupBy(live, ({ key }) => keys.unit(key));
      for (const entries of [...units.values()].slice(0, 5)) {
        const expected = entries.toSorted((a, b) => compareKeys(keys.fields, a.key, b.key));
        const unit = keys.unitKeyOf(expected[0]?.value);
        for (const limit of [1, 3, 1_000]) {
          const seen: Entry[] = [];
          for (;;) {
            const page = await store.list(unit, seen.at(-1)?.key ?? null, limit);
            expect(page.length).toBeLessThanOrEqual(limit);
            if (page.length === 0) break;
            seen.push(...page);
            if (seen.length > expected.length) break;
          }
          expect(seen.map(({ id }) => id)).toEqual(expected.map(({ id }) => id));
          for (const [i, entry] of expected.entries()) expectEntry(seen[i], entry);
        }
      }
    });

    it('of unusual text are in the order of its bytes', async ({ skip }) => {
      const { recordNamed, keys } = kit.harness;
      if (recordNamed === null) return skip('no field of the key is text');
      const store = await kit.open();
      if (!store.capabilities.list) skip('the store cannot list');
      const texts = [
        'a',
        'B',
        'b',
        'A',
        'ä',
        'Z',
        'z',
        'é',
        'e',
        '10',
        '9',
        '\uffee',
        '\u{1f600}',
        'a b',
        'a-b',
        'ab',
        '_',
      ];
      const entries = texts
        .map((text) => kit.entryOf(recordNamed(text), stampOf(1)))
        .filter((entry) => store.check(entry) === null);
      for (const entry of entries) await kit.put(store, entry);
      for (const mates of Map.groupBy(entries, ({ key }) => keys.unit(key)).values()) {
        const expected = mates.toSorted((a, b) => compareKeys(keys.fields, a.key, b.key)).map(({ id }) => id);
        const unit = keys.unitKeyOf(mates[0]?.value);
        expect((await store.list(unit, null, 100)).map(({ id }) => id)).toEqual(expected);
        for (const [i, entry] of mates.toSorted((a, b) => compareKeys(keys.fields, a.key, b.key)).entries()) {
          const page = await store.list(unit, entry.key, 2);
          expect(page.map(({ id }) => id)).toEqual(expected.slice(i + 1, i + 3));
        }
      }
    });

    it('go on after a key whether or not it is there', async ({ skip }) => {
      const store = await kit.open();
      if (!store.capabilities.list) skip('the store cannot list');
      const { keys } = kit.harness;
      for (const n of range(6)) await kit.put(store, kit.entry(n, 10));
      const mates = [...Map.groupBy(range(6), (n) => keys.unit(kit.ref(n).key)).values()][0] ?? [];
      const sorted = mates.map((n) => kit.entry(n, 10)).toSorted((a, b) => compareKeys(keys.fields, a.key, b.key));
      const [first, ...rest] = sorted;
      if (first === undefined) throw new Error('no record');
      await kit.put(store, { ...first, stamp: stampOf(20), value: null });
      const page = await store.list(keys.unitKeyOf(first.value), first.key, 100);
      expect(page.map(({ id }) => id)).toEqual(rest.map(({ id }) => id));
    });

    it('of a unit without records are empty', async ({ skip }) => {
      const store = await kit.open();
      if (!store.capabilities.list) skip('the store cannot list');
      await kit.put(store, kit.tombstone(1, 10));
      expect(await store.list(kit.harness.keys.unitKeyOf(kit.record(1, 1)), null, 10)).toEqual([]);
    });
  });
}
