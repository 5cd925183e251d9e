import { type Clock, sleep } from '../core/clock.ts';

/** No store is asked for less than this many records a second, or a replay would never end. */
const LEAST_RATE = 10;
/** Several lanes feel one and the same pressure: it counts once in this time. */
const EASE_EVERY_MS = 1_000;
/** The share of the rate at which pressure was felt that is added each second. */
const RECOVERY = 0.05;
/** The rate is measured over about so long. */
const WINDOW_MS = 2_000;

/**
 * Keeps a stream of records under a rate that may change at any time; bursts of at most a fifth of a second. Where a
 * store asks for less load the rate is halved at once, and grows again little by little (additive increase,
 * multiplicative decrease: Chiu and Jain, 1989).
 */
export class Throttle {
  readonly #clock: Clock;
  /** What the operator allows. */
  #rate: number | null = null;
  /** What the store bears, as far as it has complained; null when it has not, or long ago. */
  #borne: { rate: number; readonly felt: number; at: number } | null = null;
  #easedAt = Number.NEGATIVE_INFINITY;
  /** When the records let through so far are paid for. */
  #paidAt = 0;
  #windowFrom: number;
  #windowCount = 0;
  #lastRate = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#windowFrom = clock.monotonic();
  }

  /** Records a second, or null for no limit. */
  setRate(rate: number | null): void {
    if (rate === this.#rate) return;
    this.#rate = rate;
    this.#paidAt = 0;
  }

  /** The rate in force, records a second, or null for none. */
  get limit(): number | null {
    const borne = this.#grown();
    if (borne === null) return this.#rate;
    return this.#rate === null ? borne : Math.min(this.#rate, borne);
  }

  /** The store has asked for less load. */
  ease(): void {
    const now = this.#clock.monotonic();
    if (now - this.#easedAt < EASE_EVERY_MS) return;
    const present = Math.min(this.limit ?? Number.POSITIVE_INFINITY, this.#measured(now));
    this.#easedAt = now;
    this.#borne = { rate: Math.max(LEAST_RATE, present / 2), felt: Math.max(2 * LEAST_RATE, present), at: now };
    this.#paidAt = Math.max(this.#paidAt, now);
  }

  /** Waits until `count` records may go. */
  async take(count: number, signal?: AbortSignal): Promise<void> {
    if (count === 0) return;
    const limit = this.limit;
    const now = this.#clock.monotonic();
    this.#count(now, count);
    if (limit === null) return;
    const operators = this.#rate;
    const from = Math.max(this.#paidAt, now - 200);
    this.#paidAt = from + (count / limit) * 1_000;
    // Waits are cut into pieces so that a changed rate is obeyed within a second.
    for (
      let left = this.#paidAt - now;
      left > 0 && this.#rate === operators;
      left = this.#paidAt - this.#clock.monotonic()
    ) {
      await sleep(this.#clock, Math.min(left, 500), signal);
    }
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
