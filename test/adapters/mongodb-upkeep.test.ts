import { Double, Int32, Long, MongoClient } from 'mongodb';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type MongoDbOptions, mongodb } from '../../adapters/mongodb/index.ts';
import { systemClock } from '../../src/core/clock.ts';
import { ChangeoverError, InvalidConfiguration } from '../../src/core/errors.ts';
import { KeySpec } from '../../src/core/record-key.ts';
import { makeStamp } from '../../src/core/stamp.ts';
import { type Entry, identityCodec, type Store } from '../../src/core/store.ts';
import type { StoredRecord } from '../../src/core/value.ts';
import { MongoDatabase } from '../support/mongodb-harness.ts';
import { testServer } from '../support/servers.ts';

const { url = '', missing } = testServer('mongodb');
const KEYS = new KeySpec(['owner', 'id'], ['owner']);

const CONTEXT = { migration: 'm', side: 'old', codec: identityCodec, clock: systemClock } as const;

const entryOf = (value: StoredRecord, ms: number): Entry => {
  const key = KEYS.keyOf(value);
  return { id: KEYS.id(key), key, stamp: makeStamp(ms, 0, 7), value };
};
const later = (store: Store): number => store.now() + 30_000;

describe('mongodb options', () => {
  const AT = { url: 'mongodb://localhost/app', collection: 'events', id: 'id' } as const;
  it.for([
    ['no way to connect', { collection: 'events', database: 'app', id: 'id' }],
    ['a URL of something else', { ...AT, url: 'postgres://localhost/app' }],
    ['no database', { ...AT, url: 'mongodb://localhost:27017' }],
    ['an empty collection', { ...AT, collection: '' }],
    ['a system collection', { ...AT, collection: 'system.users' }],
    ['no field of the _id', { ...AT, id: [] }],
    ['a field of the _id twice', { ...AT, id: ['a', 'a'] }],
    ['a path as the _id', { ...AT, id: 'a.b' }],
    ['an operator as the _id', { ...AT, id: '$a' }],
    ['a stamp in the _id', { ...AT, stampField: '_id' }],
    ['stamp and tombstone in one', { ...AT, tombstoneField: '_s' }],
    ['a view that is the collection', { ...AT, view: 'events' }],
    ['an unknown way with integers', { ...AT, int64: 'text' }],
    ['no time to read', { ...AT, readTimeoutMs: 0 }],
  ] as const)('with %s are refused', ([, options]) => {
    expect(() => mongodb(options as unknown as MongoDbOptions)).toThrow(InvalidConfiguration);
  });

  it('without what is the _id say that it is missing, not that it is wrong', () => {
    const { id: _, ...rest } = AT;
    expect(() => mongodb(rest as unknown as MongoDbOptions)).toThrow('"id" is missing');
  });

  it('that do not fit the key of the migration are refused when the store is made', async () => {
    const make = (keys: KeySpec, options: Partial<MongoDbOptions> = {}) =>
      mongodb({ ...AT, ...options }).create({ ...CONTEXT, keys });
    await expect(make(new KeySpec(['key'], ['key']))).rejects.toThrow('"id" names "id"');
    await expect(make(new KeySpec(['id', '_s'], ['id']))).rejects.toBeInstanceOf(InvalidConfiguration);
    await expect(make(new KeySpec(['id', '_id'], ['id']))).rejects.toBeInstanceOf(InvalidConfiguration);
    await expect(make(new KeySpec(['id', 'a.b'], ['id']))).rejects.toBeInstanceOf(InvalidConfiguration);
    await (await make(new KeySpec(['id'], ['id']))).close();
  });

  it('keep their secrets: neither the mapping, nor labels, nor errors tell the password', async () => {
    const secret = 'hunter2%21';
    const through = `mongodb://lovelace:${secret}@127.0.0.1:1/app?serverSelectionTimeoutMS=200`;
    const definition = mongodb({ ...AT, url: through });
    expect(JSON.stringify(definition.mapping)).not.toMatch(/hunter2|127\.0\.0\.1/);
    const store = await definition.create({ ...CONTEXT, keys: KEYS });
    const error = (await store.open().catch((fault: unknown) => fault)) as ChangeoverError;
    await store.close();
    expect(error).toBeInstanceOf(ChangeoverError);
    const told = [
      store.label,
      error.message,
      error.stack,
      JSON.stringify(error),
      JSON.stringify(error.cause ?? null),
    ].join();
    expect(told).not.toMatch(/hunter2|lovelace/);
    for (const wrong of ['mongodb://lovelace:hun/ter2@host/app', 'mongodb://lovelace:%zzter2@host/app']) {
      const make = async () => mongodb({ ...AT, url: wrong }).create({ ...CONTEXT, keys: KEYS });
      const refusal = await make().catch((fault: unknown) => fault);
      expect(refusal).toBeInstanceOf(InvalidConfiguration);
      const { message, stack, cause } = refusal as Error;
      expect(`${message} ${stack} ${JSON.stringify(refusal)} ${String(cause)}`).not.toMatch(/ter2|lovelace/);
    }
  });
});

describe.skipIf(missing !== undefined)(`mongodb upkeep${missing ? ` (${missing})` : ''}`, () => {
  let database: MongoDatabase;
  beforeAll(() => {
    database = new MongoDatabase(url);
  });
  afterAll(() => database.close());

  it('prepare makes the collection, the index of lists and the view, says so, and then has nothing to do', async () => {
    const [collection, view] = [database.fresh(), database.fresh()];
    const store = await database.store(KEYS, { collection, id: 'id', view });
    const planned = await store.prepare({ dryRun: true });
    expect(await database.client.db(database.name).listCollections({ name: collection }).toArray()).toEqual([]);
    const done = await store.prepare();
    expect(done).toEqual(planned);
    expect(done.actions).toEqual([
      `db.createCollection("${collection}")`,
      `db.getCollection("${collection}").createIndex({"owner":1,"_id":1})`,
      expect.stringContaining(`db.createView("${view}", "${collection}"`),
    ]);
    expect((await store.prepare()).actions).toEqual([]);

    await store.putIfNewer(entryOf({ owner: 'ada', id: 1, $x: 'kept' }, 10), later(store));
    await store.putIfNewer({ ...entryOf({ owner: 'ada', id: 2 }, 10), value: null }, later(store));
    await database.collection(collection).insertOne({ _id: 3 as never, owner: 'bob' });
    const seen = await database.collection(view).find().sort({ _id: 1 }).toArray();
    expect(seen).toEqual([
      { _id: 1, owner: 'ada', $x: 'kept' },
      { _id: 3, owner: 'bob' },
    ]);
  });

  it('several that prepare at once do not hinder each other', async () => {
    const [collection, view] = [database.fresh(), database.fresh()];
    const stores = await Promise.all(
      Array.from({ length: 4 }, () => database.store(KEYS, { collection, id: 'id', view })),
    );
    await Promise.all(stores.map((store) => store.prepare()));
    expect((await stores[0]?.prepare())?.actions).toEqual([]);
  });

  it("finish leaves documents as they were, the application's own and ours, types and order of fields included", async () => {
    const collection = database.fresh();
    const store = await database.store(KEYS, { collection, id: 'id' });
    const raw = database.collection(collection);
    const own = {
      _id: 1 as never,
      z: new Double(1),
      owner: 'ada',
      a: Long.fromNumber(1),
      '1': new Int32(5),
      'b.c': { $d: 1 },
    };
    await raw.insertOne(own);
    const before = await raw.find({}, { raw: true }).toArray();
    for (let n = 2; n < 1_300; n += 1) {
      if (n > 20 && n < 1_200) continue;
      const entry = entryOf({ z: n, owner: 'ada', id: n, a: [n] }, 10);
      await store.putIfNewer(n % 3 === 0 ? { ...entry, value: null } : entry, later(store));
    }
    const batch = Array.from({ length: 1_150 }, (_, n) => entryOf({ owner: 'bob', id: `b${n}`, n }, 10));
    await store.putManyIfNewer(batch, later(store));
    let reported = 0;
    await store.finish({
      onProgress: (done) => {
        reported = done;
      },
    });
    expect(reported).toBe((await raw.countDocuments()) + 40);
    expect(await raw.countDocuments({ $or: [{ _s: { $exists: true } }, { _s_deleted: { $exists: true } }] })).toBe(0);
    expect((await raw.find({ _id: 1 as never }, { raw: true }).toArray())[0]).toEqual(before[0]);
    expect(Object.entries((await raw.findOne({ _id: 4 as never })) ?? {})).toEqual(
      Object.entries({ _id: 4, z: 4, owner: 'ada', a: [4] }),
    );
    expect(await raw.countDocuments({ _id: 3 as never })).toBe(0);
  });

  it('a client that was given stays open, whatever it does with values by itself', async () => {
    const client = new MongoClient(url, {
      useBigInt64: true,
      promoteValues: true,
      retryWrites: true,
      ignoreUndefined: false,
    });
    try {
      const collection = database.fresh();
      const store = await database.store(KEYS, { collection, id: 'id', client });
      const entry = entryOf({ owner: 'ada', id: 7n, big: 2n ** 62n, n: 1.5 }, 10);
      expect((await store.putIfNewer(entry, later(store))).kind).toBe('applied');
      expect(await store.putIfNewer(entry, later(store))).toEqual({ kind: 'applied', previous: 'same' });
      expect(await store.get(entry.id, entry.key)).toEqual(entry);
      await store.close();
      expect(await client.db(database.name).collection(collection).countDocuments()).toBe(1);
    } finally {
      await client.close();
    }
  });

  it('collections that cannot be a store are refused', async () => {
    const db = database.client.db(database.name);
    const [capped, german, clustered, series] = [
      database.fresh(),
      database.fresh(),
      database.fresh(),
      database.fresh(),
    ];
    await db.createCollection(capped, { capped: true, size: 4096 });
    await db.createCollection(german, { collation: { locale: 'de', strength: 1 } });
    const clusteredIndex = { key: { _id: 1 }, unique: true };
    await db.createCollection(clustered, { clusteredIndex, collation: { locale: 'en', strength: 2 } });
    await db.createCollection(series, { timeseries: { timeField: 'at' } });
    for (const collection of [capped, german, clustered, series]) {
      await expect(database.store(KEYS, { collection, id: 'id' })).rejects.toBeInstanceOf(InvalidConfiguration);
    }
  });

  it('an inspection tells what may get in the way, with a remedy that can be pasted', async () => {
    const collection = database.fresh();
    const store = await database.store(KEYS, { collection, id: 'id' });
    const levels = async () => {
      const { findings = [] } = (await store.inspect?.()) ?? {};
      // What is only good to know depends on the server.
      return Object.fromEntries(findings.flatMap(({ name, level }) => (level === 'info' ? [] : [[name, level]])));
    };
    expect(await levels()).toEqual({ [`collection:${collection}`]: 'problem', 'index:list': 'risk' });
    await store.prepare();
    expect(await levels()).toEqual({});
    const raw = database.collection(collection);
    await raw.createIndex({ mail: 1 }, { unique: true });
    await raw.createIndex({ owner: 1 }, { unique: true, name: 'one_each' });
    await raw.createIndex({ _id: 1, mail: 1 }, { unique: true, name: 'with_key' });
    await raw.createIndex({ until: 1 }, { expireAfterSeconds: 60 });
    const db = database.client.db(database.name);
    await db.command({
      collMod: collection,
      validator: { $jsonSchema: { properties: { mail: { bsonType: 'string' } } } },
    });
    expect(await levels()).toEqual({
      'unique:mail_1': 'risk',
      'unique:one_each': 'risk',
      'ttl:until_1': 'risk',
      'check:validator': 'risk',
    });
    const found = await store.inspect?.();
    expect(found?.server).toMatch(/^MongoDB \d+\.\d+/);
    const unique = found?.findings.find(({ name }) => name === 'unique:one_each');
    expect(unique?.message).toContain('a deleted record keeps its place');
    expect(unique?.remedy).toBe(
      `db.getSiblingDB("${database.name}").getCollection("${collection}").dropIndex("one_each")`,
    );
    await db.command({
      collMod: collection,
      validator: { $jsonSchema: { additionalProperties: false, properties: { _id: {} } } },
    });
    expect((await levels())['check:validator']).toBe('problem');
  });
});
