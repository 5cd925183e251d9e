import { UpdateTableCommand } from '@aws-sdk/client-dynamodb';
import fc from 'fast-check';
import { Binary, ObjectId, Timestamp } from 'mongodb';
import { describe, expect, it } from 'vitest';
import { equalValues } from '../../../src/core/canonical.ts';
import { KeySpec } from '../../../src/core/record-key.ts';
import { Decimal, type StoredRecord, type Value } from '../../../src/core/value.ts';
import { anyValue } from '../../support/arbitrary-value.ts';
import {
  type DynamoDbFixture,
  entry,
  entryOf,
  KEYS,
  later,
  natural,
  onEveryServer,
} from '../../support/dynamodb-fixture.ts';

const SEED = 20260103;
const MOST = 400 * 1024;
/** The stamp and the mark of a compare-and-set, with their names: every item has room for them. */
const RESERVED = '_s'.length + 12 + '_s_mark'.length + 12;

const deep = (levels: number, leaf: Value): Value => (levels === 0 ? leaf : { d: [deep(levels - 1, leaf)] });

/** Values of every kind that DynamoDB counts in its own way. */
const part: fc.Arbitrary<Value> = fc.oneof(
  fc.double({ min: -1e100, max: 1e100, noNaN: true }).filter((n) => n === 0 || Math.abs(n) > 1e-100),
  fc.integer(),
  fc.bigInt({ min: -(10n ** 38n) + 1n, max: 10n ** 38n - 1n }),
  fc
    .tuple(fc.bigInt({ min: -(10n ** 38n) + 1n, max: 10n ** 38n - 1n }), fc.integer({ min: -120, max: 80 }))
    .map(([digits, scale]) => new Decimal(`${digits}e${scale}`)),
  fc.string({ unit: 'binary', maxLength: 30 }),
  fc.uint8Array({ maxLength: 30 }),
  fc.constantFrom<Value>(null, true, '', -0, Number.NaN, new Date(5), undefined, new Set(), new Uint8Array()),
  fc.uint8Array({ minLength: 12, maxLength: 12 }).map((id) => new ObjectId(id) as unknown as Value),
  fc.uint8Array({ maxLength: 9 }).map((bytes) => new Binary(bytes, 9) as unknown as Value),
  fc.nat().map((i) => new Timestamp({ t: i, i: 1 }) as unknown as Value),
  fc.uniqueArray(fc.string({ maxLength: 9 }), { maxLength: 5 }).map((items) => new Set(items)),
  fc.uniqueArray(fc.integer(), { maxLength: 5 }).map((items) => new Set<Value>([...items, 'mixed'])),
  fc.uniqueArray(fc.integer({ min: -999, max: 99_999 }), { minLength: 1, maxLength: 5 }).map((items) => new Set(items)),
  fc.array(fc.oneof(fc.integer(), fc.string({ maxLength: 5 })), { maxLength: 6 }),
  fc.dictionary(fc.string({ maxLength: 5 }), fc.oneof(fc.integer(), fc.constant(null)), { noNullPrototype: true }),
  fc.integer({ min: 1, max: 40 }).map((levels) => deep(levels, 1n)),
);

/** Whether the server takes an item with this filling, past the store. */
async function takes(t: DynamoDbFixture, item: Record<string, unknown>): Promise<boolean> {
  const { name } = await t.write(item as never).then(
    () => ({ name: '' }),
    (error: Error) => error,
  );
  if (name !== '' && name !== 'ValidationException') throw new Error(name);
  return name === '';
}

onEveryServer((t, server) => {
  // dynalite takes more than DynamoDB does; it shows only that what we hold for fit is taken.
  const refuses = server === 'DynamoDB Local';

  describe('the size of an item', () => {
    it('is counted as DynamoDB counts it, to the byte, whatever the item is made of', async () => {
      const store = await t.fresh();
      await fc.assert(
        fc.asyncProperty(fc.array(part, { minLength: 1, maxLength: 8 }), async (parts) => {
          const made = (fill: number): StoredRecord => ({
            ...Object.fromEntries(parts.map((value, i) => [`field ${i}`, value])),
            fill: 'x'.repeat(fill),
          });
          let low = 0;
          let high = MOST;
          while (low < high) {
            const middle = Math.ceil((low + high) / 2);
            if (store.check(entry(10, made(middle))) === null) low = middle;
            else high = middle - 1;
          }
          expect(low).toBeGreaterThan(0);
          expect(store.check(entry(10, made(low + 1)))?.message).toMatch(/has 409601 bytes, more than the 409600/);

          const outcome = await store.putIfNewer(entry(10, made(low)), later(store));
          expect(outcome.kind).toBe('applied');
          // The item with its mark is exactly what DynamoDB takes: one byte more and it refuses.
          const item = await t.raw();
          const mark = { _s_mark: { B: new Uint8Array(12) } };
          expect(await takes(t, { ...item, ...mark })).toBe(true);
          const fuller = { S: `${item?.['fill']?.S ?? ''}x` };
          if (refuses) expect(await takes(t, { ...item, ...mark, fill: fuller })).toBe(false);
          await store.wipe({});
        }),
        { seed: SEED, numRuns: 25 },
      );
    });

    it('leaves room for the stamp and the mark of a compare-and-set, and for nothing else', async () => {
      const store = await t.fresh();
      const names = 'userKey'.length + 'ada'.length + 'id'.length + 'e1'.length + 'a'.length;
      const full = { a: 'x'.repeat(MOST - names - RESERVED) };
      expect(store.check(entry(10, full))).toBeNull();
      expect(store.check(entry(10, { a: `${full.a}x` }))).not.toBeNull();
      await store.putIfNewer(entry(10, full), later(store));
      const expected = { kind: 'version', stamp: entry(10).stamp, value: entry(10, full).value } as const;
      const next = entry(11, { a: full.a.replace('x', 'y') });
      expect(await store.compareAndSet(next, expected, later(store))).toEqual({ kind: 'applied', previous: 'record' });
    });

    it('of an item of plain writers may leave no room to compare it, which is said', async () => {
      const store = await t.fresh();
      const names = 'userKey'.length + 'ada'.length + 'id'.length + 'e1'.length + 'a'.length;
      const a = 'x'.repeat(MOST - names - 5);
      await t.write({ ...natural, a: { S: a } });
      const expected = { kind: 'version', stamp: null, value: entry(null, { a }).value } as const;
      expect(await store.compareAndSet(entry(11, { a: '' }), expected, later(store))).toMatchObject({
        kind: 'rejected',
        message: expect.stringMatching(/too large to be compared/),
      });
      expect((await t.raw())?.['a']?.S?.length).toBe(a.length);
    });
  });

  describe('keys at their limits', () => {
    it.for<[string, StoredRecord, StoredRecord]>([
      ['partition key', { userKey: 'é'.repeat(1024), id: 'x' }, { userKey: `${'é'.repeat(1024)}a`, id: 'x' }],
      ['sort key', { userKey: 'a', id: '日'.repeat(341) }, { userKey: 'a', id: '日'.repeat(342) }],
    ])('%s: what the server takes is taken, and one character more is refused by both', async ([, fits, longer]) => {
      const store = await t.fresh();
      expect((await store.putIfNewer(entryOf(fits, 1), later(store))).kind).toBe('applied');
      expect(store.check(entryOf(longer, 1))?.reason).toBe('limit');
      const item = Object.fromEntries(Object.entries(longer).map(([name, value]) => [name, { S: String(value) }]));
      if (refuses) expect(await takes(t, item)).toBe(false);
    });

    it('numbers at the edges are keys of their own, in the order of their values', async () => {
      t.table = await t.server.table(['userKey', 'text'], ['id', 'number']);
      const store = await t.open();
      const sorted = [
        -9.9e125,
        -(10n ** 37n) * 9n - 1n,
        -(2n ** 53n) - 1n,
        -1.5,
        -1e-130,
        0,
        1e-130,
        1.2345678901234567e-120,
        0.1,
        0.1 + 0.2,
        1,
        Number.MAX_SAFE_INTEGER,
        2n ** 53n + 1n,
        2 ** 53 + 4,
        12345678901234567890123456789012345678n,
        1e125,
      ];
      const made = sorted.map((id) => entryOf({ userKey: 'ada', id }, 10));
      for (const one of made.toReversed()) expect((await store.putIfNewer(one, later(store))).kind).toBe('applied');
      expect((await store.list({ userKey: 'ada' }, null, 99)).map(({ id }) => id)).toEqual(made.map(({ id }) => id));
      expect(await store.getMany(made)).toEqual(made);
      for (const id of [5e-324, Number.MAX_VALUE, 1e126, 10n ** 38n + 1n]) {
        expect(store.check(entryOf({ userKey: 'ada', id }, 10)), String(id)).toMatchObject({ reason: 'limit' });
      }
    });
  });

  describe('numbers', () => {
    it('that DynamoDB holds come back exactly; others are refused by name', async () => {
      const store = await t.fresh();
      const held: Value[] = [
        0.1 + 0.2,
        -0,
        Number.MAX_SAFE_INTEGER,
        Number.MAX_SAFE_INTEGER + 1,
        BigInt(Number.MAX_SAFE_INTEGER) + 2n,
        -(2 ** 63),
        1e21,
        1e125,
        9.9e125,
        1e-130,
        1.5e-130,
        Number.EPSILON,
        Number.NaN,
        Number.NEGATIVE_INFINITY,
        99999999999999999999999999999999999999n,
        -99999999999999999999999999999999999999n,
        10n ** 125n,
        new Decimal('1.50'),
        new Decimal('0.10000000000000000000000000000000000000'),
        new Decimal('9.9999999999999999999999999999999999999e125'),
        new Decimal('-1e-130'),
        new Decimal('1.5e3'),
        5n,
        0n,
      ];
      const one = entry(10, { held, set: new Set(held) });
      expect((await store.putIfNewer(one, later(store))).kind).toBe('applied');
      expect(equalValues((await store.get(one.id, one.key))?.value, one.value)).toBe(true);
      const refused: [Value, RegExp][] = [
        [5e-324, /"v" is less than 1e-130/],
        [Number.MIN_VALUE, /less than 1e-130/],
        [Number.MAX_VALUE, /1e126 or more/],
        [1e126, /1e126 or more/],
        [123456789012345678901234567890123456789n, /more than 38 significant digits/],
        [10n ** 126n, /1e126 or more/],
        [new Decimal('1.23456789012345678901234567890123456789'), /more than 38 significant digits/],
        [new Decimal('1e-131'), /less than 1e-130/],
      ];
      for (const [v, message] of refused) {
        expect(store.check(entry(20, { v }))?.message, String(v)).toMatch(message);
        expect(store.check(entry(20, { set: new Set([v]) }))?.reason, String(v)).toBe('limit');
      }
    });
  });

  describe('awkward records', () => {
    it('come back equal, or are refused by name before anything is sent', async () => {
      const store = await t.fresh();
      const spec = new KeySpec(['userKey', 'id'], ['userKey']);
      const field = fc.oneof(
        fc.string({ minLength: 1, maxLength: 8, unit: 'binary' }),
        fc.constantFrom('_s', '_t', 'size', 'a.b', '$set', '#n', ':v', ' '),
      );
      let held = 0;
      await fc.assert(
        fc.asyncProperty(fc.dictionary(field, anyValue, { maxKeys: 5, noNullPrototype: true }), async (fields) => {
          const one = entryOf({ ...fields, userKey: 'ada', id: 'e1' }, null, spec);
          const refusal = store.check(one);
          t.proxy.seen.length = 0;
          const outcome = await store.putPlain(one, later(store));
          if (refusal !== null) {
            expect(refusal.message.length).toBeGreaterThan(10);
            expect(outcome).toEqual(refusal);
            expect(t.proxy.seen).toEqual([]);
            return;
          }
          expect(outcome.kind).toBe('applied');
          held += 1;
          expect(equalValues((await store.get(one.id, one.key))?.value, one.value)).toBe(true);
        }),
        { seed: SEED, numRuns: 250 },
      );
      expect(held).toBeGreaterThan(80);
    });

    it('of 399 KB and of a hundred levels are held', async () => {
      const store = await t.fresh();
      for (const extra of [{ big: '日'.repeat((399 * 1024) / 3 - 20) }, { deep: deep(50, new Date(7)) }]) {
        const one = entry(null, extra as StoredRecord);
        expect((await store.putPlain(one, later(store))).kind).toBe('applied');
        expect(equalValues((await store.get(one.id, one.key))?.value, one.value)).toBe(true);
      }
    });

    it('with names as long as DynamoDB takes them are held, with longer ones refused by name', async () => {
      const store = await t.fresh();
      const one = entry(10, { ['n'.repeat(65_535)]: 1 });
      expect((await store.putIfNewer(one, later(store))).kind).toBe('applied');
      expect(equalValues((await store.get(one.id, one.key))?.value, one.value)).toBe(true);
      const message = store.check(entry(10, { ['n'.repeat(65_536)]: 1 }))?.message ?? '';
      expect(message).toMatch(/has too long a name/);
      expect(message.length).toBeLessThan(400);
    });
  });

  describe('indexes', () => {
    const index = (IndexName: string, hash: string, range?: string) => ({
      IndexName,
      KeySchema: [
        { AttributeName: hash, KeyType: 'HASH' as const },
        ...(range === undefined ? [] : [{ AttributeName: range, KeyType: 'RANGE' as const }]),
      ],
      Projection: { ProjectionType: 'ALL' as const },
    });

    it('refuse what they cannot hold, and so do we before it is sent, by name', async () => {
      t.table = await t.server.table(['userKey', 'text'], ['id', 'text'], {
        indexKeys: [
          ['mail', 'text'],
          ['at', 'text'],
          ['score', 'number'],
        ],
        GlobalSecondaryIndexes: [index('by-mail', 'mail', 'at'), index('inverted', 'id', 'userKey')],
        LocalSecondaryIndexes: [index('by-score', 'userKey', 'score')],
      });
      const store = await t.open({ attributes: { email: 'mail' } });
      const fine = entry(10, { email: 'a@b', at: new Date(0), score: 1.5 });
      expect((await store.putIfNewer(fine, later(store))).kind).toBe('applied');
      expect((await store.putIfNewer(entry(11), later(store))).kind).toBe('applied');
      const refused: [StoredRecord, Record<string, unknown>, RegExp][] = [
        [{ email: '' }, { mail: { S: '' } }, /"email" is a key of the index "by-mail" .*text of 1 to 2048 bytes/],
        [{ email: null }, { mail: { NULL: true } }, /"email"/],
        [{ email: 'x'.repeat(2_049) }, { mail: { S: 'x'.repeat(2_049) } }, /"email"/],
        [{ at: 'x'.repeat(1_025) }, { mail: { S: 'm' }, at: { S: 'x'.repeat(1_025) } }, /"at".* 1 to 1024 bytes/],
        [{ score: '1' }, { score: { S: '1' } }, /"score" is a key of the index "by-score" \(expected a number/],
      ];
      for (const [extra, item, message] of refused) {
        expect(store.check(entry(20, extra))).toMatchObject({
          reason: 'constraint',
          message: expect.stringMatching(message),
        });
        if (refuses) expect(await takes(t, { ...natural, ...item }), String(message)).toBe(false);
      }
      // As the sort key of the inverted index a partition key has 1024 bytes.
      const long = entryOf({ userKey: 'u'.repeat(1_025), id: 'x' }, 10, KEYS);
      expect(store.check(long)?.message).toMatch(/"userKey" has 1025 bytes, more than 1024/);
      if (refuses) expect(await takes(t, { userKey: { S: 'u'.repeat(1_025) }, id: { S: 'x' } })).toBe(false);
    });

    it.runIf(refuses)(
      'that are younger than the store make the server refuse, which is a rejection and no fault',
      async () => {
        const store = await t.fresh();
        await t.server.client.send(
          new UpdateTableCommand({
            TableName: t.table,
            AttributeDefinitions: [
              { AttributeName: 'userKey', AttributeType: 'S' },
              { AttributeName: 'id', AttributeType: 'S' },
              { AttributeName: 'mail', AttributeType: 'S' },
            ],
            GlobalSecondaryIndexUpdates: [{ Create: index('by-mail', 'mail') }],
          }),
        );
        expect(store.check(entry(10, { mail: 5 }))).toBeNull();
        expect(await store.putIfNewer(entry(10, { mail: 5 }), later(store))).toMatchObject({
          kind: 'rejected',
          message: expect.stringMatching(/an index that was added meanwhile/),
        });
        expect(await t.raw()).toBeUndefined();
      },
    );
  });
});
