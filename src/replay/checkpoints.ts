import { type Clock, type Random, sleep } from '../core/clock.ts';
import { Interrupted } from '../core/errors.ts';
import type { Settings } from '../core/settings.ts';
import type { Store } from '../core/store.ts';
import { OUTWAIT_ATTEMPTS, outwait } from './outwait.ts';
import type { ReplayShare } from './replay-share.ts';

/** What a replay learns when it makes its progress durable. */
export interface ReplayReceipt {
  /** False stops the replay: it was cancelled or taken over. */
  readonly yours: boolean;
  readonly settings: Settings;
  /** Nothing is read or put until a later receipt says otherwise. @default false */
  readonly paused?: boolean;
  /** The p99 of the services' calls of late, ms; null or missing where there were none. */
  readonly trafficMs?: number | null;
}

/** Where checkpoints go. */
export interface ReplayJournal {
  /**
   * Makes shares durable, all that are open or changed since the last time: none of their puts has a later deadline
   * than `deadlineLimit` (target's time). `eased` says what slows the replay down, null where nothing does.
   */
  checkpoint(shares: readonly ReplayShare[], deadlineLimit: number, eased: string | null): Promise<ReplayReceipt>;
}

export interface CheckpointOptions {
  readonly journal: ReplayJournal;
  readonly shares: readonly ReplayShare[];
  readonly target: Store;
  readonly clock: Clock;
  readonly random: Random;
  readonly everyMs: number;
  readonly settings: Settings;
  readonly signal: AbortSignal;
  readonly eased: () => string | null;
  readonly onReceipt: (receipt: ReplayReceipt) => void;
  /** The replay cannot go on. */
  readonly onStop: (reason: unknown) => void;
}

/** How far ahead a checkpoint promises deadlines, so that puts seldom wait for one, ms. */
const AHEAD_MS = 5_000;

/** Keeps a replay's progress, lease and deadlines durable: at regular times, however slow its stores are. */
export class Checkpoints {
  readonly #options: CheckpointOptions;
  readonly #saved = new Set<ReplayShare>();
  readonly #over = new AbortController();
  #settings: Settings;
  #durableLimit = 0;
  /** How long the last one took: what it promises must not be over before it is durable. */
  #tookMs = 0;
  #writing: Promise<void> | undefined;
  #ticking: Promise<void> | undefined;

  constructor(options: CheckpointOptions) {
    this.#options = options;
    this.#settings = options.settings;
  }

  /** Writes one now, or waits for the one that is being written. */
  write(): Promise<void> {
    this.#writing ??= this.#write(OUTWAIT_ATTEMPTS).finally(() => {
      this.#writing = undefined;
    });
    return this.#writing;
  }

  /** From now on one is written again and again. */
  start(): void {
    this.#ticking ??= this.#tick();
  }

  /** Stops that; what is being written is written. */
  async stop(): Promise<void> {
    this.#over.abort();
    await this.#ticking;
    await this.#writing?.catch(() => {});
  }

  /** Stops, and writes what is true now; `attempts` where the replay ends early anyway. */
  async finish(attempts = OUTWAIT_ATTEMPTS): Promise<void> {
    await this.stop();
    await this.#write(attempts);
  }

  /** The deadline of puts that are sent now. A runner that slept finds out that it lost its replay first (R13). */
  async deadline(): Promise<number> {
    const { target, signal } = this.#options;
    for (;;) {
      signal.throwIfAborted();
      const wanted = Math.floor(target.now()) + this.#settings.putTimeoutMs;
      if (wanted <= this.#durableLimit) return wanted;
      await this.write();
    }
  }

  async #tick(): Promise<void> {
    const { clock, everyMs, onStop } = this.#options;
    const { signal } = this.#over;
    try {
      for (;;) {
        await sleep(clock, everyMs, signal);
        await this.write();
      }
    } catch (error) {
      if (!signal.aborted) onStop(error);
    }
  }

  async #write(attempts: number): Promise<void> {
    const { journal, shares, target, clock, onReceipt, onStop } = this.#options;
    const once = async (): Promise<void> => {
      const aheadMs = AHEAD_MS + 2 * this.#tookMs;
      const limit = Math.floor(target.now() + aheadMs) + this.#settings.putTimeoutMs;
      const begun = clock.monotonic();
      // Copies: the replay goes on while they are written, and what they say must be true when it is read back.
      const points = shares.filter((share) => !this.#saved.has(share)).map((share) => ({ share, point: { ...share } }));
      const receipt = await journal.checkpoint(
        points.map(({ point }) => point),
        limit,
        this.#options.eased(),
      );
      this.#tookMs = clock.monotonic() - begun;
      if (receipt.yours) this.#durableLimit = Math.max(this.#durableLimit, limit);
      for (const { share, point } of points) if (point.done) this.#saved.add(share);
      this.#settings = receipt.settings;
      onReceipt(receipt);
      if (!receipt.yours) onStop(new Interrupted('the replay was cancelled or is run by somebody else now'));
    };
    await outwait(this.#options, once, attempts);
  }
}
