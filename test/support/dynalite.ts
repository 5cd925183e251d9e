import type { Server } from 'node:http';
import { createRequire } from 'node:module';
import type { AddressInfo } from 'node:net';
import { CreateTableCommand, DescribeTableCommand, DynamoDBClient } from '@aws-sdk/client-dynamodb';

type Dynalite = (options: Readonly<Record<string, number | string>>) => Server;

const KEY_TYPES = { text: 'S', number: 'N', bytes: 'B' } as const;
export type KeyType = keyof typeof KEY_TYPES;

/** Any credentials do; DynamoDB Local wants them alphanumeric. */
export const CREDENTIALS = { accessKeyId: 'local', secretAccessKey: 'local' } as const;

/**
 * A server to test against, and a client of its own to make tables with and to look past the adapter: dynalite in this
 * process, or (DynamoDB Local, say) what listens at `CHANGEOVER_TEST_DYNAMODB`, `http://127.0.0.1:8000`.
 */
export class DynaliteServer {
  readonly port: number;
  readonly endpoint: string;
  readonly client: DynamoDBClient;
  readonly #server: Server | null;
  readonly #run = Date.now().toString(36);
  #tables = 0;

  private constructor(port: number, server: Server | null) {
    this.#server = server;
    this.port = port;
    this.endpoint = `http://127.0.0.1:${this.port}`;
    this.client = new DynamoDBClient({ endpoint: this.endpoint, region: 'local', credentials: CREDENTIALS });
  }

  static async start(): Promise<DynaliteServer> {
    const url = process.env['CHANGEOVER_TEST_DYNAMODB'];
    if (url !== undefined) return new DynaliteServer(Number(new URL(url).port), null);
    const dynalite = createRequire(import.meta.url)('dynalite') as Dynalite;
    const server = dynalite({ createTableMs: 0, deleteTableMs: 0, updateTableMs: 0 });
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(0, '127.0.0.1', resolve);
    });
    return new DynaliteServer((server.address() as AddressInfo).port, server);
  }

  /** A fresh, active table; gives its name. */
  async table(partition: [name: string, type: KeyType], sort?: [name: string, type: KeyType]): Promise<string> {
    this.#tables += 1;
    const name = `table-${this.#run}-${this.#tables}`;
    const keys = sort === undefined ? [partition] : [partition, sort];
    await this.client.send(
      new CreateTableCommand({
        TableName: name,
        BillingMode: 'PAY_PER_REQUEST',
        KeySchema: keys.map(([AttributeName], i) => ({ AttributeName, KeyType: i === 0 ? 'HASH' : 'RANGE' })),
        AttributeDefinitions: keys.map(([AttributeName, type]) => ({ AttributeName, AttributeType: KEY_TYPES[type] })),
      }),
    );
    for (;;) {
      const { Table } = await this.client.send(new DescribeTableCommand({ TableName: name }));
      if (Table?.TableStatus === 'ACTIVE') return name;
    }
  }

  async stop(): Promise<void> {
    this.client.destroy();
    const server = this.#server;
    if (server === null) return;
    server.closeAllConnections();
    await new Promise<void>((resolve) => server.close(() => resolve()));
  }
}
