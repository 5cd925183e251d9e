import type { Knex } from 'knex';
import pg from 'pg';
import type { Harness, OpenOptions } from '../../adapters/conformance/index.ts';
import { type SqlOptions, sql } from '../../adapters/sql/index.ts';
import { systemClock } from '../../src/core/clock.ts';
import type { KeySpec } from '../../src/core/record-key.ts';
import type { Side } from '../../src/core/stage.ts';
import { STAMP_MIN } from '../../src/core/stamp.ts';
import { type Codec, identityCodec, type Store } from '../../src/core/store.ts';
import type { StoredRecord } from '../../src/core/value.ts';
import { freshDatabase } from '../support/servers.ts';

/** A table for the kit, and how to read and write it. */
export interface PostgresTableCase {
  /** Makes the table `things` and what it refers to. */
  readonly ddl: string;
  readonly options: Partial<SqlOptions>;
  readonly keys: KeySpec;
  readonly any: string | null;
  readonly holdsValues: Harness['holdsValues'];
  readonly holdsKeys: Harness['holdsKeys'];
  record(n: number, extra: StoredRecord): StoredRecord;
  readonly recordNamed: ((text: string, extra: StoredRecord) => StoredRecord) | null;
  /** Whether `slug` is unique. @default true */
  readonly breaksUnique?: boolean;
  breaksLimit(record: StoredRecord): StoredRecord;
}

/** A database of its own on the server, gone when the test is over. */
export interface PostgresPlace extends AsyncDisposable {
  readonly url: string;
  /** A connection beside the stores: an outside writer. */
  raw(): Promise<pg.Client>;
  /** Rows of a statement, as lists of text. */
  rows(statement: string, values?: readonly unknown[]): Promise<(string | null)[][]>;
  /** A connection beside the stores, in a transaction that has run these statements. */
  begun(...statements: readonly string[]): Promise<pg.Client>;
  /** Resolves once so many connections of stores wait for a lock. */
  waiting(count: number): Promise<void>;
  open(options: Partial<SqlOptions>, keys: KeySpec, codec?: Codec): Promise<Store>;
}

/** Makes a database and runs these statements there. */
export async function onPostgres(ddl = '', side: Side = 'old'): Promise<PostgresPlace> {
  const database = await freshDatabase('postgres');
  const closing: (() => unknown)[] = [];
  const raw = async (): Promise<pg.Client> => {
    const client = new pg.Client({ connectionString: database.url });
    client.on('error', () => undefined);
    await client.connect();
    closing.push(() => client.end());
    return client;
  };
  const admin = await raw();
  if (ddl !== '') await admin.query(ddl);
  const rows = async (statement: string, values: readonly unknown[] = []): Promise<(string | null)[][]> => {
    const types = { getTypeParser: () => (text: string) => text };
    const found = await admin.query<(string | null)[]>({
      text: statement,
      values: [...values],
      rowMode: 'array',
      types,
    });
    return found.rows;
  };
  return {
    url: database.url,
    raw,
    rows,
    async begun(...statements) {
      const client = await raw();
      await client.query('BEGIN');
      for (const statement of statements) await client.query(statement);
      return client;
    },
    async waiting(count) {
      for (;;) {
        const [[found] = []] = await rows(
          `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
             AND application_name = 'changeover'`,
        );
        if (Number(found) >= count) return;
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
    },
    async open(options, keys, codec = identityCodec) {
      const definition = sql({ client: 'pg', connection: database.url, table: 'things', ...options });
      const store = await definition.create({ migration: 'things', side, keys, codec, clock: systemClock });
      closing.push(() => store.close());
      await store.open();
      return store;
    },
    async [Symbol.asyncDispose]() {
      for (const close of closing.reverse()) await close();
      await database.drop();
    },
  };
}

/** Makes stores on fresh tables of a database. */
export async function postgresHarness(table: PostgresTableCase, side: Side = 'old'): Promise<Harness> {
  const place = await onPostgres('', side);
  const admin = await place.raw();
  let tables = 0;
  let codec: Codec = identityCodec;
  const client = (): Promise<Store> => place.open({ ...table.options, table: `things ${tables}` }, table.keys, codec);
  const fresh = async (options?: OpenOptions): Promise<Store> => {
    tables += 1;
    codec = options?.codec ?? identityCodec;
    await admin.query(table.ddl.replaceAll('things', `things ${tables}`));
    return client();
  };
  const record = (n: number, extra: StoredRecord = {}): StoredRecord => table.record(n, extra);
  const { recordNamed } = table;
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
    recordNamed: recordNamed && ((text, extra = {}) => recordNamed(text, extra)),
    holdsValues: table.holdsValues,
    holdsKeys: table.holdsKeys,
    breaksConstraint: (n) => record(n, { count: -1 }),
    breaksUnique: table.breaksUnique === false ? null : (n, other) => record(n, { slug: other['slug'] }),
    breaksLimit: (n) => table.breaksLimit(record(n)),
    failingFor: null,
    plainStamp: side === 'new' ? STAMP_MIN : null,
    nativeRows: async (store) => (store.native as Knex)(`things ${tables}`).select(),
    async close() {
      await place[Symbol.asyncDispose]();
    },
  };
}
