import type { Clock } from '../../../src/core/clock.ts';
import { InvalidConfiguration, StoreFault } from '../../../src/core/errors.ts';
import { ServerClock } from '../../../src/core/server-clock.ts';
import type { Inspection } from '../../../src/core/store.ts';
import type { ColumnCodec, ValueForms } from '../column-codec.ts';
import type { ColumnDescription, Session, TableAccess, TableDescription } from '../dialect.ts';
import type { Layout } from '../layout.ts';
import type { FieldType, ResolvedSqlOptions } from '../options.ts';
import { ServerPool } from '../server/server-pool.ts';
import { fieldTypeOf, mysqlCodec } from './columns.ts';
import { breaks, type MysqlConnection, StatementFailed, select } from './connection.ts';
import { describeTable } from './describe.ts';
import type { Knexes } from './driver.ts';
import { storeFault } from './faults.ts';
import { inspectMysql } from './inspect.ts';
import { MysqlTable } from './table.ts';

/** See `Capabilities`. */
export const CLOCK_ERROR_MS = 250;
const PATIENCE_MS = 10_000;

/** What is known of a server once it answered. */
interface Server {
  readonly mariadb: boolean;
  /** The most bytes that a packet of statements may have. */
  readonly packetBytes: number;
}

/** A database of a MySQL or MariaDB server through knex and mysql2. */
export class MysqlSession implements Session {
  readonly #knexes: Knexes;
  readonly #label: string;
  readonly #clock: Clock;
  readonly #pool: ServerPool<MysqlConnection>;
  readonly #serverClock: ServerClock;
  #server: Server | undefined;
  #closing: Promise<void> | undefined;

  constructor(knexes: Knexes, options: ResolvedSqlOptions, clock: Clock) {
    this.#knexes = knexes;
    this.#label = `mysql ${options.table}`;
    this.#pool = new ServerPool(knexes.own, clock, this.#label, {
      sever: (connection) => connection.stream.destroy(),
      breaks,
      unreachable: (error) => storeFault(this.#label, error, 'nothing-written'),
    });
    this.#clock = clock;
    this.#serverClock = new ServerClock(clock, this.#label, CLOCK_ERROR_MS, () => this.#serverTime());
  }

  get native(): unknown {
    return this.#knexes.native;
  }

  async #serverTime(): Promise<number> {
    const [row] = await this.#select('SELECT UNIX_TIMESTAMP(SYSDATE(6))');
    return Number(row?.[0]) * 1_000;
  }

  /** One statement that reads. @throws StoreFault */
  async #select(sql: string): Promise<readonly (readonly unknown[])[]> {
    try {
      return await this.#pool.use(PATIENCE_MS, (connection) => select(connection, sql));
    } catch (error) {
      throw error instanceof StatementFailed ? storeFault(this.#label, error.cause, 'nothing-written') : error;
    }
  }

  async open(): Promise<void> {
    if (this.#server !== undefined) return;
    const [row] = await this.#select('SELECT VERSION(), @@max_allowed_packet, DATABASE()');
    const [version, packet, database] = row ?? [];
    if (database === null) {
      throw new InvalidConfiguration(`${this.#label}: \`connection\` names no database`, {
        expected: 'mysql://user@host/database',
      });
    }
    await this.#serverClock.start();
    this.#server = { mariadb: /mariadb/i.test(String(version)), packetBytes: Number(packet) };
  }

  get #ready(): Server {
    if (this.#server !== undefined) return this.#server;
    throw new StoreFault(`${this.#label} is not open`, { outcome: 'nothing-written' });
  }

  close(): Promise<void> {
    this.#closing ??= (async () => {
      this.#serverClock.stop();
      await this.#pool.close();
      await this.#knexes.native.destroy();
    })();
    return this.#closing;
  }

  now(): number {
    return this.#serverClock.now();
  }

  describe(table: string): Promise<TableDescription | undefined> {
    return describeTable((sql) => this.#select(sql), table);
  }

  fieldType({ declared }: ColumnDescription): FieldType | null {
    return fieldTypeOf(declared);
  }

  codec(type: FieldType, { declared }: ColumnDescription, forms: ValueForms): ColumnCodec | string {
    return mysqlCodec(type, declared, forms, this.#ready.mariadb);
  }

  inspect(layout: Layout | null): Promise<Inspection> {
    return inspectMysql((sql) => this.#select(sql), layout, this.#serverClock.aheadMs);
  }

  table(layout: Layout): TableAccess {
    return new MysqlTable(this.#pool, this.#clock, this.#label, layout, this.#ready.packetBytes, () => this.now());
  }
}
