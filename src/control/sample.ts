import { bothKinds, type CallTotals, quantile, subtract, type Traffic } from '../core/traffic.ts';
import type { ReplayRow } from './replay-row.ts';

/** What the fleet did to one store in a slot: rates a second, latencies in ms; null where nothing tells. */
export interface StoreSample {
  readonly reads: number | null;
  readonly writes: number | null;
  readonly errors: number | null;
  readonly readP50: number | null;
  readonly readP99: number | null;
  readonly writeP50: number | null;
  readonly writeP99: number | null;
}

/** The replay that was under way at the end of a slot. */
export interface ReplaySample {
  readonly kind: ReplayRow['kind'];
  readonly scanned: number;
  readonly estimate: number | null;
  /** Records a second in the slot. */
  readonly rate: number | null;
}

/** What is kept of one migration and one slot. */
export interface SampleReading {
  readonly old: StoreSample;
  readonly new: StoreSample;
  /** Comparisons of shadow reads, and those that diverged, a second. */
  readonly compared: number | null;
  readonly divergent: number | null;
  /** As they stood at the slot's end. */
  readonly mirrorQueue: number;
  readonly dirty: number;
  readonly divergences: number;
  readonly nodes: number;
  readonly acknowledged: number;
  readonly memoryBytes: number;
  readonly replay: ReplaySample | null;
}

/** What grows, as it stood when a sample was taken. */
export interface SampleTotals {
  readonly traffic: Traffic;
  /** Comparisons since `since`: they are counted anew when a dial moves. */
  readonly since: number;
  readonly compared: number;
  readonly divergent: number;
  readonly replay: { readonly id: number; readonly scanned: number } | null;
}

/** What does not: the rest of a reading. */
export type SampleGauges = Pick<
  SampleReading,
  'mirrorQueue' | 'dirty' | 'divergences' | 'nodes' | 'acknowledged' | 'memoryBytes'
> & { readonly replay: Omit<ReplaySample, 'rate'> | null };

/** The reading of a slot from the totals at its ends; without the earlier ones there are no rates. Pure. */
export function readingOf(
  gauges: SampleGauges,
  later: SampleTotals,
  earlier: SampleTotals | null,
  ms: number,
): SampleReading {
  const traffic = earlier === null ? null : subtract(later.traffic, earlier.traffic);
  const rate = (count: number): number => (Math.max(count, 0) * 1_000) / ms;
  const anew = earlier === null || earlier.since !== later.since;
  const grown = (count: 'compared' | 'divergent'): number | null =>
    earlier === null ? null : rate(later[count] - (anew ? 0 : earlier[count]));
  const sameReplay = earlier?.replay != null && earlier.replay.id === later.replay?.id ? earlier.replay : null;
  const scanned = later.replay === null ? 0 : later.replay.scanned - (sameReplay?.scanned ?? 0);
  return {
    ...gauges,
    old: storeSample(traffic?.old ?? null, rate),
    new: storeSample(traffic?.new ?? null, rate),
    compared: grown('compared'),
    divergent: grown('divergent'),
    replay: gauges.replay === null ? null : { ...gauges.replay, rate: earlier === null ? null : rate(scanned) },
  };
}

function storeSample(calls: Traffic['old'] | null, rate: (count: number) => number): StoreSample {
  const rounded = (ms: number | null): number | null => (ms === null ? null : Number(ms.toPrecision(4)));
  const at = (kind: 'read' | 'write', q: number) => (calls === null ? null : rounded(quantile(calls[kind].latency, q)));
  const per = (of: (all: Traffic['old']) => CallTotals, count: 'count' | 'errors') =>
    calls === null ? null : rate(of(calls)[count]);
  return {
    reads: per(({ read }) => read, 'count'),
    writes: per(({ write }) => write, 'count'),
    errors: per(bothKinds, 'errors'),
    readP50: at('read', 0.5),
    readP99: at('read', 0.99),
    writeP50: at('write', 0.5),
    writeP99: at('write', 0.99),
  };
}
