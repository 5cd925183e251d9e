import type { ScanPlan } from '../../verify/scan-share.ts';
import type { NodeInfo } from '../core/control-client.ts';
import type { Intervals } from '../core/intervals.ts';
import type { RulesetDocument } from '../core/ruleset.ts';
import type { Side } from '../core/stage.ts';
import type { Partition } from '../core/store.ts';

/** Everything that a worker needs in order to scan as the verifier itself does. */
export interface ScanOrder extends ScanPlan {
  /** Null where everything is verified. */
  readonly positions: Intervals | null;
  /** Says where a unit stands; a unit that moves meanwhile stands where it stood. */
  readonly document: RulesetDocument;
}

/** A verification whose scan others may take part in. */
export interface OpenScan {
  readonly id: number;
  readonly migration: string;
  readonly mapping: string;
  /** The verifier's. */
  readonly process: NodeInfo;
  /** Partitions that are not done. */
  readonly partitions: readonly OpenScanPartition[];
}

export interface OpenScanPartition {
  readonly id: number;
  readonly side: Side;
  /** Nobody works on it. */
  readonly free: boolean;
  /** It failed elsewhere: the verifier itself tries it again, and says why it cannot be done. */
  readonly failed: boolean;
  /** Counts the leases given. */
  readonly fence: number;
  /** Who works on it; null where that is the verifier or nobody. */
  readonly process: NodeInfo | null;
}

/** What somebody holds who scans a partition. */
export interface ScanLease {
  readonly scan: number;
  readonly id: number;
  readonly side: Side;
  readonly partition: Partition;
  /** What was delivered of it ends here; null where nothing was. */
  readonly cursor: string | null;
  readonly fence: number;
  readonly runner: string;
}
