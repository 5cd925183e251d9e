import fc from 'fast-check';
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest';
import { RULES, TABLE_NAMES } from '../../src/control/columns.ts';
import type { ControlStorage, DirtRow, Tables, Transaction } from '../../src/control/storage.ts';
import { Closed } from '../../src/core/errors.ts';
import { makeStamp, type Stamp } from '../../src/core/stamp.ts';
import { type Generated, rowOf } from '../support/any-row.ts';
import { dirtRow as dirt, migrationRow, nodeRow } from '../support/control-rows.ts';
import { FreshStorages, missingPostgres, STORAGES } from '../support/fresh-storages.ts';

const storages = new FreshStorages();
afterAll(() => storages[Symbol.asyncDispose]());
if (missingPostgres !== undefined) test.skip(`control storage in PostgreSQL: ${missingPostgres}`, () => {});

describe.each(STORAGES)('control storage in %s', (name) => {
  let storage: ControlStorage;
  beforeEach(async () => {
    storage = await storages.open(name);
  });
  afterEach(() => storage?.close());

  const dirtWhere = (where: Parameters<typeof idsOf>[1]): Promise<number[]> => storage.read((tx) => idsOf(tx, where));
  const idsOf = async (tx: Transaction, where: { readonly [C in keyof DirtRow]?: unknown }): Promise<number[]> =>
    (await tx.select('dirt', where as never)).map((row) => row.id);

  test.each(TABLE_NAMES)('gives back the rows of %s as they were put in', async (table) => {
    await fc.assert(
      fc.asyncProperty(fc.array(rowOf(table), { maxLength: 5 }), async (rows) => {
        await storage.transaction(async (tx) => {
          await tx.remove(table, {});
          const wanted: Generated[] = [];
          for (const row of rows) {
            const { primary, given, unique } = RULES[table];
            const key = (other: Generated): string =>
              JSON.stringify((unique ?? [primary]).map((column) => other[column]));
            if ((unique !== null || !given) && wanted.some((other) => key(other) === key(row))) continue;
            const id = await tx.insert(table, row as never);
            wanted.push(given ? { ...row, id } : row);
          }
          const primary = RULES[table].primary;
          const byPrimary = (a: Generated, b: Generated): number =>
            Buffer.compare(Buffer.from(String(a[primary])), Buffer.from(String(b[primary])));
          const found = (await tx.select(table, {})) as unknown as Generated[];
          expect(found.toSorted(byPrimary)).toStrictEqual(wanted.toSorted(byPrimary));
        });
      }),
      { numRuns: 40 },
    );
  });

  test('keeps nested JSON, null and every character of Unicode', async () => {
    const text = 'naïve 日本語 😀 \u{10ffff} \u0001 "quoted" \\ \n';
    const row = migrationRow(text, {
      coverageOld: [
        [-1, 5],
        [7, 100_001],
      ],
      document: { ...migrationRow('x').document, migration: text },
    });
    const [found] = await storage.transaction(async (tx) => {
      await tx.insert('migrations', row);
      return tx.select('migrations', { name: text });
    });
    expect(found).toStrictEqual(row);
  });

  test('gives rows that can be changed without changing anything', async () => {
    await storage.transaction((tx) => tx.insert('migrations', migrationRow('a')));
    const [row] = await storage.read((tx) => tx.select('migrations', {}));
    (row as Tables['migrations']).revision = 99;
    expect((await storage.read((tx) => tx.select('migrations', {})))[0]?.revision).toBe(1);
  });

  test('tests columns for equality, membership, order and null', async () => {
    const [a, b, c] = await storage.transaction(async (tx) => [
      await tx.insert('dirt', dirt({ cause: 'a', notBefore: null, target: 'old' })),
      await tx.insert('dirt', dirt({ cause: 'b', notBefore: 5, key: { id: 'x' }, keyId: 'x' })),
      await tx.insert('dirt', dirt({ cause: '😀', notBefore: 9 })),
    ]);
    expect(await dirtWhere({ cause: 'b' })).toEqual([b]);
    expect(await dirtWhere({ target: 'new', notBefore: 9 })).toEqual([c]);
    expect(await dirtWhere({ cause: { in: ['a', '😀'] } })).toEqual([a, c]);
    expect(await dirtWhere({ cause: { in: [] } })).toEqual([]);
    expect(await dirtWhere({ notBefore: { in: [null, 9] } })).toEqual([a, c]);
    expect(await dirtWhere({ notBefore: null })).toEqual([a]);
    expect(await dirtWhere({ notBefore: { not: null } })).toEqual([b, c]);
    expect(await dirtWhere({ notBefore: { not: 5 } })).toEqual([a, c]);
    expect(await dirtWhere({ notBefore: { lt: 9 } })).toEqual([b]);
    expect(await dirtWhere({ notBefore: { lte: 9, gt: 5 } })).toEqual([c]);
    expect(await dirtWhere({ cause: { gte: 'b' } })).toEqual([b, c]);
    expect(await dirtWhere({ key: null })).toEqual([a, c]);
    expect(await dirtWhere({ key: { not: null } })).toEqual([b]);
    expect(await dirtWhere({ id: { in: Array.from({ length: 50_000 }, (_, i) => (b as number) + i) } })).toEqual([
      b,
      c,
    ]);
  });

  test('refuses conditions that mean nothing, undefined above all', async () => {
    for (const where of [{ cause: undefined }, { nothing: 1 }, { cause: { like: 'x' } }, { key: { not: 'x' } }]) {
      await expect(storage.transaction((tx) => tx.remove('dirt', where as never))).rejects.toThrow();
    }
  });

  test('pages in the order of a column, null lowest, equal ones by id', async () => {
    const [a, b, c, d] = await storage.transaction(async (tx) => [
      await tx.insert('dirt', dirt({ notBefore: 2 })),
      await tx.insert('dirt', dirt({ notBefore: null })),
      await tx.insert('dirt', dirt({ notBefore: 1 })),
      await tx.insert('dirt', dirt({ notBefore: 2 })),
    ]);
    const ids = async (page: object): Promise<number[]> =>
      (await storage.read((tx) => tx.select('dirt', {}, page))).map((row) => row.id);
    expect(await ids({})).toEqual([a, b, c, d]);
    expect(await ids({ descending: true, limit: 2 })).toEqual([d, c]);
    expect(await ids({ orderBy: 'notBefore' })).toEqual([b, c, a, d]);
    expect(await ids({ orderBy: 'notBefore', descending: true })).toEqual([d, a, c, b]);
    expect(await ids({ orderBy: 'notBefore', limit: 1 })).toEqual([b]);
    expect(await ids({ limit: 0 })).toEqual([]);
  });

  test('gives only the columns that are asked for', async () => {
    await storage.transaction((tx) => tx.insertMany('dirt', [dirt({ fromPosition: 7 }), dirt({ fromPosition: 3 })]));
    const read = (columns?: readonly ('fromPosition' | 'key')[]) =>
      storage.read((tx) =>
        tx.select('dirt', {}, { orderBy: 'fromPosition', ...(columns === undefined ? {} : { columns }) }),
      );
    expect(await read(['fromPosition'])).toStrictEqual([{ fromPosition: 3 }, { fromPosition: 7 }]);
    expect(await read(['key', 'fromPosition'])).toStrictEqual([
      { key: null, fromPosition: 3 },
      { key: null, fromPosition: 7 },
    ]);
    expect((await read())[0]).toMatchObject({ fromPosition: 3, target: 'new', cause: 'timed out' });
  });

  test('counts, updates and removes what it meets', async () => {
    await storage.transaction((tx) =>
      tx.insertMany(
        'dirt',
        Array.from({ length: 730 }, (_, i) => dirt({ at: i })),
      ),
    );
    await storage.transaction(async (tx) => {
      expect(await tx.count('dirt', {})).toBe(730);
      expect(await tx.update('dirt', { at: { gte: 700 } }, { cause: 'late', key: { id: 'ä' } })).toBe(30);
      expect(await tx.update('dirt', {}, {})).toBe(730);
      expect(await tx.count('dirt', { cause: 'late' })).toBe(30);
      expect(await tx.remove('dirt', { cause: 'timed out' })).toBe(700);
    });
    const left = await storage.read((tx) => tx.select('dirt', {}));
    expect(left).toHaveLength(30);
    expect(left[0]?.key).toEqual({ id: 'ä' });
  });

  test('undoes everything when the body throws, and throws what it threw', async () => {
    await storage.transaction(async (tx) => {
      await tx.insert('migrations', migrationRow('kept'));
      await tx.insertMany('dirt', [dirt({ cause: 'one' }), dirt({ cause: 'two' })]);
    });
    const before = await storage.read(async (tx) => [await tx.select('migrations', {}), await tx.select('dirt', {})]);
    const failure = new Error('stop');
    const attempt = storage.transaction(async (tx) => {
      await tx.insert('migrations', migrationRow('gone'));
      await tx.update('migrations', { name: 'kept' }, { revision: 9 });
      await tx.update('dirt', {}, { migration: 'other' });
      await tx.remove('dirt', { cause: 'one' });
      throw failure;
    });
    await expect(attempt).rejects.toBe(failure);
    expect(await storage.read(async (tx) => [await tx.select('migrations', {}), await tx.select('dirt', {})])).toEqual(
      before,
    );
    expect(await dirtWhere({ migration: 'other' })).toEqual([]);
  });

  test('gives ascending ids and none of them twice, whatever is removed', async () => {
    const given: number[] = [];
    for (let i = 0; i < 5; i += 1) {
      given.push(await storage.transaction((tx) => tx.insert('dirt', dirt({ id: 1 }))));
      if (i % 2 === 0) await storage.transaction((tx) => tx.remove('dirt', {}));
    }
    expect(given).toEqual([...new Set(given)].toSorted((a, b) => a - b));
  });

  test('refuses a second row under the same key', async () => {
    await storage.transaction((tx) => tx.insert('migrations', migrationRow('a')));
    await expect(storage.transaction((tx) => tx.insert('migrations', migrationRow('a')))).rejects.toThrow();
    const acknowledgement = { id: 0, node: 1, migration: 'a', joinedRevision: 1, revision: 1 };
    await storage.transaction((tx) => tx.insert('acknowledgements', acknowledgement));
    await expect(storage.transaction((tx) => tx.insert('acknowledgements', acknowledgement))).rejects.toThrow();
  });

  test('refuses rows that do not fill their columns', async () => {
    await expect(storage.transaction((tx) => tx.insert('dirt', dirt({ cause: null as never })))).rejects.toThrow();
    await expect(storage.transaction((tx) => tx.insert('dirt', { migration: 'a' } as never))).rejects.toThrow();
    await expect(storage.transaction((tx) => tx.update('dirt', {}, { id: 5 }))).rejects.toThrow();
  });

  test('runs transactions as if one after another', async () => {
    await storage.transaction((tx) => tx.insert('migrations', migrationRow('a', { revision: 0 })));
    const increments = Array.from({ length: 50 }, () =>
      storage.transaction(async (tx) => {
        const [row] = await tx.select('migrations', { name: 'a' });
        await Promise.resolve();
        await tx.update('migrations', { name: 'a' }, { revision: (row?.revision ?? 0) + 1 });
      }),
    );
    await Promise.all(increments);
    expect((await storage.read((tx) => tx.select('migrations', {})))[0]?.revision).toBe(50);
  });

  test('shows a read one state and keeps it from writing', async () => {
    await storage.transaction((tx) => tx.insert('migrations', migrationRow('a', { revision: 0 })));
    let writing: Promise<unknown> = Promise.resolve();
    const seen = await storage.read(async (tx) => {
      const [first] = await tx.select('migrations', {});
      writing = storage.transaction((other) => other.update('migrations', {}, { revision: 1 }));
      for (let i = 0; i < 20; i += 1) await new Promise((resolve) => setImmediate(resolve));
      const [second] = await tx.select('migrations', {});
      return [first?.revision, second?.revision];
    });
    await writing;
    expect(seen).toEqual([0, 0]);
    await expect(storage.read((tx) => tx.insert('migrations', migrationRow('b')))).rejects.toThrow();
  });

  test('makes a transaction useless when it is over', async () => {
    let leaked: Transaction | undefined;
    await storage.transaction(async (tx) => {
      leaked = tx;
    });
    await expect(leaked?.insert('migrations', migrationRow('a'))).rejects.toThrow();
    await expect(leaked?.select('migrations', {})).rejects.toThrow();
    expect(await storage.read((tx) => tx.count('migrations', {}))).toBe(0);
  });

  test('raises what only rises, and nothing where what was provided is not there', async () => {
    const [low, middle, high] = [makeStamp(1, 0, 1), makeStamp(2, 0, 1), makeStamp(3, 0, 1)];
    const id = await storage.transaction((tx) => tx.insert('nodes', nodeRow({ deadlineLimit: 5, stampLimit: low })));
    const provided = { table: 'migrations', where: { name: 'a', revision: { lt: 9 } } } as const;
    const raise = async (deadlineLimit: number, stampLimit: Stamp, more: object = {}): Promise<unknown[]> => {
      const options = { raise: { deadlineLimit, stampLimit }, ...more };
      const met = await storage.transaction((tx) => tx.update('nodes', { id }, { seenAt: 7 }, options));
      const [row] = await storage.read((tx) => tx.select('nodes', { id }));
      return [met, row?.deadlineLimit, row?.stampLimit, row?.seenAt];
    };
    expect(await raise(4, middle)).toEqual([1, 5, middle, 7]);
    expect(await raise(6.5, low)).toEqual([1, 6.5, middle, 7]);
    expect(await raise(8, high, { provided })).toEqual([0, 6.5, middle, 7]);
    await storage.transaction((tx) => tx.insert('migrations', migrationRow('a')));
    expect(await raise(8, high, { provided })).toEqual([1, 8, high, 7]);
    await storage.transaction((tx) => tx.update('migrations', { name: 'a' }, { revision: 9 }));
    expect(await raise(9, high, { provided })).toEqual([0, 8, high, 7]);
    for (const wrong of [{ health: null }, { info: nodeRow().info }, { id: 3 }, { seenAt: 8 }]) {
      await expect(
        storage.transaction((tx) => tx.update('nodes', { id }, { seenAt: 7 }, { raise: wrong as never })),
      ).rejects.toThrow();
    }
  });

  test('does at once what is asked in one turn, all or nothing, and takes nothing that is asked later', async () => {
    const add = (name: string) => (tx: Transaction) => tx.insert('migrations', migrationRow(name));
    const names = async (): Promise<string[]> => {
      const [rows, count] = await storage.readAtOnce((tx) =>
        Promise.all([tx.select('migrations', {}), tx.count('migrations', {})]),
      );
      expect(rows).toHaveLength(count);
      return rows.map(({ name }) => name);
    };
    await storage.transactionAtOnce((tx) => Promise.all([add('a')(tx), add('b')(tx)]));
    expect(await names()).toEqual(['a', 'b']);
    expect(await storage.readAtOnce((tx) => tx.count('migrations', { name: { in: ['a', 'b', 'c'] } }))).toBe(2);
    await expect(
      storage.transactionAtOnce((tx) => Promise.all([add('c')(tx), add('a')(tx), add('d')(tx)])),
    ).rejects.toThrow();
    expect(await names()).toEqual(['a', 'b']);
    await expect(
      storage.transactionAtOnce(async (tx) => {
        await add('c')(tx);
        await add('d')(tx);
      }),
    ).rejects.toThrow();
    expect(await names()).not.toContain('d');
    await expect(storage.readAtOnce((tx) => tx.insert('migrations', migrationRow('e')))).rejects.toThrow();
    await storage.transaction(add('f'));
    expect(await names()).toContain('f');
  });

  test('tells watchers of commits until they have had enough', async () => {
    let waiting = Promise.withResolvers<void>();
    const stop = storage.watch(() => waiting.resolve());
    for (let i = 0; i < 3; i += 1) {
      waiting = Promise.withResolvers<void>();
      await storage.transaction((tx) => tx.insert('dirt', dirt()));
      await waiting.promise;
    }
    stop();
    let calls = 0;
    storage.watch(() => {
      calls += 1;
    })();
    await storage.transaction((tx) => tx.insert('dirt', dirt()));
    for (let i = 0; i < 20; i += 1) await new Promise((resolve) => setImmediate(resolve));
    expect(calls).toBe(0);
  });

  test('answers Closed after it was closed, twice if need be', async () => {
    storage.watch(() => {});
    await storage.transaction((tx) => tx.insert('dirt', dirt()));
    await Promise.all([storage.close(), storage.close()]);
    await expect(storage.transaction((tx) => tx.insert('dirt', dirt()))).rejects.toBeInstanceOf(Closed);
    await expect(storage.read((tx) => tx.count('dirt', {}))).rejects.toBeInstanceOf(Closed);
  });
});
