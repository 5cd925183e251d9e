import type { MigrationStatus, MovePreview } from '../server/api-types.ts';

export type DialName = MovePreview['dial'];
export type ShareDial = Exclude<DialName, 'retire-old'>;
export type DialValue = MigrationStatus['dials']['cutover'];

/** How many buckets there are; one is 0.001 %. */
export const BUCKETS = 100_000;

/**
 * Where a dial stands, as a number to count with: −1 nobody, 0 the canaries, `n` also the buckets below `n`, 100 000 all
 * buckets, 100 001 the kept-back units too. Positions below it are in.
 */
export type Threshold = number;
export const NOBODY: Threshold = -1;
export const CANARY: Threshold = 0;
export const ALL: Threshold = BUCKETS + 1;

export function thresholdOf(value: DialValue): Threshold {
  if (value === 'canary') return CANARY;
  if (value === 'all') return ALL;
  return value === 0 ? NOBODY : Math.round(value * 1_000);
}

export function dialValueOf(threshold: Threshold): DialValue {
  if (threshold <= NOBODY) return 0;
  if (threshold === CANARY) return 'canary';
  return threshold >= ALL ? 'all' : threshold / 1_000;
}

/** `25 %`, `canary`, `all`; retire-old is `yes` or `no`. */
export function dialText(value: DialValue | boolean): string {
  if (typeof value === 'boolean') return value ? 'yes' : 'no';
  return typeof value === 'number' ? `${value} %` : value;
}

/** As the command line takes it. */
export const dialArgument = (value: DialValue | boolean): string =>
  typeof value === 'boolean' ? (value ? 'yes' : 'no') : String(value);

/** What somebody typed; null where it is no position of a dial. */
export function parseDial(text: string): DialValue | null {
  const word = text.trim().toLowerCase();
  if (word === 'canary' || word === 'all') return word;
  const match = /^(\d{1,3}(?:[.,]\d{1,3})?)\s*%?$/.exec(word);
  const percent = Number(match?.[1]?.replace(',', '.'));
  return percent >= 0 && percent <= 100 ? percent : null;
}

/** Where on the axis of the buckets a threshold lies, percent. */
export const axisPercent = (threshold: Threshold): number => Math.min(Math.max(threshold, 0), BUCKETS) / 1_000;

/** One step up or down, by whole percents: nobody, canary, 1 % … 100 %, all. */
export function stepOf(from: Threshold, steps: number, size: number): Threshold {
  if (steps > 0 && from === NOBODY) return CANARY;
  if (steps < 0 && from === ALL) return BUCKETS;
  if (steps > 0 && from === BUCKETS) return ALL;
  if (steps < 0 && from === CANARY) return NOBODY;
  if (steps < 0 && from <= size) return CANARY;
  if (steps > 0 && from < BUCKETS && from + size > BUCKETS) return BUCKETS;
  return from + Math.sign(steps) * size;
}
