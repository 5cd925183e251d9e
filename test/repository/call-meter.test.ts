import { describe, expect, test } from 'vitest';
import type { Clock } from '../../src/core/clock.ts';
import { quantile } from '../../src/core/traffic.ts';
import { CallMeter } from '../../src/repository/call-meter.ts';
import { startService, until } from '../support/memory-service.ts';

/** A clock that a test sets. */
function setClock(): { now: number; readonly clock: Clock } {
  const set = {
    now: 0,
    clock: { now: () => set.now, monotonic: () => set.now, after: () => ({ cancel: () => {} }) },
  };
  return set;
}

const call = (meter: CallMeter, set: { now: number }, ms: number, failed = false): void => {
  const begun = meter.begin();
  set.now += ms;
  meter.end(begun, failed);
};

describe('the meter of a store', () => {
  test('counts every call, and times every one of a quiet store', () => {
    const set = setClock();
    const meter = new CallMeter(set.clock);
    for (let i = 0; i < 100; i += 1) call(meter, set, i < 99 ? 4 : 400, i % 10 === 0);
    const { count, errors, latency } = meter.read();
    expect([count, errors]).toEqual([100, 10]);
    expect(latency.reduce((sum, [, calls]) => sum + calls, 0)).toBe(100);
    expect(quantile(latency, 0.5)).toBeCloseTo(4, -0.5);
    expect(quantile(latency, 0.999)).toBeGreaterThan(300);
  });

  test('of a busy store times some, each for those that are not, and again every one when it is quiet', () => {
    const set = setClock();
    const meter = new CallMeter(set.clock);
    let read = 0;
    const { monotonic } = set.clock;
    const counting: Clock = {
      ...set.clock,
      monotonic: () => {
        read += 1;
        return monotonic();
      },
    };
    const busy = new CallMeter(counting);
    for (let i = 0; i < 100_000; i += 1) call(busy, set, i % 2 === 0 ? 1 : 1.1);
    const timed = busy.read();
    expect(timed.count).toBe(100_000);
    expect(read).toBeLessThan(2 * 10_000);
    const weight = timed.latency.reduce((sum, [, calls]) => sum + calls, 0);
    expect(weight).toBeGreaterThan(90_000);
    expect(weight).toBeLessThan(110_000);
    // Told apart from what the clock says: a long time is no other than a short one of 18 min ago.
    set.now += 3_000_000_000;
    call(meter, set, 20);
    expect(quantile(meter.read().latency, 1)).toBeCloseTo(20, -1);
    for (let i = 0; i < 10; i += 1) busy.read();
    read = 0;
    for (let i = 0; i < 100; i += 1) call(busy, set, 1);
    expect(read).toBeGreaterThanOrEqual(2 * 36);
  });
});

describe('the traffic of a service', () => {
  const totals = async (service: Awaited<ReturnType<typeof startService>>) => {
    const { old, new: fresh } = await service.operations.plane.traffic('items');
    const of = ({ read, write }: typeof old): number[] => [read.count, read.errors, write.count, write.errors];
    return { old: of(old), new: of(fresh) };
  };

  test('is counted by store: leads, mirrors and compared reads; a fault counts as an error, a conflict does not', async () => {
    await using service = await startService();
    await service.to('shadow');
    const before = await totals(service);
    const grown = async (expected: { old: number[]; new: number[] }) => {
      const minus = (a: number[], b: number[]) => a.map((count, i) => count - (b[i] as number));
      await until(
        async () => {
          const now = await totals(service);
          return (
            JSON.stringify({ old: minus(now.old, before.old), new: minus(now.new, before.new) }) ===
            JSON.stringify(expected)
          );
        },
        `traffic of ${JSON.stringify(expected)}`,
      );
    };
    await service.items.create({ user: 'ada', id: '1', n: 1 });
    await expect(service.items.create({ user: 'ada', id: '1', n: 2 })).rejects.toMatchObject({
      code: 'ALREADY_EXISTS',
    });
    await grown({ old: [0, 0, 2, 0], new: [0, 0, 1, 0] });
    await service.items.get({ user: 'ada', id: '1' });
    await grown({ old: [1, 0, 2, 0], new: [1, 0, 1, 0] });
    service.faults.old = ({ op }) => (op === 'get' ? { kind: 'fail' } : undefined);
    await expect(service.items.get({ user: 'ada', id: '1' })).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' });
    await grown({ old: [2, 1, 2, 0], new: [1, 0, 1, 0] });
  });

  test('stays in the fleet’s totals when a process leaves', async () => {
    await using service = await startService();
    await service.items.put({ user: 'ada', id: '1', n: 1 });
    const written = async () => (await totals(service)).old[2] ?? 0;
    await until(async () => (await written()) > 0, 'the write in the totals');
    const before = await written();
    await service.changeover.close();
    expect(await written()).toBeGreaterThanOrEqual(before);
    expect((await service.operations.plane.fleet('alive')).length).toBe(0);
  });
});
