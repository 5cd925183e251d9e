import type { Clock } from '../core/clock.ts';

/** After some failures in a row, says no for a while, then lets one try through. */
export class Breaker {
  readonly #clock: Clock;
  #failures = 0;
  #openUntil = 0;
  #probing = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** True when a call may be tried now; then `succeeded` or `failed` must follow. */
  admits(): boolean {
    if (this.#openUntil === 0) return true;
    if (this.#probing || this.#clock.monotonic() < this.#openUntil) return false;
    this.#probing = true;
    return true;
  }

  succeeded(): void {
    this.#failures = 0;
    this.#openUntil = 0;
    this.#probing = false;
  }

  failed(limit: number, resetMs: number): void {
    this.#failures += 1;
    this.#probing = false;
    if (this.#failures >= limit) this.#openUntil = this.#clock.monotonic() + resetMs;
  }

  /** True while a call would be refused; unlike `admits` it changes nothing. */
  refuses(): boolean {
    return this.#openUntil !== 0 && (this.#probing || this.#clock.monotonic() < this.#openUntil);
  }

  get open(): boolean {
    return this.#openUntil !== 0;
  }
}
