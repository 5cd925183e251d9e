import type { Clock, TimerHandle } from '../core/clock.ts';
import { StoreFault } from '../core/errors.ts';

interface Waiting {
  readonly at: number;
  readonly giveUp: () => void;
}

/**
 * Gives up on store calls that do not answer, with one timer for all of them: a timer a call was measured to cost more
 * than the whole rest of a routed read.
 */
export class DeadlineSweep {
  readonly #clock: Clock;
  readonly #stepMs: number;
  readonly #waiting = new Set<Waiting>();
  #timer: TimerHandle | undefined;

  constructor(clock: Clock, stepMs = 20) {
    this.#clock = clock;
    this.#stepMs = stepMs;
  }

  /**
   * The outcome of `call`, or after `ms` (rounded up to a step) a StoreFault of unknown outcome. What the call answers
   * later is dropped.
   */
  bound<T>(call: Promise<T>, ms: number, what: string): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const waiting: Waiting = {
        at: this.#clock.monotonic() + ms,
        giveUp: () => reject(new StoreFault(`${what} did not answer within ${ms} ms`, { outcome: 'unknown' })),
      };
      this.#waiting.add(waiting);
      this.#arm();
      call.then(
        (value) => {
          this.#waiting.delete(waiting);
          resolve(value);
        },
        (error: unknown) => {
          this.#waiting.delete(waiting);
          reject(error);
        },
      );
    });
  }

  /** Stops the timer; calls still waiting are given up now. */
  close(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    for (const waiting of this.#waiting) waiting.giveUp();
    this.#waiting.clear();
  }

  #arm(): void {
    if (this.#timer !== undefined) return;
    this.#timer = this.#clock.after(this.#stepMs, () => {
      this.#timer = undefined;
      const now = this.#clock.monotonic();
      for (const waiting of this.#waiting) {
        if (waiting.at > now) continue;
        this.#waiting.delete(waiting);
        waiting.giveUp();
      }
      if (this.#waiting.size > 0) this.#arm();
    });
  }
}
