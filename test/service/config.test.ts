import { describe, expect, test } from 'vitest';
import { dynamodb } from '../../adapters/dynamodb/index.ts';
import { memory } from '../../adapters/memory/index.ts';
import { mongodb } from '../../adapters/mongodb/index.ts';
import { type SqlOptions, sql } from '../../adapters/sql/index.ts';
import type { Codec, StoreDefinition, StoredRecord } from '../../src/index.ts';
import { defineConfig, InvalidConfiguration, migration } from '../../src/index.ts';
import type { StandardSchema } from '../../src/repository/schema.ts';

const table = (client: string, connection: SqlOptions['connection'], name = 'orders'): StoreDefinition =>
  sql({ client, connection, table: name });

const AN_ACCOUNT = { accessKeyId: 'AKIA1', secretAccessKey: 'x' };
const ofAccount = (given: string | (() => Promise<typeof AN_ACCOUNT>)): StoreDefinition =>
  dynamodb({
    table: 'orders',
    partitionKey: 'id',
    region: 'eu-central-1',
    credentials: typeof given === 'string' ? { ...AN_ACCOUNT, accessKeyId: given } : given,
  });

const mappingOf = (codec?: Codec): string =>
  migration({
    key: ['id'],
    unit: 'id',
    old: memory(),
    new: memory(),
    ...(codec === undefined ? {} : { codecs: { new: codec } }),
  }).mapping;

test('a mapping is bound to the text of its codecs, or to the version that they name', () => {
  const one: Codec = { encode: (record: StoredRecord) => ({ ...record, a: 1 }), decode: (stored) => stored };
  const other: Codec = { encode: (record: StoredRecord) => ({ ...record, a: 2 }), decode: (stored) => stored };
  expect(mappingOf(one)).toBe(mappingOf({ ...one }));
  expect(mappingOf(one)).not.toBe(mappingOf(other));
  expect(mappingOf(one)).not.toBe(mappingOf());
  expect(mappingOf({ ...one, version: '2' })).toBe(mappingOf({ ...other, version: '2' }));
  expect(mappingOf({ ...one, version: '2' })).not.toBe(mappingOf({ ...one, version: '3' }));
});

test.each(['key', 'unit'] as const)('a migration without its %s says so', (name) => {
  const options = { key: 'id', unit: 'id', old: memory(), new: memory(), [name]: undefined };
  expect(() => migration(options as never)).toThrow(`a migration names no ${name}`);
});

describe('a migration from a place to itself is refused', () => {
  const url = 'mongodb://127.0.0.1/shop';
  const client = {} as never;
  const both = memory();
  test.each<[string, StoreDefinition, StoreDefinition]>([
    ['one definition', both, both],
    ['SQLite', table('better-sqlite3', 'sqlite:x.db'), table('better-sqlite3', { filename: './x.db' })],
    ['PostgreSQL', table('pg', 'postgres://a:b@Localhost/shop'), table('pg', 'postgres://c@127.0.0.1:5432/shop?x=1')],
    [
      'its settings',
      table('pg', { host: 'db', database: 'shop' }),
      table('pg', { host: 'DB', port: 5432, database: 'shop' }),
    ],
    [
      'a schema',
      table('pg', 'postgres://db/shop?options=-c%20search_path%3Da'),
      table('pg', { host: 'db', database: 'shop', options: '-c search_path=a' }),
    ],
    ['MySQL', table('mysql2', 'mysql://db/shop'), table('mysql2', { uri: 'mysql://u:p@db:3306/shop' })],
    [
      'MongoDB',
      mongodb({ url, collection: 'c', id: 'id' }),
      mongodb({ url: 'mongodb://u:p@localhost:27017/shop', collection: 'c', id: 'id' }),
    ],
    [
      'a client',
      mongodb({ client, database: 'd', collection: 'c', id: 'id' }),
      mongodb({ client, database: 'd', collection: 'c', id: 'id' }),
    ],
    [
      'DynamoDB',
      dynamodb({ table: 'ttt', partitionKey: 'id' }),
      dynamodb({ table: 'ttt', partitionKey: 'id', maxInFlight: 2 }),
    ],
    ['an account', ofAccount('AKIA1'), ofAccount('AKIA1')],
  ])('%s', (_, old, fresh) => {
    expect(() => migration({ key: 'id', unit: 'id', old, new: fresh })).toThrow(/the same data set/);
  });

  test.each<[string, StoreDefinition, StoreDefinition]>([
    ['another file', table('better-sqlite3', 'sqlite:x.db'), table('better-sqlite3', 'sqlite:y.db')],
    ['another table', table('pg', 'postgres://db/shop'), table('pg', 'postgres://db/shop', 'other')],
    ['another database', table('pg', 'postgres://db/shop'), table('pg', 'postgres://db/archive')],
    [
      'another schema',
      table('pg', 'postgres://db/shop?options=-c%20search_path%3Da'),
      table('pg', 'postgres://db/shop?options=-c+search_path%3Db'),
    ],
    [
      'another schema, by settings',
      table('pg', { connectionString: 'postgres://db/shop', options: '-c search_path=a' }),
      table('pg', { connectionString: 'postgres://db/shop', options: '-c search_path=b' }),
    ],
    ['another socket', table('pg', 'postgres:///shop?host=/run/a'), table('pg', 'postgres:///shop?host=/run/b')],
    [
      'another socket of MySQL',
      table('mysql2', { socketPath: '/run/a', database: 'shop' }),
      table('mysql2', { socketPath: '/run/b', database: 'shop' }),
    ],
    ['another server', table('mysql2', 'mysql://a/shop'), table('mysql2', 'mysql://b/shop')],
    ['another port', table('pg', 'postgres://db/shop'), table('pg', 'postgres://db:5433/shop')],
    ['two in memory', memory(), memory()],
    [
      'another region',
      dynamodb({ table: 'ttt', partitionKey: 'id', region: 'a' }),
      dynamodb({ table: 'ttt', partitionKey: 'id', region: 'b' }),
    ],
    ['another account', ofAccount('AKIA1'), ofAccount('AKIA2')],
    ['another account, asked for', ofAccount(async () => AN_ACCOUNT), ofAccount(async () => AN_ACCOUNT)],
  ])('but not to %s', (_, old, fresh) => {
    expect(() => migration({ key: 'id', unit: 'id', old, new: fresh })).not.toThrow();
  });
});

test('a mapping is bound to its schema: by version, by JSON Schema, or by the text of its check', () => {
  const schema = (validate: (value: unknown) => { value: unknown }, json?: object): StandardSchema =>
    ({
      '~standard': {
        version: 1,
        vendor: 'test',
        validate,
        ...(json === undefined ? {} : { jsonSchema: { input: () => json } }),
      },
    }) as StandardSchema;
  const of = (given: StandardSchema | null, schemaVersion?: string): string =>
    migration({
      key: ['id'],
      unit: 'id',
      old: memory(),
      new: memory(),
      ...(given === null ? {} : { schema: given }),
      ...(schemaVersion === undefined ? {} : { schemaVersion }),
    }).mapping;
  const one = (value: unknown) => ({ value });
  const other = (value: unknown) => ({ value: structuredClone(value) });
  expect(of(schema(one)).split('.')[0]).toBe(mappingOf());
  expect(of(schema(one))).toBe(of(schema(one)));
  expect(of(schema(one))).not.toBe(of(schema(other)));
  expect(of(schema(one))).not.toBe(mappingOf());
  expect(of(schema(one, { type: 'object' }))).toBe(of(schema(other, { type: 'object' })));
  expect(of(schema(one, { type: 'object' }))).not.toBe(of(schema(one, { type: 'array' })));
  expect(of(schema(one), '1')).toBe(of(schema(other), '1'));
  expect(of(schema(one), '1')).not.toBe(of(schema(one), '2'));
  expect(of(null), 'no schema, no version').toBe(mappingOf());
  expect(of(null, '1').split('.')[0]).toBe(mappingOf());
  expect(of(null, '1')).not.toBe(of(null, '2'));
});

test.each([
  'hooks.example.com/services/s3cret',
  'ftp://hooks.example.com/s3cret',
  'https://bot:s3cret@hooks.example.com/',
])('a webhook that nothing could be sent to (%s) is refused, and not told', (address) => {
  const migrations = { items: migration({ key: ['id'], unit: 'id', old: memory(), new: memory() }) };
  const make = () => defineConfig({ control: 'memory', webhooks: [address], migrations });
  expect(make).toThrow(InvalidConfiguration);
  expect(make).toThrow(expect.objectContaining({ message: expect.not.stringContaining('s3cret') }));
});
