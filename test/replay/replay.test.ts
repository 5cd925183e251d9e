import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { FaultPlan } from '../../adapters/memory/fault.ts';
import { sleep } from '../../src/core/clock.ts';
import { Interrupted } from '../../src/core/errors.ts';
import { SeededRandom } from '../simulation/random.ts';
import { Rig } from './rig.ts';

const ended = (promise: Promise<void>): Promise<unknown> =>
  promise.then(
    () => 'done',
    (error: unknown) => error,
  );

describe('a replay', () => {
  test('reads on while it puts, with several puts in flight', async () => {
    let putting = 0;
    let most = 0;
    let readMeanwhile = 0;
    const rig = await Rig.create({
      records: 4_000,
      partitions: 1,
      faults: ({ op, side }) => {
        if (op === 'scan' && putting > 0) readMeanwhile += 1;
        if (op !== 'putManyIfNewer' || side !== 'new') return undefined;
        putting += 1;
        most = Math.max(most, putting);
        rig.clock.after(20, () => {
          putting -= 1;
        });
        return { kind: 'slow', answerMs: 20 };
      },
    });
    await rig.clock.runUntil(rig.run());
    expect(rig.databases.new.snapshot()).toStrictEqual(rig.databases.old.snapshot());
    expect(most).toBeGreaterThanOrEqual(3);
    expect(readMeanwhile).toBeGreaterThan(3);
    expect([rig.total('scanned'), rig.total('applied')]).toStrictEqual([4_000, 4_000]);
  });

  test('that fails ends when none of its puts is under way any more', async () => {
    const rig = await Rig.create({ records: 3_000, partitions: 1, settings: { replayConcurrency: 200 } });
    const { clock, stores } = rig;
    const put = stores.new.putManyIfNewer.bind(stores.new);
    let [sent, underWay, others] = [0, 0, 0];
    stores.new.putManyIfNewer = async (entries, deadline) => {
      sent += 1;
      underWay += 1;
      const broken = sent === 5;
      try {
        await sleep(clock, broken ? 20 : 200);
        if (broken) others = underWay - 1;
        if (broken) throw new TypeError('not a fault of a store');
        return await put(entries, deadline);
      } finally {
        underWay -= 1;
      }
    };
    let left: number | null = null;
    const end = ended(rig.run()).then((how) => {
      left = underWay;
      return how;
    });
    expect(await clock.runUntil(end)).toBeInstanceOf(TypeError);
    expect(others).toBeGreaterThan(0);
    expect(left).toBe(0);
  });

  test('fills its window from one partition too, though the source is far away', async () => {
    let open = 0;
    let most = 0;
    const rig = await Rig.create({
      records: 2_000,
      partitions: 1,
      settings: { replayConcurrency: 200 },
      faults: () => ({ kind: 'slow', requestMs: 50, answerMs: 50 }),
    });
    const { clock, stores } = rig;
    const put = stores.new.putManyIfNewer.bind(stores.new);
    stores.new.putManyIfNewer = async (entries, deadline) => {
      open += entries.length;
      most = Math.max(most, open);
      try {
        return await put(entries, deadline);
      } finally {
        open -= entries.length;
      }
    };
    const begun = clock.monotonic();
    await clock.runUntil(rig.run());
    expect(most).toBe(200);
    // Ten windows of 100 ms, each read while the one before is put; batch by batch it would be forty.
    expect(clock.monotonic() - begun).toBeLessThan(2_500);
    expect(rig.databases.new.snapshot()).toStrictEqual(rig.databases.old.snapshot());
  });

  test('does not move a cursor past a page that is not definite, however far later ones are', async () => {
    let first: string | undefined;
    const rig = await Rig.create({
      records: 3_000,
      partitions: 1,
      faults: ({ op, side, ids }) => {
        if (op !== 'putManyIfNewer' || side !== 'new') return undefined;
        first ??= ids[0];
        return ids[0] === first ? { kind: 'slow', answerMs: 3_000 } : { kind: 'slow', answerMs: 1 };
      },
    });
    const run = rig.run();
    await rig.clock.advance(2_900);
    expect(rig.databases.new.snapshot().length, 'later pages are there').toBeGreaterThan(100);
    expect(rig.checkpointsAt.length).toBeGreaterThan(4);
    expect(rig.durable[0]).toMatchObject({ cursor: null, scanned: 0, done: false });
    await rig.clock.runUntil(run);
    expect(rig.durable[0]).toMatchObject({ done: true, scanned: 3_000, applied: 3_000 });
  });

  test('leaves nothing out and counts everything once, whatever fails and wherever it is interrupted', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.nat(),
        fc.integer({ min: 1, max: 400 }),
        fc.integer({ min: 1, max: 5 }),
        async (seed, records, partitions) => {
          const random = new SeededRandom(seed);
          const faults: FaultPlan = ({ op }) => {
            const [requestMs, answerMs] = [random.int(0, 30), random.int(0, 30)];
            if (random.chance(0.06)) return { kind: 'fail', requestMs, answerMs, pressure: random.chance(0.3) };
            if (op === 'putManyIfNewer' && random.chance(0.06)) return { kind: 'lose-answer', requestMs, answerMs };
            if (op === 'putManyIfNewer' && random.chance(0.04)) return { kind: 'lose-request', requestMs, answerMs };
            if (op === 'putManyIfNewer' && random.chance(0.04))
              return { kind: 'late', lateMs: random.int(0, 6_000), caller: 'unknown', answerMs };
            return { kind: 'slow', requestMs, answerMs };
          };
          const rig = await Rig.create({ records, partitions, faults, settings: { replayConcurrency: 40 } });
          let runs = 0;
          for (;;) {
            runs += 1;
            // What a crash leaves is what was made durable, nothing else.
            for (const share of rig.shares) Object.assign(share, rig.durable[share.id]);
            const stop = new AbortController();
            rig.crashed = false;
            const end = (): void => {
              rig.crashed = random.chance(0.7);
              stop.abort(new Error('the end'));
            };
            if (runs < 8) rig.clock.after(random.int(1, 400), end, true);
            const outcome = ended(rig.run({ signal: stop.signal, random: random.next, checkpointMs: 20 }));
            const result = await rig.clock.runUntil(outcome);
            if (result === 'done') break;
            expect(result).toBeInstanceOf(Interrupted);
          }
          expect(rig.databases.new.snapshot()).toStrictEqual(rig.databases.old.snapshot());
          expect(rig.total('scanned')).toBe(records);
          expect(rig.total('applied') + rig.total('skipped')).toBe(records);
        },
      ),
      { numRuns: 60 },
    );
  });

  test('makes checkpoints twice a second, though a page takes long or the rate is low', async () => {
    const rig = await Rig.create({
      records: 100,
      partitions: 1,
      settings: { replayRate: 1 },
      faults: ({ op }) => (op === 'putManyIfNewer' ? { kind: 'slow', answerMs: 4_000 } : undefined),
    });
    const stop = new AbortController();
    const run = ended(rig.run({ signal: stop.signal }));
    await rig.clock.advance(20_000);
    const gaps = rig.checkpointsAt.slice(1).map((at, i) => at - (rig.checkpointsAt[i] as number));
    expect(Math.max(...gaps)).toBeLessThanOrEqual(500);
    stop.abort(new Error('enough'));
    await rig.clock.runUntil(run);
  });

  test('obeys a changed rate, and a pause, within a second', async () => {
    const rig = await Rig.create({ records: 60_000, settings: { replayRate: 100 } });
    const stop = new AbortController();
    const run = ended(rig.run({ signal: stop.signal }));
    const during = async (ms: number): Promise<number> => {
      const before = rig.total('scanned');
      await rig.clock.advance(ms);
      return rig.total('scanned') - before;
    };
    await rig.clock.advance(2_000);
    expect(await during(5_000)).toBeLessThanOrEqual(550);
    rig.change({ replayRate: 2_000 });
    await rig.clock.advance(1_000);
    const faster = await during(5_000);
    expect(faster).toBeGreaterThan(8_000);
    expect(faster).toBeLessThanOrEqual(10_500);
    rig.receipt = { ...rig.receipt, paused: true };
    await rig.clock.advance(1_000);
    expect(await during(10_000)).toBe(0);
    rig.receipt = { ...rig.receipt, paused: false };
    await rig.clock.advance(1_000);
    expect(await during(5_000)).toBeGreaterThan(8_000);
    stop.abort(new Error('enough'));
    await rig.clock.runUntil(run);
  });

  test('puts as many at once as a changed setting allows, and no more', async () => {
    const rig = await Rig.create({
      records: 20_000,
      settings: { replayConcurrency: 40 },
      faults: ({ op }) => (op === 'putManyIfNewer' ? { kind: 'slow', answerMs: 50 } : undefined),
    });
    const { clock, stores } = rig;
    const put = stores.new.putManyIfNewer.bind(stores.new);
    let [open, most] = [0, 0];
    stores.new.putManyIfNewer = async (entries, deadline) => {
      open += entries.length;
      most = Math.max(most, open);
      return put(entries, deadline).finally(() => {
        open -= entries.length;
      });
    };
    const stop = new AbortController();
    const run = ended(rig.run({ signal: stop.signal }));
    const during = async (ms: number): Promise<number> => {
      most = 0;
      await clock.advance(ms);
      return most;
    };
    expect(await during(2_000)).toBe(40);
    rig.change({ replayConcurrency: 12 });
    await during(500);
    expect(await during(2_000)).toBe(12);
    rig.change({ replayConcurrency: 100 });
    await during(1_000);
    const more = await during(2_000);
    expect(more).toBeGreaterThan(60);
    expect(more).toBeLessThanOrEqual(100);
    stop.abort(new Error('enough'));
    await clock.runUntil(run);
  });

  test('gives way while the calls of the services are slow, and comes back after', async () => {
    const rig = await Rig.create({
      records: 16_000,
      settings: { replayTrafficBudgetMs: 50, replayConcurrency: 20 },
      faults: ({ op }) => (op === 'putManyIfNewer' ? { kind: 'slow', answerMs: 50 } : undefined),
    });
    const stop = new AbortController();
    const run = ended(rig.run({ signal: stop.signal }));
    await rig.clock.advance(6_000);
    const before = rig.total('scanned') / 6;
    rig.receipt = { ...rig.receipt, trafficMs: 80 };
    await rig.clock.advance(8_000);
    const eased = rig.total('scanned');
    await rig.clock.advance(2_000);
    expect((rig.total('scanned') - eased) / 2).toBeLessThan(before / 4);
    rig.receipt = { ...rig.receipt, trafficMs: 20 };
    await rig.clock.advance(120_000);
    stop.abort(new Error('enough'));
    await rig.clock.runUntil(run);
    expect(rig.total('scanned')).toBeGreaterThan(before * 30);
  });

  test.each([
    ['a target that fails', { kind: 'fail' }, 'new', /^the database refused the request; at most \d+ at once$/],
    [
      'a target that is slow',
      { kind: 'slow', answerMs: 1_500 },
      'new',
      /^memory .+ takes 1500 ms a batch; at most \d+ at once$/,
    ],
    ['a source that fails', { kind: 'fail' }, 'old', /^the database refused the request$/],
    [
      'a target that refuses puts for its load',
      { kind: 'fail', pressure: true },
      'new',
      /^memory rig new asks for less load; at most \d+ a second$/,
    ],
    [
      'a target that takes puts under load',
      'pressure',
      'new',
      /^memory rig new asks for less load; at most \d+ a second$/,
    ],
    [
      'a source that is read under load',
      'pressure',
      'old',
      /^memory rig old asks for less load; at most \d+ a second$/,
    ],
  ] as const)('says what it goes slower for: %s', async (_name, fault, side, said) => {
    let ill = false;
    let pressure = 0;
    const op = side === 'new' ? 'putManyIfNewer' : 'scan';
    const rig = await Rig.create({
      records: 30_000,
      settings: { replayConcurrency: 20 },
      faults: (call) => {
        if (call.op !== op) return undefined;
        if (ill && fault === 'pressure') pressure += 1;
        return ill && fault !== 'pressure' ? fault : { kind: 'slow', answerMs: 50 };
      },
    });
    Object.defineProperty(rig.stores[side], 'pressure', { get: () => pressure });
    const stop = new AbortController();
    const run = ended(rig.run({ signal: stop.signal }));
    await rig.clock.advance(5_000);
    expect(rig.eased).toBeNull();
    ill = true;
    await rig.clock.advance(5_000);
    expect(rig.eased).toMatch(said);
    ill = false;
    await rig.clock.advance(35_000);
    expect(rig.eased).toBeNull();
    stop.abort(new Error('enough'));
    await rig.clock.runUntil(run);
  });

  test('gives way while a replica of the target is late, says so, and comes back after', async () => {
    const rig = await Rig.create({
      records: 32_000,
      settings: { replayLagBudgetMs: 10_000, replayConcurrency: 20 },
      faults: ({ op }) => (op === 'putManyIfNewer' ? { kind: 'slow', answerMs: 50 } : undefined),
    });
    let lag: number | null = 9_000;
    let asked = 0;
    const replicaLag = async (): Promise<number | null> => {
      asked += 1;
      // A server that does not answer stops nothing.
      if (asked % 7 === 0) throw new Error('no answer');
      return lag;
    };
    Object.assign(rig.stores.new, { replicaLag });
    const stop = new AbortController();
    const run = ended(rig.run({ signal: stop.signal }));
    const during = async (ms: number): Promise<number> => {
      const before = rig.total('scanned');
      await rig.clock.advance(ms);
      return ((rig.total('scanned') - before) * 1_000) / ms;
    };
    const before = await during(9_000);
    expect(rig.eased, 'within the budget').toBeNull();
    expect(asked, 'now and then, not with each batch').toBeLessThanOrEqual(4);
    lag = 14_200;
    await during(12_000);
    expect(await during(2_000)).toBeLessThan(before / 4);
    expect(rig.eased).toMatch(/^replica lag 14 s; at most \d+ a second$/);
    lag = 0;
    await during(50_000);
    expect(rig.eased).toBeNull();
    expect(await during(5_000)).toBeGreaterThan(before * 0.8);
    lag = 60_000;
    rig.change({ replayLagBudgetMs: 0 });
    await during(1_000);
    const unasked = asked;
    expect(await during(9_000), 'it is not watched any more').toBeGreaterThan(before * 0.8);
    expect(asked).toBe(unasked);
    stop.abort(new Error('enough'));
    await rig.clock.runUntil(run);
  });

  test('ends at once when its receipt says that it is somebody else’s', async () => {
    const rig = await Rig.create({ records: 20_000, settings: { replayRate: 1_000 } });
    const run = ended(rig.run());
    await rig.clock.advance(1_000);
    rig.receipt = { ...rig.receipt, yours: false };
    const result = await rig.clock.runUntil(run, 5_000);
    expect(result).toBeInstanceOf(Interrupted);
    const there = rig.databases.new.snapshot().length;
    await rig.clock.advance(60_000);
    expect(rig.databases.new.snapshot().length).toBe(there);
  });

  test('puts with no deadline that was not durable before, however long a checkpoint takes', async () => {
    const rig = await Rig.create({
      records: 2_000,
      settings: { replayConcurrency: 20 },
      faults: ({ op }) => (op === 'putManyIfNewer' ? { kind: 'slow', answerMs: 200 } : undefined),
    });
    let durable = 0;
    const late: number[] = [];
    const target = new Proxy(rig.stores.new, {
      get: (store, name) => {
        if (name === 'putManyIfNewer') {
          return (...[entries, deadline]: Parameters<typeof store.putManyIfNewer>) => {
            if (deadline > durable) late.push(deadline);
            return store.putManyIfNewer(entries, deadline);
          };
        }
        const member: unknown = Reflect.get(store, name, store);
        return typeof member === 'function' ? member.bind(store) : member;
      },
    });
    const run = rig.run({
      target,
      journal: {
        checkpoint: async (_, limit) => {
          // Longer than a checkpoint promises deadlines ahead.
          await sleep(rig.clock, 9_000);
          durable = Math.max(durable, limit);
          return rig.receipt;
        },
      },
    });
    await rig.clock.runUntil(run);
    expect(late).toStrictEqual([]);
    expect(rig.total('applied')).toBe(2_000);
  });

  test('asks for stamps where most is there, and just puts where nothing is', async () => {
    const rig = await Rig.create({ records: 20_000 });
    await rig.clock.runUntil(rig.run());
    const asked = rig.databases.new.calls('getMany');
    expect(asked).toBeLessThan(rig.databases.new.calls('putManyIfNewer') / 2);
    for (const share of rig.shares) Object.assign(share, { cursor: null, done: false });
    const puts = rig.databases.new.calls('putManyIfNewer');
    await rig.clock.runUntil(rig.run());
    expect(rig.databases.new.calls('putManyIfNewer')).toBe(puts);
    expect(rig.total('skipped')).toBe(20_000);
  });

  test('keeps pages small where records are large', async () => {
    const sizes: number[] = [];
    const rig = await Rig.create({
      records: 600,
      partitions: 1,
      text: 'x'.repeat(60_000),
      faults: ({ op, ids }) => {
        if (op === 'putManyIfNewer') sizes.push(ids.length);
        return undefined;
      },
    });
    await rig.clock.runUntil(rig.run());
    // Four megabytes a page, after the first one.
    expect(Math.max(...sizes.slice(4))).toBeLessThanOrEqual(100);
  });
});
