import { randomBytes } from 'node:crypto';
import { inject } from 'vitest';
import type { ServerName, TestServer } from './servers/names.ts';

export type { ServerName, TestServer } from './servers/names.ts';

/**
 * A server to test against, or why there is none. The run's set-up has found it: the one that
 * `CHANGEOVER_TEST_<NAME>_URL` names, one in Docker, or one fetched from package registries.
 */
export function testServer(name: ServerName): TestServer {
  const server = inject('foundServers').servers[name];
  if (server !== undefined) return server;
  throw new Error(`nobody looked for a ${name} server: call testServer or freshDatabase with its name written out`);
}

/** A database of a test's own. */
export interface FreshDatabase {
  /** Where it is; for MongoDB the server, as its URLs may name several hosts and say how to authenticate. */
  readonly url: string;
  readonly name: string;
  /** Removes it with all that is in it. */
  drop(): Promise<void>;
}

/** Makes an empty database with a random name on a server. @throws where there is no such server */
export async function freshDatabase(server: Exclude<ServerName, 'dynamodb'>): Promise<FreshDatabase> {
  const { url, missing } = testServer(server);
  if (url === undefined) throw new Error(missing);
  const name = `test_${randomBytes(6).toString('hex')}`;
  if (server === 'mongodb') return { url, name, drop: () => dropMongo(url, name) };
  await administer[server](url, `CREATE DATABASE ${name}`);
  const own = new URL(url);
  own.pathname = `/${name}`;
  return { url: own.href, name, drop: () => administer[server](url, DROP[server](name)) };
}

const DROP = {
  postgres: (name: string) => `DROP DATABASE IF EXISTS ${name} WITH (FORCE)`,
  mysql: (name: string) => `DROP DATABASE IF EXISTS ${name}`,
} as const;

const administer = {
  async postgres(url: string, statement: string): Promise<void> {
    const { default: pg } = await import('pg');
    const client = new pg.Client({ connectionString: url });
    await client.connect();
    try {
      await client.query(statement);
    } finally {
      await client.end();
    }
  },

  async mysql(url: string, statement: string): Promise<void> {
    const { createConnection } = await import('mysql2/promise');
    const connection = await createConnection(url);
    try {
      await connection.query(statement);
    } finally {
      await connection.end();
    }
  },
} as const;

async function dropMongo(url: string, name: string): Promise<void> {
  const { MongoClient } = await import('mongodb');
  const client = new MongoClient(url);
  try {
    await client.db(name).dropDatabase();
  } finally {
    await client.close();
  }
}
