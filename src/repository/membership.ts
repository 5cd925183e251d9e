import { makeStamp, type Stamp, type StampClock, stampMs } from '../core/stamp.ts';

/** One registered run of this process (R1, R8): its stamps, and how late its deadlines may be. */
export interface Membership {
  readonly incarnation: number;
  readonly stamps: StampClock;
  /** Durable: no deadline is later (R9). */
  deadlineLimit: number;
  /** Durable: every stamp is below that of this time, whole ms. */
  stampLimitMs: number;
  alive: boolean;
}

/** The greatest stamp of a time that is promised, ms. */
export const limitStamp = (ms: number): Stamp => makeStamp(Math.min(Math.floor(ms), 2 ** 48 - 1), 0, 0);

/** The limits that a report makes durable: of deadlines long before they are reached, and above every stamp. */
export function raisedLimits(
  { deadlineLimit: before, stampLimitMs, stamps }: Membership,
  now: number,
  leaseMs: number,
): { readonly deadlineLimit: number; readonly stampLimit: Stamp } {
  const deadlineLimit = before - now < leaseMs / 2 ? now + leaseMs : before;
  const highest = stampMs(stamps.highWater()) + leaseMs / 2;
  return { deadlineLimit, stampLimit: limitStamp(Math.max(stampLimitMs, deadlineLimit, highest)) };
}
