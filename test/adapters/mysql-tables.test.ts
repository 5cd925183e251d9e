import { describe, expect, it } from 'vitest';
import type { SqlOptions } from '../../adapters/sql/index.ts';
import { PLAIN_JSON } from '../../adapters/sql/json-text.ts';
import { makeLayout } from '../../adapters/sql/layout.ts';
import { mysql } from '../../adapters/sql/mysql/dialect.ts';
import { MysqlStatements } from '../../adapters/sql/mysql/statements.ts';
import { resolveSqlOptions } from '../../adapters/sql/options.ts';
import { systemClock } from '../../src/core/clock.ts';
import { InvalidConfiguration, NotPrepared } from '../../src/core/errors.ts';
import { KeySpec } from '../../src/core/record-key.ts';
import { makeStamp } from '../../src/core/stamp.ts';
import type { Entry, Store } from '../../src/core/store.ts';
import type { StoredRecord } from '../../src/core/value.ts';
import { testServer } from '../support/servers.ts';
import { type MysqlPlace, onMysql } from './mysql-harness.ts';

const { missing } = testServer('mysql');
const keys = new KeySpec(['id'], ['id']);
const later = (store: Store): number => store.now() + 60_000;
const entry = (id: string, ms: number, value: StoredRecord | null = {}): Entry => {
  const key = { id };
  return { id: keys.id(key), key, stamp: makeStamp(ms, 0, 1), value: value === null ? null : { id, ...value } };
};
/** What the server is asked for a table. */
async function statementsOf(place: MysqlPlace, options: Partial<SqlOptions>, spec: KeySpec): Promise<MysqlStatements> {
  const resolved = resolveSqlOptions({ client: 'mysql2', connection: place.url, table: 'things', ...options });
  const session = await mysql.load(resolved, systemClock);
  await session.open();
  try {
    const described = await session.describe('things');
    if (described === undefined) throw new Error('there is no table');
    return new MysqlStatements(makeLayout(session, resolved, spec, described, { json: PLAIN_JSON, bson: null }));
  } finally {
    await session.close();
  }
}

const SIMPLE =
  'CREATE TABLE things (id VARCHAR(20) PRIMARY KEY, n INT) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci';

async function scanned(store: Store, count = 1, pageSize = 100): Promise<Entry[]> {
  const entries: Entry[] = [];
  for (const partition of await store.partitions(count)) {
    for await (const page of store.scan(partition, { pageSize })) entries.push(...page.entries);
  }
  return entries;
}

async function rows(place: MysqlPlace, sql: string): Promise<unknown[][]> {
  const [found] = await (await place.raw()).query(sql);
  return found as unknown[][];
}

describe.skipIf(missing !== undefined)('opening', () => {
  it('says what is missing', async () => {
    await using place = await onMysql(
      'CREATE TABLE others (id INT PRIMARY KEY)',
      'CREATE VIEW things AS SELECT * FROM others',
    );
    await expect(place.open({}, keys)).rejects.toBeInstanceOf(NotPrepared);
    await expect(place.open({ table: 'none' }, keys)).rejects.toBeInstanceOf(NotPrepared);
    const nowhere = new URL(place.url);
    nowhere.pathname = '/';
    await expect(place.open({ connection: nowhere.href }, keys)).rejects.toBeInstanceOf(InvalidConfiguration);
    await expect(place.open({ connection: 'things.db' }, keys)).rejects.toBeInstanceOf(InvalidConfiguration);
  });

  it.for([
    ['nothing makes the key unique', 'CREATE TABLE things (id VARCHAR(20), n INT, KEY (id))'],
    ['only its beginning is unique', 'CREATE TABLE things (id VARCHAR(200), n INT, UNIQUE (id(10)))'],
    ['the column is computed', 'CREATE TABLE things (n INT PRIMARY KEY, id VARCHAR(20) AS (CONCAT(n)) STORED UNIQUE)'],
  ])('refuses a table where %s', async ([, ddl]) => {
    await using place = await onMysql(ddl ?? '');
    await expect(place.open({}, keys)).rejects.toBeInstanceOf(InvalidConfiguration);
  });
});

describe.skipIf(missing !== undefined)('the stamp table', () => {
  it('is all that prepare adds: the table itself stays as it was', async () => {
    await using place = await onMysql(SIMPLE);
    const store = await place.open({}, keys);
    const before = await rows(place, 'SHOW CREATE TABLE things');
    const { actions } = await store.prepare({ dryRun: true });
    expect(actions).toEqual([
      'CREATE TABLE IF NOT EXISTS `things_changeover` (`id` varbinary(80) NOT NULL, `id_in_order` varchar(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci NOT NULL, `stamp` binary(12) NOT NULL, `deleted` tinyint NOT NULL, PRIMARY KEY (`id`), KEY in_order (`id_in_order`)) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4',
    ]);
    expect(await rows(place, 'SHOW TABLES')).toEqual([['things']]);
    expect(await store.prepare()).toEqual({ actions });
    await store.putIfNewer(entry('a', 1, { n: 1 }), later(store));
    await store.putIfNewer(entry('b', 2, null), later(store));
    expect(await rows(place, 'SHOW CREATE TABLE things')).toEqual(before);
    expect(
      await rows(
        place,
        'SELECT CONVERT(id USING utf8mb4), LOWER(HEX(stamp)), deleted FROM things_changeover ORDER BY id',
      ),
    ).toEqual([
      ['a', makeStamp(1, 0, 1), 0],
      ['b', makeStamp(2, 0, 1), 1],
    ]);
    await store.finish({});
    expect(await rows(place, 'SHOW TABLES')).toEqual([['things']]);
  });

  it('has names of its own where the key has columns of the same names', async () => {
    await using place = await onMysql(
      'CREATE TABLE things (Stamp VARCHAR(9), deleted VARCHAR(9), stamp_in_order INT, PRIMARY KEY (Stamp, deleted, stamp_in_order))',
    );
    const spec = new KeySpec(['stamp', 'deleted', 'stamp_in_order'], ['stamp']);
    const store = await place.open(
      { columns: { stamp: 'Stamp', deleted: 'deleted', stamp_in_order: 'stamp_in_order' } },
      spec,
    );
    await store.prepare();
    const key = { stamp: 's', deleted: 'd', stamp_in_order: 1 };
    const put = { id: spec.id(key), key, stamp: makeStamp(1, 0, 1), value: key };
    expect((await store.putIfNewer(put, later(store))).kind).toBe('applied');
    expect(await store.get(put.id, key)).toEqual(put);
    expect(await scanned(store)).toEqual([put]);
  });

  it('that another process drops or makes is noticed', async () => {
    await using place = await onMysql(SIMPLE);
    const store = await place.open({}, keys);
    const other = await place.open({}, keys);
    expect((await store.putPlain({ ...entry('p', 0, { n: 1 }), stamp: null }, later(store))).kind).toBe('applied');
    await other.prepare();
    expect(await store.get('["p"]', { id: 'p' })).toMatchObject({ stamp: null, value: { n: 1 } });
    expect((await store.putIfNewer(entry('a', 5, { n: 1 }), later(store))).kind).toBe('applied');
    expect((await store.putPlain({ ...entry('a', 0, null), stamp: null }, later(store))).kind).toBe('applied');
    expect(await rows(place, 'SELECT COUNT(*) FROM things_changeover')).toEqual([[0]]);
    await other.finish({});
    expect(await store.get('["p"]', { id: 'p' })).toMatchObject({ stamp: null, value: { n: 1 } });
    await expect(store.putIfNewer(entry('a', 6, { n: 2 }), later(store))).rejects.toBeInstanceOf(NotPrepared);
    await expect(store.putManyIfNewer([entry('a', 6, { n: 2 }), entry('b', 6)], later(store))).rejects.toBeInstanceOf(
      NotPrepared,
    );
    expect((await store.putPlain({ ...entry('a', 0, { n: 3 }), stamp: null }, later(store))).kind).toBe('applied');
    await other.prepare();
    expect((await store.putIfNewer(entry('a', 1, { n: 4 }), later(store))).kind).toBe('applied');
  });

  it('is not taken from a table of somebody else', async () => {
    await using place = await onMysql(SIMPLE, 'CREATE TABLE things_changeover (x INT)');
    const store = await place.open({}, keys);
    expect(await store.prepared()).toBe(false);
    await expect(store.prepare()).rejects.toBeInstanceOf(InvalidConfiguration);
  });
});

it.skipIf(missing !== undefined)('outside writers show in the value, beside the stamp that was there', async () => {
  await using place = await onMysql(SIMPLE);
  const store = await place.open({}, keys);
  await store.prepare();
  await store.putManyIfNewer([entry('deleted', 5, { n: 1 }), entry('inserted', 5, null)], later(store));
  await place.exec("DELETE FROM things WHERE id = 'deleted'", "INSERT INTO things VALUES ('inserted', 9), ('new', 1)");
  const expected = [
    entry('deleted', 5, null),
    entry('inserted', 5, { n: 9 }),
    { ...entry('new', 0, { n: 1 }), stamp: null },
  ];
  expect(await scanned(store)).toEqual(expected);
  expect(await store.getMany(expected)).toEqual(expected);
  expect(await store.putIfNewer(entry('inserted', 6, { n: 9 }), later(store))).toEqual({
    kind: 'applied',
    previous: 'record',
  });
  expect(await store.putIfNewer(entry('deleted', 6, { n: 1 }), later(store))).toEqual({
    kind: 'applied',
    previous: 'absent',
  });
});

describe.skipIf(missing !== undefined)("the table's own rules", () => {
  it('about text: a key that the collation takes for that of another record is refused and overwrites nothing', async () => {
    await using place = await onMysql(SIMPLE);
    const store = await place.open({}, keys);
    await store.prepare();
    await store.putIfNewer(entry('a', 1, { n: 1 }), later(store));
    const refused = { kind: 'rejected', reason: 'constraint' };
    for (const id of ['A', 'a ', 'á']) {
      expect(await store.get(`["${id}"]`, { id })).toBeUndefined();
      expect(await store.putIfNewer(entry(id, 2, { n: 2 }), later(store)), id).toMatchObject(refused);
      expect(await store.putIfNewer(entry(id, 9, null), later(store)), id).toEqual({
        kind: 'applied',
        previous: 'absent',
      });
      expect(await store.putPlain({ ...entry(id, 0, { n: 3 }), stamp: null }, later(store)), id).toMatchObject(refused);
      expect(await store.compareAndSet(entry(id, 10, { n: 3 }), { kind: 'absent' }, later(store)), id).toMatchObject(
        refused,
      );
    }
    const outcomes = await store.putManyIfNewer([entry('A', 11, { n: 2 }), entry('B', 11, { n: 2 })], later(store));
    expect(outcomes).toMatchObject([refused, { kind: 'applied', previous: 'absent' }]);
    const all = [
      entry('a', 1, { n: 1 }),
      entry('A', 9, null),
      entry('a ', 9, null),
      entry('á', 9, null),
      entry('B', 11, { n: 2 }),
    ];
    const sorted = (entries: readonly Entry[]) => entries.toSorted((a, b) => (a.id < b.id ? -1 : 1));
    expect(sorted(await scanned(store, 1, 2))).toEqual(sorted(all));
    expect(sorted(await scanned(store, 3, 1))).toEqual(sorted(all));
  });

  it('about unique values: another record is never overwritten, whichever way the put comes', async () => {
    await using place = await onMysql('CREATE TABLE things (id VARCHAR(20) PRIMARY KEY, n INT UNIQUE, m INT)');
    const store = await place.open({}, keys);
    await store.prepare();
    await store.putManyIfNewer([entry('a', 1, { n: 1, m: 0 }), entry('c', 1, { n: 3, m: 0 })], later(store));
    const thief = { kind: 'rejected', reason: 'constraint' };
    expect(await store.putIfNewer(entry('b', 2, { n: 1, m: 9 }), later(store))).toMatchObject(thief);
    expect(await store.putIfNewer(entry('c', 2, { n: 1, m: 9 }), later(store))).toMatchObject(thief);
    expect(await store.compareAndSet(entry('b', 2, { n: 1, m: 9 }), { kind: 'absent' }, later(store))).toMatchObject(
      thief,
    );
    expect(await store.putPlain({ ...entry('b', 0, { n: 1, m: 9 }), stamp: null }, later(store))).toMatchObject(thief);
    const batch = Array.from({ length: 60 }, (_, i) => entry(`k${10 + i}`, 2, { n: i === 37 ? 1 : 100 + i, m: i }));
    const outcomes = await store.putManyIfNewer(batch, later(store));
    expect(outcomes.map(({ kind }) => kind)).toEqual(batch.map((_, i) => (i === 37 ? 'rejected' : 'applied')));
    expect(await store.getMany([entry('a', 1), entry('b', 1), entry('c', 1)])).toEqual([
      entry('a', 1, { n: 1, m: 0 }),
      undefined,
      entry('c', 1, { n: 3, m: 0 }),
    ]);
    expect(await scanned(store)).toHaveLength(61);
  });

  it.for([
    [
      'a foreign key',
      [
        'CREATE TABLE numbers (n INT PRIMARY KEY)',
        'INSERT INTO numbers VALUES (1)',
        'CREATE TABLE things (id VARCHAR(20) PRIMARY KEY, n INT, FOREIGN KEY (n) REFERENCES numbers (n))',
      ],
    ],
    ['a check', ['CREATE TABLE things (id VARCHAR(20) PRIMARY KEY, n INT CHECK (n <> 7))']],
    [
      'a check that is out of range',
      ['CREATE TABLE things (id VARCHAR(20) PRIMARY KEY, n INT CHECK (CAST(6 AS UNSIGNED) - n >= 0))'],
    ],
    [
      'a trigger',
      [
        SIMPLE,
        "CREATE TRIGGER t BEFORE INSERT ON things FOR EACH ROW IF NEW.n = 7 THEN SIGNAL SQLSTATE '45000'; END IF",
      ],
    ],
    ...["'23000' SET MYSQL_ERRNO = 9999", "'22003' SET MYSQL_ERRNO = 30001", "'45001'", "'02000'"].map(
      (signal) =>
        [
          `a trigger that signals ${signal}`,
          [
            SIMPLE,
            `CREATE TRIGGER t BEFORE INSERT ON things FOR EACH ROW IF NEW.n = 7 THEN SIGNAL SQLSTATE ${signal}; END IF`,
          ],
        ] as const,
    ),
  ] as const)('by %s reject exactly the entries that break them', async ([, ddl]) => {
    await using place = await onMysql(...ddl);
    const store = await place.open({}, keys);
    await store.prepare();
    const batch = Array.from({ length: 40 }, (_, i) => entry(`k${10 + i}`, 1, { n: i % 9 === 4 ? 7 : 1 }));
    const outcomes = await store.putManyIfNewer(batch, later(store));
    const good = batch.filter(({ value }) => value?.['n'] === 1);
    expect(outcomes.map(({ kind }) => kind)).toEqual(batch.map((one) => (good.includes(one) ? 'applied' : 'rejected')));
    const refused = outcomes.find((outcome) => outcome.kind === 'rejected');
    expect(refused).toMatchObject({ reason: ddl.join().includes("'22003'") ? 'limit' : 'constraint' });
    // MariaDB's 4025 is a CHECK, MySQL's has to do with tablespaces.
    expect(refused).toMatchObject({ message: expect.not.stringContaining('INNODB') });
    expect(await scanned(store)).toEqual(good);
  });

  it('and what its triggers do besides change nothing of what a put answers', async () => {
    await using place = await onMysql(
      SIMPLE,
      'CREATE TABLE log (n INT)',
      'CREATE TRIGGER u AFTER UPDATE ON things FOR EACH ROW DELETE FROM log WHERE n = -1',
      'CREATE TRIGGER i AFTER INSERT ON things FOR EACH ROW INSERT INTO log VALUES (NEW.n), (NEW.n)',
    );
    const store = await place.open({}, keys);
    await store.prepare();
    expect(await store.putIfNewer(entry('a', 1, { n: 1 }), later(store))).toEqual({
      kind: 'applied',
      previous: 'absent',
    });
    expect(await store.putIfNewer(entry('a', 2, { n: 2 }), later(store))).toEqual({
      kind: 'applied',
      previous: 'record',
    });
    // The same values again: the server changes no row, and has found one all the same.
    expect(await store.putIfNewer(entry('a', 3, { n: 2 }), later(store))).toEqual({
      kind: 'applied',
      previous: 'record',
    });
    expect(await rows(place, 'SELECT COUNT(*) FROM log')).toEqual([[2]]);
  });
});

describe.skipIf(missing !== undefined)('large tables', () => {
  const fill = `INSERT INTO things SELECT CONCAT(LPAD((seq * 7919) % 60000, 6, '0'), IF(seq % 2, 'x', 'X')), seq FROM
    (SELECT a.n + 10 * b.n + 100 * c.n + 1000 * d.n + 10000 * e.n AS seq FROM digits a, digits b, digits c, digits d, digits e) AS s WHERE seq < 60000`;
  const digits =
    'CREATE TABLE digits AS SELECT 0 AS n UNION SELECT 1 UNION SELECT 2 UNION SELECT 3 UNION SELECT 4 UNION SELECT 5 UNION SELECT 6 UNION SELECT 7 UNION SELECT 8 UNION SELECT 9';

  it('are divided into shares that hold everything, none of them most of it', async () => {
    await using place = await onMysql(SIMPLE, digits, fill);
    const store = await place.open({}, keys);
    await store.prepare();
    const partitions = await store.partitions(6);
    expect(partitions).toHaveLength(6);
    // What is added outside of what was seen is in a share too.
    await store.putManyIfNewer([entry('', 1, { n: 0 }), entry('~', 1, null)], later(store));
    const counts: number[] = [];
    for (const partition of partitions) {
      let count = 0;
      for await (const page of store.scan(partition, { pageSize: 2_000, stampsOnly: true }))
        count += page.entries.length;
      counts.push(count);
    }
    expect(counts.reduce((a, b) => a + b)).toBe(60_002);
    expect(Math.max(...counts)).toBeLessThan(20_000);
    const estimate = await store.estimate();
    if (estimate !== null) expect(Math.abs(estimate - 60_000)).toBeLessThan(30_000);
  });

  it.for([
    'VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci',
    'VARCHAR(20) CHARACTER SET latin1',
    'VARCHAR(20) CHARACTER SET utf8mb4 COLLATE BYTEWISE',
    'VARBINARY(20)',
  ])('with a key of %s are read by index, page by page and key by key', async (declared) => {
    await using place = await onMysql(
      `CREATE TABLE things (u INT, id ${declared}, n INT, PRIMARY KEY (u, id)) CHARACTER SET utf8mb4`,
    );
    const spec = new KeySpec(['u', 'id'], ['u']);
    const options = declared.startsWith('VARB') ? { columns: { id: { type: 'bytes' } as const } } : { columns: {} };
    const store = await place.open(options, spec);
    await store.prepare();
    const value = (n: number) => (declared.startsWith('VARB') ? new Uint8Array(Buffer.from(`key ${n}`)) : `key ${n}`);
    const put = (n: number): Entry => {
      const key = { u: n % 40, id: value(n) };
      return { id: spec.id(key), key, stamp: makeStamp(1, 0, 1), value: key };
    };
    await store.putManyIfNewer(
      Array.from({ length: 4_000 }, (_, n) => put(n)),
      later(store),
    );
    await place.exec('ANALYZE TABLE things', 'ANALYZE TABLE things_changeover');
    const asks = await statementsOf(place, options, spec);
    const at = (n: number) =>
      [BigInt(n % 40), declared.startsWith('VARB') ? Buffer.from(`key ${n}`) : `key ${n}`] as const;
    const asked = [
      asks.page({ after: at(100), upTo: at(139) }, 20, true, false),
      asks.list([5n], at(1005), 20, true),
      asks.one(at(7), true, true),
      asks.many([at(7), at(8), at(9)], true, false),
      asks.lockStamps([at(7), at(8), at(9)]),
      asks.look(at(7), 0, true),
    ];
    for (const sql of asked) {
      for (const [, , table, type, , key, , , examined] of await rows(place, `EXPLAIN ${sql}`)) {
        if (table === null || !['r', 's', 'things', 'things_changeover'].includes(String(table))) continue;
        expect(`${type} ${key}`, sql).toMatch(
          /^(?:const|eq_ref|ref|range|unique_subquery) (?:PRIMARY|in_order)|^ALL null$/,
        );
        // ALL is the page itself, once it was cut out of the stamp table.
        if (type === 'ALL') expect(Number(examined), sql).toBeLessThanOrEqual(20);
      }
    }
  });
});
