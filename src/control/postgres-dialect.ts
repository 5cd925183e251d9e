import { randomUUID } from 'node:crypto';
import type { Knex } from 'knex';
import type { Clock, Random } from '../core/clock.ts';
import type { Change, WatchOptions } from '../core/control-client.ts';
import { InvalidConfiguration } from '../core/errors.ts';
import { TABLE_NAMES } from './columns.ts';
import {
  type ChangeWatch,
  type ControlDialect,
  errorCode,
  type FailureKind,
  type Session,
  type TransactOptions,
} from './control-dialect.ts';
import { DatabaseClock } from './database-clock.ts';
import type { Patience } from './patience.ts';
import { PostgresConnection } from './postgres-connection.ts';
import { classifyPostgres } from './postgres-faults.ts';
import { PostgresLane } from './postgres-lane.ts';
import { PostgresListener } from './postgres-listener.ts';
import type { PostgresPlace } from './postgres-place.ts';
import { MIGRATIONS_TABLE } from './schema.ts';

/** With the one that writes and the one that listens: four connections a process, the last only under load. */
const READ_LANES = 2;

const INSUFFICIENT_PRIVILEGE = '42501';

/** PostgreSQL knows no NUL in texts: it and its escape are two characters each, which keeps every order. */
const NUL = '\u0000';
const ESCAPE = '\u0001';
const ESCAPED_NUL = '\u0001\u0001';
const ESCAPED_ESCAPE = '\u0001\u0002';

export class PostgresDialect implements ControlDialect {
  readonly label: string;
  readonly insertBatch = 500;
  readonly larger = 'greatest';
  /** The server's time. */
  readonly clock: DatabaseClock;
  readonly #place: PostgresPlace;
  readonly #writes: PostgresLane;
  readonly #reads: readonly PostgresLane[];
  readonly #listener: PostgresListener;

  constructor(place: PostgresPlace, machine: Clock, random: Random) {
    this.#place = place;
    this.label = place.label;
    this.clock = new DatabaseClock(machine);
    const instance = randomUUID();
    const open = (signal?: AbortSignal): Promise<PostgresConnection> => PostgresConnection.open(place, signal);
    const lane = (mode: 'read' | 'write'): PostgresLane =>
      new PostgresLane({ place, mode, instance, open, machine, clock: this.clock });
    this.#writes = lane('write');
    this.#reads = Array.from({ length: READ_LANES }, () => lane('read'));
    this.#listener = new PostgresListener({ open, place, instance, clock: machine, random });
  }

  place(): string {
    return this.label;
  }

  transact<T>(
    { mode, atOnce }: TransactOptions,
    patience: Patience,
    body: (session: Session) => Promise<T>,
    changed: () => Change | null = () => null,
  ): Promise<T> {
    const lane = mode === 'write' ? this.#writes : this.#reads.reduce((a, b) => (b.waiting < a.waiting ? b : a));
    return atOnce ? lane.transactAtOnce(patience, body, changed) : lane.transact(patience, body, changed);
  }

  prepare(body: (knex: Knex) => Promise<void>): Promise<void> {
    return this.#writes
      .prepare(async (knex) => {
        await this.#checkEncoding(knex);
        await this.#makeSchema(knex);
        await body(knex);
        await orderTextsByCharacter(knex);
      })
      .catch((error: unknown) => {
        throw errorCode(error) === INSUFFICIENT_PRIVILEGE ? this.#mayNotPrepare(error) : error;
      });
  }

  tableName(table: string): string {
    return `${this.#place.schema}.${table}`;
  }

  encodeText(text: string): string {
    if (!text.includes(NUL) && !text.includes(ESCAPE)) return text;
    return text.replaceAll(ESCAPE, ESCAPED_ESCAPE).replaceAll(NUL, ESCAPED_NUL);
  }

  decodeText(text: string): string {
    if (!text.includes(ESCAPE)) return text;
    return text.replaceAll(ESCAPED_NUL, NUL).replaceAll(ESCAPED_ESCAPE, ESCAPE);
  }

  orderBy(query: Knex.QueryBuilder, column: string, direction: 'asc' | 'desc', nullable: boolean): void {
    // Only where there may be nulls: another order than the index's own costs a sort.
    if (!nullable) query.orderBy(column, direction);
    else query.orderByRaw(direction === 'asc' ? '?? asc nulls first' : '?? desc nulls last', [column]);
  }

  encodeList(values: readonly (string | number | boolean)[]): unknown {
    return values;
  }

  whereIn(query: Knex.QueryBuilder, column: string, list: Knex.Value): void {
    query.whereRaw('?? = any(?)', [column, list]);
  }

  classify(error: unknown): FailureKind {
    return classifyPostgres(error);
  }

  watch(changed: (change?: Change) => void, options: WatchOptions): ChangeWatch {
    return this.#listener.subscribe(changed, options);
  }

  async close(): Promise<void> {
    await this.#listener.close();
    for (const lane of [...this.#reads, this.#writes]) await lane.close();
  }

  #mayNotPrepare(cause: unknown): InvalidConfiguration {
    const { schema } = this.#place;
    return new InvalidConfiguration(`${this.label} does not let its user prepare it`, {
      expected: `a user who may create tables in the schema ${schema}`,
      remedy: `as an administrator: create schema ${schema} authorization <the user>; or let one prepare it`,
      cause,
    });
  }

  async #checkEncoding(knex: Knex): Promise<void> {
    const { rows } = (await knex.raw('SHOW server_encoding')) as { rows: { server_encoding: string }[] };
    if (rows[0]?.server_encoding === 'UTF8') return;
    throw new InvalidConfiguration(`${this.label} keeps texts in ${rows[0]?.server_encoding}`, {
      expected: 'a database in UTF8',
      remedy: "create database … encoding 'UTF8' template template0",
    });
  }

  async #makeSchema(knex: Knex): Promise<void> {
    const { schema } = this.#place;
    // Asked first: who may not create one can still use one that an administrator has made.
    if ((await knex('pg_catalog.pg_namespace').where({ nspname: schema })).length === 0) {
      await knex.raw('create schema ??', [schema]);
      return;
    }
    if (await knex.schema.hasTable(MIGRATIONS_TABLE)) return;
    for (const table of TABLE_NAMES) {
      if (!(await knex.schema.hasTable(table))) continue;
      throw new InvalidConfiguration(`${this.label} has a table ${schema}.${table} of another application`, {
        expected: 'a schema of its own',
        remedy: 'name another one: postgres://…?schema=changeover',
      });
    }
  }
}

/** Texts compare by their characters' numbers, as in every other storage, and not by the database's language. */
async function orderTextsByCharacter(knex: Knex): Promise<void> {
  const columns = (await knex('information_schema.columns')
    .select('table_name', 'column_name')
    .whereRaw('table_schema = current_schema()')
    .whereIn('table_name', [...TABLE_NAMES])
    .whereIn('data_type', ['text', 'character varying'])
    .whereNull('collation_name')) as { table_name: string; column_name: string }[];
  for (const { table_name, column_name } of columns) {
    await knex.raw('alter table ?? alter column ?? type text collate "C"', [table_name, column_name]);
  }
}
