import { StoreFault } from '../src/core/errors.ts';
import { PageSize } from '../src/core/page-size.ts';
import type { Partition } from '../src/core/store.ts';
import type { PairedRecords } from '../src/core/store-pair.ts';
import { readAgain } from './in-parallel.ts';
import { type DigestJob, partitionsFor, takeBoth } from './server-digests.ts';

/**
 * Has one database compare what both stores hold, where it can read both, and takes only records that differ.
 * @returns shares of both stores that are to be scanned all the same, as too much of them differs; null where no database
 * can
 */
export async function compareAsPair(job: DigestJob): Promise<readonly Partition[] | null> {
  /** Null where it cannot, which a scan may all the same. */
  const ask = <T>(work: () => Promise<T>): Promise<T | null> =>
    readAgain(job, work).catch((error: unknown) => {
      if (job.signal.aborted || !(error instanceof StoreFault)) throw error;
      return null;
    });
  const pair = await ask(async () => job.old.pair?.(job.new));
  if (pair == null) return null;
  try {
    const { records } = pair;
    if (records === undefined) return null;
    const left: Partition[] = [];
    const pages = new PageSize();
    let failed = false;
    for (const partition of await readAgain(job, () => job.old.partitions(partitionsFor(job.estimated)))) {
      let rest: Partition | null = partition;
      while (rest !== null) {
        const from: Partition = rest;
        const seen: PairedRecords | null = failed ? null : await ask(() => records(from));
        failed = seen === null;
        if (seen === null || seen.differing === null) {
          left.push(rest);
          break;
        }
        job.onEqual(seen.equal);
        await takeBoth(job, pages, seen.differing);
        rest = seen.rest;
      }
    }
    return left;
  } finally {
    await pair.close();
  }
}
