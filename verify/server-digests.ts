import type { Random } from '../src/core/clock.ts';
import { StoreFault } from '../src/core/errors.ts';
import type { Side } from '../src/core/stage.ts';
import type { Digests, Entry, KeyDigest, KeyRef, Partition, RangeDigest, RangeSeed, Store } from '../src/core/store.ts';
import { inParallel, type RetryContext, readAgain, settleAll } from './in-parallel.ts';

/** Records of a range: those of an unequal one are looked at one by one, so few; and no statement is for a few alone. */
const RANGE_RECORDS = 64;
/** A range that has grown beyond this on one side is scanned. */
const MOST_RECORDS = RANGE_RECORDS * 4;
/** Ranges of a statement: at first, and at most. */
const FIRST_RANGES = 64;
const MOST_RANGES = 512;
/** Unequal ranges whose keys are asked for together. */
const LISTED_RANGES = 64;
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
  /** Takes entries that are to be compared as if they had been scanned. */
  readonly take: (side: Side, entries: readonly Entry[]) => Promise<void>;
  /** Records that both sides hold equally. */
  readonly onEqual: (records: number) => void;
}

/** Whether the servers of two stores can say which of their records are equal. */
export const haveDigests = (old: Store, fresh: Store): boolean =>
  old.digests !== undefined && old.digests.form === fresh.digests?.form;

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
  const count = Math.min(MOST_PARTITIONS, Math.max(1, Math.ceil(estimated / PARTITION_RECORDS)));
  const partitions = await readAgain(job, () => job.old.partitions(count));
  const atOnce = [job.old, job.new].map(({ capabilities }) => capabilities.scans ?? concurrency);
  await inParallel(partitions, Math.min(concurrency, ...atOnce), (partition) => run.compare(partition));
  await run.compareKeys();
  return run.left;
}

class DigestRun {
  readonly left: Partition[] = [];
  readonly #job: DigestJob;
  readonly #seed: RangeSeed;
  /** Ranges of the next statement. */
  #count = FIRST_RANGES;
  #unequal: Partition[] = [];
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
      this.#unequal.push(...seen.unequal);
      if (this.#unequal.length >= LISTED_RANGES) await this.compareKeys();
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
      const { ranges, rest } = await readAgain(this.#job, () => this.#digests('old').cut(share, RANGE_RECORDS, count));
      const [old, fresh] = await this.#both((digests) => digests.of(ranges, MOST_RECORDS, this.#seed));
      const unequal: Partition[] = [];
      const grown: Partition[] = [];
      let equal = 0;
      for (const [i, range] of ranges.entries()) {
        const [here, there] = [old[i] as RangeDigest, fresh[i] as RangeDigest];
        if (here.records > MOST_RECORDS || there.records > MOST_RECORDS) grown.push(range);
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

  /** Compares the records of unequal ranges by their digests; takes those that differ from the sides that hold them. */
  async compareKeys(): Promise<void> {
    for (;;) {
      const ranges = this.#unequal.splice(0, LISTED_RANGES);
      if (ranges.length === 0) return;
      await this.#compareKeysOf(ranges);
    }
  }

  async #compareKeysOf(ranges: readonly Partition[]): Promise<void> {
    const [old, fresh] = await this.#both((digests) => digests.keys(ranges, MOST_RECORDS, this.#seed));
    const differing: Record<Side, KeyRef[]> = { old: [], new: [] };
    let equal = 0;
    for (const [i, range] of ranges.entries()) {
      const here = old[i] ?? [];
      const there = fresh[i] ?? [];
      if (here.length > MOST_RECORDS || there.length > MOST_RECORDS) this.left.push(range);
      else equal += here.length - differ(here, there, differing);
    }
    this.#job.onEqual(equal);
    await settleAll([this.#take('old', differing.old), this.#take('new', differing.new)]);
  }

  async #take(side: Side, keys: readonly KeyRef[]): Promise<void> {
    const store = this.#job[side];
    const { batchSize } = store.capabilities;
    for (let from = 0; from < keys.length; from += batchSize) {
      const chunk = keys.slice(from, from + batchSize);
      const entries = await readAgain(this.#job, () => store.getMany(chunk));
      await this.#job.take(
        side,
        entries.filter((entry) => entry !== undefined),
      );
    }
  }
}

/** Puts what the sides of a range do not hold equally into `differing`; how many of `old` it were. */
function differ(old: readonly KeyDigest[], fresh: readonly KeyDigest[], differing: Record<Side, KeyRef[]>): number {
  const others = new Map(fresh.map((record) => [record.id, record]));
  let count = 0;
  for (const record of old) {
    if (others.get(record.id)?.digest === record.digest) {
      others.delete(record.id);
      continue;
    }
    count += 1;
    differing.old.push(record);
  }
  // A key that both hold is still among the others, with its other value.
  differing.new.push(...others.values());
  return count;
}
