import type { Store } from '../core/store.ts';
import type { DeadlineSweep } from './deadline-sweep.ts';

/**
 * A store's time at most a step of the sweep ago, whole ms: deadlines are seconds ahead, and may be earlier than need be
 * but never later. Reading the machine's clock for each was measured to cost as much as issuing the stamp.
 */
export class RecentTime {
  readonly #store: Store;
  readonly #sweep: DeadlineSweep;
  #step = Number.NaN;
  #now = 0;

  constructor(store: Store, sweep: DeadlineSweep) {
    this.#store = store;
    this.#sweep = sweep;
  }

  now(): number {
    const step = this.#sweep.recent();
    if (step !== this.#step) {
      // Before it is connected that is another machine's time.
      this.#step = this.#store.away === true ? Number.NaN : step;
      this.#now = Math.floor(this.#store.now());
    }
    return this.#now;
  }
}
