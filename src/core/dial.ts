import { BUCKETS } from './bucket.ts';
import { InvalidArgument } from './errors.ts';
import { type Intervals, intervals } from './intervals.ts';

/** The position of canary units, before every bucket. */
export const CANARY_POSITION = -1;
/** The position of kept-back units, behind every bucket. */
export const KEPT_BACK_POSITION = BUCKETS;

/**
 * A dial as a threshold on the line: positions below it are in. −1 is nobody, 0 the canaries, `n` also the buckets
 * 0 … n−1, 100 000 all buckets, 100 001 the kept-back units too.
 */
export type Threshold = number;

export const NOBODY: Threshold = CANARY_POSITION;
export const CANARY: Threshold = 0;
export const EVERY_BUCKET: Threshold = BUCKETS;
export const ALL: Threshold = BUCKETS + 1;

/** The whole line, as an interval set. */
export const WHOLE_LINE: Intervals = Object.freeze([Object.freeze([CANARY_POSITION, ALL] as const)]);

/** A dial as people and scripts write it: 0 … 100 in steps of 0.001, `canary`, or `all`. */
export type DialValue = number | 'canary' | 'all';

/** The dials that are shares of the line. */
export type ShareDial = 'dualWrite' | 'shadowRead' | 'cutover';

/** The names of all dials on the command line. */
export const DIALS = ['dual-write', 'shadow-read', 'cutover', 'retire-old'] as const;
export type DialName = (typeof DIALS)[number];

const EXPECTED = 'canary, all, or a percentage from 0 to 100 in steps of 0.001';

/** @throws InvalidArgument for anything that is no {@link DialValue} (numbers may come as text, with or without %). */
export function parseDialValue(value: unknown): Threshold {
  if (value === 'canary') return CANARY;
  if (value === 'all') return ALL;
  const text = typeof value === 'number' ? String(value) : typeof value === 'string' ? value.trim() : '';
  const match = /^(\d{1,3}(?:\.\d{1,3})?)\s*%?$/.exec(text);
  const percent = match === null ? Number.NaN : Number(match[1]);
  if (!(percent >= 0 && percent <= 100)) {
    throw new InvalidArgument(`${JSON.stringify(value)} is no position of a dial`, { expected: EXPECTED });
  }
  return percent === 0 ? NOBODY : Math.round((percent * BUCKETS) / 100);
}

/** The inverse of {@link parseDialValue}. */
export function dialValue(threshold: Threshold): DialValue {
  if (threshold <= NOBODY) return 0;
  if (threshold === CANARY) return 'canary';
  return threshold >= ALL ? 'all' : (threshold * 100) / BUCKETS;
}

/** A dial's value for people: `25 %`, `canary`, `all`. */
export function describeDial(threshold: Threshold): string {
  const value = dialValue(threshold);
  return typeof value === 'number' ? `${value} %` : value;
}

/** The positions below a threshold. */
export const below = (threshold: Threshold): Intervals => intervals([[CANARY_POSITION, threshold]]);

/** The positions that a move between two thresholds concerns. */
export const between = (a: Threshold, b: Threshold): Intervals => intervals([[Math.min(a, b), Math.max(a, b)]]);

/** Dirt may be tens of thousands of ranges; a text, and the history, name the first. */
const MOST_NAMED = 20;

/** Positions for people: `canary, 0–25 %, kept-back`. */
export function describePositions(positions: Intervals): string {
  if (positions.length === 0) return 'nothing';
  if (positions.length > MOST_NAMED) {
    const more = (positions.length - MOST_NAMED).toLocaleString('en-US');
    return `${describePositions(positions.slice(0, MOST_NAMED))} and ${more} more`;
  }
  const percent = (bucket: number): string => String((bucket * 100) / BUCKETS);
  const parts: string[] = [];
  for (const [from, to] of positions) {
    if (from === CANARY_POSITION) parts.push('canary');
    const first = Math.max(from, 0);
    const last = Math.min(to, BUCKETS);
    if (first < last) {
      parts.push(last - first === 1 ? `bucket ${first}` : `${percent(first)}–${percent(last)} %`);
    }
    if (to === ALL) parts.push('kept-back');
  }
  return parts.join(', ');
}

const POSITIONS_EXPECTED =
  'canary, kept-back, shares of the line as 0-25 or 12.5-13 (percent), bucket 4711; several with commas';

/** The inverse of {@link describePositions}, as people write it: `canary, 0-25 %, kept-back`. @throws InvalidArgument */
export function parsePositions(text: string): Intervals {
  const refuse = (part: string): InvalidArgument =>
    new InvalidArgument(`${JSON.stringify(part)} names no positions`, { expected: POSITIONS_EXPECTED });
  const bucket = (percent: string | undefined): number => Math.round((Number(percent) * BUCKETS) / 100);
  return intervals(
    text.split(',').map((raw) => {
      const part = raw.trim();
      if (part === 'canary') return [CANARY_POSITION, CANARY] as const;
      if (part === 'kept-back') return [KEPT_BACK_POSITION, ALL] as const;
      const single = /^bucket (\d{1,5})$/.exec(part);
      if (single !== null) return [Number(single[1]), Number(single[1]) + 1] as const;
      const share = /^(\d{1,3}(?:\.\d{1,3})?) ?%? ?[-–] ?(\d{1,3}(?:\.\d{1,3})?) ?%?$/.exec(part);
      const [from, to] = [bucket(share?.[1]), bucket(share?.[2])];
      if (share === null || from >= to || to > BUCKETS) throw refuse(part);
      return [from, to] as const;
    }),
  );
}
