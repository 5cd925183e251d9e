import { existsSync, mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import makeKnex, { type Knex } from 'knex';
import type { Clock } from '../core/clock.ts';
import { ControlUnavailable, InvalidConfiguration } from '../core/errors.ts';
import { type ChangeWatch, type ControlDialect, errorCode, type FailureKind, SILENT_LOG } from './control-dialect.ts';
import { Mutex } from './mutex.ts';
import type { Patience } from './patience.ts';
import { SqliteWatch } from './sqlite-watch.ts';

/** SQLite sleeps 1, 2 and 5 ms for a lock and gives up; everything longer is waited for without blocking. */
const BUSY_TIMEOUT_MS = 8;

/** Marks the file as changeover's for file(1); writing it takes the write lock. "chov". */
const APPLICATION_ID = 0x63686f76;

const MOST_VARIABLES = 500;

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

/** The part of a better-sqlite3 connection that is used here. */
interface Connection {
  pragma(text: string): unknown;
}

function connect(path: string, extra: readonly string[] = []): Knex {
  return makeKnex({
    client: 'better-sqlite3',
    connection: { filename: path },
    useNullAsDefault: true,
    // Messages of failed statements must not carry bound values.
    compileSqlOnError: false,
    log: SILENT_LOG,
    pool: {
      min: 1,
      max: 1,
      afterCreate(connection: Connection, done: (error: unknown, connection: Connection) => void) {
        try {
          for (const pragma of [...CONNECTION_PRAGMAS, ...extra]) connection.pragma(pragma);
          done(null, connection);
        } catch (error) {
          done(error, connection);
        }
      },
    },
  });
}

function classify(error: unknown): FailureKind {
  const code = errorCode(error);
  if (/^SQLITE_(BUSY|LOCKED|PROTOCOL)/.test(code)) return 'again';
  if (/^SQLITE_NOTADB/.test(code)) return 'unusable';
  if (/^SQLITE_(IOERR|CANTOPEN|FULL|READONLY|CORRUPT|PERM|NOMEM)/.test(code)) return 'unreachable';
  return /^E[A-Z0-9]+$/.test(code) ? 'unreachable' : 'other';
}

/** One connection, one transaction at a time: on SQLite there is no more to be had. */
class Lane {
  readonly knex: Knex;
  readonly #begin: string;
  readonly #label: string;
  readonly #mutex = new Mutex();

  constructor(knex: Knex, begin: string, label: string) {
    this.knex = knex;
    this.#begin = begin;
    this.#label = label;
  }

  transact<T>(patience: Patience, body: (knex: Knex) => Promise<T>): Promise<T> {
    return this.#mutex.run(async () => {
      await this.#untilFree(patience, this.#begin);
      let result: T;
      try {
        result = await body(this.knex);
      } catch (error) {
        await this.#rollback();
        throw error;
      }
      try {
        await this.#untilFree(patience, 'COMMIT');
      } catch (cause) {
        await this.#rollback();
        // What reached the log before a failed fsync may be found there when the file is opened again.
        throw new ControlUnavailable(`${this.#label} failed to commit`, { details: { outcome: 'unknown' }, cause });
      }
      return result;
    });
  }

  async close(): Promise<void> {
    await this.#mutex.idle();
    await this.knex.destroy();
  }

  async #untilFree(patience: Patience, statement: string): Promise<void> {
    for (;;) {
      try {
        await this.knex.raw(statement);
        return;
      } catch (error) {
        if (classify(error) !== 'again') throw error;
        await patience.wait(this.#label, error);
      }
    }
  }

  async #rollback(): Promise<void> {
    try {
      await this.knex.raw('ROLLBACK');
    } catch {
      // SQLite has rolled back by itself after some faults; what matters is the error that led here.
    }
  }
}

class SqliteDialect implements ControlDialect {
  readonly label: string;
  readonly insertBatch = 50;
  readonly #path: string;
  readonly #clock: Clock;
  readonly #lanes = new Map<'read' | 'write', Lane>();
  readonly #watches = new Set<SqliteWatch>();

  constructor(path: string, clock: Clock) {
    this.#path = path;
    this.#clock = clock;
    this.label = `the control database ${path}`;
  }

  exists(): boolean {
    return existsSync(this.#path);
  }

  transact<T>(mode: 'read' | 'write', patience: Patience, body: (knex: Knex) => Promise<T>): Promise<T> {
    return this.#lane(mode).transact(patience, body);
  }

  async prepare(body: (knex: Knex) => Promise<void>): Promise<void> {
    mkdirSync(dirname(this.#path), { recursive: true });
    const knex = connect(this.#path);
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

  encodeText(text: string): string {
    return text;
  }

  decodeText(text: string): string {
    return text;
  }

  orderBy(query: Knex.QueryBuilder, column: string, direction: 'asc' | 'desc'): void {
    query.orderBy(column, direction);
  }

  whereIn(query: Knex.QueryBuilder, column: string, values: readonly (string | number | boolean)[]): void {
    if (values.length <= MOST_VARIABLES) query.whereIn(column, values);
    else query.whereRaw('?? in (select value from json_each(?))', [column, JSON.stringify(values)]);
  }

  classify(error: unknown): FailureKind {
    return classify(error);
  }

  watch(changed: () => void): ChangeWatch {
    const watch = new SqliteWatch(connect(this.#path, ['query_only = ON']), this.#clock, changed, (ended) =>
      this.#watches.delete(ended),
    );
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
          ? new Lane(connect(this.#path), 'BEGIN IMMEDIATE', this.label)
          : new Lane(connect(this.#path, ['query_only = ON']), 'BEGIN', this.label);
      this.#lanes.set(mode, lane);
    }
    return lane;
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
