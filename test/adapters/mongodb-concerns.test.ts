import { type Collection, type CommandStartedEvent, type Document, MongoClient } from 'mongodb';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { KeySpec } from '../../src/core/record-key.ts';
import { makeStamp } from '../../src/core/stamp.ts';
import type { Entry, Store } from '../../src/core/store.ts';
import { MongoDatabase } from '../support/mongodb-harness.ts';
import { testServer } from '../support/servers.ts';

const { url = '', missing } = testServer('mongodb');
const KEYS = new KeySpec(['owner', 'id'], ['owner']);

const entryOf = (n: number, ms: number): Entry => {
  const value = { owner: `o${n % 3}`, id: `${n}`, n };
  const key = KEYS.keyOf(value);
  return { id: KEYS.id(key), key, stamp: makeStamp(ms, 0, 7), value };
};

// A batch of guarded puts is an aggregate that ends in $merge.
const WRITES = new Set(['insert', 'update', 'delete', 'findAndModify', 'aggregate']);
const READS = new Set(['find', 'aggregate']);

describe.skipIf(missing !== undefined)(`what mongodb is asked${missing ? ` (${missing})` : ''}`, () => {
  let database: MongoDatabase;
  let client: MongoClient;
  const commands: CommandStartedEvent[] = [];
  beforeAll(() => {
    database = new MongoDatabase(url);
    // Weaker defaults of its own, which a store may not inherit.
    client = new MongoClient(url, { monitorCommands: true, readConcernLevel: 'local', writeConcern: { w: 1 } });
    client.on('commandStarted', (event) => commands.push(event));
  });
  afterAll(async () => {
    await database.close();
    await client.close();
  });

  const sent = async (names: ReadonlySet<string>, work: () => Promise<unknown>): Promise<Document[]> => {
    commands.length = 0;
    await work();
    return commands.filter(({ commandName }) => names.has(commandName)).map(({ command }) => command);
  };

  it('never reads what a failover could take back, and writes for a majority, whatever the client says', async () => {
    const name = database.fresh();
    const store: Store = await database.store(KEYS, { collection: name, id: ['owner', 'id'], client });
    await store.prepare();
    const later = store.now() + 60_000;
    const entries = Array.from({ length: 30 }, (_, n) => entryOf(n, 10));
    const writes = await sent(WRITES, async () => {
      await store.putManyIfNewer(entries, later);
      await store.putManyIfNewer(
        entries.map((_, n) => entryOf(n, 20)),
        later,
      );
      await store.putIfNewer(entryOf(1, 30), later);
      await store.compareAndSet(entryOf(2, 40), { kind: 'version', stamp: makeStamp(20, 0, 7) }, later);
      await store.putPlain({ ...entryOf(50, 10), stamp: null }, later);
    });
    expect(writes.length).toBeGreaterThanOrEqual(5);
    expect(writes.filter(({ writeConcern }) => writeConcern?.w !== 'majority')).toEqual([]);

    const first = entries[0] as Entry;
    const reads = await sent(READS, async () => {
      expect(await store.get(first.id, first.key)).toMatchObject({ stamp: makeStamp(20, 0, 7) });
      await store.getMany(entries);
      await store.getMany(entries, { stampsOnly: true });
      await store.stamps?.(entries);
      await store.list({ owner: 'o1' }, null, 5);
      for (const partition of await store.partitions(2)) {
        for await (const _ of store.scan(partition, { pageSize: 7 })) void _;
        for await (const _ of store.scan(partition, { pageSize: 7, stampsOnly: true })) void _;
      }
    });
    expect(reads.length).toBeGreaterThan(10);
    expect(reads.filter(({ readConcern }) => readConcern?.level !== 'majority')).toEqual([]);
    expect((store.native as Collection).collectionName).toBe(name);
  });

  it('takes one insert where all of a batch is absent, and guards each only where something of it is there', async () => {
    const store: Store = await database.store(KEYS, { collection: database.fresh(), id: ['owner', 'id'], client });
    await store.prepare();
    const later = store.now() + 60_000;
    const put = async (from: number, to: number, ms: number): Promise<readonly (readonly [string, number])[]> => {
      const entries = Array.from({ length: to - from }, (_, n) => entryOf(from + n, ms));
      const writes = await sent(new Set(['aggregate', 'update']), () => store.putManyIfNewer(entries, later));
      return writes.flatMap<readonly [string, number]>(({ aggregate, pipeline, let: given, updates }) => {
        if (updates !== undefined) return [['guarded', updates.length]];
        const inserts = aggregate === 1 && pipeline.at(-1).$merge?.whenMatched === 'fail';
        return inserts ? [['inserted', given.given.$literal.length]] : [];
      });
    };
    expect(await put(0, 60, 10)).toEqual([['inserted', 60]]);
    const [first, ...rest] = await put(40, 100, 20);
    expect(first).toEqual(['inserted', 60]);
    expect(rest.length).toBeGreaterThan(0);
    expect(rest.filter(([how]) => how !== 'guarded')).toEqual([]);
    expect(await put(100, 160, 10)).toEqual([['inserted', 60]]);
  });
});
