import { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { describe, expect, it } from 'vitest';
import { KeySpec } from '../../../src/core/record-key.ts';
import type { Entry, Store } from '../../../src/core/store.ts';
import { entryOf, later, onEveryServer, stampOf } from '../../support/dynamodb-fixture.ts';
import { CREDENTIALS } from '../../support/dynamodb-server.ts';
import { SERVER_ERROR, THROTTLED } from '../../support/faulty-http-proxy.ts';

const entries = (count: number, stamp = 10): Entry[] =>
  Array.from({ length: count }, (_, i) => entryOf({ userKey: `u${i % 7}`, id: `e${i}`, n: stamp }, stamp));

const load = (store: Store, batch: readonly Entry[]) => {
  if (store.load === undefined) throw new Error('this store loads');
  return store.load(batch, later(store));
};

const stamps = async (store: Store, batch: readonly Entry[]) =>
  (await store.getMany(batch, { stampsOnly: true })).map((entry) => entry?.stamp);

interface BatchWrite {
  readonly RequestItems: Readonly<Record<string, readonly { readonly PutRequest: { readonly Item: object } }[]>>;
}

onEveryServer((t) => {
  describe('a load', () => {
    it('is a request for every 25 entries', async () => {
      const store = await t.fresh();
      const batch = entries(60);
      expect((await load(store, batch)).loose).toBe(false);
      expect([t.proxy.count('BatchWriteItem'), t.proxy.count('PutItem')]).toEqual([3, 0]);
      expect(await stamps(store, batch)).toEqual(batch.map(({ stamp }) => stamp));
    });

    it('sends what a server left undone again, and only that', async () => {
      const store = await t.fresh({ random: () => 0 });
      const batch = entries(20);
      const sizes: number[] = [];
      t.proxy.plan = ({ operation, body }) => {
        if (operation !== 'BatchWriteItem') return { kind: 'pass' };
        const [[table, requests] = ['', []]] = Object.entries((JSON.parse(body) as BatchWrite).RequestItems);
        sizes.push(requests.length);
        // The first answer leaves everything undone, so that what is sent again is what is stored.
        if (sizes.length > 1) return { kind: 'pass' };
        return { kind: 'answer', status: 200, body: { UnprocessedItems: { [table]: requests } } };
      };
      const { outcomes, loose } = await load(store, batch);
      expect(sizes).toEqual([20, 20]);
      expect(loose).toBe(false);
      expect(new Set(outcomes.map(({ kind }) => kind))).toEqual(new Set(['applied']));
      expect(store.pressure).toBe(1);
      expect(await stamps(store, batch)).toEqual(batch.map(({ stamp }) => stamp));
    });

    it('says of what stays undone that nothing was written, and asks for less load', async () => {
      const store = await t.fresh({ maxAttempts: 2, random: () => 0 });
      const batch = entries(10);
      const last = batch.slice(7).map(({ id }) => id);
      t.proxy.plan = ({ operation, body }) => {
        if (operation !== 'BatchWriteItem') return { kind: 'pass' };
        const [[table, requests] = ['', []]] = Object.entries((JSON.parse(body) as BatchWrite).RequestItems);
        const left = requests.slice(requests.length === 10 ? 7 : 0);
        return { kind: 'answer', status: 200, body: { UnprocessedItems: { [table]: left } } };
      };
      const { outcomes, loose } = await load(store, batch);
      expect(loose).toBe(false);
      for (const [i, outcome] of outcomes.entries()) {
        const fault = { kind: 'fault', outcome: 'nothing-written', pressure: true };
        expect(outcome).toMatchObject(last.includes(batch[i]?.id ?? '') ? fault : { kind: 'applied' });
      }
    });

    it('is sent again while the server is busy', async () => {
      const store = await t.fresh({ random: () => 0 });
      t.proxy.next('BatchWriteItem', THROTTLED, 3);
      const { outcomes, loose } = await load(store, entries(5));
      expect([new Set(outcomes.map(({ kind }) => kind)), loose]).toEqual([new Set(['applied']), false]);
      expect([t.proxy.count('BatchWriteItem'), store.pressure]).toEqual([4, 3]);
    });

    it('without an answer is loose and never sent again by the store: a late copy goes over what is newer', async () => {
      const store = await t.fresh();
      for (const fault of [{ kind: 'lose-answer' }, { kind: 'cut' }, SERVER_ERROR] as const) {
        t.proxy.seen.length = 0;
        t.proxy.next('BatchWriteItem', fault);
        const { outcomes, loose } = await load(store, entries(3));
        expect(loose).toBe(true);
        expect(outcomes).toMatchObject(Array.from({ length: 3 }, () => ({ kind: 'fault', outcome: 'unknown' })));
        expect(t.proxy.count('BatchWriteItem')).toBe(1);
      }
      let release: () => void = () => {};
      const until = new Promise<void>((resolve) => {
        release = resolve;
      });
      t.proxy.next('BatchWriteItem', { kind: 'delay', until });
      const late = load(store, entries(1));
      const newer = entryOf({ userKey: 'u0', id: 'e0', n: 20 }, 20);
      expect((await store.putIfNewer(newer, later(store))).kind).toBe('applied');
      release();
      await late;
      expect(await stamps(store, [newer]), 'this is why dual-write waits for the bound').toEqual([stampOf(10)]);
    });

    it('is loose where a client that was given sent it more than once, however the last copy was answered', async () => {
      const { endpoint } = t.proxy;
      const client = new DynamoDBClient({ endpoint, region: 'local', credentials: CREDENTIALS, maxAttempts: 2 });
      try {
        const store = await t.fresh({ client, maxAttempts: 1, random: () => 0 });
        let copies = 0;
        t.proxy.plan = ({ operation }) => {
          if (operation !== 'BatchWriteItem') return { kind: 'pass' };
          copies += 1;
          return copies % 2 === 1 ? { kind: 'lose-answer' } : THROTTLED;
        };
        const { outcomes, loose } = await load(store, entries(3));
        expect(copies).toBe(2);
        expect(outcomes).toMatchObject([{ kind: 'fault' }, { kind: 'fault' }, { kind: 'fault' }]);
        expect(loose).toBe(true);
      } finally {
        client.destroy();
      }
    });

    it('does not go over the item of a key of another kind that reads the same', async () => {
      t.table = await t.server.table(['n', 'number']);
      const numeric = new KeySpec(['n'], ['n']);
      const store = await t.open({ partitionKey: 'n', sortKey: undefined }, numeric);
      expect((await load(store, [entryOf({ n: 1 }, 10, numeric)])).outcomes).toMatchObject([{ kind: 'applied' }]);
      const { outcomes } = await load(store, [entryOf({ n: 1n }, 20, numeric), entryOf({ n: 2 }, 10, numeric)]);
      expect(outcomes).toMatchObject([{ kind: 'rejected', reason: 'constraint' }, { kind: 'applied' }]);
    });
  });
});
