import {
  DeleteItemCommand,
  GetItemCommand,
  PutItemCommand,
  type PutItemCommandInput,
  UpdateItemCommand,
} from '@aws-sdk/client-dynamodb';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type DynamoDbOptions, dynamodb } from '../../../adapters/dynamodb/index.ts';
import { systemClock } from '../../../src/core/clock.ts';
import {
  InvalidConfiguration,
  InvalidRecord,
  NotPrepared,
  NotSupported,
  StoreFault,
} from '../../../src/core/errors.ts';
import { KeySpec } from '../../../src/core/record-key.ts';
import { makeStamp } from '../../../src/core/stamp.ts';
import { type Entry, identityCodec, type Store } from '../../../src/core/store.ts';
import type { StoredRecord } from '../../../src/core/value.ts';
import { CREDENTIALS, DynaliteServer } from '../../support/dynalite.ts';
import { FaultyHttpProxy, SERVER_ERROR, THROTTLED } from '../../support/faulty-http-proxy.ts';

const KEYS = new KeySpec(['userKey', 'id'], ['userKey']);
const stampOf = (n: number) => makeStamp(1_750_000_000_000 + n, 0, 1);

let server: DynaliteServer;
let proxy: FaultyHttpProxy;
let table: string;
const stores: Store[] = [];

beforeAll(async () => {
  server = await DynaliteServer.start();
  proxy = await FaultyHttpProxy.start(server.port);
});
afterEach(async () => {
  proxy.heal();
  proxy.seen.length = 0;
  for (const store of stores.splice(0)) await store.close();
});
afterAll(async () => {
  await proxy.stop();
  await server.stop();
});

async function create(options: Partial<DynamoDbOptions> = {}, keys = KEYS): Promise<Store> {
  const definition = dynamodb({
    table,
    partitionKey: 'userKey',
    sortKey: 'id',
    endpoint: proxy.endpoint,
    region: 'local',
    credentials: CREDENTIALS,
    ...options,
  });
  const store = await definition.create({
    migration: 'm',
    side: 'new',
    keys,
    codec: identityCodec,
    clock: systemClock,
  });
  stores.push(store);
  return store;
}

async function open(options: Partial<DynamoDbOptions> = {}, keys = KEYS): Promise<Store> {
  const store = await create(options, keys);
  await store.open();
  return store;
}

async function fresh(options: Partial<DynamoDbOptions> = {}): Promise<Store> {
  table = await server.table(['userKey', 'text'], ['id', 'text']);
  return open(options);
}

function entryOf(record: StoredRecord, n: number | null, keys = KEYS): Entry {
  const key = keys.keyOf(record);
  return { id: keys.id(key), key, stamp: n === null ? null : stampOf(n), value: record };
}

const entry = (n: number | null, extra: StoredRecord = {}): Entry => entryOf({ userKey: 'ada', id: 'e1', ...extra }, n);
const later = (store: Store): number => store.now() + 30_000;
const raw = async () => {
  const Key = { userKey: { S: 'ada' }, id: { S: 'e1' } };
  return (await server.client.send(new GetItemCommand({ TableName: table, Key, ConsistentRead: true }))).Item;
};
const write = (Item: PutItemCommandInput['Item']) => server.client.send(new PutItemCommand({ TableName: table, Item }));
const natural = { userKey: { S: 'ada' }, id: { S: 'e1' } };

const faultOf = async (call: Promise<unknown>): Promise<StoreFault> => {
  const error = await call.then(
    (value) => value,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(StoreFault);
  return error as StoreFault;
};

describe('a put whose answer is lost', () => {
  it('has an unknown outcome, and was applied when it is sent again with the same stamp', async () => {
    const store = await fresh();
    proxy.next('PutItem', { kind: 'lose-answer' });
    const fault = await faultOf(store.putIfNewer(entry(10), later(store)));
    expect(fault).toMatchObject({ outcome: 'unknown', pressure: false });
    expect(await store.putIfNewer(entry(10), later(store))).toEqual({ kind: 'applied', previous: 'same' });
  });

  it('is superseded when somebody overwrote it meanwhile', async () => {
    const store = await fresh();
    proxy.next('PutItem', { kind: 'lose-answer' });
    await faultOf(store.putIfNewer(entry(10), later(store)));
    await store.putIfNewer(entry(11), later(store));
    expect(await store.putIfNewer(entry(10), later(store))).toEqual({ kind: 'superseded', stamp: stampOf(11) });
  });

  it('is applied for the first time when the request was what was lost', async () => {
    const store = await fresh();
    proxy.next('PutItem', { kind: 'cut' });
    expect((await faultOf(store.putIfNewer(entry(10), later(store)))).outcome).toBe('unknown');
    expect(await store.putIfNewer(entry(10), later(store))).toEqual({ kind: 'applied', previous: 'absent' });
  });

  it('says same for a compare-and-set too, and conflict when it was overwritten', async () => {
    const store = await fresh();
    const expected = { kind: 'version', stamp: stampOf(10) } as const;
    await store.putIfNewer(entry(10), later(store));
    proxy.next('PutItem', { kind: 'lose-answer' });
    await faultOf(store.compareAndSet(entry(11), expected, later(store)));
    expect(await store.compareAndSet(entry(11), expected, later(store))).toEqual({ kind: 'applied', previous: 'same' });
    await store.putIfNewer(entry(12), later(store));
    expect(await store.compareAndSet(entry(11), expected, later(store))).toEqual({ kind: 'conflict' });
  });

  it('is not sent again by the store when it is plain', async () => {
    const store = await fresh();
    proxy.next('PutItem', SERVER_ERROR);
    expect((await faultOf(store.putPlain(entry(null), later(store)))).outcome).toBe('unknown');
    expect(proxy.count('PutItem')).toBe(1);
    proxy.next('PutItem', { kind: 'lose-answer' });
    await faultOf(store.putPlain(entry(null), later(store)));
    expect(proxy.count('PutItem')).toBe(2);
  });
});

describe('a server that is busy', () => {
  it('is asked again, and the put goes through', async () => {
    const store = await fresh();
    proxy.next('PutItem', THROTTLED, 3);
    expect(await store.putIfNewer(entry(10), later(store))).toEqual({ kind: 'applied', previous: 'absent' });
    expect(proxy.count('PutItem')).toBe(4);
    proxy.next('PutItem', SERVER_ERROR, 2);
    expect((await store.putIfNewer(entry(11), later(store))).kind).toBe('applied');
  });

  it('that stays busy is reported as pressure, with nothing written', async () => {
    const store = await fresh({ maxAttempts: 3, random: () => 0 });
    proxy.plan = () => THROTTLED;
    const deadline = later(store);
    expect(await faultOf(store.putIfNewer(entry(10), deadline))).toMatchObject({
      outcome: 'nothing-written',
      pressure: true,
    });
    expect(proxy.count('PutItem')).toBe(3);
    expect(await faultOf(store.get(entry(10).id, entry(10).key))).toMatchObject({ pressure: true });
    expect(await store.putManyIfNewer([entry(10)], deadline)).toMatchObject([
      { kind: 'fault', outcome: 'nothing-written', pressure: true },
    ]);
    proxy.heal();
    expect(await raw()).toBeUndefined();
  });

  it('leaves a put unknown when one copy of it failed inside the server', async () => {
    const store = await fresh({ maxAttempts: 2, random: () => 0 });
    let copies = 0;
    proxy.plan = ({ operation }) => {
      if (operation !== 'PutItem') return { kind: 'pass' };
      copies += 1;
      return copies === 1 ? SERVER_ERROR : THROTTLED;
    };
    expect((await faultOf(store.putIfNewer(entry(10), later(store)))).outcome).toBe('unknown');
  });

  it('is asked again for the keys that it did not get to', async () => {
    const store = await fresh();
    const entries = Array.from({ length: 5 }, (_, i) => entryOf({ userKey: 'ada', id: `e${i}` }, 10));
    await store.putManyIfNewer(entries, later(store));
    let asked = 0;
    proxy.plan = ({ operation, body }) => {
      if (operation !== 'BatchGetItem') return { kind: 'pass' };
      asked += 1;
      const { RequestItems } = JSON.parse(body) as { RequestItems: object };
      const nothing = { Responses: { [table]: [] }, UnprocessedKeys: RequestItems };
      return asked <= 2 ? { kind: 'answer', status: 200, body: nothing } : { kind: 'pass' };
    };
    const found = await store.getMany(entries);
    expect(found.map((one) => one?.stamp)).toEqual(entries.map(({ stamp }) => stamp));
    expect(asked).toBe(3);
  });

  it('that never gets to the keys is reported as pressure', async () => {
    const store = await fresh({ maxAttempts: 3, random: () => 0 });
    proxy.plan = ({ operation, body }) =>
      operation === 'BatchGetItem'
        ? {
            kind: 'answer',
            status: 200,
            body: { UnprocessedKeys: (JSON.parse(body) as { RequestItems: object }).RequestItems },
          }
        : { kind: 'pass' };
    expect(await faultOf(store.getMany([entry(1)]))).toMatchObject({ pressure: true });
  });
});

describe('deadlines', () => {
  it('that have passed keep the request from leaving', async () => {
    const store = await fresh();
    await store.putIfNewer(entry(10), later(store));
    proxy.seen.length = 0;
    const past = store.now() - 1;
    expect(await store.putIfNewer(entry(11), past)).toEqual({ kind: 'expired' });
    expect(await store.putPlain(entry(null), past)).toEqual({ kind: 'expired' });
    const version = { kind: 'version', stamp: stampOf(10) } as const;
    expect(await store.compareAndSet(entry(11), version, past)).toEqual({ kind: 'expired' });
    expect(await store.compareAndSet(entry(11), { ...version, value: entry(10).value }, past)).toEqual({
      kind: 'expired',
    });
    expect(await store.putManyIfNewer([entry(11)], past)).toEqual([{ kind: 'expired' }]);
    expect(proxy.seen).toEqual([]);
  });

  it.for(['hang', 'hang-after'] as const)(
    'end the wait for a server that does not answer (%s), outcome unknown',
    async (kind) => {
      const store = await fresh();
      proxy.next('PutItem', { kind });
      expect((await faultOf(store.putIfNewer(entry(10), store.now() + 200))).outcome).toBe('unknown');
      expect(await store.putIfNewer(entry(10), later(store))).toEqual({
        kind: 'applied',
        previous: kind === 'hang' ? 'absent' : 'same',
      });
    },
  );

  it('end the retries of a throttled put', async () => {
    const store = await fresh({ maxAttempts: 1_000, random: () => 0.5 });
    proxy.plan = ({ operation }) => (operation === 'PutItem' ? THROTTLED : { kind: 'pass' });
    const fault = await faultOf(store.putIfNewer(entry(10), store.now() + 150));
    expect(fault).toMatchObject({ outcome: 'nothing-written', pressure: true });
  });

  it('follow the clock of the server where it differs by more than a second', async () => {
    table = await server.table(['userKey', 'text'], ['id', 'text']);
    const aheadMs = 3_600_000;
    const clock = { ...systemClock, now: () => systemClock.now() + aheadMs };
    const definition = dynamodb({
      table,
      partitionKey: 'userKey',
      sortKey: 'id',
      endpoint: proxy.endpoint,
      region: 'local',
      credentials: CREDENTIALS,
    });
    const store = await definition.create({ migration: 'm', side: 'new', keys: KEYS, codec: identityCodec, clock });
    stores.push(store);
    await store.open();
    expect(Math.abs(store.now() - systemClock.now())).toBeLessThanOrEqual(store.capabilities.clockErrorMs + 1_000);
  });
});

describe('a server that cannot be reached', () => {
  it('has written nothing', async () => {
    await fresh();
    const store = await create({ endpoint: 'http://127.0.0.1:1' });
    expect((await faultOf(store.putIfNewer(entry(10), later(store)))).outcome).toBe('nothing-written');
    expect((await faultOf(store.open())).outcome).toBe('nothing-written');
  });

  it('keeps secrets out of what is thrown', async () => {
    await fresh();
    const store = await create({
      endpoint: 'http://127.0.0.1:1',
      credentials: { accessKeyId: 'SEEKRETID', secretAccessKey: 'SEEKRETKEY' },
    });
    const fault = await faultOf(store.putIfNewer(entry(10), later(store)));
    expect(JSON.stringify([fault.message, fault.toJSON(), store.label])).not.toContain('SEEKRET');
  });
});

describe('compare and set by value', () => {
  const plain = (value: StoredRecord) => ({ kind: 'version', stamp: null, value }) as const;

  it('accepts what others wrote with their own client', async () => {
    const store = await fresh();
    await write({ ...natural, n: { N: '1.50' }, tags: { L: [{ S: 'x' }] }, deep: { M: { a: { NULL: true } } } });
    const read = await store.get(entry(1).id, entry(1).key);
    expect(read?.value).toEqual({ userKey: 'ada', id: 'e1', n: 1.5, tags: ['x'], deep: { a: null } });
    const outcome = await store.compareAndSet(entry(10, { n: 2 }), plain(read?.value as StoredRecord), later(store));
    expect(outcome).toEqual({ kind: 'applied', previous: 'record' });
    expect(Object.keys((await raw()) ?? {}).sort()).toEqual(['_s', 'id', 'n', 'userKey']);
  });

  it('notices a field that a plain writer added and that nobody knew of', async () => {
    const store = await fresh();
    const other = await open();
    const read = entry(null, { a: 1 });
    await store.putPlain(read, later(store));
    await other.putPlain(entry(null, { a: 1, added: 2 }), later(other));
    expect(await store.compareAndSet(entry(10, { a: 9 }), plain(read.value as StoredRecord), later(store))).toEqual({
      kind: 'conflict',
    });
    expect(await raw()).toEqual({ ...natural, a: { N: '1' }, added: { N: '2' } });
  });

  it('notices a plain write, a delete, or a change in place between its two steps', async () => {
    const changes: (() => Promise<unknown>)[] = [
      () => write({ ...natural, a: { N: '1' }, added: { N: '2' } }),
      () => server.client.send(new DeleteItemCommand({ TableName: table, Key: natural })),
      () =>
        server.client.send(
          new UpdateItemCommand({
            TableName: table,
            Key: natural,
            UpdateExpression: 'SET a = :a',
            ExpressionAttributeValues: { ':a': { N: '5' } },
          }),
        ),
    ];
    for (const change of changes) {
      const store = await fresh();
      const read = entry(null, { a: 1 });
      await store.putPlain(read, later(store));
      proxy.plan = ({ operation }) => {
        if (operation !== 'PutItem') return { kind: 'pass' };
        proxy.heal();
        return { kind: 'delay', until: change().then(() => undefined) };
      };
      const outcome = await store.compareAndSet(entry(10, { a: 9 }), plain(read.value as StoredRecord), later(store));
      expect(outcome).toEqual({ kind: 'conflict' });
      expect((await raw())?.['a']).not.toEqual({ N: '9' });
    }
  });

  it('lets one of several through that read the same plain record', async () => {
    const store = await fresh();
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
    const store = await fresh();
    await store.putPlain(entry(null, { a: 1 }), later(store));
    proxy.next('UpdateItem', { kind: 'lose-answer' });
    const expected = plain({ userKey: 'ada', id: 'e1', a: 1 });
    const fault = await faultOf(store.compareAndSet(entry(10, { a: 2 }), expected, later(store)));
    expect(fault.outcome).toBe('nothing-written');
    expect((await store.compareAndSet(entry(10, { a: 2 }), expected, later(store))).kind).toBe('applied');
  });
});

describe('items', () => {
  it('are natural: anybody can read the fields', async () => {
    const store = await fresh();
    await store.putIfNewer(
      entry(10, { name: 'x', n: 1, at: new Date(0), big: 7n, tags: new Set(['a']) }),
      later(store),
    );
    expect(await raw()).toMatchObject({
      ...natural,
      name: { S: 'x' },
      n: { N: '1' },
      at: { S: '1970-01-01T00:00:00.000Z' },
      big: { N: '7' },
      tags: { SS: ['a'] },
      _t: { S: '{"at":"d","big":"i"}' },
    });
    await store.putIfNewer(entry(11, { name: 'x' }), later(store));
    expect(Object.keys((await raw()) ?? {}).sort()).toEqual(['_s', 'id', 'name', 'userKey']);
  });

  it('of deleted records keep the key, the stamp and a flag', async () => {
    const store = await fresh();
    await store.putIfNewer({ ...entry(10), value: null }, later(store));
    expect(Object.keys((await raw()) ?? {}).sort()).toEqual(['_s', '_s_deleted', 'id', 'userKey']);
  });

  it('take other attribute names', async () => {
    table = await server.table(['PK', 'text'], ['SK', 'text']);
    const store = await open({
      attributes: { userKey: 'PK', id: 'SK', name: 'nm' },
      stampAttribute: 'ver',
      tombstoneAttribute: 'gone',
      typesAttribute: 'types',
    });
    const record = entry(10, { name: 'x', at: new Date(5) });
    await store.putIfNewer(record, later(store));
    const { Item } = await server.client.send(
      new GetItemCommand({ TableName: table, Key: { PK: { S: 'ada' }, SK: { S: 'e1' } } }),
    );
    expect(Object.keys(Item ?? {}).sort()).toEqual(['PK', 'SK', 'at', 'nm', 'types', 'ver']);
    expect(await store.get(record.id, record.key)).toEqual(record);
    expect((await store.list({ userKey: 'ada' }, null, 5)).map(({ id }) => id)).toEqual([record.id]);
    expect(store.check(entry(10, { nm: 1 }))).toMatchObject({ reason: 'limit' });
  });

  it('are decoded for named queries, those without a stamp too', async () => {
    const store = await fresh();
    expect(store.decode({ ...natural, n: { N: '1' } })).toEqual({ ...entry(null, { n: 1 }) });
    expect(() => store.decode({ id: { S: 'e1' } })).toThrow(InvalidRecord);
    expect(() => store.decode('text')).toThrow(InvalidRecord);
    expect(() => store.decode({ ...natural, _s: { S: 'mine' } })).toThrow(InvalidRecord);
  });

  it.for<[string, StoredRecord, RegExp]>([
    ['reserved names', { _s: 1 }, /"_s" has the name of a reserved/],
    ['the name of the tags', { _t: 'x' }, /"_t"/],
    ['__proto__', JSON.parse('{"__proto__":1}') as StoredRecord, /__proto__/],
    ['more than 400 KB', { a: 'x'.repeat(400 * 1024) }, /bytes, more than the 409600/],
    ['numbers beyond 1e126', { a: { b: 1e200 } }, /"a\.b" is 1e126 or more/],
  ])('with %s are refused by name before anything is sent', async ([, extra, message]) => {
    const store = await fresh();
    proxy.seen.length = 0;
    expect(store.check(entry(10, extra))?.message).toMatch(message);
    expect(await store.putIfNewer(entry(10, extra), later(store))).toMatchObject({ kind: 'rejected', reason: 'limit' });
    expect(proxy.seen).toEqual([]);
  });

  it('may have exactly 400 KB, the stamp included', async () => {
    const store = await fresh();
    const room =
      400 * 1024 - ('userKey'.length + 'ada'.length + 'id'.length + 'e1'.length + '_s'.length + 12 + 'a'.length);
    expect(store.check(entry(10, { a: 'x'.repeat(room + 1) }))).not.toBeNull();
    expect(store.check(entry(10, { a: 'x'.repeat(room) }))).toBeNull();
    expect((await store.putIfNewer(entry(10, { a: 'x'.repeat(room) }), later(store))).kind).toBe('applied');
  });
});

describe('keys', () => {
  const numeric = new KeySpec(['n'], ['n']);
  const at = (n: number | bigint, s: number | null, extra: StoredRecord = {}) => entryOf({ n, ...extra }, s, numeric);
  const openNumeric = async () => {
    table = await server.table(['n', 'number']);
    // sortKey is taken out of the defaults of `open`.
    const definition = dynamodb({
      table,
      partitionKey: 'n',
      endpoint: proxy.endpoint,
      region: 'local',
      credentials: CREDENTIALS,
    });
    const store = await definition.create({
      migration: 'm',
      side: 'new',
      keys: numeric,
      codec: identityCodec,
      clock: systemClock,
    });
    stores.push(store);
    await store.open();
    return store;
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
    table = await server.table(['userKey', 'text'], ['id', 'bytes']);
    const store = await open();
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

  it.for<[string, StoredRecord, RegExp]>([
    ['empty text', { userKey: '', id: 'x' }, /"userKey" is empty/],
    ['empty bytes', { userKey: 'a', id: new Uint8Array() }, /"id" is empty/],
    ['more than 2048 bytes', { userKey: 'é'.repeat(1_025), id: 'x' }, /"userKey" has 2050 bytes, more than 2048/],
    ['more than 1024 bytes', { userKey: 'a', id: 'x'.repeat(1_025) }, /"id" has 1025 bytes, more than 1024/],
    ['booleans', { userKey: true, id: 'x' }, /"userKey" is a boolean/],
    ['dates', { userKey: 'a', id: new Date(0) }, /"id" is a Date/],
    ['more than 38 digits', { userKey: 10n ** 38n + 1n, id: 'x' }, /"userKey" has more than 38/],
    ['another type than the table', { userKey: 1, id: 'x' }, /"userKey" is of another type/],
  ])('of %s are refused by name, and are nowhere to be found', async ([, record, message]) => {
    const store = await fresh();
    const one = entryOf(record, 10);
    const rejection = store.check(one);
    expect(rejection).toMatchObject({ kind: 'rejected', reason: 'limit' });
    expect(rejection?.message).toMatch(message);
    expect(await store.putIfNewer(one, later(store))).toEqual(rejection);
    expect(await store.get(one.id, one.key)).toBeUndefined();
    expect(await store.getMany([one])).toEqual([undefined]);
  });
});

describe('configuration', () => {
  it.for<[string, Partial<DynamoDbOptions>]>([
    ['a table without a name', { table: 'x' }],
    ['reserved names that collide', { stampAttribute: '_t' }],
    ['a key in a reserved name', { attributes: { id: '_s' } }],
    ['two fields in one attribute', { attributes: { a: 'x', b: 'x' } }],
    ['no width', { maxInFlight: 0 }],
    ['a negative bound', { lateBoundMs: -1 }],
  ])('%s is refused', ([, options]) => {
    expect(() => dynamodb({ table: 'events', partitionKey: 'userKey', sortKey: 'id', ...options })).toThrow(
      InvalidConfiguration,
    );
  });

  it('of a key that is not the key of the migration is refused', async () => {
    await expect(create({}, new KeySpec(['userKey', 'other'], ['userKey']))).rejects.toThrow(InvalidConfiguration);
    await expect(create({}, new KeySpec(['userKey'], ['userKey']))).rejects.toThrow(InvalidConfiguration);
  });

  it('of a key that is not the key of the table is refused when it is opened', async () => {
    table = await server.table(['userKey', 'text'], ['other', 'text']);
    await expect(open()).rejects.toThrow(InvalidConfiguration);
  });

  it('carries no secrets and no place in the mapping', () => {
    const { mapping } = dynamodb({
      table: 'events',
      partitionKey: 'id',
      endpoint: 'http://x',
      credentials: CREDENTIALS,
    });
    expect(JSON.stringify(mapping)).not.toMatch(/local|http/);
  });

  it('lists only by the partition key', async () => {
    await fresh();
    const store = await open({}, new KeySpec(['userKey', 'id'], ['id']));
    expect(store.capabilities.list).toBe(false);
    await expect(store.list({ id: 'e1' }, null, 1)).rejects.toThrow(NotSupported);
  });

  it('uses a client of others and leaves it open', async () => {
    await fresh();
    const store = await open({ client: server.client });
    expect(store.native).toBe(server.client);
    await store.close();
    expect(await raw()).toBeUndefined();
  });
});

describe('a table that is not there', () => {
  it('is missed when the store is opened', async () => {
    table = 'nowhere';
    await expect(open()).rejects.toThrow(NotPrepared);
    await expect((await create()).prepare()).rejects.toThrow(NotPrepared);
  });

  it('is made by prepare where that is allowed, and only once', async () => {
    table = `made-by-prepare-${Date.now()}`;
    const store = await open({ createTable: true });
    const second = await open({ createTable: true });
    expect(await store.prepared()).toBe(false);
    const { actions } = await store.prepare({ dryRun: true });
    expect(actions).toEqual([`CreateTable ${table} (partition key userKey, sort key id, on demand)`]);
    expect(await store.prepared()).toBe(false);
    await Promise.all([store.prepare(), second.prepare()]);
    expect(await store.prepared()).toBe(true);
    expect(await store.prepare()).toEqual({ actions: [] });
    expect((await second.putIfNewer(entry(10), later(second))).kind).toBe('applied');
  });
});
