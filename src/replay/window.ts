import type { Clock } from '../core/clock.ts';

/** Records in flight at first: what any store bears, or one batch where a store handles larger ones well. */
const FIRST = 256;
/** However slow a store answers, so many may be on their way to it, or a replay would never end. */
const LEAST = 16;
/** Records that a whole window of good answers adds. */
const GROWTH = 128;
/** The window is sent in about so many batches, so that the store is never idle between two. */
const BATCHES = 4;
/** Where they are as large as the store likes them so few are enough: large ones cost it less. */
const FULL_BATCHES = 2;

interface Waiter {
  readonly count: number;
  readonly enter: () => void;
}

/**
 * How many records may be on their way to a store at once, found by its answers: good ones widen the window a little,
 * a fault, a late answer or a store that asks for less load halves it (additive increase, multiplicative decrease).
 */
export class Window {
  readonly #clock: Clock;
  readonly #batchSize: number;
  #most: number;
  #limit: number;
  #inFlight = 0;
  #easedAt = Number.NEGATIVE_INFINITY;
  #waiting: Waiter[] = [];

  /** `batchSize`: the most entries that one batch call handles well; `most`: what the operator allows. */
  constructor(clock: Clock, batchSize: number, most: number) {
    this.#clock = clock;
    this.#batchSize = batchSize;
    this.#most = most;
    this.#limit = Math.min(Math.max(FIRST, batchSize), most);
  }

  /** The records that may be in flight now. */
  get limit(): number {
    return Math.floor(this.#limit);
  }

  /** What the operator allows. */
  get most(): number {
    return this.#most;
  }

  get inFlight(): number {
    return this.#inFlight;
  }

  /** The size of a batch that is made now. */
  get batch(): number {
    const { limit } = this;
    const batches = limit >= FULL_BATCHES * this.#batchSize ? FULL_BATCHES : BATCHES;
    return Math.max(1, Math.min(this.#batchSize, Math.ceil(limit / batches)));
  }

  /** Never more than this. */
  setMost(most: number): void {
    this.#most = most;
    this.#limit = Math.min(this.#limit, most);
    this.#admit();
  }

  /** Waits until `count` records may be sent; in turn. What is larger than the window goes alone. */
  async enter(count: number, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (this.#waiting.length === 0 && this.#fits(count)) {
      this.#inFlight += count;
      return;
    }
    await new Promise<void>((resolve, reject) => {
      const onAbort = (): void => {
        this.#waiting = this.#waiting.filter((other) => other !== waiter);
        this.#admit();
        reject(signal.reason);
      };
      const enter = (): void => {
        signal.removeEventListener('abort', onAbort);
        resolve();
      };
      const waiter: Waiter = { count, enter };
      this.#waiting.push(waiter);
      signal.addEventListener('abort', onAbort, { once: true });
    });
  }

  leave(count: number): void {
    this.#inFlight -= count;
    this.#admit();
  }

  /** So many records had a good answer. A window that was not filled proves nothing. */
  widen(count: number): void {
    if (this.#waiting.length === 0 && this.#inFlight + this.batch <= this.#limit) return;
    // Until a store has complained for the first time, it is worth finding out quickly what it bears.
    const more = this.#easedAt === Number.NEGATIVE_INFINITY ? count : (GROWTH * count) / this.#limit;
    this.#limit = Math.min(this.#most, this.#limit + more);
    this.#admit();
  }

  /**
   * What was sent at `sentAt` (monotonic) had no good answer. What was sent before the last narrowing says nothing new.
   * `page`: so many records are large enough for a batch.
   */
  narrow(sentAt: number, page = LEAST): void {
    if (sentAt < this.#easedAt) return;
    this.#easedAt = this.#clock.monotonic();
    this.#limit = Math.min(this.#most, Math.max(Math.min(page, LEAST), this.#limit / 2));
  }

  #fits(count: number): boolean {
    return this.#inFlight === 0 || this.#inFlight + count <= this.#limit;
  }

  #admit(): void {
    for (let first = this.#waiting[0]; first !== undefined && this.#fits(first.count); first = this.#waiting[0]) {
      this.#waiting.shift();
      this.#inFlight += first.count;
      first.enter();
    }
  }
}
