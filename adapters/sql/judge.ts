import { equalValues } from '../../src/core/canonical.ts';
import type { Stamp } from '../../src/core/stamp.ts';
import type { CasOutcome, Expected, Rejection } from '../../src/core/store.ts';
import type { StoredRecord } from '../../src/core/value.ts';
import type { Held } from './dialect.ts';

/** What decides on a write besides what is stored. */
export interface Guard {
  readonly stamp: Stamp | null;
  readonly expected: Expected | null;
  /** Why it cannot be written anyway. */
  readonly rejection: Rejection | null;
}

/**
 * R2's decision: null to write, or what to answer instead. A rejection is said only of a put that would have been
 * applied: an older one is superseded, and a failed expectation a conflict.
 */
export function judge(
  { stamp, expected, rejection }: Guard,
  held: Held | undefined,
  recordOf: (row: readonly unknown[]) => StoredRecord,
): CasOutcome | null {
  const stored = held?.stamp ?? null;
  if (stamp !== null && stored === stamp) return { kind: 'applied', previous: 'same' };
  if (expected !== null && !meets(expected, held, recordOf)) return { kind: 'conflict' };
  if (stamp !== null && stored !== null && stored > stamp) return { kind: 'superseded', stamp: stored };
  return rejection;
}

function meets(
  expected: Expected,
  held: Held | undefined,
  recordOf: (row: readonly unknown[]) => StoredRecord,
): boolean {
  if (expected.kind === 'absent') return held === undefined || held.row === null;
  if (held === undefined || held.stamp !== expected.stamp) return false;
  if (expected.value === undefined) return true;
  if (expected.value === null || held.row === null) return expected.value === null && held.row === null;
  return equalValues(recordOf(held.row), expected.value);
}
