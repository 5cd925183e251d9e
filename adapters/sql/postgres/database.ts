import type { Clock } from '../../../src/core/clock.ts';
import type { StoreFault } from '../../../src/core/errors.ts';
import { ServerClock } from '../../../src/core/server-clock.ts';
import { type KnexPool, ServerPool } from '../server/server-pool.ts';
import type { PgClient } from './driver.ts';
import { breaksConnection, classify, storeFault } from './faults.ts';
import { forgetStatements, PipelineFailed, pipeline, type Rows, type Step } from './pipeline.ts';
import { CLOCK } from './texts.ts';

/** Good for half of what an answer takes at most; the rest is margin. */
export const CLOCK_ERROR_MS = 100;

/** How long reads and upkeep may take before their connection is given up. */
const READ_MS = 60_000;
const UPKEEP_MS = 600_000;

/** A server seen through its pool: its clock, and trips there and back. */
export class PgDatabase {
  readonly label: string;
  readonly #pool: ServerPool<PgClient>;
  readonly #clock: ServerClock;

  constructor(knex: KnexPool<PgClient>, clock: Clock, label: string) {
    this.label = label;
    this.#pool = new ServerPool(knex, clock, label, {
      sever: (client) => client.connection.stream.destroy(),
      breaks: (error) => error instanceof PipelineFailed && breaksConnection(error),
      unreachable: (error) => storeFault(label, error, false),
    });
    this.#clock = new ServerClock(clock, label, CLOCK_ERROR_MS, async () => {
      const [rows] = await this.read([{ sql: `SELECT ${CLOCK}`, values: [] }]);
      return Number(rows?.[0]?.[0]);
    });
  }

  /** Connects and measures the clock. */
  open(): Promise<void> {
    return this.#clock.start();
  }

  async close(): Promise<void> {
    this.#clock.stop();
    await this.#pool.close();
  }

  now(): number {
    return this.#clock.now();
  }

  /** How far the server's clock is ahead of this machine's, ms. */
  get aheadMs(): number {
    return this.#clock.aheadMs;
  }

  /** Whether a deadline that the server's own timer has ended something for may have passed. */
  overdue(deadline: number): boolean {
    return this.now() + CLOCK_ERROR_MS >= deadline;
  }

  /** Work on a connection, until a deadline in the server's time; begun anew if it was stale. Errors are the work's own, or StoreFault. */
  async use<T>(deadline: number, work: (client: PgClient) => Promise<T>): Promise<T> {
    return this.#on(deadline - this.now(), work);
  }

  #on<T>(withinMs: number, work: (client: PgClient) => Promise<T>): Promise<T> {
    return this.#pool.use(withinMs, async (client) => {
      try {
        return await work(client);
      } catch (error) {
        if (!(error instanceof PipelineFailed) || classify(error).kind !== 'stale') throw error;
        // Nothing happened. The same connection does it again: each other one may have to forget first, too.
        forgetStatements(client);
        return await work(client);
      }
    });
  }

  fault(error: unknown): StoreFault {
    return storeFault(this.label, error, false);
  }

  /** Statements that change nothing, in one trip. @throws StoreFault, or PipelineFailed for a missing table */
  read(steps: readonly Step[]): Promise<readonly Rows[]> {
    return this.#repeatable(READ_MS, steps, false);
  }

  /** Statements of upkeep, which may take long. @throws StoreFault, or PipelineFailed for a missing table */
  keep(steps: readonly Step[]): Promise<readonly Rows[]> {
    return this.#repeatable(UPKEEP_MS, steps, true);
  }

  async #repeatable(withinMs: number, steps: readonly Step[], write: boolean): Promise<readonly Rows[]> {
    try {
      return await this.#on(withinMs, (client) => pipeline(client, steps));
    } catch (error) {
      if (!(error instanceof PipelineFailed)) throw error;
      if (classify(error).kind === 'no-table') throw error;
      throw storeFault(this.label, error, write);
    }
  }
}
