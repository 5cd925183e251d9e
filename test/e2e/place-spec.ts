import { dynamodb } from '../../adapters/dynamodb/index.ts';
import { mongodb } from '../../adapters/mongodb/index.ts';
import { sql } from '../../adapters/sql/index.ts';
import type { WebhookEvent } from '../../src/cli/demo/events.ts';
import type { StoreDefinition } from '../../src/core/store.ts';
import { type Config, defineConfig, type MigrationDefinition, migration } from '../../src/service/config.ts';

export type PlaceName = 'sqlite' | 'postgres' | 'mysql' | 'mongodb' | 'dynamodb';

/** Where events are held; plain JSON, for the processes of a test. */
export interface PlaceSpec {
  readonly name: PlaceName;
  /** The server, the database or the file. */
  readonly at: string;
  /** The table or collection; for MongoDB in this database. */
  readonly table: string;
  readonly database: string;
}

export const MIGRATION = 'events';

/** Any credentials do for DynamoDB Local. */
export const DYNAMODB_ACCESS = {
  region: 'local',
  credentials: { accessKeyId: 'local', secretAccessKey: 'local' },
} as const;

const KNEX_CLIENTS = { sqlite: 'better-sqlite3', postgres: 'pg', mysql: 'mysql2' } as const;

/** The columns of the tables, by the field that each holds; all other fields are in the document. */
export const COLUMNS = {
  userKey: 'user_key',
  id: 'id',
  event: 'event',
  action: 'action',
  receivedAt: 'received_at',
  deliveries: 'deliveries',
  lastWrite: 'last_write',
} as const;

export function definitionOf({ name, at, table, database }: PlaceSpec): StoreDefinition {
  switch (name) {
    case 'mongodb':
      return mongodb({ url: at, database, collection: table, id: 'id' });
    case 'dynamodb':
      return dynamodb({
        ...DYNAMODB_ACCESS,
        endpoint: at,
        table,
        partitionKey: 'userKey',
        sortKey: 'id',
        createTable: true,
        // A server on the same host holds nothing back for minutes, as a cloud might.
        lateBoundMs: 1_000,
      });
    default:
      return sql({ client: KNEX_CLIENTS[name], connection: at, table, columns: COLUMNS, document: 'document' });
  }
}

export interface PairSpec {
  /** The control plane, a SQLite file. */
  readonly control: string;
  readonly old: PlaceSpec;
  readonly new: PlaceSpec;
}

export function configOf(pair: PairSpec): Config<{ readonly events: MigrationDefinition<WebhookEvent> }> {
  return defineConfig({
    control: `sqlite:${pair.control}`,
    migrations: {
      events: migration<WebhookEvent>({
        key: ['userKey', 'id'],
        unit: 'userKey',
        old: definitionOf(pair.old),
        new: definitionOf(pair.new),
        showValues: true,
      }),
    },
  });
}
