import type { Knex } from 'knex';
import { type Connection, createConnection } from 'mysql2/promise';
import type { Harness, OpenOptions } from '../../adapters/conformance/index.ts';
import { type SqlOptions, sql } from '../../adapters/sql/index.ts';
import { systemClock } from '../../src/core/clock.ts';
import type { KeySpec } from '../../src/core/record-key.ts';
import { type Codec, identityCodec, type Store } from '../../src/core/store.ts';
import type { StoredRecord } from '../../src/core/value.ts';
import { freshDatabase } from '../support/servers.ts';

/** A table for the kit, and how to read and write it. */
export interface MysqlTableCase {
  /** Makes the table `things` and what it refers to; BYTEWISE is the collation that takes no two texts for equal. */
  readonly ddl: readonly string[];
  readonly options: Partial<SqlOptions>;
  readonly keys: KeySpec;
  readonly any: string | null;
  readonly holdsValues: Harness['holdsValues'];
  readonly holdsKeys: Harness['holdsKeys'];
  record(n: number, extra: StoredRecord): StoredRecord;
  recordNamed(text: string, extra: StoredRecord): StoredRecord;
  readonly breaks: Pick<Harness, 'breaksConstraint' | 'breaksUnique' | 'breaksLimit'>;
}

/** A database of its own on the server, gone when the test is over. */
export interface MysqlPlace extends AsyncDisposable {
  readonly url: string;
  /** A connection beside the stores: an outside writer. */
  raw(): Promise<Connection>;
  exec(...statements: readonly string[]): Promise<void>;
  open(options: Partial<SqlOptions>, keys: KeySpec, codec?: Codec): Promise<Store>;
}

/** Makes a database and runs these statements there. */
export async function onMysql(...ddl: readonly string[]): Promise<MysqlPlace> {
  const database = await freshDatabase('mysql');
  const closing: (() => unknown)[] = [];
  const raw = async (): Promise<Connection> => {
    const connection = await createConnection({ uri: database.url, rowsAsArray: true });
    connection.on('error', () => undefined);
    closing.push(() => connection.destroy());
    return connection;
  };
  const admin = await raw();
  const [[[version] = []]] = (await admin.query('SELECT VERSION()')) as unknown as [[string[]]];
  const bytewise = version?.includes('MariaDB') ? 'utf8mb4_nopad_bin' : 'utf8mb4_0900_bin';
  const exec = async (...statements: readonly string[]): Promise<void> => {
    for (const statement of statements) await admin.query(statement.replaceAll('BYTEWISE', bytewise));
  };
  const end = async (): Promise<void> => {
    for (const close of closing.reverse()) await close();
    await database.drop();
  };
  try {
    await exec(...ddl);
  } catch (error) {
    await end();
    throw error;
  }
  return {
    url: database.url,
    raw,
    exec,
    async open(options, keys, codec = identityCodec) {
      const definition = sql({ client: 'mysql2', connection: database.url, table: 'things', ...options });
      const store = await definition.create({ migration: 'things', side: 'old', keys, codec, clock: systemClock });
      closing.push(() => store.close());
      await store.open();
      return store;
    },
    [Symbol.asyncDispose]: end,
  };
}

/** Makes stores on fresh tables of a database. */
export async function mysqlHarness(table: MysqlTableCase): Promise<Harness> {
  const place = await onMysql();
  let tables = 0;
  let codec: Codec = identityCodec;
  const client = () => place.open({ ...table.options, table: `things ${tables}` }, table.keys, codec);
  const fresh = async (options?: OpenOptions): Promise<Store> => {
    tables += 1;
    codec = options?.codec ?? identityCodec;
    await place.exec(...table.ddl.map((statement) => statement.replaceAll('things', `things ${tables}`)));
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
    holdsKeys: table.holdsKeys,
    ...table.breaks,
    failingFor: null,
    nativeRows: async (store) => (store.native as Knex)(`things ${tables}`).select(),
    async close() {
      await place[Symbol.asyncDispose]();
    },
  };
}
