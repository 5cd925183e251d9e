import { type Clock, systemClock } from '../../src/core/clock.ts';

/** A machine on which everything takes a twentieth of its time: for limits that nobody wants to sit out. */
export const hasty: Clock = {
  now: () => systemClock.now(),
  monotonic: () => systemClock.monotonic() * 20,
  after: (ms, fn, background) => systemClock.after(ms / 20, fn, background),
};
