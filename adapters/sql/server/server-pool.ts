import type { Clock, TimerHandle } from '../../../src/core/clock.ts';
import { Closed, StoreFault } from '../../../src/core/errors.ts';

/** The part of a Knex that is used: its pool. */
export interface KnexPool<C> {
  readonly client: {
    acquireConnection(): Promise<C>;
    releaseConnection(connection: C): Promise<unknown>;
  };
  destroy(): Promise<unknown>;
}

/** What the pool must know of a driver. */
export interface Driver<C> {
  /** Cuts a connection at once, so that whatever waits for it fails. */
  sever(connection: C): void;
  /** Whether a connection may not be used again after this error. */
  breaks(error: unknown): boolean;
  /** The fault of a connection that could not be made, without secrets. */
  unreachable(error: unknown): StoreFault;
}

/** Longer than its deadline an answer may be on its way; then nobody waits for it. */
const ANSWER_SLACK_MS = 1_000;

/** The longest that a timer can be set to. */
const LONGEST_MS = 2 ** 31 - 1 - ANSWER_SLACK_MS;

/** A marked connection is thrown away by knex instead of being lent again. */
interface Marked {
  __knex__disposed?: unknown;
}

/**
 * The connections of a Knex, lent to one piece of work at a time and never for longer than it may take: what hangs is
 * cut, so that a server that answers no more cannot hold all of them.
 */
export class ServerPool<C extends object> {
  readonly #knex: KnexPool<C>;
  readonly #clock: Clock;
  readonly #label: string;
  readonly #driver: Driver<C>;
  readonly #lent = new Set<Promise<unknown>>();
  #closing: Promise<void> | undefined;

  constructor(knex: KnexPool<C>, clock: Clock, label: string, driver: Driver<C>) {
    this.#knex = knex;
    this.#clock = clock;
    this.#label = label;
    this.#driver = driver;
  }

  /** Refuses new work, waits for what is under way, and closes all connections. */
  close(): Promise<void> {
    this.#closing ??= (async () => {
      await Promise.allSettled([...this.#lent]);
      await this.#knex.destroy();
    })();
    return this.#closing;
  }

  /**
   * Work on a connection that takes no longer than `withinMs`; errors of the work are thrown as they are. A connection
   * that the work leaves in a transaction must be marked by throwing something that `breaks`.
   * @throws Closed, and StoreFault (nothing written) when no connection is to be had in time
   */
  use<T>(withinMs: number, work: (connection: C) => Promise<T>): Promise<T> {
    if (this.#closing !== undefined) return Promise.reject(new Closed(`${this.#label} is closed`));
    const done = this.#use(Math.min(Math.max(0, withinMs), LONGEST_MS), work);
    const settled = done.then(
      () => undefined,
      () => undefined,
    );
    this.#lent.add(settled);
    void settled.then(() => this.#lent.delete(settled));
    return done;
  }

  async #use<T>(withinMs: number, work: (connection: C) => Promise<T>): Promise<T> {
    const connection = await this.#acquire(withinMs);
    const timer = this.#clock.after(
      withinMs + ANSWER_SLACK_MS,
      () => {
        this.#mark(connection, 'no answer in time');
        this.#driver.sever(connection);
      },
      true,
    );
    try {
      return await work(connection);
    } catch (error) {
      if (this.#driver.breaks(error)) this.#mark(connection, 'broken');
      throw error;
    } finally {
      timer.cancel();
      await this.#knex.client.releaseConnection(connection);
    }
  }

  #mark(connection: C & Marked, why: string): void {
    connection.__knex__disposed ??= why;
  }

  async #acquire(withinMs: number): Promise<C> {
    const acquiring = this.#knex.client.acquireConnection();
    let timer: TimerHandle | undefined;
    const late = new Promise<null>((resolve) => {
      timer = this.#clock.after(withinMs, () => resolve(null));
    });
    try {
      const connection = await Promise.race([acquiring, late]);
      if (connection !== null) return connection;
    } catch (error) {
      throw this.#driver.unreachable(error);
    } finally {
      timer?.cancel();
    }
    acquiring.then(
      (connection) => this.#knex.client.releaseConnection(connection),
      () => undefined,
    );
    throw new StoreFault(`${this.#label}: no connection was free in time`, {
      outcome: 'nothing-written',
      pressure: true,
    });
  }
}
