import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { Write } from '../../adapters/sql/dialect.ts';
import { keyToText } from '../../adapters/sql/key-text.ts';
import { putInBatches, Refused } from '../../adapters/sql/server/batches.ts';
import { makeStamp } from '../../src/core/stamp.ts';
import type { Rejection } from '../../src/core/store.ts';

const SEED = 20260101;
const rejection: Rejection = { kind: 'rejected', reason: 'constraint', message: 'the check is violated' };

const writeOf = (n: number, i: number): Write => ({
  key: [`k${n}`, BigInt(n)],
  row: null,
  stamp: makeStamp(i + 1, 0, 1),
  deadline: 0,
  expected: null,
  rejection: null,
  looksAtRow: false,
  judge: () => null,
});

it('a batch has each key once, in the same order for everybody, and loses only the rows that break a rule', async () => {
  const numbers = fc.array(fc.nat({ max: 30 }), { maxLength: 60 });
  await fc.assert(
    fc.asyncProperty(numbers, fc.integer({ min: 1, max: 20 }), fc.nat({ max: 5 }), async (keys, size, bad) => {
      const writes = keys.map(writeOf);
      const isBad = ({ key }: Write): boolean => Number(key[1]) % 6 === bad;
      const written: Write[] = [];
      const outcomes = await putInBatches(writes, size, async (batch) => {
        const texts = batch.map(({ key }) => keyToText(key));
        expect(batch.length).toBeLessThanOrEqual(size);
        expect(texts).toEqual([...new Set(texts)].sort());
        if (batch.some(isBad)) throw new Refused(rejection);
        written.push(...batch);
        return batch.map(({ stamp }) => ({ kind: 'superseded', stamp: stamp as NonNullable<typeof stamp> }));
      });
      expect(outcomes).toEqual(
        writes.map((write) => (isBad(write) ? rejection : { kind: 'superseded', stamp: write.stamp })),
      );
      // Whatever was asked for first of a key is written first.
      for (const [i, write] of written.entries()) {
        const earlier = written.slice(0, i).filter(({ key }) => key[1] === write.key[1]);
        for (const { stamp } of earlier) expect((stamp ?? '') < (write.stamp ?? '')).toBe(true);
      }
    }),
    { seed: SEED, numRuns: 300 },
  );
});

it('what is wrong with no row is thrown on', async () => {
  const put = () => Promise.reject(new TypeError('broken'));
  await expect(putInBatches([writeOf(1, 1), writeOf(2, 2)], 10, put)).rejects.toBeInstanceOf(TypeError);
});
