import type { ColumnDescription, TableDescription } from '../dialect.ts';
import { isBytewise } from './column-type.ts';
import { literal } from './literal.ts';

/** Reads the rows of one statement. */
export type Select = (sql: string) => Promise<readonly (readonly unknown[])[]>;

const text = (cell: unknown): string => (cell === null || cell === undefined ? '' : String(cell));

/** MariaDB says of compressed columns that they are, for itself alone. */
const withoutComments = (declared: string): string => declared.replaceAll(/ ?\/\*.*?\*\//g, '');

/** A table of the connection's database as the server declares it. */
export async function describeTable(select: Select, table: string): Promise<TableDescription | undefined> {
  const there = `TABLE_SCHEMA = DATABASE() AND TABLE_NAME = ${literal(table)}`;
  const [found] = await select(`SELECT TABLE_TYPE FROM information_schema.TABLES WHERE ${there}`);
  if (found === undefined || text(found[0]).includes('VIEW')) return undefined;
  const json = await jsonColumns(select, table);
  const rows = await select(
    'SELECT COLUMN_NAME, COLUMN_TYPE, IS_NULLABLE, EXTRA, CHARACTER_SET_NAME, COLLATION_NAME, GENERATION_EXPRESSION ' +
      `FROM information_schema.COLUMNS WHERE ${there} ORDER BY ORDINAL_POSITION`,
  );
  const columns = rows.map(([name, type, nullable, extra, charset, collation, generation]): ColumnDescription => {
    const text_ = charset === null ? '' : ` CHARACTER SET ${text(charset)} COLLATE ${text(collation)}`;
    return {
      name: text(name),
      declared: json.has(text(name)) ? 'json' : `${withoutComments(text(type))}${text_}`,
      nullable: nullable === 'YES',
      filledIn: text(extra).toLowerCase().includes('auto_increment'),
      generated: text(generation) !== '',
    };
  });
  const indexed = await select(
    `SELECT INDEX_NAME, COLUMN_NAME, SUB_PART FROM information_schema.STATISTICS WHERE ${there} AND NON_UNIQUE = 0 ORDER BY INDEX_NAME, SEQ_IN_INDEX`,
  );
  const indexes = [...Map.groupBy(indexed, ([name]) => text(name)).values()];
  return {
    columns,
    // An index over expressions or beginnings of columns says nothing of whole ones.
    unique: indexes
      .filter((index) => index.every(([, column, part]) => column !== null && part === null))
      .map((index) => index.map(([, column]) => text(column))),
    binary: new Set(rows.filter((row) => isBytewise(row[5] as string | null)).map(([name]) => text(name))),
  };
}

/** MariaDB's JSON is a longtext with a check of its own. */
async function jsonColumns(select: Select, table: string): Promise<ReadonlySet<string>> {
  const [mariadb] = await select(
    "SELECT 1 FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = 'information_schema' AND TABLE_NAME = 'CHECK_CONSTRAINTS' AND COLUMN_NAME = 'LEVEL'",
  );
  if (mariadb === undefined) return new Set();
  const checks = await select(
    `SELECT CONSTRAINT_NAME, CHECK_CLAUSE FROM information_schema.CHECK_CONSTRAINTS WHERE CONSTRAINT_SCHEMA = DATABASE() AND TABLE_NAME = ${literal(table)} AND LEVEL = 'Column'`,
  );
  return new Set(
    checks
      .filter(([name, clause]) => text(clause) === `json_valid(\`${text(name).replaceAll('`', '``')}\`)`)
      .map(([name]) => text(name)),
  );
}
