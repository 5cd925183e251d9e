import { Closed } from '../core/errors.ts';
import { TABLE_NAMES, type TableName } from './columns.ts';
import { MemoryTable } from './memory-table.ts';
import { Mutex } from './mutex.ts';
import type { ControlStorage, Page, Tables, Transaction, UpdateOptions, Where } from './storage.ts';

type Undo = () => void;

/** Statements of one transaction; unusable when it is over. */
class MemoryTransaction implements Transaction {
  readonly #tables: ReadonlyMap<TableName, MemoryTable>;
  readonly #readOnly: boolean;
  readonly #undo: Undo[] = [];
  #over = false;

  constructor(tables: ReadonlyMap<TableName, MemoryTable>, readOnly: boolean) {
    this.#tables = tables;
    this.#readOnly = readOnly;
  }

  async insert<T extends keyof Tables>(table: T, row: Tables[T]): Promise<number> {
    return this.#writable(table).insert(row, this.#undo);
  }

  async insertMany<T extends keyof Tables>(table: T, rows: readonly Tables[T][]): Promise<void> {
    const target = this.#writable(table);
    for (const row of rows) target.insert(row, this.#undo);
  }

  async select<T extends keyof Tables, C extends keyof Tables[T] = keyof Tables[T]>(
    table: T,
    where: Where<Tables[T]>,
    page?: Page<Tables[T], C>,
  ): Promise<Pick<Tables[T], C>[]> {
    return this.#table(table).select(where, page) as unknown as Pick<Tables[T], C>[];
  }

  async count<T extends keyof Tables>(table: T, where: Where<Tables[T]>): Promise<number> {
    return this.#table(table).count(where);
  }

  async update<T extends keyof Tables>(
    table: T,
    where: Where<Tables[T]>,
    patch: Partial<Tables[T]>,
    { raise = {}, provided }: UpdateOptions<Tables[T]> = {},
  ): Promise<number> {
    const target = this.#writable(table);
    if (provided !== undefined && this.#table(provided.table).count(provided.where) === 0) return 0;
    return target.update(where, patch, raise, this.#undo);
  }

  async remove<T extends keyof Tables>(table: T, where: Where<Tables[T]>): Promise<number> {
    return this.#writable(table).remove(where, this.#undo);
  }

  /** Makes every later statement fail. */
  end(): void {
    this.#over = true;
  }

  /** Ends it and says whether anything changed. */
  commit(): boolean {
    this.end();
    return this.#undo.length > 0;
  }

  rollback(): void {
    this.end();
    for (const undo of this.#undo.reverse()) undo();
  }

  #table(table: TableName): MemoryTable {
    if (this.#over) throw new Error('the transaction is over');
    return this.#tables.get(table) as MemoryTable;
  }

  #writable(table: TableName): MemoryTable {
    if (this.#readOnly) throw new Error(`a read cannot write to ${table}`);
    return this.#table(table);
  }
}

class MemoryStorage implements ControlStorage {
  readonly #tables: ReadonlyMap<TableName, MemoryTable> = new Map(
    TABLE_NAMES.map((table) => [table, new MemoryTable(table)]),
  );
  readonly #mutex = new Mutex();
  readonly #watchers = new Set<{ readonly changed: () => void }>();
  #closed = false;

  transaction<T>(body: (tx: Transaction) => Promise<T>): Promise<T> {
    return this.#mutex.run(() => this.#run(body, false));
  }

  read<T>(body: (tx: Transaction) => Promise<T>): Promise<T> {
    return this.#mutex.run(() => this.#run(body, true));
  }

  transactionAtOnce<T>(body: (tx: Transaction) => Promise<T>): Promise<T> {
    return this.#mutex.run(() => this.#run(body, false, true));
  }

  readAtOnce<T>(body: (tx: Transaction) => Promise<T>): Promise<T> {
    return this.#mutex.run(() => this.#run(body, true, true));
  }

  watch(changed: () => void): () => void {
    const watcher = { changed };
    this.#watchers.add(watcher);
    return () => this.#watchers.delete(watcher);
  }

  async prepare(): Promise<void> {}

  async close(): Promise<void> {
    this.#closed = true;
    this.#watchers.clear();
    await this.#mutex.idle();
  }

  async #run<T>(body: (tx: Transaction) => Promise<T>, readOnly: boolean, atOnce = false): Promise<T> {
    if (this.#closed) throw new Closed('the control storage was closed');
    const tx = new MemoryTransaction(this.#tables, readOnly);
    let result: T;
    try {
      const asked = body(tx);
      if (atOnce) tx.end();
      result = await asked;
    } catch (error) {
      tx.rollback();
      throw error;
    }
    if (tx.commit()) this.#announce();
    return result;
  }

  #announce(): void {
    for (const watcher of this.#watchers) {
      queueMicrotask(() => {
        if (this.#watchers.has(watcher)) watcher.changed();
      });
    }
  }
}

/**
 * The control plane's rows in memory, for unit tests, the simulation and processes that are their own fleet. Without
 * timers or randomness: what happens depends on the calls alone. Transactions run one after another, reads included,
 * so a body must not start another one and wait for it.
 */
export function memoryStorage(): ControlStorage {
  return new MemoryStorage();
}
