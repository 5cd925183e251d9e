import type { ColumnDescription, TableDescription } from '../dialect.ts';
import type { PgType } from './columns.ts';
import type { Rows, Step } from './pipeline.ts';

export const quote = (name: string): string => `"${name.replaceAll('"', '""')}"`;

/** A column, with what only this dialect asks. */
export interface PgColumn extends ColumnDescription {
  readonly type: PgType;
  /** The order of its text, the same in two databases where this is the same; null where nobody can tell. */
  readonly order: string | null;
}

/** A unique index over whole columns that is checked at once. */
export interface PgIndex {
  readonly name: string;
  readonly columns: readonly string[];
}

/** A table as the catalog knows it. */
export interface PgTable {
  readonly oid: string;
  readonly schema: string;
  readonly name: string;
  readonly partitioned: boolean;
  readonly columns: readonly PgColumn[];
  readonly indexes: readonly PgIndex[];
  /** Something in the database is checked, or a trigger run, only when a transaction commits. */
  readonly deferring: boolean;
  /** Text columns that sort by their bytes. */
  readonly binary: ReadonlySet<string>;
}

/** Sends statements in one trip; their rows. */
export type Ask = (steps: readonly Step[]) => Promise<readonly Rows[]>;

/** The ways in which a table's name can be meant: as it is, or with its schema before a dot. */
export function referencesOf(table: string): readonly string[] {
  const dot = table.indexOf('.');
  return dot < 0 ? [quote(table)] : [quote(table), `${quote(table.slice(0, dot))}.${quote(table.slice(dot + 1))}`];
}

/** The last: rows of other tables show in it, of which its indexes know nothing. */
const FIND = `SELECT c.oid, n.nspname, c.relname, c.relkind,
    c.relkind = 'r' AND EXISTS (SELECT 1 FROM pg_inherits AS i WHERE i.inhparent = c.oid)
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = to_regclass($1::text)`;

/** Text sorts by its bytes. */
const BINARY = `CASE
      WHEN l.collname IN ('C', 'POSIX', 'ucs_basic', 'pg_c_utf8') AND ln.nspname = 'pg_catalog' THEN true
      WHEN l.collname = 'default' THEN d.datcollate IN ('C', 'POSIX') AND d.datlocprovider = 'c'
        OR d.datlocprovider = 'b' AND coalesce(to_jsonb(d) ->> 'datlocale', '') IN ('C', 'C.UTF-8')
      ELSE false END`;

/** Null where a library does not say its version, but for C.UTF-8 and the like, which never change. */
const VERSION = `coalesce(pg_collation_actual_version(l.oid),
      CASE WHEN coalesce(nullif(l.collcollate, ''), d.datcollate) ILIKE 'C.%' THEN '' END)`;

/** The same locale sorts otherwise in another version of its library. Databases name the parts by their own release. */
const ORDER = `CASE WHEN ${BINARY} THEN 'bytes'
      WHEN l.collname = 'default' THEN (SELECT jsonb_agg(p ORDER BY p.key)::text FROM jsonb_each_text(to_jsonb(d)) AS p
        WHERE p.key ~ '^dat(locprovider|collate|.*locale|icurules)$') || ${VERSION}
      ELSE (to_jsonb(l) - '{oid,collname,collnamespace,collowner,collversion}'::text[])::text || ${VERSION} END`;

/** Domains are followed down to the type that they are made of; a length may come from any of them. */
const COLUMNS = `WITH RECURSIVE base AS (
    SELECT attnum, atttypid AS type, atttypmod AS modifier, attnotnull AS filled
      FROM pg_attribute WHERE attrelid = $1::oid AND attnum > 0 AND NOT attisdropped
    UNION ALL
    SELECT b.attnum, t.typbasetype, CASE WHEN b.modifier < 0 THEN t.typtypmod ELSE b.modifier END,
      b.filled OR t.typnotnull
      FROM base b JOIN pg_type t ON t.oid = b.type WHERE t.typtype = 'd')
  SELECT a.attname,
    format_type(a.atttypid, a.atttypmod) ||
      CASE WHEN l.collname IS NULL OR l.collname = 'default' OR a.attcollation = u.typcollation THEN ''
        ELSE format(' COLLATE %I.%I', ln.nspname, l.collname) END,
    b.filled, a.attgenerated <> '' OR a.attidentity = 'a',
    t.typname, t.typtype = 'e', b.modifier,
    CASE t.typname WHEN 'bpchar' THEN 'bpchar' ELSE format_type(b.type, NULL) END,
    coalesce(l.collisdeterministic, true),
    ${BINARY}, ${ORDER}
  FROM pg_attribute a
    JOIN base b ON b.attnum = a.attnum
    JOIN pg_type t ON t.oid = b.type AND t.typtype <> 'd'
    JOIN pg_type u ON u.oid = a.atttypid
    JOIN pg_database d ON d.datname = current_database()
    LEFT JOIN pg_collation l ON l.oid = a.attcollation
    LEFT JOIN pg_namespace ln ON ln.oid = l.collnamespace
  WHERE a.attrelid = $1::oid ORDER BY a.attnum`;

/** One row a column, the primary key first. */
const INDEXES = `SELECT c.relname, a.attname
  FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
    CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY AS k(attnum, n)
    JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
  WHERE i.indrelid = $1::oid AND i.indisunique AND i.indimmediate AND i.indisvalid
    AND i.indpred IS NULL AND i.indexprs IS NULL AND k.n <= i.indnkeyatts
  ORDER BY i.indisprimary DESC, c.relname, k.n`;

/** Of any table: triggers of this one may write to others. */
const DEFERRING = 'SELECT EXISTS (SELECT 1 FROM pg_trigger WHERE tginitdeferred)';

const isTrue = (cell: string | null | undefined): boolean => cell === 't';

function columnOf(row: readonly (string | null)[]): PgColumn {
  const [name, declared, filled, generated, type, isEnum, modifier, cast, deterministic, , order = null] = row;
  return {
    name: String(name),
    declared: String(declared),
    nullable: !isTrue(filled),
    filledIn: false,
    generated: isTrue(generated),
    order,
    type: {
      name: String(type),
      isEnum: isTrue(isEnum),
      modifier: Number(modifier),
      exact: isTrue(deterministic) && type !== 'citext',
      cast: String(cast),
    },
  };
}

/** The table that a name means, or undefined. */
export async function findTable(ask: Ask, table: string): Promise<PgTable | undefined> {
  const references = referencesOf(table);
  const answers = await ask(references.map((reference) => ({ sql: FIND, values: [reference] })));
  const found = answers.map(([row]) => row).find((row) => row !== undefined && /^[rp]$/.test(String(row[3])));
  if (found === undefined) return undefined;
  const [oid, schema, name, kind] = found.map(String) as [string, string, string, string];
  const [columns = [], indexes = [], deferring = []] = await ask([
    { sql: COLUMNS, values: [oid] },
    { sql: INDEXES, values: [oid] },
    { sql: DEFERRING, values: [] },
  ]);
  const grouped = Map.groupBy(indexes, ([index]) => String(index));
  return {
    oid,
    schema,
    name,
    partitioned: kind === 'p',
    columns: columns.map(columnOf),
    // What is unique in a table is not so together with the tables that inherit from it.
    indexes: isTrue(found[4])
      ? []
      : [...grouped].map(([index, rows]) => ({ name: index, columns: rows.map((row) => String(row[1])) })),
    deferring: isTrue(deferring[0]?.[0]),
    binary: new Set(columns.filter((row) => isTrue(row[9])).map(([column]) => String(column))),
  };
}

/** How the columns of a table are declared, by their names; none where there is no such table. */
export async function declarationsOf(ask: Ask, reference: string): Promise<ReadonlyMap<string, string>> {
  const [[found] = []] = await ask([{ sql: FIND, values: [reference] }]);
  if (found === undefined) return new Map();
  const [columns = []] = await ask([{ sql: COLUMNS, values: [String(found[0])] }]);
  return new Map(columns.map((row) => [String(row[0]), String(row[1])]));
}

/** What the shared code asks of a table. */
export const describeTable = ({ columns, indexes, binary }: PgTable): TableDescription => ({
  columns,
  unique: indexes.map((index) => index.columns),
  binary,
});
