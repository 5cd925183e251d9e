import { describe, expect, it } from 'vitest';
import type { Clock } from '../../src/core/clock.ts';
import { DeadlineSweep } from '../../src/repository/deadline-sweep.ts';
import { VirtualClock } from '../support/virtual-clock.ts';

const never = new Promise<never>(() => {});

describe('the sweep of deadlines', () => {
  it('gives up on what does not answer, in the order of its asking, and drops what comes later', async () => {
    const clock = new VirtualClock();
    const sweep = new DeadlineSweep(clock);
    const seen: string[] = [];
    let late: (value: string) => void = () => {};
    const slow = new Promise<string>((resolve) => {
      late = resolve;
    });
    const watch = (name: string, call: Promise<string>, ms: number): void =>
      sweep.watch(
        call,
        ms,
        name,
        (value) => seen.push(`${name} ${value}`),
        (error) => seen.push(`${name}: ${(error as Error).message}`),
      );
    watch('a', never, 100);
    watch('b', Promise.resolve('answers'), 100);
    watch('c', slow, 100);
    watch('d', never, 500);
    await clock.advance(90);
    expect(seen).toEqual(['b answers']);
    await clock.advance(60);
    late('too late');
    await clock.advance(1);
    const gone = (name: string, ms: number): string => `${name}: ${name} did not answer within ${ms} ms`;
    expect(seen).toEqual(['b answers', gone('a', 100), gone('c', 100)]);
    sweep.close();
    expect(seen.at(-1)).toBe(gone('d', 500));
    expect(clock.pending).toBe(0);
  });

  it('does not count the time in which the process did not run', async () => {
    const real = new VirtualClock();
    let stalled = 0;
    const clock: Clock = {
      now: () => real.now() + stalled,
      monotonic: () => real.monotonic() + stalled,
      after: (ms, fn, background) => real.after(ms, fn, background),
    };
    const sweep = new DeadlineSweep(clock);
    const given: unknown[] = [];
    sweep.watch(
      never,
      200,
      'a',
      () => {},
      (error) => given.push(error),
    );
    await real.advance(30);
    stalled = 5_000;
    sweep.watch(
      never,
      200,
      'b',
      () => {},
      (error) => given.push(error),
    );
    await real.advance(100);
    expect(given).toHaveLength(0);
    await real.advance(300);
    expect(given).toHaveLength(2);
    sweep.close();
  });
});
