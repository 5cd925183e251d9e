import type { Clock } from '../../../src/core/clock.ts';
import { InvalidConfiguration } from '../../../src/core/errors.ts';
import type { Inspection } from '../../../src/core/store.ts';
import type { ColumnCodec, ValueForms } from '../column-codec.ts';
import type { ColumnDescription, Session, TableAccess, TableDescription } from '../dialect.ts';
import type { Layout } from '../layout.ts';
import type { FieldType, ResolvedSqlOptions } from '../options.ts';
import type { KnexPool } from '../server/server-pool.ts';
import { describeTable, findTable, type PgColumn, type PgTable } from './catalog.ts';
import { fieldTypeOf, postgresCodec } from './columns.ts';
import { PgDatabase } from './database.ts';
import type { PgClient } from './driver.ts';
import { inspectPostgres } from './inspect.ts';
import { makePlan } from './plan.ts';
import { Replicas } from './replicas.ts';
import { PgTableAccess } from './table.ts';

/** One table on a PostgreSQL server. */
export class PgSession implements Session {
  readonly #knex: KnexPool<PgClient>;
  readonly #database: PgDatabase;
  readonly #replicas: Replicas;
  #table: PgTable | undefined;
  #opening: Promise<void> | undefined;

  constructor(knex: KnexPool<PgClient>, options: ResolvedSqlOptions, clock: Clock) {
    this.#knex = knex;
    this.#database = new PgDatabase(knex, clock, `postgres ${options.table}`);
    this.#replicas = new Replicas((steps) => this.#database.read(steps), clock);
  }

  get native(): unknown {
    return this.#knex;
  }

  open(): Promise<void> {
    this.#opening ??= this.#open().catch((error: unknown) => {
      this.#opening = undefined;
      throw error;
    });
    return this.#opening;
  }

  async #open(): Promise<void> {
    await this.#database.open();
    const [encoding] = await this.#database.read([{ sql: 'SHOW server_encoding', values: [] }]);
    if (encoding?.[0]?.[0] !== 'UTF8') {
      throw new InvalidConfiguration(`${this.#database.label}: the database is not in UTF-8`, {
        expected: 'a database with the encoding UTF8, which holds all text and sorts as keys do',
      });
    }
  }

  close(): Promise<void> {
    return this.#database.close();
  }

  now(): number {
    return this.#database.now();
  }

  async describe(table: string): Promise<TableDescription | undefined> {
    this.#table = await findTable((steps) => this.#database.read(steps), table);
    return this.#table && describeTable(this.#table);
  }

  #column({ name }: ColumnDescription): PgColumn {
    return this.#table?.columns.find((column) => column.name === name) as PgColumn;
  }

  fieldType(column: ColumnDescription): FieldType | null {
    return fieldTypeOf(this.#column(column).type);
  }

  codec(field: FieldType, column: ColumnDescription, forms: ValueForms): ColumnCodec | string {
    return postgresCodec(field, this.#column(column).type, column.declared, forms);
  }

  inspect(layout: Layout | null): Promise<Inspection> {
    return inspectPostgres((steps) => this.#database.read(steps), this.#table, layout, this.#database.aheadMs);
  }

  replicaLag(): Promise<number | null> {
    return this.#replicas.lag();
  }

  table(layout: Layout): TableAccess {
    return new PgTableAccess(this.#database, makePlan(layout, this.#table as PgTable));
  }
}
