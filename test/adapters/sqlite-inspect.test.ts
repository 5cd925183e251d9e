import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { afterAll, describe, expect, onTestFinished, test } from 'vitest';
import { type SqlOptions, sql } from '../../adapters/sql/index.ts';
import { checkConstraints } from '../../adapters/sql/sqlite/check-constraints.ts';
import { systemClock } from '../../src/core/clock.ts';
import { KeySpec } from '../../src/core/record-key.ts';
import { makeStamp } from '../../src/core/stamp.ts';
import { type Entry, type Finding, identityCodec, type Store } from '../../src/core/store.ts';
import type { StoredRecord } from '../../src/core/value.ts';

const folder = mkdtempSync(join(tmpdir(), 'changeover-inspect-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const keys = new KeySpec(['userKey', 'id'], ['userKey']);
let files = 0;

interface Opened {
  readonly store: Store;
  readonly database: Database.Database;
  readonly path: string;
  findings(): Promise<readonly Finding[]>;
}

/** A store on the table `events` of a new file with this schema. */
async function openOn(ddl: string, options: Partial<SqlOptions> = {}, journal = 'WAL'): Promise<Opened> {
  files += 1;
  const path = join(folder, `${files}.db`);
  const database = new Database(path);
  database.pragma(`journal_mode = ${journal}`);
  database.exec(ddl);
  const definition = sql({ client: 'better-sqlite3', connection: path, table: 'events', ...options });
  const context = { migration: 'events', side: 'new', keys, codec: identityCodec, clock: systemClock } as const;
  const store = await definition.create(context);
  onTestFinished(async () => {
    await store.close();
    database.close();
  });
  await store.open();
  return { store, database, path, findings: async () => (await store.inspect()).findings };
}

const namesOf = async ({ findings }: Opened): Promise<string[]> => (await findings()).map(({ name }) => name);

const entry = (value: StoredRecord, s = 1): Entry => {
  const key = keys.keyOf(value);
  return { id: keys.id(key), key, stamp: makeStamp(1_000 + s, 0, 1), value };
};

const put = (store: Store, value: StoredRecord, s = 1) => store.putIfNewer(entry(value, s), store.now() + 5_000);

const KEY = 'userKey TEXT NOT NULL, id TEXT NOT NULL';

describe('an inspection of a SQLite table', () => {
  test('that has nothing but its key finds nothing, and names the server', async () => {
    const opened = await openOn(`CREATE TABLE events (${KEY}, n INTEGER, body TEXT, PRIMARY KEY (userKey, id))`);
    expect(await opened.store.inspect()).toEqual({
      server: expect.stringMatching(/^SQLite 3\.\d+\.\d+/),
      findings: [],
    });
  });

  test('changes nothing', async () => {
    const opened = await openOn(
      `CREATE TABLE events (${KEY}, email TEXT UNIQUE, PRIMARY KEY (userKey, id));
       CREATE TRIGGER audit AFTER INSERT ON events BEGIN SELECT 1; END;`,
    );
    const everything = () => opened.database.prepare('SELECT * FROM sqlite_master').all();
    const before = everything();
    await opened.findings();
    expect(everything()).toEqual(before);
  });

  test('finds what must be unique beside the key, and the store refuses what breaks it', async () => {
    const opened = await openOn(`
      CREATE TABLE events (${KEY}, email TEXT UNIQUE, nick TEXT, slot INTEGER, PRIMARY KEY (userKey, id));
      CREATE UNIQUE INDEX events_nick ON events (lower(nick));
      CREATE UNIQUE INDEX events_slot ON events (slot) WHERE slot > 0;
      CREATE UNIQUE INDEX harmless ON events (id, userKey, email);
      CREATE INDEX not_unique ON events (slot);
    `);
    expect((await namesOf(opened)).sort()).toEqual(['unique:email', 'unique:events_nick', 'unique:events_slot']);
    for (const finding of await opened.findings()) {
      expect(finding).toMatchObject({ kind: 'unique', level: 'risk' });
      expect(finding.message).not.toBe('');
    }
    await opened.store.prepare();
    await put(opened.store, { userKey: 'a', id: '1', email: 'x', nick: 'Ada', slot: 1 });
    for (const taken of [{ email: 'x' }, { nick: 'ADA' }, { slot: 1 }]) {
      const record = { userKey: 'b', id: '2', email: null, nick: null, slot: null, ...taken };
      expect(await put(opened.store, record)).toMatchObject({ kind: 'rejected', reason: 'constraint' });
    }
  });

  test('offers a statement that mends it, and finds nothing afterwards', async () => {
    const opened = await openOn(`
      CREATE TABLE events (${KEY}, email TEXT, PRIMARY KEY (userKey, id));
      CREATE UNIQUE INDEX "odd ""name" ON events (email);
      CREATE TRIGGER "log it" AFTER UPDATE ON events BEGIN SELECT 1; END;
    `);
    const found = await opened.findings();
    expect(found.map(({ name }) => name)).toEqual(['unique:odd "name', 'trigger:log it']);
    for (const { remedy } of found) opened.database.exec(remedy);
    expect(await namesOf(opened)).toEqual([]);
  });

  test('finds a key that the table tells apart less than changeover does', async () => {
    const nocase = 'userKey TEXT COLLATE NOCASE NOT NULL, id TEXT NOT NULL';
    const opened = await openOn(`CREATE TABLE events (${nocase}, n INTEGER, PRIMARY KEY (userKey, id))`);
    expect(await namesOf(opened)).toEqual(['unique:primary-key']);
    const part = await openOn(`CREATE TABLE events (${KEY}, PRIMARY KEY (userKey, id), UNIQUE (id))`);
    expect(await namesOf(part)).toEqual(['unique:id']);
    const other = await openOn(`CREATE TABLE events (${KEY}, no INTEGER PRIMARY KEY, UNIQUE (userKey, id))`);
    expect(await namesOf(other)).toEqual(['unique:primary-key']);
    const unread = await openOn(`CREATE TABLE events (${KEY}, no INTEGER PRIMARY KEY, UNIQUE (userKey, id))`, {
      columns: { userKey: 'userKey', id: 'id' },
    });
    expect(await namesOf(unread)).toEqual(['missing:fields']);
  });

  test('finds checks with and without a name, and not those of comments and texts', async () => {
    const opened = await openOn(`
      CREATE TABLE events (
        ${KEY}, -- CHECK (commented)
        n INTEGER CHECK ( n  >= 0 AND (n < 10 OR n = 99) ),
        kind TEXT CONSTRAINT "known kind" CHECK (kind IN ('a', 'CHECK (quoted)')),
        "CHECK" TEXT DEFAULT 'CHECK (text)',
        PRIMARY KEY (userKey, id)
      )`);
    const found = await opened.findings();
    expect(found.map(({ name }) => name)).toEqual(['check:n >= 0 AND (n < 10 OR n = 99)', 'check:known kind']);
    expect(found[1]?.message).toContain("kind IN ('a', 'CHECK (quoted)')");
    await opened.store.prepare();
    const record = { userKey: 'a', id: '1', n: 50, kind: 'a', CHECK: null };
    expect(await put(opened.store, record)).toMatchObject({ kind: 'rejected', reason: 'constraint' });
  });

  test('finds foreign keys in both directions, and what cascades', async () => {
    const opened = await openOn(`
      CREATE TABLE users (id TEXT PRIMARY KEY);
      CREATE TABLE teams (id TEXT PRIMARY KEY);
      CREATE TABLE events (
        ${KEY}, team TEXT REFERENCES teams (id), PRIMARY KEY (userKey, id),
        FOREIGN KEY (userKey) REFERENCES users (id) ON DELETE CASCADE
      );
      CREATE TABLE notes (event TEXT, userKey TEXT, FOREIGN KEY (userKey, event) REFERENCES events (userKey, id));
      CREATE TABLE marks (event TEXT, userKey TEXT, FOREIGN KEY (userKey, event) REFERENCES events (userKey, id) ON DELETE SET NULL);
    `);
    expect((await namesOf(opened)).sort()).toEqual([
      'cascade:marks.userKey,event',
      'cascade:userKey',
      'foreign-key:notes.userKey,event',
      'foreign-key:team',
      'foreign-key:userKey',
    ]);
    await opened.store.prepare();
    const record = { userKey: 'nobody', id: '1', team: null };
    expect(await put(opened.store, record)).toMatchObject({ kind: 'rejected', reason: 'constraint' });
    opened.database.exec("INSERT INTO users VALUES ('ada')");
    expect(await put(opened.store, { ...record, userKey: 'ada' })).toMatchObject({ kind: 'applied' });
    // What the cascade does: the record goes, and nobody was told.
    opened.database.exec("DELETE FROM users WHERE id = 'ada'");
    expect(opened.database.prepare('SELECT count(*) AS n FROM events').get()).toEqual({ n: 0 });
  });

  test('finds triggers of this table and of no other', async () => {
    const opened = await openOn(`
      CREATE TABLE events (${KEY}, n INTEGER, PRIMARY KEY (userKey, id));
      CREATE TABLE others (id TEXT);
      CREATE TRIGGER audit BEFORE DELETE ON Events BEGIN SELECT 1; END;
      CREATE TRIGGER other AFTER INSERT ON others BEGIN SELECT 1; END;
    `);
    expect(await namesOf(opened)).toEqual(['trigger:audit']);
  });

  test('finds a column that nothing fills: every insert would fail, accepted or not', async () => {
    const ddl = `CREATE TABLE events (${KEY}, n INTEGER, must TEXT NOT NULL, may TEXT, has TEXT NOT NULL DEFAULT 'x', PRIMARY KEY (userKey, id))`;
    const columns = { userKey: 'userKey', id: 'id', n: 'n' };
    const opened = await openOn(ddl, { columns });
    expect(await opened.findings()).toMatchObject([
      { name: 'check:not-null.must', level: 'problem' },
      { name: 'missing:fields', level: 'info', message: expect.stringContaining('"must", "may", "has"') },
    ]);
    await opened.store.prepare();
    expect(await put(opened.store, { userKey: 'a', id: '1', n: 1 })).toMatchObject({ kind: 'rejected' });
    expect(await namesOf(await openOn(ddl, { columns: { ...columns, must: 'must' } }))).toEqual(['missing:fields']);
  });

  test('finds a file and a folder that may not be written to', async ({ skip }) => {
    if (process.getuid?.() === 0) return skip('root may write everywhere');
    const opened = await openOn(`CREATE TABLE events (${KEY}, PRIMARY KEY (userKey, id))`);
    chmodSync(opened.path, 0o400);
    expect(await opened.findings()).toMatchObject([{ name: 'permission:file', level: 'problem' }]);
  });

  test('says which journal it has where that is not the usual one', async () => {
    const opened = await openOn(`CREATE TABLE events (${KEY}, PRIMARY KEY (userKey, id))`, {}, 'DELETE');
    expect(await opened.findings()).toMatchObject([{ name: 'topology:journal-mode', level: 'info' }]);
  });

  test('gives each finding a name of its own', async () => {
    const opened = await openOn(`
      CREATE TABLE users (id TEXT PRIMARY KEY);
      CREATE TABLE people (id TEXT PRIMARY KEY);
      CREATE TABLE events (
        ${KEY}, PRIMARY KEY (userKey, id),
        FOREIGN KEY (userKey) REFERENCES users (id), FOREIGN KEY (userKey) REFERENCES people (id)
      )`);
    const names = await namesOf(opened);
    expect(names).toHaveLength(2);
    expect(new Set(names).size).toBe(2);
  });
});

test('checks of a declaration are read whatever stands around them', () => {
  expect(
    checkConstraints('CREATE TABLE t (a, /* CHECK (no) */ b CHECK(b>0), CONSTRAINT [x y] CHECK (")" <> a))'),
  ).toEqual([
    { name: null, expression: 'b>0' },
    { name: 'x y', expression: '")" <> a' },
  ]);
  expect(checkConstraints('CREATE TABLE t (checked, a CHECK (a IN (1, (2))) )')).toEqual([
    { name: null, expression: 'a IN (1, (2))' },
  ]);
  expect(checkConstraints('CREATE TABLE t (a')).toEqual([]);
});
