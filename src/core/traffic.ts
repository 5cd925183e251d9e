import type { Side } from './stage.ts';

/** What a call of a store was for. */
export type CallKind = 'read' | 'write';

/** How many calls took how long: `[bucket, calls]` of the buckets that hold any, ascending. */
export type Histogram = readonly (readonly [bucket: number, calls: number])[];

/** The calls of one store, of one kind. */
export interface CallTotals {
  readonly count: number;
  /** Faults and calls given up; a conflict or a refusal is an answer. */
  readonly errors: number;
  readonly latency: Histogram;
}

/**
 * All calls of a migration's stores since a process joined, or of all processes there ever were. It only grows: the
 * difference of two readings is the traffic between them.
 */
export type Traffic = Readonly<Record<Side, Readonly<Record<CallKind, CallTotals>>>>;

const NO_CALLS: CallTotals = Object.freeze({ count: 0, errors: 0, latency: Object.freeze([]) });
const NO_SIDE = Object.freeze({ read: NO_CALLS, write: NO_CALLS });

export const NO_TRAFFIC: Traffic = Object.freeze({ old: NO_SIDE, new: NO_SIDE });

/** Below this everything is one bucket; then four buckets an octave. */
const FIRST_MS = 0.05;
const AN_OCTAVE = 4;
const OCTAVES = 21;
/** One below, one above: the last begins at more than a minute. */
export const LATENCY_BUCKETS = OCTAVES * AN_OCTAVE + 2;

const number = new Float64Array(1);
const words = new Uint32Array(number.buffer);
number[0] = 1;
/** Where the exponent is, and its value for 1: the first two bits of the fraction tell an octave's four buckets apart. */
const HIGH = words[1] === 0 ? 0 : 1;
const ONE = (words[HIGH] as number) >>> 18;

/** The bucket of a latency. No logarithm: it stands in the number's own bits. */
export function bucketOf(ms: number): number {
  if (!(ms >= FIRST_MS)) return 0;
  number[0] = ms / FIRST_MS;
  const bucket = ((words[HIGH] as number) >>> 18) - ONE + 1;
  return bucket < LATENCY_BUCKETS ? bucket : LATENCY_BUCKETS - 1;
}

/** The least latency of a bucket, ms. */
export function bucketFloor(bucket: number): number {
  if (bucket <= 0) return 0;
  const step = bucket - 1;
  return FIRST_MS * 2 ** Math.floor(step / AN_OCTAVE) * (1 + (step % AN_OCTAVE) / AN_OCTAVE);
}

/** The latency that a share `q` of the calls stayed within, ms, between the bounds of its bucket; null without calls. */
export function quantile(histogram: Histogram, q: number): number | null {
  const all = histogram.reduce((sum, [, calls]) => sum + calls, 0);
  if (all <= 0) return null;
  let left = Math.min(Math.max(q, 0), 1) * all;
  for (const [bucket, calls] of histogram) {
    if (left <= calls) {
      const from = bucketFloor(bucket);
      return from + ((bucketFloor(bucket + 1) - from) * left) / calls;
    }
    left -= calls;
  }
  return bucketFloor((histogram.at(-1)?.[0] ?? 0) + 1);
}

/** What came between two readings, the earlier one second. Never below 0: a total that began anew counts as it is. */
export const subtract = (later: Traffic, earlier: Traffic): Traffic => combined(later, earlier, withoutTotals);

export const add = (one: Traffic, other: Traffic): Traffic => combined(one, other, sumOfTotals);

/** Both kinds together. */
export const bothKinds = ({ read, write }: Traffic[Side]): CallTotals => sumOfTotals(read, write);

function combined(a: Traffic, b: Traffic, one: (a: CallTotals, b: CallTotals) => CallTotals): Traffic {
  const side = (x: Traffic[Side], y: Traffic[Side]) => ({ read: one(x.read, y.read), write: one(x.write, y.write) });
  return { old: side(a.old, b.old), new: side(a.new, b.new) };
}

function sumOfTotals(a: CallTotals, b: CallTotals): CallTotals {
  return { count: a.count + b.count, errors: a.errors + b.errors, latency: merged(a.latency, b.latency, 1) };
}

function withoutTotals(later: CallTotals, earlier: CallTotals): CallTotals {
  if (later.count < earlier.count) return later;
  return {
    count: later.count - earlier.count,
    errors: Math.max(later.errors - earlier.errors, 0),
    latency: merged(later.latency, earlier.latency, -1),
  };
}

function merged(a: Histogram, b: Histogram, sign: 1 | -1): Histogram {
  const calls = new Map(a.map(([bucket, count]) => [bucket, count]));
  for (const [bucket, count] of b) calls.set(bucket, (calls.get(bucket) ?? 0) + sign * count);
  return [...calls].filter(([, count]) => count > 0).sort(([x], [y]) => x - y);
}
