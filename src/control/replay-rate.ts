import type { ReplayRow } from './replay-row.ts';
import type { Transaction } from './storage.ts';

/** The rate is measured over at least so long, and half of it is what was measured before. */
const RATE_EVERY_MS = 2_000;

/** How fast the whole goes, whoever works on it; nothing while the last measurement is young. */
export async function measured(
  tx: Transaction,
  row: ReplayRow,
  now: number,
): Promise<Partial<Pick<ReplayRow, 'rate' | 'rateAt' | 'rateScanned'>>> {
  const ms = now - row.rateAt;
  if (ms < RATE_EVERY_MS) return {};
  const partitions = await tx.select('replay_partitions', { replay: row.id });
  const rateScanned = partitions.reduce((total, partition) => total + partition.scanned, 0);
  const latest = (Math.max(0, rateScanned - row.rateScanned) * 1_000) / ms;
  // After a pause, what was measured before it says nothing.
  const rate = row.rate === null || ms > 5 * RATE_EVERY_MS ? latest : (row.rate + latest) / 2;
  return { rate, rateAt: now, rateScanned };
}
