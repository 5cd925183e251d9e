import {
  Binary,
  type Db,
  Decimal128,
  type Document,
  Long,
  MaxKey,
  MinKey,
  type MongoClient,
  MongoNetworkError,
  ObjectId,
  Timestamp,
  UUID,
} from 'mongodb';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CursorExpired, StoreFault } from '../../src/core/errors.ts';
import { compareKeys, KeySpec } from '../../src/core/record-key.ts';
import { makeStamp } from '../../src/core/stamp.ts';
import type { Entry, Partition, Store } from '../../src/core/store.ts';
import type { StoredRecord } from '../../src/core/value.ts';
import { MongoDatabase } from '../support/mongodb-harness.ts';
import { testServer } from '../support/servers.ts';

const { url = '', missing } = testServer('mongodb');

const entryOf = (keys: KeySpec, value: unknown, ms = 10): Entry => {
  const key = keys.keyOf(value);
  return { id: keys.id(key), key, stamp: makeStamp(ms, 0, 7), value: value as StoredRecord };
};

async function allOf(store: Store, count: number, pageSize: number): Promise<Entry[]> {
  const seen: Entry[] = [];
  for (const partition of await store.partitions(count)) {
    let cursor: string | undefined;
    for (let more = true; more; ) {
      more = false;
      // A page a scan, so that every place of a page is one that a scan begins at.
      for await (const page of store.scan(partition, { pageSize, cursor })) {
        seen.push(...page.entries);
        if (seen.length > 10_000) throw new Error('a scan that does not end');
        cursor = page.cursor;
        more = true;
        break;
      }
    }
  }
  return seen;
}

async function listed(store: Store, unit: StoredRecord, limit: number): Promise<Entry[]> {
  const seen: Entry[] = [];
  for (;;) {
    const page = await store.list(unit as Entry['key'], seen.at(-1)?.key ?? null, limit);
    if (page.length === 0) return seen;
    seen.push(...page);
    if (seen.length > 500) throw new Error('a list that does not end');
  }
}

describe.skipIf(missing !== undefined)(`mongodb orders${missing ? ` (${missing})` : ''}`, () => {
  let database: MongoDatabase;
  beforeAll(() => {
    database = new MongoDatabase(url);
  });
  afterAll(() => database.close());

  it.for([
    [1, 1],
    [3, 2],
    [8, 5],
    [40, 100],
  ] as const)('%i partitions in pages of %i hold each _id of whatever type once', async ([count, pageSize]) => {
    const keys = new KeySpec(['id'], ['id']);
    const collection = database.fresh();
    const store = await database.store(keys, { collection, id: 'id' });
    const ids: unknown[] = [
      ...Array.from({ length: 20 }, (_, n) => n * 1.5),
      ...Array.from({ length: 20 }, (_, n) => `text ${n}`),
      ...Array.from({ length: 20 }, () => new ObjectId()),
      ...Array.from({ length: 10 }, (_, n) => new Date(n * 1e9)),
      ...Array.from({ length: 5 }, () => new UUID()),
      ...Array.from({ length: 5 }, (_, n) => new Binary(Buffer.alloc(n + 1, 200 - n))),
      ...Array.from({ length: 5 }, (_, n) => Long.fromString(`${2n ** 60n + BigInt(n)}`)),
      ...Array.from({ length: 5 }, (_, n) => Decimal128.fromString(`0.${n + 1}`)),
      { a: 1 },
      { b: { c: [2] } },
      true,
      false,
      null,
      new MinKey(),
      new Timestamp({ t: 1, i: 2 }),
      '',
    ];
    await database.collection(collection).insertMany(ids.map((_id, n) => ({ _id, n }) as Document));
    const seen = await allOf(store, count, pageSize);
    expect(seen.map(({ value }) => value?.['n']).toSorted((a, b) => Number(a) - Number(b))).toEqual(
      ids.map((_, n) => n),
    );
    expect(new Set(seen.map(({ id }) => id)).size).toBe(ids.length);
  });

  it('partitions of a large collection are of about one size', async () => {
    const keys = new KeySpec(['id'], ['id']);
    const collection = database.fresh();
    const store = await database.store(keys, { collection, id: 'id' });
    const documents = Array.from({ length: 3_000 }, (_, n) => ({ _id: n % 3 === 0 ? n : `text ${n}` }) as Document);
    await database.collection(collection).insertMany(documents);
    const sizes: number[] = [];
    for (const partition of await store.partitions(6)) {
      let size = 0;
      for await (const { entries } of store.scan(partition, { pageSize: 500, stampsOnly: true }))
        size += entries.length;
      sizes.push(size);
    }
    expect(sizes.reduce((a, b) => a + b)).toBe(3_000);
    expect(sizes.length).toBe(6);
    expect(Math.max(...sizes)).toBeLessThan(1_500);
  });

  it.for([1, 2, 50])('meets the ends of all ids, which are no keys, in pages of %i', async (pageSize) => {
    const keys = new KeySpec(['id'], ['id']);
    const collection = database.fresh();
    const store = await database.store(keys, { collection, id: 'id' });
    const ids = [new MinKey(), 'a', 'b', 'c', new MaxKey()];
    await database.collection(collection).insertMany(ids.map((_id, n) => ({ _id, n })) as Document[]);
    for (const count of [1, 6]) {
      const seen = await allOf(store, count, pageSize);
      expect(seen.map(({ value }) => value?.['n'])).toEqual([0, 1, 2, 3, 4]);
    }
  });

  it('an _id that nobody can write again ends a scan, which says which', async () => {
    const keys = new KeySpec(['id'], ['id']);
    const collection = database.fresh();
    const store = await database.store(keys, { collection, id: 'id' });
    const last = new Timestamp({ t: 1, i: 1 });
    await database.collection(collection).insertMany([{ _id: 'a' }, { _id: last }] as Document[]);
    // The server makes what no date of JavaScript is.
    const far = { $set: { _id: { $toDate: Long.fromString('9000000000000000') } } };
    await database
      .collection(collection)
      .aggregate([{ $match: { _id: 'a' } }, far, { $merge: { into: collection } }])
      .toArray();
    const error = await allOf(store, 1, 1).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: 'INVALID_RECORD', message: expect.stringContaining('9000000000000000 ms') });
    expect((await allOf(store, 1, 5)).map(({ key }) => typeof key['id'])).toEqual(['string', 'object', 'object']);
  });

  it('an _id with a part that nobody can write again is met, and ends what would go on behind it', async () => {
    const keys = new KeySpec(['user', 'at'], ['user']);
    const collection = database.fresh();
    const store = await database.store(keys, { collection, id: ['user', 'at'] });
    const ids = Array.from({ length: 6 }, (_, n) => ({ user: 'ada', at: new Date(n) }));
    await database
      .collection(collection)
      .insertMany([
        ...ids.map((_id, n) => ({ _id, n })),
        { _id: { user: 'ada', at: new Timestamp({ t: 1, i: 1 }) }, n: 7 },
      ] as Document[]);
    const far = { $set: { _id: { user: 'ada', at: { $toDate: Long.fromString('9000000000000000') } }, n: 6 } };
    const pipeline = [{ $match: { n: 0 } }, far, { $merge: { into: collection } }];
    await database.collection(collection).aggregate(pipeline).toArray();
    for (const count of [1, 4]) {
      expect((await allOf(store, count, 50)).map(({ value }) => value?.['n'])).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    }
    const wayOn = { code: 'INVALID_RECORD', message: expect.stringContaining('behind') };
    await expect(allOf(store, 1, 1)).rejects.toMatchObject(wayOn);
    // Dates that are none are behind all others: the last page ends with it, and another one there is none.
    const page = await store.list({ user: 'ada' }, null, 50);
    expect(page.map(({ unreadable }) => unreadable !== undefined)).toEqual([...ids.map(() => false), true]);
    await expect(store.list({ user: 'ada' }, page.at(-1)?.key ?? null, 50)).rejects.toMatchObject(wayOn);
  });

  it('a page of large documents is what an answer can hold', async () => {
    const keys = new KeySpec(['id'], ['id']);
    const collection = database.fresh();
    const store = await database.store(keys, { collection, id: 'id' });
    // MongoDB answers with 16 MB at most: with three of the first, with one of the others, which it was shown before.
    const sizes = [5_000_000, 5_000_000, 5_000_000, 5_000_000, 12_000_000, 12_000_000, 12_000_000];
    const ids = sizes.map((_, n) => `id ${n}`);
    for (const [n, size] of sizes.entries()) {
      await database.collection(collection).insertOne({ _id: ids[n], text: 'x'.repeat(size) } as unknown as Document);
    }
    const [partition] = await store.partitions(1);
    const pages: string[][] = [];
    for await (const { entries } of store.scan(partition as Partition, { pageSize: 10 })) {
      for (const { key, value } of entries)
        expect(String(value?.['text']).length).toBe(sizes[ids.indexOf(String(key['id']))]);
      pages.push(entries.map(({ key }) => String(key['id'])));
    }
    expect(pages.flat()).toEqual(ids);
    expect(pages.length).toBeGreaterThan(3);
    expect(pages[0]?.length).toBeGreaterThan(1);
  });

  it('a read is repeated once when its connection breaks, and no more', async () => {
    const keys = new KeySpec(['id'], ['id']);
    const collection = database.fresh();
    let failures = 0;
    let finds = 0;
    const commands = (db: Db): Db =>
      new Proxy(db, {
        get(target, name) {
          const value: unknown = Reflect.get(target, name, target);
          if (typeof value !== 'function') return value;
          if (name !== 'command') return value.bind(target);
          return (...[command, options]: Parameters<Db['command']>) => {
            if ('find' in command) {
              finds += 1;
              failures -= 1;
              if (failures >= 0) return Promise.reject(new MongoNetworkError('the connection broke'));
            }
            return target.command(command, options);
          };
        },
      });
    const client = new Proxy(database.client, {
      get(target, name) {
        const value: unknown = Reflect.get(target, name, target);
        if (typeof value !== 'function') return value;
        return name === 'db'
          ? (...args: Parameters<MongoClient['db']>) => commands(target.db(...args))
          : value.bind(target);
      },
    });
    const store = await database.store(keys, { collection, id: 'id', client });
    await database.collection(collection).insertMany([{ _id: 'a' }, { _id: 'b' }] as unknown as Document[]);
    const refs = ['a', 'b'].map((id) => ({ id: keys.id({ id }), key: { id } }));
    [failures, finds] = [1, 0];
    expect((await store.getMany(refs)).map((entry) => entry?.key['id'])).toEqual(['a', 'b']);
    expect(finds).toBe(2);
    [failures, finds] = [2, 0];
    await expect(store.getMany(refs)).rejects.toBeInstanceOf(StoreFault);
    expect(finds).toBe(2);
  });

  it('a scan goes on from what is no cursor of it only to say so', async () => {
    const keys = new KeySpec(['id'], ['id']);
    const store = await database.store(keys, { collection: database.fresh(), id: 'id' });
    const [partition] = await store.partitions(1);
    const scan = async (): Promise<void> => {
      for await (const _ of store.scan(partition as never, { pageSize: 1, cursor: 'nonsense' }));
    };
    await expect(scan()).rejects.toBeInstanceOf(CursorExpired);
  });

  const mixed: readonly unknown[] = [
    ...[3, -1, 2.5, 10n, 2n ** 62n, 0],
    ...['b', 'a', '', 'ab', '\u{1f600}', '\uffee', 'B'],
    ...[new Date(5), new Date(-5)],
    ...[Uint8Array.of(2), Uint8Array.of(1, 2, 3), Uint8Array.of(1), Uint8Array.of(), Uint8Array.of(255)],
    ...[new ObjectId('ffffffffffffffffffffffff'), new ObjectId('000000000000000000000001')],
    ...[new UUID('ffffffff-ffff-4fff-bfff-ffffffffffff'), new UUID('00000000-0000-4000-8000-000000000001')],
    ...[true, false],
  ];

  it.for([1, 2, 7, 100])('lists keys of all types in the one order of keys, %i a page', async (limit) => {
    const keys = new KeySpec(['owner', 'id'], ['owner']);
    const store = await database.store(keys, { collection: database.fresh(), id: 'id' });
    await store.prepare();
    const entries = mixed.map((id) => entryOf(keys, { owner: 'ada', id }));
    const strange = entryOf(keys, { owner: 'bob', id: 'bob' });
    await store.putManyIfNewer([...entries, strange], store.now() + 30_000);
    const expected = entries.toSorted((a, b) => compareKeys(keys.fields, a.key, b.key)).map(({ id }) => id);
    expect((await listed(store, { owner: 'ada' }, limit)).map(({ id }) => id)).toEqual(expected);
  });

  it.for([1, 3, 100])(
    'a page is short at the end only, whatever the server takes for the same unit, %i a page',
    async (limit) => {
      const keys = new KeySpec(['owner', 'id'], ['owner']);
      const store = await database.store(keys, { collection: database.fresh(), id: 'id' });
      await store.prepare();
      const ids = [
        ...Array.from({ length: 12 }, (_, n) => `id ${n}`),
        ...Array.from({ length: 12 }, (_, n) => Uint8Array.of(n)),
      ];
      // To the server 1 and 1n are equal; records of the one stand in the way of the other's.
      const entries = ids.map((id, n) => entryOf(keys, { owner: n % 6 < 4 ? 1n : 1, id }));
      await store.putManyIfNewer(entries, store.now() + 30_000);
      for (const owner of [1, 1n]) {
        const found: Entry[] = [];
        for (let more = true; more; ) {
          const page = await store.list({ owner }, found.at(-1)?.key ?? null, limit);
          found.push(...page);
          more = page.length >= limit;
        }
        const expected = entries.filter(({ key }) => key['owner'] === owner);
        expect(found).toEqual(expected.toSorted((a, b) => compareKeys(keys.fields, a.key, b.key)));
      }
    },
  );

  it.for([1, 3, 100])('lists keys of several fields of all types, %i a page', async (limit) => {
    const keys = new KeySpec(['a', 'owner', 'b'], ['owner']);
    const store = await database.store(keys, { collection: database.fresh(), id: ['owner', 'a', 'b'] });
    await store.prepare();
    const some = [true, 7, 'x', new Date(1), Uint8Array.of(1, 1), Uint8Array.of(2), new ObjectId(), new UUID()];
    const entries = some.flatMap((a) => some.slice(1).map((b) => entryOf(keys, { owner: 1n, a, b })));
    await store.putManyIfNewer(entries, store.now() + 30_000);
    const gone = entries[10] as Entry;
    await store.putIfNewer({ ...gone, stamp: makeStamp(20, 0, 7), value: null }, store.now() + 30_000);
    const expected = entries
      .filter((entry) => entry !== gone)
      .toSorted((a, b) => compareKeys(keys.fields, a.key, b.key));
    expect((await listed(store, { owner: 1n }, limit)).map(({ id }) => id)).toEqual(expected.map(({ id }) => id));
    expect(await store.list({ owner: 1 }, null, 10)).toEqual([]);
  });
});
