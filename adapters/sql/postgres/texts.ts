import { STAMP_MIN } from '../../../src/core/stamp.ts';
import type { Layout } from '../layout.ts';
import { quote } from './catalog.ts';
import type { Plan } from './plan.ts';

/** The server's time in ms since 1970, looked at whenever it is evaluated. */
export const CLOCK = 'extract(epoch FROM clock_timestamp())::float8 * 1000';

/** True for rows that this very transaction wrote. */
const OWN = 'xmin = pg_current_xact_id_if_assigned()::xid';

const inTime = (parameter: number): string => `${CLOCK} < $${parameter}::float8`;

/**
 * The time left until a deadline as the limit of every statement and every wait that follows in the transaction; at
 * most `$2` for a wait. Fails if none is left.
 */
export const LIMITS =
  "SELECT set_config('statement_timeout', ms::text, true), set_config('lock_timeout', least(ms, $2::int8)::text, true), " +
  '1 / CASE WHEN ms > 0 THEN 1 ELSE 0 END ' +
  `FROM (SELECT least(2147483647, ceil($1::float8 - ${CLOCK}))::int8 AS ms OFFSET 0) AS q`;

/** Fails once a deadline has passed, and the transaction with it. The last step: every lock is held by then. */
export const IN_TIME = `SELECT 1 / CASE WHEN ${inTime(1)} THEN 1 ELSE 0 END`;

/** Does now what would be done at the commit, which looks at no clock: a check may wait for others' locks. */
export const UNDEFERRED = 'SET CONSTRAINTS ALL IMMEDIATE';

/** Fails where there is a table of this name, for what is right only without one. */
export const NO_TABLE = 'SELECT 1 / CASE WHEN to_regclass($1::text) IS NULL THEN 1 ELSE 0 END';

/**
 * Stands as the comment of a stamp table whose records were none when it was made: what has no stamp there is a copy of
 * what never had one, and has the least stamp. Of others somebody else may have put it there, at any time before.
 */
export const BARE_COPIES = 'changeover: records without a stamp are copies of records that never had one';

/** Whether there is a table of this name, and whether its comment says this. */
export const LOOK = `SELECT t IS NOT NULL, obj_description(t, 'pg_class') IS NOT DISTINCT FROM $2::text FROM (SELECT to_regclass($1::text) AS t) AS q`;

const SLOTS = 16;

const GATE = -1;

/**
 * Bare copies are inserted under one of these locks, tombstones are written under all of them: neither group waits for
 * itself, and between the two each sees what the other one did. Of a stamp table, by its name. Copies never wait: they
 * fail while a tombstone is being written or waits, which stands in the gate, so that it waits for nothing but the copies
 * that were under way.
 */
export const COPY_GATE = `SELECT 1 / CASE WHEN pg_try_advisory_lock(hashtext($1::text), ${GATE}) THEN CASE WHEN pg_advisory_unlock(hashtext($1::text), ${GATE}) THEN 1 ELSE 0 END ELSE 0 END`;
export const COPY_SLOT =
  `SELECT 1 / count(*) FROM (SELECT 1 FROM generate_series(0, ${SLOTS - 1}) AS g ` +
  `WHERE pg_try_advisory_xact_lock(hashtext($1::text), (pg_backend_pid() + g) % ${SLOTS}) LIMIT 1) AS free`;
export const ALL_SLOTS = `SELECT pg_advisory_xact_lock_shared(hashtext($1::text), g) FROM generate_series(${GATE}, ${SLOTS - 1}) AS g`;

/**
 * The statements that write one record or many. Parameters: of a put, the row in the order of `layout.names`, then
 * stamp and deadline; of everything else the key in the order of its fields, and what is said.
 */
export interface WriteTexts {
  /** Put if newer, in one statement: row, stamp, deadline. Answers how many stamps it wrote and whether the record is new. */
  readonly put: string;
  /** The same of a record that must not be there: the step after it fails if it was. */
  readonly create: string;
  /** The same over one stamp: row, stamp, deadline, the stored stamp. */
  readonly replace: string;
  /** The same of a record without a stamp. */
  readonly adopt: string;
  /** The same of a record with the least stamp, where that may be none: row, stamp, deadline, the least stamp. */
  readonly adoptBare: string;
  /** Tombstone if newer: key, stamp, deadline. */
  readonly bury: string;
  /** Tombstone over one stamp: key, stamp, deadline, the stored stamp. */
  readonly buryOne: string;
  /** Removes the record of a stamp that this transaction wrote: key. */
  readonly removeBuried: string;
  /** Fails if this transaction wrote a stamp but not its record: key. */
  readonly mustOwn: string;
  /** Fails if this transaction did not write the record: key. */
  readonly mustOwnPlain: string;
  /** Whatever is stored: row. */
  readonly overwrite: string;
  /** A record that must not be there, plainly: row. */
  readonly insertPlain: string;
  readonly removePlain: string;
  readonly unstamp: string;
  /** Makes and locks the stamp row: key, a stamp for the time being. Answers a row if it was not there. */
  readonly hold: string;
  readonly lockStamp: string;
  readonly lockRecord: string;
  readonly setStamp: string;
  readonly update: string;
  readonly insert: string;
  /**
   * Of many, as `put` and `bury`: a list for each parameter. Answer the numbers of the rows that were written; of puts
   * also a row of number 0.
   */
  readonly putMany: string;
  /** Many records that are not there, with their stamps; fails where one is, or where not all are written. */
  readonly insertMany: string;
  /** Many bare copies, behind {@link COPY_GATE} and {@link COPY_SLOT}: a list for each column, how many; fails where one or its stamp is there. */
  readonly insertBare: string;
  /** The same of those that are not there, answering the numbers of the rows that were written. */
  readonly putManyBare: string;
  readonly buryMany: string;
  readonly removeManyBuried: string;
}

const list = (parts: readonly string[], between = ', '): string => parts.join(between);

/**
 * 0, or fails with {@link NO_LOGARITHM} if there are stamps whose record a trigger kept from being written, without an
 * error of its own. Not by a division, as checks of tables may divide too.
 */
const BOTH = 'ln(CASE WHEN (SELECT count(*) FROM st) = (SELECT count(*) FROM rec) THEN 1 ELSE 0 END)';
export const NO_LOGARITHM = '2201E';

export function writeTexts(plan: Plan): WriteTexts {
  const { layout, records, stamps, arbiter, changing, table, shared } = plan;
  const { names, keys } = layout;
  const stamp = quote(layout.stampColumn);
  const deleted = quote(layout.deletedColumn);
  const keyNames = keys.map(({ name }) => quote(name));
  const keyList = list(keyNames);
  const all = list(names.map(quote));
  const given = names.map((name, i) => `$${i + 1}::${plan.cast(name)}`);
  const keyOfRow = keys.map(({ index }) => given[index] as string);
  const keyGiven = keys.map(({ name }, i) => `$${i + 1}::${plan.cast(name)}`);
  const where = (alias: string, values: readonly string[]): string =>
    list(
      keyNames.map((name, i) => `${alias}.${name} = ${values[i]}`),
      ' AND ',
    );
  const excluded = (columns: readonly string[], alias: string): string =>
    list(columns.map((name) => `${quote(name)} = ${alias}.${quote(name)}`));
  const changed = changing.map((i) => names[i] as string);
  const touched = changed.length > 0 ? changed : [(keys[0] as (typeof keys)[number]).name];
  // A unique index over a part of the key may find a record of another key, which is not to be overwritten.
  const same = shared
    ? ` WHERE ${where(
        'r',
        keyNames.map((name) => `excluded.${name}`),
      )}`
    : '';
  const upsert = `ON CONFLICT (${list(arbiter.map(quote))}) DO UPDATE SET ${excluded(touched, 'excluded')}${same}`;
  const unlessThere = `ON CONFLICT (${list(arbiter.map(quote))}) DO NOTHING`;
  const fresh = (key: readonly string[]): string =>
    table.partitioned ? `NOT EXISTS (SELECT 1 FROM ${records} AS o WHERE ${where('o', key)})` : 'r.xmax = 0';
  const n = names.length;
  const k = keys.length;

  const stampInsert = (values: readonly string[], gone: boolean, at: number, source = ''): string =>
    `INSERT INTO ${stamps} AS s (${keyList}, ${stamp}, ${deleted}) SELECT ${list(values)}, $${at}::bytea, ${gone}${source} WHERE ${inTime(at + 1)}`;
  const ifNewer = (at: number): string =>
    `ON CONFLICT (${keyList}) DO UPDATE SET ${stamp} = excluded.${stamp}, ${deleted} = excluded.${deleted} ` +
    `WHERE s.${stamp} < excluded.${stamp} AND ${inTime(at + 1)}`;
  const stampOver = (values: readonly string[], gone: boolean, at: number): string =>
    `UPDATE ${stamps} AS s SET ${stamp} = $${at}::bytea, ${deleted} = ${gone} WHERE ${where('s', values)} ` +
    `AND s.${stamp} = $${at + 2}::bytea AND s.${stamp} < $${at}::bytea AND ${inTime(at + 1)}`;
  const insertion = `INSERT INTO ${records} AS r (${all}) SELECT ${list(given)}`;
  const withRecord = (stampStep: string, recordStep: string, both = false): string =>
    `WITH st AS (${stampStep} RETURNING 1), rec AS (${recordStep} RETURNING ${fresh(keyOfRow)} AS fresh) ` +
    `SELECT (SELECT count(*) FROM st), (SELECT fresh FROM rec)${both ? `, ${BOTH}` : ''}`;
  const updating = (condition: string): string =>
    `UPDATE ${records} AS r SET ${list(touched.map((name) => `${quote(name)} = ${given[names.indexOf(name)]}`))} ` +
    `WHERE ${where('r', keyOfRow)}${condition}`;
  const ownStamp = `EXISTS (SELECT 1 FROM ${stamps} AS s WHERE ${where('s', keyGiven)} AND s.${OWN})`;
  const ownRecord = `EXISTS (SELECT 1 FROM ${records} AS r WHERE ${where('r', keyGiven)} AND r.${OWN})`;

  const many = manyTexts(plan, { stamp, deleted, keyNames, ifNewer, upsert, unlessThere });
  return {
    put: withRecord(
      `${stampInsert(keyOfRow, false, n + 1)} ${ifNewer(n + 1)}`,
      `${insertion} FROM st ${upsert}`,
      !shared,
    ),
    create: withRecord(
      `${stampInsert(keyOfRow, false, n + 1)} ${ifNewer(n + 1)}`,
      `${insertion} FROM st ${unlessThere}`,
    ),
    replace: withRecord(stampOver(keyOfRow, false, n + 1), `${insertion} FROM st ${upsert}`, !shared),
    adopt:
      `WITH st AS (${stampInsert(keyOfRow, false, n + 1)} ON CONFLICT (${keyList}) DO NOTHING RETURNING 1), ` +
      `rec AS (${updating(' AND EXISTS (SELECT 1 FROM st)')} RETURNING false AS fresh) ` +
      'SELECT (SELECT count(*) FROM st), (SELECT fresh FROM rec)',
    adoptBare:
      `WITH st AS (${stampInsert(keyOfRow, false, n + 1)} ON CONFLICT (${keyList}) DO UPDATE SET ${stamp} = excluded.${stamp} ` +
      `WHERE s.${stamp} = $${n + 3}::bytea AND NOT s.${deleted} AND ${inTime(n + 2)} RETURNING 1), ` +
      `rec AS (${updating(' AND EXISTS (SELECT 1 FROM st)')} RETURNING false AS fresh) ` +
      'SELECT (SELECT count(*) FROM st), (SELECT fresh FROM rec)',
    bury: `${stampInsert(keyGiven, true, k + 1)} ${ifNewer(k + 1)} RETURNING 1`,
    buryOne: `${stampOver(keyGiven, true, k + 1)} RETURNING 1`,
    removeBuried: `DELETE FROM ${records} AS r WHERE ${where('r', keyGiven)} AND ${ownStamp} RETURNING 1`,
    mustOwn: `SELECT ln(CASE WHEN ${ownStamp} AND NOT ${ownRecord} THEN 0 ELSE 1 END)`,
    mustOwnPlain: `SELECT 1 / CASE WHEN ${ownRecord} THEN 1 ELSE 0 END`,
    overwrite: `${insertion} ${upsert} RETURNING ${fresh(keyOfRow)}`,
    insertPlain: `${insertion} ${unlessThere} RETURNING true`,
    removePlain: `DELETE FROM ${records} AS r WHERE ${where('r', keyGiven)} RETURNING 1`,
    unstamp: `DELETE FROM ${stamps} AS s WHERE ${where('s', keyGiven)}`,
    hold: `INSERT INTO ${stamps} (${keyList}, ${stamp}, ${deleted}) SELECT ${list(keyGiven)}, $${k + 1}::bytea, true ON CONFLICT (${keyList}) DO NOTHING RETURNING 1`,
    lockStamp: `SELECT ${stamp} FROM ${stamps} AS s WHERE ${where('s', keyGiven)} FOR UPDATE`,
    lockRecord: `SELECT ${all} FROM ${records} AS r WHERE ${where('r', keyGiven)} FOR UPDATE`,
    setStamp: `UPDATE ${stamps} AS s SET ${stamp} = $${k + 1}::bytea, ${deleted} = $${k + 2}::boolean WHERE ${where('s', keyGiven)}`,
    update: updating(''),
    insert: insertion,
    ...many,
  };
}

interface ManyParts {
  readonly stamp: string;
  readonly deleted: string;
  readonly keyNames: readonly string[];
  ifNewer(at: number): string;
  readonly upsert: string;
  readonly unlessThere: string;
}

/** The statements of many rows: `given` are the rows, numbered, in the order in which locks are taken. */
function manyTexts(
  plan: Plan,
  parts: ManyParts,
): Pick<WriteTexts, 'putMany' | 'putManyBare' | 'insertMany' | 'insertBare' | 'buryMany' | 'removeManyBuried'> {
  const { layout, records, stamps, table } = plan;
  const { names, keys } = layout;
  const { stamp, deleted, keyNames, ifNewer, upsert, unlessThere } = parts;
  const rows = (columns: readonly string[], casts: readonly string[]): string =>
    `given AS MATERIALIZED (SELECT * FROM unnest(${list(casts.map((cast, i) => `$${i + 1}::${cast}[]`))}) ` +
    `WITH ORDINALITY AS g(${list(columns)}, n))`;
  const stampsOf = (columns: readonly string[], gone: boolean, deadline: number): string =>
    `INSERT INTO ${stamps} AS s (${list(keyNames)}, ${stamp}, ${deleted}) ` +
    `SELECT ${list(columns)}, g.stamp, ${gone} FROM given AS g WHERE ${inTime(deadline)} ORDER BY g.n ` +
    `${ifNewer(deadline - 1)} RETURNING ${list(keyNames.map((name) => `s.${name}`))}`;
  const joined = (alias: string, columns: readonly string[]): string =>
    list(
      keyNames.map((name, i) => `${alias}.${name} = ${columns[i]}`),
      ' AND ',
    );
  const cells = names.map((_, i) => `c${i}`);
  const given = (i: number): string => `$${i + 1}::${plan.cast(names[i] as string)}[]`;
  const keyCells = keys.map(({ index }) => `g.c${index}`);
  const row = rows([...cells, 'stamp'], [...names.map((name) => plan.cast(name)), 'bytea']);
  const keyColumns = keys.map((_, i) => `k${i}`);
  const onlyKeys = keyColumns.map((name) => `g.${name}`);
  const keyRow = rows([...keyColumns, 'stamp'], [...keys.map(({ name }) => plan.cast(name)), 'bytea']);
  const was = table.partitioned
    ? `NOT EXISTS (SELECT 1 FROM ${records} AS o WHERE ${joined('o', keyCells)})`
    : 'r.fresh';
  const freshColumn = table.partitioned ? '' : ', r.xmax = 0 AS fresh';
  const all = list(names.map(quote));
  // Looked for in the index, row by row and in their order: a join may be planned as one with the whole table.
  const unstamped = (columns: readonly string[]): string =>
    `(SELECT true FROM ${stamps} AS s WHERE ${joined('s', columns)}) IS NULL`;
  return {
    putMany:
      `WITH ${row}, st AS (${stampsOf(keyCells, false, names.length + 2)}), ` +
      `rec AS (INSERT INTO ${records} AS r (${list(names.map(quote))}) SELECT ${list(cells.map((cell) => `g.${cell}`))} ` +
      `FROM given AS g JOIN st ON ${joined('st', keyCells)} ORDER BY g.n ${upsert} ` +
      `RETURNING ${list(keyNames.map((name) => `r.${name}`))}${freshColumn}) ` +
      `SELECT g.n, ${was} FROM given AS g JOIN rec AS r ON ${joined('r', keyCells)} UNION ALL SELECT 0, ${BOTH} = 0`,
    // Each list is unnested where it is inserted, and among the columns: behind FROM its rows would be kept in between.
    insertMany:
      `WITH st AS (INSERT INTO ${stamps} (${list(keyNames)}, ${stamp}, ${deleted}) ` +
      `SELECT ${list(keys.map(({ index }) => `unnest(${given(index)})`))}, unnest($${names.length + 1}::bytea[]), false ` +
      'RETURNING 1), ' +
      `rec AS (INSERT INTO ${records} (${list(names.map(quote))}) ` +
      `SELECT ${list(names.map((_, i) => `unnest(${given(i)})`))} RETURNING 1) SELECT ${BOTH}`,
    insertBare:
      `WITH rec AS (INSERT INTO ${records} (${all}) SELECT * FROM ` +
      `(SELECT ${list(names.map((name, i) => `unnest(${given(i)}) AS ${quote(name)}`))}) AS g ` +
      `WHERE ${unstamped(keyNames.map((name) => `g.${name}`))} RETURNING 1) ` +
      `SELECT ln(CASE WHEN (SELECT count(*) FROM rec) = $${names.length + 1}::int8 THEN 1 ELSE 0 END)`,
    putManyBare:
      `WITH ${rows(
        cells,
        names.map((name) => plan.cast(name)),
      )}, ` +
      `rec AS (INSERT INTO ${records} AS r (${all}) SELECT ${list(cells.map((cell) => `g.${cell}`))} FROM given AS g ` +
      `WHERE ${unstamped(keyCells)} ORDER BY g.n ${unlessThere} RETURNING ${list(keyNames.map((name) => `r.${name}`))}) ` +
      `SELECT g.n FROM given AS g JOIN rec AS r ON ${joined('r', keyCells)}`,
    buryMany:
      `WITH ${keyRow}, st AS (${stampsOf(onlyKeys, true, keys.length + 2)}) ` +
      `SELECT g.n FROM given AS g JOIN st ON ${joined('st', onlyKeys)}`,
    removeManyBuried:
      `WITH given AS MATERIALIZED (SELECT * FROM unnest(${list(keys.map(({ name }, i) => `$${i + 1}::${plan.cast(name)}[]`))}) ` +
      `WITH ORDINALITY AS g(${list(keyColumns)}, n)) ` +
      `DELETE FROM ${records} AS r USING ${stamps} AS s, given AS g ` +
      `WHERE ${joined('s', onlyKeys)} AND ${joined('r', onlyKeys)} AND s.${OWN} RETURNING g.n`,
  };
}

/** The statements that read current versions: stamp, whether there is a record, then its columns if they are wanted. */
export interface ReadTexts {
  readonly one: string;
  readonly many: string;
}

/** For each combination of whether there is a stamp table and whether columns are wanted. */
export function readTexts(plan: Plan, stamped: boolean, withRow: boolean): ReadTexts {
  const { layout, records, stamps } = plan;
  const { keys, names } = layout as Layout;
  const wanted = withRow ? `, ${list(names.map((name) => `r.${quote(name)}`))}` : '';
  const columns = keys.map((_, i) => `g.k${i}`);
  const on = (alias: string): string =>
    list(
      keys.map(({ name }, i) => `${alias}.${quote(name)} = ${columns[i]}`),
      ' AND ',
    );
  const first = quote((keys[0] as (typeof keys)[number]).name);
  const stampJoin = stamped ? ` LEFT JOIN ${stamps} AS s ON ${on('s')}` : '';
  const joins = `LEFT JOIN ${records} AS r ON ${on('r')}${stampJoin}`;
  const selection = `SELECT ${stamped ? `s.${quote(layout.stampColumn)}` : 'NULL'}, r.${first} IS NOT NULL${wanted}`;
  const casts = keys.map(({ name }) => plan.cast(name));
  const one = list(casts.map((cast, i) => `$${i + 1}::${cast} AS k${i}`));
  const many = list(casts.map((cast, i) => `$${i + 1}::${cast}[]`));
  return {
    one: `${selection} FROM (SELECT ${one}) AS g ${joins}`,
    many: `${selection} FROM unnest(${many}) WITH ORDINALITY AS g(${list(keys.map((_, i) => `k${i}`))}, n) ${joins} ORDER BY g.n`,
  };
}

/**
 * The stamps of many keys in hexadecimal, in their order and in one text. Each is looked for in the index: a join may be
 * planned as one with the whole table. `bare` records have the least one.
 */
export function stampsText(plan: Plan, bare: boolean): string {
  const { keys, stampColumn } = plan.layout;
  const columns = keys.map((_, i) => `k${i}`);
  const lists = keys.map(({ name }, i) => `$${i + 1}::${plan.cast(name)}[]`);
  const same = (alias: string): string =>
    list(
      keys.map(({ name }, i) => `${alias}.${quote(name)} = g.${columns[i]}`),
      ' AND ',
    );
  const stamp = `SELECT s.${quote(stampColumn)} FROM ${plan.stamps} AS s WHERE ${same('s')}`;
  const record = `EXISTS (SELECT 1 FROM ${plan.records} AS r WHERE ${same('r')})`;
  const none = bare ? `CASE WHEN ${record} THEN '${STAMP_MIN}' ELSE '' END` : "''";
  return (
    `SELECT string_agg(coalesce(encode((${stamp}), 'hex'), ${none}), ',' ORDER BY g.n) ` +
    `FROM unnest(${list(lists)}) WITH ORDINALITY AS g(${list(columns)}, n)`
  );
}
