import type { Clock } from '../../../src/core/clock.ts';
import { Closed, InvalidConfiguration } from '../../../src/core/errors.ts';
import type { Inspection } from '../../../src/core/store.ts';
import type { ColumnCodec, ValueForms } from '../column-codec.ts';
import type { ColumnDescription, Session, TableAccess, TableDescription } from '../dialect.ts';
import type { Layout } from '../layout.ts';
import type { FieldType, ResolvedSqlOptions } from '../options.ts';
import { type Attached, OTHER } from './attached.ts';
import { fieldTypeOf, sqliteCodec } from './columns.ts';
import { SqliteConnection } from './connection.ts';
import { type KnexLike, mustExist, type SqliteDatabase, sqliteConnection } from './driver.ts';
import { storeFault } from './faults.ts';
import { inspectSqlite } from './inspect.ts';
import { quote } from './quote.ts';
import { SqliteTable } from './table.ts';
import { WriteQueue } from './write-queue.ts';

interface Live {
  readonly database: SqliteDatabase;
  readonly connection: SqliteConnection;
  readonly queue: WriteQueue;
}

const ROWID_NAMES = ['rowid', '_rowid_', 'oid'];

/**
 * An SQLite file through knex. Named queries get the Knex; the store itself keeps one of its connections and works on
 * the driver directly, as a transaction through knex costs ten turns of the event loop, with the lock held.
 */
export class SqliteSession implements Session {
  readonly #knex: KnexLike;
  readonly #options: ResolvedSqlOptions;
  readonly #clock: Clock;
  readonly #label: string;
  #live: Live | undefined;
  #rowid: string | null = null;
  #latest = 0;
  #closing: Promise<void> | undefined;

  constructor(knex: KnexLike, options: ResolvedSqlOptions, clock: Clock) {
    this.#knex = knex;
    this.#options = options;
    this.#clock = clock;
    this.#label = `sqlite ${options.table}`;
  }

  get native(): unknown {
    return this.#knex;
  }

  get #ready(): Live {
    if (this.#live !== undefined && this.#closing === undefined) return this.#live;
    throw new Closed(`${this.#label} is closed`);
  }

  async open(): Promise<void> {
    if (this.#live !== undefined) return;
    await mustExist(sqliteConnection(this.#options).filename, this.#label);
    let database: SqliteDatabase;
    try {
      database = await this.#knex.client.acquireConnection();
    } catch (error) {
      throw storeFault(this.#label, error, 'nothing-written');
    }
    const connection = new SqliteConnection(database, this.#label, this.#clock);
    try {
      await connection.open();
    } catch (error) {
      await this.#knex.client.releaseConnection(database);
      throw error;
    }
    this.#live = { database, connection, queue: new WriteQueue(connection, () => this.now()) };
  }

  /** A connection of its own: on the store's, a name that is missing in its file would be found in the other one. */
  async #attach(filename: string): Promise<Attached> {
    await mustExist(filename, this.#label);
    const { client } = this.#knex;
    const database = await client.acquireRawConnection().catch((error: unknown) => {
      throw storeFault(this.#label, error, 'nothing-written');
    });
    const end = async (): Promise<void> => {
      await client.destroyRawConnection(database);
    };
    const connection = new SqliteConnection(database, this.#label, this.#clock);
    try {
      await connection.open();
      await connection.read(() => connection.run(`ATTACH ? AS ${OTHER}`, [filename]));
    } catch (error) {
      await end();
      throw error;
    }
    return { connection, end };
  }

  async #mustBeUtf8(connection: SqliteConnection): Promise<void> {
    const [encoding] = (await connection.read(() => connection.get('PRAGMA encoding'))) ?? [];
    if (encoding !== 'UTF-8') {
      throw new InvalidConfiguration(`${this.#label}: the file is not in UTF-8`, {
        expected: 'PRAGMA encoding = UTF-8, by which text sorts as keys do',
      });
    }
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    const live = this.#live;
    if (live !== undefined) {
      await live.queue.drain();
      await this.#knex.client.releaseConnection(live.database);
    }
    await this.#knex.destroy();
  }

  /** The machine's clock, which is the clock of every process that has the file open; never back (R2). */
  now(): number {
    this.#latest = Math.max(this.#latest, this.#clock.now());
    return this.#latest;
  }

  async describe(table: string): Promise<TableDescription | undefined> {
    const { connection } = this.#ready;
    await this.#mustBeUtf8(connection);
    return connection.read(() => {
      const [found] = connection.all(
        "SELECT wr, strict, type FROM pragma_table_list WHERE schema = 'main' AND lower(name) = lower(?)",
        [table],
      );
      if (found === undefined || found[2] !== 'table') return undefined;
      const [withoutRowid, strict] = [found[0] === 1n, found[1] === 1n];
      const rows = connection.all('SELECT name, type, "notnull", pk, hidden FROM pragma_table_xinfo(?)', [table]);
      const primary = rows.filter((row) => row[3] !== 0n).map((row) => String(row[0]));
      const columns = rows.map(([name, type, notNull, pk, hidden]): ColumnDescription => {
        const filledIn = !withoutRowid && pk === 1n && primary.length === 1 && String(type).toUpperCase() === 'INTEGER';
        return {
          name: String(name),
          // In other than STRICT tables ANY would turn text into numbers.
          declared: strict && String(type).toUpperCase() === 'ANY' ? '' : String(type),
          nullable: notNull === 0n && !(withoutRowid && pk !== 0n),
          filledIn,
          generated: hidden !== 0n,
        };
      });
      const indexes = connection
        .all('SELECT name FROM pragma_index_list(?) WHERE "unique" = 1 AND partial = 0', [table])
        .map(([name]) => connection.all('SELECT name, coll FROM pragma_index_xinfo(?) WHERE key = 1', [name]));
      const whole = indexes.filter((index) => index.every(([name]) => name !== null));
      const taken = new Set(columns.map(({ name }) => name.toLowerCase()));
      this.#rowid = withoutRowid ? null : (ROWID_NAMES.find((name) => !taken.has(name)) ?? null);
      return {
        columns,
        unique: [
          ...whole.map((index) => index.map(([name]) => String(name))),
          ...columns.filter(({ filledIn }) => filledIn).map(({ name }) => [name]),
        ],
        binary: new Set(this.#binaryColumns(connection, table, columns)),
      };
    });
  }

  /** Columns whose own collation is that of bytes. SQLite has no PRAGMA for it, so it is tried: a UNION has the first column's. */
  #binaryColumns(connection: SqliteConnection, table: string, columns: readonly ColumnDescription[]): string[] {
    return columns.flatMap(({ name }) => {
      const sql = `SELECT count(*) FROM (SELECT ${quote(name)} FROM ${quote(table)} WHERE 0 UNION SELECT 'a' UNION SELECT 'A' UNION SELECT 'a ')`;
      return connection.get(sql)?.[0] === 3n ? [name] : [];
    });
  }

  fieldType({ declared }: ColumnDescription): FieldType | null {
    return fieldTypeOf(declared);
  }

  codec(type: FieldType, { declared }: ColumnDescription, forms: ValueForms): ColumnCodec | string {
    return sqliteCodec(type, declared, forms);
  }

  inspect(layout: Layout | null): Promise<Inspection> {
    return inspectSqlite(this.#ready.connection, sqliteConnection(this.#options).filename, layout);
  }

  table(layout: Layout): TableAccess {
    const { connection, queue } = this.#ready;
    const { filename } = sqliteConnection(this.#options);
    const attach = (other: string): Promise<Attached> => this.#attach(other);
    const setting = { wal: this.#options.wal, rowid: this.#rowid, filename, attach };
    return new SqliteTable(connection, queue, () => this.now(), layout, setting);
  }
}
