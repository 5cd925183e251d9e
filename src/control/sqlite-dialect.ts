import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Knex } from 'knex';
import type { Clock } from '../core/clock.ts';
import type { Change, WatchOptions } from '../core/control-client.ts';
import { ControlUnavailable, InvalidConfiguration } from '../core/errors.ts';
import {
  type ChangeWatch,
  type ControlDialect,
  errorCode,
  type FailureKind,
  roomFor,
  type Session,
  type TransactOptions,
} from './control-dialect.ts';
import { Mutex } from './mutex.ts';
import type { Patience } from './patience.ts';
import { fileAt, SqliteConnection } from './sqlite-connection.ts';
import { SqliteWatch } from './sqlite-watch.ts';

/** SQLite sleeps 1, 2 and 5 ms for a lock and gives up; everything longer is waited for without blocking. */
const BUSY_TIMEOUT_MS = 8;

/** Marks the file as changeover's for file(1); writing it takes the write lock. "chov". */
const APPLICATION_ID = 0x63686f76;

/**
 * One commit is one fsync (FULL). NORMAL would lose the latest commits when the machine stops, and a process that was
 * told that its dirt is durable has forgotten it, an incarnation that was given would be given again.
 */
const CONNECTION_PRAGMAS = [
  `busy_timeout = ${BUSY_TIMEOUT_MS}`,
  'synchronous = FULL',
  'fullfsync = ON',
  'foreign_keys = ON',
  'trusted_schema = OFF',
] as const;

function classify(error: unknown): FailureKind {
  const code = errorCode(error);
  if (/^SQLITE_(BUSY|LOCKED|PROTOCOL)/.test(code)) return 'again';
  if (/^SQLITE_NOTADB/.test(code)) return 'unusable';
  if (/^SQLITE_(IOERR|CANTOPEN|FULL|READONLY|CORRUPT|PERM|NOMEM)/.test(code)) return 'unreachable';
  return /^E[A-Z0-9]+$/.test(code) ? 'unreachable' : 'other';
}

/** One connection, one transaction at a time: on SQLite there is no more to be had. */
class Lane {
  readonly #connection: SqliteConnection;
  readonly #begin: string;
  readonly #label: string;
  readonly #mutex = new Mutex();

  constructor(connection: SqliteConnection, begin: string, label: string) {
    this.#connection = connection;
    this.#begin = begin;
    this.#label = label;
  }

  transact<T>(patience: Patience, body: (session: Session) => Promise<T>): Promise<T> {
    return this.#mutex.run(async () => {
      await this.#connection.open();
      await this.#untilFree(patience, this.#begin);
      let result: T;
      try {
        result = await body(this.#connection);
      } catch (error) {
        this.#rollback();
        throw error;
      }
      try {
        await this.#untilFree(patience, 'COMMIT');
      } catch (cause) {
        this.#rollback();
        // What reached the log before a failed fsync may be found there when the file is opened again.
        const code = errorCode(cause);
        throw new ControlUnavailable(`${this.#label} failed to commit: ${code}`, {
          ...roomFor(code),
          details: { outcome: 'unknown' },
          cause,
        });
      }
      return result;
    });
  }

  async close(): Promise<void> {
    await this.#mutex.idle();
    await this.#connection.close();
  }

  async #untilFree(patience: Patience, sql: string): Promise<void> {
    for (;;) {
      try {
        this.#connection.execute({ sql, values: [] });
        return;
      } catch (error) {
        if (classify(error) !== 'again') throw error;
        await patience.wait(this.#label, error);
      }
    }
  }

  #rollback(): void {
    try {
      this.#connection.execute({ sql: 'ROLLBACK', values: [] });
    } catch {
      // SQLite has rolled back by itself after some faults; what matters is the error that led here.
    }
  }
}

class SqliteDialect implements ControlDialect {
  readonly label: string;
  readonly insertBatch = 50;
  readonly larger = 'max';
  readonly #path: string;
  readonly #clock: Clock;
  readonly #lanes = new Map<'read' | 'write', Lane>();
  readonly #watches = new Set<SqliteWatch>();

  constructor(path: string, clock: Clock) {
    this.#path = path;
    this.#clock = clock;
    this.label = `the control database ${path}`;
  }

  place(): string | null {
    return fileAt(this.#path);
  }

  transact<T>({ mode }: TransactOptions, patience: Patience, body: (session: Session) => Promise<T>): Promise<T> {
    return this.#lane(mode).transact(patience, body);
  }

  async prepare(body: (knex: Knex) => Promise<void>): Promise<void> {
    mkdirSync(dirname(this.#path), { recursive: true });
    const { knex } = this.#connect();
    try {
      // A property of the file, kept by it; needs every other connection to be at rest for a moment.
      const [mode] = (await knex.raw('PRAGMA journal_mode = WAL')) as { journal_mode: string }[];
      if (mode?.journal_mode !== 'wal') {
        throw new InvalidConfiguration(`${this.label} cannot keep a write-ahead log where it is`, {
          expected: 'a file on a local disk',
        });
      }
      await knex.transaction(async (trx) => {
        const [id] = (await trx.raw('PRAGMA application_id')) as { application_id: number }[];
        if (id?.application_id !== 0 && id?.application_id !== APPLICATION_ID) {
          throw new InvalidConfiguration(`${this.label} belongs to another application`);
        }
        await trx.raw(`PRAGMA application_id = ${APPLICATION_ID}`);
        await body(trx);
      });
    } finally {
      await knex.destroy();
    }
  }

  tableName(table: string): string {
    return table;
  }

  encodeText(text: string): string {
    return text;
  }

  decodeText(text: string): string {
    return text;
  }

  orderBy(query: Knex.QueryBuilder, column: string, direction: 'asc' | 'desc'): void {
    query.orderBy(column, direction);
  }

  encodeList(values: readonly (string | number | boolean)[]): string {
    return JSON.stringify(values);
  }

  whereIn(query: Knex.QueryBuilder, column: string, list: Knex.Value): void {
    query.whereRaw('?? in (select value from json_each(?))', [column, list]);
  }

  classify(error: unknown): FailureKind {
    return classify(error);
  }

  watch(changed: (change?: Change) => void, options: WatchOptions): ChangeWatch {
    const watch = new SqliteWatch({
      connection: this.#connect(['query_only = ON']),
      clock: this.#clock,
      changed,
      options,
      onEnd: (ended) => this.#watches.delete(ended),
    });
    this.#watches.add(watch);
    return watch;
  }

  async close(): Promise<void> {
    const watches = [...this.#watches];
    for (const watch of watches) watch.stop();
    await Promise.all([
      ...watches.map((watch) => watch.ended),
      ...[...this.#lanes.values()].map((lane) => lane.close()),
    ]);
  }

  /** Reads have a connection of their own, so that they never wait for a writer. */
  #lane(mode: 'read' | 'write'): Lane {
    let lane = this.#lanes.get(mode);
    if (lane === undefined) {
      lane =
        mode === 'write'
          ? new Lane(this.#connect(), 'BEGIN IMMEDIATE', this.label)
          : new Lane(this.#connect(['query_only = ON']), 'BEGIN', this.label);
      this.#lanes.set(mode, lane);
    }
    return lane;
  }

  #connect(extra: readonly string[] = []): SqliteConnection {
    return new SqliteConnection(this.#path, [...CONNECTION_PRAGMAS, ...extra]);
  }
}

/** The control plane's rows in one SQLite file on a local disk. @throws InvalidConfiguration for a file without a name. */
export function sqliteDialect(path: string, clock: Clock): ControlDialect {
  if (path === '' || path.startsWith(':') || path.startsWith('file:')) {
    throw new InvalidConfiguration('the control database needs a file', {
      expected: 'sqlite:path/to/control.db; `memory` for a control plane that nobody shares',
    });
  }
  return new SqliteDialect(path, clock);
}
