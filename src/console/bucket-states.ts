import type { MigrationStatus } from '../server/api-types.ts';
import { ALL, BUCKETS, type Threshold, thresholdOf } from './dial-value.ts';

/** What a position is in, in the order of a move. */
export const BUCKET_STATES = ['old only', 'mirrored', 'covered', 'new leads', 'old retired'] as const;
/** An index of {@link BUCKET_STATES}. */
export type BucketState = 0 | 1 | 2 | 3 | 4;

/** Positions from … to (exclusive), all in one state. */
export interface Segment {
  readonly state: BucketState;
  readonly from: number;
  readonly to: number;
}

/** Dials as thresholds; what is wanted may differ from what is in force. */
export interface DialThresholds {
  readonly dualWrite: Threshold;
  readonly shadowRead: Threshold;
  readonly cutover: Threshold;
  readonly retireOld: boolean;
}

type Dialled = Pick<MigrationStatus, 'dials' | 'covered'>;

export const thresholdsOf = ({ dials }: Pick<MigrationStatus, 'dials'>): DialThresholds => ({
  dualWrite: thresholdOf(dials.dualWrite),
  shadowRead: thresholdOf(dials.shadowRead),
  cutover: thresholdOf(dials.cutover),
  retireOld: dials.retireOld,
});

/** Every position of the line with its state: the canaries at −1, the buckets, the kept-back units at 100 000. */
export function segmentsOf({ dials, covered }: Dialled, at = thresholdsOf({ dials })): readonly Segment[] {
  const bounds = new Set([-1, 0, BUCKETS, ALL, at.dualWrite, at.cutover, ...covered.new.flat()]);
  const sorted = [...bounds].filter((bound) => bound >= -1 && bound <= ALL).sort((a, b) => a - b);
  const isCovered = (position: number): boolean =>
    covered.new.some(([from, to]) => position >= (from as number) && position < (to as number));
  const stateAt = (position: number): BucketState => {
    if (at.retireOld) return 4;
    if (position < at.cutover) return 3;
    if (position >= at.dualWrite) return 0;
    return isCovered(position) ? 2 : 1;
  };
  const segments: Segment[] = [];
  for (const [index, from] of sorted.slice(0, -1).entries()) {
    const state = stateAt(from);
    const to = sorted[index + 1] as number;
    const last = segments.at(-1);
    // The cohorts stay by themselves: they are no share of the buckets.
    if (last?.state === state && from !== 0 && from !== BUCKETS) segments[segments.length - 1] = { ...last, to };
    else segments.push({ state, from, to });
  }
  return segments;
}

export const ofBuckets = (segments: readonly Segment[]): readonly Segment[] =>
  segments.filter(({ from }) => from >= 0 && from < BUCKETS);

/** The share of the buckets in each state, percent, by {@link BucketState}. */
export function shares(segments: readonly Segment[]): readonly number[] {
  const sums = BUCKET_STATES.map(() => 0);
  for (const { state, from, to } of ofBuckets(segments)) sums[state] = (sums[state] ?? 0) + (to - from) / 1_000;
  return sums;
}
