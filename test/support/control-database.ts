import { randomBytes } from 'node:crypto';
import pg from 'pg';
import type { FreshDatabase } from './servers.ts';

/** What a connection does, and what it waits for. */
export interface Connection {
  readonly state: string;
  readonly waits: string | null;
}

/** A PostgreSQL database of a test file's own, with as many control planes in it as its tests want. */
export class ControlDatabase {
  readonly #database: FreshDatabase;
  readonly #client: pg.Client;
  #schemas = 0;

  private constructor(database: FreshDatabase, client: pg.Client) {
    this.#database = database;
    this.#client = client;
  }

  static async create(database: FreshDatabase): Promise<ControlDatabase> {
    const client = new pg.Client(database.url);
    await client.connect();
    return new ControlDatabase(database, client);
  }

  /** The URL of a control plane that nobody has prepared, and by which its connections can be told apart. */
  newUrl(): string {
    this.#schemas += 1;
    const url = new URL(this.#database.url);
    url.searchParams.set('schema', `plane_${this.#schemas}`);
    url.searchParams.set('application_name', `test-${randomBytes(6).toString('hex')}`);
    return url.href;
  }

  async query(text: string, values: readonly unknown[] = []): Promise<Record<string, unknown>[]> {
    return (await this.#client.query(text, [...values])).rows;
  }

  /** What the connections of a control plane do just now. */
  async connections(url: string): Promise<readonly Connection[]> {
    const rows = await this.query(
      `select state, wait_event as waits from pg_stat_activity where application_name = $1 and backend_type = 'client backend'`,
      [nameIn(url)],
    );
    return rows as unknown as Connection[];
  }

  /** Ends connections of a control plane, as an administrator does; all of them, or those in a state. */
  async terminate(url: string, state = '%'): Promise<number> {
    const rows = await this.query(
      'select pg_terminate_backend(pid) from pg_stat_activity where application_name = $1 and state like $2',
      [nameIn(url), state],
    );
    return rows.length;
  }

  async drop(): Promise<void> {
    await this.#client.end();
    await this.#database.drop();
  }
}

const nameIn = (url: string): string | null => new URL(url).searchParams.get('application_name');

export const schemaIn = (url: string): string => new URL(url).searchParams.get('schema') ?? 'changeover';
