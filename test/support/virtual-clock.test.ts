import { describe, expect, it } from 'vitest';
import { seeded } from '../../adapters/conformance/fixture.ts';
import { sleep } from '../../src/core/clock.ts';
import { VirtualClock } from './virtual-clock.ts';

describe('a virtual clock', () => {
  it('runs timers in the order of their times, then of their setting', async () => {
    const clock = new VirtualClock();
    const random = seeded(7);
    const expected: { at: number; order: number }[] = [];
    const ran: typeof expected = [];
    for (let order = 0; order < 500; order += 1) {
      const timer = { at: Math.floor(random() * 50), order };
      const handle = clock.after(timer.at, () => ran.push(timer));
      if (random() < 0.3) handle.cancel();
      else expected.push(timer);
    }
    expect(clock.pending).toBe(expected.length);
    await clock.advance(50);
    expect(ran).toEqual(expected.sort((a, b) => a.at - b.at || a.order - b.order));
    expect(clock.pending).toBe(0);
  });

  it('lets promises settle between two timers, and runs what they set', async () => {
    const clock = new VirtualClock();
    const log: string[] = [];
    const walk = async (name: string, stepMs: number): Promise<void> => {
      for (let i = 0; i < 3; i += 1) {
        await sleep(clock, stepMs);
        log.push(`${name} ${clock.monotonic()}`);
      }
    };
    void walk('a', 10);
    void walk('b', 15);
    expect(await clock.runUntilIdle()).toBe(true);
    expect(log).toEqual(['a 10', 'b 15', 'a 20', 'b 30', 'a 30', 'b 45']);
  });

  it('stops at its limit, and does not wait for background timers', async () => {
    const clock = new VirtualClock();
    clock.after(10, () => undefined, true);
    expect(await clock.runUntilIdle()).toBe(true);
    clock.after(1_000, () => undefined);
    expect(await clock.runUntilIdle(999)).toBe(false);
    expect(clock.pending).toBe(1);
    await expect(clock.runUntil(new Promise(() => undefined), 10_000)).rejects.toThrow();
    expect(await clock.runUntil(sleep(clock, 5).then(() => 'woken'))).toBe('woken');
  });

  it('moves wall clocks apart without touching timers', async () => {
    const clock = new VirtualClock(1_000);
    const node = clock.skewed(500);
    let rang = false;
    node.after(10, () => {
      rang = true;
    });
    node.jump(-2_000);
    clock.jump(100);
    expect([clock.now(), node.now(), node.monotonic()]).toEqual([1_100, -400, 0]);
    await clock.advance(10);
    expect(rang).toBe(true);
    expect([clock.now(), node.now(), node.monotonic()]).toEqual([1_110, -390, 10]);
  });
});
