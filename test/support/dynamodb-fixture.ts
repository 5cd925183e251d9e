import { type AttributeValue, GetItemCommand, PutItemCommand, ScanCommand } from '@aws-sdk/client-dynamodb';
import { afterAll, afterEach, beforeAll, describe, expect } from 'vitest';
import { type DynamoDbOptions, dynamodb } from '../../adapters/dynamodb/index.ts';
import { systemClock } from '../../src/core/clock.ts';
import { StoreFault } from '../../src/core/errors.ts';
import { KeySpec } from '../../src/core/record-key.ts';
import { makeStamp } from '../../src/core/stamp.ts';
import { type Entry, identityCodec, type Store, type StoreContext } from '../../src/core/store.ts';
import type { StoredRecord } from '../../src/core/value.ts';
import { CREDENTIALS, DYNAMODB_SERVERS, type DynamoDbServer } from './dynamodb-server.ts';
import { FaultyHttpProxy } from './faulty-http-proxy.ts';

export const KEYS = new KeySpec(['userKey', 'id'], ['userKey']);
export const stampOf = (n: number) => makeStamp(1_750_000_000_000 + n, 0, 1);
/** The key of {@link entry}, as an item has it. */
export const natural = { userKey: { S: 'ada' }, id: { S: 'e1' } };
export const later = (store: Store): number => store.now() + 30_000;

export function entryOf(record: StoredRecord, n: number | null, keys = KEYS): Entry {
  const key = keys.keyOf(record);
  return { id: keys.id(key), key, stamp: n === null ? null : stampOf(n), value: record };
}

export const entry = (n: number | null, extra: StoredRecord = {}): Entry =>
  entryOf({ userKey: 'ada', id: 'e1', ...extra }, n);

export const faultOf = async (call: Promise<unknown>): Promise<StoreFault> => {
  const error = await call.then(
    (value) => value,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(StoreFault);
  return error as StoreFault;
};

/** Stores whose requests go through a faulty proxy, and a look past them. */
export class DynamoDbFixture {
  readonly stores: Store[] = [];
  server!: DynamoDbServer;
  proxy!: FaultyHttpProxy;
  table = '';

  async start(server: DynamoDbServer): Promise<void> {
    this.server = server;
    this.proxy = await FaultyHttpProxy.start(server.port);
  }

  async rest(): Promise<void> {
    this.proxy.heal();
    this.proxy.seen.length = 0;
    for (const store of this.stores.splice(0)) await store.close();
  }

  async stop(): Promise<void> {
    await this.proxy.stop();
    await this.server.stop();
  }

  /** A store of the present table, not yet opened. `sortKey: undefined` is a table without one. */
  async create(
    options: Omit<Partial<DynamoDbOptions>, 'sortKey'> & { readonly sortKey?: string | undefined } = {},
    keys = KEYS,
    context: Partial<StoreContext> = {},
  ): Promise<Store> {
    const { sortKey, ...rest } = { sortKey: 'id', ...options };
    const definition = dynamodb({
      table: this.table,
      partitionKey: 'userKey',
      ...(sortKey === undefined ? {} : { sortKey }),
      endpoint: this.proxy.endpoint,
      region: 'local',
      credentials: CREDENTIALS,
      ...rest,
    });
    const store = await definition.create({
      migration: 'm',
      side: 'new',
      keys,
      codec: identityCodec,
      clock: systemClock,
      ...context,
    });
    this.stores.push(store);
    return store;
  }

  async open(...args: Parameters<DynamoDbFixture['create']>): Promise<Store> {
    const store = await this.create(...args);
    await store.open();
    return store;
  }

  /** A store of a fresh table. */
  async fresh(...args: Parameters<DynamoDbFixture['create']>): Promise<Store> {
    this.table = await this.server.table(['userKey', 'text'], ['id', 'text']);
    return this.open(...args);
  }

  /** The item of {@link entry}, past the store. */
  async raw(Key: Record<string, AttributeValue> = natural): Promise<Record<string, AttributeValue> | undefined> {
    const command = new GetItemCommand({ TableName: this.table, Key, ConsistentRead: true });
    return (await this.server.client.send(command)).Item;
  }

  /** All items of the table, past the store. */
  async items(): Promise<readonly Record<string, AttributeValue>[]> {
    const command = new ScanCommand({ TableName: this.table, ConsistentRead: true });
    return (await this.server.client.send(command)).Items ?? [];
  }

  /** Writes an item past the store. */
  write(Item: Record<string, AttributeValue>): Promise<unknown> {
    return this.server.client.send(new PutItemCommand({ TableName: this.table, Item }));
  }

  /** How many requests a call makes. */
  async requests(call: () => Promise<unknown>): Promise<readonly string[]> {
    this.proxy.seen.length = 0;
    await call();
    return [...this.proxy.seen];
  }
}

/** Runs tests on every server that there is; a missing one is skipped by name. */
export function onEveryServer(body: (fixture: DynamoDbFixture, server: string) => void, only?: string): void {
  for (const { name, missing, start } of DYNAMODB_SERVERS) {
    if (only !== undefined && only !== name) continue;
    const title = missing === undefined ? `on ${name}` : `on ${name} (${missing})`;
    describe.skipIf(missing !== undefined)(title, () => {
      const fixture = new DynamoDbFixture();
      beforeAll(async () => fixture.start(await start()));
      afterEach(() => fixture.rest());
      afterAll(() => fixture.stop());
      body(fixture, name);
    });
  }
}
