import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseDuration } from '../../src/cli/amount.ts';
import { dialValueOf } from '../../src/console/dial-value.ts';
import {
  aheadOf,
  draftOf,
  HOLD_UNITS,
  type HoldUnit,
  type RampBody,
  rampCommand,
  readDraft,
  stepsText,
  USUAL_BUDGETS,
  usualSteps,
} from '../../src/console/ramps/ramp-plan.ts';
import { dialValue, parseDialValue } from '../../src/core/dial.ts';
import { DEFAULT_BUDGETS, rampSteps } from '../../src/core/ramp.ts';

const value = fc.integer({ min: -1, max: 100_001 }).map(dialValueOf);
const read = (part: Partial<ReturnType<typeof draftOf>>): RampBody | string =>
  readDraft({ ...draftOf('cutover', 0), reason: 'test', ...part });

describe('the ramp editor', () => {
  test('shows the budgets and the steps that the server takes where nobody says anything', () => {
    expect(USUAL_BUDGETS).toEqual(DEFAULT_BUDGETS);
    expect(read({})).toMatchObject({ budgets: DEFAULT_BUDGETS });
    fc.assert(
      fc.property(fc.integer({ min: -1, max: 99_999 }).map(dialValueOf), (present) => {
        const server = rampSteps(parseDialValue(present), parseDialValue(100)).map(dialValue);
        expect(usualSteps(present)).toEqual(server);
      }),
    );
  });

  test('says the steps that the server would go, whatever was typed', () => {
    fc.assert(
      fc.property(value, fc.array(value, { minLength: 1, maxLength: 6 }), (present, typed) => {
        const body = read({ steps: stepsText(typed) }) as RampBody;
        expect(aheadOf(present, body)).toEqual(
          rampSteps(parseDialValue(present), parseDialValue(body.to), body.steps.map(parseDialValue)).map(dialValue),
        );
      }),
    );
  });

  test.each([
    ['canary 1,5;25', ['canary', 1, 5, 25]],
    [' 0.5 %, 100 % ', [0.5, 100]],
    ['ALL', ['all']],
  ])('reads the steps %o', (steps, values) => {
    const { to, steps: before } = read({ steps }) as RampBody;
    expect([...before, to]).toEqual(values);
  });

  test.each([
    { steps: '' },
    { steps: '5, half' },
    { hold: 'soon' },
    { hold: '' },
    { errorRate: 'few' },
    { p99Ratio: '' },
  ])('does not understand %o', (part) => expect(read(part)).toMatch(/\.$/));

  test('reads shares without the errors of fractions', () => {
    expect(read({ errorRate: '0,1', divergence: '0.07 %', divergenceBound: '0.3' })).toMatchObject({
      budgets: { errorRate: 0.001, divergence: 0.0007, divergenceBound: 0.003 },
    });
  });

  test('gives a command whose hold and reason are what was typed', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 999 }), fc.constantFrom(...Object.keys(HOLD_UNITS)), (hold, unit) => {
        const body = read({ hold: String(hold), unit: unit as HoldUnit }) as RampBody;
        const typed = /--hold (\S+)/.exec(rampCommand('events', body))?.[1];
        expect(parseDuration('--hold', typed ?? '')).toBe(body.holdMs);
      }),
    );
    const body = read({ steps: '1, 5', errorRate: '2', reason: `it's time`, force: true }) as RampBody;
    expect(rampCommand('events', body)).toBe(
      `changeover ramp events cutover --to 5 --steps 1,5 --hold 10min --max-errors 2% --force --reason 'it'\\''s time'`,
    );
  });
});
