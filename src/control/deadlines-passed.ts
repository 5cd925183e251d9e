import { type Clock, sleep } from '../core/clock.ts';
import type { Side } from '../core/stage.ts';
import { type Store, settledAt } from '../core/store.ts';

/** What is known of the puts that may still be on their way. */
export interface PutLimits {
  /** No put of a replay or of a dead process has a later deadline, on either store. */
  readonly deadlineLimit: number;
  /** No put of a process that acknowledged was given longer, ms. */
  readonly longestPutMs: number;
}

/**
 * Resolves when no put that was sent before the call can be applied any more, by the clock of each store (R13): that one
 * decides, however far it is from the control plane's.
 */
export async function deadlinesPassed(
  stores: Readonly<Record<Side, Store>>,
  clock: Clock,
  { deadlineLimit, longestPutMs }: PutLimits,
  signal: AbortSignal | undefined,
): Promise<void> {
  const waits = [stores.old, stores.new].map((store) => ({
    store,
    until: settledAt(store, Math.max(deadlineLimit, Math.ceil(store.now()) + longestPutMs)),
  }));
  for (const { store, until } of waits) {
    while (store.now() <= until) await sleep(clock, Math.min(until - store.now() + 1, 1_000), signal);
  }
}
