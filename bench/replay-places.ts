import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { MongoClient } from 'mongodb';
import pg from 'pg';
import { mongodb } from '../adapters/mongodb/index.ts';
import { sql } from '../adapters/sql/index.ts';
import type { StoreDefinition } from '../src/core/store.ts';

/** A record of about 400 bytes, as the issues measure them. */
export interface BenchRecord {
  readonly user_key: string;
  readonly id: string;
  readonly n: number;
  readonly text: string;
}

export const recordOf = (n: number): BenchRecord => ({
  user_key: `user-${n % 997}`,
  id: `event-${String(n).padStart(9, '0')}`,
  n,
  text: 'lorem ipsum dolor sit amet '.repeat(12),
});

/** A database that a replay reads or fills, and what a plain script does with it: no guards, no stamps. */
export interface BenchPlace {
  readonly name: string;
  /** Its database, schema or folder, made for it. */
  readonly place: string;
  readonly store: StoreDefinition;
  seed(count: number): Promise<void>;
  /** Everything, in pages, as a script would read it. */
  read(): AsyncIterable<readonly BenchRecord[]>;
  /** Into the plain copy beside the store's own table. */
  write(records: readonly BenchRecord[]): Promise<void>;
  /** Empties what was written, by either. */
  clear(): Promise<void>;
  drop(): Promise<void>;
}

const PAGE = 1_000;
const TABLE =
  '(user_key text NOT NULL, id text NOT NULL, n integer NOT NULL, text text NOT NULL, PRIMARY KEY (user_key, id))';

async function inBatches(count: number, write: (records: readonly BenchRecord[]) => Promise<void>): Promise<void> {
  for (let at = 0; at < count; at += PAGE) {
    await write(Array.from({ length: Math.min(PAGE, count - at) }, (_, i) => recordOf(at + i)));
  }
}

export function sqliteBench(): BenchPlace {
  const folder = mkdtempSync(join(tmpdir(), 'changeover-bench-'));
  const file = join(folder, 'bench.db');
  const database = new Database(file);
  database.pragma('journal_mode = WAL');
  database.exec(`CREATE TABLE events ${TABLE}; CREATE TABLE plain ${TABLE}`);
  const into = (table: string) => {
    const insert = database.prepare(`INSERT INTO ${table} VALUES (?, ?, ?, ?)`);
    return database.transaction((records: readonly BenchRecord[]) => {
      for (const { user_key, id, n, text } of records) insert.run(user_key, id, n, text);
    });
  };
  const [seed, copy] = [into('events'), into('plain')];
  const page = database.prepare('SELECT * FROM events WHERE (user_key, id) > (?, ?) ORDER BY user_key, id LIMIT ?');
  return {
    name: 'SQLite',
    place: folder,
    store: sql({ client: 'better-sqlite3', connection: file, table: 'events' }),
    seed: (count) => inBatches(count, async (records) => seed(records)),
    async *read() {
      let after: readonly [string, string] = ['', ''];
      for (;;) {
        const records = page.all(...after, PAGE) as BenchRecord[];
        const last = records.at(-1);
        if (last === undefined) return;
        after = [last.user_key, last.id];
        yield records;
      }
    },
    write: async (records) => copy(records),
    async clear() {
      database.exec('DELETE FROM plain; DELETE FROM events');
      const stamps = database.prepare("SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE 'events_%'");
      for (const name of stamps.pluck().all()) database.exec(`DELETE FROM "${name}"`);
    },
    async drop() {
      database.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

export async function postgresBench(url: string): Promise<BenchPlace> {
  const schema = `bench_${randomBytes(6).toString('hex')}`;
  const pool = new pg.Pool({ connectionString: url, max: 4 });
  await pool.query(
    `CREATE SCHEMA ${schema}; CREATE TABLE ${schema}.events ${TABLE}; CREATE TABLE ${schema}.plain ${TABLE}`,
  );
  const insert = (table: string, records: readonly BenchRecord[]): Promise<unknown> =>
    pool.query(`INSERT INTO ${schema}.${table} SELECT * FROM unnest($1::text[], $2::text[], $3::int[], $4::text[])`, [
      records.map((record) => record.user_key),
      records.map((record) => record.id),
      records.map((record) => record.n),
      records.map((record) => record.text),
    ]);
  return {
    name: 'PostgreSQL',
    place: schema,
    store: sql({ client: 'pg', connection: url, table: `${schema}.events` }),
    async seed(count) {
      await inBatches(count, async (records) => {
        await insert('events', records);
      });
      await pool.query(`ANALYZE ${schema}.events`);
    },
    async *read() {
      let after: readonly string[] = ['', ''];
      for (;;) {
        const { rows } = await pool.query<BenchRecord>(
          `SELECT * FROM ${schema}.events WHERE (user_key, id) > ($1, $2) ORDER BY user_key, id LIMIT ${PAGE}`,
          [...after],
        );
        const last = rows.at(-1);
        if (last === undefined) return;
        after = [last.user_key, last.id];
        yield rows;
      }
    },
    async write(records) {
      await insert('plain', records);
    },
    async clear() {
      const { rows } = await pool.query<{ tablename: string }>(
        'SELECT tablename FROM pg_tables WHERE schemaname = $1',
        [schema],
      );
      await pool.query(`TRUNCATE ${rows.map(({ tablename }) => `${schema}."${tablename}"`).join(', ')}`);
    },
    async drop() {
      await pool.query(`DROP SCHEMA ${schema} CASCADE`);
      await pool.end();
    },
  };
}

export async function mongodbBench(url: string): Promise<BenchPlace> {
  const name = `bench_${randomBytes(6).toString('hex')}`;
  const client = await new MongoClient(url).connect();
  const database = client.db(name);
  type Held = Omit<BenchRecord, 'id'> & { readonly _id: string };
  const held = ({ id, ...record }: BenchRecord): Held => ({ _id: id, ...record });
  const events = database.collection<Held>('events');
  const plain = database.collection<Held>('plain');
  return {
    name: 'MongoDB',
    place: name,
    store: mongodb({ url, database: name, collection: 'events', id: 'id' }),
    seed: (count) =>
      inBatches(count, async (records) => {
        await events.insertMany(records.map(held));
      }),
    async *read() {
      let page: BenchRecord[] = [];
      for await (const { _id, ...record } of events.find({}, { batchSize: PAGE })) {
        page.push({ id: _id, ...record });
        if (page.length < PAGE) continue;
        yield page;
        page = [];
      }
      yield page;
    },
    async write(records) {
      if (records.length > 0) await plain.insertMany(records.map(held), { ordered: false });
    },
    async clear() {
      // Both are made anew with the same indexes, as PostgreSQL's tables have them: what was deleted is worked off for long.
      const indexes = (await events.indexes()).filter(({ name }) => name !== '_id_');
      for (const collection of [plain, events]) {
        await collection.drop();
        await database.createCollection(collection.collectionName);
        if (indexes.length > 0) await collection.createIndexes(indexes.map(({ key }) => ({ key })));
      }
    },
    async drop() {
      await database.dropDatabase();
      await client.close();
    },
  };
}
