import { randomBytes } from 'node:crypto';
import { type Collection, type Document, MongoClient, ObjectId } from 'mongodb';
import type { Harness, OpenOptions } from '../../adapters/conformance/index.ts';
import { UNUSUAL_VALUES, type UnusualValue } from '../../adapters/conformance/index.ts';
import { type MongoDbOptions, mongodb } from '../../adapters/mongodb/index.ts';
import { systemClock } from '../../src/core/clock.ts';
import { KeySpec } from '../../src/core/record-key.ts';
import { type Codec, identityCodec, type Store } from '../../src/core/store.ts';
import type { StoredRecord } from '../../src/core/value.ts';

/** What BSON has no type for. */
const REFUSED_VALUES: ReadonlySet<string> = new Set([
  'undefined in an array',
  'lone surrogate',
  'bigint',
  'invalid date',
  'decimal of 60 digits',
  'set of text',
  'set of numbers',
  'empty set',
  'mixed set',
  'nested everything',
] satisfies UnusualValue[]);

/** A random database of one test file, dropped with its collections when the test is over. */
export class MongoDatabase {
  readonly url: string;
  readonly name = `changeover_${randomBytes(6).toString('hex')}`;
  readonly client: MongoClient;
  readonly #stores: Store[] = [];
  #collections = 0;

  constructor(url: string) {
    this.url = url;
    this.client = new MongoClient(url);
  }

  /** The name of a collection that is not there yet. */
  fresh(): string {
    this.#collections += 1;
    return `records_${this.#collections}`;
  }

  /** The collection as an application sees it. */
  collection(name: string): Collection<Document> {
    return this.client.db(this.name).collection(name);
  }

  async store(
    keys: KeySpec,
    options: Partial<MongoDbOptions> & Pick<MongoDbOptions, 'collection' | 'id'>,
    codec: Codec = identityCodec,
  ): Promise<Store> {
    const at = options.client === undefined && options.url === undefined ? { url: this.url } : {};
    const definition = mongodb({ ...at, database: this.name, ...options });
    const store = await definition.create({ migration: 'kit', side: 'new', keys, codec, clock: systemClock });
    this.#stores.push(store);
    await store.open();
    return store;
  }

  async close(): Promise<void> {
    for (const store of this.#stores) await store.close();
    await this.client.db(this.name).dropDatabase();
    await this.client.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

/** A shape of collection for the kit. */
export interface MongoDbCase {
  readonly keys: KeySpec;
  readonly options: Pick<MongoDbOptions, 'id'> & Partial<MongoDbOptions>;
  readonly record: (n: number, extra: StoredRecord) => StoredRecord;
  readonly recordNamed: ((text: string, extra: StoredRecord) => StoredRecord) | null;
  /** With a validator (`count` not below 0, `slug` there) and a unique index (`slug`). */
  readonly constrained?: boolean;
}

/** The key of design.md: the `_id` is one of two fields; the collection has rules of its own. */
export const ID_AND_BESIDE: MongoDbCase = {
  keys: new KeySpec(['userKey', 'id'], ['userKey']),
  options: { id: 'id' },
  record: (n, extra) => ({ userKey: `user ${Math.floor(n / 10)}`, id: `event ${n}`, slug: `slug ${n}`, ...extra }),
  recordNamed: (text, extra) => ({ userKey: 'ada', id: text, slug: `named ${text}`, ...extra }),
  constrained: true,
};

export const ONE_FIELD: MongoDbCase = {
  keys: new KeySpec(['id'], ['id']),
  options: { id: 'id', stampField: 'version', tombstoneField: 'gone' },
  record: (n, extra) => ({ id: `id ${n}`, ...extra }),
  recordNamed: (text, extra) => ({ id: text, ...extra }),
};

export const COMPOUND: MongoDbCase = {
  keys: new KeySpec(['tenant', 'day', 'id'], ['tenant']),
  options: { id: ['tenant', 'id', 'day'], repeatId: true },
  record: (n, extra) => ({ tenant: n % 3, day: new Date(86_400_000 * (n % 7)), id: `id ${n}`, ...extra }),
  recordNamed: (text, extra) => ({ tenant: -7, day: new Date(0), id: text, ...extra }),
};

const objectIdOf = (n: number): ObjectId => new ObjectId((n * 7919 + 1).toString(16).padStart(24, '0'));

export const OBJECT_ID: MongoDbCase = {
  keys: new KeySpec(['owner', '_id'], ['owner']),
  options: { id: '_id' },
  record: (n, extra) =>
    ({ owner: BigInt(Math.floor(n / 10)), _id: objectIdOf(n), ...extra }) as unknown as StoredRecord,
  recordNamed: null,
};

/** Runs the conformance kit against collections of one shape. */
export async function mongodbHarness(url: string, shape: MongoDbCase): Promise<Harness> {
  const database = new MongoDatabase(url);
  const record = (n: number, extra: StoredRecord = {}): StoredRecord => shape.record(n, extra);
  let collection = '';
  let codec: Codec = identityCodec;

  const client = (): Promise<Store> => database.store(shape.keys, { ...shape.options, collection }, codec);
  const { recordNamed, constrained = false } = shape;
  const stamp = shape.options.stampField ?? '_s';
  return {
    keys: shape.keys,
    fields: { number: 'count', text: 'title', any: 'payload' },
    async open(options?: OpenOptions) {
      collection = database.fresh();
      codec = options?.codec ?? identityCodec;
      if (constrained) {
        const validator = {
          $jsonSchema: {
            required: ['slug'],
            properties: { slug: { bsonType: 'string' }, count: { minimum: 0 } },
          },
        };
        await database.client.db(database.name).createCollection(collection, { validator });
        await database.collection(collection).createIndex({ slug: 1 }, { unique: true });
      }
      const store = await client();
      await store.prepare();
      return store;
    },
    second: client,
    // Stamps and tombstones stand in the documents.
    unprepared: async () => null,
    record,
    recordNamed: recordNamed === null ? null : (text, extra = {}) => recordNamed(text, extra),
    holdsValues: (Object.keys(UNUSUAL_VALUES) as UnusualValue[]).filter((name) => !REFUSED_VALUES.has(name)),
    holdsKeys: 'all',
    breaksConstraint: constrained ? (n) => record(n, { count: -1 }) : null,
    breaksUnique: constrained ? (n, other) => record(n, { slug: other['slug'] }) : null,
    breaksLimit: (n) => record(n, { payload: 'x'.repeat(16 * 1024 * 1024) }),
    // A batch is one command: what fails of it alone fails by a rule, not by chance.
    failingFor: null,
    nativeRows: (store) =>
      (store.native as Collection)
        .find({ [shape.options.tombstoneField ?? `${stamp}_deleted`]: { $ne: true } })
        .toArray(),
    close: () => database.close(),
  };
}
