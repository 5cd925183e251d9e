import { type Clock, type Random, sleep } from '../src/core/clock.ts';
import { StoreFault } from '../src/core/errors.ts';

/** Works through `items` with at most `concurrency` at once; the first failure stops the rest from beginning. */
export async function inParallel<T>(
  items: Iterable<T>,
  concurrency: number,
  work: (item: T) => Promise<void>,
): Promise<void> {
  const iterator = items[Symbol.iterator]();
  let failed = false;
  const lane = async (): Promise<void> => {
    while (!failed) {
      const next = iterator.next();
      if (next.done === true) return;
      try {
        await work(next.value);
      } catch (error) {
        failed = true;
        throw error;
      }
    }
  };
  await settleAll(Array.from({ length: Math.max(1, concurrency) }, lane));
}

/** Waits until all have ended, then throws the first failure: nothing goes on behind an error. */
export async function settleAll(work: readonly Promise<unknown>[]): Promise<void> {
  const results = await Promise.allSettled(work);
  for (const result of results) if (result.status === 'rejected') throw result.reason;
}

/** How often a store's passing fault is met with another try. */
export const STORE_ATTEMPTS = 5;
const FIRST_BACKOFF_MS = 100;

export interface RetryContext {
  readonly clock: Clock;
  readonly random: Random;
  readonly signal: AbortSignal;
}

/** Waits before try number `attempt` (1 is the first repetition), with full jitter. */
export function backOff({ clock, random, signal }: RetryContext, attempt: number): Promise<void> {
  return sleep(clock, random() * FIRST_BACKOFF_MS * 2 ** attempt, signal);
}

/** Reads from a store, again after a fault, up to {@link STORE_ATTEMPTS} times in all. */
export async function readAgain<T>(context: RetryContext, read: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    context.signal.throwIfAborted();
    try {
      return await read();
    } catch (error) {
      if (context.signal.aborted || !(error instanceof StoreFault) || attempt >= STORE_ATTEMPTS) throw error;
      await backOff(context, attempt);
    }
  }
}
