import { expect, test } from 'vitest';
import { systemClock } from '../../src/core/clock.ts';
import type { StoredRecord } from '../../src/core/value.ts';
import { NO_RULES } from '../../verify/compare.ts';
import { classify } from '../../verify/divergence.ts';
import { digestSeed, RecordDigests } from '../../verify/record-digest.ts';
import { entryOf, stampAgo } from './data-set.ts';

/** What a store may hold though no record may: a date that JavaScript does not know, say. */
class Unreadable {
  readonly why: string;

  constructor(why: string) {
    this.why = why;
  }
}

const holding = (why: string): StoredRecord => ({ id: 'a', at: new Unreadable(why) }) as unknown as StoredRecord;

test('a record with what is no value of records has a digest, by its content', () => {
  const digests = new RecordDigests(NO_RULES, digestSeed(Math.random));
  const digest = (id: string, value: StoredRecord): string => digests.text(id, value);
  expect(digest('a', holding('far'))).toBe(digest('a', holding('far')));
  expect(digest('a', holding('far'))).not.toBe(digest('a', holding('near')));
  expect(digest('a', holding('far'))).not.toBe(digest('b', holding('far')));
  expect(digest('a', holding('far'))).not.toBe(digest('a', { id: 'a', at: 'far' }));
});

test('such a record is reported as different, without saying in which fields', () => {
  const entry = entryOf('u', 1, stampAgo(systemClock, 900), {});
  const context = { authority: 'old', now: Date.now(), youngMs: 1, unchangedMs: 10_000, lostAfterMs: 1 } as const;
  const answer = classify({ ...entry, value: holding('far') }, { ...entry, value: holding('near') }, NO_RULES, context);
  expect(answer).toMatchObject({ word: 'different', fields: [] });
});
