import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { systemClock } from '../../src/core/clock.ts';
import { Interrupted, StoreFault } from '../../src/core/errors.ts';
import { PLANTED_INCARNATION } from '../../src/core/planted.ts';
import { KeySpec } from '../../src/core/record-key.ts';
import { DEFAULT_SETTINGS } from '../../src/core/settings.ts';
import { makeStamp } from '../../src/core/stamp.ts';
import type { Entry, Store } from '../../src/core/store.ts';
import type { StorePair } from '../../src/core/store-pair.ts';
import { type ReplayOptions, replay } from '../../src/replay/replay.ts';
import { newShares, type ReplayShare } from '../../src/replay/replay-share.ts';
import { Throttle } from '../../src/replay/throttle.ts';
import { onFile, type SqliteFile } from '../adapters/sql-harness.ts';

const RECORDS = 4_000;
const SEED = 20260117;
const KEYS = new KeySpec(['tenant', 'id'], ['tenant']);
const DDL = 'CREATE TABLE things (tenant TEXT NOT NULL, id INTEGER NOT NULL, text TEXT, PRIMARY KEY (tenant, id))';

/** A version of a record, or a tombstone. */
function entryOf(n: number, ms = 1_000, text: string | null = 'x'): Entry {
  const key = { tenant: `t${n % 13}`, id: n };
  return { id: KEYS.id(key), key, stamp: makeStamp(ms, 0, 7), value: text === null ? null : { ...key, text } };
}

interface Side {
  readonly place: SqliteFile;
  readonly store: Store;
}

async function side(): Promise<Side> {
  const place = await onFile(DDL);
  const store = await place.open({}, KEYS);
  await store.prepare();
  return { place, store };
}

const rows = ({ place }: Side) =>
  ['things', 'things_changeover'].map((name) => place.raw().prepare(`SELECT * FROM ${name} ORDER BY 1, 2`).all());

describe('a replay between stores that one database reads', () => {
  let source: Side;
  let target: Side;
  /** As the target, for replays that read. */
  let apart: Side;

  const run = (statement: string, ...sides: readonly Side[]): void => {
    for (const { place } of sides) place.raw().exec(statement);
  };
  async function put(entries: readonly Entry[], ...sides: readonly Side[]): Promise<void> {
    for (const { store } of sides) await store.putManyIfNewer(entries, store.now() + 60_000);
  }
  const shares = async (): Promise<ReplayShare[]> => newShares(await source.store.partitions(5));
  async function copy(to: Store, options: Partial<ReplayOptions> = {}) {
    const its = options.shares ?? (await shares());
    await replay({
      source: source.store,
      target: to,
      shares: its,
      includes: null,
      journal: { checkpoint: async () => ({ yours: true, settings: DEFAULT_SETTINGS }) },
      settings: DEFAULT_SETTINGS,
      clock: systemClock,
      random: Math.random,
      onRejected: async () => {},
      ...options,
    });
    const total = (count: 'scanned' | 'applied' | 'skipped' | 'rejected'): number =>
      its.reduce((sum, share) => sum + share[count], 0);
    return {
      scanned: total('scanned'),
      applied: total('applied'),
      skipped: total('skipped'),
      rejected: total('rejected'),
    };
  }
  /** How many entries a store hands out from now on. */
  function handedOut(store: Store): () => number {
    let seen = 0;
    const scan = store.scan.bind(store);
    vi.spyOn(store, 'scan').mockImplementation(async function* (...given) {
      for await (const page of scan(...given)) {
        seen += page.entries.length;
        yield page;
      }
    });
    return () => seen;
  }

  beforeEach(async () => {
    [source, target, apart] = [await side(), await side(), await side()];
    const all = Array.from({ length: RECORDS }, (_, n) => entryOf(n, 1_000, n % 20 === 7 ? null : 'x'));
    await put(
      all.filter((_, n) => n % 2 === 1),
      source,
    );
    const insert = source.place.raw().prepare('INSERT INTO things VALUES (?, ?, ?)');
    source.place.raw().transaction(() => {
      for (const { key } of all.filter((_, n) => n % 2 === 0)) insert.run(key['tenant'], key['id'], 'x');
    })();
    await copy(target.store);
  });
  afterEach(async () => {
    for (const { place } of [source, target, apart]) await place[Symbol.asyncDispose]();
  });

  test('hands out hardly anything where nothing is to be done, and counts it all', async () => {
    const seen = handedOut(source.store);
    const taken = vi.spyOn(Throttle.prototype, 'take');
    expect(await copy(target.store)).toEqual({ scanned: RECORDS, applied: 0, skipped: RECORDS, rejected: 0 });
    expect(seen()).toBeLessThan(RECORDS * 0.7);
    expect(
      taken.mock.calls.reduce((sum, [count]) => sum + count, 0),
      'what the rate is of',
    ).toBe(RECORDS);
    taken.mockRestore();
  });

  const CHANGES: readonly ((n: number) => void | Promise<void>)[] = [
    (n) => put([entryOf(n, 2_000, 'newer')], source),
    (n) => put([entryOf(n, 2_000, null)], source),
    (n) => put([entryOf(n, 2_000, 'ahead')], target, apart),
    (n) => put([entryOf(n, 2_000, null)], target, apart),
    (n) => put([entryOf(RECORDS + n, 2_000, 'new')], source),
    (n) => put([entryOf(RECORDS + n, 2_000, null)], source),
    (n) => put([entryOf(RECORDS + n, 2_000, 'extra')], target, apart),
    (n) => run(`INSERT OR IGNORE INTO things VALUES ('t1', ${2 * RECORDS + n}, 'plain')`, source),
    (n) => run(`DELETE FROM things WHERE id = ${n}`, source),
    (n) => run(`DELETE FROM things WHERE id = ${n}`, target, apart),
    (n) => run(`DELETE FROM things_changeover WHERE id = ${n}`, source),
    (n) => run(`DELETE FROM things_changeover WHERE id = ${n}`, target, apart),
    (n) => run(`UPDATE things SET text = 'past the repository' WHERE id = ${n}`, source),
  ];

  test('does what it would do by reading, whatever is where', async () => {
    const change = fc.tuple(fc.nat(CHANGES.length - 1), fc.nat(RECORDS - 1));
    const runs = fc.sample(fc.array(change, { minLength: 1, maxLength: 12 }), { numRuns: 6, seed: SEED });
    await copy(apart.store);
    let applied = 0;
    for (const changes of [...runs, CHANGES.map((_, i) => [i, 300 * i + 11] as const)]) {
      for (const [i, n] of changes) await CHANGES[i]?.(n);
      const paired = vi.spyOn(source.store, 'pair');
      const together = await copy(target.store);
      expect(paired).toHaveBeenCalledOnce();
      paired.mockResolvedValue(null);
      expect({ changes, ...(await copy(apart.store)) }).toEqual({ changes, ...together });
      paired.mockRestore();
      expect(rows(target)).toEqual(rows(apart));
      applied += together.applied;
    }
    expect(applied).toBeGreaterThan(10);
  });

  test('leaves out what a verification planted', async () => {
    const planted = Array.from({ length: 13 }, (_, n): Entry => {
      const key = { tenant: `t${n}`, id: 5 * RECORDS };
      return { id: KEYS.id(key), key, stamp: makeStamp(3_000, 0, PLANTED_INCARNATION), value: { ...key, text: 'p' } };
    });
    await put(planted, source, target);
    expect(await copy(target.store)).toEqual({ scanned: RECORDS, applied: 0, skipped: RECORDS, rejected: 0 });
  });

  test('goes on where it was interrupted, and counts everything once', async () => {
    await put([entryOf(RECORDS - 3, 2_000, 'newer')], source);
    const its = await shares();
    for (let tries = 0; ; tries += 1) {
      const abort = new AbortController();
      let moves = 0;
      const onProgress = (): void => {
        moves += 1;
        if (moves === 2) abort.abort();
      };
      // What is durable is what the checkpoints said; here all that was moved over.
      const done = await copy(target.store, { shares: its, onProgress, signal: abort.signal }).catch(
        (error: unknown) => {
          expect(error).toBeInstanceOf(Interrupted);
          return null;
        },
      );
      expect(tries).toBeLessThan(100);
      if (done === null) continue;
      expect(done).toEqual({ scanned: RECORDS, applied: 1, skipped: RECORDS - 1, rejected: 0 });
      expect(tries).toBeGreaterThan(0);
      break;
    }
  });

  test('reads values where they are asked for, and one by one where only a part is replayed', async () => {
    const paired = vi.spyOn(source.store, 'pair');
    const seen = new Set<string>();
    await copy(target.store, { whole: true, onRead: ({ id }) => void seen.add(id) });
    expect(seen.size).toBe(RECORDS);
    const part = await copy(target.store, { includes: ({ key }) => key['tenant'] === 't3' });
    expect(part.skipped).toBe(Math.ceil((RECORDS - 3) / 13));
    expect(paired).not.toHaveBeenCalled();
  });

  test('reads one by one what it fails at', async () => {
    const fault = new StoreFault('it is out of order', { outcome: 'nothing-written' });
    const pairs = source.store.pair?.bind(source.store);
    const paired = vi.spyOn(source.store, 'pair').mockRejectedValueOnce(fault);
    const all = { scanned: RECORDS, applied: 0, skipped: RECORDS, rejected: 0 };
    expect(await copy(target.store)).toEqual(all);
    let asked = 0;
    paired.mockImplementation(async (other) => {
      const pair = (await pairs?.(other)) as StorePair;
      const stamped: StorePair['stamped'] = (...given) => {
        asked += 1;
        return asked % 2 === 0 ? Promise.reject(fault) : pair.stamped(...given);
      };
      return { stamped, close: () => pair.close() };
    });
    expect(await copy(target.store)).toEqual(all);
    expect(asked).toBeGreaterThan(1);
  });

  test('lets go of the files, however it ends', async () => {
    const paired = vi.spyOn(source.store, 'pair');
    await copy(target.store);
    await copy(target.store, { journal: { checkpoint: failing() } }).catch(() => {});
    expect(paired.mock.results.length).toBeGreaterThan(0);
    for (const { value } of paired.mock.results) {
      const pair = (await value) as StorePair;
      await expect(pair.stamped({ id: 'x' }, null, 1)).rejects.toThrow('not open');
    }
  });
});

/** A journal that breaks at its second checkpoint. */
function failing(): ReplayOptions['journal']['checkpoint'] {
  let asked = 0;
  return async () => {
    asked += 1;
    if (asked > 1) throw new Error('the journal is away');
    return { yours: true, settings: DEFAULT_SETTINGS };
  };
}
