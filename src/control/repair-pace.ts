import { DEFAULT_SETTINGS, type Settings } from '../core/settings.ts';
import { Throttle } from '../replay/throttle.ts';
import type { ControllerParts } from './controller-parts.ts';

/** Settings that were changed count from then on. */
const FRESH_MS = 500;

/**
 * Keeps what a repair does key by key under the operator's replay-rate and replay-concurrency. What a handover or a
 * roll-back waits for goes as fast as the stores allow.
 */
export class RepairPace {
  readonly #parts: Pick<ControllerParts, 'plane' | 'migration' | 'clock'>;
  readonly #limited: boolean;
  readonly #throttle: Throttle;
  #settings: Settings = DEFAULT_SETTINGS;
  #readAt = Number.NEGATIVE_INFINITY;

  constructor(parts: Pick<ControllerParts, 'plane' | 'migration' | 'clock'>, limited: boolean) {
    this.#parts = parts;
    this.#limited = limited;
    this.#throttle = new Throttle(parts.clock);
  }

  /** How many keys may go at once, of so many; waits until they may. */
  async take(most: number, signal: AbortSignal | undefined): Promise<number> {
    if (!this.#limited) return most;
    await this.#read();
    const count = Math.min(most, this.#throttle.burst, this.#settings.replayConcurrency);
    await this.#throttle.take(count, signal);
    return count;
  }

  /** How many of so many may be under way at once. */
  async atOnce(most: number): Promise<number> {
    await this.#read();
    return Math.min(most, this.#settings.replayConcurrency);
  }

  async #read(): Promise<void> {
    const { plane, migration, clock } = this.#parts;
    const now = clock.monotonic();
    if (now - this.#readAt < FRESH_MS) return;
    this.#readAt = now;
    this.#settings = (await plane.ruleset(migration)).settings;
    this.#throttle.setRate(this.#settings.replayRate);
  }
}
