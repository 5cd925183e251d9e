import { setTimeout as pause } from 'node:timers/promises';
import { because, type ServerName } from './names.ts';

/** Asks a server for its version; throws while it cannot serve. */
type Probe = (url: string) => Promise<string>;

const TRY_MS = 3_000;
const BETWEEN_MS = 60;

const PROBES: Readonly<Record<ServerName, Probe>> = {
  mongodb: async (url) => {
    const { MongoClient } = await import('mongodb');
    const client = new MongoClient(url, { serverSelectionTimeoutMS: TRY_MS });
    try {
      const hello = await client.db('admin').command({ hello: 1 });
      if (hello['isWritablePrimary'] !== true) throw new Error('no primary yet');
      if (hello['setName'] === undefined) throw new Error('not a replica set: start it with --replSet and initiate it');
      return `${(await client.db('admin').command({ buildInfo: 1 }))['version']}`;
    } finally {
      await client.close();
    }
  },
  dynamodb: async (url) => {
    const { DynamoDBClient, ListTablesCommand } = await import('@aws-sdk/client-dynamodb');
    const client = new DynamoDBClient({
      endpoint: url,
      region: 'local',
      credentials: { accessKeyId: 'local', secretAccessKey: 'local' },
      maxAttempts: 1,
      requestHandler: { connectionTimeout: TRY_MS, requestTimeout: TRY_MS, throwOnRequestTimeout: true },
    });
    try {
      await client.send(new ListTablesCommand({ Limit: 1 }));
      return '';
    } finally {
      client.destroy();
    }
  },
  postgres: async (url) => {
    const { default: pg } = await import('pg');
    const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: TRY_MS });
    client.on('error', () => undefined);
    try {
      await client.connect();
      const { rows } = await client.query<{ server_version: string }>('SHOW server_version');
      return rows[0]?.server_version ?? '';
    } finally {
      await client.end().catch(() => undefined);
    }
  },
  mysql: async (url) => {
    const { createConnection } = await import('mysql2/promise');
    const connection = await createConnection({ uri: url, connectTimeout: TRY_MS });
    try {
      const [rows] = await connection.query('SELECT VERSION() AS version');
      return (rows as { version: string }[])[0]?.version ?? '';
    } finally {
      connection.destroy();
    }
  },
};

/**
 * Resolves with the server's version once it serves.
 * @throws when it does not in time, or as soon as `gone` says why it never will
 */
export async function ready(
  name: ServerName,
  url: string,
  timeoutMs: number,
  gone: () => string | null = () => null,
): Promise<string> {
  const begun = performance.now();
  for (;;) {
    const ended = gone();
    if (ended !== null) throw new Error(ended);
    try {
      return await PROBES[name](url);
    } catch (error) {
      if (performance.now() - begun > timeoutMs) {
        throw new Error(`it did not answer within ${timeoutMs / 1_000} s (${because(error)})`);
      }
      await pause(BETWEEN_MS);
    }
  }
}
