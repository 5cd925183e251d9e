import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { localControlPlane } from '../../src/control/control-plane.ts';
import type { ControllerParts } from '../../src/control/controller-parts.ts';
import { memoryStorage } from '../../src/control/memory-storage.ts';
import { postgresPlace } from '../../src/control/postgres-place.ts';
import { MOST_WAITING, ScanDesk } from '../../src/control/scan-desk.ts';
import type { ScanLease } from '../../src/control/scan-row.ts';
import { scanForOthers, shareScans } from '../../src/control/shared-verification.ts';
import { sleep, systemClock } from '../../src/core/clock.ts';
import { StoreFault } from '../../src/core/errors.ts';
import { type Intervals, includes } from '../../src/core/intervals.ts';
import { initialRuleset, Ruleset } from '../../src/core/ruleset.ts';
import type { Side } from '../../src/core/stage.ts';
import type { Store } from '../../src/core/store.ts';
import { type VerifyOptions, verifyStores } from '../../verify/full-scan.ts';
import { plantedStamp } from '../../verify/planted.ts';
import type { VerifyReport } from '../../verify/verify-report.ts';
import { ControlDatabase, schemaIn } from '../support/control-database.ts';
import { freshDatabase, testServer } from '../support/servers.ts';
import { entryOf, KEYS, optionsFor, stampAgo, type TwoStores, twoStores, withMethods } from '../verify/data-set.ts';

const { missing } = testServer('postgres');
const RECORDS = 30_000;
/** Each of more than one chunk. */
const SHARES = 3;
/** Of the scan, and of nothing else. */
const PAGE = 999;
const DOCUMENT = initialRuleset('events');
const MAPPING = 'm'.repeat(32);
const PROCESS = { host: 'h', pid: 1, processId: 'p', version: '1', name: 'helper' };

const saidOf = ({ verdict, counts, divergences, reasons, scanned, proof }: VerifyReport) => ({
  verdict,
  counts,
  divergences: divergences.map(({ ageMs: _, ...line }) => line),
  reasons,
  proof,
  scanned: { old: scanned.old, new: scanned.new },
});

/** Two stores that differ in 3 + 2 + 4 records. */
async function stores(): Promise<TwoStores> {
  const two = await twoStores(systemClock);
  const stamp = stampAgo(systemClock, 600);
  const entry = (i: number, n = i) => entryOf(`user-${i % 90}`, `record-${i}`, stamp, { n });
  const all = Array.from({ length: RECORDS }, (_, i) => i);
  two.data.old.load(all.map((i) => entry(i)));
  two.data.new.load(all.filter((i) => i % 10_000 !== 5).map((i) => entry(i, i % 9_000 === 7 ? -1 : i)));
  two.data.new.load([entry(RECORDS + 1), entry(RECORDS + 2)]);
  return two;
}

describe.skipIf(missing !== undefined)('a shared verification', () => {
  let database: ControlDatabase;
  beforeAll(async () => {
    database = await ControlDatabase.create(await freshDatabase('postgres'));
  });
  afterAll(() => database?.drop());

  async function place() {
    const url = database.newUrl();
    await database.query(`create schema ${schemaIn(url)}`);
    const desk = (): ScanDesk => {
      const made = new ScanDesk(postgresPlace(url));
      onTestFinished(() => made.close());
      return made;
    };
    return { url, desk, schema: schemaIn(url) };
  }

  function partsOf(runner: string, desk: ScanDesk, two: Readonly<Record<Side, Store>>): ControllerParts {
    return {
      plane: localControlPlane(memoryStorage(), systemClock),
      migration: 'events',
      stores: two,
      keys: KEYS,
      rules: {},
      mapping: MAPPING,
      restamp: async () => {},
      probe: () => 'unknown',
      clock: systemClock,
      random: Math.random,
      runner,
      process: PROCESS,
      carrier: null,
      scans: desk,
    };
  }

  /** Stores that give the verifier nothing before the helpers have done what the test wants. */
  const holding = (two: TwoStores, until: Promise<unknown>): Readonly<Record<Side, Store>> => {
    const held = (store: Store): Store =>
      withMethods(store, {
        async *scan(partition, options) {
          // What is looked at before the scan is not what is shared.
          if (options.pageSize === PAGE) await until;
          yield* store.scan(partition, options);
        },
      });
    return { old: held(two.old), new: held(two.new) };
  };

  /** A partition that is free, once there is one. */
  async function taken(desk: ScanDesk, runner: string, but: readonly number[] = []): Promise<ScanLease> {
    for (;;) {
      for (const { id, partitions } of await desk.open(['events'])) {
        for (const partition of partitions) {
          if (!partition.free || partition.failed || but.includes(partition.id)) continue;
          const lease = await desk.take(id, partition.id, runner, PROCESS);
          if (lease !== null) return lease;
        }
      }
      await sleep(systemClock, 10);
    }
  }

  async function shared(
    two: TwoStores,
    help: (place: Place, two: TwoStores) => Promise<void>,
    more: Partial<VerifyOptions> = {},
    positions: Intervals | null = null,
  ) {
    const where = await place();
    const helped = Promise.withResolvers<void>();
    const held = holding(two, helped.promise);
    const desk = where.desk();
    const share = shareScans(partsOf('verifier', desk, held), { positions, document: DOCUMENT });
    const options = {
      ...optionsFor(systemClock, two),
      concurrency: 1,
      partitions: SHARES,
      pageSize: PAGE,
      includes: null,
      ...more,
    };
    const alone = await verifyStores(options);
    const verification = verifyStores({ ...options, ...held, share });
    await Promise.race([help(where, two), verification]);
    helped.resolve();
    const report = await verification;
    expect(await desk.open(['events'])).toEqual([]);
    expect(saidOf(report)).toEqual(saidOf(alone));
    return report;
  }
  type Place = Awaited<ReturnType<typeof place>>;

  const helper = (where: Place, two: Readonly<Record<Side, Store>>, name: string) => {
    const desk = where.desk();
    const parts = partsOf(name, desk, two);
    return { desk, parts, take: (but?: readonly number[]) => taken(desk, name, but) };
  };
  const forever = new AbortController().signal;

  test('says the same as one that is not, of everything and of a part', { timeout: 240_000 }, async () => {
    const help = async (where: Place, two: TwoStores): Promise<void> => {
      const { parts, take } = helper(where, two, 'helper');
      let scanned = 0;
      // The verifier has one of each store's in hand.
      for (let i = 0; i < 2 * (SHARES - 1); i += 1) {
        const outcome = await scanForOthers(parts, await take(), forever);
        expect(outcome.state).toBe('done');
        scanned += outcome.scanned;
      }
      expect(scanned).toBeGreaterThan(RECORDS / 10);
    };
    const whole = await shared(await stores(), help);
    expect(whole.counts).toMatchObject({ old: RECORDS, missing: 3, extra: 2, different: 4 });
    const positions: Intervals = [[0, 60_000]];
    const ruleset = new Ruleset(DOCUMENT);
    const part = { includes: (unit: string) => includes(positions, ruleset.position(unit)), random: () => 0.37 };
    const some = await shared(await stores(), help, { ...part, sample: 0.5 }, positions);
    expect(some.scanned.old.records).toBeLessThan(whole.scanned.old.records / 2);
    expect(some.scanned.old.records).toBeGreaterThan(0);
  });

  test('finds what it planted, and what others left, wherever that is scanned', { timeout: 240_000 }, async () => {
    const two = await stores();
    const left = entryOf('user-1', '~changeover-left', plantedStamp(systemClock.now(), 'older'), { n: 1 });
    for (const side of ['old', 'new'] as const) two.data[side].load([left]);
    const where = await place();
    const helped = Promise.withResolvers<void>();
    const held = holding(two, helped.promise);
    const share = shareScans(partsOf('verifier', where.desk(), held), { positions: null, document: DOCUMENT });
    const options = {
      ...optionsFor(systemClock, two),
      concurrency: 1,
      partitions: SHARES,
      pageSize: PAGE,
      includes: null,
      prove: true,
    };
    const verification = verifyStores({ ...options, ...held, share });
    const { parts, take } = helper(where, two, 'helper');
    for (let i = 0; i < 2 * (SHARES - 1); i += 1) await scanForOthers(parts, await take(), forever);
    helped.resolve();
    expect(await verification).toMatchObject({
      counts: { old: RECORDS, missing: 3, extra: 2, different: 4 },
      proof: { planted: 12, missed: [] },
    });
    for (const side of ['old', 'new'] as const) expect(await two[side].get(left.id, left.key)).toBeUndefined();
  });

  test('counts nothing twice when a helper stands still, is thought dead and comes back', {
    timeout: 240_000,
  }, async () => {
    await shared(await stores(), async (where, two) => {
      const wakes = Promise.withResolvers<void>();
      const slept = Promise.withResolvers<void>();
      const sleepy = withMethods(two.old, {
        async *scan(partition, options) {
          let pages = 0;
          for await (const page of two.old.scan(partition, options)) {
            yield page;
            pages += 1;
            // By then the first chunk is delivered.
            if (pages === 8) {
              slept.resolve();
              await wakes.promise;
            }
          }
        },
      });
      const first = helper(where, { ...two, old: sleepy }, 'first');
      const second = helper(where, two, 'second');
      const lease = await first.take();
      expect(lease.side).toBe('old');
      const sleeping = scanForOthers(first.parts, lease, forever);
      await slept.promise;
      expect(await second.desk.free(lease.id, lease.fence)).toBe(true);
      const again = await second.desk.take(lease.scan, lease.id, 'second', PROCESS);
      expect(again?.cursor).not.toBeNull();
      expect(again?.fence).toBe(lease.fence + 1);
      wakes.resolve();
      expect(await sleeping).toMatchObject({ state: 'lost' });
      const { state, scanned } = await scanForOthers(second.parts, again as ScanLease, forever);
      expect(state).toBe('done');
      expect(scanned).toBeLessThan(RECORDS / SHARES);
    });
  });

  test('goes on by itself with what failed at a helper, and through a cut connection', {
    timeout: 240_000,
  }, async () => {
    await shared(await stores(), async (where, two) => {
      const broken = withMethods(two.old, {
        // biome-ignore lint/correctness/useYield: it never comes to that
        async *scan() {
          throw new TypeError('a codec that does not work here');
        },
      });
      const first = helper(where, { ...two, old: broken }, 'first');
      const lease = await first.take();
      await expect(scanForOthers(first.parts, lease, forever)).rejects.toThrow(TypeError);
      expect(await first.desk.take(lease.scan, lease.id, 'first', PROCESS)).toBeNull();
      // Whoever is told to stop gives back what it has.
      const stop = new AbortController();
      const second = helper(where, two, 'second');
      const given = await second.take([lease.id]);
      stop.abort();
      await expect(scanForOthers(second.parts, given, stop.signal)).rejects.toThrow();
      const third = await second.desk.take(lease.scan, given.id, 'second', PROCESS);
      expect(third).toMatchObject({ id: given.id, fence: given.fence + 1 });
      await database.terminate(where.url);
      // Its answer may be lost with the connection; then it is tried again like any other.
      await scanForOthers(second.parts, third as ScanLease, forever).catch(() => {});
      await second.desk.release(third as ScanLease, false).catch(() => {});
    });
    const two = await stores();
    const dead = withMethods(two.old, {
      // biome-ignore lint/correctness/useYield: it never comes to that
      async *scan() {
        throw new StoreFault('the store is away', { outcome: 'nothing-written' });
      },
    });
    const where = await place();
    const desk = where.desk();
    const parts = partsOf('verifier', desk, { ...two, old: dead });
    const share = shareScans(parts, { positions: null, document: DOCUMENT });
    const options = { ...optionsFor(systemClock, { ...two, old: dead }), share, random: () => 0 };
    await expect(verifyStores(options)).rejects.toThrow('the store is away');
    expect(await desk.open(['events'])).toEqual([]);
  });

  test('keeps what waits within bounds, and gives the verifier again what it knows nothing of', {
    timeout: 240_000,
  }, async () => {
    const { desk: open, schema } = await place();
    const [lead, helping] = [open(), open()];
    const order = {
      seed: [1, 2, 3],
      hashPartitions: 16,
      pageSize: 10,
      sample: null,
      planted: [],
      positions: null,
    } as const;
    expect(await helping.open(['events'])).toEqual([]);
    const id = await lead.begin(
      'events',
      MAPPING,
      PROCESS,
      { ...order, document: DOCUMENT },
      { old: [{ id: 'a' }], new: [{ id: 'b' }] },
    );
    const lease = (await helping.take(id, (await lead.keep(id))?.[1]?.id ?? 0, 'helper', PROCESS)) as ScanLease;
    expect(lease).toMatchObject({ side: 'new', partition: { id: 'b' }, cursor: null });
    const chunk = { data: Buffer.from('chunk'), records: 1, leftovers: [], cursor: 'c', done: false };
    for (let i = 0; i < MOST_WAITING; i += 1) expect(await helping.deliver(lease, chunk)).toBe('taken');
    expect(await helping.deliver(lease, chunk)).toBe('full');
    const [first] = await lead.waiting(id, []);
    expect(first).toMatchObject({ side: 'new', records: 1, data: Buffer.from('chunk') });
    await lead.drop([first?.id as number]);
    await lead.sweep();
    expect(await helping.deliver(lease, { ...chunk, done: true })).toBe('taken');
    expect(await helping.deliver(lease, chunk)).toBe('lost');

    const own = await lead.takeOwn(id, 'old', 'verifier', []);
    expect(await lead.takeOwn(id, 'old', 'verifier', [own?.id as number])).toBeNull();
    expect(await lead.takeOwn(id, 'old', 'verifier', [])).toMatchObject({ id: own?.id, fence: 2 });
    expect(await lead.takeOwn(id, 'old', 'another', [])).toBeNull();
    await lead.end(id);
    expect(await lead.keep(id)).toBeNull();
    expect(await helping.renew(lease)).toBe(false);
    expect(
      await database.query(`select 1 from ${schema}.scan_partitions union all select 1 from ${schema}.scan_chunks`),
    ).toEqual([]);
  });
});
