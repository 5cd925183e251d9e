import { constants } from 'node:fs';
import { access, readFile, realpath } from 'node:fs/promises';
import { dirname } from 'node:path';
import { networkMount } from '../../../src/core/network-mount.ts';
import type { Finding, Inspection } from '../../../src/core/store.ts';
import type { Layout } from '../layout.ts';
import { checkConstraints } from './check-constraints.ts';
import type { SqliteConnection } from './connection.ts';
import { quote } from './quote.ts';

const risk = (kind: Finding['kind'], name: string, message: string, remedy: string): Finding => ({
  name: `${kind}:${name}`,
  kind,
  level: 'risk',
  message,
  remedy,
});
const problem = (kind: Finding['kind'], name: string, message: string, remedy: string): Finding => ({
  ...risk(kind, name, message, remedy),
  level: 'problem',
});

const ANEW = (what: string): string => `SQLite cannot drop it: make the table anew without ${what}`;
/** An unnamed CHECK is named by what it says. */
const LONGEST_NAME = 60;
const SILENT_ACTIONS = new Set(['CASCADE', 'SET NULL', 'SET DEFAULT']);
const same = (a: string, b: string): boolean => a.toLowerCase() === b.toLowerCase();

/** What a look at an SQLite file and one of its tables finds. Changes nothing. */
export async function inspectSqlite(
  connection: SqliteConnection,
  filename: string,
  layout: Layout | null,
): Promise<Inspection> {
  const place = await placeFindings(filename);
  return connection.read(() => {
    const [version] = connection.get('SELECT sqlite_version()') ?? [];
    const findings = [
      ...place,
      ...journalFindings(connection),
      ...(layout === null ? [] : tableFindings(connection, layout)),
    ];
    return { server: `SQLite ${version}`, findings: named(findings) };
  });
}

const tableFindings = (connection: SqliteConnection, layout: Layout): readonly Finding[] => [
  ...requiredColumns(connection, layout),
  ...uniqueFindings(connection, layout),
  ...ownForeignKeys(connection, layout),
  ...foreignKeysOfOthers(connection, layout),
  ...checkFindings(connection, layout),
  ...triggerFindings(connection, layout),
];

/** Names are unique: what has no name of its own and is there twice gets a number. */
function named(findings: readonly Finding[]): readonly Finding[] {
  const seen = new Map<string, number>();
  return findings.map((finding) => {
    const times = (seen.get(finding.name) ?? 0) + 1;
    seen.set(finding.name, times);
    return times === 1 ? finding : { ...finding, name: `${finding.name}#${times}` };
  });
}

async function placeFindings(filename: string): Promise<readonly Finding[]> {
  const path = await realpath(filename).catch(() => filename);
  const mounts = await readFile('/proc/self/mounts', 'utf8').catch(() => '');
  const type = networkMount(path, mounts);
  const found: Finding[] = [];
  if (type !== null) {
    const message = `the file lies on a network file system (${type}), where its locks cannot be trusted`;
    found.push(problem('topology', 'network-file-system', message, 'move the file to a local disk'));
  }
  for (const [name, place] of [
    ['file', path],
    ['folder', dirname(path)],
  ] as const) {
    const writable = await access(place, constants.W_OK).then(
      () => true,
      () => false,
    );
    if (writable) continue;
    const message = `this process may not write to the ${name} of the database`;
    found.push(problem('permission', name, message, `let the user of this process write to the ${name}`));
  }
  return found;
}

function journalFindings(connection: SqliteConnection): readonly Finding[] {
  const [mode] = connection.get('PRAGMA journal_mode') ?? [];
  if (mode === 'wal') return [];
  const message = `the journal mode is ${mode}, in which readers and writers wait for each other; prepare sets WAL`;
  return [{ name: 'topology:journal-mode', kind: 'topology', level: 'info', message, remedy: '' }];
}

/** Columns that no field fills, and that must be filled. */
function requiredColumns(connection: SqliteConnection, { table, names }: Layout): readonly Finding[] {
  const columns = connection.all('SELECT name, "notnull", dflt_value, pk, type, hidden FROM pragma_table_xinfo(?)', [
    table,
  ]);
  return columns.flatMap(([name, notNull, fallback, pk, type, hidden]) => {
    const column = String(name);
    const filledIn = pk !== 0n && same(String(type), 'INTEGER');
    const required = notNull === 1n && fallback === null && hidden === 0n && !filledIn;
    if (!required || names.some((known) => same(known, column))) return [];
    const message = `no field is held in the column "${column}", which is NOT NULL without a default: every insert fails`;
    return [problem('check', `not-null.${column}`, message, `name the column in \`columns\`, or give it a default`)];
  });
}

function uniqueFindings(connection: SqliteConnection, layout: Layout): readonly Finding[] {
  const { table, names, keys } = layout;
  const found: Finding[] = [];
  const indexes = connection.all('SELECT name, origin, partial FROM pragma_index_list(?) WHERE "unique" = 1', [table]);
  for (const [index, origin, partial] of indexes) {
    const columns = connection
      .all('SELECT name, coll FROM pragma_index_xinfo(?) WHERE key = 1', [index])
      .map(([name, coll]) => ({ name: name === null ? null : String(name), bytewise: coll === 'BINARY' }));
    const withKey = keys.every(({ name }) => columns.some((column) => column.name !== null && same(column.name, name)));
    const exact = columns.every(({ name, bytewise }) => bytewise || !keys.some((key) => same(key.name, name ?? '')));
    // It tells apart whatever the key tells apart.
    if (withKey && exact) continue;
    const list = columns.map(({ name }) => name ?? 'an expression').join(', ');
    const what = withKey
      ? `the unique index over (${list}) takes keys for equal that changeover tells apart (its collation is not BINARY)`
      : `two records may not be equal in (${list})${partial === 1n ? ' where the index says so' : ''}: where one gives its value up and another takes it, the follower may see the second first and refuse it`;
    const own = origin === 'c';
    const name = own ? String(index) : origin === 'pk' ? 'primary-key' : list.replaceAll(', ', ',');
    const remedy = own
      ? `DROP INDEX ${quote(String(index))};`
      : ANEW(origin === 'pk' ? 'that key' : `UNIQUE (${list})`);
    found.push(risk('unique', name, what, remedy));
  }
  const [rowid] = connection.all("SELECT name FROM pragma_table_xinfo(?) WHERE pk = 1 AND upper(type) = 'INTEGER'", [
    table,
  ]);
  const column = rowid === undefined ? '' : String(rowid[0]);
  const held = names.some((name) => same(name, column));
  if (held && !(keys.length === 1 && same(keys[0]?.name ?? '', column)) && onlyPrimary(connection, table)) {
    const message = `two records may not be equal in (${column}), which is the primary key and not the migration's`;
    found.push(risk('unique', 'primary-key', message, ANEW('that key')));
  }
  return found;
}

/** An INTEGER PRIMARY KEY of one column is the rowid, and has no index. */
function onlyPrimary(connection: SqliteConnection, table: string): boolean {
  const [columns] = connection.get('SELECT count(*) FROM pragma_table_xinfo(?) WHERE pk > 0', [table]) ?? [];
  const indexed = connection.all("SELECT 1 FROM pragma_index_list(?) WHERE origin = 'pk'", [table]);
  return columns === 1n && indexed.length === 0;
}

interface ForeignKey {
  readonly parent: string;
  readonly columns: string;
  readonly onUpdate: string;
  readonly onDelete: string;
}

function foreignKeys(connection: SqliteConnection, table: string): readonly ForeignKey[] {
  const rows = connection.all(
    'SELECT id, "table", "from", on_update, on_delete FROM pragma_foreign_key_list(?) ORDER BY id, seq',
    [table],
  );
  return [...Map.groupBy(rows, ([id]) => id).values()].map((columns) => {
    const [, parent, , onUpdate, onDelete] = columns[0] ?? [];
    return {
      parent: String(parent),
      columns: columns.map(([, , from]) => String(from)).join(','),
      onUpdate: String(onUpdate),
      onDelete: String(onDelete),
    };
  });
}

const enforced = (connection: SqliteConnection): boolean => connection.get('PRAGMA foreign_keys')?.[0] === 1n;

/** What holds a record by another table's row. */
function ownForeignKeys(connection: SqliteConnection, { table }: Layout): readonly Finding[] {
  const on = enforced(connection);
  return foreignKeys(connection, table).flatMap(({ parent, columns, onUpdate, onDelete }) => {
    const anew = ANEW(`the foreign key of (${columns})`);
    const refuses = `a record whose (${columns}) has no row in "${parent}" is refused, and so is one that comes before it`;
    const key = risk('foreign-key', columns, refuses, anew);
    const actions = [
      ...(SILENT_ACTIONS.has(onDelete) ? [`ON DELETE ${onDelete}`] : []),
      ...(SILENT_ACTIONS.has(onUpdate) ? [`ON UPDATE ${onUpdate}`] : []),
    ];
    const changes = `a change of "${parent}" changes records behind the repository's back (${actions.join(', ')}): the other store does not learn of it`;
    return [
      on ? key : { ...key, level: 'info' as const, message: `${refuses}, where foreign keys are enforced`, remedy: '' },
      ...(actions.length === 0 ? [] : [risk('cascade', columns, changes, anew)]),
    ];
  });
}

/** What another table's rows do when a record is deleted. */
function foreignKeysOfOthers(connection: SqliteConnection, { table }: Layout): readonly Finding[] {
  if (!enforced(connection)) return [];
  const tables = connection.all("SELECT name FROM sqlite_master WHERE type = 'table'").map(([name]) => String(name));
  return tables
    .filter((child) => !same(child, table))
    .flatMap((child) =>
      foreignKeys(connection, child)
        .filter(({ parent }) => same(parent, table))
        .map(({ columns, onDelete }) => {
          const name = `${child}.${columns}`;
          const anew = `make the table "${child}" anew without the foreign key of (${columns})`;
          return SILENT_ACTIONS.has(onDelete)
            ? risk('cascade', name, `a delete changes "${child}" too (ON DELETE ${onDelete})`, anew)
            : risk('foreign-key', name, `a delete is refused while rows of "${child}" refer to the record`, anew);
        }),
    );
}

function checkFindings(connection: SqliteConnection, { table }: Layout): readonly Finding[] {
  const [sql] =
    connection.get("SELECT sql FROM sqlite_master WHERE type = 'table' AND lower(name) = lower(?)", [table]) ?? [];
  return checkConstraints(String(sql ?? '')).map(({ name, expression }) =>
    risk(
      'check',
      name ?? expression.slice(0, LONGEST_NAME),
      `a record is refused unless ${expression}`,
      ANEW(`the CHECK${name === null ? '' : ` "${name}"`}`),
    ),
  );
}

function triggerFindings(connection: SqliteConnection, { table }: Layout): readonly Finding[] {
  const sql = "SELECT name FROM sqlite_master WHERE type = 'trigger' AND lower(tbl_name) = lower(?) ORDER BY name";
  return connection
    .all(sql, [table])
    .map(([name]) =>
      risk(
        'trigger',
        String(name),
        'it runs for every mirrored write, and may change or refuse it',
        `DROP TRIGGER ${quote(String(name))};`,
      ),
    );
}
