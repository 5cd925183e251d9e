import type { Clock } from '../core/clock.ts';
import type { Store } from '../core/store.ts';

const EVERY_MS = 3_000;

/** Asks the store that a replay fills, now and then, how far its replicas are behind. */
export class LagWatch {
  readonly #store: Pick<Store, 'replicaLag'>;
  readonly #clock: Clock;
  readonly #onLag: (ms: number) => void;
  #askedAt = Number.NEGATIVE_INFINITY;
  #asking = false;

  /** `onLag` hears each answer that says more than the budget. */
  constructor(store: Pick<Store, 'replicaLag'>, clock: Clock, onLag: (ms: number) => void) {
    this.#store = store;
    this.#clock = clock;
    this.#onLag = onLag;
  }

  /** Asks again, if it is time to; nobody waits for the answer. A budget of 0 asks nothing. */
  look(budgetMs: number): void {
    const now = this.#clock.monotonic();
    if (budgetMs === 0 || this.#asking || now - this.#askedAt < EVERY_MS) return;
    this.#askedAt = now;
    this.#asking = true;
    Promise.resolve(this.#store.replicaLag?.())
      // A server that does not answer is no reason to stop: its puts find that out by themselves.
      .catch(() => null)
      .then((ms) => {
        this.#asking = false;
        if (ms != null && ms > budgetMs) this.#onLag(ms);
      });
  }
}
