import { randomBytes } from 'node:crypto';
import {
  type AttributeValue,
  BatchExecuteStatementCommand,
  BatchWriteItemCommand,
  CreateTableCommand,
  DeleteTableCommand,
  DynamoDBClient,
  PutItemCommand,
  TransactWriteItemsCommand,
} from '@aws-sdk/client-dynamodb';
import { type DynamoDbOptions, dynamodb } from '../adapters/dynamodb/index.ts';
import type { StoreDefinition } from '../src/core/store.ts';
import type { BenchRecord } from './replay-places.ts';

/** What DynamoDB takes in one request of a batch. */
export const MOST_ITEMS = 25;

/** Ways in which a plain script fills a table: guarded ones leave what is there, the others replace it. */
export interface DynamoDbBench {
  readonly store: StoreDefinition;
  putNew(record: BenchRecord): Promise<void>;
  insertMany(records: readonly BenchRecord[]): Promise<void>;
  /** All or nothing. */
  insertTogether(records: readonly BenchRecord[]): Promise<void>;
  replaceMany(records: readonly BenchRecord[]): Promise<void>;
  /** Makes the tables anew: that of the store and that of the script. */
  clear(): Promise<void>;
  drop(): Promise<void>;
}

const itemOf = ({ user_key, id, n, text }: BenchRecord): Record<string, AttributeValue> => ({
  user_key: { S: user_key },
  id: { S: id },
  n: { N: String(n) },
  text: { S: text },
});

export async function dynamodbBench(
  endpoint: string,
  options: Pick<DynamoDbOptions, 'inserts'> = {},
): Promise<DynamoDbBench> {
  const name = `bench_${randomBytes(6).toString('hex')}`;
  const plain = `${name}_plain`;
  const server = { endpoint, region: 'local', credentials: { accessKeyId: 'local', secretAccessKey: 'local' } };
  const client = new DynamoDBClient(server);
  const statement = `INSERT INTO "${plain}" VALUE {'user_key': ?, 'id': ?, 'n': ?, 'text': ?}`;
  const tables = [name, plain];
  const drop = async (): Promise<void> => {
    for (const table of tables) await client.send(new DeleteTableCommand({ TableName: table }));
  };
  const create = async (): Promise<void> => {
    for (const table of tables) {
      await client.send(
        new CreateTableCommand({
          TableName: table,
          BillingMode: 'PAY_PER_REQUEST',
          KeySchema: [
            { AttributeName: 'user_key', KeyType: 'HASH' },
            { AttributeName: 'id', KeyType: 'RANGE' },
          ],
          AttributeDefinitions: [
            { AttributeName: 'user_key', AttributeType: 'S' },
            { AttributeName: 'id', AttributeType: 'S' },
          ],
        }),
      );
    }
  };
  await create();
  return {
    store: dynamodb({ table: name, partitionKey: 'user_key', sortKey: 'id', ...server, ...options }),
    async putNew(record) {
      const condition = 'attribute_not_exists(user_key)';
      await client.send(new PutItemCommand({ TableName: plain, Item: itemOf(record), ConditionExpression: condition }));
    },
    async insertMany(records) {
      const { Responses = [] } = await client.send(
        new BatchExecuteStatementCommand({
          Statements: records.map((record) => ({ Statement: statement, Parameters: Object.values(itemOf(record)) })),
        }),
      );
      const failed = Responses.find(({ Error: error }) => error !== undefined);
      if (failed !== undefined) throw new Error(`an insert failed: ${failed.Error?.Code}`);
    },
    async insertTogether(records) {
      const condition = 'attribute_not_exists(user_key)';
      const Put = (record: BenchRecord) => ({ TableName: plain, Item: itemOf(record), ConditionExpression: condition });
      await client.send(
        new TransactWriteItemsCommand({ TransactItems: records.map((record) => ({ Put: Put(record) })) }),
      );
    },
    async replaceMany(records) {
      let open = records.map((record) => ({ PutRequest: { Item: itemOf(record) } }));
      while (open.length > 0) {
        const answer = await client.send(new BatchWriteItemCommand({ RequestItems: { [plain]: open } }));
        open = (answer.UnprocessedItems?.[plain] ?? []) as typeof open;
      }
    },
    async clear() {
      await drop();
      await create();
    },
    async drop() {
      await drop();
      client.destroy();
    },
  };
}
