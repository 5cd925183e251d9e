import type { Server } from 'node:http';
import { createRequire } from 'node:module';
import type { AddressInfo } from 'node:net';
import {
  CreateTableCommand,
  type CreateTableCommandInput,
  DeleteTableCommand,
  DescribeTableCommand,
  DynamoDBClient,
  UpdateTableCommand,
} from '@aws-sdk/client-dynamodb';
import { testServer } from './servers.ts';

type Dynalite = (options: Readonly<Record<string, number | string>>) => Server;

const KEY_TYPES = { text: 'S', number: 'N', bytes: 'B' } as const;
export type KeyType = keyof typeof KEY_TYPES;
export type KeyAttribute = readonly [name: string, type: KeyType];

/** Any credentials do; DynamoDB Local wants them alphanumeric. */
export const CREDENTIALS = { accessKeyId: 'local', secretAccessKey: 'local' } as const;

/** A server to test against, and a client of its own to make tables with and to look past the adapter. */
export class DynamoDbServer {
  readonly port: number;
  readonly endpoint: string;
  readonly client: DynamoDBClient;
  readonly #own: Server | null;
  readonly #run = `${Date.now().toString(36)}${Math.random().toString(36).slice(2, 8)}`;
  readonly #tables: string[] = [];
  #named = 0;

  private constructor(endpoint: string, own: Server | null) {
    this.endpoint = endpoint;
    this.port = Number(new URL(endpoint).port);
    this.#own = own;
    this.client = new DynamoDBClient({ endpoint, region: 'local', credentials: CREDENTIALS });
  }

  /** dynalite, in this process. */
  static async dynalite(): Promise<DynamoDbServer> {
    const dynalite = createRequire(import.meta.url)('dynalite') as Dynalite;
    const server = dynalite({ createTableMs: 0, deleteTableMs: 0, updateTableMs: 0 });
    server.keepAliveTimeout = 600_000;
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(0, '127.0.0.1', resolve);
    });
    return new DynamoDbServer(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, server);
  }

  /** DynamoDB Local, which may be shared: its tables are dropped in the end. */
  static async local(): Promise<DynamoDbServer> {
    const { url, missing } = testServer('dynamodb');
    if (url === undefined) throw new Error(missing);
    return new DynamoDbServer(url, null);
  }

  /** A name that no table has; the table is dropped in the end, whoever makes it. */
  freshName(): string {
    this.#named += 1;
    const name = `table-${this.#run}-${this.#named}`;
    this.#tables.push(name);
    return name;
  }

  /** A fresh, active table; gives its name. */
  async table(
    partition: KeyAttribute,
    sort?: KeyAttribute,
    more: Partial<CreateTableCommandInput> & { readonly indexKeys?: readonly KeyAttribute[] } = {},
  ): Promise<string> {
    const { indexKeys = [], ...options } = more;
    const name = this.freshName();
    const keys = sort === undefined ? [partition] : [partition, sort];
    await this.client.send(
      new CreateTableCommand({
        TableName: name,
        BillingMode: 'PAY_PER_REQUEST',
        KeySchema: keys.map(([AttributeName], i) => ({ AttributeName, KeyType: i === 0 ? 'HASH' : 'RANGE' })),
        AttributeDefinitions: [...keys, ...indexKeys].map(([AttributeName, type]) => ({
          AttributeName,
          AttributeType: KEY_TYPES[type],
        })),
        ...options,
      }),
    );
    for (;;) {
      const { Table } = await this.client.send(new DescribeTableCommand({ TableName: name }));
      if (Table?.TableStatus === 'ACTIVE') return name;
    }
  }

  async stop(): Promise<void> {
    const server = this.#own;
    if (server === null) {
      for (const TableName of this.#tables) await this.#drop(TableName);
    }
    this.client.destroy();
    if (server === null) return;
    server.closeAllConnections();
    await new Promise<void>((resolve) => server.close(() => resolve()));
  }

  async #drop(TableName: string): Promise<void> {
    try {
      await this.client.send(new DeleteTableCommand({ TableName }));
    } catch (error) {
      const { name } = error as Error;
      if (name === 'ResourceNotFoundException') return;
      if (name !== 'ValidationException') throw error;
      await this.client.send(new UpdateTableCommand({ TableName, DeletionProtectionEnabled: false }));
      await this.client.send(new DeleteTableCommand({ TableName }));
    }
  }
}

/** Every server that the adapter is tested on; `missing` says why one is not to be had here. */
export const DYNAMODB_SERVERS: readonly {
  readonly name: string;
  readonly missing: string | undefined;
  readonly start: () => Promise<DynamoDbServer>;
}[] = [
  { name: 'dynalite', missing: undefined, start: DynamoDbServer.dynalite },
  { name: 'DynamoDB Local', missing: testServer('dynamodb').missing, start: DynamoDbServer.local },
];
