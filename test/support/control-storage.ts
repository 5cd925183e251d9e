import { knexStorage } from '../../src/control/knex-storage.ts';
import { postgresStorage } from '../../src/control/postgres-control.ts';
import type { ControlStorage } from '../../src/control/storage.ts';

/** The control storage at a place: the URL of a PostgreSQL database, or the path of a SQLite file. */
export function controlStorage(place: string, busyBudgetMs?: number): ControlStorage {
  if (/^postgres(?:ql)?:/.test(place)) return postgresStorage({ url: place, busyBudgetMs }).storage;
  return knexStorage({ path: place, busyBudgetMs });
}
