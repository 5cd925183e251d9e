import { describe, expect, it } from 'vitest';
import type { Store } from '../../../src/core/store.ts';
import { entry, entryOf, later, onEveryServer, stampOf } from '../../support/dynamodb-fixture.ts';
import { UNKNOWN_OPERATION } from '../../support/faulty-http-proxy.ts';

const absent = { kind: 'absent' } as const;
const version = (n: number) => ({ kind: 'version', stamp: stampOf(n) }) as const;

onEveryServer((t, server) => {
  // dynalite does not say what a condition met, so that it has to be read.
  const met = server === 'DynamoDB Local' ? [] : ['GetItem'];

  describe('requests', () => {
    it.for<[string, (store: Store) => Promise<unknown>, unknown, string[]]>([
      [
        'a put where nothing is',
        (s) => s.putIfNewer(entryOf({ userKey: 'ada', id: 'new' }, 1), later(s)),
        'applied',
        [],
      ],
      ['a newer put', (s) => s.putIfNewer(entry(20), later(s)), 'applied', []],
      ['a tombstone', (s) => s.putIfNewer({ ...entry(20), value: null }, later(s)), 'applied', []],
      ['an older put', (s) => s.putIfNewer(entry(5), later(s)), 'superseded', met],
      ['the same put again', (s) => s.putIfNewer(entry(10), later(s)), 'applied', met],
      ['a plain put', (s) => s.putPlain(entry(null), later(s)), 'applied', []],
      ['a compare-and-set that is met', (s) => s.compareAndSet(entry(20), version(10), later(s)), 'applied', []],
      ['one that is not', (s) => s.compareAndSet(entry(20), version(9), later(s)), 'conflict', met],
      ['a create over a record', (s) => s.compareAndSet(entry(20), absent, later(s)), 'conflict', met],
      ['a create sent again', (s) => s.compareAndSet(entry(10), absent, later(s)), 'applied', met],
    ])('%s is one', async ([, call, kind, more]) => {
      const store = await t.fresh();
      await store.putIfNewer(entry(10), later(store));
      let outcome: unknown;
      const requests = await t.requests(async () => {
        outcome = await call(store);
      });
      expect(outcome).toMatchObject({ kind });
      expect(requests).toEqual(['PutItem', ...more]);
    });

    it('of a version that is gone need no look once the server was heard to tell', async () => {
      const store = await t.fresh();
      const gone = entryOf({ userKey: 'ada', id: 'gone' }, 20);
      expect(await t.requests(() => store.compareAndSet(gone, version(9), later(store)))).toEqual([
        'PutItem',
        'GetItem',
      ]);
      await store.putIfNewer(entry(10), later(store));
      await store.putIfNewer(entry(5), later(store));
      expect(await store.compareAndSet(gone, version(9), later(store))).toEqual({ kind: 'conflict' });
      expect(await t.requests(() => store.compareAndSet(gone, version(9), later(store)))).toEqual(['PutItem', ...met]);
    });

    it('of a batch are one an entry where inserts are not to be had, in flight together, and no more than allowed', async () => {
      const store = await t.fresh({ maxInFlight: 7 });
      const entries = Array.from({ length: 40 }, (_, i) => entryOf({ userKey: `u${i % 3}`, id: `e${i}` }, 10));
      let came = 0;
      const open: (() => void)[] = [];
      let most = 0;
      t.proxy.plan = ({ operation }) => {
        if (operation === 'BatchExecuteStatement') return UNKNOWN_OPERATION;
        if (operation !== 'PutItem') return { kind: 'pass' };
        const { promise: until, resolve } = Promise.withResolvers<void>();
        came += 1;
        open.push(resolve);
        most = Math.max(most, open.length);
        // None has its answer before all that may be in flight are; one more would come in a moment.
        if (open.length === 7 || came % entries.length === 0) {
          setTimeout(() => {
            for (const go of open.splice(0)) go();
          }, 15);
        }
        return { kind: 'delay', until };
      };
      const others = entries.map(({ value }) => entryOf({ ...value, id: `other ${value?.['id']}` }, 10));
      await store.putManyIfNewer(others, later(store));
      most = 0;
      const requests = await t.requests(() => store.putManyIfNewer(entries, later(store)));
      expect(requests).toEqual(entries.map(() => 'PutItem'));
      expect(most).toBe(7);
    });

    it('of a compare-and-set by value are two', async () => {
      const store = await t.fresh();
      await store.putPlain(entry(null, { a: 1 }), later(store));
      const expected = { kind: 'version', stamp: null, value: entry(null, { a: 1 }).value } as const;
      const requests = await t.requests(() => store.compareAndSet(entry(10, { a: 2 }), expected, later(store)));
      expect(requests).toEqual(['UpdateItem', 'PutItem']);
    });

    it('read consistently, all of them', async () => {
      const store = await t.fresh();
      await store.putManyIfNewer(
        [1, 2, 3].map((n) => entryOf({ userKey: 'ada', id: `e${n}` }, n)),
        later(store),
      );
      const bodies: string[] = [];
      t.proxy.plan = ({ body }) => {
        bodies.push(body);
        return { kind: 'pass' };
      };
      await store.get(entry(1).id, entry(1).key);
      await store.getMany([entry(1)]);
      await store.list({ userKey: 'ada' }, null, 2);
      for (const partition of await store.partitions(2)) {
        for await (const page of store.scan(partition, { pageSize: 2 })) expect(page.cursor).not.toBe('');
      }
      expect(bodies.length).toBeGreaterThanOrEqual(5);
      for (const body of bodies) expect(body).toContain('"ConsistentRead":true');
    });

    it('of a scan divide the table into segments', async () => {
      const store = await t.fresh();
      const segments: unknown[] = [];
      t.proxy.plan = ({ operation, body }) => {
        const { Segment, TotalSegments } = JSON.parse(body) as Record<string, unknown>;
        if (operation === 'Scan') segments.push([Segment, TotalSegments]);
        return { kind: 'pass' };
      };
      for (const partition of await store.partitions(3)) {
        for await (const page of store.scan(partition, { pageSize: 5 })) expect(page.entries).toEqual([]);
      }
      expect(segments).toEqual([
        [0, 3],
        [1, 3],
        [2, 3],
      ]);
    });
  });
});
