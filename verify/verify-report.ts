import type { Intervals } from '../src/core/intervals.ts';
import type { Key } from '../src/core/value.ts';
import type { FieldDifference } from './compare.ts';
import type { DivergenceCause, DivergenceKind, StampPair } from './divergence.ts';

/** `inconclusive`: nothing wrong was found, but something could not be judged. */
export type Verdict = 'consistent' | 'divergent' | 'inconclusive';

/** Records in the verified positions; tombstones are none. */
export interface VerifyCounts {
  readonly old: number;
  readonly new: number;
  readonly equal: number;
  readonly missing: number;
  readonly extra: number;
  readonly different: number;
  readonly stale: number;
  /** Still changing, or too young to judge, after the last recheck. */
  readonly pending: number;
}

/** A difference that outlived its rechecks. */
export interface Divergence {
  readonly key: Key;
  readonly kind: DivergenceKind;
  readonly cause: DivergenceCause | null;
  /** Where the values differ; empty for missing and extra records. Unmasked: the writers of reports mask. */
  readonly fields: readonly FieldDifference[];
  /** How long ago the newer side was written; absent where it has no stamp. */
  readonly ageMs?: number;
  readonly stamps: StampPair;
}

/** What the run cost. */
export interface VerifyWork {
  /**
   * Records that were looked at, and the bytes that were kept of them for the comparison: about 40 a record that was
   * scanned.
   */
  readonly old: { readonly records: number; readonly bytes: number };
  readonly new: { readonly records: number; readonly bytes: number };
  /** Of each side, those that were not read: their databases said, by digests or outright, that they are equal. */
  readonly byDigests: number;
  /** Written to temporary files. */
  readonly spilledBytes: number;
  readonly hashPartitions: number;
  readonly joinedPartitions: number;
  readonly splitPartitions: number;
  /** Keys that were read from both stores again. */
  readonly candidates: number;
}

/** What became of the records that were planted to see whether the verification finds them. */
export interface Proof {
  readonly planted: number;
  /** Those that it did not report, or not as what they are, by kind. Any makes the report invalid: inconclusive. */
  readonly missed: readonly string[];
  /** Why one could not be planted, or null. */
  readonly refused: string | null;
}

/** What is in the reasons that a repair does away with. */
export const WAIT_FOR_REPAIR = 'wait for repair';

/** In a reason that only another proof helps against. */
export const BY_PROOF = 'another proof removes them';

/** The outcome of a verification: plain data, except that keys and field values are as the stores hold them. */
export interface VerifyReport {
  readonly migration: string;
  readonly verdict: Verdict;
  readonly counts: VerifyCounts;
  /** The first ones by key, up to `maxDivergences`. */
  readonly divergences: readonly Divergence[];
  /** More diverge than are listed. */
  readonly truncated: boolean;
  /** Why the verdict is inconclusive, or would be if nothing diverged. */
  readonly reasons: readonly string[];
  /** Only this unit, as it is hashed, was compared. */
  readonly unit?: string;
  /** Only this share of the units was compared: the verdict is about these. */
  readonly sample?: number;
  /** There if known divergences were planted. */
  readonly proof?: Proof;
  /** The ruleset's revision and the mapping that the verdict is bound to. */
  readonly revision: number;
  readonly mappingHash: string;
  /** ISO 8601. */
  readonly startedAt: string;
  readonly finishedAt: string;
  /** After this the verdict proves nothing any more. */
  readonly expiresAt: string;
  readonly scanned: VerifyWork;
  /** The positions that were compared, and the moves up to then: what whoever knows the migration adds. */
  readonly positions?: Intervals;
  readonly moves?: readonly ReportMove[];
}

/** Something that moved records or dials, for the time line of a report. */
export interface ReportMove {
  /** ISO 8601. */
  readonly at: string;
  readonly kind: string;
  /** One line for people. */
  readonly summary: string;
}
