import { type Clock, type Random, sleep } from '../core/clock.ts';
import { StoreFault, StoreUnavailable } from '../core/errors.ts';
import { isLarge } from '../core/page-size.ts';
import { STAMP_MIN, type Stamp } from '../core/stamp.ts';
import { type Entry, isMoot, type PutFault, type PutOutcome, type Rejection, type Store } from '../core/store.ts';

/** So many attempts that achieve nothing are the last; each that achieves something makes up for one. */
const MOST_ATTEMPTS = 12;
const FIRST_BACKOFF_MS = 50;
const LONGEST_BACKOFF_MS = 5_000;

/** What patience with a store's passing faults takes. */
export interface Patience {
  readonly clock: Clock;
  readonly random: Random;
  readonly signal?: AbortSignal | undefined;
  /** Told of each fault of a read that is tried again. */
  readonly onFault?: ((message: string) => void) | undefined;
}

/** One answer to a batch, of stamps that were asked for or of puts, for those who adapt to them. */
export interface PutAnswer {
  readonly count: number;
  /** By the monotonic clock. */
  readonly sentAt: number;
  readonly tookMs: number;
  /** Why some of it is not definite; null where all is. */
  readonly fault: string | null;
  /** The target asked for less load. */
  readonly pressed: boolean;
}

export interface PutNewerOptions extends Patience {
  readonly target: Store;
  /** The deadline of puts that are sent now, durable before it is used (R13). */
  readonly deadline: () => Promise<number>;
  /** False puts without asking first which of them the target has; it is the put that decides. @default true */
  readonly ask?: boolean;
  readonly onAnswer?: ((answer: PutAnswer) => void) | undefined;
}

export interface PutNewerResult {
  readonly applied: number;
  /** The target has these versions or newer ones. */
  readonly skipped: number;
  readonly rejected: readonly { readonly entry: Entry; readonly rejection: Rejection }[];
}

/** An entry as a replay puts it: what never had a stamp is older than everything that has one. */
export const asReplayed = (entry: Entry): Entry => {
  const { id, key, stamp, value } = entry;
  return stamp === null ? { id, key, stamp: STAMP_MIN, value } : entry;
};

/**
 * Puts entries with their own stamps until every put is definite (R10), sending again what had no answer or came too
 * late. What the target has already is not put: its stamps are read first, in one batch, unless hardly anything is there.
 * @throws StoreUnavailable when the target fails again and again; nothing is lost, the caller's checkpoint stands
 */
export async function putNewer(entries: readonly Entry[], options: PutNewerOptions): Promise<PutNewerResult> {
  const { target, clock, random, signal } = options;
  const told = entries.every(({ unreadable }) => unreadable === undefined);
  const rejected = told ? [] : entries.flatMap(unread);
  const known = told ? entries : entries.filter(({ unreadable }) => unreadable === undefined);
  let open = options.ask === false ? known.map(asReplayed) : await lacking(known, options);
  let skipped = known.length - open.length;
  let applied = 0;
  let because: string | null = null;
  /** So many are sent at once. */
  let size = open.length;
  /** The first so many of `open` were sent before. */
  let sentBefore = 0;
  let pause = false;
  let vain = 0;
  while (open.length > 0) {
    signal?.throwIfAborted();
    if (vain >= MOST_ATTEMPTS) {
      const large = open.some(isLarge) ? ' (records of many megabytes may need a longer put-timeout-ms)' : '';
      const what = `${target.label} did not take ${open.length} records, though they were sent again and again`;
      throw new StoreUnavailable(because === null ? what : `${what}: ${because}`, {
        remedy: `see to the store${large}, then run the same command: it goes on from its checkpoint`,
      });
    }
    if (pause) await sleep(clock, backoffMs(Math.max(0, vain - 1), random), signal);
    const batch = open.slice(0, size);
    const outcomes = await send(batch, options);
    because = faultOf(target, outcomes) ?? because;
    const left: Entry[] = [];
    outcomes.forEach((outcome, i) => {
      const entry = batch[i] as Entry;
      if (outcome.kind === 'applied') {
        // Sent for the first time, a copy that was there already is not ours of this time.
        if (outcome.previous === 'same' && i >= sentBefore) skipped += 1;
        else applied += 1;
      } else if (outcome.kind === 'superseded' || (outcome.kind === 'rejected' && isMoot(target, entry))) skipped += 1;
      else if (outcome.kind === 'rejected') rejected.push({ entry, rejection: outcome });
      else left.push(entry);
    });
    pause = left.length > 0;
    vain = left.length < batch.length ? Math.max(0, vain - 1) : vain + 1;
    // What is too much for the time that a put has comes in time in parts.
    if (outcomes.filter(isLate).length * 2 > batch.length) size = Math.ceil(batch.length / 2);
    sentBefore = left.length + Math.max(0, sentBefore - batch.length);
    open = [...left, ...open.slice(batch.length)];
  }
  return { applied, skipped, rejected };
}

/** What the source cannot tell no target is given. */
const unread = (entry: Entry): readonly { readonly entry: Entry; readonly rejection: Rejection }[] =>
  entry.unreadable === undefined
    ? []
    : [{ entry, rejection: { kind: 'rejected', reason: 'limit', message: entry.unreadable.message } }];

/** The entries that the target has neither as they are nor newer; values are not looked at. */
export async function lacking(
  entries: readonly Entry[],
  options: Pick<PutNewerOptions, keyof Patience | 'target' | 'onAnswer'>,
): Promise<Entry[]> {
  const { target, clock, onAnswer } = options;
  const pressureBefore = target.pressure ?? 0;
  const sentAt = clock.monotonic();
  const present = await again(options, () => storedStamps(target, entries));
  const tookMs = clock.monotonic() - sentAt;
  const pressed = (target.pressure ?? 0) > pressureBefore;
  onAnswer?.({ count: entries.length, sentAt, tookMs, fault: null, pressed });
  return entries.filter(({ stamp }, i) => (present[i] ?? '') < (stamp ?? STAMP_MIN)).map(asReplayed);
}

/** What is there without a stamp is as good as nothing: every entry of a replay is newer. */
const storedStamps = async (target: Store, entries: readonly Entry[]): Promise<readonly (Stamp | null)[]> =>
  (await target.stamps?.(entries)) ??
  (await target.getMany(entries, { stampsOnly: true })).map((entry) => entry?.stamp ?? null);

/** One try; a fault of the whole batch is one of each of its puts. */
async function send(batch: readonly Entry[], options: PutNewerOptions): Promise<readonly (PutOutcome | PutFault)[]> {
  const { target, clock, onAnswer } = options;
  const deadline = await options.deadline();
  const pressureBefore = target.pressure ?? 0;
  const sentAt = clock.monotonic();
  const outcomes: readonly (PutOutcome | PutFault)[] = await target
    .putManyIfNewer(batch, deadline)
    .catch((error: unknown) => {
      if (!(error instanceof StoreFault)) throw error;
      const { outcome, message, pressure } = error;
      return batch.map((): PutFault => ({ kind: 'fault', outcome, message, pressure }));
    });
  onAnswer?.({
    count: batch.length,
    sentAt,
    tookMs: clock.monotonic() - sentAt,
    fault: faultOf(target, outcomes),
    pressed: (target.pressure ?? 0) > pressureBefore || outcomes.some((each) => each.kind === 'fault' && each.pressure),
  });
  return outcomes;
}

/** Too late, or without an answer for as long as it had. */
const isLate = (outcome: PutOutcome | PutFault): boolean =>
  outcome.kind === 'expired' || (outcome.kind === 'fault' && outcome.outcome === 'unknown');

/** Why some of a batch is not definite. */
function faultOf({ label }: Pick<Store, 'label'>, outcomes: readonly (PutOutcome | PutFault)[]): string | null {
  const open = outcomes.find((outcome) => outcome.kind === 'fault' || outcome.kind === 'expired');
  if (open === undefined) return null;
  return open.kind === 'fault' ? open.message : `puts reach ${label} too late`;
}

const backoffMs = (attempt: number, random: Random): number =>
  Math.min(FIRST_BACKOFF_MS * 2 ** attempt, LONGEST_BACKOFF_MS) * (0.5 + random());

/** Repeats a read of a store through passing faults. */
export async function again<T>(
  { target, clock, random, signal, onFault }: Patience & { readonly target: Pick<Store, 'label'> },
  read: () => Promise<T>,
): Promise<T> {
  for (let attempt = 0; ; attempt += 1) {
    signal?.throwIfAborted();
    try {
      return await read();
    } catch (error) {
      if (!(error instanceof StoreFault)) throw error;
      if (attempt >= MOST_ATTEMPTS) {
        throw new StoreUnavailable(`${target.label} cannot be read: ${error.message}`, { cause: error });
      }
      onFault?.(error.message);
      await sleep(clock, backoffMs(attempt, random), signal);
    }
  }
}
