import { describe, expect, test } from 'vitest';
import { makeStamp } from '../../src/core/stamp.ts';
import type { Entry, ScanOptions, Store } from '../../src/core/store.ts';
import type { ReplayOptions } from '../../src/replay/replay.ts';
import { entryOf, KEYS, Rig } from './rig.ts';

const RECORDS = 4_000;
const LATER = 1_700_000_100_000;

/** Another version of an entry. */
const changed = (n: number): Entry => {
  const { id, key } = entryOf(n);
  return { id, key, stamp: makeStamp(LATER + n, 0, 7), value: { ...key, text: 'changed' } };
};

/** A source that gives no values where none are wanted, and tells how it was read. */
function watched(source: Store) {
  const scans = { whole: 0, stampsOnly: 0 };
  const read: string[] = [];
  const store = new Proxy(source, {
    get(target, name) {
      if (name === 'scan') {
        return async function* (...[partition, options]: [never, ScanOptions]) {
          for await (const page of target.scan(partition, options)) {
            scans[options.stampsOnly === true ? 'stampsOnly' : 'whole'] += page.entries.length;
            const bare = (entry: Entry): Entry => ({ ...entry, value: entry.value && { ...entry.key } });
            yield options.stampsOnly === true ? { ...page, entries: page.entries.map(bare) } : page;
          }
        };
      }
      if (name === 'getMany') {
        return (refs: readonly Entry[]) => {
          read.push(...refs.map(({ id }) => id));
          return target.getMany(refs);
        };
      }
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
  return { store, scans, read };
}

/** The same store with some calls of its own. */
const withCalls = (store: Store, calls: object): Store =>
  new Proxy(store, {
    get(target, name) {
      const value: unknown = Reflect.get(name in calls ? calls : target, name);
      return typeof value === 'function' ? value.bind(name in calls ? calls : target) : value;
    },
  });

async function second(
  prepare: (rig: Rig) => void,
  options: Partial<ReplayOptions> = {},
  targetCalls: (target: Store) => object = () => ({}),
) {
  const rig = await Rig.create({ records: RECORDS, partitions: 2 });
  await rig.clock.runUntil(rig.run());
  prepare(rig);
  for (const share of rig.shares) {
    Object.assign(share, { cursor: null, done: false, scanned: 0, applied: 0, skipped: 0, rejected: 0 });
  }
  const { store, scans, read } = watched(rig.stores.old);
  const target = withCalls(rig.stores.new, targetCalls(rig.stores.new));
  await rig.clock.runUntil(rig.run({ source: store, target, ...options }));
  return { rig, scans, read };
}

describe('a replay whose target has nearly everything', () => {
  test('reads stamps, and values only of what the target lacks', async () => {
    const lacking = [5, 1_000, 2_001, 3_998];
    const { rig, scans, read } = await second(({ databases }) => databases.old.load(lacking.map(changed)));
    expect(rig.databases.new.snapshot()).toStrictEqual(rig.databases.old.snapshot());
    expect([rig.total('scanned'), rig.total('applied')]).toStrictEqual([RECORDS, lacking.length]);
    expect(rig.total('skipped')).toBe(RECORDS - lacking.length);
    expect(scans.stampsOnly, 'after a batch or two').toBeGreaterThan(RECORDS / 2);
    const ids = new Set(lacking.map((n) => KEYS.id(entryOf(n).key)));
    expect(read.length).toBeGreaterThan(0);
    expect(read.filter((id) => !ids.has(id))).toStrictEqual([]);
  });

  test('asks for nothing but stamps where the target can say them alone', async () => {
    const lacking = [7, 2_500];
    const asked: number[] = [];
    const { rig } = await second(
      ({ databases }) => databases.old.load(lacking.map(changed)),
      {},
      (target) => ({
        stamps: async (refs: readonly Entry[]) => {
          asked.push(refs.length);
          return (await target.getMany(refs)).map((entry) => entry?.stamp ?? null);
        },
        getMany: () => Promise.reject(new Error('records were asked for')),
      }),
    );
    expect(rig.databases.new.snapshot()).toStrictEqual(rig.databases.old.snapshot());
    expect([rig.total('applied'), rig.total('skipped')]).toStrictEqual([lacking.length, RECORDS - lacking.length]);
    expect(asked.reduce((sum, count) => sum + count)).toBeGreaterThanOrEqual(RECORDS - lacking.length);
  });

  test('finds what the target never had among what it has, however old that is', async () => {
    const forgotten = Array.from({ length: 40 }, (_, n): Entry => {
      const key = { unit: `u${n % 13}`, id: `${String(n * 97).padStart(7, '0')}-forgotten` };
      return { id: KEYS.id(key), key, stamp: makeStamp(1_600_000_000_000 - n, 0, 7), value: { ...key, text: 'old' } };
    });
    for (const alone of [true, false]) {
      const { rig } = await second(
        ({ databases }) => databases.old.load(forgotten),
        {},
        (target) => ({
          ...(alone && {
            stamps: async (refs: readonly Entry[]) => (await target.getMany(refs)).map((entry) => entry?.stamp ?? null),
          }),
        }),
      );
      expect(rig.databases.new.snapshot()).toStrictEqual(rig.databases.old.snapshot());
      expect([rig.total('applied'), rig.total('skipped')]).toStrictEqual([forgotten.length, RECORDS]);
    }
  });

  test('reads values again where it lacks more than a few', async () => {
    const lacking = Array.from({ length: RECORDS / 2 }, (_, n) => RECORDS / 2 + n);
    const { rig, read } = await second(({ databases }) => databases.old.load(lacking.map(changed)));
    expect(rig.databases.new.snapshot()).toStrictEqual(rig.databases.old.snapshot());
    expect(rig.total('applied')).toBe(lacking.length);
    expect(read.length, 'most came with their page').toBeLessThan(lacking.length);
  });

  test('reads and shows every value where that is asked for', async () => {
    const seen = new Set<string>();
    const onRead = ({ id, key, value }: Entry): void => {
      if (value === null || Object.keys(value).length > Object.keys(key).length) seen.add(id);
    };
    const { scans } = await second(() => {}, { whole: true, onRead });
    expect([scans.whole, scans.stampsOnly, seen.size]).toStrictEqual([RECORDS, 0, RECORDS]);
  });
});
