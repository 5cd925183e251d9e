import { join } from 'node:path';
import Database from 'better-sqlite3';
import { createConnection } from 'mysql2/promise';
import pg from 'pg';
import { freshDatabase } from '../support/servers.ts';
import { COLUMN_NAMES, eventOfRow, type Place, rowOf } from './place.ts';

const TABLE = 'events';
const marks = (mark: (n: number) => string): string => COLUMN_NAMES.map((_, n) => mark(n + 1)).join(', ');
const insert = (mark: (n: number) => string): string =>
  `INSERT INTO ${TABLE} (${COLUMN_NAMES.join(', ')}) VALUES (${marks(mark)})`;

const table = (text: string, document: string): string => `CREATE TABLE ${TABLE} (
  user_key ${text} NOT NULL,
  id ${text} NOT NULL,
  event ${text} NOT NULL,
  action ${text},
  received_at ${text} NOT NULL,
  deliveries INTEGER NOT NULL,
  last_write ${text} NOT NULL,
  document ${document} NOT NULL,
  PRIMARY KEY (user_key, id)
)`;

export async function sqlitePlace(folder: string): Promise<Place> {
  const at = join(folder, 'store.db');
  const database = new Database(at);
  database.pragma('journal_mode = WAL');
  database.exec(table('TEXT', 'TEXT'));
  return {
    spec: { name: 'sqlite', at, table: TABLE, database: '' },
    async seed(events) {
      const statement = database.prepare(insert(() => '?'));
      database.transaction(() => {
        for (const event of events) statement.run(...rowOf(event));
      })();
    },
    async read() {
      return (database.prepare(`SELECT * FROM ${TABLE}`).all() as Record<string, unknown>[]).map(eventOfRow);
    },
    async drop() {
      database.close();
    },
  };
}

export async function postgresPlace(): Promise<Place> {
  const database = await freshDatabase('postgres');
  const pool = new pg.Pool({ connectionString: database.url, max: 2 });
  // Dropping the database ends connections that are closing just then.
  pool.on('connect', (client) => client.on('error', () => undefined));
  await pool.query(table('text', 'jsonb'));
  return {
    spec: { name: 'postgres', at: database.url, table: TABLE, database: database.name },
    async seed(events) {
      const statement = insert((n) => `$${n}`);
      const client = await pool.connect();
      await client.query('BEGIN');
      for (const event of events) await client.query(statement, [...rowOf(event)]);
      await client.query('COMMIT');
      client.release();
    },
    async read() {
      return (await pool.query<Record<string, unknown>>(`SELECT * FROM ${TABLE}`)).rows.map(eventOfRow);
    },
    async drop() {
      await pool.end();
      await database.drop();
    },
  };
}

export async function mysqlPlace(): Promise<Place> {
  const database = await freshDatabase('mysql');
  const connection = await createConnection({ uri: database.url, charset: 'utf8mb4' });
  const text = 'VARCHAR(190) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin';
  await connection.query(`${table(text, 'JSON')} ENGINE=InnoDB`);
  return {
    spec: { name: 'mysql', at: database.url, table: TABLE, database: database.name },
    async seed(events) {
      const statement = insert(() => '?');
      await connection.beginTransaction();
      for (const event of events) await connection.query(statement, [...rowOf(event)]);
      await connection.commit();
    },
    async read() {
      const [rows] = await connection.query(`SELECT * FROM ${TABLE}`);
      return (rows as Record<string, unknown>[]).map(eventOfRow);
    },
    async drop() {
      await connection.end();
      await database.drop();
    },
  };
}
