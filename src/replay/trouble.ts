import type { Clock } from '../core/clock.ts';

/** Longer than the longest pause between two tries: what was said before says nothing of now. */
const LASTS_MS = 10_000;
/** It stands on one line, beside the rate. */
const LONGEST = 300;

/** What a store did of late that a replay goes slower for, in words for whoever looks at its rate. */
export class Trouble {
  readonly #clock: Pick<Clock, 'monotonic'>;
  #what = '';
  #saidAt = Number.NEGATIVE_INFINITY;

  constructor(clock: Pick<Clock, 'monotonic'>) {
    this.#clock = clock;
  }

  say(what: string): void {
    this.#what = what.length > LONGEST ? `${what.slice(0, LONGEST)}…` : what;
    this.#saidAt = this.#clock.monotonic();
  }

  /** Null when all has been well for a while. */
  get current(): string | null {
    return this.#clock.monotonic() - this.#saidAt > LASTS_MS ? null : this.#what;
  }
}
