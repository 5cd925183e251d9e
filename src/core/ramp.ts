import { type DialName, describeDial, parseDialValue, type ShareDial, type Threshold } from './dial.ts';
import { InvalidArgument } from './errors.ts';
import { bothKinds, type CallTotals, quantile, type Traffic } from './traffic.ts';

/** The dials that a ramp may turn. */
export type RampDial = Exclude<DialName, 'retire-old'>;

/** What the new store may do worse than the old one before a ramp goes back by itself. */
export interface RampBudgets {
  /** How much more often its calls may fail, as a share of them: 0.01 is one more in a hundred. */
  readonly errorRate: number;
  /** How many times slower its calls may be at the 99th percentile; a cutover only. */
  readonly p99Ratio: number;
  /** What is this fast is never too slow, ms. */
  readonly p99FloorMs: number;
  /** The share of shadow reads that may differ. */
  readonly divergence: number;
  /** A step is clean only once the share that differs is below this with 95 % confidence; null: whatever was compared. */
  readonly divergenceBound: number | null;
}

export const DEFAULT_BUDGETS: RampBudgets = Object.freeze({
  errorRate: 0.01,
  p99Ratio: 3,
  p99FloorMs: 50,
  divergence: 0,
  divergenceBound: null,
});

/** A dial's way up. */
export interface RampPlan {
  readonly dial: RampDial;
  /** Ascending. */
  readonly steps: readonly Threshold[];
  /** How long a step must be clean before the next one. */
  readonly holdMs: number;
  readonly budgets: RampBudgets;
  /** Overrides gates that are advice, as a move may. */
  readonly force: boolean;
}

/** What the services did. */
export interface RampFacts {
  /** Since the step is in force. */
  readonly step: Traffic;
  /** The last minute or so: what broke just now must not drown in an hour that was good. */
  readonly recent: Traffic;
  /** Since the ramp began: the old store's part is what the new one is held against where the old one serves no more. */
  readonly ramp: Traffic;
  readonly compared: number;
  readonly divergent: number;
}

export interface RampCheck {
  readonly check: 'errors' | 'latency' | 'divergence';
  /** `open`: nothing speaks against it, but there is not enough to go by yet. */
  readonly state: 'kept' | 'broken' | 'open';
  /** For people, with its numbers. */
  readonly evidence: string;
}

/** Fewer failures prove nothing, and fewer calls have no 99th percentile. */
const LEAST_ERRORS = 3;
const LEAST_CALLS = 200;
const LONGEST_HOLD_MS = 30 * 86_400_000;

/** @throws InvalidArgument */
export function validateRampPlan({ dial, steps, holdMs, budgets }: RampPlan, present: Threshold): void {
  const refuse = (what: string, expected: string): never => {
    throw new InvalidArgument(what, { expected });
  };
  if (steps.length === 0 || steps.length > 100) refuse('a ramp needs its steps', '1 to 100 values of the dial');
  steps.forEach((step, i) => {
    const before = i === 0 ? present : (steps[i - 1] as Threshold);
    if (step <= before) {
      refuse(
        `${describeDial(step)} does not come after ${describeDial(before)}`,
        `steps of ${dial} that rise, from where it stands: ${describeDial(present)}`,
      );
    }
  });
  if (!(holdMs >= 0 && holdMs <= LONGEST_HOLD_MS)) refuse('the hold is out of bounds', '0 s to 30 days');
  const share = (name: string, value: number): void => {
    if (!(value >= 0 && value <= 1)) refuse(`the budget ${name} is out of bounds`, '0 % to 100 %');
  };
  share('error-rate', budgets.errorRate);
  share('divergence', budgets.divergence);
  const bound = budgets.divergenceBound;
  // Nothing proves a rate of nothing: such a step would never end.
  if (bound !== null && !(bound > 0 && bound <= 1))
    refuse('the budget proven-below is out of bounds', 'above 0 %, at most 100 %');
  if (!(budgets.p99Ratio >= 1)) refuse('the budget p99 is out of bounds', 'at least 1 times the old store');
}

/** The steps of a ramp that names none. */
const USUAL_STEPS: readonly Threshold[] = ['canary', 1, 5, 25, 50, 100].map(parseDialValue);

/** A ramp's steps from where the dial stands: those it is past are left out, and it ends at `to`. */
export function rampSteps(
  present: Threshold,
  to: Threshold,
  wanted: readonly Threshold[] = USUAL_STEPS,
): readonly Threshold[] {
  const ahead = wanted.filter((step) => step > present && step < to);
  return [...ahead, to];
}

/** The ruleset's name of a ramp's dial. */
export const shareDial = (dial: RampDial): ShareDial =>
  dial === 'dual-write' ? 'dualWrite' : dial === 'shadow-read' ? 'shadowRead' : 'cutover';

/**
 * The rate that is not exceeded with 95 % confidence: 3/n where nothing was found (the rule of three: Hanley and
 * Lippman-Hand, 1983), else the upper bound of Wilson's interval (1927). 1 without observations.
 */
export function upperBound(found: number, of: number): number {
  if (of <= 0) return 1;
  if (found === 0) return Math.min(3 / of, 1);
  const z = 1.645;
  const share = found / of;
  const spread = z * Math.sqrt((share * (1 - share)) / of + (z * z) / (4 * of * of));
  return Math.min((share + (z * z) / (2 * of) + spread) / (1 + (z * z) / of), 1);
}

/** Holds what the new store did against what the old one does. Pure. */
export function judge({ dial, budgets }: Pick<RampPlan, 'dial' | 'budgets'>, facts: RampFacts): readonly RampCheck[] {
  const checks = [judgeErrors(budgets, facts)];
  // Only callers of what has moved wait for the new store.
  if (dial === 'cutover') checks.push(judgeLatency(budgets, facts));
  if (dial !== 'dual-write') checks.push(judgeDivergence(budgets, facts));
  return checks;
}

function judgeErrors({ errorRate }: RampBudgets, { step, recent, ramp }: RampFacts): RampCheck {
  const old = share(bothKinds(ramp.old));
  const wrong = [recent, step].find(({ new: { read, write } }) => {
    const errors = read.errors + write.errors;
    return errors >= LEAST_ERRORS && errors > (old + errorRate) * (read.count + write.count);
  });
  const calls = bothKinds((wrong ?? step).new);
  const evidence = `new store: ${ratio(calls.errors, calls.count)} calls failed; old store: ${percent(old)}; budget: ${percent(errorRate)} more`;
  return { check: 'errors', state: wrong === undefined ? (calls.count === 0 ? 'open' : 'kept') : 'broken', evidence };
}

function judgeLatency({ p99Ratio, p99FloorMs }: RampBudgets, { step, recent, ramp }: RampFacts): RampCheck {
  let open = true;
  const parts: string[] = [];
  for (const kind of ['read', 'write'] as const) {
    const old = ramp.old[kind];
    const reference = old.count >= LEAST_CALLS ? quantile(old.latency, 0.99) : null;
    const limit = Math.max(p99FloorMs, (reference ?? 0) * p99Ratio);
    for (const window of [recent, step]) {
      const { count, latency } = window.new[kind];
      const p99 = quantile(latency, 0.99);
      if (count < LEAST_CALLS || p99 === null) continue;
      const line = `new store's ${kind}s: p99 ${ms(p99)} of ${count} calls, allowed ${ms(limit)}`;
      if (p99 > limit) return { check: 'latency', state: 'broken', evidence: line };
      open = false;
      if (window === step) parts.push(line);
    }
  }
  return open
    ? { check: 'latency', state: 'open', evidence: `fewer than ${LEAST_CALLS} calls of the new store` }
    : { check: 'latency', state: 'kept', evidence: parts.join('; ') || 'within its budget' };
}

function judgeDivergence({ divergence, divergenceBound }: RampBudgets, facts: RampFacts): RampCheck {
  const { compared, divergent } = facts;
  const bound = upperBound(divergent, compared);
  const evidence =
    compared === 0
      ? 'nothing was compared: shadow reads are off or nobody reads'
      : `${divergent} of ${compared} comparisons differ: at most ${percent(bound)} at 95 %`;
  if (divergent > divergence * compared) return { check: 'divergence', state: 'broken', evidence };
  if (divergenceBound !== null && bound > divergenceBound) {
    return { check: 'divergence', state: 'open', evidence: `${evidence}; wanted below ${percent(divergenceBound)}` };
  }
  return { check: 'divergence', state: compared === 0 ? 'open' : 'kept', evidence };
}

/** Whether a step may end: nothing is broken, and what must be proven is. */
export const clean = (checks: readonly RampCheck[], { divergenceBound }: RampBudgets): boolean =>
  checks.every(
    ({ check, state }) =>
      state === 'kept' || (state === 'open' && !(check === 'divergence' && divergenceBound !== null)),
  );

const share = ({ errors, count }: CallTotals): number => (count === 0 ? 0 : errors / count);
const percent = (rate: number): string => `${Number((rate * 100).toPrecision(3))} %`;
const ratio = (part: number, of: number): string => (of === 0 ? '0 of 0' : `${part} of ${of}`);
const ms = (value: number): string => `${Number(value.toPrecision(3))} ms`;
