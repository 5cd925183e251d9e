import { makeStamp } from '../../src/core/stamp.ts';
import type { Divergence, VerifyReport } from '../../verify/verify-report.ts';

const FINISHED = Date.parse('2026-01-02T03:04:06.500Z');

/** A report with what a test cares about changed; the counts follow from the divergences. */
export function sampleReport(
  divergences: readonly Divergence[] = [],
  changes: Partial<VerifyReport> = {},
): VerifyReport {
  const of = (kind: Divergence['kind']): number => divergences.filter((line) => line.kind === kind).length;
  const side = { records: 3, bytes: 120 };
  return {
    migration: 'events',
    verdict: divergences.length > 0 ? 'divergent' : 'consistent',
    counts: {
      old: 3,
      new: 3,
      equal: 3,
      missing: of('missing'),
      extra: of('extra'),
      different: of('different'),
      stale: of('stale'),
      pending: 0,
    },
    divergences,
    truncated: false,
    reasons: [],
    revision: 7,
    mappingHash: 'sha256:abc',
    positions: [[-1, 50_000]],
    moves: [
      { at: '2026-01-02T02:00:00.000Z', kind: 'move', summary: 'dual-write off → 50 %' },
      {
        at: '2026-01-02T03:00:00.000Z',
        kind: 'backfill',
        summary: 'backfill of canary, 0–50 % to the new store ended',
      },
    ],
    startedAt: '2026-01-02T03:04:05.000Z',
    finishedAt: new Date(FINISHED).toISOString(),
    expiresAt: '2026-01-03T03:04:06.500Z',
    scanned: {
      old: side,
      new: side,
      byDigests: 0,
      spilledBytes: 0,
      hashPartitions: 16,
      joinedPartitions: 1,
      splitPartitions: 0,
      candidates: 1,
    },
    ...changes,
  };
}

/** A divergent record under a text of somebody's choice, which is in its key, its path and its values. */
export function sampleDivergence(text: string, changes: Partial<Divergence> = {}): Divergence {
  const ageMs = 90_000;
  const stamp = makeStamp(FINISHED - ageMs, 2, 3);
  return {
    key: { user: text, id: 7n },
    kind: 'different',
    cause: 'lossy codec',
    fields: [{ path: `payload[${JSON.stringify(text)}]`, old: `secret ${text}`, new: undefined }],
    ageMs,
    stamps: { old: stamp, new: stamp },
    ...changes,
  };
}
