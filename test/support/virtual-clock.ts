import type { Clock, TimerHandle } from '../../src/core/clock.ts';

interface Timer {
  readonly at: number;
  readonly order: number;
  readonly fn: () => void;
  readonly background: boolean;
  /** Neither run nor cancelled yet. */
  waits: boolean;
}

const earlier = (a: Timer, b: Timer): boolean => a.at < b.at || (a.at === b.at && a.order < b.order);

/** Lets every microtask run that is, or becomes, due: an immediate comes after all of them, and costs no time. */
export const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/**
 * A clock that moves only when it is told to. Timers run in the order of their times, and in the order in which they
 * were set where these are equal; between two of them all microtasks settle, so that a run is the same every time.
 *
 * @example
 * const clock = new VirtualClock();
 * const fast = clock.skewed(5_000);            // a node whose wall clock is 5 s ahead
 * const done = sleep(fast, 100).then(() => 'done');
 * await clock.advance(100);
 */
export class VirtualClock implements Clock {
  /** A binary heap, the earliest timer first; cancelled ones stay until they come up. */
  readonly #heap: Timer[] = [];
  #elapsed = 0;
  #wall: number;
  #order = 0;
  #foreground = 0;

  constructor(startMs = 1_750_000_000_000) {
    this.#wall = startMs;
  }

  now(): number {
    return this.#wall + this.#elapsed;
  }

  monotonic(): number {
    return this.#elapsed;
  }

  after(ms: number, fn: () => void, background = false): TimerHandle {
    const timer: Timer = { at: this.#elapsed + Math.max(0, ms), order: this.#order, fn, background, waits: true };
    this.#order += 1;
    if (!background) this.#foreground += 1;
    this.#push(timer);
    return { cancel: () => this.#spend(timer) };
  }

  /** How many timers wait, background ones aside. */
  get pending(): number {
    return this.#foreground;
  }

  /** Moves the wall clock, as an operator or NTP does; timers do not notice. */
  jump(ms: number): void {
    this.#wall += ms;
  }

  /** Lets `ms` go by, running what becomes due in order. */
  async advance(ms: number): Promise<void> {
    const end = this.#elapsed + ms;
    await settle();
    for (let next = this.#peek(); next !== undefined && next.at <= end; next = this.#peek()) await this.#run(next);
    this.#elapsed = end;
    await settle();
  }

  /**
   * Lets time go by until no timer waits but background ones, or `limitMs` are over; says whether it became idle. A
   * promise that waits for nothing does not keep it going.
   */
  async runUntilIdle(limitMs = 3_600_000): Promise<boolean> {
    const end = this.#elapsed + limitMs;
    await settle();
    while (this.#foreground > 0) {
      const next = this.#peek();
      if (next === undefined || next.at > end) return false;
      await this.#run(next);
    }
    return true;
  }

  /** Lets time go by until the promise has an answer. @throws Error when nothing is left that could bring one */
  async runUntil<T>(promise: Promise<T>, limitMs = 3_600_000): Promise<T> {
    const end = this.#elapsed + limitMs;
    let open = true;
    const close = (): void => {
      open = false;
    };
    promise.then(close, close);
    await settle();
    while (open) {
      const next = this.#peek();
      if (next === undefined || next.at > end) throw new Error(`no answer by ${this.#elapsed} ms of virtual time`);
      await this.#run(next);
    }
    return promise;
  }

  /** The clock of a node whose wall clock is off by `offsetMs`; its timers run on the time of this one. */
  skewed(offsetMs: number): SkewedClock {
    return new SkewedClock(this, offsetMs);
  }

  async #run(timer: Timer): Promise<void> {
    this.#pop();
    this.#elapsed = Math.max(this.#elapsed, timer.at);
    this.#spend(timer);
    timer.fn();
    await settle();
  }

  #spend(timer: Timer): void {
    if (!timer.waits) return;
    timer.waits = false;
    if (!timer.background) this.#foreground -= 1;
  }

  #peek(): Timer | undefined {
    while (this.#heap[0]?.waits === false) this.#pop();
    return this.#heap[0];
  }

  #push(timer: Timer): void {
    const heap = this.#heap;
    let at = heap.push(timer) - 1;
    while (at > 0) {
      const parent = (at - 1) >>> 1;
      if (!earlier(timer, heap[parent] as Timer)) break;
      heap[at] = heap[parent] as Timer;
      at = parent;
    }
    heap[at] = timer;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && earlier(heap[child + 1] as Timer, heap[child] as Timer)) child += 1;
      if (!earlier(heap[child] as Timer, last)) break;
      heap[at] = heap[child] as Timer;
      at = child;
    }
    heap[at] = last;
  }
}

/** A view of a {@link VirtualClock} whose wall time is off. */
export class SkewedClock implements Clock {
  readonly #clock: VirtualClock;
  #offsetMs: number;

  constructor(clock: VirtualClock, offsetMs: number) {
    this.#clock = clock;
    this.#offsetMs = offsetMs;
  }

  now(): number {
    return this.#clock.now() + this.#offsetMs;
  }

  monotonic(): number {
    return this.#clock.monotonic();
  }

  after(ms: number, fn: () => void, background?: boolean): TimerHandle {
    return this.#clock.after(ms, fn, background);
  }

  /** Moves this node's wall clock only. */
  jump(ms: number): void {
    this.#offsetMs += ms;
  }
}
