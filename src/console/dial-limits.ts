import type { MigrationStatus } from '../server/api-types.ts';
import { type DialThresholds, thresholdsOf } from './bucket-states.ts';
import { ALL, BUCKETS, CANARY, type DialName, dialText, dialValueOf, NOBODY, type Threshold } from './dial-value.ts';

/** A part of a dial that its gates forbid, or that only `--force` allows. */
export interface Limit {
  readonly kind: 'never' | 'advice';
  /** Thresholds that are meant, both included. */
  readonly from: Threshold;
  readonly to: Threshold;
  /** `above 60 %: coverage`. */
  readonly why: string;
}

type Known = Pick<MigrationStatus, 'dials' | 'covered' | 'verification' | 'divergences' | 'finished'>;

const text = (threshold: Threshold): string => dialText(dialValueOf(threshold));

const above = (kind: Limit['kind'], threshold: Threshold, why: string): readonly Limit[] =>
  threshold >= ALL ? [] : [{ kind, from: threshold + 1, to: ALL, why: `above ${text(threshold)}: ${why}` }];

const beneath = (threshold: Threshold, why: string): readonly Limit[] =>
  threshold <= NOBODY
    ? []
    : [{ kind: 'never', from: NOBODY, to: threshold - 1, why: `below ${text(threshold)}: ${why}` }];

/** How far up from a threshold a store is known to be complete without a gap. */
export function coveredUpTo(covered: MigrationStatus['covered']['new'], from: Threshold): Threshold {
  let reached = from;
  for (const [start, end] of [...covered].sort(([a], [b]) => (a as number) - (b as number))) {
    if ((start as number) <= reached && (end as number) > reached) reached = end as number;
  }
  return reached;
}

/**
 * What of a dial is drawn as hatched, from what every status says. It is a picture of the gates, not the gates: those are
 * asked for each value that is wanted, and again when it is applied.
 */
export function limitsOf(dial: DialName, status: Known): readonly Limit[] {
  const at = thresholdsOf(status);
  if (status.finished) return [{ kind: 'never', from: NOBODY, to: ALL, why: 'the migration is finished' }];
  if (at.retireOld && dial !== 'retire-old') {
    return [{ kind: 'never', from: NOBODY, to: ALL, why: 'the old store is retired' }];
  }
  switch (dial) {
    case 'dual-write':
      return dualWriteLimits(at);
    case 'shadow-read':
      return above('never', at.dualWrite, `order, dual-write is ${text(at.dualWrite)}`);
    case 'cutover':
      return cutoverLimits(at, status);
    case 'retire-old':
      return at.cutover === ALL || at.retireOld
        ? []
        : [{ kind: 'never', from: NOBODY, to: ALL, why: 'order, needs cutover at all' }];
  }
}

function dualWriteLimits(at: DialThresholds): readonly Limit[] {
  const name = at.cutover >= at.shadowRead ? 'cutover' : 'shadow-read';
  const least = Math.max(at.cutover, at.shadowRead);
  return beneath(least, `order, ${name} is ${text(least)}`);
}

function cutoverLimits(at: DialThresholds, { covered }: Known): readonly Limit[] {
  const reached = Math.max(coveredUpTo(covered.new, Math.max(at.cutover, NOBODY)), at.cutover);
  const byOrder = at.dualWrite <= reached;
  const never = byOrder ? at.dualWrite : reached;
  const limits = above('never', never, byOrder ? `order, dual-write is ${text(at.dualWrite)}` : 'coverage');
  // The kept-back units are read by nobody's shadow reads but their own dial's.
  const advised = Math.max(at.shadowRead, at.cutover);
  if (advised >= Math.min(never, BUCKETS)) return limits;
  const [first] = above('advice', advised, 'no shadow reads yet (advice)');
  return first === undefined ? limits : [{ ...first, to: never }, ...limits];
}

/** The thresholds where a kind of limit begins or ends: where Home and End lead. */
export function nearestBounds(
  limits: readonly Limit[],
  from: Threshold,
): { readonly low: Threshold; readonly high: Threshold } {
  let low: Threshold = NOBODY;
  let high: Threshold = ALL;
  for (const limit of limits) {
    if (limit.from > from) high = Math.min(high, limit.from - 1);
    if (limit.to < from) low = Math.max(low, limit.to + 1);
  }
  return { low, high: Math.max(high, CANARY) };
}
