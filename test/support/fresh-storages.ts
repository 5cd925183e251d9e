import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { TABLE_NAMES } from '../../src/control/columns.ts';
import { knexStorage } from '../../src/control/knex-storage.ts';
import { memoryStorage } from '../../src/control/memory-storage.ts';
import { postgresStorage } from '../../src/control/postgres-control.ts';
import type { ControlStorage } from '../../src/control/storage.ts';
import { ControlDatabase, schemaIn } from './control-database.ts';
import { freshDatabase, testServer } from './servers.ts';

const { missing } = testServer('postgres');

/** Why PostgreSQL is not among the storages, where it is not. */
export const missingPostgres = missing;

/** The kinds of control storage that are to be had. */
export const STORAGES = ['memory', 'SQLite', ...(missing === undefined ? ['PostgreSQL' as const] : [])] as const;

/** Empty control storages, prepared; for one test file. */
export class FreshStorages implements AsyncDisposable {
  readonly #folder = mkdtempSync(join(tmpdir(), 'changeover-storage-'));
  #files = 0;
  #database: Promise<ControlDatabase> | null = null;
  #url = '';

  async open(kind: (typeof STORAGES)[number]): Promise<ControlStorage> {
    if (kind === 'memory') return memoryStorage();
    if (kind === 'SQLite') {
      this.#files += 1;
      const storage = knexStorage({ path: join(this.#folder, `${this.#files}.db`) });
      await storage.prepare();
      return storage;
    }
    // One schema for all, emptied: as good as new, and quicker.
    const database = await this.#open();
    const { storage } = postgresStorage({ url: this.#url });
    await storage.prepare();
    await database.query(TABLE_NAMES.map((table) => `delete from ${schemaIn(this.#url)}.${table}`).join('; '));
    return storage;
  }

  /** Empties a table of PostgreSQL, which counts from 1 again; connections stay. */
  async startAgain(table: (typeof TABLE_NAMES)[number]): Promise<void> {
    await (await this.#open()).query(`truncate ${schemaIn(this.#url)}.${table} restart identity`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    rmSync(this.#folder, { recursive: true, force: true });
    await (await this.#database)?.drop();
  }

  #open(): Promise<ControlDatabase> {
    this.#database ??= freshDatabase('postgres').then(async (fresh) => {
      const database = await ControlDatabase.create(fresh);
      this.#url = database.newUrl();
      return database;
    });
    return this.#database;
  }
}
