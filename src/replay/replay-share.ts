import type { Partition } from '../core/store.ts';

/** What became of records. */
export interface ReplayCounts {
  readonly scanned: number;
  readonly applied: number;
  readonly skipped: number;
  readonly rejected: number;
}

/** A share of a replay and how far it is; what a checkpoint holds. */
export interface ReplayShare {
  readonly id: number;
  readonly partition: Partition;
  cursor: string | null;
  done: boolean;
  scanned: number;
  applied: number;
  skipped: number;
  rejected: number;
}

/** Shares of which nothing has been replayed. */
export const newShares = (partitions: readonly Partition[]): ReplayShare[] =>
  partitions.map((partition, id) => ({
    id,
    partition,
    cursor: null,
    done: false,
    scanned: 0,
    applied: 0,
    skipped: 0,
    rejected: 0,
  }));
