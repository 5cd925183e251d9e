import { isDeepStrictEqual } from 'node:util';
import { type Document, BSON as driver, MongoClient } from 'mongodb';
import { expect, onTestFinished, test } from 'vitest';
import { dynamodb } from '../../adapters/dynamodb/index.ts';
import { mongodb } from '../../adapters/mongodb/index.ts';
import { ChangeoverError, control, Decimal, defineConfig, migration, open, type Value } from '../../src/index.ts';
import { testServer } from '../support/servers.ts';

const [mongo, dynamo] = [testServer('mongodb'), testServer('dynamodb')];
const missing = mongo.missing ?? dynamo.missing;
const WHY = { actor: 'test', reason: 'values' };

const nested = (levels: number): Value => {
  let value: Value = 'end';
  for (let i = 0; i < levels; i += 1) value = i % 2 === 0 ? { inner: value } : [value];
  return value;
};

/** Values that applications are known to keep in MongoDB, and some that they should not. */
const AWKWARD: Readonly<Record<string, unknown>> = {
  objectId: new driver.ObjectId(),
  timestamp: new driver.Timestamp({ t: 4_294_967_295, i: 1 }),
  expression: new driver.BSONRegExp('^"a/b', 'im'),
  code: new driver.Code('function () { return 1; }'),
  codeWithScope: new driver.Code('f', { a: 1 }),
  symbol: new driver.BSONSymbol('s'),
  minKey: new driver.MinKey(),
  maxKey: new driver.MaxKey(),
  uuid: new driver.UUID(),
  binaryOfSubtype: new driver.Binary(Buffer.from('abc'), 128),
  notANumber128: driver.Decimal128.fromString('NaN'),
  longest: 2n ** 63n - 1n,
  smallBigint: -7n,
  beyond53: 2 ** 53 + 2,
  fraction: 0.1 + 0.2,
  minusZero: -0,
  notANumber: Number.NaN,
  infinity: Number.NEGATIVE_INFINITY,
  tiniest: 5e-324,
  greatest: Number.MAX_VALUE,
  decimal: new Decimal('1234567890123456789012345678.95'),
  text: 'naïve 日本語 😀 \u0000 end',
  empty: '',
  long: 'é'.repeat(180_000),
  tooLong: 'x'.repeat(410 * 1024),
  operators: { $set: { $gt: '' }, 'a.b': 2, $ref: 'c', $id: 5 },
  emptyThings: [[], {}, '', new Uint8Array(0), null, [null, [[]]]],
  absent: undefined,
  farDate: new Date(8.64e15),
  oldDate: new Date(-62_135_596_800_001),
  bytes: new Uint8Array([0, 255]),
  deep: nested(29),
  deeper: nested(90),
  wide: Object.fromEntries(Array.from({ length: 2_000 }, (_, i) => [`field ${i}`, i])),
};

test.skipIf(missing !== undefined)(
  'awkward values come back deep-equal from DynamoDB, or are refused by name, and verify counts exactly those',
  async () => {
    const client = new MongoClient(mongo.url as string);
    const name = `values_${Math.random().toString(36).slice(2)}`;
    onTestFinished(async () => {
      await client.db(name).dropDatabase();
      await client.close();
    });
    const config = defineConfig({
      control: 'memory',
      migrations: {
        events: migration<{ userKey: string; id: string; value?: unknown }>({
          key: ['userKey', 'id'],
          unit: 'userKey',
          old: mongodb({ url: mongo.url as string, database: name, collection: 'events', id: 'id' }),
          new: dynamodb({
            endpoint: dynamo.url as string,
            region: 'local',
            credentials: { accessKeyId: 'local', secretAccessKey: 'local' },
            table: name,
            partitionKey: 'userKey',
            sortKey: 'id',
            createTable: true,
            lateBoundMs: 100,
          }),
        }),
      },
    });
    const operations = await control(config);
    onTestFinished(() => operations.close());
    await operations.prepare('events');
    const changeover = await open(config, { logger: 'error' });
    onTestFinished(() => changeover.close());
    const events = changeover.repository('events');

    // As the application has left them; what MongoDB cannot tell apart or refuses is not in AWKWARD.
    const keyOf = (id: string) => ({ userKey: 'ada', id });
    const kept = new Map<string, unknown>();
    const native = client.db(name).collection<Document & { _id: string }>('events');
    for (const [id, value] of Object.entries(AWKWARD)) {
      const held = value instanceof Decimal ? driver.Decimal128.fromString(value.text) : value;
      const document = { userKey: 'ada', ...(held === undefined ? {} : { value: held }) };
      await native.insertOne({ _id: `native ${id}`, ...document } as never);
      kept.set(`native ${id}`, await events.get(keyOf(`native ${id}`)));
    }
    await operations.plane.changeSettings('events', { noOutsideWriters: true }, WHY);
    const controller = await operations.migration('events');
    await controller.set({ dial: 'dual-write', to: 100_001 }, WHY);
    for (const [id, value] of Object.entries(AWKWARD)) {
      const record = { ...keyOf(`mine ${id}`), ...(value === undefined ? {} : { value }) };
      try {
        await events.create(record);
        kept.set(record.id, record);
      } catch (error) {
        expect(error, id).toBeInstanceOf(ChangeoverError);
        expect((error as ChangeoverError).message, id).toContain('value');
        expect(await events.get(keyOf(record.id)), 'refused before anything was written').toBeUndefined();
      }
    }
    await controller.backfill(WHY);

    const refused = new Set<string>();
    for (const row of await operations.plane.dirt('events', 'new', 1_000)) {
      expect(row.kind).toBe('rejected');
      expect(row.cause).toMatch(/"value"|bytes/);
      refused.add(String(row.key?.['id']));
    }
    const names = ['codeWithScope', 'greatest', 'tiniest', 'tooLong'].flatMap((id) => [`native ${id}`, `mine ${id}`]);
    expect([...refused].sort()).toEqual(names.filter((id) => kept.has(id)).sort());

    const stores = await operations.stores('events');
    for (const [id, record] of kept) {
      const key = keyOf(id);
      const found = await stores.new.get(JSON.stringify(['ada', id]), key);
      if (refused.has(id)) expect(found, id).toBeUndefined();
      else expect(isDeepStrictEqual(found?.value, record), `${id} comes back deep-equal`).toBe(true);
    }

    const report = await controller.verify({ ...WHY, recheckMs: [10, 20] });
    expect(report.verdict).toBe('divergent');
    expect(report.counts).toMatchObject({ missing: refused.size, equal: kept.size - refused.size, different: 0 });
    expect(report.divergences.map(({ key, cause }) => [key['id'], cause]).sort()).toEqual(
      [...refused].map((id) => [id, 'rejected']).sort(),
    );
  },
);
