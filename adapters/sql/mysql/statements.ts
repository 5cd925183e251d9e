import { type Stamp, stampToBytes } from '../../../src/core/stamp.ts';
import type { Bound } from '../column-codec.ts';
import type { KeyRange } from '../dialect.ts';
import type { Layout } from '../layout.ts';
import { argument, charsetOf, columnType } from './column-type.ts';
import { type KeyPart, KeyTerms } from './key-terms.ts';
import { literal, quote, timeLiteral } from './literal.ts';

/** Without a length the server expects 22 characters of a number, and a UNION cuts off what is more. */
const LONGEST_NUMBER = 64;

/**
 * Fails, and with it the rest of the packet, unless a condition holds: by a number that is too large. As no rows are
 * asked for, the server has answered for all statements before it and for none behind.
 */
const assertion = (condition: string): string => `SET @changeover = ~0 + IF(${condition}, 0, 1)`;

/** The bytes that text of a column may take. */
const byteLength = (declared: string): number => {
  const type = columnType(declared);
  return argument(type, 0, 1) * (charsetOf(type.charset)?.maxBytes ?? 4);
};

/** The statements of one table, with their values in the text. */
export class MysqlStatements {
  readonly #layout: Layout;
  readonly #key: KeyTerms;
  readonly #changing: readonly number[];
  readonly records: string;
  readonly stamps: string;
  readonly #stamp: string;
  readonly #deleted: string;
  readonly #columns: string;

  constructor(layout: Layout) {
    this.#layout = layout;
    this.records = quote(layout.table);
    this.stamps = quote(layout.stampTable);
    this.#stamp = quote(layout.stampColumn);
    this.#deleted = quote(layout.deletedColumn);
    this.#key = new KeyTerms(layout);
    const keyNames = new Set(layout.keys.map(({ name }) => name));
    this.#changing = layout.names.flatMap((name, i) => (keyNames.has(name) ? [] : [i]));
    this.#columns = layout.names.map(quote).join(', ');
  }

  // --- the stamp table ---------------------------------------------------------------------------

  createStamps(): string {
    const copies = this.#key.twice;
    // Some servers have a TIMESTAMP without a default change with every change of its row.
    const fixed = (declared: string): string =>
      declared.startsWith('timestamp') ? `${declared} NOT NULL DEFAULT '2000-01-01 00:00:00'` : `${declared} NOT NULL`;
    const columns = [
      ...this.#key.parts.map(({ name, charset, column }) =>
        charset === null
          ? `${name} ${fixed(column.declared)}`
          : `${name} varbinary(${byteLength(column.declared)}) NOT NULL`,
      ),
      ...copies.map(({ ordered, column }) => `${ordered} ${column.declared} NOT NULL`),
      `${this.#stamp} binary(12) NOT NULL`,
      `${this.#deleted} tinyint NOT NULL`,
      `PRIMARY KEY (${this.#key.parts.map(({ name }) => name).join(', ')})`,
      ...(copies.length === 0 ? [] : [`KEY in_order (${this.#key.parts.map(({ ordered }) => ordered).join(', ')})`]),
    ];
    return `CREATE TABLE IF NOT EXISTS ${this.stamps} (${columns.join(', ')}) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4`;
  }

  /** The columns that the stamp table must have. */
  stampTableColumns(): readonly string[] {
    const names = this.#key.parts.flatMap(({ name, ordered }) => (name === ordered ? [name] : [name, ordered]));
    return [...names, this.#stamp, this.#deleted].map((name) => name.slice(1, -1).replaceAll('``', '`'));
  }

  stampsExist(): string {
    const table = literal(this.#layout.stampTable);
    return `EXISTS (SELECT 1 FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = ${table})`;
  }

  #where(conditions: readonly string[]): string {
    return conditions.length === 0 ? '' : ` WHERE ${conditions.join(' AND ')}`;
  }

  // --- reading -----------------------------------------------------------------------------------

  /** The columns of records, in a form that loses nothing on the way. */
  #cells(): string[] {
    const { columns, document } = this.#layout;
    const bases = columns.map(({ declared }) => columnType(declared).base);
    return [
      ...columns.map(({ name }, i) => {
        const cell = `r.${quote(name)}`;
        if (bases[i] === 'float') return `CAST(${cell} + 0e0 AS CHAR(${LONGEST_NUMBER}))`;
        return bases[i] === 'double' ? `CAST(${cell} AS CHAR(${LONGEST_NUMBER}))` : cell;
      }),
      ...(document === null ? [] : [`r.${quote(document.name)}`]),
    ];
  }

  /** Stamp, whether there is no record, the key, the record's columns. */
  #selection(stamped: boolean, stampsOnly: boolean): string {
    const keys = this.#key.parts.map(({ name }, i) => `r.${name} AS k${i}`);
    const cells = stampsOnly ? [] : this.#cells().map((cell, i) => `${cell} AS c${i}`);
    return [`${stamped ? `s.${this.#stamp}` : 'NULL'} AS stamp`, '0 AS gone', ...keys, ...cells].join(', ');
  }

  #fromRecords(stamped: boolean): string {
    return `FROM ${this.records} AS r${stamped ? ` LEFT JOIN ${this.stamps} AS s ON ${this.#key.stampOfRecord()}` : ''}`;
  }

  #tombstones(stampsOnly: boolean): string {
    const keys = this.#key.parts.map(({ ordered }) => `s.${ordered}`);
    const cells = stampsOnly ? [] : this.#layout.names.map(() => 'NULL');
    return `SELECT ${[`s.${this.#stamp}`, '1', ...keys, ...cells].join(', ')}`;
  }

  #withoutRecord(): string {
    return `NOT EXISTS (SELECT 1 FROM ${this.records} AS r WHERE ${this.#key.recordOfStamp()})`;
  }

  /** One key: stamp, 1 if there is a record, its columns. No row where the unstamped table has none. */
  one(key: readonly Bound[], stamped: boolean, withRow: boolean): string {
    const cells = withRow
      ? this.#cells()
          .map((cell) => `, ${cell}`)
          .join('')
      : '';
    const record = `r.${this.#key.parts[0]?.name}`;
    return stamped
      ? `SELECT s.${this.#stamp}, ${record} IS NOT NULL${cells} FROM (SELECT 1 AS one) AS q ` +
          `LEFT JOIN ${this.stamps} AS s ON ${this.#key.ofStamp(key, 's.')} LEFT JOIN ${this.records} AS r ON ${this.#key.ofRecord(key, 'r.')}`
      : `SELECT NULL, 1${cells} FROM ${this.records} AS r WHERE ${this.#key.ofRecord(key, 'r.')}`;
  }

  /** Records and tombstones of many keys, and perhaps of some that their collation takes for equal. */
  many(keys: readonly (readonly Bound[])[], stamped: boolean, stampsOnly: boolean): string {
    const live = `SELECT ${this.#selection(stamped, stampsOnly)} ${this.#fromRecords(stamped)} WHERE ${this.#key.ofAny(keys, 'r.')}`;
    if (!stamped) return live;
    const gone = `${this.#tombstones(stampsOnly)} FROM ${this.stamps} AS s WHERE ${this.#key.ofAny(keys, 's.')} AND ${this.#withoutRecord()}`;
    return `${live} UNION ALL ${gone}`;
  }

  /**
   * The first entries of a range. Of both tables the first `limit` rows are read and merged: every stamp among them
   * belongs to an entry, so the first `limit` entries are among those rows, and no page reads more than twice its size,
   * however few tombstones there are.
   */
  page(range: KeyRange, limit: number, stamped: boolean, stampsOnly: boolean): string {
    // No two records are equal by their collations: an index over them makes the key unique.
    const order = this.#key.parts.map(({ name }) => `r.${name}`).join(', ');
    const live = `SELECT ${this.#selection(stamped, stampsOnly)} ${this.#fromRecords(stamped)}${this.#where(this.#key.bounds('r.', range))} ORDER BY ${order} LIMIT ${limit}`;
    if (!stamped) return live;
    const stampOrder = [
      ...this.#key.parts.map(({ ordered }) => `s.${ordered}`),
      ...this.#key.twice.map(({ name }) => `s.${name}`),
    ].join(', ');
    const some = `SELECT s.* FROM ${this.stamps} AS s${this.#where(this.#key.bounds('s.', range))} ORDER BY ${stampOrder} LIMIT ${limit}`;
    const gone = `${this.#tombstones(stampsOnly)} FROM (${some}) AS s WHERE ${this.#withoutRecord()}`;
    const merged = [
      ...this.#key.parts.map((_, i) => `k${i}`),
      ...this.#key.parts.flatMap(({ charset }, i) => (charset === null ? [] : [this.#key.bytes(`k${i}`)])),
    ].join(', ');
    return `SELECT * FROM ((${live}) UNION ALL (${gone})) AS entries ORDER BY ${merged} LIMIT ${limit}`;
  }

  /** The records of a unit after a key, by bytes. */
  list(unit: readonly Bound[], after: readonly Bound[] | null, limit: number, stamped: boolean): string {
    const columns = this.#key.parts.map(({ name, charset }) =>
      charset === null ? `r.${name}` : this.#key.bytes(`r.${name}`),
    );
    const terms = (key: readonly Bound[]) =>
      columns.map((column, i) => [column, this.#key.exact(this.#key.parts[i] as KeyPart, key[i] as Bound)] as const);
    const conditions = [
      this.#key.ofRecord(unit, 'r.', this.#key.unit),
      ...(after === null ? [] : [this.#key.beyond(terms(after), true)]),
    ];
    return `SELECT ${this.#selection(stamped, false)} ${this.#fromRecords(stamped)}${this.#where(conditions)} ORDER BY ${columns.join(', ')} LIMIT ${limit}`;
  }

  /** The key that stands `step` places behind another one in the order of scans, among records or stamps. */
  stepFrom(table: 'records' | 'stamps', after: readonly Bound[] | null, step: number): string {
    const alias = table === 'records' ? 'r.' : 's.';
    const columns = this.#key.parts.map(({ name, ordered }) => `${alias}${alias === 's.' ? ordered : name}`);
    const bytes = alias === 's.' ? this.#key.twice.map(({ name }) => `s.${name}`) : [];
    const from = `FROM ${table === 'records' ? this.records : this.stamps} AS ${alias[0]}`;
    const where = this.#where(this.#key.bounds(alias, { after, upTo: null }));
    return `SELECT ${columns.join(', ')} ${from}${where} ORDER BY ${[...columns, ...bytes].join(', ')} LIMIT 1 OFFSET ${step - 1}`;
  }

  // --- writing -----------------------------------------------------------------------------------

  #stampLiteral(stamp: Stamp): string {
    return literal(stampToBytes(stamp));
  }

  /** Fails where the deadline has passed. Of its own, so that it is looked at after every wait for a lock. */
  inTime(deadline: number): string {
    return assertion(`SYSDATE(6) < ${timeLiteral(deadline)}`);
  }

  late(deadline: number): string {
    return `SELECT SYSDATE(6) >= ${timeLiteral(deadline)}`;
  }

  /** Fails where there is a stamp table. */
  noStamps(): string {
    return assertion(`NOT ${this.stampsExist()}`);
  }

  /** Fails where the statement before it found nothing. */
  found(): string {
    return assertion('ROW_COUNT() > 0');
  }

  /** Sets the stamp of a key, and so locks it. SYSDATE is looked at after the wait for the lock; NOW is before. */
  restamp(key: readonly Bound[], stamp: Stamp, deleted: boolean, deadline: number, expected: Stamp | null): string {
    const value = this.#stampLiteral(stamp);
    const guard = [
      this.#key.ofStamp(key),
      `${this.#stamp} < ${value}`,
      ...(expected === null ? [] : [`${this.#stamp} = ${this.#stampLiteral(expected)}`]),
      `SYSDATE(6) < ${timeLiteral(deadline)}`,
    ];
    return `UPDATE ${this.stamps} SET ${this.#stamp} = ${value}, ${this.#deleted} = ${Number(deleted)} WHERE ${guard.join(' AND ')}`;
  }

  #stampColumns(): string {
    const copies = this.#key.twice.map(({ ordered }) => ordered);
    return [...this.#key.parts.map(({ name }) => name), ...copies, this.#stamp, this.#deleted].join(', ');
  }

  #stampValues(key: readonly Bound[], stamp: string, deleted: boolean): string {
    return [
      ...this.#key.parts.map((part, i) => this.#key.exact(part, key[i] as Bound)),
      ...this.#key.parts.flatMap((part, i) => (part.charset === null ? [] : [this.#key.native(part, key[i] as Bound)])),
      stamp,
      Number(deleted),
    ].join(', ');
  }

  /** Makes the stamp of a key where the statement before it found none. */
  stampIfNone(key: readonly Bound[], stamp: Stamp, deleted: boolean): string {
    return `INSERT INTO ${this.stamps} (${this.#stampColumns()}) SELECT ${this.#stampValues(key, this.#stampLiteral(stamp), deleted)} FROM DUAL WHERE ROW_COUNT() = 0`;
  }

  insertStamps(
    entries: readonly { readonly key: readonly Bound[]; readonly stamp: Stamp; readonly deleted: boolean }[],
  ): string {
    const rows = entries.map(
      ({ key, stamp, deleted }) => `(${this.#stampValues(key, this.#stampLiteral(stamp), deleted)})`,
    );
    return `INSERT INTO ${this.stamps} (${this.#stampColumns()}) VALUES ${rows.join(', ')}`;
  }

  /** Locks the stamp of a key and changes nothing. */
  lockStamp(key: readonly Bound[]): string {
    return `UPDATE ${this.stamps} SET ${this.#deleted} = ${this.#deleted} WHERE ${this.#key.ofStamp(key)}`;
  }

  /** Holds the place of a stamp that the statement before it did not find; lower than every stamp. */
  holdPlace(key: readonly Bound[]): string {
    const nothing = literal(new Uint8Array(12));
    return `INSERT INTO ${this.stamps} (${this.#stampColumns()}) SELECT ${this.#stampValues(key, nothing, false)} FROM DUAL WHERE ROW_COUNT() = 0`;
  }

  lockRecord(key: readonly Bound[], withRow: boolean): string {
    const cells = withRow
      ? this.#cells()
          .map((cell) => `, ${cell}`)
          .join('')
      : '';
    return `SELECT 1${cells} FROM ${this.records} AS r WHERE ${this.#key.ofRecord(key, 'r.')} FOR UPDATE`;
  }

  stampOf(key: readonly Bound[]): string {
    return `SELECT ${this.#stamp} FROM ${this.stamps} WHERE ${this.#key.ofStamp(key)}`;
  }

  /** The stamps of many keys, locked: the key's columns, then the stamp. */
  lockStamps(keys: readonly (readonly Bound[])[]): string {
    const columns = this.#key.parts.map(({ ordered }) => `s.${ordered}`).join(', ');
    const order = this.#key.parts.map(({ name }) => `s.${name}`).join(', ');
    return `SELECT ${columns}, s.${this.#stamp} FROM ${this.stamps} AS s FORCE INDEX (PRIMARY) WHERE ${this.#key.ofAny(keys, 's.')} ORDER BY ${order} FOR UPDATE`;
  }

  /** The keys of those that have a record. */
  existing(keys: readonly (readonly Bound[])[]): string {
    const columns = this.#key.parts.map(({ name }) => `r.${name}`).join(', ');
    return `SELECT ${columns} FROM ${this.records} AS r WHERE ${this.#key.ofAny(keys, 'r.')}`;
  }

  unstamp(key: readonly Bound[]): string {
    return `DELETE FROM ${this.stamps} WHERE ${this.#key.ofStamp(key)}`;
  }

  updateRecord(key: readonly Bound[], row: readonly Bound[]): string {
    const { names } = this.#layout;
    const first = this.#key.parts[0]?.name;
    const sets = this.#changing.map((i) => `${quote(names[i] as string)} = ${literal(row[i] as Bound)}`);
    return `UPDATE ${this.records} SET ${sets.length === 0 ? `${first} = ${first}` : sets.join(', ')} WHERE ${this.#key.ofRecord(key)}`;
  }

  insertIfNone(row: readonly Bound[]): string {
    return `INSERT INTO ${this.records} (${this.#columns}) SELECT ${row.map(literal).join(', ')} FROM DUAL WHERE ROW_COUNT() = 0`;
  }

  insertRecords(rows: readonly (readonly Bound[])[]): string {
    return `INSERT INTO ${this.records} (${this.#columns}) VALUES ${rows.map((row) => `(${row.map(literal).join(', ')})`).join(', ')}`;
  }

  deleteRecord(key: readonly Bound[]): string {
    return `DELETE FROM ${this.records} WHERE ${this.#key.ofRecord(key)}`;
  }

  /** What is stored under a key, and whether a deadline has passed: to answer for a put that failed. */
  look(key: readonly Bound[], deadline: number, stamped: boolean): string {
    const stamp = stamped ? `(${this.stampOf(key)})` : 'NULL';
    return `SELECT ${stamp}, EXISTS (SELECT 1 FROM ${this.records} WHERE ${this.#key.ofRecord(key)}), SYSDATE(6) >= ${timeLiteral(deadline)}`;
  }
}
