import type { Finding, Inspection } from '../../../src/core/store.ts';
import { info, problem, risk, withUniqueNames } from '../findings.ts';
import type { Layout } from '../layout.ts';
import { type Ask, type PgTable, quote } from './catalog.ts';
import type { Rows } from './pipeline.ts';
import { makePlan } from './plan.ts';
import { STANDBY, TO_THE_PRIMARY } from './standby.ts';

/** The first version whose clock reads are exact and whose domains and functions are all that is used. */
const OLDEST = 140_000;
const FAR_OFF_MS = 1_000;

const SERVER = `SELECT current_setting('server_version'), current_setting('server_version_num'), pg_is_in_recovery(),
  current_setting('transaction_read_only'), current_setting('fsync'), current_setting('synchronous_commit'),
  current_database(), current_user`;

const RELATION = `SELECT relpersistence, relrowsecurity AND row_security_active(oid), relreplident,
    EXISTS (SELECT 1 FROM pg_publication_tables WHERE schemaname = $2::text AND tablename = $3::text),
    EXISTS (SELECT 1 FROM pg_index WHERE indrelid = $1::oid AND indisprimary)
  FROM pg_class WHERE oid = $1::oid`;

const PRIVILEGES = `SELECT wanted FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS wanted
  WHERE NOT has_table_privilege(coalesce(to_regclass($1::text)::oid, 0), wanted)`;

const MAY_CREATE = `SELECT to_regclass($1::text) IS NOT NULL, has_schema_privilege($2::text, 'CREATE')`;

const UNIQUE = `SELECT c.relname, k.conname, i.indpred IS NOT NULL, NOT i.indimmediate, i.indisexclusion,
    array_to_string(ARRAY(SELECT pg_get_indexdef(i.indexrelid, n, false)
      FROM generate_series(1, i.indnkeyatts) AS n ORDER BY n), ', '),
    (SELECT count(*) FROM unnest($2::text[]) AS key WHERE key NOT IN (
      SELECT a.attname FROM pg_attribute a
        WHERE a.attrelid = i.indrelid AND a.attnum = ANY ((i.indkey::int2[])[0:i.indnkeyatts - 1])))
  FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
    LEFT JOIN pg_constraint k ON k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x')
  WHERE i.indrelid = $1::oid AND (i.indisunique OR i.indisexclusion) ORDER BY c.relname`;

const CONSTRAINTS = `SELECT k.conname, k.contype, k.conrelid = $1::oid, k.conrelid::regclass::text,
    k.confrelid::regclass::text, k.confdeltype, k.confupdtype, k.condeferrable, pg_get_constraintdef(k.oid)
  FROM pg_constraint k
  WHERE k.contype IN ('c', 'f') AND k.conparentid = 0
    AND (k.conrelid = $1::oid OR k.confrelid = $1::oid
      OR k.contypid IN (SELECT atttypid FROM pg_attribute WHERE attrelid = $1::oid AND attnum > 0))
  ORDER BY k.contype, k.conname`;

const TRIGGERS = `SELECT tgname FROM pg_trigger
  WHERE tgrelid = $1::oid AND NOT tgisinternal AND tgenabled <> 'D' ORDER BY tgname`;

const RULES = `SELECT rulename, ev_type FROM pg_rewrite WHERE ev_class = $1::oid AND rulename <> '_RETURN' ORDER BY rulename`;

const REQUIRED = `SELECT attname FROM pg_attribute
  WHERE attrelid = $1::oid AND attnum > 0 AND NOT attisdropped AND attnotnull AND NOT atthasdef AND attidentity = ''
    AND attname <> ALL ($2::text[]) ORDER BY attnum`;

const ACTIONS: Readonly<Record<string, string>> = { c: 'CASCADE', n: 'SET NULL', d: 'SET DEFAULT' };

type Row = Rows[number];
const yes = (cell: string | null | undefined): boolean => cell === 't';

/** What a look at the server and one of its tables finds. Changes nothing. */
export async function inspectPostgres(
  ask: Ask,
  table: PgTable | undefined,
  layout: Layout | null,
  clockOffsetMs: number,
): Promise<Inspection> {
  const [[server] = []] = await ask([{ sql: SERVER, values: [] }]);
  const findings = [
    ...serverFindings(server ?? []),
    ...clockFindings(clockOffsetMs),
    ...(table === undefined || layout === null ? [] : await tableFindings(ask, table, layout)),
  ];
  return { server: `PostgreSQL ${server?.[0] ?? ''}`, findings: withUniqueNames(findings) };
}

function serverFindings(row: Row): readonly Finding[] {
  const [version, number, recovering, readOnly, fsync, commit, database, user] = row;
  const found: Finding[] = [];
  if (Number(number) < OLDEST) {
    found.push(problem('version', 'server', `PostgreSQL ${version} is too old`, 'upgrade to PostgreSQL 14 or later'));
  }
  if (yes(recovering)) {
    found.push(problem('topology', 'replica', STANDBY, TO_THE_PRIMARY));
  } else if (readOnly === 'on') {
    const remedy = `ALTER ROLE ${quote(String(user))} IN DATABASE ${quote(String(database))} SET default_transaction_read_only = off;`;
    found.push(problem('topology', 'read-only', 'transactions of this user are read-only', remedy));
  }
  if (fsync === 'off' || commit === 'off') {
    const setting = fsync === 'off' ? 'fsync' : 'synchronous_commit';
    found.push(info('topology', setting, `${setting} is off: a crash of the server may lose what it acknowledged`));
  }
  return found;
}

function clockFindings(offsetMs: number): readonly Finding[] {
  if (Math.abs(offsetMs) < FAR_OFF_MS) return [];
  const seconds = Math.round(Math.abs(offsetMs) / 1_000);
  const direction = offsetMs > 0 ? 'ahead of' : 'behind';
  return [
    info(
      'clock',
      'offset',
      `the server's clock is about ${seconds} s ${direction} this machine's; deadlines allow for it`,
    ),
  ];
}

async function tableFindings(ask: Ask, table: PgTable, layout: Layout): Promise<readonly Finding[]> {
  const plan = makePlan(layout, table);
  const { records, stamps } = plan;
  const { oid, schema, name } = table;
  const keyNames = layout.keys.map((key) => key.name);
  const answers = await ask([
    { sql: RELATION, values: [oid, schema, name] },
    { sql: PRIVILEGES, values: [records] },
    { sql: MAY_CREATE, values: [stamps, schema] },
    { sql: UNIQUE, values: [oid, keyNames] },
    { sql: CONSTRAINTS, values: [oid] },
    { sql: TRIGGERS, values: [oid] },
    { sql: RULES, values: [oid] },
    { sql: REQUIRED, values: [oid, layout.names] },
  ]);
  const [
    relation = [],
    denied = [],
    creation = [],
    unique = [],
    constraints = [],
    triggers = [],
    rules = [],
    required = [],
  ] = answers;
  const prepared = yes(creation[0]?.[0]);
  const [stampDenied = []] = prepared ? await ask([{ sql: PRIVILEGES, values: [stamps] }]) : [];
  return [
    ...deniedFindings(records, denied),
    ...deniedFindings(stamps, stampDenied),
    ...(prepared || yes(creation[0]?.[1])
      ? []
      : [
          problem(
            'permission',
            'create',
            `this user may make no table in the schema "${schema}", where stamps belong`,
            `GRANT CREATE ON SCHEMA ${quote(schema)} TO CURRENT_USER; or let another user run what \`changeover prepare --dry-run\` prints`,
          ),
        ]),
    ...relationFindings(records, relation[0] ?? []),
    ...required.map(([column]) =>
      problem(
        'check',
        `not-null.${column}`,
        `no field is held in the column "${column}", which is NOT NULL without a default: every insert fails`,
        `ALTER TABLE ${records} ALTER COLUMN ${quote(String(column))} DROP NOT NULL; or name the column in \`columns\``,
      ),
    ),
    ...unique.flatMap((row) => uniqueFinding(records, schema, row)),
    ...constraints.flatMap((row) => constraintFindings(records, row)),
    ...triggers.map(([trigger]) =>
      risk(
        'trigger',
        String(trigger),
        'it runs for every mirrored write, and may change or refuse it',
        `ALTER TABLE ${records} DISABLE TRIGGER ${quote(String(trigger))};`,
      ),
    ),
    ...rules.map((row) => ruleFinding(records, row)),
    ...columnFindings(table, layout),
  ];
}

const deniedFindings = (table: string, rows: Rows): readonly Finding[] =>
  rows.map(([privilege]) =>
    problem(
      'permission',
      `${String(privilege).toLowerCase()}.${table}`,
      `this user has no ${privilege} on ${table}`,
      `GRANT ${privilege} ON ${table} TO CURRENT_USER;`,
    ),
  );

function relationFindings(
  records: string,
  [persistence, rowSecurity, identity, published, primary]: Row,
): readonly Finding[] {
  const found: Finding[] = [];
  if (persistence === 'u') {
    const message = 'the table is UNLOGGED: a crash of the server empties it';
    found.push(risk('topology', 'unlogged', message, `ALTER TABLE ${records} SET LOGGED;`));
  }
  if (yes(rowSecurity)) {
    const message = 'row-level security hides rows from this user, so that what is there may look absent';
    found.push(
      problem('permission', 'row-security', message, 'ALTER ROLE CURRENT_USER BYPASSRLS; or connect as the owner'),
    );
  }
  if (yes(published) && (identity === 'n' || (identity === 'd' && !yes(primary)))) {
    const message = 'the table is published without a replica identity: updates and deletes fail';
    found.push(problem('topology', 'replica-identity', message, `ALTER TABLE ${records} REPLICA IDENTITY FULL;`));
  } else if (yes(published)) {
    found.push(info('topology', 'published', 'the table is published: its subscribers get mirrored writes too'));
  }
  return found;
}

function uniqueFinding(records: string, schema: string, row: Row): readonly Finding[] {
  const [index, constraint, partial, deferrable, exclusion, columns, keysMissing] = row;
  // It tells apart whatever the key tells apart.
  if (keysMissing === '0' && !yes(exclusion)) return [];
  const name = String(constraint ?? index);
  const where = yes(partial) ? ' where the index says so' : '';
  const late = yes(deferrable) ? ' (deferrable, which does not help: each write is a transaction of its own)' : '';
  const what = yes(exclusion)
    ? `two records may not collide in (${columns})`
    : `two records may not be equal in (${columns})${where}`;
  const message = `${what}${late}: where one gives its value up and another takes it, the follower may see the second first and refuse it`;
  const remedy =
    constraint === null || constraint === undefined
      ? `DROP INDEX ${quote(schema)}.${quote(String(index))};`
      : `ALTER TABLE ${records} DROP CONSTRAINT ${quote(name)};`;
  return [risk('unique', name, message, remedy)];
}

function constraintFindings(records: string, row: Row): readonly Finding[] {
  const [constraint, type, own, from, to, onDelete, onUpdate, deferrable, definition] = row.map(String) as string[];
  const name = String(constraint);
  if (type === 'c') {
    const remedy =
      own === 't'
        ? `ALTER TABLE ${records} DROP CONSTRAINT ${quote(name)};`
        : `drop the check "${name}" of the column's domain`;
    return [risk('check', name, `a record is refused unless ${String(definition).replace(/^CHECK /, '')}`, remedy)];
  }
  const drop = `ALTER TABLE ${from} DROP CONSTRAINT ${quote(name)};`;
  const actions = [
    ...(ACTIONS[String(onDelete)] === undefined ? [] : [`ON DELETE ${ACTIONS[String(onDelete)]}`]),
    ...(ACTIONS[String(onUpdate)] === undefined ? [] : [`ON UPDATE ${ACTIONS[String(onUpdate)]}`]),
  ];
  if (own === 't') {
    const late = deferrable === 't' ? ' (deferrable, which does not help: each write is a transaction of its own)' : '';
    const refuses = `a record without its row in ${to} is refused, and so is one that comes before it${late}`;
    const changes = `a change of ${to} changes records behind the repository's back (${actions.join(', ')}): the other store does not learn of it`;
    return [
      risk('foreign-key', name, refuses, drop),
      ...(actions.length === 0 ? [] : [risk('cascade', name, changes, drop)]),
    ];
  }
  return ACTIONS[String(onDelete)] === undefined
    ? [risk('foreign-key', `${from}.${name}`, `a delete is refused while rows of ${from} refer to the record`, drop)]
    : [risk('cascade', `${from}.${name}`, `a delete changes ${from} too (${actions.join(', ')})`, drop)];
}

function ruleFinding(records: string, [rule, event]: Row): Finding {
  const name = `rule.${rule}`;
  const remedy = `DROP RULE ${quote(String(rule))} ON ${records};`;
  // 2 is UPDATE, 3 INSERT: PostgreSQL refuses ON CONFLICT on a table with rules for them.
  return event === '2' || event === '3'
    ? problem('trigger', name, 'a rule rewrites writes, which INSERT … ON CONFLICT does not allow', remedy)
    : risk('trigger', name, 'a rule rewrites deletes', remedy);
}

/** What is left out, and what costs time. */
function columnFindings({ columns, partitioned }: PgTable, { keys, unit }: Layout): readonly Finding[] {
  const generated = columns.filter((column) => column.generated).map(({ name }) => name);
  const sorted = keys.filter((key) => key.collate && !unit.includes(key)).map(({ name }) => name);
  return [
    ...generated.map((name) =>
      info('check', `generated.${name}`, `the database computes "${name}", which is left out`),
    ),
    ...sorted.map((name) =>
      info(
        'index',
        `collation.${name}`,
        `"${name}" is indexed by a collation of people: a list sorts its unit by bytes each time; an index over the unit and ${quote(name)} COLLATE "C" would save that`,
      ),
    ),
    ...(partitioned ? [info('topology', 'partitioned', 'the table is partitioned')] : []),
  ];
}
