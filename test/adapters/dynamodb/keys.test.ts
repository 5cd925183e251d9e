import { Binary, BSONRegExp, ObjectId, UUID } from 'mongodb';
import { describe, expect, it } from 'vitest';
import { equalValues } from '../../../src/core/canonical.ts';
import { KeySpec } from '../../../src/core/record-key.ts';
import type { Key, KeyPart, StoredRecord } from '../../../src/core/value.ts';
import { entryOf, KEYS, later, onEveryServer, stampOf } from '../../support/dynamodb-fixture.ts';

onEveryServer((t) => {
  describe('keys', () => {
    const numeric = new KeySpec(['n'], ['n']);
    const at = (n: number | bigint, s: number | null, extra: StoredRecord = {}) => entryOf({ n, ...extra }, s, numeric);
    const openNumeric = async () => {
      t.table = await t.server.table(['n', 'number']);
      return t.open({ partitionKey: 'n', sortKey: undefined }, numeric);
    };

    it('may be numbers and bigints, which come back as what they were', async () => {
      const store = await openNumeric();
      const all = [0, 1, -1.5, 2 ** 60, 1e30, 2n, -3n, 10n ** 37n, 0.1].map((n) => at(n, 10));
      for (const one of all)
        expect(await store.putIfNewer(one, later(store))).toEqual({ kind: 'applied', previous: 'absent' });
      expect(await store.getMany(all)).toEqual(all);
      for (const one of all) expect(await store.get(one.id, one.key)).toEqual(one);
      const [first] = all;
      expect(await store.list({ n: 0 }, null, 5)).toEqual([first]);
      await store.finish({});
      expect((await store.getMany(all)).map((one) => one?.id)).toEqual(all.map(({ id }) => id));
    });

    it('that are equal as number and bigint never overwrite or show each other', async () => {
      const store = await openNumeric();
      await store.putIfNewer(at(1, 10, { v: 'number' }), later(store));
      const other = at(1n, 20, { v: 'bigint' });
      expect(await store.get(other.id, other.key)).toBeUndefined();
      expect(await store.getMany([at(1, 10), other])).toMatchObject([{ id: '[1]' }, undefined]);
      const refused = { kind: 'rejected', reason: 'constraint' };
      expect(await store.putIfNewer(other, later(store))).toMatchObject(refused);
      expect(await store.putPlain({ ...other, stamp: null }, later(store))).toMatchObject(refused);
      expect(await store.putPlain({ ...other, stamp: null, value: null }, later(store))).toMatchObject(refused);
      expect(await store.compareAndSet(other, { kind: 'absent' }, later(store))).toMatchObject(refused);
      expect(await store.compareAndSet(other, { kind: 'version', stamp: stampOf(10) }, later(store))).toEqual({
        kind: 'conflict',
      });
      expect((await store.get('[1]', { n: 1 }))?.value).toEqual({ n: 1, v: 'number' });
    });

    it('may be bytes', async () => {
      t.table = await t.server.table(['userKey', 'text'], ['id', 'bytes']);
      const store = await t.open();
      const one = entryOf({ userKey: 'ada', id: Uint8Array.of(0, 255) }, 10);
      await store.putIfNewer(one, later(store));
      expect(await store.get(one.id, one.key)).toEqual(one);
      const [partition] = await store.partitions(1);
      const cursors: string[] = [];
      for await (const page of store.scan(partition as never, { pageSize: 1 })) cursors.push(page.cursor);
      for await (const page of store.scan(partition as never, { pageSize: 1, cursor: cursors[0] })) {
        expect(page.entries).toEqual([]);
      }
    });

    it.for<[string, 'text' | 'bytes', () => KeyPart, string, KeyPart]>([
      ['an ObjectId', 'text', () => new ObjectId('65f0c0ffee65f0c0ffee65f0'), 'o', '65f0c0ffee65f0c0ffee65f0'],
      ['a Date', 'text', () => new Date(1_700_000_000_123), 'd', '2023-11-14T22:13:20.123Z'],
      ['a UUID', 'bytes', () => new UUID('0f0e0d0c-0b0a-4908-8706-050403020100'), 'b4', Uint8Array.of(15, 14)],
      ['a Binary', 'bytes', () => new Binary(Uint8Array.of(1, 2), 128), 'b128', Uint8Array.of(1, 2)],
    ])(
      '%s as a sort key comes back as itself, and never meets what reads the same',
      async ([, type, make, kind, plain]) => {
        t.table = await t.server.table(['userKey', 'text'], ['id', type]);
        const store = await t.open();
        const one = entryOf({ userKey: 'ada', id: make(), n: 1 }, 10);
        expect(await store.putIfNewer(one, later(store))).toEqual({ kind: 'applied', previous: 'absent' });
        const found = await store.get(one.id, one.key);
        expect(found?.value?.['id']?.constructor).toBe((make() as object).constructor);
        expect(equalValues(found?.value, one.value)).toBe(true);
        expect((await store.list({ userKey: 'ada' }, null, 5)).map(({ id }) => id)).toEqual([one.id]);
        const [item] = await t.items();
        expect(item?.['_s_key']).toEqual({ S: `.${kind}` });

        const held = item?.['id'] as { readonly S?: string; readonly B?: Uint8Array };
        const natural = held.S ?? new Uint8Array(held.B as Uint8Array);
        if (kind !== 'b4') expect(natural).toEqual(plain);
        const other = entryOf({ userKey: 'ada', id: natural, n: 2 }, 20);
        expect(await store.putIfNewer(other, later(store))).toMatchObject({ kind: 'rejected', reason: 'constraint' });
        expect(await store.putPlain({ ...other, stamp: null }, later(store))).toMatchObject({ kind: 'rejected' });
        expect(await store.get(other.id, other.key)).toBeUndefined();
        expect((await store.getMany([one, other])).map((entry) => entry?.id)).toEqual([one.id, undefined]);
        await store.wipe({});
        expect((await store.putIfNewer(other, later(store))).kind).toBe('applied');
        expect(await store.putIfNewer({ ...one, stamp: stampOf(30) }, later(store))).toMatchObject({
          kind: 'rejected',
        });
        expect((await store.get(other.id, other.key))?.value).toEqual(other.value);
      },
    );

    it('of one kind list in their order, also as partitions that read the same', async () => {
      const store = await t.fresh();
      const hex = '0123456789abcdef01234567';
      const made = [
        entryOf({ userKey: new ObjectId(hex), id: 'b' }, 10),
        entryOf({ userKey: new ObjectId(hex), id: 'a' }, 10),
        entryOf({ userKey: hex, id: 'c' }, 10),
      ];
      for (const one of made) expect((await store.putIfNewer(one, later(store))).kind).toBe('applied');
      const ids = async (unit: KeyPart) => (await store.list({ userKey: unit }, null, 9)).map(({ key }) => key['id']);
      expect(await ids(new ObjectId(hex))).toEqual(['a', 'b']);
      expect(await ids(hex)).toEqual(['c']);
    });

    it('that others wrote are text, whatever they look like', async () => {
      const store = await t.fresh();
      await t.write({ userKey: { S: 'ada' }, id: { S: '65f0c0ffee65f0c0ffee65f0' } });
      const plain = entryOf({ userKey: 'ada', id: '65f0c0ffee65f0c0ffee65f0' }, null);
      expect(await store.get(plain.id, plain.key)).toEqual(plain);
    });

    it.for<[string, StoredRecord, RegExp]>([
      ['empty text', { userKey: '', id: 'x' }, /"userKey" is empty/],
      ['empty bytes', { userKey: 'a', id: new Uint8Array() }, /"id" is empty/],
      ['more than 2048 bytes', { userKey: 'é'.repeat(1_025), id: 'x' }, /"userKey" has 2050 bytes, more than 2048/],
      ['more than 1024 bytes', { userKey: 'a', id: 'x'.repeat(1_025) }, /"id" has 1025 bytes, more than 1024/],
      ['booleans', { userKey: true, id: 'x' }, /"userKey" is a boolean/],
      ['dates of years that do not sort', { userKey: 'a', id: new Date(8.64e15) }, /"id" is a Date that does not sort/],
      ['regular expressions', { userKey: 'a', id: new BSONRegExp('x') as never }, /"id" is a BSONRegExp/],
      ['more than 38 digits', { userKey: 10n ** 38n + 1n, id: 'x' }, /"userKey" has more than 38/],
      ['another type than the table', { userKey: 1, id: 'x' }, /"userKey" is of another type/],
    ])('of %s are refused by name, and are nowhere to be found', async ([, record, message]) => {
      const store = await t.fresh();
      const key = { userKey: record['userKey'], id: record['id'] } as Key;
      const one = { id: KEYS.id(key), key, stamp: stampOf(10), value: record };
      const rejection = store.check(one);
      expect(rejection).toMatchObject({ kind: 'rejected', reason: 'limit' });
      expect(rejection?.message).toMatch(message);
      expect(await store.putIfNewer(one, later(store))).toEqual(rejection);
      expect(await store.get(one.id, one.key)).toBeUndefined();
      expect(await store.getMany([one])).toEqual([undefined]);
    });
  });
});
