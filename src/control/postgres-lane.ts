import makeKnex, { type Knex } from 'knex';
import type { Clock } from '../core/clock.ts';
import type { Change } from '../core/control-client.ts';
import { ChangeoverError, ControlUnavailable } from '../core/errors.ts';
import { type Session, SILENT_LOG } from './control-dialect.ts';
import type { DatabaseClock } from './database-clock.ts';
import { Mutex } from './mutex.ts';
import type { Patience } from './patience.ts';
import type { Answer, PostgresConnection } from './postgres-connection.ts';
import { ConnectionLost, endsConnection, isUndone, takesNoWrites } from './postgres-faults.ts';
import { channelOf, type PostgresPlace } from './postgres-place.ts';
import { StatementPlans } from './statement-plans.ts';

/** A statement of ours takes milliseconds; one that takes this long meets a database in trouble. */
const STATEMENT_MS = 5_000;
/**
 * The server undoes a transaction whose process says nothing for this long: one that was stopped, or whose machine is
 * gone, would keep the lock and with it everybody else. Below the budget of those who wait.
 */
const SILENCE_MS = 2_000;
/** A server that does not answer at all is given up after what it may take by its own limits, and this. */
const UNANSWERED_MS = 5_000;
/** Changing the schema may wait for another process that does, and for every transaction under way. */
const PREPARE_MS = 60_000;
/** "chov": the first half of the advisory lock's name; the second is the schema's. */
const LOCK_CLASS = 0x63686f76;

export interface LaneParts {
  readonly place: PostgresPlace;
  readonly mode: 'read' | 'write';
  /** Tells one's own announcements from others'. */
  readonly instance: string;
  readonly open: () => Promise<PostgresConnection>;
  readonly machine: Clock;
  readonly clock: DatabaseClock;
}

/**
 * One connection, one transaction at a time.
 *
 * Writers of all processes go one after another, as SQLite's IMMEDIATE makes them go: the first statement of each takes
 * an advisory lock, which the server frees after the commit is visible. Under READ COMMITTED every later statement sees
 * all commits before its own, and nobody commits meanwhile: that is serializable, and nothing has to be run again.
 * REPEATABLE READ would take its snapshot before the lock. Reads need no lock: one snapshot between two commits.
 *
 * All settings are the transaction's own (SET LOCAL), so that connections may be shared by a pooler.
 */
export class PostgresLane {
  readonly #parts: LaneParts;
  readonly #knex: Knex;
  readonly #plans: StatementPlans;
  readonly #mutex = new Mutex();
  #connection: PostgresConnection | null = null;
  #waiting = 0;

  constructor(parts: LaneParts) {
    this.#parts = parts;
    this.#knex = makeKnex({
      client: 'pg',
      // Messages of failed statements must not carry bound values.
      compileSqlOnError: false,
      log: SILENT_LOG,
      // Exactly this lane's connection. Another one in its place would run statements outside of the transaction.
      connectionPool: {
        totalCount: 1,
        idleCount: 0,
        waitingCount: 0,
        connect: async () => {
          if (this.#connection === null || this.#connection.lost) throw new ConnectionLost();
          return this.#connection.client;
        },
        end: async () => {},
      },
    });
    this.#plans = new StatementPlans(this.#knex);
  }

  /** How many transactions have come and not ended. */
  get waiting(): number {
    return this.#waiting;
  }

  transact<T>(patience: Patience, body: (session: Session) => Promise<T>, changed: () => Change | null): Promise<T> {
    return this.#exclusively(patience.leftMs + STATEMENT_MS, async (connection) => {
      let result: T;
      try {
        this.#tell(await connection.query(this.#begin(patience)));
        result = await body(this.#session(connection));
      } catch (error) {
        await this.#rollback(connection);
        throw error;
      }
      await this.#commit(connection, changed());
      return result;
    });
  }

  /**
   * The same where the body asks everything in one turn: it goes out between BEGIN and COMMIT, and all is answered
   * together. After a statement that fails, or a BEGIN, COMMIT undoes. A lost answer to it is no unknown outcome: the
   * body may be applied twice. A single query is a transaction by itself, which costs both ends half as much.
   */
  transactAtOnce<T>(
    patience: Patience,
    body: (session: Session) => Promise<T>,
    changed: () => Change | null,
  ): Promise<T> {
    return this.#exclusively(patience.leftMs + STATEMENT_MS, async (connection) => {
      const asked: (() => Promise<unknown>)[] = [];
      const result = body({
        ...this.#session(connection),
        run: (statement) =>
          new Promise((resolve) =>
            asked.push(() => {
              const answered = connection.run(statement);
              resolve(answered);
              return answered;
            }),
          ),
      });
      const ask = (): readonly Promise<unknown>[] => asked.map((each) => each());
      if (this.#parts.mode === 'read' && asked.length === 1) {
        ask();
        return result;
      }
      const { parts, end } = connection.together(() => {
        const begun = connection.query(this.#begin(patience)).then((answers) => this.#tell(answers));
        const answered = ask();
        // In a text of its own: of one that fails the server skips the rest, and COMMIT is what ends the transaction.
        const announcement = this.#announcement(changed());
        const announced = announcement === '' ? null : connection.query(announcement);
        const end = connection.query('COMMIT');
        return { parts: [begun, ...answered, result, announced, end], end };
      });
      // The first failure says why; those behind it say no more than that something had failed.
      for (const part of await Promise.allSettled(parts)) if (part.status === 'rejected') throw part.reason;
      this.#checkCommitted(await end);
      return result;
    });
  }

  /** Runs `body` in one transaction that excludes writers and every other preparation. */
  prepare(body: (knex: Knex) => Promise<void>): Promise<void> {
    return this.#exclusively(2 * PREPARE_MS, () =>
      this.#knex.transaction(
        async (trx) => {
          await trx.raw(`${this.#settings(PREPARE_MS, PREPARE_MS, SILENCE_MS)}; SELECT ${this.#lock}`);
          await body(trx);
        },
        { isolationLevel: 'read committed' },
      ),
    );
  }

  async close(): Promise<void> {
    await this.#mutex.idle();
    await this.#connection?.close();
  }

  async #exclusively<T>(limitMs: number, run: (connection: PostgresConnection) => Promise<T>): Promise<T> {
    this.#waiting += 1;
    try {
      return await this.#mutex.run(async () => {
        const kept = this.#connection;
        const connection = await this.#connected();
        const { machine } = this.#parts;
        const watchdog = machine.after(limitMs + UNANSWERED_MS, () => connection.destroy(), true);
        try {
          return await run(connection);
        } catch (error) {
          if (error instanceof ChangeoverError) throw error;
          const readOnly = takesNoWrites(error);
          if (!(connection.lost || endsConnection(error) || readOnly)) throw error;
          connection.destroy();
          // A new one would be led to the same database again.
          if (readOnly && connection !== kept) throw error;
          throw error instanceof ConnectionLost ? error : new ConnectionLost(error);
        } finally {
          watchdog.cancel();
        }
      });
    } finally {
      this.#waiting -= 1;
    }
  }

  async #connected(): Promise<PostgresConnection> {
    if (this.#connection === null || this.#connection.lost) {
      this.#connection = null;
      this.#connection = await this.#parts.open();
    }
    return this.#connection;
  }

  get #lock(): string {
    return `pg_advisory_xact_lock(${LOCK_CLASS}, ${this.#parts.place.lockId})`;
  }

  /** In one statement: the server reads each anew, of every transaction. */
  #settings(lockMs: number, statementMs: number, silenceMs: number): string {
    const settings = {
      search_path: `"${this.#parts.place.schema}"`,
      lock_timeout: String(lockMs),
      statement_timeout: String(statementMs),
      idle_in_transaction_session_timeout: String(silenceMs),
    };
    const local = Object.entries(settings).map(([name, value]) => `set_config('${name}', '${value}', true)`);
    return `SELECT ${[...local, DURABLE].join(', ')}`;
  }

  /** Everything up to the transaction's first statement, in one round trip; it ends with the server's time. */
  #begin(patience: Patience): string {
    const lockMs = Math.max(Math.ceil(patience.leftMs), 1);
    const settings = this.#settings(lockMs, lockMs + STATEMENT_MS, SILENCE_MS);
    const now = 'extract(epoch FROM clock_timestamp()) * 1000 AS now';
    return this.#parts.mode === 'read'
      ? `BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; ${settings}, ${now}`
      : `BEGIN ISOLATION LEVEL READ COMMITTED; ${settings}; SELECT ${this.#lock}, ${now}`;
  }

  /** @throws ControlUnavailable with `details.outcome` where the answer to COMMIT is missing */
  async #commit(connection: PostgresConnection, change: Change | null): Promise<void> {
    const { place, mode } = this.#parts;
    let answers: readonly Answer[];
    try {
      answers = await connection.query(`${this.#announcement(change)}COMMIT`);
    } catch (cause) {
      // What was read, was read.
      if (mode === 'read') return connection.destroy();
      if (!connection.lost && isUndone(cause)) {
        await this.#rollback(connection);
        throw cause;
      }
      connection.destroy();
      throw new ControlUnavailable(`${place.label} did not confirm a commit`, {
        details: { outcome: 'unknown' },
        cause,
      });
    }
    this.#checkCommitted(answers);
  }

  /** Announced with the commit, or not at all. */
  #announcement(change: Change | null): string {
    const { place, instance } = this.#parts;
    return change === null ? '' : `SELECT pg_notify('${channelOf(place, change)}', '${change} ${instance}'); `;
  }

  /** After a statement that failed, COMMIT is answered with ROLLBACK, which is no error. */
  #checkCommitted(answers: readonly Answer[]): void {
    if (answers.at(-1)?.command === 'COMMIT') return;
    throw new Error('a statement of the transaction had failed, so it was undone');
  }

  #tell(answers: readonly Answer[]): void {
    this.#parts.clock.tell(Number(answers.at(-1)?.rows[0]?.['now']));
  }

  #session(connection: PostgresConnection): Session {
    return { knex: this.#knex, plans: this.#plans, run: (statement) => connection.run(statement) };
  }

  async #rollback(connection: PostgresConnection): Promise<void> {
    if (connection.lost) return;
    try {
      await connection.query('ROLLBACK');
    } catch {
      // Whatever the connection is in now, nothing more shall run on it; the server undoes what it was in.
      connection.destroy();
    }
  }
}

/** A process that was told that its dirt is durable has forgotten it, whatever the server's own default is. */
const DURABLE =
  "set_config('synchronous_commit', coalesce(nullif(current_setting('synchronous_commit'), 'off'), 'on'), true)";
