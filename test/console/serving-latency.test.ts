import { expect, test } from 'vitest';
import { servingLatency } from '../../src/console/overview/serving-latency.ts';

test('a store that serves no reads any more has no latency to compare with, whatever it was', () => {
  expect(servingLatency({ reads: [50, 60, null], readP99: [5, 7, null] })).toBe(7);
  expect(servingLatency({ reads: [50, 60, 0], readP99: [5, 7, null] })).toBeNull();
  expect(servingLatency({ reads: [null, null], readP99: [null, null] })).toBeNull();
  expect(servingLatency(undefined)).toBeNull();
});
