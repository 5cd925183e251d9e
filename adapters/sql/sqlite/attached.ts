import { STAMP_MIN } from '../../../src/core/stamp.ts';
import type { Bound } from '../column-codec.ts';
import type { KeyRange, TablePair } from '../dialect.ts';
import type { FieldColumn, Layout } from '../layout.ts';
import type { PageBounds, Statements } from '../statements.ts';
import { affinityOf } from './columns.ts';
import type { SqliteConnection } from './connection.ts';
import { quote } from './quote.ts';

/** A statement takes about so long, as the event loop waits for it: records of one are at first, at least and at most. */
const LEAST_MS = 2;
const MOST_MS = 6;
const FIRST_RECORDS = 128;
const LEAST_RECORDS = 16;
const MOST_RECORDS = 8_192;
/** Where more than this share of them differ, reading them all is cheaper. */
const MOST_DIFFERING = 1 / 4;
const FEW_DIFFERING = 64;

/** A connection that reads two files. */
export interface Attached {
  readonly connection: SqliteConnection;
  readonly end: () => Promise<void>;
}

/** The name under which it reads the second one. */
export const OTHER = 'other';

const boundsOf = ({ after, upTo }: KeyRange): PageBounds => ({ after: after !== null, upTo: upTo !== null });
const valuesOf = ({ after, upTo }: KeyRange): readonly unknown[] => [...(after ?? []), ...(upTo ?? [])];

/** How a field is held, as far as it decides what a cell means. */
const held = ({ field, type, declared }: FieldColumn): string => JSON.stringify([field, type, affinityOf(declared)]);

/** Whether the keys of two tables are the same where their cells are, and stand in the same order. */
export const sameKeys = (own: Layout, other: Layout): boolean =>
  own.keys.map(held).join() === other.keys.map(held).join() &&
  ![...own.keys, ...other.keys].some(({ collate }) => collate);

/** Whether records of two tables are the same where their cells are. */
const sameRecords = (own: Layout, other: Layout): boolean =>
  own.columns.map(held).sort().join() === other.columns.map(held).sort().join() &&
  (own.document === null) === (other.document === null) &&
  own.nulls === other.nulls;

/**
 * Two tables, of two files or one, that one connection reads: SQLite walks both by their indexes and hands out only keys
 * of what differs. Cells are the same if their types and bytes are.
 */
export class AttachedTables implements TablePair {
  readonly records?: NonNullable<TablePair['records']>;
  readonly #connection: SqliteConnection;
  readonly #end: () => Promise<void>;
  readonly #own: Layout;
  readonly #other: Layout;
  readonly #statements: Statements;
  /** Both have a stamp table. */
  readonly #stamped: boolean;
  #count = FIRST_RECORDS;

  /** `connection` has the file of the other table attached, and is closed by `end`. */
  constructor({ connection, end }: Attached, own: Layout, other: Layout, statements: Statements) {
    this.#connection = connection;
    this.#end = end;
    this.#own = own;
    this.#other = other;
    this.#statements = statements;
    this.#stamped = [
      ['main', own.stampTable],
      [OTHER, other.stampTable],
    ].every(([schema, table]) => {
      const sql = `SELECT 1 FROM ${schema}.sqlite_master WHERE type = 'table' AND lower(name) = lower(?)`;
      return connection.get(sql, [table]) !== undefined;
    });
    if (sameRecords(own, other)) this.records = (range) => this.#records(range);
  }

  close(): Promise<void> {
    return this.#end();
  }

  /** Whether both tables are walked by their indexes. */
  isIndexed(): boolean {
    const none = this.#own.keys.map(() => null);
    const bounds: PageBounds = { after: true, upTo: true };
    return [this.#differing(bounds), this.#extra(bounds), ...(this.#stamped ? [this.#run(bounds)] : [])].every(
      (sql) => {
        const values = [...none, ...none, ...(sql.endsWith('LIMIT ?') ? [1] : [])];
        const steps = this.#connection.all(`EXPLAIN QUERY PLAN ${sql}`, values).map((step) => String(step.at(-1)));
        return !steps.some((step) => step.startsWith('SCAN') || /AUTOMATIC|TEMP B-TREE/.test(step));
      },
    );
  }

  // --- statements --------------------------------------------------------------------------------
  // Records are `r` and stamps `s` of this table, `o` and `t` of the other; parameters: the bounds, the limit if any.

  #keys(alias: 'r' | 's' | 'o' | 't'): string[] {
    const { keys } = alias === 'r' || alias === 's' ? this.#own : this.#other;
    return keys.map(({ name }) => `${alias}.${quote(name)}`);
  }

  #within(alias: 'r' | 's' | 'o', bounds: PageBounds): string {
    return this.#statements.within(this.#keys(alias), bounds);
  }

  #table(alias: 'r' | 's' | 'o' | 't'): string {
    const { table, stampTable } = alias === 'r' || alias === 's' ? this.#own : this.#other;
    const schema = alias === 'r' || alias === 's' ? 'main' : OTHER;
    return `${schema}.${quote(alias === 'r' || alias === 'o' ? table : stampTable)} AS ${alias}`;
  }

  #joined(alias: 's' | 'o' | 't', to: 'r' | 's'): string {
    const keys = this.#keys(to);
    const same = this.#keys(alias).map((key, i) => `${key} = ${keys[i]}`);
    return `LEFT JOIN ${this.#table(alias)} ON ${same.join(' AND ')}`;
  }

  #first(alias: 'o' | 't'): string {
    return this.#keys(alias)[0] as string;
  }

  /** Both rows hold the same cells. */
  get #same(): string {
    const cells = this.#own.columns.map(({ field, name, declared }): readonly [string, string, string] => {
      const other = this.#other.columns.find((column) => column.field === field);
      return [`r.${quote(name)}`, `o.${quote(other?.name ?? '')}`, declared];
    });
    const [here, there] = [this.#own.document, this.#other.document];
    if (here !== null && there !== null) cells.push([`r.${quote(here.name)}`, `o.${quote(there.name)}`, '']);
    const same = cells.flatMap(([own, other, declared]) => [
      `${own} IS ${other} COLLATE BINARY`,
      // 1 is 1.0, and 0.0 is -0.0: columns of text hold neither.
      ...(affinityOf(declared) === 'TEXT'
        ? []
        : [`typeof(${own}) = typeof(${other})`, `(${own} IS NOT 0.0 OR atan2(${own}, -1) IS atan2(${other}, -1))`]),
    ]);
    return same.join(' AND ');
  }

  /** Records of this table that the other one has not or not so: their keys, and whether it has none. */
  #differing(bounds: PageBounds): string {
    const keys = this.#keys('r').join(', ');
    const [range, missing] = [this.#within('r', bounds), `${this.#first('o')} IS NULL`];
    const differs = `${range === '' ? ' WHERE' : `${range} AND`} NOT (NOT ${missing} AND ${this.#same})`;
    const from = `FROM ${this.#table('r')} ${this.#joined('o', 'r')}${differs}`;
    return `SELECT ${keys}, ${missing} ${from} ORDER BY ${keys} LIMIT ?`;
  }

  /** Keys of records that the other table alone has. */
  #extra(bounds: PageBounds): string {
    const [own, keys] = [this.#keys('r'), this.#keys('o')];
    const range = this.#within('o', bounds);
    const same = keys.map((key, i) => `${own[i]} = ${key}`).join(' AND ');
    const none = `NOT EXISTS (SELECT 1 FROM ${this.#table('r')} WHERE ${same})`;
    const where = `${range === '' ? ' WHERE' : `${range} AND`} ${none}`;
    return `SELECT ${keys.join(', ')} FROM ${this.#table('o')}${where} ORDER BY ${keys.join(', ')} LIMIT ?`;
  }

  /** How many rows a range has, as far as one counts. */
  #counted(alias: 'r' | 's' | 'o', bounds: PageBounds): string {
    return `SELECT count(*) FROM (SELECT 1 FROM ${this.#table(alias)}${this.#within(alias, bounds)} LIMIT ?)`;
  }

  #stamp(alias: 's' | 't'): string {
    return `${alias}.${quote(alias === 's' ? this.#own.stampColumn : this.#other.stampColumn)}`;
  }

  /** The other table's stamp is none older; what a verification planted is never so, as nobody replays it. */
  get #there(): string {
    const [own, other] = [this.#stamp('s'), this.#stamp('t')];
    const planted = `substr(${own}, 9) = x'00000000'`;
    return `${other} >= coalesce(${own}, x'${STAMP_MIN}') AND NOT coalesce(${planted}, 0)`;
  }

  /** How many records a range has, how many of them a stamp, and of how many the other table has one that is no older. */
  #run(bounds: PageBounds): string {
    const joined = `${this.#table('r')} ${this.#joined('s', 'r')} ${this.#joined('t', 'r')}`;
    const counts = `count(*), count(${this.#stamp('s')}), total(${this.#there})`;
    return `SELECT ${counts} FROM ${joined}${this.#within('r', bounds)}`;
  }

  /** The same of stamps without a record. */
  #tombstones(bounds: PageBounds): string {
    const own = this.#keys('s');
    const same = this.#keys('r').map((key, i) => `${own[i]} = ${key}`);
    const range = this.#within('s', bounds);
    const none = `NOT EXISTS (SELECT 1 FROM ${this.#table('r')} WHERE ${same.join(' AND ')})`;
    const where = `${range === '' ? ' WHERE' : `${range} AND`} ${none}`;
    return `SELECT count(*), total(${this.#there}) FROM ${this.#table('s')} ${this.#joined('t', 's')}${where}`;
  }

  // --- reading -----------------------------------------------------------------------------------

  /** Reads at one moment of each file, and learns how many records that can be. */
  #look<T>(work: () => T): Promise<T> {
    return this.#connection.read(() => {
      const begun = performance.now();
      const seen = this.#connection.snapshot(work);
      const took = performance.now() - begun;
      if (took < LEAST_MS) this.#count = Math.min(MOST_RECORDS, this.#count * 2);
      else if (took > MOST_MS) this.#count = Math.max(LEAST_RECORDS, this.#count >> 1);
      return seen;
    });
  }

  /** The key of the last of so many records, from the first on or from the last; undefined where a range has fewer. */
  #last(range: KeyRange, count: number, order: 'ASC' | 'DESC' = 'ASC'): readonly Bound[] | undefined {
    const keys = this.#keys('r');
    const from = `FROM ${this.#table('r')}${this.#within('r', boundsOf(range))}`;
    const sorted = keys.map((key) => `${key} ${order}`);
    const sql = `SELECT ${keys.join(', ')} ${from} ORDER BY ${sorted.join(', ')} LIMIT 1 OFFSET ?`;
    return this.#connection.get(sql, [...valuesOf(range), count - 1]) as readonly Bound[] | undefined;
  }

  #size(alias: 'r' | 's' | 'o', range: KeyRange, most: number): number {
    return Number(this.#connection.get(this.#counted(alias, boundsOf(range)), [...valuesOf(range), most])?.[0]);
  }

  #records(range: KeyRange): ReturnType<NonNullable<TablePair['records']>> {
    return this.#look(() => {
      const count = this.#count;
      const last = this.#last(range, count);
      const seen: KeyRange = { after: range.after, upTo: last ?? range.upTo };
      const held = last === undefined ? this.#size('r', seen, count) : count;
      const most = Math.max(FEW_DIFFERING, count * MOST_DIFFERING);
      const [bounds, values] = [boundsOf(seen), [...valuesOf(seen), most + 1]];
      const own = this.#connection.all(this.#differing(bounds), values);
      const missing = own.filter((row) => row.at(-1) === 1n).length;
      const there = this.#size('o', seen, held + most + 1);
      const end = last ?? null;
      if (own.length > most || there - (held - missing) > most) return { equal: 0, differing: null, end };
      const others = there === held - missing ? [] : this.#connection.all(this.#extra(bounds), values);
      return { equal: held - own.length, differing: [...own.map((row) => row.slice(0, -1)), ...others], end };
    });
  }

  async stamped(range: KeyRange, most: number): ReturnType<TablePair['stamped']> {
    if (!this.#stamped) return 'lacking';
    return this.#look(() => {
      const count = Math.min(this.#count, most);
      const end = this.#last(range, count) ?? range.upTo ?? this.#last(range, 1, 'DESC');
      if (end === undefined) return 'end';
      const seen: KeyRange = { after: range.after, upTo: end };
      const [bounds, values] = [boundsOf(seen), valuesOf(seen)];
      const counts = this.#connection.get(this.#run(bounds), values) ?? [];
      const [records = 0, stamps = 0, there = 0] = counts.map(Number);
      if (there < records) return 'lacking';
      const gone = this.#size('s', seen, stamps + count + 1) - stamps;
      if (gone > count) return 'lacking';
      if (gone > 0) {
        const [tombstones, known] = (this.#connection.get(this.#tombstones(bounds), values) ?? []).map(Number);
        if (tombstones !== gone || known !== gone) return 'lacking';
      }
      return records + gone === 0 ? 'end' : { entries: records + gone, end };
    });
  }
}
