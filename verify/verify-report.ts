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
  readonly old: { readonly records: number; readonly bytes: number };
  readonly new: { readonly records: number; readonly bytes: number };
  /** Written to temporary files. */
  readonly spilledBytes: number;
  readonly hashPartitions: number;
  readonly joinedPartitions: number;
  readonly splitPartitions: number;
  /** Keys that were read from both stores again. */
  readonly candidates: number;
}

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
  /** The ruleset's revision and the mapping that the verdict is bound to. */
  readonly revision: number;
  readonly mappingHash: string;
  /** ISO 8601. */
  readonly startedAt: string;
  readonly finishedAt: string;
  /** After this the verdict proves nothing any more. */
  readonly expiresAt: string;
  readonly scanned: VerifyWork;
}
