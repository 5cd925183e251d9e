import type { RulesetDocument } from '../core/ruleset.ts';
import { makeStamp, type Stamp, type StampClock, stampMs } from '../core/stamp.ts';

/** One registered run of this process (R1, R8): its stamps, and how late its deadlines may be. */
export interface Membership {
  readonly incarnation: number;
  readonly stamps: StampClock;
  /** Durable: no deadline is later (R9). */
  deadlineLimit: number;
  /** Durable: every stamp is below that of this time, whole ms. */
  stampLimitMs: number;
  /** Of a ruleset that is about to be in force: its stamps will be above that time, ms. */
  floorMs: number;
  alive: boolean;
}

/** The greatest stamp of a time that is promised, ms. */
export const limitStamp = (ms: number): Stamp => makeStamp(Math.min(Math.floor(ms), 2 ** 48 - 1), 0, 0);

/** The time that all stamps under a ruleset are above, ms. */
export const floorOf = ({ stampFloor }: Pick<RulesetDocument, 'stampFloor'>): number =>
  stampFloor === null ? 0 : stampMs(stampFloor);

/** The limits that a report makes durable: of deadlines long before they are reached, and above every stamp. */
export function raisedLimits(
  { deadlineLimit: before, stampLimitMs, floorMs, stamps }: Membership,
  now: number,
  leaseMs: number,
): { readonly deadlineLimit: number; readonly stampLimit: Stamp } {
  const deadlineLimit = before - now < leaseMs / 2 ? now + leaseMs : before;
  const highest = Math.max(stampMs(stamps.highWater()), floorMs) + leaseMs / 2;
  return { deadlineLimit, stampLimit: limitStamp(Math.max(stampLimitMs, deadlineLimit, highest)) };
}
