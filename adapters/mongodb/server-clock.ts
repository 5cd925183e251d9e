import type { Clock } from '../../src/core/clock.ts';

const SAMPLES = 3;
const REFRESH_MS = 30_000;
/** Quartz drifts by less than a second in an hour. */
const DRIFT = 300e-6;

interface Reading {
  /** The server's time at `at` of the monotonic clock. */
  readonly time: number;
  readonly at: number;
  readonly errorMs: number;
}

/** An estimate of the server's clock: asked now and then, carried on by the monotonic clock in between. */
export class ServerClock {
  readonly #clock: Clock;
  readonly #ask: () => Promise<number>;
  #reading: Reading | null = null;
  #asking: Promise<void> | null = null;

  constructor(clock: Clock, ask: () => Promise<number>) {
    this.#clock = clock;
    this.#ask = ask;
  }

  now(): number {
    const reading = this.#reading;
    if (reading === null) return this.#clock.now();
    const elapsed = this.#clock.monotonic() - reading.at;
    if (elapsed > REFRESH_MS) this.refresh();
    return reading.time + elapsed;
  }

  /** How far {@link now} may be off, in ms. */
  get errorMs(): number {
    if (this.#reading === null) return 1_000;
    const elapsed = Math.max(REFRESH_MS, this.#clock.monotonic() - this.#reading.at);
    return Math.ceil(this.#reading.errorMs + elapsed * DRIFT);
  }

  /** How far the server's clock is ahead of ours, in ms. */
  get aheadMs(): number {
    return this.now() - this.#clock.now();
  }

  /** Asks anew, in the background: what is known stays until there is an answer. */
  refresh(): void {
    this.#asking ??= this.measure()
      .catch(() => undefined)
      .finally(() => {
        this.#asking = null;
      });
  }

  /** Asks a few times; the quickest answer is the most exact one. */
  async measure(): Promise<void> {
    let best: Reading | null = null;
    for (let i = 0; i < SAMPLES; i += 1) {
      const sentAt = this.#clock.monotonic();
      // The server says whole milliseconds.
      const time = (await this.#ask()) + 0.5;
      const at = this.#clock.monotonic();
      const errorMs = (at - sentAt) / 2 + 0.5;
      if (best === null || errorMs < best.errorMs) best = { time, at: (sentAt + at) / 2, errorMs };
    }
    this.#reading = best;
  }
}
