import { ScanCommand } from '@aws-sdk/client-dynamodb';
import type { Harness, OpenOptions } from '../../adapters/conformance/index.ts';
import { UNUSUAL_KEYS, UNUSUAL_VALUES, type UnusualKey, type UnusualValue } from '../../adapters/conformance/index.ts';
import { dynamodb } from '../../adapters/dynamodb/index.ts';
import { systemClock } from '../../src/core/clock.ts';
import { KeySpec } from '../../src/core/record-key.ts';
import { type Codec, identityCodec, type Store } from '../../src/core/store.ts';
import type { StoredRecord } from '../../src/core/value.ts';
import { CREDENTIALS, DynaliteServer } from './dynalite.ts';
import { FaultyHttpProxy, THROTTLED } from './faulty-http-proxy.ts';

const REFUSED_VALUES: ReadonlySet<string> = new Set([
  'fields with odd names',
  'a field named __proto__',
  'smallest and greatest numbers',
  'decimal of 60 digits',
  'deep nesting',
] satisfies UnusualValue[]);
const REFUSED_KEYS: ReadonlySet<string> = new Set(['empty text', 'long, 3000 characters'] satisfies UnusualKey[]);

/** Runs the conformance kit against a dynalite server. */
export class DynamoDbHarness implements Harness {
  readonly keys = new KeySpec(['userKey', 'id'], ['userKey']);
  readonly fields = { number: 'count', text: 'title', any: 'payload' };
  readonly holdsValues = (Object.keys(UNUSUAL_VALUES) as UnusualValue[]).filter((name) => !REFUSED_VALUES.has(name));
  readonly holdsKeys = (Object.keys(UNUSUAL_KEYS) as UnusualKey[]).filter((name) => !REFUSED_KEYS.has(name));
  readonly breaksConstraint = null;
  readonly breaksUnique = null;
  readonly #server: DynaliteServer;
  readonly #proxy: FaultyHttpProxy;
  readonly #stores: Store[] = [];
  #table = '';
  #codec: Codec = identityCodec;

  private constructor(server: DynaliteServer, proxy: FaultyHttpProxy) {
    this.#server = server;
    this.#proxy = proxy;
  }

  static async start(): Promise<DynamoDbHarness> {
    const server = await DynaliteServer.start();
    return new DynamoDbHarness(server, await FaultyHttpProxy.start(server.port));
  }

  async #client(endpoint: string, maxAttempts?: number): Promise<Store> {
    const definition = dynamodb({
      table: this.#table,
      partitionKey: 'userKey',
      sortKey: 'id',
      endpoint,
      region: 'local',
      credentials: CREDENTIALS,
      ...(maxAttempts === undefined ? {} : { maxAttempts }),
    });
    const store = await definition.create({
      migration: 'kit',
      side: 'new',
      keys: this.keys,
      codec: this.#codec,
      clock: systemClock,
    });
    await store.open();
    this.#stores.push(store);
    return store;
  }

  async open(options: OpenOptions = {}): Promise<Store> {
    this.#codec = options.codec ?? identityCodec;
    this.#table = await this.#server.table(['userKey', 'text'], ['id', 'text']);
    return this.second();
  }

  second(): Promise<Store> {
    return this.#client(this.#server.endpoint);
  }

  async unprepared(): Promise<null> {
    return null;
  }

  record(n: number, extra: StoredRecord = {}): StoredRecord {
    return { userKey: `user ${Math.floor(n / 10)}`, id: `event ${n}`, ...extra };
  }

  readonly recordNamed = (text: string, extra: StoredRecord = {}): StoredRecord => ({
    userKey: 'ada',
    id: text,
    ...extra,
  });

  readonly breaksLimit = (n: number): StoredRecord => this.record(n, { payload: 'x'.repeat(410_000) });

  readonly failingFor = async (ids: readonly string[]): Promise<Store> => {
    this.#proxy.plan = ({ operation, body }) => {
      if (operation !== 'PutItem') return { kind: 'pass' };
      const { Item } = JSON.parse(body) as { Item: Record<'userKey' | 'id', { S: string }> };
      const id = this.keys.id({ userKey: Item.userKey.S, id: Item.id.S });
      return ids.includes(id) ? THROTTLED : { kind: 'pass' };
    };
    return this.#client(this.#proxy.endpoint, 2);
  };

  readonly nativeRows = async (): Promise<readonly unknown[]> => {
    const { Items } = await this.#server.client.send(
      new ScanCommand({
        TableName: this.#table,
        FilterExpression: 'attribute_not_exists(#d)',
        ExpressionAttributeNames: { '#d': '_s_deleted' },
      }),
    );
    return Items ?? [];
  };

  async close(): Promise<void> {
    for (const store of this.#stores) await store.close();
    await this.#proxy.stop();
    await this.#server.stop();
  }
}
