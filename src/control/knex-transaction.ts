import type { Knex } from 'knex';
import type { Change } from '../core/control-client.ts';
import { type AnyColumnKind, checkCell, checkPatch, kindOf, kindsOf, RULES, type TableName } from './columns.ts';
import { columnTests, planPage } from './conditions.ts';
import type { ControlDialect } from './control-dialect.ts';
import type { Page, Tables, Transaction, Where } from './storage.ts';

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

/** One transaction over knex; the same for every dialect. */
export class KnexTransaction implements Transaction {
  readonly #knex: Knex;
  readonly #dialect: ControlDialect;
  readonly #readOnly: boolean;
  #over = false;
  #change: Change | null = null;

  constructor(knex: Knex, dialect: ControlDialect, readOnly: boolean) {
    this.#knex = knex;
    this.#dialect = dialect;
    this.#readOnly = readOnly;
  }

  async insert<T extends keyof Tables>(table: T, row: Tables[T]): Promise<number> {
    this.#writing(table);
    const query = this.#knex(table).insert(this.#encodeRow(table, row));
    if (!RULES[table].given) {
      await query;
      return 0;
    }
    const [inserted] = (await query.returning('id')) as { id: number | string }[];
    return Number(inserted?.id);
  }

  async insertMany<T extends keyof Tables>(table: T, rows: readonly Tables[T][]): Promise<void> {
    if (rows.length === 0) return;
    this.#writing(table);
    const encoded = rows.map((row) => this.#encodeRow(table, row));
    for (let i = 0; i < encoded.length; i += this.#dialect.insertBatch) {
      await this.#knex(table).insert(encoded.slice(i, i + this.#dialect.insertBatch));
    }
  }

  async select<T extends keyof Tables>(
    table: T,
    where: Where<Tables[T]>,
    page?: Page<Tables[T]>,
  ): Promise<Tables[T][]> {
    const { primary } = RULES[table];
    const { column, descending, limit } = planPage(table, primary, page);
    const direction = descending ? 'desc' : 'asc';
    const query = this.#matching(table, where).select('*');
    this.#dialect.orderBy(query, snake(column), direction, kindOf(table, column).endsWith('?'));
    if (column !== primary) query.orderBy(snake(primary), direction);
    if (limit !== null) query.limit(limit);
    const rows = (await query) as Cells[];
    return rows.map((row) => {
      const decoded: Cells = {};
      for (const { field, name, kind } of layoutOf(table)) decoded[field] = decode(this.#dialect, kind, row[name]);
      return decoded as unknown as Tables[T];
    });
  }

  async count<T extends keyof Tables>(table: T, where: Where<Tables[T]>): Promise<number> {
    const [row] = (await this.#matching(table, where).count({ rows: '*' })) as { rows: number | string }[];
    return Number(row?.rows);
  }

  async update<T extends keyof Tables>(table: T, where: Where<Tables[T]>, patch: Partial<Tables[T]>): Promise<number> {
    const cells = checkPatch(table, patch);
    if (cells.length === 0) return this.count(table, where);
    this.#writing(table, cells.length > 0 && !cells.some(([column]) => column === 'document'));
    const encoded = cells.map(([column, value]) => [
      snake(column),
      encode(this.#dialect, kindOf(table, column), value),
    ]);
    return Number(await this.#matching(table, where).update(Object.fromEntries(encoded)));
  }

  async remove<T extends keyof Tables>(table: T, where: Where<Tables[T]>): Promise<number> {
    this.#writing(table);
    return Number(await this.#matching(table, where).delete());
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

  #encodeRow(table: TableName, row: object): Cells {
    if (this.#over) throw new Error('the transaction is over');
    const { given, primary } = RULES[table];
    const source = row as Cells;
    const encoded: Cells = {};
    for (const { field, name, kind } of layoutOf(table)) {
      if (given && field === primary) continue;
      checkCell(table, field, source[field]);
      encoded[name] = encode(this.#dialect, kind, source[field]);
    }
    return encoded;
  }

  #matching(table: TableName, where: object): Knex.QueryBuilder {
    if (this.#over) throw new Error('the transaction is over');
    const query: Knex.QueryBuilder = this.#knex(table);
    const encoded = (value: unknown): unknown => (typeof value === 'string' ? this.#dialect.encodeText(value) : value);
    for (const test of columnTests(table, where)) {
      const { column, operator } = test;
      const value = Array.isArray(test.value) ? test.value.map(encoded) : encoded(test.value);
      const name = snake(column);
      if (operator === 'in') {
        const list = value as readonly (Scalar | null)[];
        const scalars = list.filter((one) => one !== null);
        query.where((either) => {
          this.#dialect.whereIn(either, name, scalars);
          if (scalars.length < list.length) either.orWhereNull(name);
        });
      } else if (operator === '=') {
        if (value === null) query.whereNull(name);
        else query.where(name, value as Scalar);
      } else if (operator === '!=') {
        if (value === null) query.whereNotNull(name);
        else if (!kindOf(table, column).endsWith('?')) query.whereNot(name, value as Scalar);
        else query.where((either) => void either.whereNot(name, value as Scalar).orWhereNull(name));
      } else if (value === null) {
        query.whereRaw('1 = 0');
      } else {
        query.where(name, operator, value as Scalar);
      }
    }
    return query;
  }
}
