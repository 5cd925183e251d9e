import makeKnex, { type Knex } from 'knex';
import type { Clock } from '../core/clock.ts';
import type { Change } from '../core/control-client.ts';
import { ChangeoverError, ControlUnavailable } from '../core/errors.ts';
import { SILENT_LOG } from './control-dialect.ts';
import type { DatabaseClock } from './database-clock.ts';
import { Mutex } from './mutex.ts';
import type { Patience } from './patience.ts';
import type { PostgresConnection } from './postgres-connection.ts';
import { ConnectionLost, endsConnection, isUndone } from './postgres-faults.ts';
import type { PostgresPlace } from './postgres-place.ts';

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
  }

  /** How many transactions have come and not ended. */
  get waiting(): number {
    return this.#waiting;
  }

  transact<T>(patience: Patience, body: (knex: Knex) => Promise<T>, changed: () => Change | null): Promise<T> {
    return this.#exclusively(patience.leftMs + STATEMENT_MS, async (connection) => {
      let result: T;
      try {
        const answers = await connection.query(this.#begin(patience));
        this.#parts.clock.tell(Number(answers.at(-1)?.rows[0]?.['now']));
        result = await body(this.#knex);
      } catch (error) {
        await this.#rollback(connection);
        throw error;
      }
      await this.#commit(connection, changed());
      return result;
    });
  }

  /** Runs `body` in one transaction that excludes writers and every other preparation. */
  prepare(body: (knex: Knex) => Promise<void>): Promise<void> {
    return this.#exclusively(2 * PREPARE_MS, () =>
      this.#knex.transaction(
        async (trx) => {
          await trx.raw([...this.#settings(PREPARE_MS, PREPARE_MS, SILENCE_MS), this.#lock].join('; '));
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
        const connection = await this.#connected();
        const { machine } = this.#parts;
        const watchdog = machine.after(limitMs + UNANSWERED_MS, () => connection.destroy(), true);
        try {
          return await run(connection);
        } catch (error) {
          if (error instanceof ChangeoverError || !(connection.lost || endsConnection(error))) throw error;
          connection.destroy();
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
    return `SELECT pg_advisory_xact_lock(${LOCK_CLASS}, ${this.#parts.place.lockId})`;
  }

  #settings(lockMs: number, statementMs: number, silenceMs: number): readonly string[] {
    return [
      `SET LOCAL search_path TO "${this.#parts.place.schema}"`,
      `SET LOCAL lock_timeout = ${lockMs}`,
      `SET LOCAL statement_timeout = ${statementMs}`,
      `SET LOCAL idle_in_transaction_session_timeout = ${silenceMs}`,
    ];
  }

  /** Everything up to the transaction's first statement, in one round trip; it ends with the server's time. */
  #begin(patience: Patience): string {
    const reads = this.#parts.mode === 'read';
    const lockMs = Math.max(Math.ceil(patience.leftMs), 1);
    return [
      reads ? 'BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY' : 'BEGIN ISOLATION LEVEL READ COMMITTED',
      ...this.#settings(lockMs, lockMs + STATEMENT_MS, SILENCE_MS),
      ...(reads ? [] : [DURABLE, this.#lock]),
      'SELECT extract(epoch FROM clock_timestamp()) * 1000 AS now',
    ].join('; ');
  }

  /** @throws ControlUnavailable with `details.outcome` where the answer to COMMIT is missing */
  async #commit(connection: PostgresConnection, change: Change | null): Promise<void> {
    const { place, instance, mode } = this.#parts;
    // Announced with the commit, or not at all.
    const announcement = change === null ? '' : `SELECT pg_notify('${place.channel}', '${change} ${instance}'); `;
    let command: string | undefined;
    try {
      command = (await connection.query(`${announcement}COMMIT`)).at(-1)?.command;
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
    // After a statement that failed, COMMIT is answered with ROLLBACK, which is no error.
    if (command !== 'COMMIT') throw new Error('a statement of the transaction had failed, so it was undone');
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
  "SELECT set_config('synchronous_commit', 'on', true) WHERE current_setting('synchronous_commit') = 'off'";
