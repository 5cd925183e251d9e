import type { Knex } from 'knex';
import type { Change } from '../core/control-client.ts';
import {
  type AnyColumnKind,
  checkCell,
  checkPatch,
  checkRaise,
  kindOf,
  kindsOf,
  RULES,
  type TableName,
} from './columns.ts';
import { columnTests, planPage } from './conditions.ts';
import type { ControlDialect, Outcome, Session } from './control-dialect.ts';
import { Slots } from './statement-plans.ts';
import type { Page, Tables, Transaction, UpdateOptions, Where } from './storage.ts';

type Cells = Record<string, unknown>;
type Scalar = string | number | boolean;

const snake = (name: string): string => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

interface Column {
  readonly field: string;
  /** As the database calls it. */
  readonly name: string;
  readonly kind: AnyColumnKind;
}

const layouts = new Map<TableName, readonly Column[]>();

function layoutOf(table: TableName): readonly Column[] {
  let layout = layouts.get(table);
  if (layout === undefined) {
    layout = [...kindsOf(table)].map(([field, kind]) => ({ field, name: snake(field), kind }));
    layouts.set(table, layout);
  }
  return layout;
}

function encode(dialect: ControlDialect, kind: AnyColumnKind, value: unknown): unknown {
  if (value === null) return null;
  if (kind.startsWith('json')) return JSON.stringify(value);
  return typeof value === 'string' ? dialect.encodeText(value) : value;
}

function decode(dialect: ControlDialect, kind: AnyColumnKind, value: unknown): unknown {
  if (value === null || value === undefined) return null;
  if (kind.startsWith('json')) return JSON.parse(String(value));
  if (kind.startsWith('number')) return Number(value);
  return kind.startsWith('boolean') ? Boolean(value) : dialect.decodeText(String(value));
}

/** A condition as it is built: what distinguishes its text from others, and how it is put into a query. */
interface Conditions {
  readonly shape: string;
  apply(query: Knex.QueryBuilder): Knex.QueryBuilder;
}

/** One transaction over knex; the same for every dialect. */
export class KnexTransaction implements Transaction {
  readonly #session: Session;
  readonly #dialect: ControlDialect;
  readonly #readOnly: boolean;
  #over = false;
  #change: Change | null = null;

  constructor(session: Session, dialect: ControlDialect, readOnly: boolean) {
    this.#session = session;
    this.#dialect = dialect;
    this.#readOnly = readOnly;
  }

  async insert<T extends keyof Tables>(table: T, row: Tables[T]): Promise<number> {
    this.#writing(table);
    const { given } = RULES[table];
    const slots = new Slots();
    const encoded = this.#encodeRow(table, row, slots);
    const { rows } = await this.#run(`insert ${table}`, slots, (knex) => {
      const query = knex(this.#dialect.tableName(table)).insert(encoded);
      return given ? query.returning('id') : query;
    });
    return given ? Number(rows[0]?.['id']) : 0;
  }

  async insertMany<T extends keyof Tables>(table: T, rows: readonly Tables[T][]): Promise<void> {
    if (rows.length === 0) return;
    this.#writing(table);
    for (let i = 0; i < rows.length; i += this.#dialect.insertBatch) {
      const slots = new Slots();
      const batch = rows.slice(i, i + this.#dialect.insertBatch).map((row) => this.#encodeRow(table, row, slots));
      await this.#run(`insert ${table} ${batch.length}`, slots, (knex) =>
        knex(this.#dialect.tableName(table)).insert(batch),
      );
    }
  }

  async select<T extends keyof Tables, C extends keyof Tables[T] = keyof Tables[T]>(
    table: T,
    where: Where<Tables[T]>,
    page?: Page<Tables[T], C>,
  ): Promise<Pick<Tables[T], C>[]> {
    const { primary } = RULES[table];
    const { column, descending, limit } = planPage(table, primary, page);
    const direction = descending ? 'desc' : 'asc';
    const slots = new Slots();
    const conditions = this.#conditions(table, where, slots);
    const most = limit === null ? null : slots.take(limit);
    const wanted = page?.columns?.map((field) => ({ field, name: snake(field), kind: kindOf(table, field) }));
    const shape = `select ${table} ${wanted?.map(({ field }) => field)} ${conditions.shape} ${column} ${direction} ${most !== null}`;
    const { rows } = await this.#run(shape, slots, (knex) => {
      const names = wanted?.map(({ name }) => name) ?? ['*'];
      const query = conditions.apply(knex(this.#dialect.tableName(table)).select(names));
      this.#dialect.orderBy(query, snake(column), direction, kindOf(table, column).endsWith('?'));
      if (column !== primary) query.orderBy(snake(primary), direction);
      if (most !== null) query.limit(most);
      return query;
    });
    return rows.map((row) => {
      const decoded: Cells = {};
      for (const { field, name, kind } of wanted ?? layoutOf(table)) {
        decoded[field] = decode(this.#dialect, kind, row[name]);
      }
      return decoded as unknown as Pick<Tables[T], C>;
    });
  }

  async count<T extends keyof Tables>(table: T, where: Where<Tables[T]>): Promise<number> {
    const slots = new Slots();
    const conditions = this.#conditions(table, where, slots);
    const { rows } = await this.#run(`count ${table} ${conditions.shape}`, slots, (knex) =>
      conditions.apply(knex(this.#dialect.tableName(table)).count({ rows: '*' })),
    );
    return Number(rows[0]?.['rows']);
  }

  async update<T extends keyof Tables>(
    table: T,
    where: Where<Tables[T]>,
    patch: Partial<Tables[T]>,
    options: UpdateOptions<Tables[T]> = {},
  ): Promise<number> {
    const { raise = {}, provided } = options;
    const cells = checkPatch(table, patch);
    const raised = checkRaise(table, patch, raise);
    if (cells.length + raised.length === 0) return this.count(table, where);
    this.#writing(table, !cells.some(([column]) => column === 'document'));
    const slots = new Slots();
    const slot = ([column, value]: [column: string, value: unknown]): [name: string, slot: number] => [
      snake(column),
      slots.take(encode(this.#dialect, kindOf(table, column), value)),
    ];
    const set = cells.map(slot);
    const lifted = raised.map(slot);
    const conditions = this.#conditions(table, where, slots);
    const proviso = provided === undefined ? null : this.#conditions(provided.table, provided.where, slots);
    const names = (all: readonly [name: string, slot: number][]): string => all.map(([name]) => name).join();
    const shape = `update ${table} ${names(set)} ${names(lifted)} ${conditions.shape} ${provided?.table} ${proviso?.shape}`;
    const { met } = await this.#run(shape, slots, (knex) => {
      const larger = ([name, at]: [name: string, slot: number]): [string, Knex.Raw] => [
        name,
        knex.raw(`${this.#dialect.larger}(??, ?)`, [name, at]),
      ];
      const query = conditions
        .apply(knex(this.#dialect.tableName(table)))
        .update(Object.fromEntries([...set, ...lifted.map(larger)]));
      if (provided === undefined || proviso === null) return query;
      return query.whereExists(proviso.apply(knex(this.#dialect.tableName(provided.table)).select(knex.raw('1'))));
    });
    return met;
  }

  async remove<T extends keyof Tables>(table: T, where: Where<Tables[T]>): Promise<number> {
    this.#writing(table);
    const slots = new Slots();
    const conditions = this.#conditions(table, where, slots);
    const { met } = await this.#run(`remove ${table} ${conditions.shape}`, slots, (knex) =>
      conditions.apply(knex(this.#dialect.tableName(table))).delete(),
    );
    return met;
  }

  /** Makes every later statement fail: it would run outside. */
  end(): void {
    this.#over = true;
  }

  /** What may have changed; null for nothing. */
  get change(): Change | null {
    return this.#change;
  }

  #writing(table: TableName, keepsRulesets = table !== 'migrations'): void {
    if (this.#readOnly) throw new Error(`a read cannot write to ${table}`);
    if (this.#change !== 'rulesets') this.#change = keepsRulesets ? 'other' : 'rulesets';
  }

  #run(shape: string, slots: Slots, build: (knex: Knex) => Knex.QueryBuilder): Promise<Outcome> {
    if (this.#over) throw new Error('the transaction is over');
    return this.#session.run(this.#session.plans.statement(shape, slots, build));
  }

  #encodeRow(table: TableName, row: object, slots: Slots): Record<string, number> {
    const { given, primary } = RULES[table];
    const source = row as Cells;
    const encoded: Record<string, number> = {};
    for (const { field, name, kind } of layoutOf(table)) {
      if (given && field === primary) continue;
      checkCell(table, field, source[field]);
      encoded[name] = slots.take(encode(this.#dialect, kind, source[field]));
    }
    return encoded;
  }

  #conditions(table: TableName, where: object, slots: Slots): Conditions {
    const encoded = (value: unknown): unknown => (typeof value === 'string' ? this.#dialect.encodeText(value) : value);
    const parts = columnTests(table, where).map(({ column, operator, value }) => {
      const name = snake(column);
      if (operator === 'in') {
        const list = value as readonly (Scalar | null)[];
        const scalars = list.filter((one) => one !== null);
        const slot = slots.take(this.#dialect.encodeList(scalars.map(encoded) as Scalar[]));
        return condition(`${name} in ${scalars.length < list.length}`, (query) =>
          query.where((either) => {
            this.#dialect.whereIn(either, name, slot);
            if (scalars.length < list.length) either.orWhereNull(name);
          }),
        );
      }
      if (value === null) {
        return condition(`${name} ${operator} null`, (query) => {
          if (operator === '=') query.whereNull(name);
          else if (operator === '!=') query.whereNotNull(name);
          else query.whereRaw('1 = 0');
        });
      }
      const slot = slots.take(encoded(value));
      return condition(`${name} ${operator}`, (query) => {
        if (operator === '=') query.where(name, slot);
        else if (operator !== '!=') query.where(name, operator, slot);
        else if (!kindOf(table, column).endsWith('?')) query.whereNot(name, slot);
        else query.where((either) => void either.whereNot(name, slot).orWhereNull(name));
      });
    });
    return {
      shape: parts.map(({ shape }) => shape).join(),
      apply(query) {
        for (const part of parts) part.apply(query);
        return query;
      },
    };
  }
}

const condition = (shape: string, apply: (query: Knex.QueryBuilder) => void) => ({ shape, apply });
