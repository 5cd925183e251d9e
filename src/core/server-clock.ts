import type { Clock, TimerHandle } from './clock.ts';
import { StoreFault } from './errors.ts';

const SAMPLES = 4;
const MOST_SAMPLES = 16;
const REFRESH_MS = 30_000;
const SOON_MS = 1_000;

/**
 * An estimate of a server's clock, from the answers to "what time is it": the server looked between asking and
 * hearing, so the fastest answer is off by no more than half of what it took.
 */
export class ServerClock {
  readonly #clock: Clock;
  readonly #label: string;
  readonly #errorMs: number;
  readonly #ask: () => Promise<number>;
  /** The server's time less that of the monotonic clock. */
  #offset: number | undefined;
  #latest = 0;
  #timer: TimerHandle | undefined;
  #measuring: Promise<void> | undefined;
  #stopped = false;

  /** `ask` gives the server's time in ms since 1970; `errorMs` is how far off the estimate may be. */
  constructor(clock: Clock, label: string, errorMs: number, ask: () => Promise<number>) {
    this.#clock = clock;
    this.#label = label;
    this.#errorMs = errorMs;
    this.#ask = ask;
  }

  /** Measures, and goes on measuring now and then. @throws StoreFault when answers are too slow to tell the time. */
  async start(): Promise<void> {
    await this.measure();
    this.#timer?.cancel();
    this.#refreshIn(REFRESH_MS);
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }

  /** The server's time, never going back (R2). */
  now(): number {
    if (this.#offset === undefined) return this.#clock.now();
    this.#latest = Math.max(this.#latest, this.#clock.monotonic() + this.#offset);
    return this.#latest;
  }

  /** How far the server's clock is ahead of this machine's, ms. */
  get aheadMs(): number {
    return this.now() - this.#clock.now();
  }

  /** Measures in the background, as after a failover it may be another server's clock. */
  refresh(): void {
    this.#measuring ??= this.measure()
      // The estimate that is there stays good; calls report the server's state themselves.
      .catch(() => undefined)
      .finally(() => {
        this.#measuring = undefined;
      });
  }

  /** Measures anew. @throws StoreFault when answers are too slow to tell the time. */
  async measure(): Promise<void> {
    let best = Number.POSITIVE_INFINITY;
    let offset = 0;
    for (let i = 0; i < SAMPLES || (best / 2 > this.#errorMs && i < MOST_SAMPLES); i += 1) {
      const asked = this.#clock.monotonic();
      const time = await this.#ask();
      const heard = this.#clock.monotonic();
      if (heard - asked < best) {
        best = heard - asked;
        offset = time - (asked + heard) / 2;
      }
    }
    if (best / 2 > this.#errorMs) {
      throw new StoreFault(`${this.#label}: the server answers too slowly to tell its clock`, {
        outcome: 'nothing-written',
        pressure: true,
        expected: `an answer within ${2 * this.#errorMs} ms`,
      });
    }
    this.#offset = offset;
  }

  #refreshIn(ms: number): void {
    if (this.#stopped) return;
    const next = (after: number): void => this.#refreshIn(after);
    this.#timer = this.#clock.after(
      ms,
      () => {
        this.measure().then(
          () => next(REFRESH_MS),
          // The estimate that is there stays good; calls report the server's state themselves.
          () => next(SOON_MS),
        );
      },
      true,
    );
  }
}
