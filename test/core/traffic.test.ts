import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  add,
  bucketFloor,
  bucketOf,
  type Histogram,
  LATENCY_BUCKETS,
  NO_TRAFFIC,
  quantile,
  subtract,
  type Traffic,
} from '../../src/core/traffic.ts';

const histogram: fc.Arbitrary<Histogram> = fc
  .dictionary(fc.nat(LATENCY_BUCKETS - 1).map(String), fc.integer({ min: 1, max: 1e6 }), { maxKeys: 8 })
  .map((calls) =>
    Object.entries(calls)
      .map(([bucket, count]): [number, number] => [Number(bucket), count])
      .sort(([a], [b]) => a - b),
  );
const totals = fc.record({ count: fc.nat(1e9), errors: fc.nat(1e6), latency: histogram });
const side = fc.record({ read: totals, write: totals });
const traffic: fc.Arbitrary<Traffic> = fc.record({ old: side, new: side });

describe('the histogram of latencies', () => {
  test('puts every latency into the bucket that holds it, to a quarter of an octave', () => {
    fc.assert(
      fc.property(fc.double({ min: 0, max: 1e6, noNaN: true }), (ms) => {
        const bucket = bucketOf(ms);
        expect(bucketFloor(bucket)).toBeLessThanOrEqual(ms);
        if (bucket === LATENCY_BUCKETS - 1) return;
        const next = bucketFloor(bucket + 1);
        expect(ms).toBeLessThan(next);
        if (bucket > 0) expect(next / bucketFloor(bucket)).toBeLessThanOrEqual(1.25);
      }),
    );
  });

  test('reaches from 50 µs to more than a minute, and takes what is no latency as none', () => {
    expect(bucketFloor(1)).toBe(0.05);
    expect(bucketFloor(LATENCY_BUCKETS - 1)).toBeGreaterThan(60_000);
    expect([bucketOf(-1), bucketOf(Number.NaN), bucketOf(0.049)]).toEqual([0, 0, 0]);
    expect(bucketOf(Number.POSITIVE_INFINITY)).toBe(LATENCY_BUCKETS - 1);
  });

  test('tells a quantile of what was put in to within its bucket', () => {
    fc.assert(
      fc.property(
        fc.array(fc.double({ min: 0.05, max: 60_000, noNaN: true }), { minLength: 1, maxLength: 200 }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (latencies, q) => {
          const counted = new Map<number, number>();
          for (const ms of latencies) counted.set(bucketOf(ms), (counted.get(bucketOf(ms)) ?? 0) + 1);
          const told = quantile(
            [...counted].sort(([a], [b]) => a - b),
            q,
          ) as number;
          const exact = latencies.toSorted((a, b) => a - b)[Math.max(Math.ceil(q * latencies.length) - 1, 0)] as number;
          expect(told).toBeGreaterThanOrEqual(exact / 1.26);
          expect(told).toBeLessThanOrEqual(exact * 1.26);
        },
      ),
    );
    expect(quantile([], 0.5)).toBeNull();
  });
});

describe('the traffic between two readings', () => {
  test('is what was added to the first', () => {
    fc.assert(
      fc.property(traffic, traffic, (before, between) => {
        expect(subtract(add(before, between), before)).toEqual(between);
      }),
    );
  });

  test('is added up in any order, and nothing adds nothing', () => {
    fc.assert(
      fc.property(traffic, traffic, traffic, (a, b, c) => {
        expect(add(add(a, b), c)).toEqual(add(c, add(b, a)));
        expect(add(a, NO_TRAFFIC)).toEqual(a);
      }),
    );
  });

  test('of a total that began anew is all of it, never less than nothing', () => {
    fc.assert(
      fc.property(traffic, traffic, (later, earlier) => {
        for (const calls of Object.values(subtract(later, earlier)).flatMap(({ read, write }) => [read, write])) {
          expect(calls.count).toBeGreaterThanOrEqual(0);
          expect(calls.errors).toBeGreaterThanOrEqual(0);
          expect(calls.latency.every(([, count]) => count > 0)).toBe(true);
        }
      }),
    );
  });
});
