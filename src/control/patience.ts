import { type Clock, type Random, sleep } from '../core/clock.ts';
import { ControlUnavailable } from '../core/errors.ts';

const FIRST_WAIT_MS = 4;
const LONGEST_WAIT_MS = 25;

/** How long one call goes on trying: waits with full jitter, without holding up the event loop. */
export class Patience {
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #budgetMs: number;
  readonly #end: number;
  #waitMs = FIRST_WAIT_MS;

  constructor(clock: Clock, random: Random, budgetMs: number) {
    this.#clock = clock;
    this.#random = random;
    this.#budgetMs = budgetMs;
    this.#end = clock.monotonic() + budgetMs;
  }

  /** What is left of it; never below 0. */
  get leftMs(): number {
    return Math.max(this.#end - this.#clock.monotonic(), 0);
  }

  /** Waits before another try. @throws ControlUnavailable with `cause` when the time is over. */
  async wait(label: string, cause: unknown): Promise<void> {
    const left = this.#end - this.#clock.monotonic();
    if (left <= 0) {
      throw new ControlUnavailable(`${label} was busy for ${this.#budgetMs} ms`, {
        remedy: 'find the process that keeps it locked; `changeover doctor` names it where it can',
        cause,
      });
    }
    await sleep(this.#clock, Math.min(left, 1 + this.#random() * this.#waitMs));
    this.#waitMs = Math.min(this.#waitMs * 2, LONGEST_WAIT_MS);
  }
}
