import { hash } from 'node:crypto';
import {
  compareVersions,
  Spill,
  type SpilledRecord,
  sameDigest,
  spilledDigest,
  spilledId,
  spilledStamp,
} from './spill.ts';
import type { TemporaryDirectory } from './temporary-directory.ts';

/** A key whose sides were not seen equal; what the scan saw of each is kept as a print (recheck.ts). */
export interface Candidate {
  readonly id: string;
  readonly old: string;
  readonly new: string;
}

/** What a side showed: no record, or a version and its digest. */
export const NO_RECORD = '';
export const printOf = (stamp: string | null, digest: string): string => `${stamp ?? '-'}:${digest}`;

export interface JoinJob {
  readonly directory: TemporaryDirectory;
  /** How much the records of a partition, both sides and their tables, may take. */
  readonly budgetBytes: number;
  readonly signal: AbortSignal;
  /** Records that both sides hold equally. */
  readonly onEqual: (records: number) => void;
  readonly onCandidate: (candidate: Candidate) => void;
  /** Called with nothing loaded but one partition's tables; lets the candidates be worked off. */
  readonly relieve: () => Promise<void>;
  /** How many partitions of the first level are done. */
  readonly onPartition: (done: number) => void;
  /** Partitions that were joined, and those that were split again because they were too large. */
  readonly onJoin: (kind: 'joined' | 'split') => void;
}

/** What a record costs in a table besides its bytes: measured about 150 on V8, with room. */
const TABLE_BYTES = 220;
const DEEPEST = 6;
const FEW = 64;

/** Compares both sides partition by partition; only those whose count or sum differ are loaded. */
export async function joinSpills(job: JoinJob, old: Spill, fresh: Spill, depth = 0): Promise<void> {
  for (let partition = 0; partition < old.partitions; partition += 1) {
    job.signal.throwIfAborted();
    if (old.agrees(fresh, partition)) {
      job.onEqual(old.count(partition));
      if (depth === 0) job.onPartition(partition + 1);
      continue;
    }
    const records = old.count(partition) + fresh.count(partition);
    const cost = old.bytes(partition) + fresh.bytes(partition) + records * TABLE_BYTES;
    if (cost > job.budgetBytes && records > FEW && depth < DEEPEST) {
      await splitAgain(job, old, fresh, partition, Math.ceil((cost / job.budgetBytes) * 2), depth);
    } else {
      await joinPartition(job, old, fresh, partition);
    }
    await job.relieve();
    if (depth === 0) job.onPartition(partition + 1);
  }
}

async function splitAgain(
  job: JoinJob,
  old: Spill,
  fresh: Spill,
  partition: number,
  parts: number,
  depth: number,
): Promise<void> {
  job.onJoin('split');
  const count = Math.min(Math.max(parts, 2), 1024);
  const sides: Spill[] = [];
  for (const source of [old, fresh]) {
    const target = new Spill(count, job.budgetBytes / 4, job.directory);
    await source.forEach(
      partition,
      (record) => target.adopt(partAt(depth, spilledId(record), count), record),
      () => target.relieve(),
    );
    await target.seal();
    sides.push(target);
  }
  await joinSpills(job, sides[0] as Spill, sides[1] as Spill, depth + 1);
  for (const side of sides.reverse()) await side.dispose();
}

/** Keys that crowd into one partition by accident or on purpose (murmur3 is no secret) are spread by SHA-256. */
const partAt = (depth: number, id: string, parts: number): number =>
  hash('sha256', `${depth}:${id}`, 'buffer').readUInt32LE(0) % parts;

async function joinPartition(job: JoinJob, old: Spill, fresh: Spill, partition: number): Promise<void> {
  job.onJoin('joined');
  const left = await tableOf(old, partition);
  const right = await tableOf(fresh, partition);
  let equal = 0;
  for (const [id, record] of left) {
    const other = right.get(id);
    if (other !== undefined) right.delete(id);
    if (record !== null && other != null && sameDigest(record, other)) equal += 1;
    else job.onCandidate({ id, old: spilledPrint(record), new: spilledPrint(other) });
  }
  for (const [id, record] of right) job.onCandidate({ id, old: NO_RECORD, new: spilledPrint(record) });
  job.onEqual(equal);
}

/** By id; a fuzzy scan may see a key twice: the newer version counts, and null says that there is no telling which. */
async function tableOf(spill: Spill, partition: number): Promise<Map<string, SpilledRecord | null>> {
  const table = new Map<string, SpilledRecord | null>();
  await spill.forEach(partition, (record) => {
    const id = spilledId(record);
    const known = table.get(id);
    if (known === undefined) table.set(id, record);
    else if (known !== null && !sameDigest(known, record)) {
      const order = compareVersions(known, record);
      if (order <= 0) table.set(id, order === 0 ? null : record);
    }
  });
  return table;
}

/** A side that was seen in two versions matches no later print, so it does not count as unchanged. */
function spilledPrint(record: SpilledRecord | null | undefined): string {
  if (record === undefined) return NO_RECORD;
  return record === null ? 'unsure' : printOf(spilledStamp(record), spilledDigest(record));
}
