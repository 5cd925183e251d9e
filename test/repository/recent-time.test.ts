import { expect, test } from 'vitest';
import type { Store } from '../../src/core/store.ts';
import { DeadlineSweep } from '../../src/repository/deadline-sweep.ts';
import { RecentTime } from '../../src/repository/recent-time.ts';
import { VirtualClock } from '../support/virtual-clock.ts';

test("a store's recent time is a step old at most, never ahead, and read once a step", async () => {
  const clock = new VirtualClock();
  const step = 20;
  const sweep = new DeadlineSweep(clock, step);
  let reads = 0;
  const store: Pick<Store, 'now'> = {
    now: () => {
      reads += 1;
      return clock.now() + 1_000.7;
    },
  };
  const time = new RecentTime(store as Store, sweep);
  const waits = sweep.bound(new Promise<never>(() => {}), 10_000, 'a store').catch(() => {});
  let asked = 0;
  for (let ms = 0; ms < 300; ms += 1) {
    const now = time.now();
    asked += 1;
    expect(Number.isInteger(now)).toBe(true);
    expect(now).toBeLessThanOrEqual(clock.now() + 1_000.7);
    expect(now).toBeGreaterThanOrEqual(clock.now() + 1_000 - step);
    await clock.advance(1);
  }
  expect(reads).toBeLessThanOrEqual(asked / step + 1);
  sweep.close();
  await waits;
  // After a quiet time it is read anew.
  await clock.advance(60_000);
  expect(time.now()).toBe(Math.floor(clock.now() + 1_000.7));
  sweep.close();
});

test('the time of a store that is away is not kept: once it is connected it may be another by hours', () => {
  const clock = new VirtualClock();
  const sweep = new DeadlineSweep(clock, 20);
  const waits = sweep.bound(new Promise<never>(() => {}), 10_000, 'a store').catch(() => {});
  let away = true;
  const store: Pick<Store, 'now' | 'away'> = {
    now: () => clock.now() - (away ? 0 : 3_600_000),
    get away() {
      return away;
    },
  };
  const time = new RecentTime(store as Store, sweep);
  expect(time.now()).toBe(clock.now());
  away = false;
  expect(time.now()).toBe(clock.now() - 3_600_000);
  sweep.close();
  return waits;
});
