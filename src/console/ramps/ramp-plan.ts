import type { RampView } from '../../server/api-types.ts';
import { type DialValue, dialArgument, dialText, parseDial, type ShareDial, thresholdOf } from '../dial-value.ts';
import { duration, percent, shellQuoted } from '../wording.ts';

/** What is typed of a ramp before it begins. */
export interface RampDraft {
  readonly dial: ShareDial;
  readonly steps: string;
  readonly hold: string;
  readonly unit: HoldUnit;
  /** Percent. */
  readonly errorRate: string;
  readonly p99Ratio: string;
  readonly p99FloorMs: string;
  /** Percent. */
  readonly divergence: string;
  /** Percent; empty: whatever was compared. */
  readonly divergenceBound: string;
  readonly force: boolean;
  readonly reason: string;
}

export const HOLD_UNITS = { s: 1_000, min: 60_000, h: 3_600_000, d: 86_400_000 } as const;
export type HoldUnit = keyof typeof HOLD_UNITS;

export const RAMP_DIALS = ['dual-write', 'shadow-read', 'cutover'] as const satisfies readonly ShareDial[];

/** What the server takes where a ramp says nothing; a test holds them together. */
export const USUAL_BUDGETS: RampView['budgets'] = {
  errorRate: 0.01,
  p99Ratio: 3,
  p99FloorMs: 50,
  divergence: 0,
  divergenceBound: null,
};
export const USUAL_STEPS: readonly DialValue[] = ['canary', 1, 5, 25, 50, 100];

/** Whose calls wait for the new store, and whose reads are compared. */
export const judgesLatency = (dial: ShareDial): boolean => dial === 'cutover';
export const judgesDivergence = (dial: ShareDial): boolean => dial !== 'dual-write';

/** The usual steps that a dial is not past; `all` where it is past every percentage. */
export function usualSteps(present: DialValue): readonly DialValue[] {
  const ahead = USUAL_STEPS.filter((step) => thresholdOf(step) > thresholdOf(present));
  return ahead.length === 0 ? ['all'] : ahead;
}

export const stepsText = (steps: readonly DialValue[]): string => steps.map(dialArgument).join(', ');

export function draftOf(dial: ShareDial, present: DialValue): RampDraft {
  const { errorRate, p99Ratio, p99FloorMs, divergence } = USUAL_BUDGETS;
  return {
    dial,
    steps: stepsText(usualSteps(present)),
    hold: '10',
    unit: 'min',
    errorRate: String(errorRate * 100),
    p99Ratio: String(p99Ratio),
    p99FloorMs: String(p99FloorMs),
    divergence: String(divergence * 100),
    divergenceBound: '',
    force: false,
    reason: '',
  };
}

/** What a ramp asks of the server. */
export interface RampBody extends Pick<RampView, 'dial' | 'holdMs' | 'reason'> {
  readonly to: DialValue;
  /** Those before `to`. */
  readonly steps: readonly DialValue[];
  readonly budgets: Partial<RampView['budgets']>;
  readonly force: boolean;
}

const numberOf = (text: string): number => {
  const typed = text
    .trim()
    .replace(',', '.')
    .replace(/\s*[%×x]$/, '');
  return typed === '' ? Number.NaN : Number(typed);
};
/** 0.1 % is 0.001, not 0.0010000000000000002. */
const shareOf = (text: string): number => Number((numberOf(text) / 100).toPrecision(12));

/** A draft as the server takes it, or what cannot be read in it; whether it may be is the server's to say. */
export function readDraft(draft: RampDraft): RampBody | string {
  const steps = draft.steps
    .split(/[,;\s]+/)
    .filter((step) => step !== '' && step !== '%')
    .map(parseDial);
  const to = steps.at(-1);
  if (to == null || steps.includes(null)) return 'The steps are percentages, canary or all, with commas between them.';
  const holdMs = Math.round(numberOf(draft.hold) * HOLD_UNITS[draft.unit]);
  const budgets: Record<string, number | null> = {
    errorRate: shareOf(draft.errorRate),
    ...(judgesLatency(draft.dial)
      ? { p99Ratio: numberOf(draft.p99Ratio), p99FloorMs: numberOf(draft.p99FloorMs) }
      : {}),
    ...(judgesDivergence(draft.dial)
      ? {
          divergence: shareOf(draft.divergence),
          divergenceBound: draft.divergenceBound.trim() === '' ? null : shareOf(draft.divergenceBound),
        }
      : {}),
  };
  if (Number.isNaN(holdMs)) return 'The hold is a number.';
  if (Object.values(budgets).some(Number.isNaN)) return 'A budget is a number.';
  return {
    dial: draft.dial,
    to,
    steps: steps.slice(0, -1) as readonly DialValue[],
    holdMs,
    budgets,
    force: draft.force,
    reason: draft.reason.trim(),
  };
}

/** The steps that are left from where the dial stands: those it is past are left out. */
export function aheadOf(present: DialValue, { to, steps }: Pick<RampBody, 'to' | 'steps'>): readonly DialValue[] {
  const [from, end] = [thresholdOf(present), thresholdOf(to)];
  return [...steps.filter((step) => thresholdOf(step) > from && thresholdOf(step) < end), to];
}

/** 10 min, 1 h 30 min: a time that somebody chose needs no more figures than it has. */
export const roundDuration = (ms: number): string =>
  ms < 1_000
    ? `${ms} ms`
    : duration(ms)
        .replace(/ 00 (?:s|min)$/, '')
        .replace(/\.0 s$/, ' s');

const inPercent = (share: number): string => percent(Number((share * 100).toPrecision(12)));

/** When a ramp goes back by itself, in words. */
export function budgetWords(dial: ShareDial, budgets: RampView['budgets']): readonly string[] {
  const { errorRate, p99Ratio, p99FloorMs, divergence } = budgets;
  return [
    `more than ${inPercent(errorRate)} more calls of the new store fail than of the old one`,
    ...(judgesLatency(dial)
      ? [`its p99 is above ${p99Ratio} times that of the old store, and above ${p99FloorMs} ms`]
      : []),
    ...(judgesDivergence(dial)
      ? [divergence === 0 ? 'any shadow read differs' : `more than ${inPercent(divergence)} of shadow reads differ`]
      : []),
  ];
}

/** What must be proven before a step is clean, or null. */
export const proofWords = ({ divergenceBound }: RampView['budgets']): string | null =>
  divergenceBound === null ? null : `fewer than ${inPercent(divergenceBound)} of shadow reads differ, at 95 %`;

function holdArgument(ms: number): string {
  const whole = Object.entries(HOLD_UNITS).findLast(([, unit]) => ms % unit === 0);
  return ms === 0 || whole === undefined ? `${ms}ms` : `${ms / whole[1]}${whole[0]}`;
}

/** What the command line would be told. */
export function rampCommand(migration: string, { dial, to, steps, holdMs, budgets, force, reason }: RampBody): string {
  const share = (option: string, value: number | null | undefined, usual: number | null): string[] =>
    value === undefined || value === null || value === usual
      ? []
      : [`--${option} ${Number((value * 100).toPrecision(12))}%`];
  const { p99Ratio } = budgets;
  return [
    `changeover ramp ${migration} ${dial} --to ${dialArgument(to)}`,
    `--steps ${[...steps, to].map(dialArgument).join(',')}`,
    `--hold ${holdArgument(holdMs)}`,
    ...share('max-errors', budgets.errorRate, USUAL_BUDGETS.errorRate),
    ...(p99Ratio === undefined || p99Ratio === USUAL_BUDGETS.p99Ratio ? [] : [`--max-p99 ${p99Ratio}x`]),
    ...share('max-divergence', budgets.divergence, USUAL_BUDGETS.divergence),
    ...share('proven-below', budgets.divergenceBound, null),
    ...(force ? ['--force'] : []),
    `--reason ${shellQuoted(reason || '…')}`,
  ].join(' ');
}

/** Not at its end. */
export const isUnfinished = ({ finishedAt }: Pick<RampView, 'finishedAt'>): boolean => finishedAt === null;

/** How a ramp stands, in one line. */
export function rampStanding({ state, steps, step, stepSince, start, note }: RampView): string {
  const at = dialText(steps[step] ?? start);
  const which = `step ${step + 1} of ${steps.length}`;
  switch (state) {
    case 'running':
      return `${stepSince !== null ? 'at' : note === null ? 'on its way to' : 'waits on its way to'} ${at}, ${which}`;
    case 'paused':
      return `paused ${stepSince === null ? 'on its way to' : 'at'} ${at}, ${which}`;
    case 'returning':
      return `going back to ${dialText(start)}`;
    case 'returned':
      return `went back to ${dialText(start)} by itself`;
    case 'stopped':
      return `stopped ${stepSince === null ? 'on its way to' : 'at'} ${at}, ${which}`;
    case 'done':
      return `done, at ${at}`;
  }
}

/** Which budgets were broken, with their numbers. */
export const brokenWords = ({ checks }: Pick<RampView, 'checks'>): string =>
  checks
    .filter(({ state }) => state === 'broken')
    .map(({ check, evidence }) => `${check}: ${evidence}`)
    .join('; ');
