import type { Dialect } from '../dialect.ts';
import { CLOCK_ERROR_MS } from './database.ts';
import { loadPostgres } from './driver.ts';
import { PgSession } from './session.ts';

/**
 * PostgreSQL 14 and later, by pg. A put looks at the server's clock when it begins, whenever it has waited for its lock,
 * and once more when nothing is left to do but to commit.
 */
export const postgres: Dialect = Object.freeze({
  name: 'postgres',
  lateBoundMs: 0,
  clockErrorMs: CLOCK_ERROR_MS,
  batchSize: 1_000,
  async load(options, clock) {
    return new PgSession(await loadPostgres(options), options, clock);
  },
} satisfies Dialect);
