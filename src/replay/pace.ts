import type { Clock } from '../core/clock.ts';

const WINDOW_MS = 10_000;
const SAMPLE_MS = 500;

/** How fast something goes: over its last seconds, not since it began. */
export class Pace {
  readonly #clock: Pick<Clock, 'monotonic'>;
  readonly #samples: { readonly at: number; readonly done: number }[] = [];

  constructor(clock: Pick<Clock, 'monotonic'>) {
    this.#clock = clock;
  }

  /** So much is done by now; what was done before the first call is no part of it. */
  reach(done: number): void {
    const at = this.#clock.monotonic();
    const last = this.#samples.at(-2);
    // The newest sample follows along until it is old enough to stand for itself.
    if (last !== undefined && at - last.at < SAMPLE_MS) this.#samples.pop();
    this.#samples.push({ at, done });
    while (this.#samples.length > 2 && at - (this.#samples[1] as { readonly at: number }).at > WINDOW_MS) {
      this.#samples.shift();
    }
  }

  /** A second; 0 before anything is known. */
  get rate(): number {
    const [first, last] = [this.#samples[0], this.#samples.at(-1)];
    if (first === undefined || last === undefined) return 0;
    const elapsed = this.#clock.monotonic() - first.at;
    return elapsed <= 0 ? 0 : ((last.done - first.done) * 1_000) / elapsed;
  }

  /** How long the rest takes at this pace, ms; null where that is not known. */
  leftMs(all: number | null): number | null {
    const done = this.#samples.at(-1)?.done ?? 0;
    const { rate } = this;
    return all === null || rate <= 0 || done >= all ? null : ((all - done) * 1_000) / rate;
  }
}
