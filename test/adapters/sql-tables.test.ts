import { describe, expect, it } from 'vitest';
import { sql } from '../../adapters/sql/index.ts';
import { Closed, CursorExpired, InvalidConfiguration, NotPrepared } from '../../src/core/errors.ts';
import { KeySpec } from '../../src/core/record-key.ts';
import { makeStamp } from '../../src/core/stamp.ts';
import type { Entry, Store } from '../../src/core/store.ts';
import type { StoredRecord } from '../../src/core/value.ts';
import { onFile } from './sql-harness.ts';

const keys = new KeySpec(['id'], ['id']);
const later = (store: Store): number => store.now() + 60_000;
const entry = (id: string, ms: number, value: StoredRecord | null = {}): Entry => {
  const key = { id };
  return { id: keys.id(key), key, stamp: makeStamp(ms, 0, 1), value: value === null ? null : { id, ...value } };
};
const SIMPLE = 'CREATE TABLE things (id TEXT PRIMARY KEY, n INTEGER)';

async function scanned(store: Store, count = 1): Promise<Entry[]> {
  const entries: Entry[] = [];
  for (const partition of await store.partitions(count)) {
    for await (const page of store.scan(partition, { pageSize: 100 })) entries.push(...page.entries);
  }
  return entries;
}

describe('opening', () => {
  it('says what is missing, and makes no file', async () => {
    await using place = await onFile('CREATE TABLE others (id TEXT)');
    await expect(place.open({}, keys)).rejects.toBeInstanceOf(NotPrepared);
    const connection = `${place.file}.missing`;
    await expect(place.open({ connection }, keys)).rejects.toBeInstanceOf(NotPrepared);
    await expect(place.open({ connection }, keys)).rejects.toBeInstanceOf(NotPrepared);
  });

  it('refuses options that make no sense, without naming what they hold', () => {
    const base = { client: 'better-sqlite3', connection: 'secret', table: 't' };
    for (const options of [
      { ...base, client: 'oracle' },
      { ...base, table: '' },
      { ...base, stampTable: 'T' },
      { ...base, columns: { a: 'x', b: 'X' } },
      { ...base, columns: { a: { type: 'money' as 'text' } } },
    ]) {
      expect(() => sql(options)).toThrow(InvalidConfiguration);
      expect(() => sql(options)).not.toThrow(/secret/);
    }
    expect(JSON.stringify(sql(base).mapping)).not.toContain('secret');
  });

  it('refuses an unknown column, a computed one, and a key without one', async () => {
    await using place = await onFile('CREATE TABLE things (id TEXT PRIMARY KEY, n INTEGER, m INTEGER AS (n + 1))');
    await expect(place.open({ columns: { a: 'nope' } }, keys)).rejects.toThrow(/nope/);
    await expect(place.open({ columns: { m: 'm' } }, keys)).rejects.toMatchObject({
      message: expect.stringContaining('computed'),
      remedy: expect.stringContaining('leave the column out'),
    });
    await expect(place.open({}, new KeySpec(['other'], ['other']))).rejects.toThrow(/other/);
  });

  it('is what every call needs, and nothing works after closing', async () => {
    await using place = await onFile(SIMPLE);
    const store = await place.open({}, keys);
    await store.prepare();
    const puts = [1, 2, 3].map((n) => store.putIfNewer(entry(`k${n}`, 1, { n }), later(store)));
    await store.close();
    expect((await Promise.all(puts)).map(({ kind }) => kind)).toEqual(['applied', 'applied', 'applied']);
    await expect(store.get('["k1"]', { id: 'k1' })).rejects.toBeInstanceOf(Closed);
    await expect(store.putIfNewer(entry('k1', 2, { n: 2 }), 9e15)).rejects.toBeInstanceOf(Closed);
  });
});

describe('the stamp table', () => {
  it('is all that prepare adds: the table itself stays as it was', async () => {
    await using place = await onFile(SIMPLE);
    const store = await place.open({}, keys);
    const { actions } = await store.prepare({ dryRun: true });
    expect(actions).toEqual([
      'CREATE TABLE "things_changeover" ("id" TEXT NOT NULL, "stamp" BLOB(12) NOT NULL, "deleted" INTEGER NOT NULL, PRIMARY KEY ("id")) WITHOUT ROWID',
      'PRAGMA journal_mode = WAL',
    ]);
    expect(await store.prepare()).toEqual({ actions });
    const raw = place.raw();
    expect(raw.prepare("SELECT sql FROM sqlite_master WHERE name = 'things'").pluck().get()).toBe(SIMPLE);
    await store.putIfNewer(entry('a', 1, { n: 1 }), later(store));
    await store.putIfNewer(entry('b', 2, null), later(store));
    expect(raw.prepare('SELECT id, hex(stamp) AS stamp, deleted FROM things_changeover').all()).toEqual([
      { id: 'a', stamp: makeStamp(1, 0, 1).toUpperCase(), deleted: 0 },
      { id: 'b', stamp: makeStamp(2, 0, 1).toUpperCase(), deleted: 1 },
    ]);
    await store.finish({});
    expect(raw.prepare('SELECT name FROM sqlite_master').pluck().all()).not.toContain('things_changeover');
  });

  it('has names of its own where the key has columns called stamp and deleted', async () => {
    await using place = await onFile('CREATE TABLE things (Stamp TEXT, deleted TEXT, PRIMARY KEY (Stamp, deleted))');
    const spec = new KeySpec(['stamp', 'deleted'], ['stamp']);
    const store = await place.open({ columns: { stamp: 'Stamp', deleted: 'deleted' } }, spec);
    await store.prepare();
    const key = { stamp: 's', deleted: 'd' };
    const put = { id: spec.id(key), key, stamp: makeStamp(1, 0, 1), value: key };
    expect((await store.putIfNewer(put, later(store))).kind).toBe('applied');
    expect(await store.get(put.id, key)).toEqual(put);
    expect(await scanned(store)).toEqual([put]);
  });

  it('that another process drops or makes is noticed', async () => {
    await using place = await onFile(SIMPLE);
    const store = await place.open({}, keys);
    const other = await place.open({}, keys);
    await other.prepare();
    expect((await store.putIfNewer(entry('a', 5, { n: 1 }), later(store))).kind).toBe('applied');
    await other.finish({});
    expect(await store.get('["a"]', { id: 'a' })).toMatchObject({ stamp: null, value: { n: 1 } });
    await expect(store.putIfNewer(entry('a', 6, { n: 2 }), later(store))).rejects.toBeInstanceOf(NotPrepared);
    expect((await store.putPlain({ ...entry('a', 0, { n: 3 }), stamp: null }, later(store))).kind).toBe('applied');
    await other.prepare();
    expect((await store.putIfNewer(entry('a', 1, { n: 4 }), later(store))).kind).toBe('applied');
  });

  it('is not taken from a table of somebody else', async () => {
    await using place = await onFile(`${SIMPLE}; CREATE TABLE things_changeover (x)`);
    const store = await place.open({}, keys);
    expect(await store.prepared()).toBe(false);
    await expect(store.prepare()).rejects.toBeInstanceOf(InvalidConfiguration);
  });
});

describe('outside writers', () => {
  it('show in the value, beside the stamp that was there', async () => {
    await using place = await onFile(SIMPLE);
    const store = await place.open({}, keys);
    await store.prepare();
    await store.putManyIfNewer([entry('deleted', 5, { n: 1 }), entry('inserted', 5, null)], later(store));
    place.raw().exec("DELETE FROM things WHERE id = 'deleted'; INSERT INTO things VALUES ('inserted', 9), ('new', 1)");
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
});

describe("the table's own rules", () => {
  it('that would replace another record reject instead', async () => {
    await using place = await onFile('CREATE TABLE things (id TEXT PRIMARY KEY, n INTEGER UNIQUE ON CONFLICT REPLACE)');
    const store = await place.open({}, keys);
    await store.prepare();
    await store.putIfNewer(entry('a', 1, { n: 1 }), later(store));
    const thief = { kind: 'rejected', reason: 'constraint' };
    expect(await store.putIfNewer(entry('b', 2, { n: 1 }), later(store))).toMatchObject(thief);
    await store.putIfNewer(entry('b', 3, { n: 2 }), later(store));
    expect(await store.putIfNewer(entry('b', 4, { n: 1 }), later(store))).toMatchObject(thief);
    expect(await scanned(store)).toEqual([entry('a', 1, { n: 1 }), entry('b', 3, { n: 2 })]);
  });

  it.for([
    [
      'checked at COMMIT',
      'CREATE TABLE things (id TEXT PRIMARY KEY, n INTEGER REFERENCES numbers (n) DEFERRABLE INITIALLY DEFERRED)',
    ],
    [
      'that roll back the transaction',
      `${SIMPLE}; CREATE TRIGGER t AFTER INSERT ON things WHEN NEW.n = 7 BEGIN SELECT RAISE(ROLLBACK, 'no'); END`,
    ],
    [
      'that leave half a statement',
      `${SIMPLE}; CREATE TRIGGER t AFTER INSERT ON things WHEN NEW.n = 7 BEGIN SELECT RAISE(FAIL, 'no'); END`,
    ],
  ])('%s reject exactly the entries that break them', async ([, ddl]) => {
    await using place = await onFile(
      `CREATE TABLE numbers (n INTEGER PRIMARY KEY); INSERT INTO numbers VALUES (1); ${ddl}`,
    );
    const store = await place.open({}, keys);
    await store.prepare();
    const batch = Array.from({ length: 40 }, (_, i) => entry(`k${10 + i}`, 1, { n: i % 9 === 4 ? 7 : 1 }));
    const outcomes = await store.putManyIfNewer(batch, later(store));
    const good = batch.filter(({ value }) => value?.['n'] === 1);
    expect(outcomes.map(({ kind }) => kind)).toEqual(batch.map((one) => (good.includes(one) ? 'applied' : 'rejected')));
    expect(await scanned(store)).toEqual(good);
  });

  it('about text: records that differ in case only are told apart, or rejected', async () => {
    await using place = await onFile('CREATE TABLE things (id TEXT COLLATE NOCASE PRIMARY KEY, n INTEGER)');
    const store = await place.open({}, keys);
    await store.prepare();
    await store.putIfNewer(entry('a', 1, { n: 1 }), later(store));
    expect(await store.get('["A"]', { id: 'A' })).toBeUndefined();
    expect(await store.putIfNewer(entry('A', 2, { n: 2 }), later(store))).toMatchObject({ reason: 'constraint' });
    await store.putManyIfNewer([entry('A', 3, null), entry('B', 3, { n: 2 }), entry('c', 3, { n: 3 })], later(store));
    const expected = [entry('A', 3, null), entry('B', 3, { n: 2 }), entry('a', 1, { n: 1 }), entry('c', 3, { n: 3 })];
    expect(await scanned(store)).toEqual(expected);
    expect(await scanned(store, 4)).toEqual(expected);
  });
});

describe('large tables', () => {
  it.for(['', 'WITHOUT ROWID'])(
    'are divided into shares that hold everything, none of them most of it (%s)',
    async (suffix) => {
      await using place = await onFile(`CREATE TABLE things (id TEXT PRIMARY KEY, n INTEGER) ${suffix};
      WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 60000)
      INSERT INTO things SELECT printf('%06d', (n * 7919) % 60000), n FROM c`);
      const store = await place.open({}, keys);
      await store.prepare();
      const partitions = await store.partitions(6);
      expect(partitions).toHaveLength(6);
      // What is added outside of what was sampled is in a share too.
      await store.putManyIfNewer([entry('', 1, { n: 0 }), entry('~', 1, null)], later(store));
      const counts: number[] = [];
      for (const partition of partitions) {
        let count = 0;
        for await (const page of store.scan(partition, { pageSize: 1_000, stampsOnly: true }))
          count += page.entries.length;
        counts.push(count);
      }
      expect(counts.reduce((a, b) => a + b)).toBe(60_002);
      expect(Math.max(...counts)).toBeLessThan(20_000);
      const estimate = await store.estimate();
      if (estimate !== null) expect(Math.abs(estimate - 60_000)).toBeLessThan(1_000);
    },
  );

  it('are read by index, page by page', async () => {
    await using place = await onFile('CREATE TABLE things (u TEXT, id TEXT, PRIMARY KEY (u, id))');
    const spec = new KeySpec(['u', 'id'], ['u']);
    const store = await place.open({}, spec);
    await store.prepare();
    const raw = place.raw();
    const plans: string[] = [];
    const explain = (text: string): void => {
      const marks = text.split('?').length - 1;
      const rows = raw.prepare(`EXPLAIN QUERY PLAN ${text}`).all(...Array(marks).fill('x')) as { detail: string }[];
      plans.push(...rows.map(({ detail }) => detail));
    };
    const { Statements } = await import('../../adapters/sql/statements.ts');
    const column = {
      declared: 'TEXT',
      nullable: false,
      filledIn: false,
      collate: false,
      codec: { text: true },
    } as never;
    const part = (name: string, index: number) => ({ ...(column as object), field: name, name, index }) as never;
    const both = [part('u', 0), part('id', 1)];
    const layout = { table: 'things', stampTable: 'things_changeover', stampColumn: 'stamp', deletedColumn: 'deleted' };
    const statements = new Statements(
      {
        ...layout,
        columns: both,
        keys: both,
        unit: both.slice(0, 1),
        document: null,
        nulls: 'null',
        names: ['u', 'id'],
      },
      {
        quote: (name) => `"${name}"`,
        bytewise: (text) => `${text} COLLATE BINARY`,
        hexadecimal: (bytes) => `lower(hex(${bytes}))`,
      },
    );
    const bounds = { after: true, upTo: true };
    explain(statements.page({ stamped: true, stampsOnly: false }, bounds));
    explain(statements.tombstones(bounds));
    explain(statements.countStamps(bounds));
    explain(statements.list(true, true));
    // A page of a unit begins where the one before ended, however large the unit is.
    expect(plans).toContainEqual(expect.stringMatching(/^SEARCH r USING .*\(u=\? AND id>\?\)/));
    expect(plans.filter((plan) => /^SCAN (r|s)|TEMP B-TREE/.test(plan))).toEqual([]);
    expect(plans.filter((plan) => /^SEARCH (r|s) USING/.test(plan))).toHaveLength(7);
  });
});

it('a cursor of something else is refused', async () => {
  await using place = await onFile(SIMPLE);
  const store = await place.open({}, keys);
  const [partition] = await store.partitions(1);
  if (partition === undefined) throw new Error('no partition');
  for (const cursor of ['', '{}', '[]', '["a","b"]', '[null]', '[{"i":"x"}]']) {
    const pages = store.scan(partition, { cursor, pageSize: 1 });
    await expect(pages[Symbol.asyncIterator]().next(), cursor).rejects.toBeInstanceOf(CursorExpired);
  }
});

it('named queries get the Knex, whose rows are decoded', async () => {
  await using place = await onFile(SIMPLE);
  const store = await place.open({}, keys);
  await store.prepare();
  await store.putIfNewer(entry('a', 1, { n: 1 }), later(store));
  const { default: knex } = await import('knex');
  const db = store.native as ReturnType<typeof knex>;
  const rows: unknown[] = await db('things').where('n', '>', 0);
  expect(rows.map((row) => store.decode(row))).toEqual([{ ...entry('a', 1, { n: 1 }), stamp: null }]);
  expect(() => store.decode({ id: 'a' })).toThrow(/lacks the column "n"/);
});
