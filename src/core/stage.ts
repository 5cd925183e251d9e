import { ALL, type DialName, type DialValue, dialValue, EVERY_BUCKET, NOBODY, type Threshold } from './dial.ts';

/** LaunchDarkly's six stages of a migration. */
export const STAGES = ['off', 'dualwrite', 'shadow', 'live', 'rampdown', 'complete'] as const;
export type Stage = (typeof STAGES)[number];

export type Side = 'old' | 'new';

export const otherSide = (side: Side): Side => (side === 'old' ? 'new' : 'old');

/** What a stage does with a unit's operations. */
export interface StageRule {
  /** Serves reads and leads writes. */
  readonly authority: Side;
  /** The other store gets every write too. */
  readonly mirror: boolean;
  /** Reads are compared with the other store's answer. */
  readonly compare: boolean;
}

/** The stage table of the design, total. */
export const STAGE_TABLE: Readonly<Record<Stage, StageRule>> = Object.freeze({
  off: { authority: 'old', mirror: false, compare: false },
  dualwrite: { authority: 'old', mirror: true, compare: false },
  shadow: { authority: 'old', mirror: true, compare: true },
  live: { authority: 'new', mirror: true, compare: true },
  rampdown: { authority: 'new', mirror: true, compare: false },
  complete: { authority: 'new', mirror: false, compare: false },
});

/** The dials of a ruleset. `cutover <= dualWrite`, `shadowRead <= dualWrite`, `retireOld` only at cutover `all`. */
export interface Dials {
  readonly dualWrite: Threshold;
  readonly shadowRead: Threshold;
  readonly cutover: Threshold;
  readonly retireOld: boolean;
}

export const DIALS_OFF: Dials = Object.freeze({
  dualWrite: NOBODY,
  shadowRead: NOBODY,
  cutover: NOBODY,
  retireOld: false,
});

/** Why these dials do not fit together, or null (R15). */
export function dialsConflict(dials: Dials): string | null {
  if (dials.cutover > dials.dualWrite) return 'cutover may not be above dual-write';
  if (dials.shadowRead > dials.dualWrite) return 'shadow-read may not be above dual-write';
  if (dials.retireOld && dials.cutover !== ALL) return 'retire-old needs cutover at all';
  return null;
}

/** The stage of a position. */
export function stageAt(dials: Dials, position: number): Stage {
  if (dials.retireOld) return 'complete';
  if (position >= dials.dualWrite) return 'off';
  if (position < dials.cutover) return position < dials.shadowRead ? 'live' : 'rampdown';
  return position < dials.shadowRead ? 'shadow' : 'dualwrite';
}

/** The one stage that all buckets are in, or `mixed`. The cohorts do not count unless no bucket is in any stage. */
export function stageOf(dials: Dials): Stage | 'mixed' {
  const first = stageAt(dials, 0);
  return first === stageAt(dials, EVERY_BUCKET - 1) ? first : 'mixed';
}

/** Where the dials stand in a stage: every bucket is in it; kept-back units move only to `complete`, which needs all. */
export const STAGE_DIALS: Readonly<Record<Stage, Dials>> = Object.freeze({
  off: DIALS_OFF,
  dualwrite: { dualWrite: EVERY_BUCKET, shadowRead: NOBODY, cutover: NOBODY, retireOld: false },
  shadow: { dualWrite: EVERY_BUCKET, shadowRead: EVERY_BUCKET, cutover: NOBODY, retireOld: false },
  live: { dualWrite: EVERY_BUCKET, shadowRead: EVERY_BUCKET, cutover: EVERY_BUCKET, retireOld: false },
  rampdown: { dualWrite: EVERY_BUCKET, shadowRead: NOBODY, cutover: EVERY_BUCKET, retireOld: false },
  complete: { dualWrite: ALL, shadowRead: NOBODY, cutover: ALL, retireOld: true },
});

/** One move of one dial. */
export type DialMove =
  | { readonly dial: 'dual-write' | 'shadow-read' | 'cutover'; readonly to: Threshold }
  | { readonly dial: 'retire-old'; readonly to: boolean };

/**
 * The moves that lead from where the dials stand to a stage, in an order in which every state between is legal:
 * up goes dual-write, shadow-read, cutover, retire-old; down the other way round.
 */
export function planStage(dials: Dials, target: Stage): readonly DialMove[] {
  const preset = STAGE_DIALS[target];
  // A dial that stands at `all` where the preset says 100 % is where the stage wants it.
  const reach = (now: Threshold, goal: Threshold): Threshold => (goal === EVERY_BUCKET && now > goal ? now : goal);
  const goal: Dials = {
    dualWrite: reach(dials.dualWrite, preset.dualWrite),
    shadowRead: reach(dials.shadowRead, preset.shadowRead),
    cutover: reach(dials.cutover, preset.cutover),
    retireOld: preset.retireOld,
  };
  const moves: DialMove[] = [];
  if (dials.retireOld && !goal.retireOld) moves.push({ dial: 'retire-old', to: false });
  if (goal.dualWrite > dials.dualWrite) moves.push({ dial: 'dual-write', to: goal.dualWrite });
  if (goal.shadowRead > dials.shadowRead) moves.push({ dial: 'shadow-read', to: goal.shadowRead });
  if (goal.cutover !== dials.cutover) moves.push({ dial: 'cutover', to: goal.cutover });
  if (goal.shadowRead < dials.shadowRead) moves.push({ dial: 'shadow-read', to: goal.shadowRead });
  if (goal.dualWrite < dials.dualWrite) moves.push({ dial: 'dual-write', to: goal.dualWrite });
  if (goal.retireOld && !dials.retireOld) moves.push({ dial: 'retire-old', to: true });
  return moves;
}

/** Where one dial stands. */
export function standingOf(dials: Dials, dial: DialName): DialValue | boolean {
  switch (dial) {
    case 'dual-write':
      return dialValue(dials.dualWrite);
    case 'shadow-read':
      return dialValue(dials.shadowRead);
    case 'cutover':
      return dialValue(dials.cutover);
    case 'retire-old':
      return dials.retireOld;
  }
}
