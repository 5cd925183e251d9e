import type { ReplayCounts } from '../replay/replay-share.ts';
import type { ReplayProgress } from './backfill.ts';
import type { ReplayPartitionRow, ReplayRow } from './replay-row.ts';

/** How far a replay is, by what became of its partitions' records. */
export function progressOf(row: ReplayRow, shares: readonly ReplayCounts[], eased: string | null): ReplayProgress {
  const sum = (column: keyof ReplayCounts): number => shares.reduce((total, share) => total + share[column], 0);
  return {
    kind: row.kind,
    scanned: sum('scanned'),
    applied: sum('applied'),
    skipped: sum('skipped'),
    rejected: sum('rejected'),
    estimate: row.estimate,
    rate: row.rate,
    etaMs: leftMs(row, sum('scanned')),
    paused: row.paused,
    eased,
  };
}

/** Why any of those who work on it now goes slower than it may. */
export function easedOf(row: ReplayRow, partitions: readonly ReplayPartitionRow[], now: number): string | null {
  const held = (one: ReplayPartitionRow): boolean => (row.shared ? one.leaseUntil : row.leaseUntil) > now;
  const found = partitions.find((one) => !one.done && one.eased !== null && held(one));
  if (found === undefined) return null;
  // Whoever works on a partition of many has its own limits: they are not the whole's.
  return row.shared ? `partition ${found.id}: ${found.eased}` : found.eased;
}

/** How long the rest takes at the present rate, where both are known. */
export const leftMs = ({ estimate, rate, paused }: ReplayRow, scanned: number): number | null =>
  estimate === null || rate === null || rate <= 0 || paused || scanned >= estimate
    ? null
    : Math.round(((estimate - scanned) * 1_000) / rate);
