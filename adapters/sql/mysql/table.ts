import type { Clock } from '../../../src/core/clock.ts';
import { InvalidConfiguration, StoreFault } from '../../../src/core/errors.ts';
import type { Bound } from '../column-codec.ts';
import type { Held, HeldAt, KeyRange, TableAccess, Write } from '../dialect.ts';
import { keyToText } from '../key-text.ts';
import type { Layout } from '../layout.ts';
import type { ServerPool } from '../server/server-pool.ts';
import { BatchWriter } from './batch-writer.ts';
import { affected, type MysqlConnection, type Result, rowsOf, run, StatementFailed } from './connection.ts';
import { classify, storeFault } from './faults.ts';
import { KeyReader } from './key-reader.ts';
import { literal } from './literal.ts';
import { StampTable } from './stamp-table.ts';
import { MysqlStatements } from './statements.ts';
import { type Outcome, type Place, storedStamp, Writer } from './writer.ts';

const READ_CHUNK = 200;
const BATCH_ROWS = 250;
const PATIENCE_MS = 30_000;
const SMALL_TABLE = 20_000;
const STEPS_PER_CUT = 16;
const FIRST_STEP = 4;
const LONGEST_STEP = 2 ** 17;

/** One table and its stamp table on a MySQL or MariaDB server. */
export class MysqlTable implements TableAccess {
  readonly #pool: ServerPool<MysqlConnection>;
  readonly #label: string;
  readonly #layout: Layout;
  readonly #statements: MysqlStatements;
  readonly #stampTable = new StampTable();
  readonly #reader: KeyReader;
  readonly #writer: Writer;
  readonly #batches: BatchWriter;

  constructor(
    pool: ServerPool<MysqlConnection>,
    clock: Clock,
    label: string,
    layout: Layout,
    packetBytes: number,
    now: () => number,
  ) {
    this.#pool = pool;
    this.#label = label;
    this.#layout = layout;
    this.#statements = new MysqlStatements(layout);
    this.#reader = new KeyReader(layout);
    const [statements, stampTable] = [this.#statements, this.#stampTable];
    const place: Place = { pool, clock, label, layout, statements, stampTable, packetBytes, now };
    this.#writer = new Writer(place);
    this.#batches = new BatchWriter(place, this.#writer, this.#reader);
  }

  // --- running statements ------------------------------------------------------------------------

  /** Statements that read, or that may fail half way. @throws StoreFault */
  async #run(
    statements: readonly string[],
    outcome: 'nothing-written' | 'unknown' = 'nothing-written',
  ): Promise<readonly Result[]> {
    try {
      return await this.#pool.use(PATIENCE_MS, (connection) => run(connection, statements));
    } catch (error) {
      throw error instanceof StatementFailed ? storeFault(this.#label, error.cause, outcome) : error;
    }
  }

  async #rows(sql: string): Promise<readonly (readonly unknown[])[]> {
    return rowsOf((await this.#run([sql]))[0]);
  }

  async #exists(): Promise<boolean> {
    const [[there] = []] = await this.#rows(`SELECT ${this.#statements.stampsExist()}`);
    this.#stampTable.there = Number(there) === 1;
    return this.#stampTable.there;
  }

  /**
   * Reads what depends on whether there is a stamp table, rightly even if it has just been made or dropped: where none
   * was seen, the same packet looks for one.
   */
  async #read(sql: (stamped: boolean) => string): Promise<readonly (readonly unknown[])[]> {
    if (!this.#stampTable.there) {
      const [there, rows] = await this.#run([`SELECT ${this.#statements.stampsExist()}`, sql(false)]);
      if (Number(rowsOf(there)[0]?.[0]) !== 1) return rowsOf(rows);
      this.#stampTable.there = true;
    }
    try {
      return await this.#rows(sql(true));
    } catch (error) {
      if (!isMissingTable(error) || (await this.#exists())) throw error;
      return this.#rows(sql(false));
    }
  }

  // --- preparing ---------------------------------------------------------------------------------

  async #complete(): Promise<boolean> {
    const rows = await this.#rows(
      `SELECT COLUMN_NAME FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = ${literal(this.#layout.stampTable)}`,
    );
    const found = new Set(rows.map(([name]) => String(name).toLowerCase()));
    return this.#statements.stampTableColumns().every((name) => found.has(name.toLowerCase()));
  }

  async prepared(): Promise<boolean> {
    return (await this.#exists()) && (await this.#complete());
  }

  async prepare(dryRun: boolean): Promise<readonly string[]> {
    if (await this.#exists()) {
      if (await this.#complete()) return [];
      throw new InvalidConfiguration(
        `${this.#label}: the table "${this.#layout.stampTable}" is not a stamp table of this key`,
        {
          expected: `columns ${this.#statements.stampTableColumns().join(', ')}`,
          remedy: 'name another table in `stampTable`',
        },
      );
    }
    const create = this.#statements.createStamps();
    if (!dryRun) {
      await this.#run([create]);
      this.#stampTable.there = true;
    }
    return [create];
  }

  async dropStampTable(): Promise<void> {
    if (!(await this.#exists())) return;
    const [[used] = []] = await this.#rows(`SELECT EXISTS (SELECT 1 FROM ${this.#statements.stamps})`);
    if (Number(used) === 1) return;
    await this.#run([`DROP TABLE IF EXISTS ${this.#statements.stamps}`]);
    this.#stampTable.there = false;
  }

  // --- reading -----------------------------------------------------------------------------------

  async read(keys: readonly (readonly Bound[])[], stampsOnly: boolean): Promise<(Held | undefined)[]> {
    const [only] = keys;
    if (only !== undefined && keys.length === 1) return [await this.#one(only, stampsOnly)];
    const found = new Map<string, Held>();
    for (let from = 0; from < keys.length; from += READ_CHUNK) {
      const chunk = keys.slice(from, from + READ_CHUNK);
      const rows = await this.#read((stamped) => this.#statements.many(chunk, stamped, stampsOnly));
      for (const { key, stamp, row } of this.#held(rows)) found.set(this.#reader.text(key), { stamp, row });
    }
    return keys.map((key) => found.get(keyToText(key)));
  }

  async #one(key: readonly Bound[], stampsOnly: boolean): Promise<Held | undefined> {
    const [found] = await this.#read((stamped) => this.#statements.one(key, stamped, !stampsOnly));
    if (found === undefined) return undefined;
    const stamp = storedStamp(found[0]);
    const row = Number(found[1]) === 1 ? found.slice(2) : null;
    return stamp === null && row === null ? undefined : { stamp, row };
  }

  /** Rows of {@link MysqlStatements.page}. */
  #held(rows: readonly (readonly unknown[])[]): HeldAt[] {
    const keys = this.#layout.keys.length;
    return rows.map(([stamp, gone, ...cells]) => ({
      key: this.#reader.cells(cells.slice(0, keys)),
      stamp: storedStamp(stamp),
      row: Number(gone) === 1 ? null : cells.slice(keys),
    }));
  }

  async page(range: KeyRange, limit: number, stampsOnly: boolean): Promise<HeldAt[]> {
    return this.#held(await this.#read((stamped) => this.#statements.page(range, limit, stamped, stampsOnly)));
  }

  async list(unit: readonly Bound[], after: readonly Bound[] | null, limit: number): Promise<HeldAt[]> {
    return this.#held(await this.#read((stamped) => this.#statements.list(unit, after, limit, stamped)));
  }

  async estimate(): Promise<number | null> {
    const [[rows] = []] = await this.#rows(
      `SELECT TABLE_ROWS FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = ${literal(this.#layout.table)}`,
    );
    const guess = rows === null || rows === undefined ? SMALL_TABLE + 1 : Number(rows);
    if (guess > 2 * SMALL_TABLE) return guess;
    const [[count] = []] = await this.#rows(
      `SELECT COUNT(*) FROM (SELECT 1 FROM ${this.#statements.records} LIMIT ${SMALL_TABLE + 1}) AS few`,
    );
    return Number(count) > SMALL_TABLE ? Math.max(guess, SMALL_TABLE) : Number(count);
  }

  async divide(count: number): Promise<(readonly unknown[])[]> {
    const records = await this.#walk('records', count);
    const keys = records.length > 0 ? records : (await this.#exists()) ? await this.#walk('stamps', count) : [];
    const cuts = Array.from({ length: count }, (_, i) => keys[Math.floor(((i + 1) * keys.length) / (count + 1))]);
    return [...new Set(cuts.filter((key) => key !== undefined))];
  }

  /** Keys at even distances, in the order of scans: an index is gone through in bounded steps, each twice as wide once there are enough. */
  async #walk(table: 'records' | 'stamps', count: number): Promise<(readonly unknown[])[]> {
    let keys: (readonly unknown[])[] = [];
    let step = FIRST_STEP;
    for (;;) {
      const last = keys.at(-1);
      const after = last === undefined ? null : this.#reader.bound(last);
      const [found] = await this.#rows(this.#statements.stepFrom(table, after, step));
      if (found === undefined) return keys;
      keys.push(this.#reader.cells(found));
      if (keys.length < 2 * STEPS_PER_CUT * count || step >= LONGEST_STEP) continue;
      keys = keys.filter((_, i) => i % 2 === 1);
      step *= 2;
    }
  }

  // --- writing -----------------------------------------------------------------------------------

  async write(writes: readonly Write[]): Promise<Outcome[]> {
    const [only] = writes;
    if (only !== undefined && writes.length === 1) return [await this.#writer.write(only)];
    return this.#batches.write(writes, BATCH_ROWS);
  }

  async deleteRecords(limit: number): Promise<number> {
    const [result] = await this.#run([`DELETE FROM ${this.#statements.records} LIMIT ${limit}`], 'unknown');
    return affected(result);
  }

  async deleteStamps(limit: number): Promise<number> {
    if (!(await this.#exists())) return 0;
    const [result] = await this.#run([`DELETE FROM ${this.#statements.stamps} LIMIT ${limit}`], 'unknown');
    return affected(result);
  }
}

const isMissingTable = (error: unknown): boolean =>
  error instanceof StoreFault && classify(error.cause).kind === 'no table';
