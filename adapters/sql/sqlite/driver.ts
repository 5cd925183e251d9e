import { stat } from 'node:fs/promises';
import { InvalidConfiguration, NotPrepared, StoreFault } from '../../../src/core/errors.ts';
import { loadOptional } from '../../../src/core/optional-packages.ts';
import type { ResolvedSqlOptions } from '../options.ts';

/** The part of better-sqlite3's statement that is used. */
export interface SqliteStatement {
  raw(on: boolean): this;
  safeIntegers(on: boolean): this;
  all(...bindings: unknown[]): unknown[];
  get(...bindings: unknown[]): unknown;
  run(...bindings: unknown[]): { readonly changes: number | bigint };
  readonly reader: boolean;
}

/** The part of better-sqlite3's connection that is used. Everything it does is synchronous. */
export interface SqliteDatabase {
  prepare(sql: string): SqliteStatement;
  readonly inTransaction: boolean;
}

/** The part of a Knex that is used. */
export interface KnexLike {
  readonly client: {
    acquireConnection(): Promise<SqliteDatabase>;
    releaseConnection(connection: SqliteDatabase): Promise<unknown>;
    /** One past the pool. */
    acquireRawConnection(): Promise<SqliteDatabase>;
    destroyRawConnection(connection: SqliteDatabase): Promise<unknown>;
  };
  destroy(): Promise<unknown>;
}

/** How long a statement of a named query may wait for a lock; our own never wait in the event loop's way. */
const NATIVE_BUSY_MS = 50;
const MAX_CONNECTIONS = 4;

/** What knex is given for a connection option. @throws InvalidConfiguration */
export function sqliteConnection({ connection }: ResolvedSqlOptions): Readonly<Record<string, unknown>> & {
  readonly filename: string;
} {
  const settings =
    typeof connection === 'string' ? { filename: connection.replace(/^sqlite:(\/\/(?=\/))?/, '') } : connection;
  const filename = settings['filename'];
  if (typeof filename !== 'string' || filename.trim() === '') {
    throw new InvalidConfiguration('sql: `connection` names no SQLite file', { expected: 'a path or { filename }' });
  }
  if (filename.startsWith(':memory:') || filename.startsWith('file:')) {
    throw new InvalidConfiguration('sql: `connection` is no plain SQLite file', {
      expected: 'the path of a file, which all connections share',
    });
  }
  return { ...settings, filename };
}

/** better-sqlite3 makes a file that is missing; a data set that is missing shall be said instead. */
export async function mustExist(filename: string, label: string): Promise<void> {
  try {
    if ((await stat(filename)).isFile()) return;
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown error';
    if (code !== 'ENOENT') throw new StoreFault(`${label}: ${code}`, { outcome: 'nothing-written', cause: error });
  }
  throw new NotPrepared(`${label}: there is no file ${filename}`, {
    remedy: 'create the database as the service does, or mend `connection`',
  });
}

/** Loads knex and better-sqlite3. @throws InvalidConfiguration when they are not installed. */
export async function loadKnex(options: ResolvedSqlOptions): Promise<KnexLike> {
  const connection = sqliteConnection(options);
  return loadOptional("sql({ client: 'better-sqlite3', … })", ['knex', 'better-sqlite3'], async () => {
    await import('better-sqlite3');
    const { default: knex } = await import('knex');
    return knex({
      client: 'better-sqlite3',
      connection,
      useNullAsDefault: true,
      pool: {
        min: 0,
        max: MAX_CONNECTIONS,
        afterCreate(database: SqliteDatabase, done: (error: unknown, database: SqliteDatabase) => void) {
          // Touches no file, so it cannot find one locked.
          database.prepare(`PRAGMA busy_timeout = ${NATIVE_BUSY_MS}`).get();
          done(null, database);
        },
      },
    }) as unknown as KnexLike;
  });
}
