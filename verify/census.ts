import { type Clock, type Random, sleep } from '../src/core/clock.ts';
import { ChangeoverError, InvalidRecord, StoreFault } from '../src/core/errors.ts';
import { PageSize } from '../src/core/page-size.ts';
import type { KeySpec } from '../src/core/record-key.ts';
import type { Entry, Partition, Rejection, Store } from '../src/core/store.ts';
import type { StoredRecord } from '../src/core/value.ts';
import type { CompareRules } from './compare.ts';
import { fittingPages } from './fitting-pages.ts';
import { backOff, inParallel, readAgain, STORE_ATTEMPTS } from './in-parallel.ts';
import { Lossiness, type LossMatrix } from './lossiness.ts';
import { type PathStep, refusalPaths } from './refusal-path.ts';

/** What a round trip through both stores does to the records of the old one. */
export interface CensusReport {
  /** How many records were looked at. */
  readonly sampled: number;
  /** They were all that the old store holds. */
  readonly exhaustive: boolean;
  /** Records that the old store itself could not read: a backfill rejects them by their keys, or ends where it has none. */
  readonly unreadable: { readonly count: number; readonly message: string } | null;
  /** What the new store would give back for the old one's records. */
  readonly toNew: LossMatrix;
  /** What the old store would give back for those: mirrors go that way once the new store leads. */
  readonly toOld: LossMatrix;
  /** One text a place and kind of loss, without values and counts; empty where nothing is lost. */
  readonly losses: readonly string[];
  readonly startedAt: string;
  readonly finishedAt: string;
}

export interface CensusProgress {
  readonly sampled: number;
  /** How many records are to be looked at; null where nobody knows. */
  readonly wanted: number | null;
}

/** What a census counts by. */
export interface CensusRules {
  readonly stores: { readonly old: Store; readonly new: Store };
  readonly keys: KeySpec;
  readonly rules: CompareRules;
  readonly clock: Clock;
}

export interface CensusOptions extends CensusRules {
  /** How many records are looked at; null is all of them. */
  readonly sample: number | null;
  readonly random: Random;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: CensusProgress) => void) | undefined;
}

/** Refusals in the same words that are looked into, each for many round trips, and how many words. */
const LOOKED_INTO = 10;
const MOST_WORDS = 100;

type Paths = readonly (readonly PathStep[])[];
const WHOLE: Paths = [[]];

/** Where refusals in the same words came from, as far as they were looked into. */
interface Blame {
  looked: number;
  /** Null where they came from different places. */
  paths: Paths | null;
}

type Answer =
  | { readonly kind: 'held'; readonly value: StoredRecord }
  | { readonly kind: 'refused'; readonly reason: string; readonly message: string };

/** Counts what round trips do to records that are shown to it. Does no I/O. */
export class Census {
  readonly #parts: CensusRules;
  readonly #startedAt: number;
  readonly #losses: { readonly new: Lossiness; readonly old: Lossiness };
  readonly #blames = new Map<string, Blame>();
  #sampled = 0;
  #unreadable: { count: number; readonly message: string } | null = null;
  /** Nothing behind what could not be read was left out. */
  #whole = true;

  constructor(parts: CensusRules) {
    this.#parts = parts;
    this.#startedAt = parts.clock.now();
    this.#losses = { new: new Lossiness(parts.rules), old: new Lossiness(parts.rules) };
  }

  get sampled(): number {
    return this.#sampled;
  }

  /** Looks at a record of the old store; a tombstone is none. */
  add(entry: Entry): void {
    if (entry.value === null) return;
    this.#sampled += 1;
    if (entry.unreadable !== undefined) {
      this.#meet(entry.unreadable);
      return;
    }
    const there = this.#through('new', entry);
    // What the new store would hold is what is mirrored back.
    if (there !== null) this.#through('old', there === entry.value ? entry : { ...entry, value: there });
  }

  /** A part of the old store could not be read. */
  unreadable(error: InvalidRecord): void {
    this.#whole = false;
    this.#meet(error);
  }

  #meet(error: InvalidRecord): void {
    const { message, remedy } = error;
    this.#unreadable ??= { count: 0, message: remedy === undefined ? message : `${message}; ${remedy}` };
    this.#unreadable.count += 1;
  }

  report(exhaustive: boolean, showValues = false): CensusReport {
    const { clock } = this.#parts;
    return {
      sampled: this.#sampled,
      exhaustive: exhaustive && this.#whole,
      unreadable: this.#unreadable,
      toNew: this.#losses.new.report(showValues),
      toOld: this.#losses.old.report(showValues),
      losses: [
        ...(this.#unreadable === null ? [] : ['old store: records that cannot be read']),
        ...this.#losses.new.losses('new'),
        ...this.#losses.old.losses('old'),
      ],
      startedAt: new Date(this.#startedAt).toISOString(),
      finishedAt: new Date(clock.now()).toISOString(),
    };
  }

  /** The record as a store would give it back, or null where it would not take it. */
  #through(side: 'old' | 'new', entry: Entry): StoredRecord | null {
    const answer = ask(this.#parts.stores[side], entry);
    if (answer.kind === 'held') {
      this.#losses[side].compare(entry.key, entry.value, answer.value);
      return answer.value;
    }
    this.#losses[side].refuse(entry.key, entry.value, this.#blame(side, entry, answer), answer, answer.reason);
    return null;
  }

  #blame(
    side: 'old' | 'new',
    entry: Entry,
    { reason, message }: { readonly reason: string; readonly message: string },
  ): Paths {
    const words = `${side} ${reason} ${message.replace(/\d+/g, '#')}`;
    const blame = this.#blames.get(words) ?? { looked: 0, paths: WHOLE };
    if (blame.looked >= LOOKED_INTO || (blame.looked === 0 && this.#blames.size >= MOST_WORDS)) {
      return blame.paths ?? WHOLE;
    }
    const store = this.#parts.stores[side];
    const paths = refusalPaths(entry, this.#parts.keys.fields, (part): Rejection | null => {
      const again = ask(store, part);
      return again.kind === 'held' ? null : { kind: 'rejected', reason: 'limit', message: again.message };
    });
    const same = blame.looked === 0 || JSON.stringify(blame.paths) === JSON.stringify(paths);
    this.#blames.set(words, { looked: blame.looked + 1, paths: same ? paths : null });
    return paths;
  }
}

/** What a store would give back; what its codec throws is a refusal too. */
function ask(store: Store, entry: Entry): Answer {
  try {
    const answer = store.roundTrip(entry);
    return answer.kind === 'held' ? answer : { kind: 'refused', reason: answer.reason, message: answer.message };
  } catch (error) {
    // The words of an error that is not ours may hold values.
    const message =
      error instanceof ChangeoverError
        ? error.message
        : `the codec throws ${error instanceof Error ? error.name : 'something'}`;
    return { kind: 'refused', reason: 'codec', message };
  }
}

const PARTITIONS = 64;
const LANES = 4;
const PAGE = 500;
/** For how long counting may keep the event loop to itself. */
const SLICE_MS = 20;

interface Share {
  readonly partition: Partition;
  cursor: string | undefined;
  done: boolean;
}

/**
 * Reads a sample of the old store, evenly from many parts of it, and counts what round trips do to it. Changes nothing.
 *
 * @throws StoreFault, and the signal's reason when it is interrupted
 */
export async function takeCensus(options: CensusOptions): Promise<{
  readonly census: Census;
  readonly exhaustive: boolean;
}> {
  const { stores, clock, random, sample } = options;
  const signal = options.signal ?? new AbortController().signal;
  const retry = { clock, random, signal };
  const census = new Census(options);
  const limit = sample ?? Number.POSITIVE_INFINITY;
  const estimate = await readAgain(retry, () => stores.old.estimate());
  const wanted = sample === null ? estimate : Math.min(sample, estimate ?? sample);
  const partitions = await readAgain(retry, () => stores.old.partitions(PARTITIONS));
  const shares = partitions.map((partition): Share => ({ partition, cursor: undefined, done: false }));
  const pages = new PageSize();
  let dropped = false;
  let sliceFrom = clock.monotonic();

  /** Counts about `quota` entries of a share, or what is left of it. */
  const read = async (share: Share, quota: number): Promise<void> => {
    let left = quota;
    for (let attempt = 1; left > 0 && !share.done && census.sampled < limit; attempt += 1) {
      signal.throwIfAborted();
      try {
        const pageSize = Math.min(left, PAGE);
        const from = { cursor: share.cursor, pageSize, signal };
        for await (const page of fittingPages(stores.old, share.partition, pages, from)) {
          attempt = 1;
          for (const entry of page.entries) {
            if (census.sampled < limit) census.add(entry);
            else dropped = true;
          }
          share.cursor = page.cursor;
          left -= page.entries.length;
          options.onProgress?.({ sampled: census.sampled, wanted });
          if (clock.monotonic() - sliceFrom >= SLICE_MS) {
            await sleep(clock, 0, signal);
            sliceFrom = clock.monotonic();
          }
          if (left <= 0 || census.sampled >= limit) return;
        }
        share.done = true;
      } catch (error) {
        if (error instanceof InvalidRecord) {
          // Nothing behind it in this share can be reached.
          census.unreadable(error);
          share.done = true;
        } else {
          if (signal.aborted || !(error instanceof StoreFault) || attempt >= STORE_ATTEMPTS) throw error;
          await backOff(retry, attempt);
        }
      }
    }
  };

  for (;;) {
    const open = shares.filter((share) => !share.done);
    if (open.length === 0 || census.sampled >= limit) break;
    const quota = sample === null ? Number.POSITIVE_INFINITY : Math.ceil((limit - census.sampled) / open.length);
    await inParallel(open, LANES, (share) => read(share, quota));
  }
  return { census, exhaustive: !dropped && shares.every((share) => share.done) };
}
