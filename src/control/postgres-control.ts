import { type Clock, type Random, systemClock } from '../core/clock.ts';
import type { Making } from './control-dialect.ts';
import { type ControlPlaneApi, localControlPlane } from './control-plane.ts';
import { DEFAULT_BUSY_BUDGET_MS, KnexStorage } from './knex-storage.ts';
import { Patience } from './patience.ts';
import { PostgresDialect } from './postgres-dialect.ts';
import { postgresPlace } from './postgres-place.ts';
import type { ControlStorage } from './storage.ts';

/** How a control plane on PostgreSQL is reached. */
export interface PostgresControlOptions {
  /** `postgres://user:password@host/database`; `?schema=` names the schema of its tables, by default `changeover`. */
  readonly url: string;
  /**
   * Create the schema, or upgrade it, first; with `fresh` only the former. Without it a database that lacks anything is `NotPrepared`.
   * @default true
   */
  readonly prepare?: Making | undefined;
  /**
   * How long a call waits for the transactions of other processes before `ControlUnavailable`, ms. Longer rides out
   * more, and keeps callers waiting for longer when the database is stuck.
   * @default 5000
   */
  readonly busyBudgetMs?: number | undefined;
  /** For intervals and time-outs; the times that are kept are the server's. @default systemClock */
  readonly clock?: Clock | undefined;
  /** For the jitter between tries. @default Math.random */
  readonly random?: Random | undefined;
}

/**
 * The control plane's rows in a schema of PostgreSQL. Connects when it is first used.
 *
 * @throws InvalidConfiguration for a URL that cannot be read
 */
export function postgresStorage(options: PostgresControlOptions): {
  readonly storage: ControlStorage;
  /** The server's time. */
  readonly clock: Clock;
} {
  const { url, clock = systemClock, random = Math.random, busyBudgetMs = DEFAULT_BUSY_BUDGET_MS } = options;
  const dialect = new PostgresDialect(postgresPlace(url), clock, random);
  const storage = new KnexStorage(dialect, () => new Patience(clock, random, busyBudgetMs));
  return { storage, clock: dialect.clock };
}

/**
 * Opens the control plane in a PostgreSQL database, for processes of any number of hosts.
 *
 * @throws NotPrepared, InvalidConfiguration (a newer schema, no such user or database), ControlUnavailable
 * @example
 * const control = await openPostgresControl({ url: 'postgres://changeover@db.example.com/operations' });
 */
export async function openPostgresControl(options: PostgresControlOptions): Promise<ControlPlaneApi> {
  const { storage, clock } = postgresStorage(options);
  try {
    const { prepare = true } = options;
    if (prepare !== false) await storage.prepare(prepare);
    // Whatever is wrong with the database is said now, not at the first call.
    await storage.read(async () => {});
  } catch (error) {
    await storage.close();
    throw error;
  }
  return localControlPlane(storage, clock);
}
