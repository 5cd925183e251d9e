import { describe, expect, test } from 'vitest';
import { type Call, type FaultPlan, MemoryDatabase, memory } from '../../adapters/memory/index.ts';
import { NotPrepared, StoreFault } from '../../src/core/errors.ts';
import { KeySpec } from '../../src/core/record-key.ts';
import { makeStamp, type Stamp } from '../../src/core/stamp.ts';
import { type Entry, identityCodec, type Rejection, type Store } from '../../src/core/store.ts';
import { LateStore } from '../../src/service/late-store.ts';
import { settle, VirtualClock } from '../support/virtual-clock.ts';

const keys = new KeySpec(['user', 'id'], ['user']);
const value = { user: 'ada', id: '1', n: 1 };
const entry: Entry = { id: keys.id(keys.keyOf(value)), key: keys.keyOf(value), stamp: makeStamp(1, 0, 1), value };

async function late(wrap: (store: Store) => Store = (store) => store) {
  const clock = new VirtualClock(1_000_000);
  const database = new MemoryDatabase({ clock, prepared: true });
  const calls: Call['op'][] = [];
  const faults: FaultPlan = ({ op }) => {
    calls.push(op);
    return undefined;
  };
  const context = { migration: 'items', side: 'new', keys, codec: identityCodec, clock } as const;
  const inner = wrap(await memory({ database, faults }).create(context));
  const store = new LateStore(inner, 'items', 'new', clock);
  return { clock, database, calls, inner, store, deadline: () => store.now() + 60_000 };
}

/** What became of a call that is not waited for. */
function fateOf(call: Promise<unknown>): { readonly said: () => unknown } {
  let said: unknown = 'open';
  call.then(
    (answer) => {
      said = answer;
    },
    (error: unknown) => {
      said = error instanceof StoreFault ? error.message : error;
    },
  );
  return { said: () => said };
}

describe('a store that connects when it is first needed', () => {
  test('connects once, however many ask, and then is as the store itself', async () => {
    const { store, calls, deadline } = await late();
    expect(store.away).toBe(true);
    expect(calls).toEqual([]);
    const ref = { id: entry.id, key: entry.key };
    expect(await Promise.all([store.get(ref.id, ref.key), store.getMany([ref]), store.estimate()])).toEqual([
      undefined,
      [undefined],
      0,
    ]);
    expect(calls.filter((op) => op === 'open')).toHaveLength(1);
    expect(store.away).toBe(false);
    expect(await store.putIfNewer(entry, deadline())).toEqual({ kind: 'applied', previous: 'absent' });
    expect(await store.get(ref.id, ref.key)).toEqual(entry);
    expect(await store.list({ user: 'ada' }, null, 10)).toEqual([entry]);
    expect(calls.filter((op) => op === 'open')).toHaveLength(1);
  });

  test('is scanned and asked for its parts before anybody has opened it', async () => {
    const { store, database } = await late();
    database.load([entry]);
    const [partition] = await store.partitions(1);
    const other = await late();
    other.database.load([entry]);
    for (const one of [store, other.store]) {
      const seen: Entry[] = [];
      for await (const { entries } of one.scan(partition!, { pageSize: 10 })) seen.push(...entries);
      expect(seen).toEqual([entry]);
    }
  });

  const version = { kind: 'version', stamp: entry.stamp as Stamp } as const;
  const writes: readonly (readonly [name: string, write: (store: Store, deadline: number) => Promise<unknown>])[] = [
    ['putIfNewer', (store, deadline) => store.putIfNewer(entry, deadline)],
    ['putManyIfNewer', (store, deadline) => store.putManyIfNewer([entry], deadline)],
    ['load', (store, deadline) => (store.load as NonNullable<Store['load']>)([entry], deadline)],
    ['compareAndSet', (store, deadline) => store.compareAndSet(entry, version, deadline)],
    ['putPlain', (store, deadline) => store.putPlain({ ...entry, stamp: null }, deadline)],
  ];
  test.each(writes)(
    'sends no %s before it is connected: its deadline is in a time that nobody has measured',
    async (_, write) => {
      const { store, calls, database, deadline } = await late();
      await expect(write(store, deadline())).rejects.toMatchObject({ code: 'STORE_FAULT', outcome: 'nothing-written' });
      await settle();
      expect(calls).toEqual(['open']);
      expect(database.snapshot()).toEqual([]);
      await write(store, deadline());
      expect(calls).toHaveLength(2);
    },
  );

  test('says why it is away, at once for a second, then tries again', async () => {
    const { store, clock, calls, database, deadline } = await late();
    database.outage = 'refuse';
    const told = /^the new store of items cannot be reached: /;
    await expect(store.get(entry.id, entry.key)).rejects.toMatchObject({
      message: expect.stringMatching(told),
      remedy: expect.stringContaining('changeover rollback items --emergency'),
    });
    for (let n = 0; n < 5; n += 1) {
      await clock.advance(150);
      await expect(store.estimate()).rejects.toThrow(told);
      await expect(store.putIfNewer(entry, deadline())).rejects.toThrow(told);
    }
    expect(calls).toEqual(['open']);
    await clock.advance(400);
    await expect(store.get(entry.id, entry.key)).rejects.toThrow(told);
    expect(calls).toEqual(['open', 'open']);
    database.outage = 'none';
    await clock.advance(1_001);
    expect(await store.get(entry.id, entry.key)).toBeUndefined();
    expect(store.away).toBe(false);
  });

  test('leaves no write in doubt, however the attempt to connect ended', async () => {
    const { store, deadline } = await late((inner) => {
      const doubtful = (): Promise<void> => Promise.reject(new StoreFault('no answer', { outcome: 'unknown' }));
      return Object.assign(inner, { open: doubtful });
    });
    await expect(store.open()).rejects.toThrow('no answer');
    for (const [, write] of writes) {
      await expect(write(store, deadline())).rejects.toMatchObject({
        message: 'the new store of items cannot be reached: no answer',
        outcome: 'nothing-written',
      });
    }
  });

  test('lets reads wait while it hangs, and writes fail', async () => {
    const { store, database, calls, deadline } = await late();
    database.outage = 'hang';
    const read = fateOf(store.get(entry.id, entry.key));
    const put = fateOf(store.putIfNewer(entry, deadline()));
    await settle();
    expect([read.said(), put.said()]).toEqual(['open', 'the new store of items is not connected yet']);
    database.outage = 'none';
    await settle();
    expect(read.said()).toBeUndefined();
    expect(calls).toEqual(['open', 'get']);
    expect(database.snapshot()).toEqual([]);
  });

  test('says what else is wrong as it is', async () => {
    const wrong = new NotPrepared('there is no table "x"');
    const { store } = await late((inner) => Object.assign(inner, { open: () => Promise.reject(wrong) }));
    await expect(store.open()).rejects.toBe(wrong);
    await expect(store.get(entry.id, entry.key)).rejects.toBe(wrong);
  });

  test('refuses nothing before its tables were looked at', async () => {
    const { store } = await late((inner) => {
      const check = (): Rejection => ({ kind: 'rejected', reason: 'limit', message: 'too long' });
      return Object.assign(inner, { check });
    });
    expect(store.check(entry)).toBeNull();
    await store.open();
    expect(store.check(entry)).toMatchObject({ reason: 'limit' });
  });

  test('can do no more than the store itself', async () => {
    const { store, inner } = await late((one) => Object.assign(one, { stamps: undefined, replicaLag: undefined }));
    expect(inner.load).toBeDefined();
    expect([store.stamps, store.replicaLag, store.load !== undefined]).toEqual([undefined, undefined, true]);
    expect(await store.pair(store)).toBeNull();
    const asked: Store[] = [];
    const paired = await late((one) =>
      Object.assign(one, {
        pair: async (other: Store) => {
          asked.push(other);
          return null;
        },
      }),
    );
    await paired.store.pair(store);
    await paired.store.pair(inner);
    expect(asked).toEqual([inner, inner]);
  });
});
