import { dynamodb } from '../../../adapters/dynamodb/index.ts';
import { sql } from '../../../adapters/sql/index.ts';
import type { Codec } from '../../core/store.ts';
import type { StoredRecord } from '../../core/value.ts';
import { type Config, defineConfig, type MigrationDefinition, migration } from '../../service/config.ts';
import type { WebhookEvent } from './events.ts';

/** Where the demonstration keeps its things. */
export interface DemoPlaces {
  /** The control plane, a SQLite file. */
  readonly control: string;
  /** The old store, a SQLite file. */
  readonly old: string;
  /** The new store, a DynamoDB API. */
  readonly endpoint: string;
}

export const MIGRATION = 'events';
export const TABLE = 'events';

/** Any credentials do for a server of one's own. */
export const LOCAL_DYNAMODB = {
  region: 'local',
  credentials: { accessKeyId: 'local', secretAccessKey: 'local' },
} as const;

/** The share of mirrored events that the planted fault corrupts. */
export const FAULT_SHARE = 0.05;

/** What the fault did in one process since it was switched on. */
export interface FaultTally {
  readonly encoded: number;
  readonly corrupted: number;
}

let faulty = false;
let encoded = 0;
let corrupted = 0;

/** Switches the planted fault of this process; says what it did until now. */
export function plantFault(on: boolean): FaultTally {
  const tally = { encoded, corrupted };
  faulty = on;
  encoded = 0;
  corrupted = 0;
  return tally;
}

function corrupt(event: StoredRecord): StoredRecord {
  encoded += 1;
  if (Math.random() >= FAULT_SHARE) return event;
  corrupted += 1;
  return { ...event, hello: 'joe' };
}

/** What turns events into items of the new store: nothing, unless its fault is on. */
const newCodec: Codec = {
  encode: (event: StoredRecord): StoredRecord => (faulty ? corrupt(event) : event),
  decode: (stored: StoredRecord): StoredRecord => stored,
};

/** The configuration of the demonstration, for its services, its operator and `changeover` itself. */
export function demoConfig({
  control,
  old,
  endpoint,
}: DemoPlaces): Config<{ readonly events: MigrationDefinition<WebhookEvent> }> {
  return defineConfig({
    control: `sqlite:${control}`,
    migrations: {
      events: migration<WebhookEvent>({
        key: ['userKey', 'id'],
        unit: 'userKey',
        old: sql({
          client: 'better-sqlite3',
          connection: old,
          table: TABLE,
          columns: {
            userKey: 'user_key',
            id: 'id',
            event: 'event',
            action: 'action',
            receivedAt: 'received_at',
            deliveries: 'deliveries',
            lastWrite: 'last_write',
          },
          document: 'document',
        }),
        new: dynamodb({
          ...LOCAL_DYNAMODB,
          endpoint,
          table: TABLE,
          partitionKey: 'userKey',
          sortKey: 'id',
          createTable: true,
          // A server on the same host holds nothing back for minutes, as a cloud might.
          lateBoundMs: 1_000,
        }),
        codecs: { new: newCodec },
        showValues: true,
      }),
    },
  });
}
