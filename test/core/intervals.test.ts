import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  covers,
  type Intervals,
  includes,
  intersect,
  intervals,
  overlaps,
  type Range,
  size,
  subtract,
  union,
} from '../../src/core/intervals.ts';

const SPAN = 24;
const range = fc.tuple(fc.integer({ min: -1, max: SPAN }), fc.integer({ min: -1, max: SPAN }));
const ranges = fc.array(range, { maxLength: 8 });

const pointsOf = (given: Iterable<Range>): Set<number> => {
  const points = new Set<number>();
  for (const [from, to] of given) for (let point = from; point < to; point += 1) points.add(point);
  return points;
};

/** Sorted, disjoint, not empty, not touching. */
function expectCanonical(given: Intervals): void {
  given.forEach(([from, to], i) => {
    expect(from).toBeLessThan(to);
    const next = given[i + 1];
    if (next !== undefined) expect(to).toBeLessThan(next[0]);
  });
}

const sorted = (points: Set<number>): number[] => [...points].sort((a, b) => a - b);
const same = (result: Intervals, oracle: Set<number>): void => {
  expectCanonical(result);
  expect(sorted(pointsOf(result))).toStrictEqual(sorted(oracle));
};

describe('sets of intervals', () => {
  test('take any ranges into one canonical form, and leave them as they were', () => {
    fc.assert(
      fc.property(ranges, (given) => {
        const before = structuredClone(given);
        const result = intervals(given);
        same(result, pointsOf(given));
        expect(given).toStrictEqual(before);
        expect(intervals(result)).toStrictEqual(result);
        expect(size(result)).toBe(pointsOf(given).size);
      }),
    );
  });

  test('are united, intersected and subtracted as sets of their points', () => {
    fc.assert(
      fc.property(ranges, ranges, (a, b) => {
        const [x, y] = [intervals(a), intervals(b)];
        const [p, q] = [pointsOf(a), pointsOf(b)];
        same(union(x, y), new Set([...p, ...q]));
        const common = new Set([...p].filter((point) => q.has(point)));
        same(intersect(x, y), common);
        same(subtract(x, y), new Set([...p].filter((point) => !q.has(point))));
        expect(covers(x, y)).toBe(common.size === q.size);
        expect(overlaps(x, y)).toBe(common.size > 0);
      }),
      { numRuns: 1_000 },
    );
  });

  test('include exactly their points', () => {
    fc.assert(
      fc.property(ranges, fc.integer({ min: -3, max: SPAN + 3 }), (given, point) => {
        expect(includes(intervals(given), point)).toBe(pointsOf(given).has(point));
      }),
    );
  });

  test('are compared and taken apart without going through all of one for each of the other', () => {
    let read = 0;
    const many = (start: number): Intervals =>
      new Proxy(
        Array.from({ length: 20_000 }, (_, n): Range => [start + 4 * n, start + 4 * n + 2]),
        {
          get: (ranges, name) => {
            if (/^\d/.test(String(name))) read += 1;
            return Reflect.get(ranges, name);
          },
        },
      );
    const [a, b] = [many(0), many(1)];
    expect(subtract(a, b)).toHaveLength(20_000);
    expect(covers(a, a)).toBe(true);
    expect(intersect(a, b)).toHaveLength(20_000);
    for (let point = 0; point < 20_000; point += 1) expect(includes(a, point)).toBe(point % 4 < 2);
    for (let point = 0; point < 20_000; point += 1) expect(overlaps([[point, point + 1]], a)).toBe(point % 4 < 2);
    expect(read).toBeLessThan(3_000_000);
  });

  test('join what touches: half-open ranges leave no gap', () => {
    expect(
      intervals([
        [0, 5],
        [5, 9],
        [20, 20],
        [30, 10],
      ]),
    ).toStrictEqual([[0, 9]]);
  });
});
