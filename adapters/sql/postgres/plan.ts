import type { KeyColumn, Layout } from '../layout.ts';
import { type PgTable, quote } from './catalog.ts';
import { type ReadCell, readerOf } from './cell.ts';

/** How one table is read and written: names, types and orders, made once. */
export interface Plan {
  readonly layout: Layout;
  readonly table: PgTable;
  /** The tables, with their schema. */
  readonly records: string;
  readonly stamps: string;
  /**
   * The key columns in the order of the unique index, which is that of scans and of the stamp table. Text is scanned in
   * the order of its own collation, so that the index serves; only lists are in the order of bytes.
   */
  readonly scanKeys: readonly KeyColumn[];
  /** Places of {@link Plan.scanKeys} among the key's fields. */
  readonly scanOrder: readonly number[];
  /** Columns that INSERT finds another record by; all of the key, or `shared` if a part of it is unique already. */
  readonly arbiter: readonly string[];
  readonly shared: boolean;
  /** Places in a row of the columns that are not of the key. */
  readonly changing: readonly number[];
  /** What parameters of a column are cast to. */
  cast(column: string): string;
  /** How cells of a column are read. */
  reader(column: string): ReadCell;
}

/** The columns of the best unique index: one over all of the key rather than a part of it. */
function arbiterOf({ indexes }: PgTable, keys: readonly KeyColumn[]): readonly string[] {
  const names = new Set(keys.map(({ name }) => name));
  const usable = indexes.map(({ columns }) => columns).filter((columns) => columns.every((name) => names.has(name)));
  return usable.find((columns) => columns.length === names.size) ?? (usable[0] as readonly string[]);
}

/** A stamp table beside its table: without the schema that its name may begin with. */
const besideName = (stampTable: string, { schema }: PgTable): string =>
  stampTable.startsWith(`${schema}.`) ? stampTable.slice(schema.length + 1) : stampTable;

export function makePlan(layout: Layout, table: PgTable): Plan {
  const { keys } = layout;
  const arbiter = arbiterOf(table, keys);
  const rank = ({ name }: KeyColumn): number => (arbiter.includes(name) ? arbiter.indexOf(name) : arbiter.length);
  const scanKeys = keys.toSorted((a, b) => rank(a) - rank(b));
  const columns = new Map(table.columns.map((column) => [column.name, column]));
  const keyNames = new Set(keys.map(({ name }) => name));
  return {
    layout,
    table,
    records: `${quote(table.schema)}.${quote(table.name)}`,
    stamps: `${quote(table.schema)}.${quote(besideName(layout.stampTable, table))}`,
    scanKeys,
    scanOrder: scanKeys.map((column) => keys.indexOf(column)),
    arbiter,
    shared: arbiter.length < keys.length,
    changing: layout.names.flatMap((name, i) => (keyNames.has(name) ? [] : [i])),
    cast: (column) => columns.get(column)?.type.cast ?? 'text',
    reader: (column) => readerOf(columns.get(column)?.type.name ?? ''),
  };
}
