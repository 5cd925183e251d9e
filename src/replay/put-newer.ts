import { type Clock, type Random, sleep } from '../core/clock.ts';
import { StoreFault, StoreUnavailable } from '../core/errors.ts';
import { STAMP_MIN } from '../core/stamp.ts';
import type { Entry, PutFault, PutOutcome, Rejection, Store } from '../core/store.ts';

const MOST_ATTEMPTS = 12;
const FIRST_BACKOFF_MS = 50;
const LONGEST_BACKOFF_MS = 5_000;

export interface PutNewerOptions {
  readonly target: Store;
  readonly clock: Clock;
  readonly random: Random;
  readonly signal?: AbortSignal | undefined;
  /** The deadline of puts that are sent now, durable before it is used (R13). */
  readonly deadline: () => Promise<number>;
}

export interface PutNewerResult {
  readonly applied: number;
  /** The target has these versions or newer ones. */
  readonly skipped: number;
  readonly rejected: readonly { readonly entry: Entry; readonly rejection: Rejection }[];
  /** The target asked for less load meanwhile. */
  readonly pressed: boolean;
}

/** An entry as a replay puts it: what never had a stamp is older than everything that has one. */
export const asReplayed = (entry: Entry): Entry => (entry.stamp === null ? { ...entry, stamp: STAMP_MIN } : entry);

/**
 * Puts entries with their own stamps until every put is definite (R10), sending again what had no answer or came too
 * late. What the target has already is not put: its stamps are read first, in one batch.
 * @throws StoreUnavailable when the target fails again and again; nothing is lost, the caller's checkpoint stands
 */
export async function putNewer(entries: readonly Entry[], options: PutNewerOptions): Promise<PutNewerResult> {
  const { target, clock, random, signal } = options;
  const pressureBefore = target.pressure ?? 0;
  let pressed = false;
  const present = await again(options, () => target.getMany(entries, { stampsOnly: true }));
  let open = entries.map(asReplayed).filter((entry, i) => {
    const there = present[i];
    return there === undefined || (there.stamp ?? '') < (entry.stamp as string);
  });
  let skipped = entries.length - open.length;
  let applied = 0;
  const rejected: { entry: Entry; rejection: Rejection }[] = [];
  for (let attempt = 0; open.length > 0; attempt += 1) {
    signal?.throwIfAborted();
    if (attempt >= MOST_ATTEMPTS) {
      throw new StoreUnavailable(`${target.label} did not take ${open.length} records in ${attempt} attempts`, {
        remedy: 'see to the store, then run the same command: it goes on from its checkpoint',
      });
    }
    if (attempt > 0) {
      const ms = Math.min(FIRST_BACKOFF_MS * 2 ** (attempt - 1), LONGEST_BACKOFF_MS) * (0.5 + random());
      await sleep(clock, ms, signal);
    }
    const deadline = await options.deadline();
    const batch = open;
    const outcomes: readonly (PutOutcome | PutFault)[] = await target
      .putManyIfNewer(batch, deadline)
      .catch((error: unknown) => {
        if (!(error instanceof StoreFault)) throw error;
        return batch.map(
          (): PutFault => ({
            kind: 'fault',
            outcome: error.outcome,
            message: error.message,
            pressure: error.pressure,
          }),
        );
      });
    open = [];
    outcomes.forEach((outcome, i) => {
      const entry = batch[i] as Entry;
      if (outcome.kind === 'applied') applied += 1;
      else if (outcome.kind === 'superseded') skipped += 1;
      else if (outcome.kind === 'rejected') rejected.push({ entry, rejection: outcome });
      else {
        if (outcome.kind === 'fault' && outcome.pressure) pressed = true;
        open.push(entry);
      }
    });
  }
  return { applied, skipped, rejected, pressed: pressed || (target.pressure ?? 0) > pressureBefore };
}

/** Repeats a read of a store through passing faults. */
export async function again<T>(options: Omit<PutNewerOptions, 'deadline'>, read: () => Promise<T>): Promise<T> {
  for (let attempt = 0; ; attempt += 1) {
    options.signal?.throwIfAborted();
    try {
      return await read();
    } catch (error) {
      if (!(error instanceof StoreFault)) throw error;
      if (attempt >= MOST_ATTEMPTS) {
        throw new StoreUnavailable(`${options.target.label} cannot be read: ${error.message}`, { cause: error });
      }
      const ms = Math.min(FIRST_BACKOFF_MS * 2 ** attempt, LONGEST_BACKOFF_MS) * (0.5 + options.random());
      await sleep(options.clock, ms, options.signal);
    }
  }
}
