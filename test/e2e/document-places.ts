import { randomBytes } from 'node:crypto';
import {
  type AttributeValue,
  BatchWriteItemCommand,
  CreateTableCommand,
  DeleteTableCommand,
  DynamoDBClient,
  ScanCommand,
} from '@aws-sdk/client-dynamodb';
import { type Document, MongoClient } from 'mongodb';
import { freshDatabase, testServer } from '../support/servers.ts';
import type { Place } from './place.ts';
import { DYNAMODB_ACCESS } from './place-spec.ts';

const BATCH = 25;

export async function mongodbPlace(): Promise<Place> {
  const database = await freshDatabase('mongodb');
  const client = await new MongoClient(database.url).connect();
  const events = client.db(database.name).collection<Document & { _id: string }>('events');
  return {
    spec: { name: 'mongodb', at: database.url, table: 'events', database: database.name },
    async seed(seeds) {
      await events.insertMany(seeds.map(({ id, ...event }) => ({ _id: id, ...event })));
    },
    async read() {
      const documents = await events.find({ _s_deleted: { $exists: false } }).toArray();
      return documents.map(({ _id: id, _s, ...event }) => ({ id, ...event }));
    },
    async drop() {
      await client.close();
      await database.drop();
    },
  };
}

/**
 * As the old store, the table was made by an application long ago; as the new one, it is for `prepare` to make. On a
 * server of the test's own, which may hang or be gone by then, it stays in the end.
 */
export async function dynamodbPlace(side: 'old' | 'new', own?: { readonly url: string }): Promise<Place> {
  const { url, missing } = own === undefined ? testServer('dynamodb') : { url: own.url, missing: '' };
  if (url === undefined) throw new Error(missing);
  const client = new DynamoDBClient({ ...DYNAMODB_ACCESS, endpoint: url });
  const TableName = `events-${randomBytes(6).toString('hex')}`;
  if (side === 'old') {
    await client.send(
      new CreateTableCommand({
        TableName,
        BillingMode: 'PAY_PER_REQUEST',
        KeySchema: [
          { AttributeName: 'userKey', KeyType: 'HASH' },
          { AttributeName: 'id', KeyType: 'RANGE' },
        ],
        AttributeDefinitions: ['userKey', 'id'].map((AttributeName) => ({ AttributeName, AttributeType: 'S' })),
      }),
    );
  }
  return {
    spec: { name: 'dynamodb', at: url, table: TableName, database: '' },
    async seed(seeds) {
      for (let from = 0; from < seeds.length; from += BATCH) {
        const requests = seeds.slice(from, from + BATCH).map((event) => ({ PutRequest: { Item: itemOf(event) } }));
        await client.send(new BatchWriteItemCommand({ RequestItems: { [TableName]: requests } }));
      }
    },
    async read() {
      const found: Record<string, unknown>[] = [];
      let start: Record<string, AttributeValue> | undefined;
      do {
        const page = await client.send(
          new ScanCommand({ TableName, ConsistentRead: true, ...(start && { ExclusiveStartKey: start }) }),
        );
        for (const { _s, _s_deleted, ...item } of page.Items ?? []) {
          if (_s_deleted === undefined) found.push(plainMap(item));
        }
        start = page.LastEvaluatedKey;
      } while (start !== undefined);
      return found;
    },
    async drop() {
      if (own === undefined) await client.send(new DeleteTableCommand({ TableName }));
      client.destroy();
    },
  };
}

const itemOf = (map: object): Record<string, AttributeValue> =>
  Object.fromEntries(Object.entries(map).map(([name, value]) => [name, attribute(value)]));

/** What JSON knows, as an application's own mapper writes it. */
function attribute(value: unknown): AttributeValue {
  if (value === null) return { NULL: true };
  if (typeof value === 'string') return { S: value };
  if (typeof value === 'number') return { N: String(value) };
  if (typeof value === 'boolean') return { BOOL: value };
  if (Array.isArray(value)) return { L: value.map(attribute) };
  return { M: itemOf(value as object) };
}

const plainMap = (map: Readonly<Record<string, AttributeValue>>): Record<string, unknown> =>
  Object.fromEntries(Object.entries(map).map(([name, value]) => [name, plain(value)]));

function plain(value: AttributeValue): unknown {
  if (value.NULL !== undefined) return null;
  if (value.N !== undefined) return Number(value.N);
  if (value.L !== undefined) return value.L.map(plain);
  if (value.M !== undefined) return plainMap(value.M);
  return value.S ?? value.BOOL ?? `an attribute of type ${Object.keys(value).join()}`;
}
