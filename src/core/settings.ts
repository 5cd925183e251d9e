import { InvalidArgument } from './errors.ts';

/** What operators may change while everything runs; part of the ruleset. */
export interface Settings {
  /** While the old store leads: answer after the lead put (`detached`) or after both. @default detached */
  readonly mirrorToNew: 'detached' | 'wait';
  /** While the new store leads; `detached` lets a crash lose the way back's newest writes to a repair. @default wait */
  readonly mirrorToOld: 'detached' | 'wait';
  /** What a record that only the follower cannot hold is: a listed rejection, or the caller's error. @default mark */
  readonly followerLimits: 'mark' | 'refuse';
  /** One copy of a put may be applied for this long, ms. @default 3000 */
  readonly putTimeoutMs: number;
  /** A caller waits this long in all before `OutcomeUnknown` or `StoreUnavailable`, ms. @default 10000 */
  readonly operationTimeoutMs: number;
  /** One mirror put may take this long before its key is dirty, ms. @default 5000 */
  readonly mirrorTimeoutMs: number;
  /** Mirror puts sent at once by a process. @default 32 */
  readonly mirrorConcurrency: number;
  /** Mirror puts waiting in a process; more are shed to dirt. @default 10000 */
  readonly mirrorQueueLimit: number;
  /** How long a mirror put may hold up an acknowledgement before its key becomes dirty instead, ms. @default 250 */
  readonly acknowledgeGraceMs: number;
  /** A write waits this long for a handover before `HandoverInProgress`, ms. @default 5000 */
  readonly holdTimeoutMs: number;
  /** Writes that may wait in a process; more fail at once. @default 10000 */
  readonly holdQueueLimit: number;
  /** Failed mirror puts in a row after which a process stops trying for a while and marks. @default 5 */
  readonly breakerFailures: number;
  /** How long it stops, ms. @default 1000 */
  readonly breakerResetMs: number;
  /** The share of reads that are compared where shadow-read is on, 0 … 1. @default 1 */
  readonly shadowSample: number;
  /** Comparisons under way at once in a process; more are skipped. @default 64 */
  readonly shadowConcurrency: number;
  /** Waits before a difference is looked at again, ms; one that outlives all is a divergence. @default [50, 250, 1000] */
  readonly shadowRecheckMs: readonly number[];
  /** Replay: records put at once by a process, at most; how many they are follows from how the store bears them. @default 4000 */
  readonly replayConcurrency: number;
  /** Replay: records put or compared a second, or null for as fast as the stores allow. @default null */
  readonly replayRate: number | null;
  /** Replay: a batch whose answer takes longer is a sign to put less at once, ms. @default 500 */
  readonly replayLatencyBudgetMs: number;
  /** Replay: it is eased while the services' slowest hundredth of calls takes longer, ms; null leaves that alone. @default null */
  readonly replayTrafficBudgetMs: number | null;
  /** Replay: it is eased while the slowest replica of the store that it fills is further behind, ms; 0 leaves that alone. @default 15000 */
  readonly replayLagBudgetMs: number;
  /** How long a verdict counts for the gates, ms. @default 86400000 */
  readonly verificationTtlMs: number;
  /**
   * Which verdicts satisfy the gate: of everything (`full`), of everything by a verification that found records planted
   * for it (`proven`), or of a sample too (`sample`). @default full
   */
  readonly verification: 'sample' | 'full' | 'proven';
  /** Operators confirmed that nobody writes to the stores but through the repository (R14). @default false */
  readonly noOutsideWriters: boolean;
}

export const DEFAULT_SETTINGS: Settings = Object.freeze({
  mirrorToNew: 'detached',
  mirrorToOld: 'wait',
  followerLimits: 'mark',
  putTimeoutMs: 3_000,
  operationTimeoutMs: 10_000,
  mirrorTimeoutMs: 5_000,
  mirrorConcurrency: 32,
  mirrorQueueLimit: 10_000,
  acknowledgeGraceMs: 250,
  holdTimeoutMs: 5_000,
  holdQueueLimit: 10_000,
  breakerFailures: 5,
  breakerResetMs: 1_000,
  shadowSample: 1,
  shadowConcurrency: 64,
  shadowRecheckMs: Object.freeze([50, 250, 1_000]),
  replayConcurrency: 4_000,
  replayRate: null,
  replayLatencyBudgetMs: 500,
  replayTrafficBudgetMs: null,
  // A replica of PostgreSQL that has nothing to do says where it is every 10 s only.
  replayLagBudgetMs: 15_000,
  verificationTtlMs: 86_400_000,
  verification: 'full',
  noOutsideWriters: false,
});

type Check = readonly [expected: string, valid: (value: unknown) => boolean];

const whole = (min: number, max: number): Check => [
  `a whole number from ${min} to ${max}`,
  (value) => Number.isInteger(value) && (value as number) >= min && (value as number) <= max,
];
const oneOf = (...words: readonly string[]): Check => [words.join(' or '), (value) => words.includes(value as string)];
const aboveNothing: Check = [
  'null or a number above 0',
  (value) => value === null || (typeof value === 'number' && value > 0),
];

/** A setting as people name it: `replayRate` → `replay-rate`. */
export const settingName = (field: keyof Settings): string =>
  field.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);

/** A setting's value as people write it. */
export function settingText(value: Settings[keyof Settings]): string {
  if (value === null) return 'none';
  if (typeof value === 'boolean') return value ? 'yes' : 'no';
  return Array.isArray(value) ? (value.length === 0 ? 'none' : value.join(',')) : String(value);
}

/** No put of any kind is given a later deadline than this: what makes the end of a dead process computable (R9). */
export const MAX_PUT_TIMEOUT_MS = 60_000;

const CHECKS: Readonly<Record<keyof Settings, Check>> = {
  mirrorToNew: oneOf('detached', 'wait'),
  mirrorToOld: oneOf('detached', 'wait'),
  followerLimits: oneOf('mark', 'refuse'),
  putTimeoutMs: whole(10, MAX_PUT_TIMEOUT_MS),
  operationTimeoutMs: whole(10, 600_000),
  mirrorTimeoutMs: whole(10, MAX_PUT_TIMEOUT_MS),
  mirrorConcurrency: whole(1, 10_000),
  mirrorQueueLimit: whole(0, 10_000_000),
  acknowledgeGraceMs: whole(0, 60_000),
  holdTimeoutMs: whole(0, 600_000),
  holdQueueLimit: whole(0, 10_000_000),
  breakerFailures: whole(1, 1_000_000),
  breakerResetMs: whole(1, 600_000),
  shadowSample: ['a number from 0 to 1', (value) => typeof value === 'number' && value >= 0 && value <= 1],
  shadowConcurrency: whole(1, 10_000),
  shadowRecheckMs: [
    'at most 10 waits of 0 to 60000 ms',
    (value) => Array.isArray(value) && value.length <= 10 && value.every((ms) => whole(0, 60_000)[1](ms)),
  ],
  replayConcurrency: whole(1, 10_000),
  replayRate: aboveNothing,
  replayLatencyBudgetMs: whole(1, 600_000),
  replayTrafficBudgetMs: aboveNothing,
  replayLagBudgetMs: whole(0, 86_400_000),
  verificationTtlMs: whole(1_000, 31_536_000_000),
  verification: oneOf('sample', 'full', 'proven'),
  noOutsideWriters: ['true or false', (value) => typeof value === 'boolean'],
};

/** @throws InvalidArgument names the setting that is missing, unknown or out of range. */
export function validateSettings(input: unknown): asserts input is Settings {
  if (typeof input !== 'object' || input === null) throw new InvalidArgument('there are no settings');
  const settings = input as Record<string, unknown>;
  for (const name of Object.keys(settings)) {
    if (!Object.hasOwn(CHECKS, name)) {
      throw new InvalidArgument(`there is no setting "${name}"`, { expected: Object.keys(CHECKS).join(', ') });
    }
  }
  for (const [name, [expected, valid]] of Object.entries(CHECKS)) {
    if (!valid(settings[name])) {
      throw new InvalidArgument(`the setting ${name} cannot be ${JSON.stringify(settings[name])}`, { expected });
    }
  }
}
