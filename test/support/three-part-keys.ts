import { expect } from 'vitest';
import { KeySpec } from '../../src/core/record-key.ts';
import { makeStamp } from '../../src/core/stamp.ts';
import type { Entry, Store } from '../../src/core/store.ts';

/** A unit in the middle of its key; the columns of a table are `a`, `unit`, `b`, all of them integers. */
export const THREE_PARTS = new KeySpec(['a', 'unit', 'b'], ['unit']);

/** Lists a unit page by page where the key has two more parts: in order, each record once, nothing of other units. */
export async function listsThreeParts(store: Store): Promise<void> {
  await store.prepare();
  const entries: Entry[] = [];
  for (const unit of [1, 2, 3]) {
    for (let n = 0; n < 24; n += 1) {
      // Neither part grows with the other.
      const key = { a: n % 5, unit, b: 100 - ((n * 7) % 24) };
      entries.push({ id: THREE_PARTS.id(key), key, stamp: makeStamp(1, n, 1), value: key });
    }
  }
  const outcomes = await store.putManyIfNewer(entries, store.now() + 60_000);
  expect(new Set(outcomes.map(({ kind }) => kind))).toEqual(new Set(['applied']));
  const expected = entries
    .filter(({ key }) => key['unit'] === 2)
    .sort((x, y) => Number(x.key['a']) - Number(y.key['a']) || Number(x.key['b']) - Number(y.key['b']))
    .map(({ id }) => id);
  for (const size of [1, 2, 5, 24]) {
    const listed: string[] = [];
    for (let after: Entry['key'] | null = null; ; ) {
      const page: readonly Entry[] = await store.list({ unit: 2 }, after, size);
      listed.push(...page.map(({ id }) => id));
      if (page.length < size) break;
      after = page.at(-1)?.key ?? null;
    }
    expect(listed, `pages of ${size}`).toEqual(expected);
  }
}
