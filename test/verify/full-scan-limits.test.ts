import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Interrupted, InvalidArgument, InvalidConfiguration, StoreFault } from '../../src/core/errors.ts';
import type { ScanPage, Store } from '../../src/core/store.ts';
import { verifyStores } from '../../verify/full-scan.ts';
import { reportDocument } from '../../verify/reports/report-document.ts';
import { entryOf, optionsFor, stampAgo, type TwoStores, twoStores, withMethods } from './data-set.ts';
import { InstantClock } from './instant-clock.ts';

let spillDirectory: string;
beforeEach(async () => {
  spillDirectory = await mkdtemp(join(tmpdir(), 'changeover-test-'));
});
afterEach(async () => {
  expect(await readdir(spillDirectory), 'files are left behind').toEqual([]);
  await rm(spillDirectory, { recursive: true });
});

const fault = (): StoreFault => new StoreFault('no answer', { outcome: 'unknown' });

async function filled(clock: InstantClock, records: number): Promise<TwoStores> {
  const stores = await twoStores(clock, 500);
  const stamp = stampAgo(clock, 600);
  const entries = Array.from({ length: records }, (_, i) => entryOf(`user-${i % 100}`, i, stamp, { n: i, text: 'x' }));
  stores.data.old.load(entries);
  stores.data.new.load(entries);
  return stores;
}

/** Runs `at` before page number `page` of every scan of a partition. */
function atPage(store: Store, page: number, at: () => void): Store {
  return withMethods(store, {
    async *scan(partition, options): AsyncIterable<ScanPage> {
      let seen = 0;
      for await (const next of store.scan(partition, options)) {
        if (seen === page) at();
        seen += 1;
        yield next;
      }
    },
  });
}

describe('verifyStores', () => {
  test.each([false, true])(
    'reads few large records at once, in the scan and when it looks again (proof: %s)',
    async (prove) => {
      const clock = new InstantClock();
      const stores = await twoStores(clock, 500);
      const text = 'x'.repeat(2_000_000);
      const entries = Array.from({ length: 20 }, (_, i) =>
        entryOf(`user-${i}`, i, stampAgo(clock, 600), { n: i, text }),
      );
      stores.data.old.load(entries);
      stores.data.new.load(
        entries.map(({ key, value }) =>
          entryOf(String(key['user']), Number(key['id']), stampAgo(clock, 600), { ...value, n: -1 }),
        ),
      );
      let most = 0;
      const seen = (count: number): void => {
        most = Math.max(most, count);
      };
      const watched = (store: Store): Store =>
        withMethods(store, {
          async *scan(partition, options): AsyncIterable<ScanPage> {
            for await (const page of store.scan(partition, options)) {
              seen(page.entries.length);
              yield page;
            }
          },
          async getMany(keys, options) {
            seen(keys.length);
            return store.getMany(keys, options);
          },
        });
      const both = { old: watched(stores.old), new: watched(stores.new) };
      const report = await verifyStores({ ...optionsFor(clock, both), spillDirectory, prove });
      expect(report).toMatchObject({ verdict: 'divergent', counts: { old: 20, new: 20, different: 20 } });
      expect(report.proof?.missed ?? []).toEqual([]);
      expect(most).toBe(2);
    },
  );

  test('lists large values of as many records as memory has room for, and types and lengths of others', async () => {
    const clock = new InstantClock();
    const stores = await twoStores(clock, 500);
    const entries = (letter: string) =>
      Array.from({ length: 60 }, (_, i) =>
        entryOf(`user-${i}`, i, stampAgo(clock, 600), { text: letter.repeat(1_000_000 + i) }),
      );
    stores.data.old.load(entries('x'));
    stores.data.new.load(entries('y'));
    const report = await verifyStores({ ...optionsFor(clock, stores), spillDirectory });
    const { divergences, truncated } = report;
    expect([divergences.length, truncated]).toEqual([60, false]);
    const [whole, masked] = [false, true].map((is) =>
      divergences.flatMap(({ fields }) => fields).filter((field) => (field.masked === true) === is),
    );
    expect([whole?.length, masked?.length]).toEqual([17, 43]);
    // Who shows values says of which there are none; who shows none has nothing to tell apart.
    const told = (showValues: boolean): number =>
      reportDocument(report, { showValues }).divergences.filter(({ fields }) => fields[0]?.masked === true).length;
    expect([told(true), told(false)]).toEqual([43, 0]);
    expect(whole?.every(({ old }) => typeof old === 'string' && old.length >= 1_000_000)).toBe(true);
    for (const { path, old, new: fresh } of masked ?? []) {
      expect([path, old, fresh]).toEqual(['text', expect.stringMatching(/^string\(10000\d\d\)$/), old]);
    }
  });

  test('keeps within a small budget by spilling, and by splitting partitions that turn out too large', async () => {
    const clock = new InstantClock();
    const stores = await filled(clock, 20_000);
    const stamp = stampAgo(clock, 600);
    stores.data.new.load(Array.from({ length: 40 }, (_, i) => entryOf(`user-${i % 100}`, i, stamp, { n: -1 })));
    const small = withMethods(stores.old, { estimate: async () => 10 });
    const fresh = withMethods(stores.new, { estimate: async () => null });
    let files = 0;
    const report = await verifyStores({
      ...optionsFor(clock, { old: small, new: fresh }),
      spillDirectory,
      memoryBudgetBytes: 100_000,
      maxDivergences: 1_000,
      onProgress: async () => {
        files = Math.max(files, (await readdir(spillDirectory, { recursive: true })).length);
      },
    });
    expect(report.counts).toEqual({
      old: 20_000,
      new: 20_000,
      equal: 19_960,
      missing: 0,
      extra: 0,
      different: 40,
      stale: 0,
      pending: 0,
    });
    expect(report.scanned.hashPartitions).toBe(16);
    expect(report.scanned.splitPartitions).toBeGreaterThan(5);
    expect(report.scanned.spilledBytes).toBeGreaterThan(1_000_000);
    expect(files).toBeGreaterThan(1);
  });

  test('loads only the partitions that differ', async () => {
    const clock = new InstantClock();
    const stores = await filled(clock, 20_000);
    stores.data.new.load([entryOf('user-1', 1, stampAgo(clock, 600), { n: -1 })]);
    const report = await verifyStores({ ...optionsFor(clock, stores), spillDirectory });
    expect(report.scanned).toMatchObject({ joinedPartitions: 1, candidates: 1, spilledBytes: 0, splitPartitions: 0 });
  });

  test('an abort during the scan ends it and leaves no file', async () => {
    const clock = new InstantClock();
    const stores = await filled(clock, 5_000);
    const controller = new AbortController();
    const old = atPage(stores.old, 8, () => controller.abort());
    const verify = verifyStores({
      ...optionsFor(clock, { ...stores, old }),
      spillDirectory,
      memoryBudgetBytes: 10_000,
      pageSize: 50,
      signal: controller.signal,
    });
    await expect(verify).rejects.toThrow(Interrupted);
  });

  test('a folder that takes no files ends it by name, with what to do', async () => {
    const clock = new InstantClock();
    const stores = await filled(clock, 5_000);
    const spillDirectory = '/dev/null/nowhere';
    const options = { ...optionsFor(clock, stores), spillDirectory, memoryBudgetBytes: 10_000, pageSize: 50 };
    const failure = await verifyStores(options).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(InvalidConfiguration);
    expect(failure).toMatchObject({
      message: expect.stringMatching(/cannot be written to \/dev\/null\/nowhere: ENOTDIR/),
      remedy: expect.stringContaining('TMPDIR'),
    });
  });

  test('an abort while it waits for the next look ends it as well', async () => {
    const clock = new InstantClock();
    const stores = await filled(clock, 5_000);
    stores.data.old.load([entryOf('user-1', 'new', stampAgo(clock, 0), { n: 1 })]);
    const controller = new AbortController();
    clock.after(500, () => controller.abort());
    const verify = verifyStores({
      ...optionsFor(clock, stores),
      spillDirectory,
      memoryBudgetBytes: 10_000,
      recheckMs: [1_000_000],
      signal: controller.signal,
    });
    await expect(verify).rejects.toThrow(Interrupted);
    await expect(verifyStores({ ...optionsFor(clock, stores), signal: AbortSignal.abort() })).rejects.toThrow(
      Interrupted,
    );
  });

  test('a scan goes on after passing faults where it stood', async () => {
    const clock = new InstantClock();
    const stores = await filled(clock, 2_000);
    let faults = 0;
    let pages = 0;
    const fresh = withMethods(stores.new, {
      async *scan(partition, options): AsyncIterable<ScanPage> {
        for await (const page of stores.new.scan(partition, options)) {
          pages += 1;
          if (pages % 3 === 0) {
            faults += 1;
            throw fault();
          }
          yield page;
        }
      },
    });
    const report = await verifyStores({
      ...optionsFor(clock, { ...stores, new: fresh }),
      spillDirectory,
      pageSize: 100,
    });
    expect(report).toMatchObject({ verdict: 'consistent', counts: { equal: 2_000 } });
    expect(report.scanned.new.records).toBe(2_000);
    expect(faults).toBeGreaterThan(3);
  });

  test('a store that stays away ends it with that fault, and the other scan with it', async () => {
    const clock = new InstantClock();
    const stores = await filled(clock, 5_000);
    const away = withMethods(stores.old, {
      // biome-ignore lint/correctness/useYield: it fails before it has anything to give
      async *scan(): AsyncIterable<ScanPage> {
        throw fault();
      },
    });
    const options = { spillDirectory, memoryBudgetBytes: 10_000, pageSize: 50 };
    await expect(verifyStores({ ...optionsFor(clock, { ...stores, old: away }), ...options })).rejects.toThrow(
      StoreFault,
    );
    const mute = withMethods(stores.new, { getMany: async () => Promise.reject(fault()) });
    stores.data.old.load([entryOf('user-1', 'new', stampAgo(clock, 0), { n: 1 })]);
    await expect(verifyStores({ ...optionsFor(clock, { ...stores, new: mute }), ...options })).rejects.toThrow(
      StoreFault,
    );
  });

  test('a scan that fails stops the other one at once', async () => {
    const clock = new InstantClock();
    const stores = await filled(clock, 5_000);
    const broken = atPage(stores.old, 0, () => {
      throw new RangeError('a bug in an adapter');
    });
    let pages = 0;
    const fresh = withMethods(stores.new, {
      async *scan(partition, options): AsyncIterable<ScanPage> {
        for await (const page of stores.new.scan(partition, options)) {
          pages += 1;
          yield page;
        }
      },
    });
    const verify = verifyStores({ ...optionsFor(clock, { old: broken, new: fresh }), spillDirectory, pageSize: 10 });
    await expect(verify).rejects.toThrow(RangeError);
    expect(pages).toBeLessThan(50);
  });

  test('a compare rule that returns a promise is refused, never taken for equal', async () => {
    const clock = new InstantClock();
    const stores = await filled(clock, 100);
    stores.data.new.load([entryOf('user-1', 1, stampAgo(clock, 600), { n: -1 })]);
    const options = { ...optionsFor(clock, stores), spillDirectory };
    for (const custom of [async () => true, () => Promise.resolve(true)]) {
      const rules = { custom: custom as unknown as () => boolean };
      await expect(verifyStores({ ...options, rules })).rejects.toThrow(InvalidConfiguration);
    }
  });

  test('settings that make no sense are refused before anything is read', async () => {
    const clock = new InstantClock();
    const stores = await filled(clock, 0);
    for (const wrong of [
      { concurrency: 0 },
      { partitions: 1.5 },
      { recheckMs: [-1] },
      { ttlMs: Number.POSITIVE_INFINITY },
    ]) {
      await expect(verifyStores({ ...optionsFor(clock, stores), ...wrong })).rejects.toThrow(InvalidArgument);
    }
  });
});
