import type { Clock, Random } from '../core/clock.ts';
import type { Entry, Rejection, Store } from '../core/store.ts';
import { type PutAnswer, putNewer } from './put-newer.ts';
import type { ReplayCounts } from './replay-share.ts';
import type { Throttle } from './throttle.ts';
import type { Window } from './window.ts';

export interface PutterOptions {
  readonly target: Store;
  readonly clock: Clock;
  readonly random: Random;
  readonly signal: AbortSignal;
  readonly throttle: Throttle;
  readonly window: Window;
  readonly deadline: () => Promise<number>;
  readonly onRejected: (entry: Entry, rejection: Rejection) => Promise<void>;
}

/** Where fewer of the entries are there already, asking first costs more than it saves. */
const WORTH_ASKING = 0.3;
/** How much the newest batch says. */
const NEWS = 0.5;

/** Puts entries in batches, as the operator's settings and the target's answers allow. */
export class Putter {
  readonly #options: PutterOptions;
  /** The share of entries that the target has already, of late. */
  #there = 1;
  /** A put that takes longer is too slow, ms. */
  latencyBudgetMs = Number.POSITIVE_INFINITY;

  constructor(options: PutterOptions) {
    this.#options = options;
  }

  /** The size of a batch that is made now. */
  get batch(): number {
    return Math.min(this.#options.window.batch, this.#options.throttle.burst);
  }

  /** Resolves when every put is definite. */
  async put(entries: readonly Entry[]): Promise<Omit<ReplayCounts, 'scanned'>> {
    const { throttle, window, signal } = this.#options;
    const counts = { applied: 0, skipped: 0, rejected: 0 };
    for (let at = 0; at < entries.length; ) {
      const batch = entries.slice(at, at + this.batch);
      at += batch.length;
      await throttle.take(batch.length, signal);
      await window.enter(batch.length, signal);
      try {
        const { applied, skipped, rejected } = await this.#putBatch(batch);
        counts.applied += applied;
        counts.skipped += skipped;
        counts.rejected += rejected;
      } finally {
        window.leave(batch.length);
      }
    }
    return counts;
  }

  async #putBatch(batch: readonly Entry[]): Promise<Omit<ReplayCounts, 'scanned'>> {
    const { target, clock, random, signal, deadline, onRejected } = this.#options;
    const { applied, skipped, rejected } = await putNewer(batch, {
      target,
      clock,
      random,
      signal,
      deadline,
      ask: this.#there >= WORTH_ASKING,
      onAnswer: (answer) => this.#adapt(answer),
    });
    this.#there += NEWS * (skipped / batch.length - this.#there);
    for (const { entry, rejection } of rejected) await onRejected(entry, rejection);
    return { applied, skipped, rejected: rejected.length };
  }

  #adapt({ count, sentAt, tookMs, faulted, pressed }: PutAnswer): void {
    const { throttle, window } = this.#options;
    if (pressed) throttle.ease();
    if (pressed || faulted || tookMs > this.latencyBudgetMs) window.narrow(sentAt);
    else window.widen(count);
  }
}
