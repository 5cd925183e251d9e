import { describe, expect, test } from 'vitest';
import { makeStamp, STAMP_MIN, type Stamp } from '../../src/core/stamp.ts';
import type { Entry } from '../../src/core/store.ts';
import { type ClassifyContext, classify } from '../../verify/divergence.ts';
import { entryOf } from './data-set.ts';

const NOW = 1_000_000_000;
const at = (msAgo: number): Stamp => makeStamp(NOW - msAgo, 0, 1);
const record = (stamp: Stamp | null, n: number): Entry => entryOf('ada', 1, stamp, { n });
const tombstone = (stamp: Stamp): Entry => entryOf('ada', 1, stamp, null);
const context: ClassifyContext = { authority: 'old', now: NOW, youngMs: 1_000, unchangedMs: 0, lostAfterMs: 60_000 };

const OLDEST = at(200_000);
const MIDDLE = at(100_000);
const NEWER = at(90_000);
const YOUNG = at(500);

/** authority, follower, the first word, the word when it stays, its cause. */
const CASES: readonly [string, Entry | undefined, Entry | undefined, string, string, string | null][] = [
  ['absent / absent', undefined, undefined, 'equal', 'equal', null],
  ['absent / tombstone', undefined, tombstone(MIDDLE), 'equal', 'equal', null],
  ['absent / record', undefined, record(MIDDLE, 1), 'ahead', 'extra', 'orphan'],
  ['absent / plain record', undefined, record(null, 1), 'ahead', 'extra', 'written outside'],
  ['absent / plain record', undefined, record(null, 1), 'ahead', 'extra', 'written outside'],
  ['tombstone / absent', tombstone(MIDDLE), undefined, 'equal', 'equal', null],
  ['tombstone / older tombstone', tombstone(MIDDLE), tombstone(OLDEST), 'equal', 'equal', null],
  ['tombstone / same tombstone', tombstone(MIDDLE), tombstone(MIDDLE), 'equal', 'equal', null],
  ['tombstone / newer tombstone', tombstone(MIDDLE), tombstone(NEWER), 'equal', 'equal', null],
  ['tombstone / older record', tombstone(MIDDLE), record(OLDEST, 1), 'extra', 'extra', 'lost mirror'],
  ['tombstone / plain record', tombstone(MIDDLE), record(null, 1), 'extra', 'extra', 'written outside'],
  ['young tombstone / older record', tombstone(YOUNG), record(OLDEST, 1), 'pending', 'extra', 'in flight for too long'],
  ['tombstone / same record', tombstone(MIDDLE), record(MIDDLE, 1), 'extra', 'extra', 'written outside'],
  ['tombstone / newer record', tombstone(MIDDLE), record(NEWER, 1), 'ahead', 'extra', 'written outside'],
  ['record / absent', record(MIDDLE, 1), undefined, 'missing', 'missing', 'lost mirror'],
  ['plain record / absent', record(null, 1), undefined, 'missing', 'missing', null],
  ['young record / absent', record(YOUNG, 1), undefined, 'pending', 'missing', 'in flight for too long'],
  ['record / older tombstone', record(MIDDLE, 1), tombstone(OLDEST), 'missing', 'missing', 'lost mirror'],
  [
    'young record / older tombstone',
    record(YOUNG, 1),
    tombstone(OLDEST),
    'pending',
    'missing',
    'in flight for too long',
  ],
  ['record / same tombstone', record(MIDDLE, 1), tombstone(MIDDLE), 'missing', 'missing', 'written outside'],
  ['record / newer tombstone', record(MIDDLE, 1), tombstone(NEWER), 'ahead', 'missing', 'written outside'],
  ['plain record / tombstone', record(null, 1), tombstone(NEWER), 'ahead', 'missing', 'written outside'],
  ['record / older record', record(MIDDLE, 1), record(OLDEST, 2), 'stale', 'stale', 'lost mirror'],
  ['record / plain record', record(MIDDLE, 1), record(null, 2), 'stale', 'stale', 'written outside'],
  ['young record / older record', record(YOUNG, 1), record(OLDEST, 2), 'pending', 'stale', 'in flight for too long'],
  ['record / same stamp', record(MIDDLE, 1), record(MIDDLE, 2), 'different', 'different', 'lossy codec'],
  ['young record / same stamp', record(YOUNG, 1), record(YOUNG, 2), 'different', 'different', 'lossy codec'],
  ['plain record / plain record', record(null, 1), record(null, 2), 'different', 'different', 'written outside'],
  ['plain record / its replay', record(null, 1), record(STAMP_MIN, 2), 'different', 'different', 'lossy codec'],
  ['record / newer record', record(MIDDLE, 1), record(NEWER, 2), 'ahead', 'different', 'written outside'],
  ['plain record / record', record(null, 1), record(NEWER, 2), 'ahead', 'different', 'written outside'],
  ['record / older but equal', record(MIDDLE, 1), record(OLDEST, 1), 'equal', 'equal', null],
  ['record / newer but equal', record(MIDDLE, 1), record(NEWER, 1), 'equal', 'equal', null],
  ['plain record / equal', record(null, 1), record(NEWER, 1), 'equal', 'equal', null],
];

describe('classify', () => {
  test.each(CASES)('%s', (_title, authority, follower, first, stays, cause) => {
    expect(classify(authority, follower, {}, context).word).toBe(first);
    const later = classify(authority, follower, {}, { ...context, unchangedMs: 1_000 });
    expect(later.word).toBe(stays);
    if (later.word !== 'equal') expect(later.cause).toBe(cause);
  });

  test('time will not mend what has one stamp on both sides, and only that is certain at once', () => {
    for (const [, authority, follower] of CASES) {
      const word = classify(authority, follower, {}, context);
      if (word.word === 'equal') continue;
      expect(word.certain).toBe(authority?.stamp != null && authority.stamp === follower?.stamp);
    }
  });

  test('fields are told as old and new whichever store leads', () => {
    for (const authority of ['old', 'new'] as const) {
      const [lead, follower] = [record(MIDDLE, 1), record(OLDEST, 2)];
      const word = classify(lead, follower, {}, { ...context, authority });
      expect(word.word === 'stale' && word.fields).toEqual([
        authority === 'old' ? { path: 'n', old: 1, new: 2 } : { path: 'n', old: 2, new: 1 },
      ]);
    }
  });

  test('equal stamps and other values come from a codec only where the follower would give another value back', () => {
    const causeIf = (lossy: boolean): unknown => {
      const word = classify(record(MIDDLE, 1), record(MIDDLE, 2), {}, { ...context, lossy: () => lossy });
      return word.word !== 'equal' && word.cause;
    };
    expect(causeIf(true)).toBe('lossy codec');
    expect(causeIf(false)).toBe('written outside');
  });

  test('what never had a stamp and is not in a store that is complete was written outside, on either side', () => {
    const word = classify(record(null, 1), undefined, {}, { ...context, covered: true });
    expect(word).toMatchObject({ word: 'missing', cause: 'written outside' });
  });

  test('what the follower lacks, or has an older version of, where no backfill has ended is due, and neither lost nor unexplained', () => {
    const causeOf = (authority: Entry, follower: Entry | undefined, unchangedMs = 0): unknown => {
      const word = classify(authority, follower, {}, { ...context, unchangedMs, covered: false });
      return word.word === 'equal' ? null : word.cause;
    };
    expect(causeOf(record(null, 1), undefined)).toBe('not backfilled');
    expect(causeOf(record(MIDDLE, 1), undefined)).toBe('not backfilled');
    expect(causeOf(record(YOUNG, 1), undefined)).toBe('not backfilled');
    for (const stamp of [MIDDLE, YOUNG]) {
      expect(causeOf(record(stamp, 1), record(OLDEST, 2))).toBe('not backfilled');
      expect(causeOf(record(stamp, 1), tombstone(OLDEST))).toBe('not backfilled');
      expect(causeOf(tombstone(stamp), record(OLDEST, 2))).toBe('not backfilled');
    }
    expect(causeOf(record(MIDDLE, 1), record(null, 2))).toBe('written outside');
    expect(causeOf(record(MIDDLE, 1), record(NEWER, 2))).toBe('written outside');
  });

  test('what the control plane knows about a key comes before what can be guessed', () => {
    const word = classify(record(MIDDLE, 1), undefined, {}, { ...context, knownCause: 'rejected' });
    expect(word.word === 'missing' && word.cause).toBe('rejected');
  });

  test('a writer with a fast clock does not stay young for ever', () => {
    const future = makeStamp(NOW + 3_600_000, 0, 1);
    expect(classify(record(future, 1), undefined, {}, context).word).toBe('pending');
    expect(classify(record(future, 1), undefined, {}, { ...context, unchangedMs: 1_000 }).word).toBe('missing');
  });
});
