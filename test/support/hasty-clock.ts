import { type Clock, systemClock } from '../../src/core/clock.ts';

/** A machine on which everything takes a twentieth of its time: for limits that nobody wants to sit out. */
export const hasty: Clock = {
  now: () => systemClock.now(),
  monotonic: () => systemClock.monotonic() * 20,
  after: (ms, fn, background) => systemClock.after(ms / 20, fn, background),
};

/** A clock by which each pause between two tries takes ten seconds, and none of ours. */
export function leapingClock(): Clock {
  let aheadMs = 0;
  return {
    ...systemClock,
    now: () => systemClock.now() + aheadMs,
    after: (ms, fn) => {
      // A limit, not a pause.
      if (ms >= 2_000) return systemClock.after(ms, fn);
      aheadMs += 10_000;
      return systemClock.after(0, fn);
    },
  };
}
