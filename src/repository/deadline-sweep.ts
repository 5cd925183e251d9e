import type { Clock, TimerHandle } from '../core/clock.ts';
import { StoreFault } from '../core/errors.ts';

/** A call that may have to be given up; one link of the list of all of them. */
class Waiting {
  at: number;
  readonly giveUp: () => void;
  before: Waiting | null = null;
  after: Waiting | null = null;
  over = false;

  constructor(at: number, giveUp: () => void) {
    this.at = at;
    this.giveUp = giveUp;
  }
}

/**
 * Gives up on store calls that do not answer, with one timer for all of them: a timer a call was measured to cost more
 * than the whole rest of a routed read. The clock is read once a step, so a call may wait up to two steps longer.
 */
export class DeadlineSweep {
  readonly #clock: Clock;
  readonly #stepMs: number;
  #first: Waiting | null = null;
  #timer: TimerHandle | undefined;
  /** The time of the last step, while the timer runs. */
  #now = 0;

  constructor(clock: Clock, stepMs = 20) {
    this.#clock = clock;
    this.#stepMs = stepMs;
  }

  /** The monotonic time, at most a step ago while calls are watched: for measuring long times without a clock. */
  get lastStep(): number {
    return this.#now;
  }

  /**
   * The outcome of `call`, or after `ms` (rounded up to a step) a StoreFault of unknown outcome. What the call answers
   * later is dropped.
   */
  bound<T>(call: Promise<T>, ms: number, what: string): Promise<T> {
    return new Promise<T>((resolve, reject) => this.watch(call, ms, what, resolve, reject));
  }

  /** The same without a promise: calls exactly one of the two functions, once; neither may throw. */
  watch<T>(
    call: Promise<T>,
    ms: number,
    what: string,
    answered: (value: T) => void,
    failed: (error: unknown) => void,
  ): void {
    if (this.#timer === undefined) this.#arm(this.#clock.monotonic());
    const waiting = new Waiting(this.#now + this.#stepMs + ms, () =>
      failed(new StoreFault(`${what} did not answer within ${ms} ms`, { outcome: 'unknown' })),
    );
    const first = this.#first;
    waiting.after = first;
    if (first !== null) first.before = waiting;
    this.#first = waiting;
    call.then(
      (value) => {
        if (this.#remove(waiting)) answered(value);
      },
      (error: unknown) => {
        if (this.#remove(waiting)) failed(error);
      },
    );
  }

  /** Stops the timer; calls still waiting are given up now. */
  close(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#giveUp(Number.POSITIVE_INFINITY);
  }

  /** False when it was given up before. */
  #remove(waiting: Waiting): boolean {
    if (waiting.over) return false;
    waiting.over = true;
    const { before, after } = waiting;
    if (before === null) this.#first = after;
    else before.after = after;
    if (after !== null) after.before = before;
    return true;
  }

  /** While the process did not run nobody could hear an answer: that time counts for no call. */
  #forgive(ms: number): void {
    if (ms <= 0) return;
    for (let waiting = this.#first; waiting !== null; waiting = waiting.after) waiting.at += ms;
  }

  #giveUp(now: number): void {
    const late: Waiting[] = [];
    for (let waiting = this.#first; waiting !== null; waiting = waiting.after) {
      if (waiting.at <= now) late.push(waiting);
    }
    // Oldest first, and only then told: what they do may begin new calls.
    for (const waiting of late.reverse()) if (this.#remove(waiting)) waiting.giveUp();
  }

  #arm(now: number): void {
    this.#now = now;
    this.#timer = this.#clock.after(this.#stepMs, () => {
      this.#timer = undefined;
      const later = this.#clock.monotonic();
      this.#forgive(later - this.#now - 2 * this.#stepMs);
      this.#giveUp(later);
      if (this.#first !== null && this.#timer === undefined) this.#arm(later);
    });
  }
}
