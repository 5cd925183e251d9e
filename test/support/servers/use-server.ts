import { CreateTableCommand, DynamoDBClient, GetItemCommand, PutItemCommand } from '@aws-sdk/client-dynamodb';
import { MongoClient } from 'mongodb';
import { createConnection } from 'mysql2/promise';
import pg from 'pg';
import type { ServerName } from './names.ts';

type Use = (url: string, text: string) => Promise<unknown>;

/** Has a server do something that a mere open port would not: it keeps a text. @returns the text as it came back */
export const useServer = (name: ServerName, url: string, text: string): Promise<unknown> => USE[name](url, text);

const USE: Readonly<Record<ServerName, Use>> = {
  async mongodb(url, text) {
    const client = await new MongoClient(url).connect();
    try {
      const things = client.db('test').collection<{ _id: string; text: string }>('things');
      await things.createIndex({ text: 1 });
      await client.withSession((session) =>
        session.withTransaction(async () => {
          await things.insertOne({ _id: 'a', text }, { session });
        }),
      );
      return (await things.findOne({ _id: 'a' }))?.text;
    } finally {
      await client.close();
    }
  },

  async dynamodb(url, text) {
    const client = new DynamoDBClient({
      endpoint: url,
      region: 'local',
      credentials: { accessKeyId: 'local', secretAccessKey: 'local' },
    });
    try {
      await client.send(
        new CreateTableCommand({
          TableName: 'things',
          BillingMode: 'PAY_PER_REQUEST',
          KeySchema: [{ AttributeName: 'id', KeyType: 'HASH' }],
          AttributeDefinitions: [{ AttributeName: 'id', AttributeType: 'S' }],
        }),
      );
      await client.send(new PutItemCommand({ TableName: 'things', Item: { id: { S: 'a' }, text: { S: text } } }));
      const { Item } = await client.send(new GetItemCommand({ TableName: 'things', Key: { id: { S: 'a' } } }));
      return Item?.['text']?.S;
    } finally {
      client.destroy();
    }
  },

  async postgres(url, text) {
    const client = new pg.Client({ connectionString: url });
    await client.connect();
    try {
      await client.query('CREATE TABLE things (text jsonb)');
      await client.query('INSERT INTO things VALUES (to_jsonb($1::text))', [text]);
      const { rows } = await client.query<{ text: string }>('SELECT text FROM things');
      return rows[0]?.text;
    } finally {
      await client.end();
    }
  },

  async mysql(url, text) {
    const connection = await createConnection(url);
    try {
      await connection.query('CREATE TABLE things (id INT PRIMARY KEY, text TEXT) ENGINE=InnoDB');
      await connection.query('INSERT INTO things VALUES (1, ?)', [text]);
      const [rows] = await connection.query('SELECT text FROM things');
      return (rows as { text: string }[])[0]?.text;
    } finally {
      await connection.end();
    }
  },
};
