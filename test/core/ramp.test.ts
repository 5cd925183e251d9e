import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type DialValue, parseDialValue } from '../../src/core/dial.ts';
import { InvalidArgument } from '../../src/core/errors.ts';
import {
  clean,
  DEFAULT_BUDGETS,
  judge,
  type RampBudgets,
  type RampFacts,
  rampSteps,
  upperBound,
  validateRampPlan,
} from '../../src/core/ramp.ts';
import { bucketOf, type CallTotals, NO_TRAFFIC, type Traffic } from '../../src/core/traffic.ts';

const values = (...dials: readonly DialValue[]) => dials.map(parseDialValue);
const calls = (count: number, errors = 0, ms = 1): CallTotals => ({
  count,
  errors,
  latency: count === 0 ? [] : [[bucketOf(ms), count]],
});
const traffic = (old: CallTotals, fresh: CallTotals): Traffic => ({
  old: { read: old, write: calls(0) },
  new: { read: fresh, write: calls(0) },
});
const facts = (one: Traffic, more: Partial<RampFacts> = {}): RampFacts => ({
  step: one,
  recent: one,
  ramp: one,
  compared: 0,
  divergent: 0,
  ...more,
});
const verdict = (what: RampFacts, budgets: Partial<RampBudgets> = {}, dial: 'cutover' | 'dual-write' = 'cutover') =>
  Object.fromEntries(
    judge({ dial, budgets: { ...DEFAULT_BUDGETS, ...budgets } }, what).map(({ check, state }) => [check, state]),
  );

describe('the steps of a ramp', () => {
  test('leave out what the dial is past, and end where it should', () => {
    expect(rampSteps(parseDialValue(5), parseDialValue(60), values(1, 5, 25, 50, 100))).toEqual(values(25, 50, 60));
    expect(rampSteps(parseDialValue(0), parseDialValue(100))).toEqual(values('canary', 1, 5, 25, 50, 100));
    expect(rampSteps(parseDialValue('canary'), parseDialValue('all'))).toEqual(values(1, 5, 25, 50, 100, 'all'));
  });

  test('rise from where the dial stands, or are refused', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 0, max: 100_001 }), { maxLength: 8 }),
        fc.integer({ min: -1, max: 100_000 }),
        (steps, present) => {
          const plan = { dial: 'cutover', steps, holdMs: 0, budgets: DEFAULT_BUDGETS, force: false } as const;
          const rises =
            steps.length > 0 && steps.every((step, i) => step > (i === 0 ? present : (steps[i - 1] as number)));
          const check = () => validateRampPlan(plan, present);
          if (rises) expect(check).not.toThrow();
          else expect(check).toThrow(InvalidArgument);
        },
      ),
    );
  });
});

describe('the bound of a rate', () => {
  test('is 3/n where nothing was found, never below the share that was, and falls as more is seen', () => {
    expect(upperBound(0, 3_000)).toBe(0.001);
    expect(upperBound(0, 0)).toBe(1);
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 1_000_000 }), fc.double({ min: 0, max: 1, noNaN: true }), (of, share) => {
        const found = Math.floor(of * share);
        const bound = upperBound(found, of);
        expect(bound).toBeGreaterThanOrEqual(found / of - 1e-12);
        expect(bound).toBeLessThanOrEqual(1);
        expect(upperBound(found * 10, of * 10)).toBeLessThanOrEqual(bound + 1e-9);
      }),
    );
  });
});

describe('the guard', () => {
  test('breaks when the new store fails more often than the old one by more than the budget', () => {
    expect(verdict(facts(traffic(calls(1_000), calls(1_000, 9))))).toMatchObject({ errors: 'kept' });
    expect(verdict(facts(traffic(calls(1_000), calls(1_000, 11))))).toMatchObject({ errors: 'broken' });
    // What both suffer from is no reason to go back.
    expect(verdict(facts(traffic(calls(1_000, 50), calls(1_000, 55))))).toMatchObject({ errors: 'kept' });
    expect(verdict(facts(traffic(calls(1_000), calls(10, 2))))).toMatchObject({ errors: 'kept' });
  });

  test('sees what broke just now behind an hour that was good', () => {
    const long = traffic(calls(100_000), calls(100_000, 30));
    const recent = traffic(calls(100), calls(100, 30));
    expect(verdict(facts(long, { recent }))).toMatchObject({ errors: 'broken' });
  });

  test('holds latency against the old store, but not what is fast anyway', () => {
    expect(verdict(facts(traffic(calls(1_000, 0, 2), calls(1_000, 0, 40))))).toMatchObject({ latency: 'kept' });
    expect(verdict(facts(traffic(calls(1_000, 0, 2), calls(1_000, 0, 90))))).toMatchObject({ latency: 'broken' });
    expect(verdict(facts(traffic(calls(1_000, 0, 100), calls(1_000, 0, 200))))).toMatchObject({ latency: 'kept' });
    expect(verdict(facts(traffic(calls(1_000), calls(20, 0, 900))))).toMatchObject({ latency: 'open' });
    expect(verdict(facts(traffic(calls(1_000), calls(1_000, 0, 900))), {}, 'dual-write')).toEqual({ errors: 'kept' });
  });

  test('breaks at the first divergence where none is allowed, and can demand a bound', () => {
    const none = (compared: number) => facts(NO_TRAFFIC, { compared });
    expect(verdict(facts(NO_TRAFFIC, { compared: 10_000, divergent: 1 }))).toMatchObject({ divergence: 'broken' });
    expect(verdict(facts(NO_TRAFFIC, { compared: 10_000, divergent: 1 }), { divergence: 0.001 })).toMatchObject({
      divergence: 'kept',
    });
    const budgets = { ...DEFAULT_BUDGETS, divergenceBound: 0.01 };
    const cleanAt = (compared: number) => clean(judge({ dial: 'cutover', budgets }, none(compared)), budgets);
    expect([cleanAt(0), cleanAt(299), cleanAt(300)]).toEqual([false, false, true]);
    expect(clean(judge({ dial: 'cutover', budgets: DEFAULT_BUDGETS }, none(0)), DEFAULT_BUDGETS)).toBe(true);
  });
});
