import { InvalidConfiguration, NotPrepared, StoreFault } from '../../../src/core/errors.ts';
import { stampFromBytes, stampToBytes } from '../../../src/core/stamp.ts';
import type { CasOutcome, PutFault } from '../../../src/core/store.ts';
import type { Bound } from '../column-codec.ts';
import type { Held, HeldAt, KeyRange, TableAccess, TablePair, Write } from '../dialect.ts';
import type { Layout } from '../layout.ts';
import { type Grammar, Statements } from '../statements.ts';
import { type Attached, AttachedTables, sameKeys } from './attached.ts';
import type { SqliteConnection } from './connection.ts';
import { classify, sqliteCode } from './faults.ts';
import { compareCells, Pages } from './pages.ts';
import { quote } from './quote.ts';
import { EXPIRED, type WriteQueue } from './write-queue.ts';

const READ_CHUNK = 256;
const STEP_BUDGET_MS = 10_000;
const SMALL_TABLE = 20_000;
const WALK_STEP = 5_000;
const SAMPLES_PER_CUT = 16;
const MAX_SAMPLES = 8_192;

const GRAMMAR: Grammar = {
  quote,
  bytewise: (expression) => `${expression} COLLATE BINARY`,
  hexadecimal: (expression) => `iif(${expression} IS NULL, NULL, lower(hex(${expression})))`,
};

/** What else the table's access needs to know. */
export interface TableSetting {
  readonly wal: boolean;
  /** A name under which the table's rowid can be read; null where it has none. */
  readonly rowid: string | null;
  readonly filename: string;
  /** Another connection, which reads a second file too. */
  attach(filename: string): Promise<Attached>;
}

/** One table and its stamp table in an SQLite file. */
export class SqliteTable implements TableAccess {
  readonly #connection: SqliteConnection;
  readonly #queue: WriteQueue;
  readonly #now: () => number;
  readonly #layout: Layout;
  readonly #setting: TableSetting;
  readonly #statements: Statements;
  readonly #pages: Pages;
  readonly #sql: Readonly<
    Record<'probe' | 'probePlain' | 'get' | 'getPlain' | 'insert' | 'update' | 'remove' | 'stamp' | 'unstamp', string>
  >;
  /** The non-key columns, by their place in a row, for updates. */
  readonly #changing: readonly number[];
  /** The stamp table was seen. Looked for again while it was not, and when a statement fails. */
  #stamped = false;

  constructor(
    connection: SqliteConnection,
    queue: WriteQueue,
    now: () => number,
    layout: Layout,
    setting: TableSetting,
  ) {
    this.#connection = connection;
    this.#queue = queue;
    this.#now = now;
    this.#layout = layout;
    this.#setting = setting;
    this.#statements = new Statements(layout, GRAMMAR);
    this.#pages = new Pages(connection, this.#statements, layout);
    const keyNames = new Set(layout.keys.map(({ name }) => name));
    this.#changing = layout.names.flatMap((name, i) => (keyNames.has(name) ? [] : [i]));
    this.#sql = this.#texts();
  }

  #texts() {
    const { names, keys, stampColumn, deletedColumn } = this.#layout;
    const statements = this.#statements;
    const { records, stamps } = statements;
    const recordKeys = statements.keys('r');
    const keyList = keys.map(({ name }) => quote(name)).join(', ');
    const marks = (count: number): string => Array.from({ length: count }, () => '?').join(', ');
    const all = names.map((name) => `r.${quote(name)}`).join(', ');
    const there = `r.${quote((keys[0] as (typeof keys)[number]).name)} IS NOT NULL`;
    const given = `(SELECT ${keys.map((_, i) => `? AS k${i}`).join(', ')}) AS q`;
    const joins =
      `LEFT JOIN ${records} AS r ON ${recordKeys.map((key, i) => `${key} = q.k${i}`).join(' AND ')} ` +
      `LEFT JOIN ${stamps} AS s ON ${statements
        .keys('s')
        .map((key, i) => `${key} = q.k${i}`)
        .join(' AND ')}`;
    const stamp = `s.${quote(stampColumn)}`;
    const plain = `FROM ${records} AS r WHERE ${statements.equal(recordKeys)}`;
    const sets = this.#changing.map((i) => `${quote(names[i] as string)} = ?`).join(', ');
    const target = statements.equal(recordKeys);
    return {
      probe: `SELECT ${stamp}, ${there} FROM ${given} ${joins}`,
      probePlain: `SELECT NULL, 1 ${plain}`,
      get: `SELECT ${stamp}, ${there}, ${all} FROM ${given} ${joins}`,
      getPlain: `SELECT NULL, 1, ${all} ${plain}`,
      // OR ABORT: a table's own ON CONFLICT clause must not replace other records.
      insert: `INSERT OR ABORT INTO ${records} (${names.map(quote).join(', ')}) VALUES (${marks(names.length)})`,
      update: `UPDATE OR ABORT ${records} AS r SET ${sets} WHERE ${target}`,
      remove: `DELETE FROM ${records} AS r WHERE ${target}`,
      stamp:
        `INSERT INTO ${stamps} (${keyList}, ${quote(stampColumn)}, ${quote(deletedColumn)}) ` +
        `VALUES (${marks(keys.length + 2)}) ON CONFLICT (${keyList}) DO UPDATE SET ` +
        `${quote(stampColumn)} = excluded.${quote(stampColumn)}, ${quote(deletedColumn)} = excluded.${quote(deletedColumn)}`,
      unstamp: `DELETE FROM ${stamps} AS s WHERE ${statements.equal(statements.keys('s'))}`,
    };
  }

  // --- preparing ---------------------------------------------------------------------------------

  #exists(): boolean {
    const sql = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND lower(name) = lower(?)";
    return this.#connection.get(sql, [this.#layout.stampTable]) !== undefined;
  }

  /** Does work that depends on whether there is a stamp table, rightly even if it has just been made or dropped. */
  #withStamps<T>(work: (stamped: boolean) => T): T {
    const known = this.#stamped;
    if (!known) this.#stamped = this.#exists();
    try {
      return work(this.#stamped);
    } catch (error) {
      if (!known || sqliteCode(error) !== 'SQLITE_ERROR' || this.#exists()) throw error;
      this.#stamped = false;
      return work(false);
    }
  }

  #complete(): boolean {
    const { stampTable, keys, stampColumn, deletedColumn } = this.#layout;
    const found = this.#connection.all('SELECT lower(name) FROM pragma_table_info(?)', [stampTable]).flat();
    const wanted = [...keys.map(({ name }) => name), stampColumn, deletedColumn];
    return wanted.every((name) => found.includes(name.toLowerCase()));
  }

  prepared(): Promise<boolean> {
    return this.#connection.read(() => {
      this.#stamped = this.#exists();
      return this.#stamped && this.#complete();
    });
  }

  async prepare(dryRun: boolean): Promise<readonly string[]> {
    const { table, stampTable, keys, stampColumn, deletedColumn } = this.#layout;
    const wal = 'PRAGMA journal_mode = WAL';
    const columns = [
      ...keys.map(({ name, declared }) => `${quote(name)} ${declared} NOT NULL`.replace('  ', ' ')),
      `${quote(stampColumn)} BLOB(12) NOT NULL`,
      `${quote(deletedColumn)} INTEGER NOT NULL`,
      `PRIMARY KEY (${keys.map(({ name }) => quote(name)).join(', ')})`,
    ].join(', ');
    const create = `CREATE TABLE ${quote(stampTable)} (${columns}) WITHOUT ROWID`;
    const actions = await this.#connection.read(() => {
      const exists = this.#exists();
      if (exists && !this.#complete()) {
        throw new InvalidConfiguration(`table ${table}: the table "${stampTable}" is there, but holds no stamps`, {
          expected: 'a name of its own in `stampTable`',
        });
      }
      const [mode] = this.#connection.get('PRAGMA journal_mode') ?? [];
      return [...(exists ? [] : [create]), ...(this.#setting.wal && mode !== 'wal' ? [wal] : [])];
    });
    if (dryRun) return actions;
    if (actions.includes(wal)) await this.#connection.read(() => this.#connection.get(wal));
    if (actions.includes(create)) {
      await this.#step(() => {
        // Another process may have been faster.
        if (!this.#exists()) this.#connection.run(create);
        this.#stamped = true;
      });
    }
    return actions;
  }

  async dropStampTable(): Promise<void> {
    const { stamps } = this.#statements;
    await this.#step(() => {
      this.#stamped = this.#exists();
      if (!this.#stamped || this.#connection.get(`SELECT 1 FROM ${stamps} LIMIT 1`) !== undefined) return;
      this.#connection.run(`DROP TABLE ${stamps}`);
      this.#stamped = false;
    });
  }

  // --- reading -----------------------------------------------------------------------------------

  /** Stamp and presence of a key, and its columns if they are wanted; undefined where nothing ever was. */
  #held(key: readonly Bound[], stamped: boolean, withRow: boolean): Held | undefined {
    const sql = withRow ? (stamped ? 'get' : 'getPlain') : stamped ? 'probe' : 'probePlain';
    const cells = this.#connection.get(this.#sql[sql], key);
    if (cells === undefined) return undefined;
    const [stamp, there] = cells;
    if (stamp === null && Number(there) === 0) return undefined;
    return {
      stamp: stamp === null ? null : stampFromBytes(stamp as Uint8Array),
      row: Number(there) === 0 ? null : cells.slice(2),
    };
  }

  async read(keys: readonly (readonly Bound[])[], stampsOnly: boolean): Promise<(Held | undefined)[]> {
    const one = (key: readonly Bound[]): Held | undefined =>
      this.#withStamps((stamped) => this.#held(key, stamped, !stampsOnly));
    const [first] = keys;
    if (first !== undefined && keys.length === 1) return [await this.#connection.read(() => one(first))];
    const found: (Held | undefined)[] = [];
    for (let i = 0; i < keys.length; i += READ_CHUNK) {
      const chunk = keys.slice(i, i + READ_CHUNK);
      found.push(...(await this.#connection.read(() => this.#connection.snapshot(() => chunk.map(one)))));
    }
    return found;
  }

  async pair(other: TableAccess): Promise<TablePair | null> {
    if (!(other instanceof SqliteTable) || !sameKeys(this.#layout, other.#layout)) return null;
    const attached = await this.#setting.attach(other.#setting.filename);
    try {
      const pair = await attached.connection.read(
        () => new AttachedTables(attached, this.#layout, other.#layout, this.#statements),
      );
      if (await attached.connection.read(() => pair.isIndexed())) return pair;
    } catch (error) {
      await attached.end();
      throw error;
    }
    await attached.end();
    return null;
  }

  page(range: KeyRange, limit: number, stampsOnly: boolean): Promise<HeldAt[]> {
    return this.#connection.read(() =>
      this.#withStamps((stamped) => this.#pages.page(range, limit, { stamped, stampsOnly })),
    );
  }

  list(unit: readonly Bound[], after: readonly Bound[] | null, limit: number): Promise<HeldAt[]> {
    return this.#connection.read(() => this.#withStamps((stamped) => this.#pages.list(unit, after, limit, stamped)));
  }

  /** The number of records if that is small, else null. */
  #countSmall(): number | null {
    const sql = `SELECT count(*) FROM (SELECT 1 FROM ${this.#statements.records} LIMIT ${SMALL_TABLE + 1})`;
    const count = Number(this.#connection.get(sql)?.[0]);
    return count > SMALL_TABLE ? null : count;
  }

  estimate(): Promise<number | null> {
    return this.#connection.read(() => this.#countSmall() ?? this.#rowidSpan()?.rows ?? null);
  }

  #rowidSpan(): { readonly first: bigint; readonly rows: number } | null {
    const { rowid } = this.#setting;
    if (rowid === null) return null;
    const { records } = this.#statements;
    const ends = this.#connection.get(
      `SELECT (SELECT min(${rowid}) FROM ${records}), (SELECT max(${rowid}) FROM ${records})`,
    );
    const [first, last] = (ends ?? []) as (bigint | null)[];
    return typeof first === 'bigint' && typeof last === 'bigint' ? { first, rows: Number(last - first) + 1 } : null;
  }

  async divide(count: number): Promise<(readonly unknown[])[]> {
    const samples = (await this.#sample(count)) ?? (await this.#walk('r', count));
    const keys = samples.length > 0 ? samples : await this.#walk('s', count);
    const cuts = Array.from({ length: count }, (_, i) => keys[Math.floor(((i + 1) * keys.length) / (count + 1))]);
    return [...new Set(cuts.filter((key) => key !== undefined))];
  }

  /** Keys at even distances of rowids: no scan, and evenly spread unless the rowids have great holes. */
  async #sample(count: number): Promise<(readonly unknown[])[] | null> {
    const { rowid } = this.#setting;
    const span = await this.#connection.read(() => (this.#countSmall() === null ? this.#rowidSpan() : null));
    if (span === null || rowid === null) return null;
    const samples = Math.min(MAX_SAMPLES, count * SAMPLES_PER_CUT, span.rows);
    const columns = this.#statements.keys('r').join(', ');
    const sql = `SELECT ${columns} FROM ${this.#statements.records} AS r WHERE r.${rowid} >= ? ORDER BY r.${rowid} LIMIT 1`;
    const keys: (readonly unknown[])[] = [];
    for (let i = 0; i < samples; i += 1) {
      const from = span.first + BigInt(Math.floor((i * span.rows) / samples));
      const key = await this.#connection.read(() => this.#connection.get(sql, [from]));
      if (key !== undefined) keys.push(key);
    }
    return keys.sort(compareCells);
  }

  /** Every so manieth key of a table, read in key order, in bounded steps. */
  async #walk(alias: 'r' | 's', count: number): Promise<(readonly unknown[])[]> {
    const { records, stamps } = this.#statements;
    if (alias === 's' && !(await this.#connection.read(() => this.#exists()))) return [];
    const columns = this.#statements.keys(alias);
    const rows = await this.#connection.read(() => this.#countSmall());
    const step = rows === null || alias === 's' ? WALK_STEP : Math.max(1, Math.floor(rows / (count + 1) / 4));
    const select = `SELECT ${columns.join(', ')} FROM ${alias === 'r' ? records : stamps} AS ${alias}`;
    const order = `ORDER BY ${columns.join(', ')} LIMIT 1 OFFSET ${step - 1}`;
    const next = `${select} WHERE ${this.#statements.compare(columns, '>')} ${order}`;
    const keys: (readonly unknown[])[] = [];
    for (;;) {
      const last = keys.at(-1);
      const key = await this.#connection.read(() =>
        last === undefined ? this.#connection.get(`${select} ${order}`) : this.#connection.get(next, last),
      );
      if (key === undefined) return keys;
      keys.push(key);
    }
  }

  // --- writing -----------------------------------------------------------------------------------

  async write(writes: readonly Write[]): Promise<(CasOutcome | PutFault)[]> {
    return Promise.all(writes.map((write) => this.#writeOne(write)));
  }

  async #writeOne(write: Write): Promise<CasOutcome | PutFault> {
    try {
      const outcome = await this.#queue.submit(write.deadline, () => this.#apply(write));
      return outcome === EXPIRED ? { kind: 'expired' } : outcome;
    } catch (error) {
      if (error instanceof StoreFault) {
        return { kind: 'fault', outcome: error.outcome, message: error.message, pressure: error.pressure };
      }
      const failure = classify(error);
      if (failure.kind === 'rejected') return failure.rejection;
      throw error;
    }
  }

  /** Inside the transaction: nobody else writes between the look and the change. */
  #apply(write: Write): CasOutcome {
    const { key, row, stamp } = write;
    const { held, stamped } = this.#withStamps((there) => {
      if (stamp !== null && !there) {
        throw new NotPrepared(`${this.#connection.label}: the stamp table "${this.#layout.stampTable}" is missing`, {
          remedy: '`changeover prepare`',
        });
      }
      return { held: this.#held(key, there, write.looksAtRow), stamped: there };
    });
    const verdict = write.judge(held);
    if (verdict !== null) return verdict;
    const before = held !== undefined && held.row !== null;
    if (stamp !== null) {
      this.#connection.run(this.#sql.stamp, [...key, stampToBytes(stamp), row === null ? 1 : 0]);
    } else if (stamped && held !== undefined && held.stamp !== null) {
      this.#connection.run(this.#sql.unstamp, key);
    }
    if (row === null) {
      if (before) this.#connection.run(this.#sql.remove, key);
    } else if (!before) {
      this.#connection.run(this.#sql.insert, row);
    } else if (this.#changing.length > 0) {
      this.#connection.run(this.#sql.update, [...this.#changing.map((i) => row[i]), ...key]);
    }
    return { kind: 'applied', previous: before ? 'record' : 'absent' };
  }

  /** A bounded piece of upkeep in a transaction of its own. @throws StoreFault */
  async #step<T>(work: () => T): Promise<T> {
    const result = await this.#queue.submit(this.#now() + STEP_BUDGET_MS, work).catch((error: unknown) => {
      const failure = classify(error);
      if (failure.kind !== 'rejected') throw error;
      throw new StoreFault(`${this.#connection.label}: ${failure.rejection.message}`, {
        outcome: 'nothing-written',
        cause: error,
      });
    });
    if (result !== EXPIRED) return result;
    throw new StoreFault(`${this.#connection.label}: the database was locked for too long`, {
      outcome: 'nothing-written',
      pressure: true,
    });
  }

  deleteRecords(limit: number): Promise<number> {
    const { records } = this.#statements;
    const columns = this.#setting.rowid ?? this.#layout.keys.map(({ name }) => quote(name)).join(', ');
    const sql = `DELETE FROM ${records} WHERE (${columns}) IN (SELECT ${columns} FROM ${records} LIMIT ?)`;
    return this.#step(() => this.#connection.run(sql, [limit]));
  }

  deleteStamps(limit: number): Promise<number> {
    const { stamps } = this.#statements;
    const columns = this.#layout.keys.map(({ name }) => quote(name)).join(', ');
    const sql = `DELETE FROM ${stamps} WHERE (${columns}) IN (SELECT ${columns} FROM ${stamps} LIMIT ?)`;
    return this.#step(() => this.#withStamps((stamped) => (stamped ? this.#connection.run(sql, [limit]) : 0)));
  }
}
