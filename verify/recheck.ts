import { sleep } from '../src/core/clock.ts';
import { PageSize } from '../src/core/page-size.ts';
import type { KeySpec } from '../src/core/record-key.ts';
import type { Entry, KeyRef, Store } from '../src/core/store.ts';
import { type CompareRules, compareRecords } from './compare.ts';
import { type Classification, classify, type DivergenceCause, relationOf } from './divergence.ts';
import { inParallel, type RetryContext, readAgain, settleAll } from './in-parallel.ts';
import { type Candidate, NO_RECORD, printOf } from './join.ts';
import { keyFromId } from './key-text.ts';
import type { RecordDigests } from './record-digest.ts';

/** The last word on a key: what both sides hold and what that means. */
export interface Settled {
  readonly id: string;
  readonly old: Entry | undefined;
  readonly new: Entry | undefined;
  /** `pending` when it never stood still for long enough. */
  readonly word: Classification;
}

export interface RecheckJob extends RetryContext {
  readonly old: Store;
  readonly new: Store;
  readonly keys: KeySpec;
  readonly authority: (unit: string) => 'old' | 'new';
  readonly rules: CompareRules;
  readonly digests: RecordDigests;
  readonly recheckMs: readonly number[];
  readonly youngMs: number;
  readonly lostAfterMs: number;
  readonly concurrency: number;
  readonly knownDirt: ((unit: string, id: string) => DivergenceCause | undefined) | undefined;
  readonly covered: ((unit: string) => boolean) | undefined;
  readonly onSettled: (settled: Settled) => void;
}

/** A key on its way through the generations. */
interface Suspect extends Candidate {
  /** The monotonic time since when both sides were seen as they are. */
  readonly since: number;
  /** Waits since then: a timer may fire a little before its time. */
  readonly waitedMs: number;
}

/**
 * How many keys wait for their next generation at once. Beyond, they are worked to their end first, and by then those
 * that follow have mostly been seen unchanged for long enough to be settled at the first look.
 */
const MOST_WAITING = 10_000;

/**
 * Reads candidates again, strongly and from both stores, in generations with back-off: what was on its way arrives,
 * what is wrong stays.
 */
export class Recheck {
  readonly #job: RecheckJob;
  readonly #chunk: number;
  readonly #span: number;
  readonly #pages = new PageSize();
  #fresh: Suspect[] = [];
  #waiting: Suspect[] = [];
  #candidates = 0;
  #relief: Promise<void> | null = null;

  constructor(job: RecheckJob) {
    this.#job = job;
    this.#chunk = Math.max(1, Math.min(job.old.capabilities.batchSize, job.new.capabilities.batchSize, 1_000));
    this.#span = job.recheckMs.reduce((sum, ms) => sum + ms, 0);
  }

  get candidates(): number {
    return this.#candidates;
  }

  /** `since`: the monotonic time by which both sides had been seen as the candidate says. */
  add(candidate: Candidate, since: number): void {
    this.#fresh.push({ ...candidate, since, waitedMs: 0 });
    this.#candidates += 1;
  }

  /** Looks at what was added, if it is worth a round trip; all who add at once wait for the same looks. */
  async relieve(): Promise<void> {
    while (this.#relief !== null) await this.#relief;
    if (this.#fresh.length < this.#chunk * this.#job.concurrency) return;
    this.#relief = this.#first().then(() => (this.#waiting.length < MOST_WAITING ? undefined : this.#generations()));
    await this.#relief.finally(() => {
      this.#relief = null;
    });
  }

  /** Brings everything to its end. */
  async finish(): Promise<void> {
    await this.#first();
    await this.#generations();
  }

  async #first(): Promise<void> {
    const suspects = this.#fresh;
    this.#fresh = [];
    for (const left of await this.#look(suspects, this.#job.recheckMs.length === 0)) this.#waiting.push(left);
  }

  async #generations(): Promise<void> {
    const { recheckMs, clock, signal } = this.#job;
    let suspects = this.#waiting;
    this.#waiting = [];
    for (const [i, ms] of recheckMs.entries()) {
      if (suspects.length === 0) return;
      await sleep(clock, ms, signal);
      const waited = suspects.map((suspect) => ({ ...suspect, waitedMs: suspect.waitedMs + ms }));
      suspects = await this.#look(waited, i === recheckMs.length - 1);
    }
  }

  /** One generation; gives those that need another look. */
  async #look(suspects: readonly Suspect[], last: boolean): Promise<Suspect[]> {
    const left: Suspect[] = [];
    await inParallel(this.#chunks(suspects), this.#job.concurrency, async (chunk) => {
      const keys = chunk.map(({ id }) => ({ id, key: keyFromId(id, this.#job.keys.fields) }));
      const [old, fresh] = await this.#read(keys);
      for (const [i, suspect] of chunk.entries()) {
        const ref = keys[i] as KeyRef;
        const hidden = {
          old: this.#hides('old', suspect, ref, old[i]),
          new: this.#hides('new', suspect, ref, fresh[i]),
        };
        if (hidden.old || hidden.new) {
          this.#settleUnread(ref, old[i] ?? hidden.old, fresh[i] ?? hidden.new);
          continue;
        }
        const next = this.#judge(suspect, ref, old[i], fresh[i], last);
        if (next !== null) left.push(next);
      }
    });
    return left;
  }

  /** Cut when they are due, as what was read before says how many records fit into memory. */
  *#chunks(suspects: readonly Suspect[]): Iterable<readonly Suspect[]> {
    for (let at = 0; at < suspects.length; ) {
      const chunk = suspects.slice(at, at + this.#pages.for(this.#chunk));
      at += chunk.length;
      yield chunk;
    }
  }

  async #read(keys: readonly KeyRef[]): Promise<[(Entry | undefined)[], (Entry | undefined)[]]> {
    const job = this.#job;
    const reads = [job.old, job.new].map((store) => readAgain(job, () => store.getMany(keys)));
    await settleAll(reads);
    const found = await Promise.all(reads);
    for (const side of found) this.#pages.learn(side.filter((entry) => entry !== undefined));
    return found as [(Entry | undefined)[], (Entry | undefined)[]];
  }

  /** What a scan met under a key that the store itself cannot be asked for: it is there still, as far as anybody can see. */
  #hides(side: 'old' | 'new', suspect: Suspect, ref: KeyRef, read: Entry | undefined): Entry | undefined {
    if (read !== undefined || suspect[side] === NO_RECORD) return undefined;
    const unnamed = this.#job[side].check({ ...ref, stamp: null, value: null }) !== null;
    return unnamed ? { ...ref, stamp: null, value: {} } : undefined;
  }

  /** No put by its key will ever mend it, and no other look says more. */
  #settleUnread({ id, key }: KeyRef, old: Entry | undefined, fresh: Entry | undefined): void {
    const { keys, authority, knownDirt, onSettled } = this.#job;
    const unit = keys.unit(key);
    const [lead, follower] = authority(unit) === 'old' ? [old, fresh] : [fresh, old];
    const there = (entry: Entry | undefined): boolean => entry !== undefined && entry.value !== null;
    const kind = !there(lead) ? 'extra' : there(follower) ? 'different' : 'missing';
    const cause = kind === 'missing' ? (knownDirt?.(unit, id) ?? 'rejected') : 'written outside';
    onSettled({ id, old, new: fresh, word: { word: kind, kind, cause, fields: [], ageMs: null, certain: true } });
  }

  #judge(
    suspect: Suspect,
    { id, key }: KeyRef,
    old: Entry | undefined,
    fresh: Entry | undefined,
    last: boolean,
  ): Suspect | null {
    const { keys, rules, clock, recheckMs, youngMs, lostAfterMs, knownDirt, covered, onSettled } = this.#job;
    const print = { old: this.#print('old', old), new: this.#print('new', fresh) };
    const now = clock.monotonic();
    const unchanged = print.old === suspect.old && print.new === suspect.new;
    const unchangedMs = unchanged ? Math.max(now - suspect.since, suspect.waitedMs) : 0;
    const unit = keys.unit(key);
    const authority = this.#job.authority(unit);
    const [lead, follower] = authority === 'old' ? [old, fresh] : [fresh, old];
    const knownCause = knownDirt?.(unit, id);
    const lossy = (entry: Entry): boolean => this.#isLossy(entry, authority === 'old' ? 'new' : 'old');
    // By the clock of the store that leads: the one of this machine may be an hour off.
    const seen = { authority, now: Math.floor(this.#job[authority].now()), youngMs, unchangedMs, lostAfterMs };
    const complete = covered?.(unit);
    const context = { ...seen, knownCause, lossy, ...(complete !== undefined && { covered: complete }) };
    const word = classify(lead, follower, rules, context);
    const settle = (word: Classification): null => {
      onSettled({ id, old, new: fresh, word });
      return null;
    };
    if (word.word === 'equal' || word.certain) return settle(word);
    if (caughtUp(suspect, print)) return settle({ word: 'equal' });
    const passing = word.word === 'pending' || word.word === 'ahead';
    // Both hold what was there before there were stamps: no write of ours is on its way, and it has stood still.
    const unstamped = relationOf(lead, follower) === 'same';
    if (!passing && unchangedMs >= (unstamped ? (recheckMs[0] ?? 0) : this.#span)) return settle(word);
    if (last) return settle(passing || unchanged ? word : { ...word, word: 'pending' });
    return unchanged ? suspect : { id, ...print, since: now, waitedMs: 0 };
  }

  /** Whether a store would give back another value than it was given; what its codec refuses is lost too. */
  #isLossy(entry: Entry, side: 'old' | 'new'): boolean {
    try {
      const answer = this.#job[side].roundTrip(entry);
      if (answer.kind !== 'held') return true;
      return compareRecords(entry.value, answer.value, this.#job.rules).length > 0;
    } catch {
      return true;
    }
  }

  #print(side: 'old' | 'new', entry: Entry | undefined): string {
    if (entry === undefined || entry.value === null) return NO_RECORD;
    const unread = entry.unreadable === undefined ? undefined : side;
    return printOf(entry.stamp, this.#job.digests.text(entry.id, entry.value, unread));
  }
}

/**
 * A key that is written all the time is hardly ever seen equal. It is enough that one side now shows the very version
 * that the other one showed before: that version came over whole.
 */
function caughtUp(before: Candidate, now: { readonly old: string; readonly new: string }): boolean {
  const came = (then: string, here: string): boolean => then === here && then !== NO_RECORD && !then.startsWith('-');
  if (now.old === NO_RECORD || now.new === NO_RECORD) return false;
  return came(before.old, now.new) || came(before.new, now.old);
}
