import { sleep } from '../src/core/clock.ts';
import { StoreFault } from '../src/core/errors.ts';
import { PageSize } from '../src/core/page-size.ts';
import { isPlanted } from '../src/core/planted.ts';
import type { KeySpec } from '../src/core/record-key.ts';
import type { Stamp } from '../src/core/stamp.ts';
import type { CasOutcome, Entry, KeyRef, Store } from '../src/core/store.ts';
import type { Key, StoredRecord } from '../src/core/value.ts';
import { type CompareRules, compareRecords } from './compare.ts';
import type { DivergenceKind } from './divergence.ts';
import { fittingPages } from './fitting-pages.ts';
import { backOff, type RetryContext, readAgain, STORE_ATTEMPTS } from './in-parallel.ts';
import { alterations, PLANTED_EACH, PLANTED_KINDS, plantedStamp, unusedKey, withOtherTexts } from './planted.ts';

export interface PlantJob extends RetryContext {
  readonly old: Store;
  readonly new: Store;
  readonly keys: KeySpec;
  readonly rules: CompareRules;
  readonly authority: (unit: string) => 'old' | 'new';
  readonly includes: ((unit: string) => boolean) | null;
}

/** What is planted under a key: a version and its value on each side that gets one. */
interface Plan {
  readonly kind: DivergenceKind;
  readonly key: Key;
  readonly lead: Entry | null;
  readonly follower: Entry | null;
}

type Side = 'old' | 'new';

const PUT_MS = 5_000;
const PATTERNS_LOOKED_FOR = 200;
const MOST_ALTERATIONS = 12;
/** The rank from which on not every kind can be planted after a record. */
const UNALTERABLE = 2;

const isPattern = ({ value, stamp, unreadable }: Entry): boolean =>
  value !== null && unreadable === undefined && !isPlanted(stamp);

/** Why a record cannot be planted, for the report. */
class Refused {
  readonly why: string;
  /** It will be so for every other one. */
  readonly hopeless: boolean;

  constructor(why: string, hopeless = false) {
    this.why = why;
    this.hopeless = hopeless;
  }
}

/**
 * The planted records of one run. `plant` before the scan, `remove` after it whatever happens. Everything is done by
 * compare-and-set, so that no record of anybody else is ever written or removed.
 */
export class Planting {
  readonly #job: PlantJob;
  readonly #planted = new Map<string, DivergenceKind>();
  readonly #found = new Map<string, string>();
  readonly #written: Record<Side, Map<string, Key>> = { old: new Map(), new: new Map() };
  /** Until when (by the store's time) a put without an answer may still be applied. */
  readonly #until: Record<Side, number> = { old: 0, new: 0 };
  #refused: string | null = null;

  constructor(job: PlantJob) {
    this.#job = job;
  }

  has(id: string): boolean {
    return this.#planted.has(id);
  }

  /** Of everything that was planted. */
  get ids(): readonly string[] {
    return [...this.#planted.keys()];
  }

  /** The verification's word on a key; whether the key was planted. */
  settled(id: string, word: string): boolean {
    if (!this.#planted.has(id)) return false;
    this.#found.set(id, word);
    return true;
  }

  /** Somebody else's, or an earlier run's, planted record was met: it is removed with the others. */
  leftover(side: Side, { id, key }: KeyRef): void {
    this.#written[side].set(id, key);
  }

  /** What of it the verification reported rightly; `refused` says why nothing, or not everything, could be planted. */
  outcome(): { readonly planted: number; readonly missed: readonly string[]; readonly refused: string | null } {
    const missed = [...this.#planted].flatMap(([id, kind]) => {
      const word = this.#found.get(id) ?? 'equal';
      return word === kind ? [] : [`${kind} seen as ${word}`];
    });
    return { planted: this.#planted.size, missed: missed.sort(), refused: this.#refused };
  }

  async plant(): Promise<void> {
    const patterns = await this.#patterns();
    if (patterns.length === 0) {
      this.#refused = 'there is no record to take as a pattern';
      return;
    }
    for (let n = 0; n < PLANTED_EACH; n += 1) {
      const pattern = patterns[n % patterns.length] as Entry;
      for (const kind of PLANTED_KINDS) {
        const answer = await this.#plantOne(kind, pattern);
        if (answer instanceof Refused) this.#refused ??= answer.why;
        if (answer?.hopeless === true) return;
      }
    }
  }

  /** Real records to take after, from the first that a scan of either store meets: the best of them, and no more. */
  async #patterns(): Promise<readonly Entry[]> {
    for (const side of ['old', 'new'] as const) {
      const store = this.#job[side];
      const found = await readAgain(this.#job, async () => {
        let best: { readonly entry: Entry; readonly rank: number }[] = [];
        let seen = 0;
        const pages = new PageSize();
        for (const partition of await store.partitions(1)) {
          for await (const page of fittingPages(store, partition, pages, { pageSize: 50, signal: this.#job.signal })) {
            for (const entry of page.entries) {
              if (isPattern(entry)) best.push({ entry, rank: this.#rank(entry) });
            }
            best = best.sort((a, b) => a.rank - b.rank).slice(0, PLANTED_EACH);
            seen += page.entries.length;
            const enough = best.length === PLANTED_EACH && best.every(({ rank }) => rank < UNALTERABLE);
            if (enough || seen >= PATTERNS_LOOKED_FOR) return best;
          }
        }
        return best;
      });
      if (found.length > 0) return found.map(({ entry }) => entry);
    }
    return [];
  }

  /** Those that can be altered come first, and of them those that are verified themselves; any other will do. */
  #rank({ id, key, value }: Entry): number {
    const { keys, includes } = this.#job;
    const elsewhere = includes === null || includes(keys.unit(key)) ? 0 : 1;
    return elsewhere + (this.#alteration(id, key, value as StoredRecord) === null ? UNALTERABLE : 0);
  }

  async #plantOne(kind: DivergenceKind, pattern: Entry): Promise<Refused | null> {
    const { keys, random } = this.#job;
    const base = pattern.value as StoredRecord;
    const key = this.#unusedKey(pattern);
    if (key === null) return new Refused('no unit that nobody has stands in what is verified', true);
    const id = keys.id(key);
    if (id === pattern.id) return new Refused('a key of truth values alone leaves none that nobody has', true);
    // As it is, for what refers to others; with other texts, for what may be there only once.
    let refusal: Refused | null = null;
    for (const record of [base, withOtherTexts(base, keys.fields, random)]) {
      const plan = this.#plan(kind, id, key, { ...record, ...key });
      if (plan instanceof Refused) return plan;
      const answer = await this.#write(id, plan);
      if (answer === null) {
        this.#planted.set(id, kind);
        return null;
      }
      refusal = answer;
      await this.#removeFrom('old', [{ id, key }]);
      await this.#removeFrom('new', [{ id, key }]);
    }
    return refusal;
  }

  /** Where a store has no room for numbers below zero they stay, if there is something else in the key. */
  #unusedKey(pattern: Entry): Key | null {
    const { keys, includes, random } = this.#job;
    const isVerified = (key: Key): boolean => includes === null || includes(keys.unit(key));
    const fits = (key: Key): boolean => {
      const entry = { id: keys.id(key), key, stamp: null, value: { ...pattern.value, ...key } };
      return this.#job.old.roundTrip(entry).kind === 'held' && this.#job.new.roundTrip(entry).kind === 'held';
    };
    const key = unusedKey(pattern.key, random, isVerified);
    if (key === null || fits(key)) return key;
    const other = unusedKey(pattern.key, random, isVerified, 'kept');
    return other !== null && keys.id(other) !== pattern.id && fits(other) ? other : key;
  }

  #plan(kind: DivergenceKind, id: string, key: Key, record: StoredRecord): Plan | Refused {
    const { clock } = this.#job;
    const older = plantedStamp(clock.now(), 'older');
    const newer = plantedStamp(clock.now(), 'newer');
    const entry = (stamp: Stamp, value: StoredRecord): Entry => ({ id, key, stamp, value });
    if (kind === 'missing') return { kind, key, lead: entry(older, record), follower: null };
    if (kind === 'extra') return { kind, key, lead: null, follower: entry(older, record) };
    const other = this.#alteration(id, key, record);
    if (other === null) return new Refused('no field beside the key could be altered so that the stores would tell');
    return { kind, key, lead: entry(kind === 'stale' ? newer : older, record), follower: entry(older, other) };
  }

  /** A record that the follower would hold, and that differs there from what the other store would hold. */
  #alteration(id: string, key: Key, record: StoredRecord): StoredRecord | null {
    const { keys, rules, authority } = this.#job;
    const lead = authority(keys.unit(key));
    const follower = lead === 'old' ? 'new' : 'old';
    const held = (side: Side, value: StoredRecord): StoredRecord | null => {
      const answer = this.#job[side].roundTrip({ id, key, stamp: null, value });
      return answer.kind === 'held' ? answer.value : null;
    };
    const there = held(lead, record);
    if (there === null) return null;
    for (const other of alterations(record, keys.fields).slice(0, MOST_ALTERATIONS)) {
      const here = held(follower, other);
      if (here !== null && compareRecords(there, here, rules).length > 0) return other;
    }
    return null;
  }

  async #write(id: string, { key, lead, follower }: Plan): Promise<Refused | null> {
    const leader = this.#job.authority(this.#job.keys.unit(key));
    const sides: readonly [Side, Entry | null][] = [
      [leader, lead],
      [leader === 'old' ? 'new' : 'old', follower],
    ];
    for (const [side] of sides) {
      const there = await readAgain(this.#job, () => this.#job[side].get(id, key));
      if (there !== undefined)
        return new Refused(`the ${side} store has something under a key that should be nobody's`);
    }
    for (const [side, entry] of sides) {
      if (entry === null) continue;
      this.#written[side].set(id, key);
      const outcome = await this.#put(side, entry);
      if (outcome.kind === 'applied') continue;
      if (outcome.kind === 'rejected') return new Refused(`the ${side} store refuses it (${outcome.message})`);
      return new Refused(`the ${side} store did not take it (${outcome.kind})`);
    }
    return null;
  }

  /** Creates an entry; sent again after a fault until its outcome is known. */
  async #put(side: Side, entry: Entry): Promise<CasOutcome> {
    const store = this.#job[side];
    for (let attempt = 1; ; attempt += 1) {
      const deadline = Math.floor(store.now()) + PUT_MS;
      try {
        const outcome = await store.compareAndSet(entry, { kind: 'absent' }, deadline);
        if (outcome.kind !== 'conflict' || attempt === 1) return outcome;
        const there = await store.get(entry.id, entry.key);
        return there?.stamp === entry.stamp ? { kind: 'applied', previous: 'same' } : outcome;
      } catch (error) {
        if (!(error instanceof StoreFault) || attempt >= STORE_ATTEMPTS) throw error;
        const { lateBoundMs, clockErrorMs } = store.capabilities;
        // Where the store has no clock in its conditions nobody can wait that long: a later run then removes it.
        if (lateBoundMs === 0) this.#until[side] = Math.max(this.#until[side], deadline + clockErrorMs);
        await backOff(this.#job, attempt);
      }
    }
  }

  /** Removes all of it, leftovers too, though the run was aborted; gives what could not be removed, for the report. */
  async remove(): Promise<readonly string[]> {
    const left: string[] = [];
    for (const side of ['old', 'new'] as const) {
      const refs = [...this.#written[side]].map(([id, key]) => ({ id, key }));
      if (refs.length === 0) continue;
      try {
        const store = this.#job[side];
        while (store.now() <= this.#until[side]) await sleep(this.#job.clock, 100);
        await this.#removeFrom(side, refs);
      } catch (error) {
        if (!(error instanceof StoreFault)) throw error;
        left.push(`planted records could not be removed from the ${side} store (${error.message})`);
      }
    }
    return left;
  }

  /** Physically, and only what was planted. @throws StoreFault */
  async #removeFrom(side: Side, refs: readonly KeyRef[]): Promise<void> {
    const store = this.#job[side];
    const retry = { ...this.#job, signal: new AbortController().signal };
    for (const { id, key } of refs) {
      for (let attempt = 1; ; attempt += 1) {
        const there = await readAgain(retry, () => store.get(id, key));
        if (there === undefined || !isPlanted(there.stamp)) break;
        const deadline = Math.floor(store.now()) + PUT_MS;
        try {
          const expected = { kind: 'version', stamp: there.stamp } as const;
          await store.compareAndSet({ id, key, stamp: null, value: null }, expected, deadline);
          if (attempt < STORE_ATTEMPTS) continue; // and look whether it is gone
        } catch (error) {
          if (!(error instanceof StoreFault) || attempt >= STORE_ATTEMPTS) throw error;
        }
        if (attempt >= STORE_ATTEMPTS) {
          throw new StoreFault(`${store.label} keeps a planted record`, { outcome: 'unknown' });
        }
        await backOff(retry, attempt);
      }
    }
  }
}
