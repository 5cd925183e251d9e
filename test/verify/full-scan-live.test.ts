import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { sleep } from '../../src/core/clock.ts';
import { makeStamp, STAMP_MIN, StampClock } from '../../src/core/stamp.ts';
import type { ScanPage, Store } from '../../src/core/store.ts';
import { verifyStores } from '../../verify/full-scan.ts';
import { entryOf, optionsFor, stampAgo, type TwoStores, twoStores, withMethods } from './data-set.ts';
import { InstantClock } from './instant-clock.ts';

/** A generator of numbers from a seed (mulberry32), so that a failing run can be repeated. */
function randomOf(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

/** Calls `between` after each page of a scan and before each batch of point reads. */
function disturbed(store: Store, between: (when: 'scan' | 'recheck') => Promise<void>): Store {
  return withMethods(store, {
    async *scan(partition, options): AsyncIterable<ScanPage> {
      for await (const page of store.scan(partition, options)) {
        await between('scan');
        yield page;
      }
    },
    async getMany(keys, options) {
      await between('recheck');
      return store.getMany(keys, options);
    },
  });
}

/** A service that writes to the old store and mirrors to the new one a little later, in any order. */
function writer(clock: InstantClock, stores: TwoStores, seed: number, ids: number): () => Promise<void> {
  const random = randomOf(seed);
  const stamps = new StampClock(clock, 9);
  return async () => {
    for (let i = 0; i < 3; i += 1) {
      const id = random(ids);
      const entry = entryOf(`u${id % 5}`, id, stamps.next(), random(4) === 0 ? null : { n: random(1_000) });
      await stores.old.putIfNewer(entry, clock.now() + 5_000);
      clock.after(random(80), () => void stores.new.putIfNewer(entry, clock.now() + 5_000));
    }
    await sleep(clock, 1);
  };
}

describe('verifyStores beside writers', () => {
  test('takes no write on its way for a divergence, whatever the timing', async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer(), fc.boolean(), async (seed, untilTheEnd) => {
        const clock = new InstantClock();
        const stores = await twoStores(clock, 10);
        const entries = Array.from({ length: 200 }, (_, i) => entryOf(`u${i % 5}`, i, stampAgo(clock, 600), { n: i }));
        stores.data.old.load(entries);
        stores.data.new.load(entries);
        const write = writer(clock, stores, seed, 220);
        const between = async (when: 'scan' | 'recheck'): Promise<void> => {
          if (when === 'scan' || untilTheEnd) await write();
        };
        const report = await verifyStores({
          ...optionsFor(clock, { ...stores, old: disturbed(stores.old, between), new: disturbed(stores.new, between) }),
          pageSize: 9,
          concurrency: 2,
          recheckMs: [30, 60, 120, 240],
        });
        expect(report.divergences).toEqual([]);
        expect(report.verdict).toBe(report.counts.pending > 0 ? 'inconclusive' : 'consistent');
        if (!untilTheEnd) expect(report.verdict).toBe('consistent');
      }),
      { numRuns: 40 },
    );
  });

  test('finds what is wrong among what is on its way, and why', async () => {
    const clock = new InstantClock();
    const stores = await twoStores(clock, 10);
    const stamp = stampAgo(clock, 600);
    const entries = Array.from({ length: 200 }, (_, i) => entryOf(`u${i % 5}`, i, stamp, { n: i }));
    stores.data.old.load([...entries, entryOf('u0', 'lost', stamp, { n: 1 }), entryOf('u0', 'bad', stamp, { n: 1 })]);
    stores.data.new.load([...entries, entryOf('u0', 'orphan', stamp, { n: 1 }), entryOf('u0', 'bad', stamp, { n: 2 })]);
    const write = writer(clock, stores, 42, 200);
    const report = await verifyStores({
      ...optionsFor(clock, { ...stores, old: disturbed(stores.old, write), new: disturbed(stores.new, write) }),
      pageSize: 9,
      recheckMs: [100, 100, 200],
    });
    expect(report.divergences.map(({ key, kind, cause }) => [key['id'], kind, cause])).toEqual([
      ['bad', 'different', 'written outside'],
      ['lost', 'missing', 'lost mirror'],
      ['orphan', 'extra', 'orphan'],
    ]);
  });

  test.each([0, 600_000])('a key that never stands still is pending, though its clock be %i ms slow', async (slow) => {
    const clock = new InstantClock();
    const stores = await twoStores(clock);
    let n = 0;
    const rewrite = async (): Promise<void> => {
      n += 1;
      clock.advance(1);
      stores.data.old.load([entryOf('ada', 1, makeStamp(clock.now() - slow, n, 1), { n })]);
    };
    await rewrite();
    const report = await verifyStores(optionsFor(clock, { ...stores, old: disturbed(stores.old, rewrite) }));
    expect(report).toMatchObject({ verdict: 'inconclusive', counts: { pending: 1, missing: 0 } });
  });

  test('a key that is written all the time agrees as soon as one whole version came over', async () => {
    const clock = new InstantClock();
    const stores = await twoStores(clock);
    let n = 0;
    const versions = [entryOf('ada', 1, stampAgo(clock, 600), { n })];
    stores.data.old.load(versions);
    const rewrite = async (): Promise<void> => {
      n += 1;
      clock.advance(1);
      const entry = entryOf('ada', 1, makeStamp(clock.now(), n, 1), { n });
      versions.push(entry);
      stores.data.old.load([entry]);
      stores.data.new.load([versions.at(-2) ?? entry]); // always one behind
    };
    const report = await verifyStores(optionsFor(clock, { ...stores, old: disturbed(stores.old, rewrite) }));
    expect(report).toMatchObject({ verdict: 'consistent', counts: { old: 1, new: 1, equal: 1, pending: 0 } });
  });

  test.each([
    ['two values of one version are told apart at once', 600, 600, 'different', 0],
    ['two versions from before stamps are told apart after one more look', null, null, 'different', 100],
    ['what may be on its way is divergent only after all looks', 600, null, 'stale', 5_000],
  ] as const)('%s', async (_, lead, follower, kind, waits) => {
    const clock = new InstantClock();
    const stores = await twoStores(clock);
    const load = (side: 'old' | 'new', ago: number | null, n: number): void =>
      stores.data[side].load([entryOf('ada', 1, ago === null ? null : stampAgo(clock, ago), { n })]);
    load('old', lead, 1);
    load('new', follower, 2);
    const report = await verifyStores({ ...optionsFor(clock, stores), recheckMs: [100, 400, 1_500, 3_000] });
    expect(report.divergences).toMatchObject([{ kind }]);
    // On a clock on which nothing else takes time.
    expect(Date.parse(report.finishedAt) - Date.parse(report.startedAt)).toBe(waits);
  });

  test('a version from before stamps that comes over between two looks is no divergence', async () => {
    const clock = new InstantClock();
    const stores = await twoStores(clock);
    stores.data.old.load([entryOf('ada', 1, null, { n: 1 })]);
    stores.data.new.load([entryOf('ada', 1, null, { n: 2 })]);
    clock.after(5, () => stores.data.new.load([entryOf('ada', 1, STAMP_MIN, { n: 1 })]));
    expect(await verifyStores(optionsFor(clock, stores))).toMatchObject({
      verdict: 'consistent',
      counts: { equal: 1 },
    });
  });

  test('a late mirror within the generations is no divergence, one that outlives them is', async () => {
    for (const [arrivesAfter, verdict] of [
      [25, 'consistent'],
      [10_000, 'divergent'],
    ] as const) {
      const clock = new InstantClock();
      const stores = await twoStores(clock);
      const entry = entryOf('ada', 1, stampAgo(clock, 0), { n: 1 });
      stores.data.old.load([entry]);
      clock.after(arrivesAfter, () => stores.data.new.load([entry]));
      const report = await verifyStores({ ...optionsFor(clock, stores), recheckMs: [10, 20] });
      expect(report.verdict).toBe(verdict);
      if (verdict === 'divergent') expect(report.divergences[0]?.cause).toBe('in flight for too long');
    }
  });

  test('a writer whose clock is slow makes no divergence of what is on its way', async () => {
    const clock = new InstantClock();
    const stores = await twoStores(clock);
    const late = entryOf('ada', 1, stampAgo(clock, 600), { n: 1 });
    stores.data.old.load([late]);
    clock.after(25, () => stores.data.new.load([late]));
    const report = await verifyStores({ ...optionsFor(clock, stores), recheckMs: [10, 20] });
    expect(report).toMatchObject({ verdict: 'consistent', counts: { equal: 1 } });
  });

  test('a version that a scan overtook does not hide that the follower still has it', async () => {
    const clock = new InstantClock();
    const stores = await twoStores(clock);
    const before = entryOf('ada', 1, stampAgo(clock, 700), { n: 1 });
    const after = entryOf('ada', 1, stampAgo(clock, 600), { n: 2 });
    stores.data.old.load([after]);
    stores.data.new.load([before]);
    for (const seen of [
      [before, after],
      [after, before],
    ]) {
      const old = withMethods(stores.old, {
        async *scan(): AsyncIterable<ScanPage> {
          yield { entries: seen, cursor: 'end' };
        },
      });
      const report = await verifyStores({ ...optionsFor(clock, { ...stores, old }), partitions: 1 });
      expect(report).toMatchObject({ verdict: 'divergent', counts: { old: 1, new: 1, stale: 1 } });
    }
  });

  test('what is younger than told is pending even if it never changed', async () => {
    const clock = new InstantClock();
    const stores = await twoStores(clock);
    stores.data.old.load([entryOf('ada', 1, stampAgo(clock, 1), { n: 1 })]);
    const options = optionsFor(clock, stores);
    expect((await verifyStores({ ...options, youngMs: 5_000 })).verdict).toBe('inconclusive');
    expect((await verifyStores({ ...options, youngMs: 500 })).verdict).toBe('divergent');
  });

  test('keys that a fuzzy scan shows twice corrupt neither counts nor verdict', async () => {
    const clock = new InstantClock();
    const stores = await twoStores(clock);
    const at = (ago: number, n: number) =>
      Array.from({ length: 60 }, (_, i) => entryOf('ada', i, stampAgo(clock, ago), { n }));
    stores.data.old.load(at(600, 2));
    stores.data.new.load(at(600, 2));
    for (const again of [at(700, 1), at(600, 2), at(600, 1)]) {
      const old = withMethods(stores.old, {
        async *scan(partition, options): AsyncIterable<ScanPage> {
          for await (const page of stores.old.scan(partition, options)) {
            yield { entries: [...page.entries, ...again.slice(0, 20)], cursor: page.cursor };
          }
          yield { entries: again, cursor: 'end' };
        },
      });
      const report = await verifyStores({ ...optionsFor(clock, { ...stores, old }), partitions: 1 });
      expect(report).toMatchObject({ verdict: 'consistent', counts: { old: 60, new: 60, equal: 60 } });
    }
  });
});
