import {
  Binary,
  BSONRegExp,
  BSONSymbol,
  Code,
  Decimal128,
  Double,
  Int32,
  Long,
  MaxKey,
  MinKey,
  ObjectId,
  Timestamp,
  UUID,
} from 'mongodb';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { mongodb } from '../../adapters/mongodb/index.ts';
import { equalValues } from '../../src/core/canonical.ts';
import { InvalidRecord } from '../../src/core/errors.ts';
import { KeySpec } from '../../src/core/record-key.ts';
import { makeStamp } from '../../src/core/stamp.ts';
import type { Entry, Store } from '../../src/core/store.ts';
import { Decimal, type StoredRecord } from '../../src/core/value.ts';
import { MongoDatabase } from '../support/mongodb-harness.ts';
import { testServer } from '../support/servers.ts';

const { url = '', missing } = testServer('mongodb');
const ONE = new KeySpec(['id'], ['id']);
const TWO = new KeySpec(['owner', 'id'], ['owner']);
const ABSENT = { kind: 'absent' } as const;
const REJECTED = { kind: 'rejected', reason: 'constraint' };

const stampOf = (ms: number) => makeStamp(ms, 0, 7);
const entryOf = (keys: KeySpec, value: unknown, ms: number | null): Entry => {
  const key = keys.keyOf(value);
  return { id: keys.id(key), key, stamp: ms === null ? null : stampOf(ms), value: value as StoredRecord };
};
const gone = (entry: Entry): Entry => ({ ...entry, value: null });
const later = (store: Store): number => store.now() + 30_000;

describe.skipIf(missing !== undefined)(`mongodb documents${missing ? ` (${missing})` : ''}`, () => {
  let database: MongoDatabase;
  let collection = '';
  beforeAll(() => {
    database = new MongoDatabase(url);
  });
  afterAll(() => database.close());

  const open = async (keys: KeySpec, options: Partial<Parameters<typeof mongodb>[0]> = {}): Promise<Store> => {
    collection = database.fresh();
    return database.store(keys, { collection, id: 'id', ...options });
  };
  const raw = () => database.collection(collection);
  const put = (store: Store, entry: Entry) => store.putIfNewer(entry, later(store));
  const get = (store: Store, { id, key }: Entry) => store.get(id, key);

  describe('batches', () => {
    it('answer for each entry in its place, whatever the order of their ids', async () => {
      const store = await open(TWO);
      const ids = Array.from({ length: 60 }, (_, i) => `id-${(i * 37) % 60}`);
      const entries = ids.map((id, i) => entryOf(TWO, { owner: `o${i % 3}`, id, i }, 10));
      const older = entryOf(TWO, { owner: 'o0', id: ids[0], i: 'older' }, 5);
      const refused = entryOf(TWO, { owner: 'o0', id: 'id-refused', _s: 'ours' }, 10);
      const stored = await store.putManyIfNewer([refused, ...entries, older], later(store));
      expect(stored[0]).toMatchObject({ kind: 'rejected', reason: 'limit' });
      expect(stored.slice(1, -1)).toEqual(entries.map(() => ({ kind: 'applied', previous: 'absent' })));
      expect(stored.at(-1)).toEqual({ kind: 'superseded', stamp: stampOf(10) });
      const again = entries.map((entry, i) => (i % 2 === 0 ? entry : { ...entry, stamp: stampOf(5) }));
      const answers = await store.putManyIfNewer(again, later(store));
      expect(answers.map(({ kind }) => kind)).toEqual(again.map((_, i) => (i % 2 === 0 ? 'applied' : 'superseded')));
      expect(await store.getMany(entries)).toEqual(entries);
    });

    it('hold records with ever new names of fields, and refuse a reserved name each time', async () => {
      const store = await open(ONE);
      const entries = Array.from({ length: 300 }, (_, i) => {
        const names = Array.from({ length: 5 }, (_, n) => [`field ${i * 5 + n}`, n]);
        // The names of digits stand where they were, behind the others.
        return entryOf(
          ONE,
          { id: `id-${i}`, ...Object.fromEntries(names), ...(i % 2 ? { [`${i}`]: 'digits' } : {}) },
          10,
        );
      });
      const refused = [1, 2].map((n) => entryOf(ONE, { id: `refused-${n}`, _s: 'ours' }, 10));
      const stored = await store.putManyIfNewer([...refused, ...entries], later(store));
      expect(stored.slice(0, 2).map(({ kind }) => kind)).toEqual(['rejected', 'rejected']);
      expect(stored.slice(2)).toEqual(entries.map(() => ({ kind: 'applied', previous: 'absent' })));
      expect(await store.getMany(entries)).toEqual(entries);
    });
  });

  describe('keys', () => {
    it.for([
      ['other fields beside the _id', TWO, { owner: 'ada', id: 1 }, { owner: 'bob', id: 1 }],
      ['a number and a bigint', ONE, { id: 5 }, { id: 5n }],
      ['a bigint and a number', ONE, { id: 2n ** 60n }, { id: 2 ** 60 }],
      ['a number and a bigint beside the _id', TWO, { owner: 1, id: 'x' }, { owner: 1n, id: 'x' }],
    ] as const)('that would be one document (%s) are never mistaken for each other', async ([, keys, mine, theirs]) => {
      const store = await open(keys);
      const first = entryOf(keys, { ...mine, n: 1 }, 10);
      const second = entryOf(keys, { ...theirs, n: 2 }, 20);
      expect((await put(store, first)).kind).toBe('applied');
      expect(await get(store, second)).toBeUndefined();
      expect(await store.getMany([second, first])).toMatchObject([undefined, { id: first.id }]);
      const version = { kind: 'version', stamp: stampOf(10), value: first.value } as const;
      expect(await put(store, second)).toMatchObject(REJECTED);
      expect(await put(store, gone(second))).toMatchObject(REJECTED);
      expect(await store.compareAndSet(second, ABSENT, later(store))).toMatchObject(REJECTED);
      expect(await store.compareAndSet(second, version, later(store))).toEqual({ kind: 'conflict' });
      expect(await store.putPlain({ ...second, stamp: null }, later(store))).toMatchObject(REJECTED);
      expect((await store.putPlain({ ...gone(second), stamp: null }, later(store))).kind).toBe('applied');
      const others = Array.from({ length: 10 }, (_, i) => entryOf(keys, { ...mine, id: `other ${i}` }, 20));
      const outcomes = await store.putManyIfNewer([...others, second], later(store));
      expect(outcomes.at(-1)).toMatchObject(REJECTED);
      expect(new Set(outcomes.slice(0, -1).map(({ kind }) => kind))).toEqual(new Set(['applied']));
      expect(await get(store, first)).toEqual(first);
    });

    it('of one batch that would be one document get one outcome each, and one record', async () => {
      const store = await open(TWO);
      const batch = ['ada', 'bob', 'cyd', 'dan', 'eve'].map((owner) => entryOf(TWO, { owner, id: 1 }, 10));
      const kinds = (await store.putManyIfNewer(batch, later(store))).map(({ kind }) => kind);
      expect(kinds.toSorted()).toEqual(['applied', 'rejected', 'rejected', 'rejected', 'rejected']);
      expect(await raw().countDocuments()).toBe(1);
      expect(await get(store, batch[kinds.indexOf('applied')] as Entry)).toBeDefined();
    });

    it('of the types that an application had before are found and kept: int, double and long', async () => {
      const store = await open(ONE);
      await raw().insertMany([{ _id: new Double(1) }, { _id: new Int32(2) }, { _id: Long.fromNumber(3) }] as never[]);
      for (const id of [1, 2, 3n]) {
        const entry = entryOf(ONE, { id, seen: true }, 10);
        expect(await get(store, entry)).toMatchObject({ stamp: null, value: { id } });
        expect(await put(store, entry)).toEqual({ kind: 'applied', previous: 'record' });
      }
      expect(await get(store, entryOf(ONE, { id: 3 }, 10))).toBeUndefined();
    });

    it('are numbers where the application knows no bigint, and small bigints are refused', async () => {
      const store = await open(ONE, { int64: 'number' });
      await raw().insertOne({ _id: Long.fromNumber(3), n: Long.fromNumber(7), big: Long.MAX_VALUE } as never);
      const entry = entryOf(ONE, { id: 3 }, 10);
      expect((await get(store, entry))?.value).toEqual({ id: 3, n: 7, big: 2n ** 63n - 1n });
      expect(await put(store, entry)).toEqual({ kind: 'applied', previous: 'record' });
      expect(store.check(entryOf(ONE, { id: 3n }, 10))?.reason).toBe('limit');
      expect(store.check(entryOf(ONE, { id: 4, n: 7n }, 10))?.message).toContain('n is a small bigint');
    });

    it('keep the field of the _id twice only where they are told to', async () => {
      const store = await open(ONE, { repeatId: true });
      await put(store, entryOf(ONE, { id: 'a', n: 1 }, 10));
      expect(await raw().findOne({}, { projection: { _s: 0 } })).toEqual({ _id: 'a', id: 'a', n: 1 });
      await raw().insertOne({ _id: 'b', id: 'not b' } as never);
      expect((await get(store, entryOf(ONE, { id: 'b' }, 1)))?.unreadable).toBeInstanceOf(InvalidRecord);
    });
  });

  describe('field names', () => {
    it('with $ and dots, and all that drivers and servers take for their own, are fields like any other', async () => {
      const store = await open(ONE);
      const odd: unknown = JSON.parse(`{"id":"a","$set":1,"$ref":"a.b","$id":2,"a.b":{"$inc":{"x.y":1}},"$$ROOT":"$id",
        "":3,"__proto__":{"p":1},"_bsontype":"ObjectId","toBSON":4,"nested":{"_bsontype":"Long","toBSON":null},
        "10":1,"9":2,"link":{"$ref":"fs.files","$id":"7","$db":"x"},"list":[{"$where":"1"}]}`);
      const entry = entryOf(ONE, odd, 10);
      const again = entryOf(ONE, odd, 20);
      expect(await put(store, entry)).toEqual({ kind: 'applied', previous: 'absent' });
      expect(equalValues((await get(store, entry))?.value, odd)).toBe(true);
      const version = { kind: 'version', stamp: stampOf(10), value: entry.value } as const;
      expect((await store.compareAndSet(again, version, later(store))).kind).toBe('applied');
      const batch = Array.from({ length: 8 }, (_, i) => entryOf(ONE, { ...(odd as object), id: `b${i}` }, 10));
      for (const stamped of [batch, batch.map((one) => ({ ...one, stamp: stampOf(30) }))]) {
        expect(new Set((await store.putManyIfNewer(stamped, later(store))).map(({ kind }) => kind))).toEqual(
          new Set(['applied']),
        );
      }
      const found = await store.getMany([again, ...batch]);
      for (const one of found) {
        expect(
          equalValues({ ...one?.value, id: 'a', ['__proto__']: null }, { ...(odd as object), ['__proto__']: null }),
        ).toBe(true);
      }
      expect((await store.putPlain({ ...entry, stamp: null }, later(store))).kind).toBe('applied');
      expect(equalValues((await get(store, entry))?.value, odd)).toBe(true);
    });

    it('that are reserved are refused by name', async () => {
      const store = await open(ONE);
      for (const field of ['_s', '_s_deleted', '_id']) {
        const refusal = store.check(entryOf(ONE, { id: 'a', [field]: 1 }, 10));
        expect(refusal).toMatchObject({ reason: 'limit', message: expect.stringContaining(`"${field}"`) });
      }
      expect(store.check(entryOf(ONE, { id: 'a', 'x\0y': 1 }, 10))?.message).toContain('NUL');
    });

    it('of an application that has one like the stamp keep it: nothing is written over it', async () => {
      const store = await open(ONE);
      await raw().insertOne({ _id: 'a', _s: 'mine' } as never);
      await expect(put(store, entryOf(ONE, { id: 'a' }, 10))).rejects.toBeInstanceOf(InvalidRecord);
      await expect(get(store, entryOf(ONE, { id: 'a' }, 10))).rejects.toBeInstanceOf(InvalidRecord);
      expect(await raw().findOne()).toEqual({ _id: 'a', _s: 'mine' });
    });
  });

  describe('values', () => {
    it('of BSON types come back as the types that they were', async () => {
      const store = await open(ONE);
      const values = {
        objectId: new ObjectId(),
        uuid: new UUID(),
        md5: new Binary(Buffer.from('0123456789abcdef'), 5),
        old: new Binary(Buffer.from('abc'), 2),
        timestamp: new Timestamp({ t: 7, i: 9 }),
        regex: new BSONRegExp('^a.b', 'im'),
        code: new Code('return 1'),
        symbol: new BSONSymbol('s'),
        min: new MinKey(),
        max: new MaxKey(),
        nan: Decimal128.fromString('NaN'),
        infinite: Decimal128.fromString('-Infinity'),
      };
      const entry = entryOf(ONE, { id: 'a', ...values, list: Object.values(values) }, 10);
      expect((await put(store, entry)).kind).toBe('applied');
      const found = await get(store, entry);
      expect(equalValues(found?.value, entry.value)).toBe(true);
      for (const [name, value] of Object.entries(values)) {
        expect((found?.value?.[name] as object | undefined)?.constructor).toBe(value.constructor);
      }
      expect(
        await raw().findOne({ regex: { $type: 'regex' }, symbol: { $type: 'symbol' }, old: { $type: 'binData' } }),
      ).not.toBeNull();
    });

    it('that applications stored are read by their type: 64-bit integers, decimals, bytes', async () => {
      const store = await open(ONE);
      await raw().insertOne({
        _id: 'a',
        long: Long.fromNumber(5),
        double: new Double(5),
        decimal: Decimal128.fromString('1.50'),
        bytes: new Binary(Buffer.from([1, 2])),
      } as never);
      const entry = entryOf(ONE, { id: 'a' }, 10);
      const value = { id: 'a', long: 5n, double: 5, decimal: new Decimal('1.5'), bytes: Uint8Array.of(1, 2) };
      expect(equalValues((await get(store, entry))?.value, value)).toBe(true);
      const version = { kind: 'version', stamp: null, value } as const;
      expect((await store.compareAndSet({ ...entry, value }, version, later(store))).kind).toBe('applied');
      expect(await raw().findOne({ long: { $type: 'long' }, decimal: { $type: 'decimal' } })).not.toBeNull();
    });

    it('that no record can have are seen as something that nobody can copy', async () => {
      const store = await open(ONE);
      await raw().insertOne({ _id: 'a', when: Long.fromNumber(0), code: new Code('x', { y: 1 }) } as never);
      await raw().updateOne({}, [{ $set: { when: { $add: [new Date(8.64e15), 1] } } }]);
      const value = (await get(store, entryOf(ONE, { id: 'a' }, 1)))?.value as StoredRecord;
      for (const field of ['when', 'code']) {
        const refusal = store.check(entryOf(ONE, { id: 'b', [field]: value[field] }, 10));
        expect(refusal, field).toMatchObject({ kind: 'rejected', message: expect.stringContaining(field) });
      }
    });

    it('that cannot be held are refused by name', async () => {
      const store = await open(ONE);
      const refused: Record<string, [unknown, string]> = {
        big: [2n ** 63n, 'big is an integer beyond 64 bits'],
        price: [new Decimal('1'.repeat(35)), 'price is a decimal'],
        at: [new Date(Number.NaN), 'at is an invalid Date'],
        tags: [new Set(['a']), 'tags is a set'],
        zero: [new Timestamp({ t: 0, i: 0 }), '"zero" is an empty Timestamp'],
        long: [Long.fromNumber(1), 'pass a bigint'],
        list: [[1, undefined], 'list[1] is undefined'],
      };
      for (const [field, [value, message]] of Object.entries(refused)) {
        expect(store.check(entryOf(ONE, { id: 'a', [field]: value }, 10))).toMatchObject({
          reason: 'limit',
          message: expect.stringContaining(message),
        });
      }
    });

    it.for([
      ['a column that is none', { v: new Binary(Buffer.from('no column'), 7) }, 'limit'],
      ['no place on earth', { place: { type: 'Point', coordinates: [500, 5] } }, 'constraint'],
      ['arrays side by side in an index', { a: [1, 2], b: [3, 4] }, 'constraint'],
      ['a language that no text index knows', { text: 'x', language: 'klingon' }, 'constraint'],
    ] as const)(
      'that only the server can judge (%s) are refused, and hold up no others',
      async ([, fields, reason]) => {
        const store = await open(ONE);
        for (const index of [{ place: '2dsphere' }, { a: 1, b: 1 }, { text: 'text' }] as const) {
          await raw().createIndex(index);
        }
        const bad = entryOf(ONE, { id: 'bad', ...fields }, 10);
        const refusal = { kind: 'rejected', reason };
        expect(await put(store, bad)).toMatchObject(refusal);
        expect(await store.compareAndSet(bad, ABSENT, later(store))).toMatchObject(refusal);
        expect(await store.putPlain({ ...bad, stamp: null }, later(store))).toMatchObject(refusal);
        const good = Array.from({ length: 10 }, (_, i) => entryOf(ONE, { id: `good ${i}` }, 10));
        const outcomes = await store.putManyIfNewer([...good, bad], later(store));
        expect(outcomes.pop()).toMatchObject(refusal);
        expect(outcomes).toEqual(good.map(() => ({ kind: 'applied', previous: 'absent' })));
        expect(await get(store, bad)).toBeUndefined();
      },
    );

    it('are held up to 180 levels and 16 MB, and what is beyond is refused before it is sent', async () => {
      const store = await open(ONE);
      const nested = (levels: number): unknown => (levels === 0 ? 'leaf' : { a: nested(levels - 1) });
      const deep = entryOf(ONE, { id: 'deep', v: nested(179) }, 10);
      expect(store.check(deep)).toBeNull();
      expect((await put(store, deep)).kind).toBe('applied');
      expect(equalValues((await get(store, deep))?.value, deep.value)).toBe(true);
      expect(store.check(entryOf(ONE, { id: 'deep', v: nested(180) }, 10))?.message).toContain('180 levels');

      const most = 16 * 1024 * 1024;
      const overhead = 4 + 1 + (1 + 4 + 4 + 4) + (1 + 2 + 4 + 1) + (1 + 3 + 5 + 12);
      const full = entryOf(ONE, { id: 'big', v: 'x'.repeat(most - overhead) }, 10);
      expect(store.check(full)).toBeNull();
      expect((await put(store, full)).kind).toBe('applied');
      expect(store.check(entryOf(ONE, { id: 'big', v: 'x'.repeat(most - overhead + 1) }, 10))?.reason).toBe('limit');
      const version = { kind: 'version', stamp: stampOf(10) } as const;
      expect((await store.compareAndSet({ ...full, stamp: stampOf(11) }, version, later(store))).kind).toBe('applied');
    });

    it('are compared with the very document: what came between the look and the write is a conflict', async () => {
      const store = await open(ONE);
      const other = await database.store(ONE, { collection, id: 'id' });
      await raw().insertOne({ _id: 'a', b: new Double(1), '7': 'x', link: { $ref: 'fs.files', $id: 1 } } as never);
      const entry = entryOf(ONE, { id: 'a', done: true }, 10);
      const read = (await get(store, entry))?.value ?? null;
      const version = { kind: 'version', stamp: null, value: read } as const;
      const racing = Array.from({ length: 6 }, (_, i) =>
        (i % 2 === 0 ? store : other).compareAndSet({ ...entry, stamp: stampOf(10 + i) }, version, later(store)),
      );
      const kinds = (await Promise.all(racing)).map(({ kind }) => kind);
      expect(kinds.filter((kind) => kind === 'applied')).toHaveLength(1);
      expect(kinds.filter((kind) => kind === 'conflict')).toHaveLength(5);
    });

    it('a record that is nothing but its key is a record', async () => {
      const store = await open(ONE);
      await raw().insertOne({ _id: 'a' } as never);
      const entry = entryOf(ONE, { id: 'a' }, 10);
      expect(await store.compareAndSet(entry, ABSENT, later(store))).toEqual({ kind: 'conflict' });
      expect(await get(store, entry)).toMatchObject({ stamp: null, value: { id: 'a' } });
      expect(await put(store, entry)).toEqual({ kind: 'applied', previous: 'record' });
    });
  });

  describe('tombstones', () => {
    it.for([
      ['of one field', [{ slug: 1 }], {}],
      ['of a field further down', [{ 'profile.mail': 1, 'profile.mail.host': 1 }], {}],
      ['of several fields', [{ owner: 1, slug: 1 }], {}],
      ['and another beside it in one field', [{ slug: 1 }, { 'profile.mail': 1 }, { 'profile.phone': 1 }], {}],
      ['and another above it', [{ slug: 1 }, { profile: 1 }, { 'profile.mail.host': 1 }], {}],
      ['that is sparse and has a field of the key', [{ owner: 1, slug: 1 }], { sparse: true }],
      ['of what is not marked as gone', [{ slug: 1 }], { partialFilterExpression: { goneAt: null } }],
    ] as const)('of many records fit a unique index %s, and free what it keeps unique', async ([, indexes, more]) => {
      const store = await open(TWO);
      for (const index of indexes) await raw().createIndex(index as never, { unique: true, ...more });
      const entry = (n: number, ms: number, slug = `slug ${n}`) =>
        entryOf(TWO, { owner: 'ada', id: n, slug, profile: { mail: { host: slug }, phone: slug } }, ms);
      // The index was made after the store looked: the first tombstone that it refuses makes it look again.
      const first = await Promise.all([1, 2, 3, 6, 7].map((n) => put(store, gone(entry(n, 10)))));
      expect(first.map(({ kind }) => kind)).toEqual(Array(5).fill('applied'));
      const batch = Array.from({ length: 12 }, (_, i) => gone(entry(100 + i, 10)));
      expect(new Set((await store.putManyIfNewer(batch, later(store))).map(({ kind }) => kind))).toEqual(
        new Set(['applied']),
      );
      expect((await put(store, entry(4, 10))).kind).toBe('applied');
      expect(await put(store, entry(5, 10, 'slug 4'))).toMatchObject(REJECTED);
      expect(
        await store.compareAndSet(gone(entry(4, 11)), { kind: 'version', stamp: stampOf(10) }, later(store)),
      ).toEqual({ kind: 'applied', previous: 'record' });
      expect((await put(store, entry(5, 10, 'slug 4'))).kind).toBe('applied');
      expect(await get(store, entry(4, 11))).toMatchObject({
        stamp: stampOf(11),
        value: null,
        key: { owner: 'ada', id: 4 },
      });
    });

    it('pass a validator that was made after the store looked, which still refuses records', async () => {
      const store = await open(ONE);
      await put(store, entryOf(ONE, { id: 'a', n: 1 }, 10));
      await database.client.db(database.name).command({ collMod: collection, validator: { n: { $type: 'int' } } });
      const several = await Promise.all(['a', 'b', 'c', 'd'].map((id) => put(store, gone(entryOf(ONE, { id }, 20)))));
      expect(several.map(({ kind }) => kind)).toEqual(Array(4).fill('applied'));
      expect(await put(store, entryOf(ONE, { id: 'a' }, 30))).toMatchObject(REJECTED);
      expect(await get(store, entryOf(ONE, { id: 'a' }, 20))).toMatchObject({ stamp: stampOf(20), value: null });
    });
  });

  it('a read that is linearizable sees what was written', async () => {
    const store = await open(ONE, { readConcern: 'linearizable' });
    const entry = entryOf(ONE, { id: 'a', n: 1 }, 10);
    await put(store, entry);
    expect(await get(store, entry)).toEqual(entry);
  });
});
