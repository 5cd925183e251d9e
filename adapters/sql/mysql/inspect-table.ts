import type { Finding } from '../../../src/core/store.ts';
import { problem, risk } from '../findings.ts';
import type { Layout } from '../layout.ts';
import { isBytewise } from './column-type.ts';
import type { Select } from './describe.ts';
import { literal, quote } from './literal.ts';

const SILENT_ACTIONS = new Set(['CASCADE', 'SET NULL', 'SET DEFAULT']);
const same = (a: string, b: string): boolean => a.toLowerCase() === b.toLowerCase();
const text = (cell: unknown): string => (cell === null || cell === undefined ? '' : String(cell));

/** What the table's own rules may do to mirrored writes. */
export async function tableFindings(select: Select, layout: Layout, mariadb: boolean): Promise<readonly Finding[]> {
  const looks = [engine, requiredColumns, uniqueIndexes, ownForeignKeys, foreignKeysOfOthers, triggers, events];
  const found: Finding[] = [];
  for (const look of looks) found.push(...(await look(select, layout)));
  found.push(...(await checks(select, layout, mariadb)));
  return found;
}

const here = (layout: Layout, schema = 'TABLE_SCHEMA', table = 'TABLE_NAME'): string =>
  `${schema} = DATABASE() AND ${table} = ${literal(layout.table)}`;

async function engine(select: Select, layout: Layout): Promise<readonly Finding[]> {
  const [[name] = []] = await select(`SELECT ENGINE FROM information_schema.TABLES WHERE ${here(layout)}`);
  if (text(name) === 'InnoDB') return [];
  const message = `the table's engine is ${text(name)}, which has no transactions: stamp and record would come apart`;
  return [problem('topology', 'engine', message, `ALTER TABLE ${quote(layout.table)} ENGINE = InnoDB;`)];
}

/** Columns that no field fills, and that must be filled. */
async function requiredColumns(select: Select, layout: Layout): Promise<readonly Finding[]> {
  const columns = await select(
    `SELECT COLUMN_NAME, EXTRA, GENERATION_EXPRESSION FROM information_schema.COLUMNS WHERE ${here(layout)} AND IS_NULLABLE = 'NO' AND COLUMN_DEFAULT IS NULL ORDER BY ORDINAL_POSITION`,
  );
  return columns.flatMap(([name, extra, generation]) => {
    const column = text(name);
    const filled = /auto_increment|default_generated/i.test(text(extra)) || text(generation) !== '';
    if (filled || layout.names.some((known) => same(known, column))) return [];
    const message = `no field is held in the column "${column}", which is NOT NULL without a default: every insert fails`;
    const remedy = 'name the column in `columns`, or give it a default';
    return [problem('check', `not-null.${column}`, message, remedy)];
  });
}

async function uniqueIndexes(select: Select, layout: Layout): Promise<readonly Finding[]> {
  const rows = await select(
    'SELECT s.INDEX_NAME, s.COLUMN_NAME, s.SUB_PART, c.COLLATION_NAME FROM information_schema.STATISTICS AS s ' +
      'LEFT JOIN information_schema.COLUMNS AS c ON c.TABLE_SCHEMA = s.TABLE_SCHEMA AND c.TABLE_NAME = s.TABLE_NAME AND c.COLUMN_NAME = s.COLUMN_NAME ' +
      `WHERE ${here(layout, 's.TABLE_SCHEMA', 's.TABLE_NAME')} AND s.NON_UNIQUE = 0 ORDER BY s.INDEX_NAME, s.SEQ_IN_INDEX`,
  );
  const found: Finding[] = [];
  for (const [index, columns] of Map.groupBy(rows, ([name]) => text(name))) {
    const withKey = layout.keys.every((key) =>
      columns.some(([, name, part]) => part === null && same(text(name), key.name)),
    );
    const collations = columns
      .filter(([, name]) => layout.keys.some((key) => same(key.name, text(name))))
      .map(([, , , collation]) => (collation === null ? null : text(collation)))
      .filter((collation) => collation !== null && !isBytewise(collation));
    // It tells apart whatever the key tells apart.
    if (withKey && collations.length === 0) continue;
    const list = columns.map(([, name]) => (name === null ? '(an expression)' : text(name))).join(', ');
    const what = withKey
      ? `the unique index over (${list}) takes keys for equal that changeover tells apart (${collations.join(', ')}): the second of two such records is refused`
      : `two records may not be equal in (${list}): the follower refuses one of them while both stores are not at the same point`;
    const table = quote(layout.table);
    const remedy = withKey
      ? `ALTER TABLE ${table} MODIFY … COLLATE a collation by bytes (utf8mb4_0900_bin, utf8mb4_nopad_bin), or accept it where no such keys exist`
      : index === 'PRIMARY'
        ? `ALTER TABLE ${table} DROP PRIMARY KEY;`
        : `ALTER TABLE ${table} DROP INDEX ${quote(index)};`;
    found.push(risk('unique', index, what, remedy));
  }
  return found;
}

const FOREIGN_KEYS =
  'SELECT r.CONSTRAINT_NAME, r.TABLE_NAME, r.REFERENCED_TABLE_NAME, r.UPDATE_RULE, r.DELETE_RULE, ' +
  '(SELECT GROUP_CONCAT(k.COLUMN_NAME ORDER BY k.ORDINAL_POSITION) FROM information_schema.KEY_COLUMN_USAGE AS k ' +
  'WHERE k.CONSTRAINT_SCHEMA = r.CONSTRAINT_SCHEMA AND k.CONSTRAINT_NAME = r.CONSTRAINT_NAME AND k.TABLE_NAME = r.TABLE_NAME) ' +
  'FROM information_schema.REFERENTIAL_CONSTRAINTS AS r';

/** What holds a record by another table's row. */
async function ownForeignKeys(select: Select, layout: Layout): Promise<readonly Finding[]> {
  const where = here(layout, 'r.CONSTRAINT_SCHEMA', 'r.TABLE_NAME');
  const keys = await select(`${FOREIGN_KEYS} WHERE ${where} ORDER BY r.CONSTRAINT_NAME`);
  return keys.flatMap(([name, , parent, onUpdate, onDelete, columns]) => {
    const remedy = `ALTER TABLE ${quote(layout.table)} DROP FOREIGN KEY ${quote(text(name))};`;
    const refuses = `a record whose (${text(columns)}) has no row in "${text(parent)}" is refused, and so is one that comes before it`;
    const actions = [
      ...(SILENT_ACTIONS.has(text(onDelete)) ? [`ON DELETE ${text(onDelete)}`] : []),
      ...(SILENT_ACTIONS.has(text(onUpdate)) ? [`ON UPDATE ${text(onUpdate)}`] : []),
    ];
    const changes = `a change of "${text(parent)}" changes records behind the repository's back (${actions.join(', ')}): the other store does not learn of it`;
    return [
      risk('foreign-key', text(name), refuses, remedy),
      ...(actions.length === 0 ? [] : [risk('cascade', text(name), changes, remedy)]),
    ];
  });
}

/** What another table's rows do when a record is deleted. */
async function foreignKeysOfOthers(select: Select, layout: Layout): Promise<readonly Finding[]> {
  const where = here(layout, 'r.UNIQUE_CONSTRAINT_SCHEMA', 'r.REFERENCED_TABLE_NAME');
  const keys = await select(`${FOREIGN_KEYS} WHERE ${where} ORDER BY r.TABLE_NAME, r.CONSTRAINT_NAME`);
  return keys.map(([constraint, child, , , onDelete]) => {
    const name = `${text(child)}.${text(constraint)}`;
    const remedy = `ALTER TABLE ${quote(text(child))} DROP FOREIGN KEY ${quote(text(constraint))};`;
    return SILENT_ACTIONS.has(text(onDelete))
      ? risk('cascade', name, `a delete changes "${text(child)}" too (ON DELETE ${text(onDelete)})`, remedy)
      : risk('foreign-key', name, `a delete is refused while rows of "${text(child)}" refer to the record`, remedy);
  });
}

async function checks(select: Select, layout: Layout, mariadb: boolean): Promise<readonly Finding[]> {
  const table = literal(layout.table);
  // MariaDB has constraints of columns too, with the column's name, and keeps JSON by one of them.
  const rows = mariadb
    ? await select(
        `SELECT CONSTRAINT_NAME, CHECK_CLAUSE, LEVEL = 'Column' FROM information_schema.CHECK_CONSTRAINTS WHERE CONSTRAINT_SCHEMA = DATABASE() AND TABLE_NAME = ${table} AND CHECK_CLAUSE NOT LIKE 'json_valid(%' ORDER BY 1`,
      )
    : await select(
        'SELECT c.CONSTRAINT_NAME, c.CHECK_CLAUSE, 0 FROM information_schema.CHECK_CONSTRAINTS AS c JOIN information_schema.TABLE_CONSTRAINTS AS t ' +
          'ON t.CONSTRAINT_SCHEMA = c.CONSTRAINT_SCHEMA AND t.CONSTRAINT_NAME = c.CONSTRAINT_NAME ' +
          `WHERE t.CONSTRAINT_SCHEMA = DATABASE() AND t.TABLE_NAME = ${table} AND t.CONSTRAINT_TYPE = 'CHECK' AND t.ENFORCED = 'YES' ORDER BY 1`,
      );
  return rows.map(([name, clause, ofColumn]) => {
    const remedy =
      Number(ofColumn) === 1
        ? `ALTER TABLE ${quote(layout.table)} MODIFY ${quote(text(name))} … without its CHECK`
        : `ALTER TABLE ${quote(layout.table)} DROP CONSTRAINT ${quote(text(name))};`;
    return risk('check', text(name), `a record is refused unless ${text(clause)}`, remedy);
  });
}

async function triggers(select: Select, layout: Layout): Promise<readonly Finding[]> {
  const rows = await select(
    `SELECT TRIGGER_NAME FROM information_schema.TRIGGERS WHERE ${here(layout, 'EVENT_OBJECT_SCHEMA', 'EVENT_OBJECT_TABLE')} ORDER BY TRIGGER_NAME`,
  );
  return rows.map(([name]) => {
    const message = 'it runs for every mirrored write, and may change or refuse it';
    return risk('trigger', text(name), message, `DROP TRIGGER ${quote(text(name))};`);
  });
}

/** Statements that the server runs by itself, which no repository sees (R14). */
async function events(select: Select, layout: Layout): Promise<readonly Finding[]> {
  const rows = await select(
    `SELECT EVENT_NAME FROM information_schema.EVENTS WHERE EVENT_SCHEMA = DATABASE() AND STATUS = 'ENABLED' AND LOCATE(${literal(layout.table)}, EVENT_DEFINITION) > 0 ORDER BY EVENT_NAME`,
  );
  return rows.map(([name]) => {
    const message = `the server runs it by itself, and it names "${layout.table}": what it changes the other store does not learn`;
    return risk('ttl', `event.${text(name)}`, message, `ALTER EVENT ${quote(text(name))} DISABLE;`);
  });
}
