import { InvalidConfiguration } from '../../../src/core/errors.ts';
import type { ResolvedSqlOptions } from '../options.ts';
import { loadKnex } from '../server/load-knex.ts';
import type { KnexPool } from '../server/server-pool.ts';
import { wholeUrl } from '../server/whole-url.ts';
import type { MysqlConnection } from './connection.ts';

const CONNECT_MS = 10_000;
/** Named queries have connections of their own, on which one statement is one statement. */
const NATIVE_CONNECTIONS = 4;

/**
 * What our own statements are run under, whatever the server's defaults: nothing is cut, rounded or put in place of
 * something else without an error; a 0 is a 0 in an AUTO_INCREMENT column; every statement sees what was committed
 * before it began; gaps between keys are not locked.
 */
const SETUP = [
  'SET NAMES utf8mb4 COLLATE utf8mb4_bin',
  "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION,NO_AUTO_VALUE_ON_ZERO', time_zone = '+00:00', " +
    'foreign_key_checks = 1, unique_checks = 1, sql_safe_updates = 0, ' +
    'sql_select_limit = 18446744073709551615, autocommit = 1',
  'SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE',
];
const NATIVE_SETUP = ["SET SESSION time_zone = '+00:00'"];

/** What typeCast is given of a cell. */
interface Cell {
  readonly type: string;
  string(encoding?: string): string | null;
}

/** Cells of named queries that the driver itself would round. */
function nativeCell(cell: Cell, next: () => unknown): unknown {
  if (cell.type === 'JSON') return cell.string('utf8');
  if (cell.type !== 'DOUBLE' && cell.type !== 'LONGLONG') return next();
  const text = cell.string();
  return text === null ? null : cell.type === 'DOUBLE' ? Number(text) : BigInt(text);
}

/** What knex is given for a connection option. @throws InvalidConfiguration */
function connectionSettings({ connection }: ResolvedSqlOptions): Readonly<Record<string, unknown>> {
  if (typeof connection !== 'string') return connection;
  if (/^(?:mysql|mariadb):\/\//.test(connection)) return { uri: wholeUrl(connection) };
  throw new InvalidConfiguration('sql: `connection` is no MySQL URL', {
    expected: 'mysql://user@host/database, or the settings of mysql2',
  });
}

/** The connections of our own, and those of named queries. */
export interface Knexes {
  readonly own: KnexPool<MysqlConnection>;
  readonly native: KnexPool<MysqlConnection>;
}

/** Loads knex and mysql2. @throws InvalidConfiguration when they are not installed */
export async function loadMysql(options: ResolvedSqlOptions): Promise<Knexes> {
  const settings = connectionSettings(options);
  const exact = {
    charset: 'utf8mb4',
    supportBigNumbers: true,
    bigNumberStrings: true,
    decimalNumbers: false,
    dateStrings: true,
    jsonStrings: true,
    flags: undefined,
  };
  const load = (max: number, more: Readonly<Record<string, unknown>>, setup: readonly string[]) =>
    loadKnex<MysqlConnection>('mysql2', () => import('mysql2'), {
      client: 'mysql2',
      connection: { connectTimeout: CONNECT_MS, ...settings, ...exact, ...more },
      pool: {
        min: 0,
        max,
        afterCreate(connection: MysqlConnection, done: unknown) {
          const ready = done as (error: unknown, connection: unknown) => void;
          connection.query({ sql: setup.join('; '), rowsAsArray: true }, (error) => ready(error, connection));
        },
      },
    });
  return {
    own: await load(options.pool, { multipleStatements: true, typeCast: true }, SETUP),
    native: await load(
      Math.min(options.pool, NATIVE_CONNECTIONS),
      { multipleStatements: false, typeCast: nativeCell },
      NATIVE_SETUP,
    ),
  };
}
