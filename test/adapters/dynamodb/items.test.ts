import { type AttributeValue, GetItemCommand } from '@aws-sdk/client-dynamodb';
import { describe, expect, it } from 'vitest';
import { InvalidRecord } from '../../../src/core/errors.ts';
import type { Partition } from '../../../src/core/store.ts';
import type { StoredRecord } from '../../../src/core/value.ts';
import { entry, later, natural, onEveryServer } from '../../support/dynamodb-fixture.ts';

onEveryServer((t) => {
  describe('items', () => {
    it('are natural: anybody can read the fields', async () => {
      const store = await t.fresh();
      await store.putIfNewer(
        entry(10, { name: 'x', n: 1, at: new Date(0), big: 7n, tags: new Set(['a']) }),
        later(store),
      );
      expect(await t.raw()).toMatchObject({
        ...natural,
        name: { S: 'x' },
        n: { N: '1' },
        at: { S: '1970-01-01T00:00:00.000Z' },
        big: { N: '7' },
        tags: { SS: ['a'] },
        _t: { S: '{"at":"d","big":"i"}' },
      });
      await store.putIfNewer(entry(11, { name: 'x' }), later(store));
      expect(Object.keys((await t.raw()) ?? {}).sort()).toEqual(['_s', 'id', 'name', 'userKey']);
    });

    it('of deleted records keep the key, the stamp and a flag', async () => {
      const store = await t.fresh();
      await store.putIfNewer({ ...entry(10), value: null }, later(store));
      expect(Object.keys((await t.raw()) ?? {}).sort()).toEqual(['_s', '_s_deleted', 'id', 'userKey']);
    });

    it('take other attribute names', async () => {
      t.table = await t.server.table(['PK', 'text'], ['SK', 'text']);
      const store = await t.open({
        attributes: { userKey: 'PK', id: 'SK', name: 'nm' },
        stampAttribute: 'ver',
        tombstoneAttribute: 'gone',
        typesAttribute: 'types',
      });
      const record = entry(10, { name: 'x', at: new Date(5) });
      await store.putIfNewer(record, later(store));
      const { Item } = await t.server.client.send(
        new GetItemCommand({ TableName: t.table, Key: { PK: { S: 'ada' }, SK: { S: 'e1' } } }),
      );
      expect(Object.keys(Item ?? {}).sort()).toEqual(['PK', 'SK', 'at', 'nm', 'types', 'ver']);
      expect(await store.get(record.id, record.key)).toEqual(record);
      expect((await store.list({ userKey: 'ada' }, null, 5)).map(({ id }) => id)).toEqual([record.id]);
      expect(store.check(entry(10, { nm: 1 }))).toMatchObject({ reason: 'limit' });
    });

    it('are decoded for named queries, those without a stamp too', async () => {
      const store = await t.fresh();
      expect(store.decode({ ...natural, n: { N: '1' } })).toEqual({ ...entry(null, { n: 1 }) });
      expect(() => store.decode({ id: { S: 'e1' } })).toThrow(InvalidRecord);
      expect(() => store.decode('text')).toThrow(InvalidRecord);
    });

    it('that are not ours are left alone when stamps are taken away', async () => {
      const store = await t.fresh();
      const others = [
        { ...natural, id: { S: 'e2' }, _s: { S: 'mine' } },
        { ...natural, id: { S: 'e3' }, _s_deleted: { BOOL: true } },
        { ...natural, id: { S: 'e4' }, _s_mark: { N: '1' } },
      ];
      for (const item of others) await t.write(item);
      await store.putIfNewer(entry(10), later(store));
      await store.finish({});
      const byId = (items: readonly Record<string, AttributeValue>[]) =>
        items.toSorted((a, b) => String(a['id']?.S).localeCompare(String(b['id']?.S)));
      expect(byId(await t.items())).toEqual([natural, ...others]);
    });

    it.for<[string, AttributeValue]>([
      ['_s', { S: 'mine' }],
      ['_s', { B: Uint8Array.of(1) }],
      ['_s_deleted', { S: 'no' }],
      ['_s_deleted', { BOOL: true }],
      ['_t', { S: 'User' }],
      ['_t', { S: '["d"]' }],
      ['_s_key', { S: 'Z' }],
      ['_s_mark', { N: '1' }],
    ])('whose attribute %s is not ours are refused, not read without it', async ([attribute, held]) => {
      const store = await t.fresh();
      expect(() => store.decode({ ...natural, [attribute]: held })).toThrow(
        expect.objectContaining({ code: 'INVALID_RECORD', remedy: expect.stringContaining('Attribute"') }),
      );
    });

    it.for<[string, StoredRecord, RegExp]>([
      ['reserved names', { _s: 1 }, /"_s" has the name of a reserved/],
      ['the name of the tags', { _t: 'x' }, /"_t"/],
      ['__proto__', JSON.parse('{"__proto__":1}') as StoredRecord, /__proto__/],
      ['more than 400 KB', { a: 'x'.repeat(400 * 1024) }, /bytes, more than the 409600/],
      ['numbers beyond 1e126', { a: { b: 1e200 } }, /"a\.b" is 1e126 or more/],
    ])('with %s are refused by name before anything is sent', async ([, extra, message]) => {
      const store = await t.fresh();
      t.proxy.seen.length = 0;
      expect(store.check(entry(10, extra))?.message).toMatch(message);
      expect(await store.putIfNewer(entry(10, extra), later(store))).toMatchObject({
        kind: 'rejected',
        reason: 'limit',
      });
      expect(t.proxy.seen).toEqual([]);
    });
  });
});

// The other server loses such an attribute itself.
onEveryServer((t) => {
  it('an item with an attribute that the SDK gives back without its value cannot be read, and those beside them can', async () => {
    const store = await t.fresh();
    for (const [id, name] of [
      ['e1', '__proto__'],
      ['e2', 'proto'],
    ]) {
      await putPastTheSdk(t.server.port, t.table, `{"userKey":{"S":"ada"},"id":{"S":"${id}"},"${name}":{"S":"x"}}`);
    }
    const [partition] = await store.partitions(1);
    const found = [];
    for await (const { entries } of store.scan(partition as Partition, { pageSize: 10 })) found.push(...entries);
    const told = found.map(({ key, unreadable }) => [key['id'], unreadable?.message]);
    expect(told.sort()).toEqual([
      ['e1', 'the attribute "__proto__" of the item ["ada","e1"] cannot be read'],
      ['e2', undefined],
    ]);
  });
}, 'DynamoDB Local');

/** What the SDK would not send; local servers look at no signature. */
async function putPastTheSdk(port: number, table: string, item: string): Promise<void> {
  const credential = 'AWS4-HMAC-SHA256 Credential=local/20260101/local/dynamodb/aws4_request';
  const { status } = await fetch(`http://127.0.0.1:${port}`, {
    method: 'POST',
    headers: {
      'x-amz-target': 'DynamoDB_20120810.PutItem',
      'content-type': 'application/x-amz-json-1.0',
      'x-amz-date': '20260101T000000Z',
      authorization: `${credential}, SignedHeaders=host;x-amz-date;x-amz-target, Signature=0`,
    },
    body: `{"TableName":"${table}","Item":${item}}`,
  });
  expect(status).toBe(200);
}
