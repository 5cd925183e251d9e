import { describe, expect, test } from 'vitest';
import { BUCKETS } from '../../src/core/bucket.ts';
import {
  ALL,
  below,
  between,
  CANARY,
  describeDial,
  describePositions,
  dialValue,
  EVERY_BUCKET,
  NOBODY,
  parseDialValue,
  parsePositions,
  WHOLE_LINE,
} from '../../src/core/dial.ts';
import { InvalidArgument } from '../../src/core/errors.ts';
import type { Intervals } from '../../src/core/intervals.ts';

describe('a dial', () => {
  test('comes back from its value at every one of its 100 003 stands, as a number and as text', () => {
    const wrong: number[] = [];
    for (let threshold = NOBODY; threshold <= ALL; threshold += 1) {
      const value = dialValue(threshold);
      const ways = typeof value === 'number' ? [value, String(value), `${value}%`, ` ${value} % `] : [value];
      if (ways.some((way) => parseDialValue(way) !== threshold)) wrong.push(threshold);
    }
    expect(wrong).toStrictEqual([]);
  });

  test.each([
    [0, NOBODY],
    ['0', NOBODY],
    ['0.000', NOBODY],
    ['canary', CANARY],
    ['0.001', 1],
    [0.001, 1],
    ['0.29', 290],
    [25, 25_000],
    ['99.999', BUCKETS - 1],
    ['100', EVERY_BUCKET],
    ['100.000', EVERY_BUCKET],
    [100, EVERY_BUCKET],
    ['all', ALL],
  ])('set to %j stands at %i', (value, threshold) => expect(parseDialValue(value)).toBe(threshold));

  test.each([
    '-1',
    -1,
    -0.001,
    '100.001',
    100.001,
    101,
    '1e2',
    1e-7,
    1e21,
    '0.0001',
    0.0001,
    '.5',
    '5.',
    '1,5',
    '0x10',
    '٣',
    '',
    ' ',
    '%',
    'NaN',
    'Canary',
    'ALL',
    'none',
    '10 20',
    Number.NaN,
    Number.POSITIVE_INFINITY,
    null,
    undefined,
    true,
    [10],
    { valueOf: () => 10 },
  ])('cannot be set to %j', (value) => {
    const error = (() => {
      try {
        return parseDialValue(value);
      } catch (thrown) {
        return thrown;
      }
    })();
    expect(error).toBeInstanceOf(InvalidArgument);
    expect((error as InvalidArgument).expected).toContain('canary, all, or a percentage');
  });

  test('reads -0 as nobody', () => expect(parseDialValue(-0)).toBe(NOBODY));

  test('holds the positions below it', () => {
    expect(below(NOBODY)).toStrictEqual([]);
    expect(below(CANARY)).toStrictEqual([[-1, 0]]);
    expect(below(EVERY_BUCKET)).toStrictEqual([[-1, BUCKETS]]);
    expect(below(ALL)).toStrictEqual(WHOLE_LINE);
    expect(between(30, 10)).toStrictEqual([[10, 30]]);
    expect(between(10, 30)).toStrictEqual([[10, 30]]);
    expect(between(7, 7)).toStrictEqual([]);
  });

  test('is described for people', () => {
    expect([NOBODY, CANARY, 1, 25_000, EVERY_BUCKET, ALL].map(describeDial)).toStrictEqual([
      '0 %',
      'canary',
      '0.001 %',
      '25 %',
      '100 %',
      'all',
    ]);
    expect(describePositions([])).toBe('nothing');
    expect(describePositions(WHOLE_LINE)).toBe('canary, 0–100 %, kept-back');
    expect(
      describePositions([
        [-1, 25_000],
        [50_000, 50_001],
      ]),
    ).toBe('canary, 0–25 %, bucket 50000');
    expect(describePositions([[BUCKETS, ALL]])).toBe('kept-back');
    const many = Array.from({ length: 30_000 }, (_, n) => [3 * n, 3 * n + 1] as const);
    expect(describePositions(many)).toMatch(/^bucket 0, bucket 3, bucket 6, .*bucket 57 and 29,980 more$/);
  });

  test('is read back from what is said of it', () => {
    const sets: readonly Intervals[] = [
      WHOLE_LINE,
      [
        [-1, 25_000],
        [50_000, 50_001],
      ],
      [[BUCKETS, ALL]],
      [
        [12_345, 67_891],
        [70_000, BUCKETS],
      ],
      [[0, 1]],
    ];
    for (const positions of sets) {
      expect(parsePositions(describePositions(positions))).toStrictEqual(positions);
    }
    expect(parsePositions('canary,0-5,5-10 %')).toStrictEqual([[-1, 10_000]]);
    expect(parsePositions('bucket 7')).toStrictEqual([[7, 8]]);
    for (const text of [
      '',
      'canary,',
      '5',
      '5-5',
      '6-5',
      '0-101',
      '-1-5',
      '0-5-7',
      'bucket 100000',
      'bucket',
      'all',
      '0.0001-5',
    ]) {
      expect(() => parsePositions(text), text).toThrow(InvalidArgument);
    }
  });
});
