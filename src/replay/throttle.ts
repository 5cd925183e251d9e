import { type Clock, sleep } from '../core/clock.ts';

/** No store is asked for less than this many records a second, or a replay would never end. */
const LEAST_RATE = 10;
/** Several lanes feel one and the same pressure: it counts once in this time. */
const EASE_EVERY_MS = 1_000;
/** The share of the rate at which pressure was felt that is added each second. */
const RECOVERY = 0.05;
/** The rate is measured over about so long. */
const WINDOW_MS = 2_000;
/** What was not used is saved up for so long. */
const SAVED_MS = 200;
/** Waits are cut into pieces so that a changed rate, or the end of a pause, is obeyed within a second. */
const LOOK_MS = 200;

/**
 * Keeps a stream of records under a rate that may change at any time; bursts of at most a fifth of a second. Where a
 * store asks for less load the rate is halved at once, and grows again little by little (additive increase,
 * multiplicative decrease: Chiu and Jain, 1989).
 */
export class Throttle {
  readonly #clock: Clock;
  /** What the operator allows. */
  #rate: number | null = null;
  #paused = false;
  /** What the store bears, as far as it has complained; null when it has not, or long ago. */
  #borne: { rate: number; readonly felt: number; at: number; readonly because: string } | null = null;
  #easedAt = Number.NEGATIVE_INFINITY;
  /** Records that may go at once; below zero what went already is not paid for. */
  #credit = 0;
  #creditAt: number;
  /** Those who wait do so in turn. */
  #last: Promise<void> = Promise.resolve();
  #windowFrom: number;
  #windowCount = 0;
  #lastRate = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#windowFrom = clock.monotonic();
    this.#creditAt = this.#windowFrom;
  }

  /** Records a second, or null for no limit. */
  setRate(rate: number | null): void {
    if (rate === this.#rate) return;
    this.#accrue();
    this.#rate = rate;
  }

  /** Whether nothing may go for now. */
  get paused(): boolean {
    return this.#paused;
  }

  setPaused(paused: boolean): void {
    this.#paused = paused;
  }

  /** The rate in force, records a second, or null for none. */
  get limit(): number | null {
    const borne = this.#grown();
    if (borne === null) return this.#rate;
    return this.#rate === null ? borne : Math.min(this.#rate, borne);
  }

  /** The most records that go at once under it. */
  get burst(): number {
    const { limit } = this;
    return limit === null ? Number.POSITIVE_INFINITY : Math.max(1, Math.ceil((limit * SAVED_MS) / 1_000));
  }

  /** What has slowed it down, and still does; null when nothing has, or the operator's own rate is the lower one. */
  get eased(): string | null {
    const borne = this.#grown();
    return borne === null || (this.#rate !== null && this.#rate <= borne) ? null : (this.#borne?.because ?? null);
  }

  /** There has to be less load, for this reason. */
  ease(because: string): void {
    const now = this.#clock.monotonic();
    if (now - this.#easedAt < EASE_EVERY_MS) return;
    const present = Math.min(this.limit ?? Number.POSITIVE_INFINITY, this.#measured(now));
    this.#accrue();
    this.#easedAt = now;
    const rate = Math.max(LEAST_RATE, present / 2);
    this.#borne = { rate, felt: Math.max(2 * LEAST_RATE, present), at: now, because };
    this.#credit = Math.min(this.#credit, 0);
  }

  /** Waits until `count` records may go. */
  async take(count: number, signal?: AbortSignal): Promise<void> {
    if (count === 0) return;
    if (!this.#paused && this.limit === null) {
      this.#count(this.#clock.monotonic(), count);
      return;
    }
    const turn = this.#last.then(() => this.#wait(count, signal));
    this.#last = turn.catch(() => {});
    await turn;
  }

  /** Waits while nothing may go. */
  async unpaused(signal?: AbortSignal): Promise<void> {
    while (this.#paused) await sleep(this.#clock, LOOK_MS, signal);
  }

  async #wait(count: number, signal: AbortSignal | undefined): Promise<void> {
    signal?.throwIfAborted();
    await this.unpaused(signal);
    this.#accrue();
    this.#credit -= count;
    for (;;) {
      const limit = this.limit;
      if (limit === null || this.#credit >= 0) break;
      await sleep(this.#clock, Math.min((-this.#credit / limit) * 1_000 + 0.001, LOOK_MS), signal);
      this.#accrue();
    }
    await this.unpaused(signal);
    this.#count(this.#clock.monotonic(), count);
  }

  /** Adds what the time since the last look is worth at the present rate. */
  #accrue(): void {
    const now = this.#clock.monotonic();
    const limit = this.limit;
    this.#credit =
      limit === null
        ? 0
        : Math.min(this.#credit + (limit * (now - this.#creditAt)) / 1_000, (limit * SAVED_MS) / 1_000);
    this.#creditAt = now;
  }

  /** What the store is trusted to bear by now. */
  #grown(): number | null {
    const borne = this.#borne;
    if (borne === null) return null;
    const now = this.#clock.monotonic();
    borne.rate += borne.felt * RECOVERY * ((now - borne.at) / 1_000);
    borne.at = now;
    // Well above where it hurt last time, nothing is known any more.
    if (borne.rate > 2 * borne.felt) this.#borne = null;
    return this.#borne === null ? null : borne.rate;
  }

  #count(now: number, count: number): void {
    if (now - this.#windowFrom >= WINDOW_MS) {
      this.#lastRate = (this.#windowCount * 1_000) / (now - this.#windowFrom);
      this.#windowFrom = now;
      this.#windowCount = 0;
    }
    this.#windowCount += count;
  }

  /** Records a second, lately. */
  #measured(now: number): number {
    const elapsed = now - this.#windowFrom;
    const present = elapsed <= 0 ? 0 : (this.#windowCount * 1_000) / elapsed;
    return elapsed < WINDOW_MS / 2 && this.#lastRate > 0 ? this.#lastRate : Math.max(present, LEAST_RATE);
  }
}
