import type { Dialect } from '../dialect.ts';
import { loadKnex } from './driver.ts';
import { SqliteSession } from './session.ts';

/**
 * SQLite in process, by better-sqlite3. A put holds the file's one write lock while it looks at the deadline, so
 * nothing is ever applied late; the file's clock is the machine's.
 */
export const sqlite: Dialect = Object.freeze({
  name: 'sqlite',
  lateBoundMs: 0,
  // One connection, which answers at once; scans that take turns on it would share its cache of pages.
  scans: 1,
  clockErrorMs: 0,
  batchSize: 500,
  async load(options, clock) {
    return new SqliteSession(await loadKnex(options), options, clock);
  },
} satisfies Dialect);
