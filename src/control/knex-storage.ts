import type { Knex } from 'knex';
import { type Clock, type Random, systemClock } from '../core/clock.ts';
import type { Change, WatchOptions } from '../core/control-client.ts';
import { ChangeoverError, Closed, ControlUnavailable, InvalidConfiguration } from '../core/errors.ts';
import {
  type ChangeWatch,
  type ControlDialect,
  errorCode,
  roomFor,
  type Session,
  type TransactOptions,
} from './control-dialect.ts';
import { KnexTransaction } from './knex-transaction.ts';
import { Patience } from './patience.ts';
import { assertSchema, hasSchema, MIGRATOR, notPrepared, schemaIsCurrent } from './schema.ts';
import { sqliteDialect } from './sqlite-dialect.ts';
import type { ControlStorage, Transaction } from './storage.ts';

/** How a control database on SQLite is reached. */
export interface KnexStorageOptions {
  /** The database file. Its folder is made by `prepare`. */
  readonly path: string;
  /**
   * How long a call waits for others' locks before `ControlUnavailable`, ms. Longer rides out more, and keeps callers
   * waiting for longer when the database is stuck.
   * @default 5000
   */
  readonly busyBudgetMs?: number | undefined;
  /** @default systemClock */
  readonly clock?: Clock | undefined;
  /** For the jitter between tries. @default Math.random */
  readonly random?: Random | undefined;
}

export const DEFAULT_BUSY_BUDGET_MS = 5_000;

/** The control plane's rows in a SQL database, reached through knex. Connects when it is first used. */
export class KnexStorage implements ControlStorage {
  readonly #dialect: ControlDialect;
  readonly #patience: () => Patience;
  readonly #watches = new Set<ChangeWatch>();
  #place: string | null = null;
  #ready: Promise<void> | null = null;
  #closing: Promise<void> | null = null;

  constructor(dialect: ControlDialect, patience: () => Patience) {
    this.#dialect = dialect;
    this.#patience = patience;
  }

  transaction<T>(body: (tx: Transaction) => Promise<T>): Promise<T> {
    return this.#run({ mode: 'write', atOnce: false }, body);
  }

  read<T>(body: (tx: Transaction) => Promise<T>): Promise<T> {
    return this.#run({ mode: 'read', atOnce: false }, body);
  }

  transactionAtOnce<T>(body: (tx: Transaction) => Promise<T>): Promise<T> {
    return this.#run({ mode: 'write', atOnce: true }, body);
  }

  readAtOnce<T>(body: (tx: Transaction) => Promise<T>): Promise<T> {
    return this.#run({ mode: 'read', atOnce: true }, body);
  }

  watch(changed: (change?: Change) => void, options: WatchOptions = {}): () => void {
    if (this.#closing !== null) throw new Closed('the control storage was closed');
    const watch = this.#dialect.watch(changed, options);
    this.#watches.add(watch);
    return () => {
      this.#watches.delete(watch);
      watch.stop();
    };
  }

  /** Makes the schema, or upgrades it; with `fresh` only the former. @throws NotPrepared, InvalidConfiguration */
  async prepare(making: 'fresh' | true = true): Promise<void> {
    if (this.#closing !== null) throw new Closed('the control storage was closed');
    const patience = this.#patience();
    if (this.#dialect.place() !== null && (await this.#try(patience, () => this.#inspect(patience, schemaIsCurrent))))
      return;
    await this.#try(patience, () =>
      this.#dialect.prepare(async (knex) => {
        // Another process may have been first; within the lock this is certain, and refuses what is newer.
        if (making === 'fresh' && (await hasSchema(knex))) await assertSchema(knex);
        else if (!(await schemaIsCurrent(knex))) await knex.migrate.latest(MIGRATOR);
      }),
    );
  }

  close(): Promise<void> {
    this.#closing ??= this.#dialect.close();
    return this.#closing;
  }

  async #run<T>(options: TransactOptions, body: (tx: Transaction) => Promise<T>): Promise<T> {
    if (this.#closing !== null) throw new Closed('the control storage was closed');
    const patience = this.#patience();
    await this.#checkOnce(patience);
    let change: Change | null = null;
    const run = async (session: Session): Promise<T> => {
      const tx = new KnexTransaction(session, this.#dialect, options.mode === 'read');
      try {
        const asked = body(tx);
        if (options.atOnce) tx.end();
        change = tx.change;
        return await asked;
      } finally {
        tx.end();
        change = tx.change;
      }
    };
    const result = await this.#try(patience, () => this.#dialect.transact(options, patience, run, () => change));
    if (change !== null) for (const watch of this.#watches) watch.nudge(change);
    return result;
  }

  /** The schema of a database is looked at before the first transaction, and again until it was right once. */
  #checkOnce(patience: Patience): Promise<void> {
    const place = this.#dialect.place();
    if (place !== null && place !== this.#place) {
      this.#place = place;
      this.#ready = null;
    }
    this.#ready ??= this.#check(patience).catch((error: unknown) => {
      this.#ready = null;
      throw error;
    });
    return this.#ready;
  }

  async #check(patience: Patience): Promise<void> {
    if (this.#dialect.place() === null) throw notPrepared();
    await this.#try(patience, () => this.#inspect(patience, assertSchema));
  }

  #inspect<T>(patience: Patience, look: (knex: Knex) => Promise<T>): Promise<T> {
    return this.#dialect.transact({ mode: 'read', atOnce: false }, patience, ({ knex }) => look(knex));
  }

  /** Runs a call until it succeeds, fails for good, or the patience is over. */
  async #try<T>(patience: Patience, call: () => Promise<T>): Promise<T> {
    for (;;) {
      try {
        return await call();
      } catch (error) {
        if (error instanceof ChangeoverError) throw error;
        switch (this.#dialect.classify(error)) {
          case 'again':
            await patience.wait(this.#dialect.label, error);
            break;
          case 'unreachable':
            throw new ControlUnavailable(`${this.#dialect.label} failed with ${errorCode(error)}`, {
              ...roomFor(errorCode(error)),
              cause: error,
            });
          case 'unusable':
            throw new InvalidConfiguration(`${this.#dialect.label} cannot be used: ${errorCode(error)}`, {
              cause: error,
            });
          default:
            throw error;
        }
      }
    }
  }
}

/**
 * The control plane's rows in a SQLite file. Connects when it is first used.
 *
 * @throws InvalidConfiguration when the path names no file.
 * @example
 * const storage = knexStorage({ path: '.changeover/control.db' });
 * await storage.prepare();
 */
export function knexStorage(options: KnexStorageOptions): ControlStorage {
  const { clock = systemClock, random = Math.random, busyBudgetMs = DEFAULT_BUSY_BUDGET_MS } = options;
  const dialect = sqliteDialect(options.path, clock);
  return new KnexStorage(dialect, () => new Patience(clock, random, busyBudgetMs));
}
