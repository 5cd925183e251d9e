import { type Clock, sleep } from '../core/clock.ts';

/** Keeps a stream of records under a rate that may change at any time; bursts of at most a fifth of a second. */
export class Throttle {
  readonly #clock: Clock;
  #rate: number | null = null;
  /** When the records let through so far are paid for. */
  #paidAt = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Records a second, or null for no limit. */
  setRate(rate: number | null): void {
    if (rate === this.#rate) return;
    this.#rate = rate;
    this.#paidAt = 0;
  }

  /** Waits until `count` records may go. */
  async take(count: number, signal?: AbortSignal): Promise<void> {
    const rate = this.#rate;
    if (rate === null || count === 0) return;
    const now = this.#clock.monotonic();
    const from = Math.max(this.#paidAt, now - 200);
    this.#paidAt = from + (count / rate) * 1_000;
    // Waits are cut into pieces so that a changed rate is obeyed within a second.
    for (
      let left = this.#paidAt - now;
      left > 0 && this.#rate === rate;
      left = this.#paidAt - this.#clock.monotonic()
    ) {
      await sleep(this.#clock, Math.min(left, 500), signal);
    }
  }
}
