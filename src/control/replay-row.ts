import type { NodeInfo } from '../core/control-client.ts';
import type { Intervals } from '../core/intervals.ts';
import type { Side } from '../core/stage.ts';
import type { Partition } from '../core/store.ts';

export interface ReplayRow {
  /** Given by the storage. */
  id: number;
  migration: string;
  kind: 'backfill' | 'repair' | 'preload';
  target: Side;
  state: 'running' | 'done' | 'cancelled' | 'failed';
  /** What it was asked to replay. */
  positions: Intervals;
  /** What of it will be covered when it ends; shrinks when a mirror is turned off meanwhile. */
  coverable: Intervals;
  /** Dirt with a greater id came later and is not cleared by it. */
  dirtUpTo: number;
  /** Binds a resume: the mapping that the checkpoints were made under. */
  mapping: string;
  revision: number;
  actor: string;
  reason: string;
  startedAt: number;
  finishedAt: number | null;
  /** Who runs it, and until when nobody else may take it over. */
  runner: string | null;
  leaseUntil: number;
  estimate: number | null;
  /** The source's time when it began: dirt whose `notBefore` is later is not cleared by it. */
  sourceTime: number;
  /** The latest deadline of any put that it issued (target's time). */
  deadlineLimit: number;
  /** Of a preload: the latest deadline of a put that is not known to be settled; it looks at nothing when it arrives (R20). */
  looseUntil: number;
  /** Its partitions are leased one by one, to any number of processes; it has no runner of its own then. */
  shared: boolean;
  /** Nobody reads or puts anything of it for now. */
  paused: boolean;
  /** Lines of dirt that its end cleared. */
  cleared: number;
  /** Records a second of the whole as last measured, at `rateAt`, when `rateScanned` had been scanned. */
  rate: number | null;
  rateAt: number;
  rateScanned: number;
}

export interface ReplayPartitionRow {
  /** Given by the storage. */
  id: number;
  replay: number;
  partition: Partition;
  cursor: string | null;
  done: boolean;
  scanned: number;
  applied: number;
  skipped: number;
  rejected: number;
  /** Of a shared replay: who works on it, in which process, and until when nobody else may. */
  runner: string | null;
  process: NodeInfo | null;
  leaseUntil: number;
  /** Counts the leases given: what an earlier holder says counts for nothing. */
  fence: number;
  /** How often in a row it failed, with what, and when it is tried again. */
  failures: number;
  failure: string | null;
  retryAt: number;
  /** What its holders learned about round trips. */
  census: PartitionCensus | null;
  /** Why whoever works on it goes slower than it may; null when nothing holds it back. */
  eased: string | null;
}

/** What the holders of a partition learned, taken down with every cursor: one text a place and kind, without values. */
export interface PartitionCensus {
  readonly sampled: number;
  readonly losses: readonly string[];
  /** They saw it from its beginning. */
  readonly whole: boolean;
}
