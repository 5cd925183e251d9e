import type { Clock, TimerHandle } from '../../src/core/clock.ts';

/** A clock on which waiting takes no time: when the process has nothing else to do, the next timer's moment is now. */
export class InstantClock implements Clock {
  #now: number;
  readonly #start: number;
  #timers: { readonly at: number; readonly fn: () => void }[] = [];

  constructor(start = Date.UTC(2026, 0, 1)) {
    this.#now = start;
    this.#start = start;
  }

  now(): number {
    return Math.floor(this.#now);
  }

  monotonic(): number {
    return this.#now - this.#start;
  }

  after(ms: number, fn: () => void): TimerHandle {
    const timer = { at: this.#now + ms, fn };
    this.#timers.push(timer);
    setImmediate(() => this.#fire());
    return {
      cancel: () => {
        this.#timers = this.#timers.filter((other) => other !== timer);
      },
    };
  }

  advance(ms: number): void {
    this.#now += ms;
  }

  #fire(): void {
    const [first] = this.#timers.sort((a, b) => a.at - b.at);
    if (first === undefined) return;
    this.#timers = this.#timers.filter((timer) => timer !== first);
    this.#now = Math.max(this.#now, first.at);
    first.fn();
  }
}
