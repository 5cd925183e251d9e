import { murmur3 } from '../src/core/bucket.ts';
import type { Side } from '../src/core/stage.ts';
import type { Partition } from '../src/core/store.ts';
import type { Key } from '../src/core/value.ts';
import type { RetryContext } from './in-parallel.ts';
import type { DigestSeed } from './record-digest.ts';
import { type PartitionScan, scanPartition } from './scan-store.ts';
import { type Spill, spilledRoom, writeSpilled } from './spill.ts';

/** What everybody has to know who scans for one verification; plain JSON. */
export interface ScanPlan {
  /** Digests of different seeds cannot be compared. */
  readonly seed: DigestSeed;
  readonly hashPartitions: number;
  readonly pageSize: number;
  readonly sample: Sample | null;
  /** The ids of this run's planted records. */
  readonly planted: readonly string[];
}

/** A share of the units. */
export interface Sample {
  readonly share: number;
  /** Chooses others in every run, the same in both stores. */
  readonly salt: string;
}

export const inSample = (name: string, { share, salt }: Sample): boolean => murmur3(salt, name) < share * 2 ** 32;

/** What somebody else scanned of a partition, from the end of their last chunk on. */
export interface ScanChunk {
  /** Digests with their stamps and ids, as a spill keeps them. */
  readonly data: Buffer;
  /** Records of the store among them. */
  readonly records: number;
  /** Planted records of other runs that were met. */
  readonly leftovers: readonly { readonly id: string; readonly key: Key }[];
}

/** The scan of both stores, as whoever shares it out sees it. */
export interface SharedScan extends RetryContext {
  readonly plan: ScanPlan;
  readonly partitions: Readonly<Record<Side, readonly Partition[]>>;
  /** Partitions of a store that are scanned here at once. */
  readonly concurrency: number;
  /** Scans a partition here, from a place that somebody else came to, or all of it. */
  readonly scanHere: (side: Side, partition: Partition, from: string | null, signal: AbortSignal) => Promise<void>;
  readonly adopt: (side: Side, chunk: ScanChunk) => Promise<void>;
}

/**
 * Has each partition scanned, here or by others, and every chunk of theirs adopted exactly once.
 * @returns false where it cannot be shared and nothing was done
 */
export type ScanShare = (scan: SharedScan) => Promise<boolean>;

/** A partition that is worth the word about it, and how many there are at most. */
const SHARE_RECORDS = 10_000;
const MOST_SHARES = 128;

/** Into how many partitions a store is split for many machines. */
export const sharesOf = (estimates: readonly (number | null)[], least: number): number => {
  const records = Math.max(0, ...estimates.map((estimate) => estimate ?? 0));
  return Math.max(least, Math.min(MOST_SHARES, Math.ceil(records / SHARE_RECORDS)));
};

const CHUNK_BYTES = 256 * 1024;

/** A chunk and the place behind it; `done` where it is the partition's last. */
export interface Delivery extends ScanChunk {
  readonly cursor: string | null;
  readonly done: boolean;
}

/**
 * Scans a partition for somebody else's verification, in chunks. A chunk that was delivered is never made again: whoever
 * goes on does so from its cursor.
 */
export async function scanInChunks(
  scan: Omit<PartitionScan, 'sink' | 'planted' | 'onPage'> & { readonly plan: ScanPlan },
  partition: Partition,
  from: string | null,
  deliver: (delivery: Delivery) => Promise<void>,
): Promise<void> {
  const { plan } = scan;
  const planted = new Set(plan.planted);
  let buffer = Buffer.allocUnsafeSlow(CHUNK_BYTES + CHUNK_BYTES / 4);
  let used = 0;
  let records = 0;
  let leftovers: { readonly id: string; readonly key: Key }[] = [];
  let last = from;
  const send = async (done: boolean): Promise<void> => {
    const chunk = { data: buffer.subarray(0, used), records, leftovers };
    used = 0;
    records = 0;
    leftovers = [];
    await deliver({ ...chunk, cursor: last, done });
  };
  await scanPartition(
    {
      ...scan,
      planted: { has: (id) => planted.has(id), leftover: ({ id, key }) => void leftovers.push({ id, key }) },
      sink: {
        partitions: plan.hashPartitions,
        append: (hashPartition, id, digest, stamp) => {
          const needed = used + spilledRoom(id);
          if (needed > buffer.length) {
            const grown = Buffer.allocUnsafeSlow(Math.max(needed, buffer.length * 2));
            buffer.copy(grown, 0, 0, used);
            buffer = grown;
          }
          used = writeSpilled(buffer, used, hashPartition, id, digest, stamp);
        },
        relieve: async (cursor) => {
          last = cursor;
          if (used >= CHUNK_BYTES) await send(false);
        },
      },
      onPage: (some) => {
        records += some;
      },
    },
    partition,
    from,
  );
  await send(true);
}

/** Takes over what somebody else has scanned. */
export async function adoptChunk(spill: Spill, { data }: ScanChunk): Promise<void> {
  spill.adoptAll(data);
  await spill.relieve();
}
