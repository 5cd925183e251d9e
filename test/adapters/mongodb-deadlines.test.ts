import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { mongodb } from '../../adapters/mongodb/index.ts';
import { systemClock } from '../../src/core/clock.ts';
import { StoreFault } from '../../src/core/errors.ts';
import { KeySpec } from '../../src/core/record-key.ts';
import { makeStamp } from '../../src/core/stamp.ts';
import { type Entry, identityCodec, type Store } from '../../src/core/store.ts';
import type { StoredRecord } from '../../src/core/value.ts';
import { HoldingProxy } from '../support/holding-proxy.ts';
import { MongoDatabase } from '../support/mongodb-harness.ts';
import { testServer } from '../support/servers.ts';

const { url = '', missing } = testServer('mongodb');
const keys = new KeySpec(['id'], ['id']);
/** Longer than anything takes on a machine that has much else to do. */
const LONG = 60_000;
const ABSENT = { kind: 'absent' } as const;

const entryOf = (value: StoredRecord, ms: number | null): Entry => {
  const key = keys.keyOf(value);
  return { id: keys.id(key), key, stamp: ms === null ? null : makeStamp(ms, 0, 7), value };
};
const gone = (entry: Entry): Entry => ({ ...entry, value: null });

describe.skipIf(missing !== undefined)(`mongodb behind a bad line${missing ? ` (${missing})` : ''}`, () => {
  let database: MongoDatabase;
  beforeAll(() => {
    database = new MongoDatabase(url);
  });
  afterAll(() => database.close());

  const behind = async (through: string): Promise<{ store: Store; collection: string }> => {
    const collection = database.fresh();
    const store = await database.store(keys, { url: through, collection, id: 'id' });
    await store.prepare();
    return { store, collection };
  };

  const writes = {
    put: (store, deadline) => store.putIfNewer(entryOf({ id: 'new', n: 1 }, 50), deadline),
    'delete of an absent key': (store, deadline) => store.putIfNewer(gone(entryOf({ id: 'new' }, 50)), deadline),
    'put over an older version': (store, deadline) => store.putIfNewer(entryOf({ id: 'old', n: 2 }, 50), deadline),
    create: (store, deadline) => store.compareAndSet(entryOf({ id: 'new', n: 1 }, 50), ABSENT, deadline),
    replacement: (store, deadline) =>
      store.compareAndSet(entryOf({ id: 'old', n: 2 }, 50), { kind: 'version', stamp: makeStamp(10, 0, 7) }, deadline),
    'plain write': (store, deadline) => store.putPlain(entryOf({ id: 'new', n: 1 }, null), deadline),
    'plain delete': (store, deadline) => store.putPlain(gone(entryOf({ id: 'old' }, null)), deadline),
    'batch of inserts': async (store, deadline) => {
      const batch = Array.from({ length: 20 }, (_, n) => entryOf({ id: `new ${n}`, n }, 50));
      const kinds = new Set((await store.putManyIfNewer(batch, deadline)).map(({ kind }) => kind));
      return { kind: [...kinds].join() };
    },
    'batch of replacements': async (store, deadline) => {
      const batch = Array.from({ length: 20 }, (_, n) => entryOf({ id: n === 0 ? 'old' : `new ${n}`, n }, 50));
      const kinds = new Set((await store.putManyIfNewer(batch, deadline)).map(({ kind }) => kind));
      return { kind: [...kinds].join() };
    },
  } satisfies Record<string, (store: Store, deadline: number) => Promise<{ readonly kind: string }>>;

  it.for(Object.keys(writes) as (keyof typeof writes)[])(
    '%s that reaches the server after its deadline is expired by the clock of the server, and leaves nothing',
    async (name) => {
      const { proxy, url: through } = await HoldingProxy.to(url);
      await using _ = proxy;
      const { store, collection } = await behind(through);
      const direct = await database.store(keys, { collection, id: 'id' });
      const before = entryOf({ id: 'old', n: 1 }, 10);
      await direct.putIfNewer(before, direct.now() + 30_000);

      for (let arrived = false; !arrived; ) {
        proxy.hold('$$NOW');
        const deadline = store.now() + 400;
        const outcome = writes[name](store, deadline);
        // On a machine that stands still just then nothing leaves in time: then once more.
        const held = vi.waitFor(() => expect(proxy.waiting).toBeGreaterThan(0), LONG).then(() => true);
        arrived = await Promise.race([held, outcome.then(() => false)]);
        if (arrived) {
          const late = deadline + direct.capabilities.clockErrorMs;
          await vi.waitFor(() => expect(direct.now()).toBeGreaterThan(late), LONG);
        }
        proxy.release();
        expect((await outcome).kind).toBe('expired');
      }
      const held = await database.collection(collection).find().toArray();
      expect(held.map(({ _id, n }) => [_id, n])).toEqual([['old', 1]]);
      expect((await writes[name](store, store.now() + 30_000)).kind).toBe('applied');
      await store.close();
    },
  );

  it('a command may not start so late that its own time limit ends after the deadline', async () => {
    const { proxy, url: through } = await HoldingProxy.to(url);
    await using _ = proxy;
    const { store, collection } = await behind(through);
    proxy.hold('$$NOW');
    const sent = store.now();
    const outcome = store.putIfNewer(entryOf({ id: 'a' }, 50), sent + 2_000);
    await vi.waitFor(() => expect(proxy.waiting).toBe(1), LONG);
    // Past the half, and well before the end.
    await vi.waitFor(() => expect(store.now()).toBeGreaterThan(sent + 1_200), LONG);
    proxy.release();
    expect(await outcome).toEqual({ kind: 'expired' });
    expect(await database.collection(collection).countDocuments()).toBe(0);
    await store.close();
  });

  it('a record that a plain writer changed between the look and the write of a compare-and-set is a conflict', async () => {
    const { proxy, url: through } = await HoldingProxy.to(url);
    await using _ = proxy;
    const { store, collection } = await behind(through);
    const raw = database.collection(collection);
    await raw.insertOne({ _id: 'a' as never, '7': 1, n: 1 });
    const version = { kind: 'version', stamp: null, value: { id: 'a', '7': 1, n: 1 } } as const;
    for (const change of [{ $set: { n: 2 } }, { $set: { added: true } }, { $unset: { '7': '' } }]) {
      await raw.replaceOne({ _id: 'a' as never }, { '7': 1, n: 1 });
      proxy.hold('findAndModify');
      const outcome = store.compareAndSet(entryOf({ id: 'a', n: 3 }, 50), version, store.now() + 20_000);
      await vi.waitFor(() => expect(proxy.waiting).toBe(1), LONG);
      await raw.updateOne({ _id: 'a' as never }, change);
      const changed = await raw.findOne();
      proxy.release();
      expect(await outcome).toEqual({ kind: 'conflict' });
      expect(await raw.findOne()).toEqual(changed);
    }
    await store.close();
  });

  it('an answer that is lost is a fault of unknown outcome; the same put again is told that it was applied', async () => {
    const { proxy, url: through } = await HoldingProxy.to(url);
    await using _ = proxy;
    const { store, collection } = await behind(through);
    const entry = entryOf({ id: 'a', n: 1 }, 50);
    proxy.loseAnswer('$$NOW');
    const error = await store.putIfNewer(entry, store.now() + 10_000).catch((fault: unknown) => fault);
    expect(error).toBeInstanceOf(StoreFault);
    expect((error as StoreFault).outcome).toBe('unknown');
    expect(await database.collection(collection).countDocuments()).toBe(1);
    await vi.waitFor(
      async () =>
        expect(await store.putIfNewer(entry, store.now() + 10_000)).toEqual({ kind: 'applied', previous: 'same' }),
      LONG,
    );

    const batch = Array.from({ length: 10 }, (_, n) => entryOf({ id: `b${n}`, n }, 50));
    proxy.loseAnswer('$$NOW');
    const outcomes = await store.putManyIfNewer(batch, store.now() + 10_000);
    for (const outcome of outcomes) expect(outcome).toMatchObject({ kind: 'fault', outcome: 'unknown' });
    await vi.waitFor(async () => {
      const again = await store.putManyIfNewer(batch, store.now() + 10_000);
      expect(new Set(again.map(({ kind }) => kind))).toEqual(new Set(['applied']));
    }, LONG);
    expect(await database.collection(collection).countDocuments()).toBe(11);
    await store.close();
  });

  it('a server that never answers costs the deadline and a little, and leaves a client that works', async () => {
    const { proxy, url: through } = await HoldingProxy.to(url);
    await using _ = proxy;
    const { store } = await behind(through);
    proxy.hold('$$NOW');
    const entry = entryOf({ id: 'a', n: 1 }, 50);
    const error = await store.putIfNewer(entry, store.now() + 1_500).catch((fault: unknown) => fault);
    expect(error).toBeInstanceOf(StoreFault);
    expect((error as StoreFault).outcome).toBe('unknown');
    proxy.release();
    await vi.waitFor(
      async () => expect((await store.putIfNewer(entry, store.now() + 10_000)).kind).toBe('applied'),
      LONG,
    );
    expect((await store.get(entry.id, entry.key))?.value).toEqual(entry.value);
    await store.close();
  });

  it('a server that is not there is a fault with nothing written', async () => {
    const { proxy, url: through } = await HoldingProxy.to(url);
    const { store } = await behind(`${through}&serverSelectionTimeoutMS=300`);
    await proxy[Symbol.asyncDispose]();
    const seen: StoreFault[] = [];
    await vi.waitFor(async () => {
      const fault = await store.putIfNewer(entryOf({ id: 'a' }, 50), store.now() + 900).catch((error) => error);
      expect(fault).toBeInstanceOf(StoreFault);
      seen.push(fault as StoreFault);
      // The first may have been under way on a line that broke.
      expect((fault as StoreFault).outcome).toBe('nothing-written');
    }, LONG);
    expect(seen.at(-1)?.message).toMatch(/^mongodb \S+: findAndModify failed/);
    await expect(store.get('"a"', { id: 'a' })).rejects.toBeInstanceOf(StoreFault);
    await store.close();
  });

  it('a server that did not answer when it was first looked for is found when it does', async () => {
    const { proxy, url: through } = await HoldingProxy.to(url);
    await using _ = proxy;
    const definition = mongodb({
      url: `${through}&serverSelectionTimeoutMS=1000`,
      collection: 'things',
      database: 'none',
      id: 'id',
    });
    const clock = systemClock;
    const store = await definition.create({ migration: 'm', side: 'new', keys, codec: identityCodec, clock });
    proxy.hold('helloOk');
    for (let tries = 0; tries < 2; tries += 1) {
      await expect(store.open()).rejects.toMatchObject({
        code: 'STORE_FAULT',
        outcome: 'nothing-written',
        message: expect.stringContaining('MongoServerSelectionError'),
      });
    }
    proxy.release();
    await vi.waitFor(() => store.open(), LONG);
    expect(await store.get('"a"', { id: 'a' })).toBeUndefined();
    await store.close();
    await expect(store.open()).rejects.toMatchObject({ code: 'CLOSED' });
  });

  it('the clock of the server is known within the error that is told', async () => {
    const { store, collection } = await behind(url);
    await database.collection(collection).insertOne({ _id: 'x' as never });
    const before = store.now();
    const found = await database
      .collection(collection)
      .aggregate([{ $project: { now: '$$NOW' } }])
      .toArray();
    const at = (found[0] as { now: Date }).now.getTime();
    const error = store.capabilities.clockErrorMs;
    expect(at).toBeGreaterThanOrEqual(before - error - 1);
    expect(at).toBeLessThanOrEqual(store.now() + error + 1);
  });
});
