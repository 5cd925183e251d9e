import { Binary, ObjectId } from 'bson';
import { describe, expect, test } from 'vitest';
import { InvalidArgument, StoreFault } from '../../src/core/errors.ts';
import { isHidden, isPlanted } from '../../src/core/planted.ts';
import { KeySpec } from '../../src/core/record-key.ts';
import { makeStamp, STAMP_MIN } from '../../src/core/stamp.ts';
import type { Store } from '../../src/core/store.ts';
import { Decimal, type Key, type KeyPart } from '../../src/core/value.ts';
import { verifyStores } from '../../verify/full-scan.ts';
import { alterations, plantedStamp, unusedKey, withOtherTexts } from '../../verify/planted.ts';
import { entryOf, KEYS, optionsFor, stampAgo, type TwoStores, twoStores, withMethods } from './data-set.ts';
import { InstantClock } from './instant-clock.ts';

async function filled(clock: InstantClock, records = 300): Promise<TwoStores> {
  const stores = await twoStores(clock);
  const stamp = stampAgo(clock, 600);
  const entries = Array.from({ length: records }, (_, i) =>
    entryOf(`user-${i % 30}`, `r${i}`, stamp, { n: i, ok: true }),
  );
  stores.data.old.load(entries);
  stores.data.new.load(entries);
  return stores;
}

/** Every key that a store holds, and how many it holds physically (tombstones too). */
async function idsOf(store: Store): Promise<readonly string[]> {
  const ids: string[] = [];
  for (const partition of await store.partitions(1)) {
    for await (const page of store.scan(partition, { pageSize: 1_000 })) ids.push(...page.entries.map(({ id }) => id));
  }
  return ids.sort();
}

describe('planted records', () => {
  test.each(['old', 'new'] as const)(
    'are found, left out of the report and removed (the %s store leads)',
    async (lead) => {
      const clock = new InstantClock();
      const stores = await filled(clock);
      const before = await idsOf(stores.old);
      const report = await verifyStores({ ...optionsFor(clock, stores), authority: () => lead, prove: true });
      expect(report).toMatchObject({
        verdict: 'consistent',
        counts: { old: 300, new: 300, equal: 300, missing: 0, extra: 0, different: 0, stale: 0, pending: 0 },
        divergences: [],
        reasons: [],
        proof: { planted: 12, missed: [], refused: null },
        scanned: { old: { records: 300 }, new: { records: 300 }, candidates: 0 },
      });
      expect(await idsOf(stores.old)).toEqual(before);
      expect(await idsOf(stores.new)).toEqual(before);
    },
  );

  test('stand beside real divergences, which are reported as ever', async () => {
    const clock = new InstantClock();
    const stores = await filled(clock);
    stores.data.new.load([entryOf('user-1', 'r1', stampAgo(clock, 600), { n: -5, ok: true })]);
    const report = await verifyStores({ ...optionsFor(clock, stores), prove: true });
    expect(report).toMatchObject({ verdict: 'divergent', counts: { different: 1, equal: 299 }, proof: { missed: [] } });
    expect(report.divergences.map(({ key }) => key)).toEqual([{ user: 'user-1', id: 'r1' }]);
  });

  test('that a scan does not see make the report invalid, and it says which', async () => {
    const clock = new InstantClock();
    const stores = await filled(clock);
    stores.data.new.load([entryOf('user-1', 'r1', stampAgo(clock, 600), { n: -5, ok: true })]);
    // A scan that loses what only the old store has, and one that shows the old store's values for the new one's.
    const blind = withMethods(stores.old, {
      async *scan(partition, options) {
        for await (const page of stores.old.scan(partition, options)) {
          const there = await stores.new.getMany(page.entries);
          yield { ...page, entries: page.entries.filter((_, i) => there[i] !== undefined) };
        }
      },
    });
    const lost = await verifyStores({ ...optionsFor(clock, { ...stores, old: blind }), prove: true });
    expect(lost.proof).toMatchObject({ planted: 12, missed: Array(3).fill('missing seen as equal') });
    // What it found besides proves nothing either.
    expect(lost).toMatchObject({ verdict: 'inconclusive', counts: { different: 1 } });
    expect(lost.reasons).toEqual([expect.stringContaining('invalid: 3 of 12 planted records missed')]);
    const lying = withMethods(stores.new, {
      getMany: (keys, options) => stores.old.getMany(keys, options),
    });
    const told = await verifyStores({ ...optionsFor(clock, { ...stores, new: lying }), prove: true });
    expect(told.verdict).toBe('inconclusive');
    expect(told.proof?.missed.length).toBeGreaterThan(5);
    expect((await idsOf(stores.old)).length + (await idsOf(stores.new)).length).toBe(600);
  });

  test('are removed when the run is aborted or fails', async () => {
    const clock = new InstantClock();
    const stores = await filled(clock);
    const before = await idsOf(stores.old);
    const controller = new AbortController();
    const aborting = withMethods(stores.new, {
      getMany: async () => {
        controller.abort();
        throw new StoreFault('no answer', { outcome: 'unknown' });
      },
    });
    const options = { ...optionsFor(clock, { ...stores, new: aborting }), prove: true };
    await expect(verifyStores({ ...options, signal: controller.signal })).rejects.toThrow('interrupted');
    const broken = withMethods(stores.new, {
      getMany: () => Promise.reject(new RangeError('a bug in an adapter')),
    });
    await expect(verifyStores({ ...optionsFor(clock, { ...stores, new: broken }), prove: true })).rejects.toThrow(
      RangeError,
    );
    expect(await idsOf(stores.old)).toEqual(before);
    expect(await idsOf(stores.new)).toEqual(before);
  });

  test('that a killed run left are told of by the next one, and removed by the next proof', async () => {
    const clock = new InstantClock();
    const stores = await filled(clock);
    const left = {
      ...entryOf('~changeover-left', '~changeover-1', plantedStamp(clock.now(), 'older'), { n: 1, ok: true }),
    };
    stores.data.old.load([left]);
    stores.data.new.load([{ ...left, value: { ...left.value, n: 2 } }]);
    const plain = await verifyStores(optionsFor(clock, stores));
    expect(plain).toMatchObject({
      verdict: 'inconclusive',
      counts: { old: 300, equal: 300, different: 0 },
      divergences: [],
    });
    expect(plain.reasons).toEqual([expect.stringContaining('2 planted record(s)')]);
    expect(await idsOf(stores.old)).toHaveLength(301);
    const proven = await verifyStores({ ...optionsFor(clock, stores), prove: true });
    expect(proven).toMatchObject({ verdict: 'consistent', reasons: [], proof: { missed: [] } });
    expect(await idsOf(stores.old)).toHaveLength(300);
    expect(await idsOf(stores.new)).toHaveLength(300);
  });

  test('that a store refuses are named, and the report is inconclusive', async () => {
    const clock = new InstantClock();
    const stores = await filled(clock);
    const refusing = withMethods(stores.new, {
      compareAndSet: async (entry, expected, deadline) =>
        entry.value === null
          ? stores.new.compareAndSet(entry, expected, deadline)
          : { kind: 'rejected', reason: 'constraint', message: 'the constraint "events_plan" refuses it' },
    });
    const report = await verifyStores({ ...optionsFor(clock, { ...stores, new: refusing }), prove: true });
    expect(report).toMatchObject({ verdict: 'inconclusive', proof: { planted: 3, missed: [] } });
    expect(report.reasons).toEqual([expect.stringContaining('the new store refuses it (the constraint "events_plan"')]);
    expect(await idsOf(stores.old)).toHaveLength(300);
  });

  test('have no numbers below zero in their keys where a store has no room for such', async () => {
    const clock = new InstantClock();
    const stores = await twoStores(clock);
    const entries = Array.from({ length: 60 }, (_, i) =>
      entryOf(`user-${i % 30}`, i, stampAgo(clock, 600), { ok: true }),
    );
    stores.data.old.load(entries);
    stores.data.new.load(entries);
    const refusal = { kind: 'rejected', reason: 'limit', message: 'the key field "id" is below 0' } as const;
    const unsigned = withMethods(stores.new, {
      roundTrip: (entry) => (Number(entry.key['id']) < 0 ? refusal : stores.new.roundTrip(entry)),
      compareAndSet: async (entry, expected, deadline) =>
        Number(entry.key['id']) < 0 ? refusal : stores.new.compareAndSet(entry, expected, deadline),
    });
    const report = await verifyStores({ ...optionsFor(clock, { ...stores, new: unsigned }), prove: true });
    expect(report).toMatchObject({ verdict: 'consistent', proof: { planted: 12, missed: [], refused: null } });
    expect(await idsOf(stores.new)).toHaveLength(60);
  });

  test('need a pattern, an alterable field and a unit among those verified', async () => {
    const clock = new InstantClock();
    const empty = await verifyStores({ ...optionsFor(clock, await twoStores(clock)), prove: true });
    expect(empty).toMatchObject({ verdict: 'inconclusive', proof: { planted: 0 } });
    expect(empty.reasons).toEqual([expect.stringContaining('no record to take as a pattern')]);
    const stores = await twoStores(clock);
    const bare = entryOf('ada', 'x', stampAgo(clock, 600), {});
    stores.data.old.load([bare]);
    stores.data.new.load([bare]);
    const keyOnly = await verifyStores({ ...optionsFor(clock, stores), prove: true });
    expect(keyOnly).toMatchObject({ verdict: 'inconclusive', proof: { planted: 6, missed: [] } });
    const named = await verifyStores({ ...optionsFor(clock, stores), includes: (unit) => unit === 'ada', prove: true });
    expect(named.reasons).toEqual([expect.stringContaining('no unit that nobody has')]);
    expect(await idsOf(stores.old)).toEqual([bare.id]);
  });

  test.each([
    ['decimals', { v: new Decimal('10.50') }],
    ['no decimals but zero', { v: new Decimal('0') }],
    ['bytes', { v: Uint8Array.of(7, 8) }],
    ['bytes of a Buffer', { v: Buffer.of(7, 8) }],
    ['lists', { v: [1, 2] }],
    ['lists of nothing that can be altered', { v: [null, null] }],
    ['empty texts', { v: '' }],
    ['times', { v: new Date(1_750_000_000_000) }],
  ])(
    'are made after records of %s alone, and after those that can be altered where the first cannot',
    async (_, value) => {
      const clock = new InstantClock();
      const stores = await twoStores(clock);
      const stamp = stampAgo(clock, 600);
      const entries = Array.from({ length: 40 }, (__, i) =>
        entryOf(`user-${i % 7}`, `r${String(i).padStart(2, '0')}`, stamp, i % 7 < 6 ? { v: null } : value),
      );
      for (const side of ['old', 'new'] as const) stores.data[side].load(entries);
      const report = await verifyStores({ ...optionsFor(clock, stores), prove: true });
      expect(report).toMatchObject({ verdict: 'consistent', proof: { planted: 12, missed: [], refused: null } });
      expect(await idsOf(stores.old)).toHaveLength(40);
    },
  );

  test('survive faults of the stores while they are planted and removed', async () => {
    const clock = new InstantClock();
    const stores = await filled(clock);
    let calls = 0;
    const flaky = (store: Store): Store =>
      withMethods(store, {
        async compareAndSet(entry, expected, deadline) {
          calls += 1;
          // Some are not carried out, of some only the answer is lost.
          if (calls % 5 === 1) throw new StoreFault('no answer', { outcome: 'unknown' });
          const outcome = await store.compareAndSet(entry, expected, deadline);
          if (calls % 5 === 3) throw new StoreFault('no answer', { outcome: 'unknown' });
          return outcome;
        },
      });
    const report = await verifyStores({
      ...optionsFor(clock, { old: flaky(stores.old), new: flaky(stores.new) }),
      prove: true,
    });
    expect(report).toMatchObject({ verdict: 'consistent', proof: { planted: 12, missed: [], refused: null } });
    expect(calls).toBeGreaterThan(30);
    expect(await idsOf(stores.old)).toHaveLength(300);
    expect(await idsOf(stores.new)).toHaveLength(300);
  });

  test('that cannot be removed are told of', async () => {
    const clock = new InstantClock();
    const stores = await filled(clock);
    const stuck = withMethods(stores.new, {
      compareAndSet: async (entry, expected, deadline) => {
        if (entry.value === null) throw new StoreFault('no answer', { outcome: 'unknown' });
        return stores.new.compareAndSet(entry, expected, deadline);
      },
    });
    const report = await verifyStores({ ...optionsFor(clock, { ...stores, new: stuck }), prove: true });
    expect(report.verdict).toBe('inconclusive');
    expect(report.reasons).toEqual([expect.stringContaining('could not be removed from the new store')]);
    await verifyStores({ ...optionsFor(clock, stores), prove: true });
    expect(await idsOf(stores.new)).toHaveLength(300);
  });
});

describe('what is planted', () => {
  test('has keys of the types of real ones that nobody has', () => {
    const patterns: readonly KeyPart[] = [
      ...['ada', '0b7f8f1e-6f3c-4f0e-9d55-000000000001', 7, 7n, new Date(1e12), new Uint8Array(16)],
      ...[new ObjectId('a'.repeat(24)) as KeyPart, new Binary(new Uint8Array(16), 4) as unknown as KeyPart],
    ];
    for (const part of patterns) {
      const spec = new KeySpec(['id', 'flag'], ['id']);
      const pattern: Key = { id: part, flag: true };
      const keys = Array.from({ length: 50 }, () => unusedKey(pattern, Math.random, () => true) as Key);
      expect(new Set(keys.map((key) => spec.id(spec.keyOf(key)))).size).toBe(50);
      for (const { id, flag } of keys) {
        expect(Object.prototype.toString.call(id)).toBe(Object.prototype.toString.call(part));
        expect(typeof id).toBe(typeof part);
        expect(flag).toBe(true);
        if (typeof id === 'string') expect(id).toMatch(String(part).includes('-') ? /^[0-9a-f]{8}-/ : /^~changeover-/);
      }
    }
    expect(unusedKey({ id: 'a' }, Math.random, () => false)).toBeNull();
  });

  test('is known by its stamp alone', () => {
    const [older, newer] = [plantedStamp(1e12, 'older'), plantedStamp(1e12, 'newer')];
    expect([older, newer].map(isPlanted)).toEqual([true, true]);
    expect(older < newer).toBe(true);
    expect([null, STAMP_MIN, makeStamp(1e12, 0, 1), makeStamp(1e12, 0, 2 ** 31)].map(isPlanted)).toEqual([
      false,
      false,
      false,
      false,
    ]);
  });

  test('is hidden from callers of queries, by its stamp or, in rows without one, by its key', () => {
    const mine = entryOf('ada', 'x', makeStamp(1e12, 0, 7), {});
    expect(isHidden(mine)).toBe(false);
    expect(isHidden({ ...mine, stamp: plantedStamp(1e12, 'older') })).toBe(true);
    expect(isHidden({ ...mine, stamp: null })).toBe(false);
    expect(isHidden(entryOf('~changeover-1', 'x', null, {}))).toBe(true);
  });

  test('leaves the record that it is made after as it was, also where bytes share their memory', () => {
    const bytes = Buffer.from([1, 2, 3, 4]);
    const record = {
      user: 'u',
      id: 'i',
      all: bytes,
      part: bytes.subarray(1, 3),
      list: [bytes],
      n: new Decimal('1.50'),
    };
    const [all, part, list, n] = alterations(record, KEYS.fields);
    expect([...bytes]).toEqual([1, 2, 3, 4]);
    expect(record.list).toEqual([bytes]);
    expect([all, part, list, n]).toEqual([
      { ...record, all: Uint8Array.of(0, 2, 3, 4) },
      { ...record, part: Uint8Array.of(3, 3) },
      { ...record, list: [Uint8Array.of(0, 2, 3, 4)] },
      { ...record, n: new Decimal('1.4') },
    ]);
  });

  test('differs in one field that is not of the key, those first that schemas take most likely', () => {
    const record = { user: 'u', id: 'i', name: 'ab', n: 1, ok: true, none: null, deep: { at: new Date(5_000), x: 2n } };
    expect(alterations(record, KEYS.fields)).toEqual([
      { ...record, ok: false },
      { ...record, n: 0 },
      { ...record, deep: { ...record.deep, x: 1n } },
      { ...record, deep: { ...record.deep, at: new Date(4_000) } },
      { ...record, name: 'a1' },
    ]);
    const other = withOtherTexts({ ...record, mail: 'ada@example.org', text: '' }, KEYS.fields, () => 0.5);
    expect(other).toMatchObject({ user: 'u', id: 'i', n: 1, text: '' });
    expect(other['mail']).not.toBe('ada@example.org');
    expect(String(other['mail'])).toHaveLength('ada@example.org'.length);
  });
});

describe('a part of the records', () => {
  test('one unit is listed on both sides, and nothing else read', async () => {
    const clock = new InstantClock();
    const stores = await filled(clock);
    stores.data.new.load([
      entryOf('user-3', 'r3', stampAgo(clock, 600), { n: -1, ok: true }),
      entryOf('user-4', 'r4', stampAgo(clock, 600), { n: -1, ok: true }),
    ]);
    const scanless = (store: Store): Store =>
      withMethods(store, {
        scan: () => {
          throw new RangeError('scanned');
        },
      });
    const listing = { old: scanless(stores.old), new: scanless(stores.new) };
    const report = await verifyStores({ ...optionsFor(clock, listing), unit: { user: 'user-3' }, pageSize: 3 });
    expect(report).toMatchObject({ verdict: 'divergent', counts: { old: 10, equal: 9, different: 1 }, unit: 'user-3' });
    // A page may be short because the store left out what looked like the unit's.
    const shortened = (store: Store): Store =>
      withMethods(store, { list: (unit, after, limit) => store.list(unit, after, Math.min(limit, 2)) });
    const short = { old: shortened(listing.old), new: shortened(listing.new) };
    const paged = await verifyStores({ ...optionsFor(clock, short), unit: { user: 'user-3' }, pageSize: 3 });
    expect(paged.counts).toEqual(report.counts);
    const clean = await verifyStores({ ...optionsFor(clock, listing), unit: { user: 'user-5' }, pageSize: 10 });
    expect(clean).toMatchObject({ verdict: 'consistent', counts: { old: 10, equal: 10 } });
    const cannot = (store: Store): Store =>
      withMethods(store, { capabilities: { ...store.capabilities, list: false } });
    const scanning = { old: cannot(stores.old), new: stores.new };
    const same = await verifyStores({ ...optionsFor(clock, scanning), unit: { user: 'user-3' } });
    expect(same.counts).toEqual(report.counts);
  });

  test('a sample has the same units on both sides, whole ones, and says what it is', async () => {
    const clock = new InstantClock();
    const stores = await twoStores(clock);
    const entries = Array.from({ length: 4_000 }, (_, i) =>
      entryOf(`user-${i % 1_000}`, i, stampAgo(clock, 600), { n: i }),
    );
    stores.data.old.load(entries);
    stores.data.new.load(entries);
    const report = await verifyStores({ ...optionsFor(clock, stores), sample: 0.25 });
    expect(report).toMatchObject({ verdict: 'consistent', sample: 0.25 });
    expect(report.counts.equal).toBe(report.counts.old);
    expect(report.counts.new).toBe(report.counts.old);
    expect(report.counts.old % 4).toBe(0);
    // 250 of 1,000 units, standard deviation 13.7.
    expect(Math.abs(report.counts.old / 4 - 250)).toBeLessThan(110);
    for (const sample of [0, -1, 1.5, Number.NaN]) {
      await expect(verifyStores({ ...optionsFor(clock, stores), sample })).rejects.toThrow(InvalidArgument);
    }
  });
});
