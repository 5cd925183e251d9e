import { InvalidConfiguration } from '../../src/core/errors.ts';

/** What a column holds, as the field of a record sees it. */
export type FieldType =
  | 'text'
  | 'integer'
  | 'bigint'
  | 'real'
  | 'boolean'
  | 'json'
  | 'bytes'
  | 'date'
  | 'decimal'
  | 'uuid'
  | 'objectId';

export const FIELD_TYPES: readonly FieldType[] = [
  'text',
  'integer',
  'bigint',
  'real',
  'boolean',
  'json',
  'bytes',
  'date',
  'decimal',
  'uuid',
  'objectId',
];

/** As many as a process can keep busy on a server of a few cores. */
export const DEFAULT_POOL = 10;

/**
 * Where a field is held: a column's name, or with the type that its declaration does not tell, or tells wrongly: a
 * `tinyint(1)` that holds 5 is an `integer`. Times as `text` are `2026-01-31T23:59:59.123Z`, with six digits where a
 * Date would round, and on MySQL with the zeros that its dates may have (`0000-00-00T00:00:00.000Z`); days are `2026-01-31`.
 */
export type ColumnOption = string | { readonly column?: string; readonly type?: FieldType };

/** How a table holds the records of a migration. */
export interface SqlOptions {
  /** The knex client: `better-sqlite3`, `pg`, `mysql2`. */
  readonly client: string;
  /**
   * What knex connects to: for SQLite a path, `sqlite:path` or `{ filename }`, for servers a URL or the driver's
   * settings. It is part of no message and no hash.
   */
  readonly connection: string | Readonly<Record<string, unknown>>;
  /** The records' own table. It must exist; no column is ever added to it. */
  readonly table: string;
  /**
   * The columns of the fields. Columns that are not named here are never read or written; key fields that are not
   * named are held in the column of their own name.
   * @default every column of the table, under its own name and declared type
   */
  readonly columns?: Readonly<Record<string, ColumnOption>>;
  /** A text column that holds, as one JSON object, all fields that have no column of their own. @default none: such fields are rejected */
  readonly document?: string;
  /**
   * What SQL NULL stands for: the value null, or a field that is absent. The other one of the two is kept in the
   * `document` column where that can be (null, as a member of the document), and rejected where it cannot.
   * @default 'absent' with `document`, else 'null'
   */
  readonly nulls?: 'null' | 'absent';
  /** Where stamps and tombstones are held; made by `prepare`, dropped by `finish`. @default `<table>_changeover` */
  readonly stampTable?: string;
  /**
   * Whether `prepare` may set the file's journal mode to WAL, which stays: readers no longer block writers, and the
   * file may be used by processes of one host only. Without it, expect fewer writes a second. Only for SQLite.
   * @default true
   */
  readonly wal?: boolean;
  /**
   * How `document` and JSON columns say what JSON does not know (dates, bytes, bigints, NaN, ObjectIds and so on):
   * `plain` rejects such records by name, `extended` writes MongoDB's Extended JSON, `{ "$date": … }`.
   * @default 'plain'
   */
  readonly json?: 'plain' | 'extended';
  /** The most connections to a database server. Not for SQLite. @default 10 */
  readonly pool?: number;
}

/** A field's place as the options give it; null where the table's declaration decides. */
export interface ResolvedColumn {
  readonly field: string;
  readonly column: string;
  readonly type: FieldType | null;
}

/** {@link SqlOptions}, checked, with the defaults in. */
export interface ResolvedSqlOptions {
  readonly client: string;
  readonly connection: string | Readonly<Record<string, unknown>>;
  readonly table: string;
  readonly columns: readonly ResolvedColumn[] | null;
  readonly document: string | null;
  readonly nulls: 'null' | 'absent';
  readonly stampTable: string;
  readonly wal: boolean;
  readonly json: 'plain' | 'extended';
  readonly pool: number;
}

function wrong(what: string, expected: string): never {
  throw new InvalidConfiguration(`sql: ${what}`, { expected });
}

function name(value: unknown, option: string): string {
  if (typeof value === 'string' && value !== '' && value.isWellFormed() && !value.includes('\0')) return value;
  return wrong(`\`${option}\` is not a name`, 'a non-empty string');
}

function column(field: string, option: unknown): ResolvedColumn {
  if (typeof option === 'string') return { field, column: name(option, `columns.${field}`), type: null };
  if (typeof option !== 'object' || option === null) {
    return wrong(`\`columns.${field}\` says no column`, 'a column name or { column, type }');
  }
  const { column: own = field, type } = option as { readonly column?: unknown; readonly type?: unknown };
  if (type !== undefined && !FIELD_TYPES.some((known) => known === type)) {
    wrong(`\`columns.${field}.type\` is not a type`, `one of ${FIELD_TYPES.join(', ')}`);
  }
  return { field, column: name(own, `columns.${field}.column`), type: (type as FieldType | undefined) ?? null };
}

/** Checks the options and puts the defaults in. @throws InvalidConfiguration names the option, never its value. */
export function resolveSqlOptions(options: SqlOptions): ResolvedSqlOptions {
  const { connection, nulls, wal = true, json = 'plain', pool = DEFAULT_POOL } = options;
  const table = name(options.table, 'table');
  const stampTable = name(options.stampTable ?? `${table}_changeover`, 'stampTable');
  if (stampTable.toLowerCase() === table.toLowerCase()) {
    wrong('`stampTable` is the table itself', 'a table of its own for stamps');
  }
  if (typeof connection !== 'string' && (typeof connection !== 'object' || connection === null)) {
    wrong('`connection` is missing', 'a URL, a path or an object for knex');
  }
  if (nulls !== undefined && nulls !== 'null' && nulls !== 'absent') wrong('`nulls` is unknown', '"null" or "absent"');
  if (typeof wal !== 'boolean') wrong('`wal` is not yes or no', 'true or false');
  if (json !== 'plain' && json !== 'extended') wrong('`json` is unknown', '"plain" or "extended"');
  if (!Number.isInteger(pool) || pool < 1) wrong('`pool` is no number of connections', 'a whole number from 1');
  const document = options.document === undefined ? null : name(options.document, 'document');
  const columns =
    options.columns === undefined
      ? null
      : Object.entries(options.columns).map(([field, option]) => column(field, option));
  const used = [...(columns ?? []).map((each) => each.column), ...(document === null ? [] : [document])];
  const twice = used.find((each, i) => used.findIndex((other) => other.toLowerCase() === each.toLowerCase()) !== i);
  if (twice !== undefined) wrong(`the column "${twice}" is named twice`, 'one field a column');
  return Object.freeze({
    client: name(options.client, 'client'),
    connection,
    table,
    columns,
    document,
    nulls: nulls ?? (document === null ? 'null' : 'absent'),
    stampTable,
    wal,
    json,
    pool,
  });
}
