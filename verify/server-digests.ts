import type { Random } from '../src/core/clock.ts';
import type { Digests, RangeDigest, RangeKeys, RangeSeed } from '../src/core/digests.ts';
import { StoreFault } from '../src/core/errors.ts';
import { PageSize } from '../src/core/page-size.ts';
import type { Side } from '../src/core/stage.ts';
import type { Entry, KeyRef, Partition, Store } from '../src/core/store.ts';
import { inParallel, type RetryContext, readAgain, settleAll } from './in-parallel.ts';

/** Records of a range: those of an unequal one are looked at one by one, so few; and no statement is for a few alone. */
const RANGE_RECORDS = 64;
/** A range that has grown beyond this on one side is scanned. */
const MOST_RECORDS = RANGE_RECORDS * 4;
/** Ranges of a statement: at first, and at most. */
const FIRST_RANGES = 64;
const MOST_RANGES = 512;
/** Unequal ranges whose keys are asked for together, and for how long the first of them may wait for the others. */
const LISTED_RANGES = 64;
const LISTED_MS = 250;
/** A statement shall take about so long, as nothing interrupts it. */
const LEAST_MS = 100;
const MOST_MS = 400;
/** Where more of a statement's ranges than this share are unequal, reading the records is cheaper. */
const MOST_UNEQUAL = 1 / 4;
const FEW_UNEQUAL = 4;
/** Records of a partition, and how many there are at most. */
const PARTITION_RECORDS = 20_000;
const MOST_PARTITIONS = 128;

export interface DigestJob extends RetryContext {
  readonly old: Store;
  readonly new: Store;
  readonly estimated: number;
  readonly concurrency: number;
  /** Takes what both sides hold under keys whose digests differ. */
  readonly take: (entries: Readonly<Record<Side, readonly Entry[]>>) => Promise<void>;
  /** Records that both sides hold equally. */
  readonly onEqual: (records: number) => void;
}

/** Whether the servers of two stores can say which of their records are equal. */
export const haveDigests = (old: Store, fresh: Store): boolean =>
  old.digests !== undefined && old.digests.form === fresh.digests?.form;

/** Into how many shares so many records are split, each of which is compared by itself. */
export const partitionsFor = (records: number): number =>
  Math.min(MOST_PARTITIONS, Math.max(1, Math.ceil(records / PARTITION_RECORDS)));

/** Reads what both stores hold under keys, as much at once as fits into memory, and takes it. */
export async function takeBoth(job: DigestJob, pages: PageSize, keys: readonly KeyRef[]): Promise<void> {
  const { old, new: fresh, take } = job;
  const size = Math.min(old.capabilities.batchSize, fresh.capabilities.batchSize);
  for (let from = 0; from < keys.length; ) {
    const chunk = keys.slice(from, from + pages.for(size));
    from += chunk.length;
    const reads = [old, fresh].map((store) => readAgain(job, () => store.getMany(chunk)));
    await settleAll(reads);
    const [here = [], there = []] = (await Promise.all(reads)).map((entries) =>
      entries.filter((entry) => entry !== undefined),
    );
    for (const side of [here, there]) pages.learn(side);
    await take({ old: here, new: there });
  }
}

function rangeSeed(random: Random): RangeSeed {
  const word = (): bigint => BigInt(Math.floor(random() * 2 ** 32));
  const half = (): bigint => BigInt.asIntN(64, (word() << 32n) | word());
  return [half(), half()];
}

/**
 * Has the servers of both stores compare what they hold, range by range, and takes only records that differ.
 * @returns shares of both stores that are to be scanned all the same, as too much of them differs
 */
export async function compareByDigests(job: DigestJob): Promise<readonly Partition[]> {
  const { estimated, concurrency } = job;
  const run = new DigestRun(job, rangeSeed(job.random));
  const partitions = await readAgain(job, () => job.old.partitions(partitionsFor(estimated)));
  const atOnce = [job.old, job.new].map(({ capabilities }) => capabilities.scans ?? concurrency);
  await inParallel(partitions, Math.min(concurrency, ...atOnce), (partition) => run.compare(partition));
  await run.compareKeys();
  return run.left;
}

class DigestRun {
  readonly left: Partition[] = [];
  readonly #job: DigestJob;
  readonly #seed: RangeSeed;
  readonly #pages = new PageSize();
  /** Ranges of the next statement. */
  #count = FIRST_RANGES;
  #unequal: Partition[] = [];
  /** Since when the first of them waits, in monotonic time. */
  #unequalSince = 0;
  /** A server failed to make digests: nobody asks again. */
  #failed = false;

  constructor(job: DigestJob, seed: RangeSeed) {
    this.#job = job;
    this.#seed = seed;
  }

  #digests(side: Side): Digests {
    return this.#job[side].digests as Digests;
  }

  async #both<T>(ask: (digests: Digests) => Promise<T>): Promise<readonly [old: T, fresh: T]> {
    const answers = (['old', 'new'] as const).map((side) => readAgain(this.#job, () => ask(this.#digests(side))));
    await settleAll(answers);
    return (await Promise.all(answers)) as [T, T];
  }

  async compare(partition: Partition): Promise<void> {
    const { clock, signal, onEqual } = this.#job;
    let rest: Partition | null = partition;
    while (rest !== null) {
      signal.throwIfAborted();
      const begun = clock.monotonic();
      const seen = await this.#look(rest);
      if (seen === null || (seen.unequal.length > FEW_UNEQUAL && seen.unequal.length > seen.count * MOST_UNEQUAL)) {
        this.left.push(rest);
        return;
      }
      const took = clock.monotonic() - begun;
      onEqual(seen.equal);
      this.left.push(...seen.grown);
      if (this.#unequal.length === 0) this.#unequalSince = begun;
      this.#unequal.push(...seen.unequal);
      const waited = clock.monotonic() - this.#unequalSince;
      if (this.#unequal.length >= LISTED_RANGES || waited >= LISTED_MS) await this.compareKeys();
      if (took < LEAST_MS) this.#count = Math.min(MOST_RANGES, this.#count * 2);
      else if (took > MOST_MS) this.#count = Math.max(1, Math.floor(this.#count / 2));
      rest = seen.rest;
    }
  }

  /** Compares the first ranges of a share; null where a server cannot. */
  async #look(share: Partition) {
    if (this.#failed) return null;
    const count = this.#count;
    try {
      const cut = await readAgain(this.#job, () => this.#digests('old').cut(share, RANGE_RECORDS, count, this.#seed));
      const { ranges, digests: old, rest } = cut;
      const fresh = await readAgain(this.#job, () => this.#digests('new').of(ranges, MOST_RECORDS, this.#seed));
      const unequal: Partition[] = [];
      const grown: Partition[] = [];
      let equal = 0;
      for (const [i, range] of ranges.entries()) {
        const [here, there] = [old[i] as RangeDigest, fresh[i] as RangeDigest];
        if (there.records > MOST_RECORDS) grown.push(range);
        else if (here.records === there.records && here.digest === there.digest) equal += here.records;
        else unequal.push(range);
      }
      return { equal, unequal, grown, count: ranges.length, rest };
    } catch (error) {
      // A scan may do what a digest cannot: a statement that is too long, a row that is too large as text.
      if (this.#job.signal.aborted || !(error instanceof StoreFault)) throw error;
      this.#failed = true;
      return null;
    }
  }

  /** Compares the records of unequal ranges by their digests, and takes those that differ. */
  async compareKeys(): Promise<void> {
    for (;;) {
      const ranges = this.#unequal.splice(0, LISTED_RANGES);
      if (ranges.length === 0) return;
      await this.#compareKeysOf(ranges);
    }
  }

  async #compareKeysOf(ranges: readonly Partition[]): Promise<void> {
    const [old, fresh] = await this.#both((digests) => digests.keys(ranges, MOST_RECORDS, this.#seed));
    const differing = new Map<string, KeyRef>();
    let equal = 0;
    for (const [i, range] of ranges.entries()) {
      const [here, there] = [old[i] as RangeKeys, fresh[i] as RangeKeys];
      if (here.records > MOST_RECORDS || there.records > MOST_RECORDS) this.left.push(range);
      else equal += differ(here, there, differing);
    }
    this.#job.onEqual(equal);
    await takeBoth(this.#job, this.#pages, [...differing.values()]);
  }
}

/** Puts what the sides of a range do not hold equally into `differing`; how many records they do. */
function differ(old: RangeKeys, fresh: RangeKeys, differing: Map<string, KeyRef>): number {
  const width = Math.max(old.digests.length / old.records || 0, fresh.digests.length / fresh.records || 0);
  const digestAt = ({ digests }: RangeKeys, place: number): string => digests.slice(place * width, (place + 1) * width);
  // Mostly few records differ, and those before and behind them are the same ones.
  const fewer = Math.min(old.records, fresh.records);
  let before = 0;
  while (before < fewer && digestAt(old, before) === digestAt(fresh, before)) before += 1;
  let behind = 0;
  while (
    behind < fewer - before &&
    digestAt(old, old.records - behind - 1) === digestAt(fresh, fresh.records - behind - 1)
  ) {
    behind += 1;
  }
  // A digest is of the key too, so equal ones are of one record.
  const places = new Map<string, number>();
  for (let place = before; place < fresh.records - behind; place += 1) places.set(digestAt(fresh, place), place);
  let equal = before + behind;
  const note = (ref: KeyRef): void => void differing.set(ref.id, ref);
  for (let place = before; place < old.records - behind; place += 1) {
    if (places.delete(digestAt(old, place))) equal += 1;
    else note(old.key(place));
  }
  for (const place of places.values()) note(fresh.key(place));
  return equal;
}
