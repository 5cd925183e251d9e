import type { Clock, TimerHandle } from '../core/clock.ts';

/**
 * The wall time of a database server, as each of its transactions tells it. Processes of several hosts compare the times
 * that they keep there (who was silent, which lease is over), so all of them go by the one clock that they share. It is
 * never what safety stands on: deadlines are promised and awaited in the stores' own time (R9).
 *
 * Intervals and timers are this machine's; so is the time before the first transaction.
 */
export class DatabaseClock implements Clock {
  readonly #machine: Clock;
  #told: { readonly time: number; readonly at: number } | null = null;

  constructor(machine: Clock) {
    this.#machine = machine;
  }

  /** The server's time, ms, read just now: older by one way through the network at most. */
  tell(time: number): void {
    this.#told = { time, at: this.#machine.monotonic() };
  }

  now(): number {
    if (this.#told === null) return this.#machine.now();
    return Math.floor(this.#told.time + this.#machine.monotonic() - this.#told.at);
  }

  monotonic(): number {
    return this.#machine.monotonic();
  }

  after(ms: number, fn: () => void, background?: boolean): TimerHandle {
    return this.#machine.after(ms, fn, background);
  }
}
