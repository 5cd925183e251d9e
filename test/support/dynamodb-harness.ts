import { ScanCommand } from '@aws-sdk/client-dynamodb';
import { ObjectId } from 'mongodb';
import type { Harness, OpenOptions } from '../../adapters/conformance/index.ts';
import { UNUSUAL_KEYS, UNUSUAL_VALUES, type UnusualKey, type UnusualValue } from '../../adapters/conformance/index.ts';
import { dynamodb } from '../../adapters/dynamodb/index.ts';
import { systemClock } from '../../src/core/clock.ts';
import { KeySpec } from '../../src/core/record-key.ts';
import { type Codec, identityCodec, type Store } from '../../src/core/store.ts';
import type { KeyPart, StoredRecord } from '../../src/core/value.ts';
import { CREDENTIALS, type DynamoDbServer, type KeyAttribute } from './dynamodb-server.ts';
import { failingInserts, type WireItem } from './dynamodb-statements.ts';
import { FaultyHttpProxy, THROTTLED } from './faulty-http-proxy.ts';

const REFUSED_VALUES: ReadonlySet<string> = new Set([
  'smallest and greatest numbers',
  'decimal of 60 digits',
] satisfies UnusualValue[]);
const REFUSED_KEYS: ReadonlySet<string> = new Set(['empty text', 'long, 3000 characters'] satisfies UnusualKey[]);

interface ShapeOf {
  readonly partition: KeyAttribute;
  readonly sort?: KeyAttribute;
  readonly key: (n: number) => Readonly<Record<string, KeyPart>>;
  /** The key that holds this text, where one can. */
  readonly named: ((text: string) => Readonly<Record<string, KeyPart>>) | null;
}

const bytesOf = (n: number): Uint8Array => Uint8Array.of(n >> 16, (n >> 8) & 0xff, n & 0xff);

/** The tables that the kit runs on. */
const SHAPES = {
  'partition and sort key': {
    partition: ['userKey', 'text'],
    sort: ['id', 'text'],
    key: (n) => ({ userKey: `user ${Math.floor(n / 10)}`, id: `event ${n}` }),
    named: (text) => ({ userKey: 'ada', id: text }),
  },
  'partition key': {
    partition: ['id', 'text'],
    key: (n) => ({ id: `event ${n}` }),
    named: (text) => ({ id: text }),
  },
  'number key': {
    partition: ['userKey', 'number'],
    sort: ['id', 'number'],
    // Fractions, negative numbers, and bigints beyond what a double tells apart.
    key: (n) => ({ userKey: Math.floor(n / 10) - 3, id: n % 3 === 0 ? BigInt(n) + 2n ** 60n : n / 8 - 5 }),
    named: null,
  },
  'bytes key': {
    partition: ['userKey', 'bytes'],
    sort: ['id', 'bytes'],
    key: (n) => ({ userKey: bytesOf(Math.floor(n / 10)), id: bytesOf(n) }),
    named: null,
  },
  'ObjectId key': {
    partition: ['userKey', 'text'],
    sort: ['id', 'text'],
    key: (n) => ({ userKey: `user ${Math.floor(n / 10)}`, id: new ObjectId(n.toString(16).padStart(24, '0')) }),
    named: null,
  },
} as const satisfies Record<string, ShapeOf>;
export type Shape = keyof typeof SHAPES;

/** Runs the conformance kit against a server. */
export class DynamoDbHarness implements Harness {
  readonly keys: KeySpec;
  readonly fields = { number: 'count', text: 'title', any: 'payload' };
  readonly holdsValues = (Object.keys(UNUSUAL_VALUES) as UnusualValue[]).filter((name) => !REFUSED_VALUES.has(name));
  readonly holdsKeys: readonly UnusualKey[];
  readonly breaksConstraint = null;
  readonly breaksUnique = null;
  readonly recordNamed: Harness['recordNamed'];
  readonly #shape: ShapeOf;
  readonly #server: DynamoDbServer;
  readonly #proxy: FaultyHttpProxy;
  readonly #stores: Store[] = [];
  #table = '';
  #codec: Codec = identityCodec;

  private constructor(server: DynamoDbServer, proxy: FaultyHttpProxy, shape: Shape) {
    this.#server = server;
    this.#proxy = proxy;
    this.#shape = SHAPES[shape];
    const { partition, sort, named } = this.#shape;
    const fields = sort === undefined ? [partition[0]] : [partition[0], sort[0]];
    this.keys = new KeySpec(fields, [partition[0]]);
    this.recordNamed = named === null ? null : (text, extra = {}) => ({ ...named(text), ...extra });
    // A partition key takes 2048 bytes, a sort key 1024: the long one fits neither.
    this.holdsKeys = (Object.keys(UNUSUAL_KEYS) as UnusualKey[]).filter((name) => !REFUSED_KEYS.has(name));
  }

  static async start(startServer: () => Promise<DynamoDbServer>, shape: Shape): Promise<DynamoDbHarness> {
    const server = await startServer();
    return new DynamoDbHarness(server, await FaultyHttpProxy.start(server.port), shape);
  }

  async #client(endpoint: string, maxAttempts?: number): Promise<Store> {
    const { partition, sort } = this.#shape;
    const definition = dynamodb({
      table: this.#table,
      partitionKey: partition[0],
      ...(sort === undefined ? {} : { sortKey: sort[0] }),
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
    this.#table = await this.#server.table(this.#shape.partition, this.#shape.sort);
    return this.second();
  }

  second(): Promise<Store> {
    return this.#client(this.#server.endpoint);
  }

  async unprepared(): Promise<null> {
    return null;
  }

  record(n: number, extra: StoredRecord = {}): StoredRecord {
    return { ...this.#shape.key(n), ...extra };
  }

  readonly breaksLimit = (n: number): StoredRecord => this.record(n, { payload: 'x'.repeat(410_000) });

  readonly failingFor = async (ids: readonly string[]): Promise<Store> => {
    const reader = await this.#client(this.#server.endpoint);
    const fails = (item: WireItem): boolean => ids.includes(this.keys.id(reader.decode(fromWire(item)).key));
    this.#proxy.plan = (seen) => {
      if (seen.operation === 'BatchExecuteStatement') {
        return failingInserts(seen, (item) => (fails(item) ? 'ProvisionedThroughputExceeded' : undefined));
      }
      if (seen.operation !== 'PutItem') return { kind: 'pass' };
      return fails((JSON.parse(seen.body) as { Item: WireItem }).Item) ? THROTTLED : { kind: 'pass' };
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

/** An item as it goes over the wire, as the SDK would hand it out. */
const fromWire = (item: WireItem): Record<string, unknown> =>
  Object.fromEntries(
    Object.entries(item).map(([name, value]) => [
      name,
      value['B'] === undefined ? value : { B: new Uint8Array(Buffer.from(value['B'], 'base64')) },
    ]),
  );
