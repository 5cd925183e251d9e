import { StoreFault } from '../core/errors.ts';
import type { Partition, Store } from '../core/store.ts';
import type { EntryRun, StorePair } from '../core/store-pair.ts';
import type { Throttle } from './throttle.ts';

export interface EqualRunsOptions {
  readonly source: Store;
  readonly target: Store;
  readonly throttle: Throttle;
  readonly signal: AbortSignal;
}

/** After answers that were of no use, so many times at most nobody asks. */
const MOST_PAUSE = 32;

/**
 * Finds entries of which the target has the stamps, or newer ones, where one database can read both stores: what a replay
 * has nothing to do with is not handed out.
 */
export class EqualRuns {
  readonly #options: EqualRunsOptions;
  #pair: Promise<StorePair | null> | undefined;
  /** How many times nobody asks now, and after the next answer of no use. */
  #left = 0;
  #pause = 1;

  constructor(options: EqualRunsOptions) {
    this.#options = options;
  }

  /** The next entries of a share behind a cursor, if nothing is to be put for any of them; else null. */
  async next(share: Partition, cursor: string | null): Promise<EntryRun | null> {
    const { source, target, throttle, signal } = this.#options;
    this.#pair ??= this.#ask(async () => (await source.pair?.(target)) ?? null);
    const pair = await this.#pair;
    if (pair === null) return null;
    if (this.#left > 0) {
      this.#left -= 1;
      return null;
    }
    const run = await this.#ask(() => pair.stamped(share, cursor, throttle.burst));
    if (run === 'end') return null;
    if (run === 'lacking' || run === null) {
      this.#left = this.#pause;
      this.#pause = Math.min(MOST_PAUSE, this.#pause * 2);
      return null;
    }
    this.#pause = 1;
    await throttle.take(run.entries, signal);
    return run;
  }

  /** Null after a fault: what comes is read one by one, and waits where that fails too. */
  #ask<T>(work: () => Promise<T>): Promise<T | null> {
    return work().catch((error: unknown) => {
      if (error instanceof StoreFault) return null;
      throw error;
    });
  }

  async close(): Promise<void> {
    await (await this.#pair?.catch(() => null))?.close();
  }
}
