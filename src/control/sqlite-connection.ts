import { statSync } from 'node:fs';
import makeKnex, { type Knex } from 'knex';
import { ControlUnavailable } from '../core/errors.ts';
import { type Outcome, type Session, SILENT_LOG } from './control-dialect.ts';
import { type Statement, StatementPlans } from './statement-plans.ts';

/** A prepared statement of better-sqlite3. */
interface Prepared {
  /** Whether it gives rows. */
  readonly reader: boolean;
  all(...values: readonly unknown[]): Outcome['rows'];
  run(...values: readonly unknown[]): { readonly changes: number };
}

/** The part of a better-sqlite3 connection that is used here. */
interface Driver {
  pragma(text: string): unknown;
  prepare(sql: string): Prepared;
}

/** Texts repeat; those that do not are not kept for long. */
const MOST_PREPARED = 500;

/** Which file stands at a path: another text where another one has taken its place; null where there is none. */
export function fileAt(path: string): string | null {
  const file = statSync(path, { bigint: true, throwIfNoEntry: false });
  return file === undefined ? null : `${file.dev}:${file.ino}`;
}

/**
 * One connection to a SQLite file. knex opens it and looks after it; statements go straight to the driver, prepared once
 * and in the turn in which they are asked: the write lock is held for microseconds, not until the event loop comes round.
 */
export class SqliteConnection implements Session {
  readonly knex: Knex;
  readonly plans: StatementPlans;
  readonly #path: string;
  readonly #prepared = new Map<string, Prepared>();
  #driver: Driver | null = null;
  /** The one that is open. */
  #file: string | null = null;

  constructor(path: string, pragmas: readonly string[]) {
    this.#path = path;
    this.knex = makeKnex({
      client: 'better-sqlite3',
      connection: { filename: path },
      useNullAsDefault: true,
      // Messages of failed statements must not carry bound values.
      compileSqlOnError: false,
      log: SILENT_LOG,
      pool: {
        min: 1,
        max: 1,
        afterCreate: (driver: Driver, done: (error: unknown, driver: Driver) => void) => {
          try {
            for (const pragma of pragmas) driver.pragma(pragma);
            this.#driver = driver;
            this.#prepared.clear();
            done(null, driver);
          } catch (error) {
            done(error, driver);
          }
        },
      },
    });
    this.plans = new StatementPlans(this.knex);
  }

  /**
   * Connects, if it is not connected to the file that stands at the path now: one that was removed can be read and written
   * for as long as it is open, and nobody else sees what is written there. @returns whether it is connected anew
   * @throws ControlUnavailable where there is none, as SQLite would make one
   */
  async open(): Promise<boolean> {
    let file = fileAt(this.#path);
    if (this.#driver !== null && file === this.#file) return false;
    do {
      if (this.#driver !== null) {
        await this.close();
        this.knex.initialize();
      }
      if (file === null) {
        throw new ControlUnavailable(`the control database ${this.#path} is not there any more`, {
          remedy: 'put it back; to make a new one, stop all services first, then `changeover prepare`',
        });
      }
      this.#file = file;
      await this.knex.raw('select 1');
      file = fileAt(this.#path);
    } while (file !== this.#file);
    return true;
  }

  async run(statement: Statement): Promise<Outcome> {
    return this.execute(statement);
  }

  /** @throws Error unless it is open */
  execute({ sql, values }: Statement): Outcome {
    const prepared = this.#prepare(sql);
    const bound = values.map((value) => (typeof value === 'boolean' ? Number(value) : value));
    if (!prepared.reader) return { rows: [], met: prepared.run(...bound).changes };
    const rows = prepared.all(...bound);
    return { rows, met: rows.length };
  }

  close(): Promise<void> {
    this.#driver = null;
    this.#prepared.clear();
    return this.knex.destroy();
  }

  #prepare(sql: string): Prepared {
    const known = this.#prepared.get(sql);
    if (known !== undefined) return known;
    if (this.#driver === null) throw new Error('the connection is not open');
    const prepared = this.#driver.prepare(sql);
    if (this.#prepared.size >= MOST_PREPARED) this.#prepared.clear();
    this.#prepared.set(sql, prepared);
    return prepared;
  }
}
