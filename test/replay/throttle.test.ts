import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Throttle } from '../../src/replay/throttle.ts';
import { VirtualClock } from '../support/virtual-clock.ts';

/** Lets batches through for a while, and says how many records went. */
async function run(
  clock: VirtualClock,
  throttle: Throttle,
  ms: number,
  batch: number,
  eachMs: number,
  restMs = 60_000,
): Promise<number> {
  let taken = 0;
  let stopped = false;
  const lane = (async () => {
    while (!stopped) {
      await throttle.take(batch);
      if (stopped) return;
      taken += batch;
      await new Promise<void>((resolve) => clock.after(eachMs, resolve));
    }
  })();
  await clock.advance(ms);
  stopped = true;
  await clock.advance(restMs);
  await lane;
  return taken;
}

describe('the throttle of a replay', () => {
  it("keeps to the operator's rate, whatever the batches", async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 20, max: 5_000 }), fc.integer({ min: 1, max: 200 }), async (rate, batch) => {
        const clock = new VirtualClock();
        const throttle = new Throttle(clock);
        throttle.setRate(rate);
        const taken = await run(clock, throttle, 20_000, batch, 1);
        expect(taken).toBeLessThanOrEqual(rate * 20 + rate * 0.2 + 2 * batch);
        expect(taken).toBeGreaterThanOrEqual(Math.min(rate * 20, batch * 9_000) * 0.8 - 2 * batch);
      }),
      { numRuns: 30 },
    );
  });

  it('halves what goes when a store asks for less, once for all lanes, and grows back little by little', async () => {
    const clock = new VirtualClock();
    const throttle = new Throttle(clock);
    const before = (await run(clock, throttle, 10_000, 50, 50)) / 10;
    expect(throttle.limit).toBeNull();
    await run(clock, throttle, 4_000, 50, 50, 500);
    expect(throttle.eased).toBeNull();
    throttle.ease('the store');
    throttle.ease('another');
    expect(throttle.eased).toBe('the store');
    const eased = throttle.limit as number;
    expect(eased).toBeLessThan(before * 0.6);
    const after = (await run(clock, throttle, 2_000, 10, 1, 500)) / 2;
    expect(after).toBeLessThan(before * 0.75);
    await clock.advance(2_000);
    expect(throttle.limit as number).toBeGreaterThan(eased);
    await clock.advance(120_000);
    expect(throttle.limit, 'the complaint is long ago').toBeNull();
    expect(throttle.eased).toBeNull();
  });

  it('never eases to a standstill, and never goes above the operator', async () => {
    const clock = new VirtualClock();
    const throttle = new Throttle(clock);
    throttle.setRate(400);
    for (let i = 0; i < 50; i += 1) {
      await clock.advance(1_001);
      throttle.ease('replicas');
    }
    expect(throttle.eased).toBe('replicas');
    expect(throttle.limit as number).toBeGreaterThanOrEqual(10);
    await clock.advance(600_000);
    expect(throttle.limit).toBe(400);
    expect(throttle.eased, 'it is the operator who does').toBeNull();
  });
});
