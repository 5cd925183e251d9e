/** A half-open range of integers, `from` inclusive, `to` exclusive. */
export type Range = readonly [from: number, to: number];

/** Sorted, disjoint, non-empty and non-touching ranges; plain JSON. Coverage and dirt are made of these. */
export type Intervals = readonly Range[];

export const NOTHING: Intervals = Object.freeze([]);

/** The canonical form of any ranges: empty ones dropped, overlapping and touching ones joined. */
export function intervals(ranges: Iterable<Range>): Intervals {
  const sorted = [...ranges].filter(([from, to]) => from < to).sort((a, b) => a[0] - b[0]);
  const result: [number, number][] = [];
  for (const [from, to] of sorted) {
    const last = result.at(-1);
    if (last !== undefined && from <= last[1]) last[1] = Math.max(last[1], to);
    else result.push([from, to]);
  }
  return result;
}

export const union = (a: Intervals, b: Intervals): Intervals => intervals([...a, ...b]);

/** The index of the first range that ends behind a point. Dirt may be as many ranges as there are positions. */
function firstBehind(a: Intervals, point: number): number {
  let [low, high] = [0, a.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((a[middle] as Range)[1] > point) high = middle;
    else low = middle + 1;
  }
  return low;
}

export function intersect(a: Intervals, b: Intervals): Intervals {
  const result: Range[] = [];
  for (let i = firstBehind(a, b[0]?.[0] ?? 0), j = firstBehind(b, a[0]?.[0] ?? 0); i < a.length && j < b.length; ) {
    const [aFrom, aTo] = a[i] as Range;
    const [bFrom, bTo] = b[j] as Range;
    const from = Math.max(aFrom, bFrom);
    const to = Math.min(aTo, bTo);
    if (from < to) result.push([from, to]);
    if (aTo < bTo) i += 1;
    else j += 1;
  }
  return result;
}

export function subtract(a: Intervals, b: Intervals): Intervals {
  const result: Range[] = [];
  for (const [aFrom, aTo] of a) {
    let from = aFrom;
    for (let i = firstBehind(b, aFrom); i < b.length; i += 1) {
      const [bFrom, bTo] = b[i] as Range;
      if (bFrom >= aTo) break;
      if (bFrom > from) result.push([from, bFrom]);
      from = bTo;
    }
    if (from < aTo) result.push([from, aTo]);
  }
  return result;
}

export function includes(a: Intervals, point: number): boolean {
  const range = a[firstBehind(a, point)];
  return range !== undefined && range[0] <= point;
}

/** True when every point of `part` is in `whole`. */
export const covers = (whole: Intervals, part: Intervals): boolean => subtract(part, whole).length === 0;

export const overlaps = (a: Intervals, b: Intervals): boolean => intersect(a, b).length > 0;

/** How many integers the ranges hold. */
export const size = (a: Intervals): number => a.reduce((sum, [from, to]) => sum + to - from, 0);
