import type { Clock } from '../../../src/core/clock.ts';
import { sleep } from '../../../src/core/clock.ts';
import { StoreFault } from '../../../src/core/errors.ts';
import type { SqliteDatabase, SqliteStatement } from './driver.ts';
import { EventLoopShare } from './event-loop-share.ts';
import { classify, storeFault, UnboundValue } from './faults.ts';

const READ_PATIENCE_MS = 5_000;
const LONGEST_PAUSE_MS = 12;

/** A pause before the next try for a lock; random, so that several waiters do not meet again. */
export const pauseMs = (tries: number): number => 1 + Math.random() * Math.min(LONGEST_PAUSE_MS, 2 ** tries);

/** One connection: prepared statements, kept, and synchronous work on them. */
export class SqliteConnection {
  readonly label: string;
  readonly clock: Clock;
  readonly #database: SqliteDatabase;
  readonly #statements = new Map<string, SqliteStatement>();
  readonly #share = new EventLoopShare();

  constructor(database: SqliteDatabase, label: string, clock: Clock) {
    this.#database = database;
    this.label = label;
    this.clock = clock;
  }

  /** Sets the connection up. */
  async open(): Promise<void> {
    // Locks are waited for between turns of the event loop, never within one.
    this.get('PRAGMA busy_timeout = 0');
    // In WAL mode the driver's default lets a power cut take back what was acknowledged.
    await this.read(() => this.run('PRAGMA synchronous = FULL'));
  }

  get inTransaction(): boolean {
    return this.#database.inTransaction;
  }

  #statement(sql: string): SqliteStatement {
    let statement = this.#statements.get(sql);
    if (statement === undefined) {
      statement = this.#database.prepare(sql);
      if (statement.reader) statement.raw(true).safeIntegers(true);
      this.#statements.set(sql, statement);
    }
    return statement;
  }

  /** All rows as lists of cells, integers as bigints. */
  all(sql: string, bindings: readonly unknown[] = []): (readonly unknown[])[] {
    return this.#statement(sql).all(...bindings) as (readonly unknown[])[];
  }

  get(sql: string, bindings: readonly unknown[] = []): readonly unknown[] | undefined {
    return this.#statement(sql).get(...bindings) as readonly unknown[] | undefined;
  }

  /** Runs a statement; how many rows it changed. */
  run(sql: string, bindings: readonly unknown[] = []): number {
    const statement = this.#statement(sql);
    try {
      return Number(statement.run(...bindings).changes);
    } catch (error) {
      throw error instanceof RangeError ? new UnboundValue('too large', { cause: error }) : error;
    }
  }

  /** Ends a transaction that may have been ended by its error. */
  rollback(): void {
    if (this.#database.inTransaction) this.run('ROLLBACK');
  }

  /** Reads at one moment. */
  snapshot<T>(work: () => T): T {
    this.run('BEGIN');
    try {
      const result = work();
      this.run('COMMIT');
      return result;
    } catch (error) {
      this.rollback();
      throw error;
    }
  }

  /** Work that reads only (or may be repeated), again while others hold the lock. @throws StoreFault */
  async read<T>(work: () => T): Promise<T> {
    const since = this.clock.monotonic();
    for (let tries = 0; ; tries += 1) {
      await this.#share.take();
      try {
        return work();
      } catch (error) {
        const { kind } = classify(error);
        if (kind === 'other') throw error;
        if (kind !== 'busy') throw storeFault(this.label, error, 'nothing-written');
        if (this.clock.monotonic() - since > READ_PATIENCE_MS) {
          throw new StoreFault(`${this.label}: the database was locked for too long`, {
            outcome: 'nothing-written',
            pressure: true,
            cause: error,
          });
        }
      }
      await sleep(this.clock, pauseMs(tries));
    }
  }
}
