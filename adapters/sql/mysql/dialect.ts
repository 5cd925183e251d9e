import type { Dialect } from '../dialect.ts';
import { loadMysql } from './driver.ts';
import { CLOCK_ERROR_MS, MysqlSession } from './session.ts';

/**
 * MySQL 8 and MariaDB 10.6 or later, by mysql2. A put is one packet of statements that end in a look at the server's
 * clock and COMMIT, so that nobody outside can delay the one behind the other.
 */
export const mysql: Dialect = Object.freeze({
  name: 'mysql',
  lateBoundMs: 0,
  clockErrorMs: CLOCK_ERROR_MS,
  batchSize: 500,
  async load(options, clock) {
    return new MysqlSession(await loadMysql(options), options, clock);
  },
} satisfies Dialect);
