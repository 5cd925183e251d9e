import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  ALL,
  BUCKETS,
  CANARY,
  dialValueOf,
  NOBODY,
  parseDial,
  stepOf,
  thresholdOf,
} from '../../src/console/dial-value.ts';
import { dialValue, parseDialValue } from '../../src/core/dial.ts';

const threshold = fc.integer({ min: NOBODY, max: ALL });

describe('a dial of the console', () => {
  test('stands where the control plane says, wherever that is', () => {
    fc.assert(
      fc.property(threshold, (at) => {
        expect(dialValueOf(at)).toBe(dialValue(at));
        expect(thresholdOf(dialValue(at))).toBe(parseDialValue(dialValue(at)));
        expect(parseDial(String(dialValue(at)))).toBe(dialValue(at));
      }),
    );
  });

  test.each([
    ['40', 40],
    [' 0.001 % ', 0.001],
    ['12,5', 12.5],
    ['Canary', 'canary'],
    ['all', 'all'],
    ['100.001', null],
    ['1.0001', null],
    ['-1', null],
    ['', null],
    ['4e1', null],
  ])('is typed as %o', (text, value) => {
    expect(parseDial(text)).toBe(value);
  });

  test('steps from nobody to all and back, never past an end, and never stands still between', () => {
    fc.assert(
      fc.property(threshold, fc.constantFrom(1, 1_000, 10_000), (from, size) => {
        const up = stepOf(from, 1, size);
        const down = stepOf(from, -1, size);
        if (from < ALL) expect(up).toBeGreaterThan(from);
        if (from > NOBODY) expect(down).toBeLessThan(from);
        if (from < BUCKETS) expect(up).toBeLessThanOrEqual(BUCKETS);
        if (from > CANARY && from <= BUCKETS) expect(down).toBeGreaterThanOrEqual(CANARY);
      }),
    );
  });
});
