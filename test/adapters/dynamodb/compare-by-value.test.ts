import { DeleteItemCommand, UpdateItemCommand } from '@aws-sdk/client-dynamodb';
import { describe, expect, it } from 'vitest';
import type { StoredRecord } from '../../../src/core/value.ts';
import { entry, faultOf, later, natural, onEveryServer } from '../../support/dynamodb-fixture.ts';

onEveryServer((t) => {
  describe('compare and set by value', () => {
    const plain = (value: StoredRecord) => ({ kind: 'version', stamp: null, value }) as const;

    it('accepts what others wrote with their own client', async () => {
      const store = await t.fresh();
      await t.write({ ...natural, n: { N: '1.50' }, tags: { L: [{ S: 'x' }] }, deep: { M: { a: { NULL: true } } } });
      const read = await store.get(entry(1).id, entry(1).key);
      expect(read?.value).toEqual({ userKey: 'ada', id: 'e1', n: 1.5, tags: ['x'], deep: { a: null } });
      const outcome = await store.compareAndSet(entry(10, { n: 2 }), plain(read?.value as StoredRecord), later(store));
      expect(outcome).toEqual({ kind: 'applied', previous: 'record' });
      expect(Object.keys((await t.raw()) ?? {}).sort()).toEqual(['_s', 'id', 'n', 'userKey']);
    });

    it('notices a field that a plain writer added and that nobody knew of', async () => {
      const store = await t.fresh();
      const other = await t.open();
      const read = entry(null, { a: 1 });
      await store.putPlain(read, later(store));
      await other.putPlain(entry(null, { a: 1, added: 2 }), later(other));
      expect(await store.compareAndSet(entry(10, { a: 9 }), plain(read.value as StoredRecord), later(store))).toEqual({
        kind: 'conflict',
      });
      expect(await t.raw()).toEqual({ ...natural, a: { N: '1' }, added: { N: '2' } });
    });

    it('notices a plain write, a delete, or a change in place between its two steps', async () => {
      const changes: (() => Promise<unknown>)[] = [
        () => t.write({ ...natural, a: { N: '1' }, added: { N: '2' } }),
        () => t.server.client.send(new DeleteItemCommand({ TableName: t.table, Key: natural })),
        () =>
          t.server.client.send(
            new UpdateItemCommand({
              TableName: t.table,
              Key: natural,
              UpdateExpression: 'SET a = :a',
              ExpressionAttributeValues: { ':a': { N: '5' } },
            }),
          ),
      ];
      for (const change of changes) {
        const store = await t.fresh();
        const read = entry(null, { a: 1 });
        await store.putPlain(read, later(store));
        t.proxy.plan = ({ operation }) => {
          if (operation !== 'PutItem') return { kind: 'pass' };
          t.proxy.heal();
          return { kind: 'delay', until: change().then(() => undefined) };
        };
        const outcome = await store.compareAndSet(entry(10, { a: 9 }), plain(read.value as StoredRecord), later(store));
        expect(outcome).toEqual({ kind: 'conflict' });
        expect((await t.raw())?.['a']).not.toEqual({ N: '9' });
      }
    });

    it('lets one of several through that read the same plain record', async () => {
      const store = await t.fresh();
      await store.putPlain(entry(null, { a: 1 }), later(store));
      const outcomes = await Promise.all(
        Array.from({ length: 6 }, (_, i) =>
          store.compareAndSet(entry(10 + i, { a: 10 + i }), plain({ userKey: 'ada', id: 'e1', a: 1 }), later(store)),
        ),
      );
      expect(outcomes.filter(({ kind }) => kind === 'applied')).toHaveLength(1);
      expect(outcomes.filter(({ kind }) => kind === 'conflict')).toHaveLength(5);
    });

    it('whose first step had no answer has written nothing', async () => {
      const store = await t.fresh();
      await store.putPlain(entry(null, { a: 1 }), later(store));
      t.proxy.next('UpdateItem', { kind: 'lose-answer' });
      const expected = plain({ userKey: 'ada', id: 'e1', a: 1 });
      const fault = await faultOf(store.compareAndSet(entry(10, { a: 2 }), expected, later(store)));
      expect(fault.outcome).toBe('nothing-written');
      expect((await store.compareAndSet(entry(10, { a: 2 }), expected, later(store))).kind).toBe('applied');
    });
  });
});
