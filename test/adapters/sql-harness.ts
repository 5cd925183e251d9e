import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import type { Knex } from 'knex';
import type { Harness, OpenOptions } from '../../adapters/conformance/index.ts';
import { type SqlOptions, sql } from '../../adapters/sql/index.ts';
import { systemClock } from '../../src/core/clock.ts';
import type { KeySpec } from '../../src/core/record-key.ts';
import { type Codec, identityCodec, type Store } from '../../src/core/store.ts';
import type { StoredRecord } from '../../src/core/value.ts';

/** A table for the kit, and how to read and write it. */
export interface SqliteTableCase {
  readonly ddl: string;
  readonly options: Partial<SqlOptions>;
  readonly keys: KeySpec;
  readonly any: string | null;
  readonly holdsValues: Harness['holdsValues'];
  record(n: number, extra: StoredRecord): StoredRecord;
  recordNamed(text: string, extra: StoredRecord): StoredRecord;
}

/** Makes stores on fresh SQLite files in a directory of its own. */
export async function sqliteHarness(table: SqliteTableCase): Promise<Harness> {
  const directory = await mkdtemp(join(tmpdir(), 'changeover-sql-'));
  const stores: Store[] = [];
  let files = 0;
  let codec: Codec = identityCodec;

  const client = async (): Promise<Store> => {
    const connection = join(directory, `${files}.db`);
    const definition = sql({ client: 'better-sqlite3', connection, table: 'things', ...table.options });
    const store = await definition.create({
      migration: 'things',
      side: 'new',
      keys: table.keys,
      codec,
      clock: systemClock,
    });
    stores.push(store);
    await store.open();
    return store;
  };
  const fresh = async (options?: OpenOptions): Promise<Store> => {
    files += 1;
    codec = options?.codec ?? identityCodec;
    const database = new Database(join(directory, `${files}.db`));
    database.exec(table.ddl);
    database.close();
    return client();
  };
  const record = (n: number, extra: StoredRecord = {}): StoredRecord => table.record(n, extra);

  return {
    keys: table.keys,
    fields: { number: 'count', text: 'note', any: table.any },
    async open(options) {
      const store = await fresh(options);
      await store.prepare();
      return store;
    },
    second: client,
    unprepared: fresh,
    record,
    recordNamed: (text, extra = {}) => table.recordNamed(text, extra),
    holdsValues: table.holdsValues,
    holdsKeys: 'all',
    breaksConstraint: (n) => record(n, { count: -1 }),
    breaksUnique: (n, other) => record(n, { slug: other['slug'] }),
    breaksLimit: (n) => record(n, { count: 2 ** 53 }),
    failingFor: null,
    nativeRows: async (store) => (store.native as Knex)('things').select(),
    async close() {
      for (const store of stores) await store.close();
      await rm(directory, { recursive: true });
    },
  };
}

/** One SQLite file with tables of its own, gone when the test is over. */
export interface SqliteFile extends AsyncDisposable {
  readonly file: string;
  /** A connection beside the stores: an outside writer. */
  raw(): Database.Database;
  open(options: Partial<SqlOptions>, keys: KeySpec, codec?: Codec): Promise<Store>;
}

/** Makes a file with these tables. */
export async function onFile(ddl: string): Promise<SqliteFile> {
  const directory = await mkdtemp(join(tmpdir(), 'changeover-sql-'));
  const file = join(directory, 'test.db');
  const closing: (() => unknown)[] = [];
  const raw = (): Database.Database => {
    const database = new Database(file);
    closing.push(() => database.close());
    return database;
  };
  raw().exec(ddl);
  return {
    file,
    raw,
    async open(options, keys, codec = identityCodec) {
      const definition = sql({ client: 'better-sqlite3', connection: `sqlite:${file}`, table: 'things', ...options });
      const store = await definition.create({ migration: 'things', side: 'old', keys, codec, clock: systemClock });
      closing.push(() => store.close());
      await store.open();
      return store;
    },
    async [Symbol.asyncDispose]() {
      for (const close of closing.reverse()) await close();
      await rm(directory, { recursive: true });
    },
  };
}
