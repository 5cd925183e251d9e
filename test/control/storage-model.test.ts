import fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import { memoryStorage } from '../../src/control/memory-storage.ts';
import type { ControlStorage, DirtRow, Transaction } from '../../src/control/storage.ts';
import { dirtRow as dirt } from '../support/control-rows.ts';
import { FreshStorages, STORAGES } from '../support/fresh-storages.ts';

const storages = new FreshStorages();
afterAll(() => storages[Symbol.asyncDispose]());

describe.each(STORAGES.filter((name) => name !== 'memory'))('memory and %s', (name) => {
  const value = {
    migration: fc.constantFrom('a', 'b', 'é', '😀', '\uffff'),
    number: fc.constantFrom(0, 1, 2, 3),
    maybe: fc.constantFrom(null, 0, 1, 2),
  };
  const comparison = <T>(one: fc.Arbitrary<T>): fc.Arbitrary<unknown> =>
    fc.oneof(
      one,
      fc.record({ in: fc.array(one, { maxLength: 3 }) }),
      fc.record({ lt: one, lte: one, gt: one, gte: one, not: one }, { requiredKeys: [] }),
    );
  const where = fc.record(
    {
      migration: comparison(value.migration),
      at: comparison(value.number),
      notBefore: comparison(value.maybe),
      key: fc.constantFrom(null, { not: null }),
      id: comparison(fc.nat({ max: 12 })),
    },
    { requiredKeys: [], noNullPrototype: true },
  );
  const row = fc
    .record({ migration: value.migration, at: value.number, notBefore: value.maybe, keyed: fc.boolean() })
    .map(({ keyed, ...changes }) => dirt({ ...changes, key: keyed ? { id: changes.migration } : null }));
  const page = fc.record(
    {
      orderBy: fc.constantFrom('id', 'migration', 'at', 'notBefore', 'keyId'),
      descending: fc.boolean(),
      limit: fc.nat({ max: 5 }),
    },
    { requiredKeys: [] },
  );
  const patch = fc.record(
    { migration: value.migration, at: value.number, notBefore: value.maybe },
    { requiredKeys: [] },
  );
  const statement = fc.oneof(
    fc.record({ do: fc.constant('insert' as const), row }),
    fc.record({ do: fc.constant('insertMany' as const), rows: fc.array(row, { maxLength: 4 }) }),
    fc.record({ do: fc.constant('select' as const), where: fc.oneof(fc.constant({}), where), page }),
    fc.record({ do: fc.constant('count' as const), where }),
    fc.record({ do: fc.constant('update' as const), where, patch }),
    fc.record({ do: fc.constant('remove' as const), where }),
  );
  type Statement = typeof statement extends fc.Arbitrary<infer S> ? S : never;
  const populated = fc.array(row, { minLength: 6, maxLength: 12 });
  const transactions = fc.array(fc.record({ statements: fc.array(statement, { maxLength: 8 }), fails: fc.boolean() }), {
    maxLength: 6,
  });

  const run = (tx: Transaction, s: Statement): Promise<unknown> => {
    switch (s.do) {
      case 'insert':
        return tx.insert('dirt', s.row);
      case 'insertMany':
        return tx.insertMany('dirt', s.rows);
      case 'select':
        return tx.select('dirt', s.where as never, s.page as never);
      case 'count':
        return tx.count('dirt', s.where as never);
      case 'update':
        return tx.update('dirt', s.where as never, s.patch as never);
      case 'remove':
        return tx.remove('dirt', s.where as never);
    }
  };

  // An id that PostgreSQL gave in a transaction that was undone is given to nobody else.
  const leavesGaps = name === 'PostgreSQL';

  /** What each statement answers, whether each transaction is committed, and what is there in the end. */
  const answersOf = async (
    storage: ControlStorage,
    rows: readonly DirtRow[],
    all: typeof transactions extends fc.Arbitrary<infer T> ? T : never,
  ): Promise<unknown[]> => {
    const seen: unknown[] = [];
    await storage.transaction((tx) => tx.insertMany('dirt', rows));
    for (const { statements, fails } of all) {
      const attempt = storage.transaction(async (tx) => {
        for (const one of statements) {
          if (fails && leavesGaps && one.do.startsWith('insert')) continue;
          seen.push(await run(tx, one));
        }
        if (fails) throw new Error('rolled back');
      });
      seen.push(
        await attempt.then(
          () => 'committed',
          () => 'failed',
        ),
      );
    }
    seen.push(await storage.read((tx) => tx.select('dirt', {})));
    return seen;
  };

  test('answer every sequence of statements alike', async () => {
    const seed = Number(process.env['SEED'] ?? 20_261_121);
    let storage = await storages.open(name);
    await fc.assert(
      fc.asyncProperty(populated, transactions, async (rows, all) => {
        if (leavesGaps) {
          // Emptied and counting from 1, the connections kept.
          await storages.startAgain('dirt');
        } else {
          await storage.close();
          storage = await storages.open(name);
        }
        const model = memoryStorage();
        expect(await answersOf(storage, rows, all)).toStrictEqual(await answersOf(model, rows, all));
        await model.close();
      }),
      { numRuns: 150, seed },
    );
    await storage.close();
  });
});
