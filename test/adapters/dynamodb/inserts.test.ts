import { DescribeTableCommand } from '@aws-sdk/client-dynamodb';
import { describe, expect, it } from 'vitest';
import { UNUSUAL_VALUES } from '../../../adapters/conformance/index.ts';
import type { Attribute } from '../../../adapters/dynamodb/attribute.ts';
import { KeySpec } from '../../../src/core/record-key.ts';
import type { Entry, PutFault, PutOutcome, Store } from '../../../src/core/store.ts';
import { type Logger, silentLogger } from '../../../src/core/telemetry.ts';
import type { StoredRecord } from '../../../src/core/value.ts';
import { entryOf, KEYS, later, onEveryServer, stampOf } from '../../support/dynamodb-fixture.ts';
import { failingInserts, failingPuts, type WireItem } from '../../support/dynamodb-statements.ts';
import { type Fault, SERVER_ERROR, THROTTLED } from '../../support/faulty-http-proxy.ts';
import { leapingClock } from '../../support/hasty-clock.ts';

const PASS: Fault = { kind: 'pass' };
const APPLIED = { kind: 'applied', previous: 'absent' } as const;

const entries = (count: number, stamp = 10): Entry[] =>
  Array.from({ length: count }, (_, i) => entryOf({ userKey: `u${i % 7}`, id: `e${i}`, n: stamp }, stamp));
const tombstone = (entry: Entry, n: number): Entry => ({ ...entry, stamp: stampOf(n), value: null });
const put = (store: Store, batch: readonly Entry[]) => store.putManyIfNewer(batch, later(store));
const stamps = async (store: Store, batch: readonly Entry[]) =>
  (await store.getMany(batch)).map((entry) => entry?.stamp);
const kinds = (outcomes: readonly (PutOutcome | PutFault)[]) => [...new Set(outcomes.map(({ kind }) => kind))];
const idOf = (item: WireItem): string => item['id']?.['S'] ?? '';

/** What is warned of. */
function listening(): { readonly logger: Logger; readonly warned: object[] } {
  const warned: object[] = [];
  return { logger: { ...silentLogger, warn: (fields) => warned.push(fields) }, warned };
}

/** The ways to insert many with one request. */
const WAYS = [
  {
    inserts: 'statements',
    operation: 'BatchExecuteStatement',
    failing: failingInserts,
    needs: 'dynamodb:PartiQLInsert',
  },
  { inserts: 'transactions', operation: 'TransactWriteItems', failing: failingPuts, needs: 'TransactWriteItems' },
] as const;

describe.each(WAYS)('inserts by $inserts', ({ inserts, operation, failing: failingParts, needs }) => {
  onEveryServer((t) => {
    const whole = inserts === 'transactions';
    const fresh = (...[options, ...rest]: Parameters<typeof t.fresh>) => t.fresh({ inserts, ...options }, ...rest);
    const open = (...[options, ...rest]: Parameters<typeof t.open>) => t.open({ inserts, ...options }, ...rest);
    /** Fails inserts by their items' ids, at the first `times` batches. */
    const failing = (codes: Readonly<Record<string, string>>, times = Number.POSITIVE_INFINITY): void => {
      let left = times;
      t.proxy.plan = (seen) => {
        if (seen.operation !== operation || left === 0) return PASS;
        left -= 1;
        return failingParts(seen, (item) => codes[idOf(item)]);
      };
    };

    describe('a batch of what is not there', () => {
      it('is a request for every 25 entries, and the items are those of single puts', async () => {
        const values = Object.values(UNUSUAL_VALUES).map((make): unknown => make());
        const batch = values.map((value, i) => entryOf({ userKey: 'a', id: `e${i}`, value } as StoredRecord, 10));
        const singly = await fresh();
        const one = await Promise.all(batch.map((entry) => singly.putIfNewer(entry, later(singly))));
        const expected = await t.items();
        const store = await fresh();
        let outcomes: readonly (PutOutcome | PutFault)[] = [];
        const requests = await t.requests(async () => {
          outcomes = await put(store, batch);
        });
        expect(outcomes).toEqual(one);
        expect(kinds(outcomes)).toContain('applied');
        expect(await t.items()).toEqual(expected);
        expect(requests).toEqual(Array.from({ length: Math.ceil(expected.length / 25) }, () => operation));
      });

      it('holds attributes of any name, of which none gets into the statement as more than a name', async () => {
        const store = await fresh();
        const names = [
          `it's`,
          `':?,'id':?}--`,
          `\\'`,
          '"',
          '?',
          ' ',
          '\u0000',
          '\u2028',
          'ä',
          '😀',
          'select',
          'a.b',
          'A',
          'a',
        ];
        const many = Object.fromEntries(Array.from({ length: 1_200 }, (_, i) => [`field ${i}`, i]));
        const records: StoredRecord[] = [...names.map((name) => ({ [name]: `of ${name}`, n: 1 })), { ...many }, {}];
        const batch = records.map((record, i) => entryOf({ ...record, userKey: 'a', id: `e${i}` }, 10));
        expect(await put(store, batch)).toEqual(batch.map(() => APPLIED));
        const held = await store.getMany(batch);
        expect(held.map((entry) => entry?.value)).toEqual(batch.map(({ value }) => value));
        expect(await t.items()).toHaveLength(batch.length);
        // What a statement cannot say is put by itself: the names to escape, and the statement that is too long.
        expect([t.proxy.count(operation), t.proxy.count('PutItem')]).toEqual([1, whole ? 0 : 6]);
      });

      it('tells keys apart that are one item, whichever comes first', async () => {
        t.table = await t.server.table(['n', 'number']);
        const numeric = new KeySpec(['n'], ['n']);
        const store = await open({ partitionKey: 'n', sortKey: undefined }, numeric);
        const of = (n: number | bigint): Entry => entryOf({ n }, 10, numeric);
        const taken = { kind: 'rejected', reason: 'constraint' };
        expect(await put(store, [of(1), of(2n), of(1n), of(3)])).toMatchObject([APPLIED, APPLIED, taken, APPLIED]);
        expect(await put(store, [of(2), of(4), of(5), of(6), of(7)])).toMatchObject([
          taken,
          APPLIED,
          APPLIED,
          APPLIED,
          APPLIED,
        ]);
        expect((await store.getMany([of(1), of(2n)])).map((entry) => entry?.key['n'])).toEqual([1, 2n]);
      });
    });

    describe('a batch of which some is there', () => {
      it('replaces what is older, and neither what is newer nor what was deleted later', async () => {
        const store = await fresh();
        const batch = entries(60, 20);
        const [older, same, newer, deleted, plain] = batch.slice(10) as [Entry, Entry, Entry, Entry, Entry];
        const before = [
          { ...older, stamp: stampOf(10) },
          same,
          { ...newer, stamp: stampOf(30) },
          tombstone(deleted, 30),
        ];
        for (const entry of before) await store.putIfNewer(entry, later(store));
        await store.putPlain({ ...plain, stamp: null }, later(store));
        const outcomes = await put(store, batch);
        const superseded = { kind: 'superseded', stamp: stampOf(30) };
        const found = [
          { kind: 'applied', previous: 'record' },
          { kind: 'applied', previous: 'same' },
          superseded,
          superseded,
          { kind: 'applied', previous: 'record' },
        ];
        expect(outcomes).toEqual(batch.map((_, i) => found[i - 10] ?? APPLIED));
        const expected = batch.map(({ stamp }, i) => (i === 12 || i === 13 ? stampOf(30) : stamp));
        expect(await stamps(store, batch)).toEqual(expected);
        expect((await store.get(deleted.id, deleted.key))?.value).toBeNull();
      });

      it('is put under conditions at once while most is there, and by inserts again when it is not', async () => {
        const store = await fresh();
        await put(store, entries(30));
        const asked = async (batch: readonly Entry[]) => {
          const requests = await t.requests(() => put(store, batch));
          return requests.filter((name) => name === operation).length;
        };
        expect(await asked(entries(30, 20))).toBe(2);
        expect(await asked(entries(30, 30))).toBe(0);
        const unheardOf = (part: number) =>
          Array.from({ length: 9 }, (_, i) => entryOf({ userKey: 'f', id: `${part}-${i}` }, 10));
        await put(store, unheardOf(1));
        await put(store, unheardOf(2));
        expect(await asked(unheardOf(3))).toBe(1);
      });

      it('leaves the greatest stamp of each key where services put the same keys meanwhile', async () => {
        const store = await fresh();
        const other = await open();
        const keys = entries(40);
        const at = (stamp: number) => keys.map((entry) => ({ ...entry, stamp: stampOf(stamp) }));
        const live = at(30).map((entry, i) => (i % 3 === 0 ? tombstone(entry, 30) : entry));
        await Promise.all([
          put(store, at(10)),
          ...live.map((entry) => other.putIfNewer(entry, later(other))),
          put(other, at(20)),
        ]);
        expect(await stamps(store, keys)).toEqual(keys.map(() => stampOf(30)));
        const held = await store.getMany(keys);
        expect(held.map((entry) => entry?.value === null)).toEqual(keys.map((_, i) => i % 3 === 0));
      });
    });

    describe('an insert that fails', () => {
      it('for too many requests is sent again, alone, and reported as pressure', async () => {
        const store = await fresh({ random: () => 0 });
        failing(
          {
            e3: 'ThrottlingError',
            e4: 'ProvisionedThroughputExceeded',
            e5: 'RequestLimitExceeded',
            e6: 'TransactionConflict',
          },
          2,
        );
        expect(await put(store, entries(10))).toEqual(entries(10).map(() => APPLIED));
        // What another transaction holds keeps none of the same transaction waiting.
        expect([t.proxy.count(operation), t.proxy.count('PutItem')]).toEqual([3, whole ? 1 : 0]);
        expect(store.pressure).toBe(2);
        expect(await stamps(store, entries(10))).toEqual(entries(10).map(({ stamp }) => stamp));
      });

      it('again and again has written nothing, and says that the server asks for less', async () => {
        const store = await fresh({ random: () => 0, maxAttempts: 3 });
        failing({ e3: 'ProvisionedThroughputExceeded' });
        const outcomes = await put(store, entries(10));
        expect(outcomes[3]).toMatchObject({ kind: 'fault', outcome: 'nothing-written', pressure: true });
        expect(kinds(outcomes.toSpliced(3, 1))).toEqual([whole ? 'fault' : 'applied']);
        expect(t.proxy.count(operation)).toBe(3);
      });

      it.runIf(whole)(
        'keeps no others of its transaction from being put, though each request is sent but once',
        async () => {
          const store = await fresh({ maxAttempts: 1 });
          const batch = entries(30);
          for (const there of batch.slice(3, 6)) await store.putIfNewer(there, later(store));
          const outcomes = await put(store, batch);
          const same = { kind: 'applied', previous: 'same' };
          expect(outcomes).toEqual(batch.map((_, i) => (i >= 3 && i < 6 ? same : APPLIED)));
        },
      );

      it('inside the server leaves unknown what became of it', async () => {
        const store = await fresh();
        failing({ e3: 'InternalServerError', e4: 'SomethingNew' });
        const outcomes = await put(store, entries(10));
        const unknown = { kind: 'fault', outcome: 'unknown' };
        expect(outcomes).toMatchObject(outcomes.map((_, i) => (i === 3 || i === 4 ? unknown : APPLIED)));
        t.proxy.heal();
        expect(await put(store, entries(10))).toMatchObject(
          outcomes.map((_, i) => (i === 3 || i === 4 ? APPLIED : { kind: 'applied', previous: 'same' })),
        );
      });

      it('for the item itself is put alone, and rejected by name if it is no good', async () => {
        t.table = await t.server.table(['userKey', 'text'], ['id', 'text']);
        const store = await open();
        failing({ e3: 'ValidationError', e4: 'ItemCollectionSizeLimitExceeded' });
        const { plan } = t.proxy;
        t.proxy.plan = (seen) => {
          const refused =
            seen.operation === 'PutItem' && idOf((JSON.parse(seen.body) as { Item: WireItem }).Item) === 'e4';
          return refused ? { kind: 'answer', status: 400, body: { __type: 'x#ValidationException' } } : plan(seen);
        };
        const outcomes = await put(store, entries(10));
        const rejected = { kind: 'rejected', reason: 'limit', message: expect.stringMatching(/ValidationException/) };
        expect(outcomes).toMatchObject(outcomes.map((_, i) => (i === 4 ? rejected : APPLIED)));
        expect(t.proxy.count('PutItem')).toBe(2);
      });
    });

    describe('a request of inserts', () => {
      it('without an answer may have put all of it; the same stamps find themselves, and what is newer stays', async () => {
        for (const fault of [{ kind: 'lose-answer' }, { kind: 'cut' }, SERVER_ERROR] as const) {
          const store = await fresh();
          t.proxy.next(operation, fault);
          t.proxy.seen.length = 0;
          const batch = entries(10);
          expect(await put(store, batch)).toMatchObject(batch.map(() => ({ kind: 'fault', outcome: 'unknown' })));
          expect(t.proxy.count(operation)).toBe(1);
          const newer = entries(1, 20)[0] as Entry;
          await store.putIfNewer(newer, later(store));
          const [first, ...rest] = await put(store, batch);
          expect(first).toEqual({ kind: 'superseded', stamp: newer.stamp });
          const previous = fault.kind === 'lose-answer' ? 'same' : 'absent';
          expect(rest).toEqual(rest.map(() => ({ kind: 'applied', previous })));
          await store.close();
        }
      });

      it('that arrives late does not go over what is newer', async () => {
        const store = await fresh();
        let release: () => void = () => {};
        const until = new Promise<void>((resolve) => {
          release = resolve;
        });
        t.proxy.next(operation, { kind: 'delay', until });
        const late = put(store, entries(5));
        const newer = entries(1, 20)[0] as Entry;
        expect(await store.putIfNewer(newer, later(store))).toEqual(APPLIED);
        release();
        expect((await late)[0]).toEqual({ kind: 'superseded', stamp: newer.stamp });
        expect((await stamps(store, [newer]))[0]).toBe(newer.stamp);
      });

      it('never leaves once its deadline has passed, be it the first or one that was throttled', async () => {
        const store = await fresh({ maxAttempts: 1_000 }, KEYS, { clock: leapingClock() });
        t.proxy.seen.length = 0;
        const past = store.now() - 1;
        expect(await store.putManyIfNewer(entries(3), past)).toEqual(entries(3).map(() => ({ kind: 'expired' })));
        expect(t.proxy.seen).toEqual([]);
        t.proxy.plan = (seen) => (seen.operation === operation ? THROTTLED : PASS);
        const fault = { kind: 'fault', outcome: 'nothing-written', pressure: true };
        expect(await put(store, entries(3))).toMatchObject(entries(3).map(() => fault));
        expect(t.proxy.seen).toEqual(Array.from({ length: 3 }, () => operation));
      });

      it('that is refused as a whole is put one by one, and inserts are tried again soon', async () => {
        const store = await fresh();
        for (const status of [400, 413]) {
          t.proxy.next(operation, { kind: 'answer', status, body: { __type: 'x#RequestTooLarge' } });
          t.proxy.seen.length = 0;
          for (const [part, requests] of [5, 4, 1].entries()) {
            const batch = Array.from({ length: 4 }, (_, i) =>
              entryOf({ userKey: `${status}`, id: `${part} ${i}` }, 10),
            );
            const seen = await t.requests(async () =>
              expect(await put(store, batch)).toEqual(batch.map(() => APPLIED)),
            );
            expect(seen).toHaveLength(requests);
          }
        }
      });

      it.for([
        ['DynamoDB refuses', { __type: 'com.amazon.coral.service#AccessDeniedException' }],
        ['a server does not know', { __type: 'com.amazon.coral.service#UnknownOperationException' }],
      ] as const)('that %s is the last one: one by one for good, and one line says so', async ([, body]) => {
        const { logger, warned } = listening();
        const store = await fresh({}, KEYS, { logger });
        t.proxy.plan = (seen) => (seen.operation === operation ? { kind: 'answer', status: 400, body } : PASS);
        expect(await put(store, entries(60))).toEqual(entries(60).map(() => APPLIED));
        const tried = t.proxy.count(operation);
        t.proxy.heal();
        const next = entries(60).map(({ value }) => entryOf({ ...value, userKey: 'v' }, 10));
        expect(await put(store, next)).toEqual(next.map(() => APPLIED));
        expect(t.proxy.count(operation)).toBe(tried);
        expect(warned).toEqual([
          expect.objectContaining({ store: store.label, remedy: expect.stringContaining(needs) }),
        ]);
      });

      it.runIf(whole)('that tells no reasons, or none that is one, is put one by one', async () => {
        const __type = 'com.amazonaws.dynamodb.v20120810#TransactionCanceledException';
        for (const [i, reasons] of [{}, { CancellationReasons: entries(4).map(() => ({ Code: 'None' })) }].entries()) {
          const store = await fresh();
          t.proxy.next(operation, { kind: 'answer', status: 400, body: { __type, ...reasons } });
          const batch = entries(4, 10 + i);
          const requests = await t.requests(async () =>
            expect(await put(store, batch)).toEqual(batch.map(() => APPLIED)),
          );
          expect(requests).toEqual([operation, ...batch.map(() => 'PutItem')]);
        }
      });

      it.runIf(whole)('names a table by its ARN too, and is put one by one where a server knows none', async () => {
        await fresh();
        const { Table } = await t.server.client.send(new DescribeTableCommand({ TableName: t.table }));
        const store = await open({ table: Table?.TableArn ?? '' });
        t.proxy.next(operation, { kind: 'answer', status: 200, body: {} });
        const requests = async (batch: readonly Entry[]) =>
          t.requests(async () => expect(await put(store, batch)).toEqual(batch.map(() => APPLIED)));
        expect(await requests(entries(20))).toEqual([operation]);
        expect(await requests(entries(20))).toEqual([operation, ...Array.from({ length: 20 }, () => 'PutItem')]);
      });

      it('of which a statement is denied goes on one by one too', async () => {
        const { logger, warned } = listening();
        const store = await fresh({}, KEYS, { logger });
        failing({ e3: 'AccessDenied', e4: 'AccessDenied' });
        expect(await put(store, entries(10))).toEqual(entries(10).map(() => APPLIED));
        expect(warned).toHaveLength(1);
      });
    });
  }, 'DynamoDB Local');
});

onEveryServer((t) => {
  it('a server without PartiQL gets batches one by one', async () => {
    const { logger, warned } = listening();
    const store = await t.fresh({}, KEYS, { logger });
    expect(await put(store, entries(30))).toEqual(entries(30).map(() => APPLIED));
    await put(store, entries(30, 20));
    expect(t.proxy.count('BatchExecuteStatement')).toBeLessThanOrEqual(2);
    expect(warned).toHaveLength(1);
    const held: (Attribute | undefined)[] = (await t.items()).map((item) => item['n'] as Attribute | undefined);
    expect(held).toEqual(held.map(() => ({ N: '20' })));
  });
}, 'dynalite');
