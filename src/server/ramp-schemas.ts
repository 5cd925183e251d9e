import { array, BOOLEAN, MS, nullable, object, oneOf, type Schema, THRESHOLD } from './schemas.ts';

/** The dials that a ramp may turn. */
export const RAMP_DIAL = oneOf('dual-write', 'shadow-read', 'cutover');

const SHARE: Schema = { type: 'number', minimum: 0, maximum: 1 };

/** What the new store may do worse before a ramp goes back; shares are of 1. */
export const BUDGETS: Readonly<Record<string, Schema>> = {
  errorRate: { ...SHARE, description: 'how much more often calls of the new store may fail than those of the old one' },
  p99Ratio: { type: 'number', minimum: 1, maximum: 1_000, description: 'how many times slower it may be' },
  p99FloorMs: { type: 'number', minimum: 0, maximum: 600_000, description: 'what is this fast is never too slow' },
  divergence: { ...SHARE, description: 'the share of shadow reads that may differ' },
  divergenceBound: nullable({ ...SHARE, description: 'below this with 95 % confidence before a step is clean' }),
};

export const HOLD_MS: Schema = { ...MS, maximum: 30 * 86_400_000 };

/** A plan as the control plane's calls hold it: steps are thresholds. */
export const RAMP_PLAN: Schema = object({
  dial: RAMP_DIAL,
  steps: array(THRESHOLD, 100),
  holdMs: HOLD_MS,
  budgets: object(BUDGETS),
  force: BOOLEAN,
});
