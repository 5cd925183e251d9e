import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { makeStamp } from '../../src/core/stamp.ts';
import type { Entry, ScanPage, Store } from '../../src/core/store.ts';
import type { StoredRecord } from '../../src/core/value.ts';
import type { DivergenceCause } from '../../verify/divergence.ts';
import { verifyStores } from '../../verify/full-scan.ts';
import { entryOf, KEYS, optionsFor, stampAgo, twoStores, withMethods } from './data-set.ts';
import { InstantClock } from './instant-clock.ts';

type Side = {
  readonly state: 'absent' | 'tombstone' | 'record';
  readonly secondsAgo: number | null;
  readonly n: number;
};
type Pair = { readonly old: Side; readonly new: Side };

const side: fc.Arbitrary<Side> = fc.oneof(
  { weight: 1, arbitrary: fc.constant({ state: 'absent' as const, secondsAgo: null, n: 0 }) },
  {
    weight: 1,
    arbitrary: fc.record({
      state: fc.constant('tombstone' as const),
      secondsAgo: fc.constantFrom(900, 800, 700),
      n: fc.constant(0),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      state: fc.constant('record' as const),
      secondsAgo: fc.constantFrom(null, 900, 800, 700),
      n: fc.constantFrom(1, 2),
    }),
  },
);
const pair: fc.Arbitrary<Pair> = fc.oneof(
  { weight: 3, arbitrary: side.map((both) => ({ old: both, new: both })) },
  { weight: 2, arbitrary: fc.record({ old: side, new: side }) },
);

const leads = (unit: string): 'old' | 'new' => (unit.endsWith('3') || unit.endsWith('7') ? 'new' : 'old');
const verified = (unit: string): boolean => !unit.endsWith('5');

/** What a reader of all entries would say, one key after the other. */
function oracle(pairs: readonly Pair[]): Record<string, number> {
  const counts = { old: 0, new: 0, equal: 0, missing: 0, extra: 0, different: 0, stale: 0, pending: 0 };
  for (const [i, { old, new: fresh }] of pairs.entries()) {
    const unit = userOf(i);
    if (!verified(unit)) continue;
    const [lead, follower] = leads(unit) === 'old' ? [old, fresh] : [fresh, old];
    if (old.state === 'record') counts.old += 1;
    if (fresh.state === 'record') counts.new += 1;
    if (lead.state !== 'record' && follower.state !== 'record') continue;
    if (follower.state !== 'record') counts.missing += 1;
    else if (lead.state !== 'record') counts.extra += 1;
    else if (lead.n === follower.n) counts.equal += 1;
    else if ((follower.secondsAgo ?? 1e9) > (lead.secondsAgo ?? 1e9)) counts.stale += 1;
    else counts.different += 1;
  }
  return counts;
}

const userOf = (i: number): string => `user-${i % 10}`;

function entry(clock: InstantClock, i: number, { state, secondsAgo, n }: Side): Entry | null {
  if (state === 'absent') return null;
  const stamp = secondsAgo === null ? null : stampAgo(clock, secondsAgo);
  return entryOf(userOf(i), i, stamp, state === 'record' ? { n } : null);
}

describe('verifyStores', () => {
  test('says of any two stores what a reader of every entry would say', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(pair, { maxLength: 200, size: 'max' }),
        fc.record({
          memoryBudgetBytes: fc.constantFrom(1, 20_000, 1_000_000),
          pageSize: fc.integer({ min: 1, max: 50 }),
          partitions: fc.integer({ min: 1, max: 5 }),
          concurrency: fc.integer({ min: 1, max: 4 }),
          recheckMs: fc.constantFrom([], [5], [5, 10, 20]),
        }),
        async (pairs, settings) => {
          const clock = new InstantClock();
          const stores = await twoStores(clock, 7);
          for (const name of ['old', 'new'] as const) {
            stores.data[name].load(pairs.map((both, i) => entry(clock, i, both[name])).filter((e) => e !== null));
          }
          const options = { ...optionsFor(clock, stores), ...settings, authority: leads, includes: verified };
          const report = await verifyStores({ ...options, maxDivergences: 1_000 });
          const expected = oracle(pairs);
          expect(report.counts).toEqual(expected);
          const { missing = 0, extra = 0, different = 0, stale = 0 } = expected;
          const wrong = missing + extra + different + stale;
          expect(report.verdict).toBe(wrong === 0 ? 'consistent' : 'divergent');
          expect(report.divergences).toHaveLength(wrong);
          expect(report.truncated).toBe(false);
        },
      ),
      { numRuns: 150 },
    );
  });

  test('an authority and its healthy follower are consistent, and the report says what was proven and until when', async () => {
    const clock = new InstantClock();
    const stores = await twoStores(clock);
    const entries = Array.from({ length: 500 }, (_, i) => entryOf(userOf(i), i, stampAgo(clock, 60), { n: i }));
    stores.data.old.load(entries);
    stores.data.new.load(entries);
    const progress: string[] = [];
    const report = await verifyStores({
      ...optionsFor(clock, stores),
      onProgress: ({ phase }) => progress.push(phase),
    });
    expect(report).toMatchObject({
      migration: 'events',
      verdict: 'consistent',
      counts: { old: 500, new: 500, equal: 500, pending: 0 },
      divergences: [],
      reasons: [],
      revision: 7,
      mappingHash: 'abc',
    });
    expect(Date.parse(report.expiresAt) - Date.parse(report.finishedAt)).toBe(60_000);
    expect(new Set(progress)).toEqual(new Set(['scan', 'compare']));
    expect(report.scanned.candidates).toBe(0);
  });

  test('of a record with an ordinary key it keeps some forty bytes a side', async () => {
    const clock = new InstantClock();
    const stores = await twoStores(clock);
    const stamp = stampAgo(clock, 60);
    const entries = Array.from({ length: 200 }, (_, i) => entryOf(userOf(i), i, stamp, { text: 'x'.repeat(500) }));
    for (const side of ['old', 'new'] as const) stores.data[side].load(entries);
    const { scanned } = await verifyStores(optionsFor(clock, stores));
    for (const { records, bytes } of [scanned.old, scanned.new]) {
      expect(records).toBe(200);
      expect(bytes / records).toBeGreaterThan(30);
      expect(bytes / records).toBeLessThan(60);
    }
  });

  test('scans as many shares of a store at once as it is told, and no more than the store takes', async () => {
    const clock = new InstantClock();
    const stores = await twoStores(clock);
    const most = { old: 0, new: 0 };
    const watched = (side: 'old' | 'new'): Partial<Store> => {
      let running = 0;
      return {
        async *scan(partition, options): AsyncIterable<ScanPage> {
          running += 1;
          most[side] = Math.max(most[side], running);
          try {
            // Others that do not wait for this one begin meanwhile.
            await new Promise((resolve) => setImmediate(resolve));
            yield* stores[side].scan(partition, options);
          } finally {
            running -= 1;
          }
        },
      };
    };
    const capabilities = { ...stores.new.capabilities, scans: 2 };
    const both = {
      old: withMethods(stores.old, watched('old')),
      new: withMethods(stores.new, { ...watched('new'), capabilities }),
    };
    await verifyStores({ ...optionsFor(clock, both), concurrency: 3, partitions: 8 });
    expect(most).toEqual({ old: 3, new: 2 });
  });

  test('a divergence comes with its key, cause, age, stamps and fields', async () => {
    const clock = new InstantClock();
    const stores = await twoStores(clock);
    const stamp = stampAgo(clock, 600);
    stores.data.old.load([entryOf('ada', 1, stamp, { payload: { n: 1 } })]);
    stores.data.new.load([entryOf('ada', 1, stamp, { payload: { n: 1 }, hello: 'joe' })]);
    const report = await verifyStores(optionsFor(clock, stores));
    expect(report.divergences).toEqual([
      {
        key: { user: 'ada', id: 1 },
        kind: 'different',
        cause: 'written outside',
        fields: [{ path: 'hello', old: undefined, new: 'joe' }],
        ageMs: 600_000,
        stamps: { old: stamp, new: stamp },
      },
    ]);
  });

  test('two values of one version come of the codec where it loses something of them, and from outside elsewhere', async () => {
    const clock = new InstantClock();
    const stores = await twoStores(clock);
    const stamp = stampAgo(clock, 600);
    const cases: readonly (readonly [user: string, field: string, cause: DivergenceCause])[] = [
      ['ada', 'lostByNew', 'lossy codec'],
      ['ada', 'lostByOld', 'written outside'],
      ['ada', 'refusedByNew', 'lossy codec'],
      ['ada', 'thrownByNew', 'lossy codec'],
      ['bob', 'lostByNew', 'written outside'],
      ['bob', 'lostByOld', 'lossy codec'],
    ];
    for (const [user, field] of cases) {
      const [lead, follower] = user === 'ada' ? (['old', 'new'] as const) : (['new', 'old'] as const);
      stores.data[lead].load([entryOf(user, field, stamp, { n: 1, [field]: 'x' })]);
      stores.data[follower].load([entryOf(user, field, stamp, { n: 1 })]);
    }
    const losing = (store: Store, side: 'New' | 'Old'): Store =>
      withMethods(store, {
        roundTrip: (entry) => {
          const { [`lostBy${side}`]: _, ...value } = entry.value ?? {};
          if (value[`thrownBy${side}`] !== undefined) throw new TypeError('not a value of mine');
          if (value[`refusedBy${side}`] === undefined) return { kind: 'held', value };
          return { kind: 'rejected', reason: 'limit', message: 'it is too large' };
        },
      });
    const { divergences } = await verifyStores({
      ...optionsFor(clock, { old: losing(stores.old, 'Old'), new: losing(stores.new, 'New') }),
      authority: (unit) => (unit === 'ada' ? 'old' : 'new'),
    });
    expect(divergences.map(({ key, cause }) => [key['user'], key['id'], cause])).toEqual(cases);
  });

  test.each([-1, 1])(
    'an age is by the clock of the store that leads, not by one that is %i hours off',
    async (hours) => {
      const clock = new InstantClock();
      const stores = await twoStores(clock);
      for (const side of ['old', 'new'] as const) stores.data[side].skewMs = hours * 3_600_000;
      const written = makeStamp(stores.data.old.now() - 20_000, 0, 1);
      stores.data.old.load([entryOf('ada', 1, written, { n: 2 })]);
      const report = await verifyStores(optionsFor(clock, stores));
      // Twenty seconds are too short to say that its mirror was lost.
      expect(report.divergences).toMatchObject([{ kind: 'missing', cause: 'in flight for too long' }]);
      expect(report.divergences[0]?.ageMs).toBeGreaterThanOrEqual(20_000);
      expect(report.divergences[0]?.ageMs).toBeLessThan(60_000);
    },
  );

  test('dirt and skipped ranges make a clean result inconclusive and leave a divergent one divergent', async () => {
    const clock = new InstantClock();
    const stores = await twoStores(clock);
    const options = optionsFor(clock, stores);
    for (const extra of [
      { dirty: { ranges: 2, rejected: 0 } },
      { dirty: { ranges: 0, rejected: 1 } },
      { skipped: ['bucket 5 to 9'] },
    ]) {
      const report = await verifyStores({ ...options, ...extra });
      expect(report.verdict).toBe('inconclusive');
      expect(report.reasons).toHaveLength(1);
    }
    stores.data.old.load([entryOf('ada', 1, stampAgo(clock, 600), { n: 1 })]);
    expect((await verifyStores({ ...options, skipped: ['x'] })).verdict).toBe('divergent');
  });

  test('values that differ within the rules are equal', async () => {
    const clock = new InstantClock();
    const stores = await twoStores(clock);
    const stamp = stampAgo(clock, 600);
    const load = (name: 'old' | 'new', fields: (i: number) => StoredRecord): void =>
      stores.data[name].load(Array.from({ length: 50 }, (_, i) => entryOf('ada', i, stamp, fields(i))));
    load('old', (i) => ({ at: 1, price: i, name: 'ada' }));
    load('new', (i) => ({ at: 2, price: i + 0.001, name: 'ADA' }));
    const custom = (a: unknown, b: unknown): boolean => String(nameOf(a)).toUpperCase() === nameOf(b);
    const rules = { ignore: ['at', 'name'], numericTolerance: { price: 0.01 } };
    const options = optionsFor(clock, stores);
    expect((await verifyStores({ ...options, rules })).counts).toMatchObject({ equal: 50, different: 0 });
    expect((await verifyStores({ ...options, rules: { custom } })).counts).toMatchObject({ equal: 50, different: 0 });
    expect((await verifyStores({ ...options, rules: { ignore: ['name'] } })).counts).toMatchObject({ different: 50 });
    // Ignored in one scan means no second look at all.
    load('new', (i) => ({ at: 2, price: i, name: 'ADA' }));
    expect((await verifyStores({ ...options, rules })).scanned.candidates).toBe(0);
  });

  test('what is known of a key is its cause, and only so many divergences are listed', async () => {
    const clock = new InstantClock();
    const stores = await twoStores(clock);
    stores.data.old.load(Array.from({ length: 30 }, (_, i) => entryOf('ada', i, stampAgo(clock, 600), { n: i })));
    const rejected = KEYS.id({ user: 'ada', id: 0 });
    const report = await verifyStores({
      ...optionsFor(clock, stores),
      maxDivergences: 30,
      knownDirt: (unit, id) => (unit === 'ada' && id === rejected ? 'rejected' : undefined),
    });
    expect(report.divergences.filter(({ cause }) => cause === 'rejected').map(({ key }) => key['id'])).toEqual([0]);
    const short = await verifyStores({ ...optionsFor(clock, stores), maxDivergences: 10 });
    expect(short).toMatchObject({ truncated: true, counts: { missing: 30 } });
    expect(short.divergences).toHaveLength(10);
  });
});

const nameOf = (record: unknown): unknown => (record as { readonly name?: unknown }).name;
