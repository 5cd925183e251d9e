import { describe, expect, it } from 'vitest';
import { type Clock, systemClock } from '../../../src/core/clock.ts';
import type { Partition } from '../../../src/core/store.ts';
import { entry, entryOf, faultOf, KEYS, later, onEveryServer, stampOf } from '../../support/dynamodb-fixture.ts';
import { SERVER_ERROR, THROTTLED, UNKNOWN_OPERATION } from '../../support/faulty-http-proxy.ts';
import { leapingClock } from '../../support/hasty-clock.ts';

onEveryServer((t) => {
  describe('a put whose answer is lost', () => {
    it('has an unknown outcome, and was applied when it is sent again with the same stamp', async () => {
      const store = await t.fresh();
      t.proxy.next('PutItem', { kind: 'lose-answer' });
      const fault = await faultOf(store.putIfNewer(entry(10), later(store)));
      expect(fault).toMatchObject({ outcome: 'unknown', pressure: false });
      expect(await store.putIfNewer(entry(10), later(store))).toEqual({ kind: 'applied', previous: 'same' });
    });

    it('is superseded when somebody overwrote it meanwhile', async () => {
      const store = await t.fresh();
      t.proxy.next('PutItem', { kind: 'lose-answer' });
      await faultOf(store.putIfNewer(entry(10), later(store)));
      await store.putIfNewer(entry(11), later(store));
      expect(await store.putIfNewer(entry(10), later(store))).toEqual({ kind: 'superseded', stamp: stampOf(11) });
    });

    it('is applied for the first time when the request was what was lost', async () => {
      const store = await t.fresh();
      t.proxy.next('PutItem', { kind: 'cut' });
      expect((await faultOf(store.putIfNewer(entry(10), later(store)))).outcome).toBe('unknown');
      expect(await store.putIfNewer(entry(10), later(store))).toEqual({ kind: 'applied', previous: 'absent' });
    });

    it('says same for a compare-and-set too, and conflict when it was overwritten', async () => {
      const store = await t.fresh();
      const expected = { kind: 'version', stamp: stampOf(10) } as const;
      await store.putIfNewer(entry(10), later(store));
      t.proxy.next('PutItem', { kind: 'lose-answer' });
      await faultOf(store.compareAndSet(entry(11), expected, later(store)));
      expect(await store.compareAndSet(entry(11), expected, later(store))).toEqual({
        kind: 'applied',
        previous: 'same',
      });
      await store.putIfNewer(entry(12), later(store));
      expect(await store.compareAndSet(entry(11), expected, later(store))).toEqual({ kind: 'conflict' });
    });

    it('is not sent again by the store when it is plain', async () => {
      const store = await t.fresh();
      t.proxy.next('PutItem', SERVER_ERROR);
      expect((await faultOf(store.putPlain(entry(null), later(store)))).outcome).toBe('unknown');
      expect(t.proxy.count('PutItem')).toBe(1);
      t.proxy.next('PutItem', { kind: 'lose-answer' });
      await faultOf(store.putPlain(entry(null), later(store)));
      expect(t.proxy.count('PutItem')).toBe(2);
    });
  });

  describe('a connection that breaks', () => {
    it('is no matter for a read, which is sent again', async () => {
      const store = await t.fresh();
      await store.putIfNewer(entry(10), later(store));
      for (const kind of ['cut', 'lose-answer'] as const) {
        t.proxy.next('GetItem', { kind }, 2);
        expect((await store.get(entry(10).id, entry(10).key))?.stamp).toBe(entry(10).stamp);
        t.proxy.next('Scan', { kind }, 1);
        const [partition] = await store.partitions(1);
        for await (const page of store.scan(partition as Partition, { pageSize: 9 })) {
          expect(page.entries).toHaveLength(1);
        }
      }
      t.proxy.plan = () => ({ kind: 'cut' });
      expect(await faultOf(store.get(entry(10).id, entry(10).key))).toMatchObject({ pressure: false });
      expect(t.proxy.count('GetItem')).toBe(3 + 3 + 5);
    });
  });

  describe('a server that is busy', () => {
    it('is asked again, and the put goes through', async () => {
      const store = await t.fresh();
      t.proxy.next('PutItem', THROTTLED, 3);
      expect(await store.putIfNewer(entry(10), later(store))).toEqual({ kind: 'applied', previous: 'absent' });
      expect(t.proxy.count('PutItem')).toBe(4);
      expect(store.pressure, 'what was absorbed is told all the same').toBe(3);
      t.proxy.next('PutItem', SERVER_ERROR, 2);
      expect((await store.putIfNewer(entry(11), later(store))).kind).toBe('applied');
      expect(store.pressure, 'a failure is no request for less').toBe(3);
    });

    it('that stays busy is reported as pressure, with nothing written', async () => {
      const store = await t.fresh({ maxAttempts: 3, random: () => 0 });
      t.proxy.plan = () => THROTTLED;
      const deadline = later(store);
      expect(await faultOf(store.putIfNewer(entry(10), deadline))).toMatchObject({
        outcome: 'nothing-written',
        pressure: true,
      });
      expect(t.proxy.count('PutItem')).toBe(3);
      expect(await faultOf(store.get(entry(10).id, entry(10).key))).toMatchObject({ pressure: true });
      expect(await store.putManyIfNewer([entry(10)], deadline)).toMatchObject([
        { kind: 'fault', outcome: 'nothing-written', pressure: true },
      ]);
      t.proxy.heal();
      expect(await t.raw()).toBeUndefined();
    });

    it('leaves a put unknown when one copy of it failed inside the server', async () => {
      const store = await t.fresh({ maxAttempts: 2, random: () => 0 });
      let copies = 0;
      t.proxy.plan = ({ operation }) => {
        if (operation !== 'PutItem') return { kind: 'pass' };
        copies += 1;
        return copies === 1 ? SERVER_ERROR : THROTTLED;
      };
      expect((await faultOf(store.putIfNewer(entry(10), later(store)))).outcome).toBe('unknown');
    });

    it('is asked again for the keys that it did not get to', async () => {
      const store = await t.fresh();
      const entries = Array.from({ length: 5 }, (_, i) => entryOf({ userKey: 'ada', id: `e${i}` }, 10));
      await store.putManyIfNewer(entries, later(store));
      let asked = 0;
      t.proxy.plan = ({ operation, body }) => {
        if (operation !== 'BatchGetItem') return { kind: 'pass' };
        asked += 1;
        const { RequestItems } = JSON.parse(body) as { RequestItems: object };
        const nothing = { Responses: { [t.table]: [] }, UnprocessedKeys: RequestItems };
        return asked <= 2 ? { kind: 'answer', status: 200, body: nothing } : { kind: 'pass' };
      };
      const found = await store.getMany(entries);
      expect(found.map((one) => one?.stamp)).toEqual(entries.map(({ stamp }) => stamp));
      expect(asked).toBe(3);
      expect(store.pressure).toBe(2);
    });

    it('is asked again for the deletes that it did not get to', async () => {
      const store = await t.fresh();
      const entries = Array.from({ length: 60 }, (_, i) => entryOf({ userKey: 'ada', id: `e${i}` }, 10));
      await store.putManyIfNewer(entries, later(store));
      let asked = 0;
      t.proxy.plan = ({ operation, body }) => {
        if (operation !== 'BatchWriteItem') return { kind: 'pass' };
        asked += 1;
        const { RequestItems } = JSON.parse(body) as { RequestItems: object };
        return asked <= 2
          ? { kind: 'answer', status: 200, body: { UnprocessedItems: RequestItems } }
          : { kind: 'pass' };
      };
      await store.wipe({});
      expect(await t.items()).toEqual([]);
      expect(asked).toBe(5);
    });

    it('gets the parts of a batch again, and the parts that it goes on to refuse are reported as pressure', async () => {
      const store = await t.fresh({ maxAttempts: 3, random: () => 0.1 });
      const entries = Array.from({ length: 12 }, (_, i) => entryOf({ userKey: 'ada', id: `e${i}` }, 10));
      const tries = new Map<string, number>();
      t.proxy.plan = ({ operation, body }) => {
        if (operation === 'BatchExecuteStatement') return UNKNOWN_OPERATION;
        if (operation !== 'PutItem') return { kind: 'pass' };
        const id = (JSON.parse(body) as { Item: { id: { S: string } } }).Item.id.S;
        tries.set(id, (tries.get(id) ?? 0) + 1);
        const refused = id === 'e7' || (id.length === 2 && (tries.get(id) ?? 0) <= 2);
        return refused ? THROTTLED : { kind: 'pass' };
      };
      const outcomes = await store.putManyIfNewer(entries, later(store));
      outcomes.forEach((outcome, i) => {
        const expected = i === 7 ? { kind: 'fault', outcome: 'nothing-written', pressure: true } : { kind: 'applied' };
        expect(outcome).toMatchObject(expected);
      });
      expect(tries.get('e7')).toBe(3);
      expect(tries.get('e3')).toBe(3);
      expect(tries.get('e10')).toBe(1);
    });

    it('is given a random and growing time before it is asked again', async () => {
      const waits: number[] = [];
      const clock: Clock = {
        ...systemClock,
        after: (ms, fn) => {
          if (ms < 2_000) waits.push(ms);
          return systemClock.after(ms < 2_000 ? 0 : ms, fn);
        },
      };
      const draws = [0.5, 1, 0, 0.25];
      let drawn = 0;
      const store = await t.fresh({ random: () => draws[drawn++] as number }, KEYS, { clock });
      t.proxy.next('PutItem', THROTTLED, 4);
      await store.putIfNewer(entry(10), later(store));
      expect(waits).toEqual([12.5, 50, 0, 50]);
    });

    it('that never gets to the keys is reported as pressure', async () => {
      const store = await t.fresh({ maxAttempts: 3, random: () => 0 });
      t.proxy.plan = ({ operation, body }) =>
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
      const store = await t.fresh();
      await store.putIfNewer(entry(10), later(store));
      t.proxy.seen.length = 0;
      const past = store.now() - 1;
      expect(await store.putIfNewer(entry(11), past)).toEqual({ kind: 'expired' });
      expect(await store.putPlain(entry(null), past)).toEqual({ kind: 'expired' });
      const version = { kind: 'version', stamp: stampOf(10) } as const;
      expect(await store.compareAndSet(entry(11), version, past)).toEqual({ kind: 'expired' });
      expect(await store.compareAndSet(entry(11), { ...version, value: entry(10).value }, past)).toEqual({
        kind: 'expired',
      });
      expect(await store.putManyIfNewer([entry(11)], past)).toEqual([{ kind: 'expired' }]);
      expect(t.proxy.seen).toEqual([]);
    });

    it.for(['hang', 'hang-after'] as const)(
      'end the wait for a server that does not answer (%s), outcome unknown',
      async (kind) => {
        const store = await t.fresh();
        t.proxy.next('PutItem', { kind });
        expect(await faultOf(store.putIfNewer(entry(10), store.now() + 1_500))).toMatchObject({
          outcome: 'unknown',
          message: expect.stringContaining('no answer in time'),
        });
        expect(await store.putIfNewer(entry(10), later(store))).toEqual({
          kind: 'applied',
          previous: kind === 'hang' ? 'absent' : 'same',
        });
      },
    );

    it('end the retries of a throttled put', async () => {
      const store = await t.fresh({ maxAttempts: 1_000 }, KEYS, { clock: leapingClock() });
      t.proxy.plan = ({ operation }) => (operation === 'PutItem' ? THROTTLED : { kind: 'pass' });
      const fault = await faultOf(store.putIfNewer(entry(10), later(store)));
      expect(fault).toMatchObject({ outcome: 'nothing-written', pressure: true });
      expect(t.proxy.count('PutItem')).toBe(3);
    });

    it('follow the clock of the server where it differs by more than a second', async () => {
      t.table = await t.server.table(['userKey', 'text'], ['id', 'text']);
      const aheadMs = 3_600_000;
      const clock = { ...systemClock, now: () => systemClock.now() + aheadMs };
      const store = await t.create({}, KEYS, { clock });
      await store.open();
      expect(Math.abs(store.now() - systemClock.now())).toBeLessThanOrEqual(store.capabilities.clockErrorMs + 1_000);
    });
  });

  describe('a server that cannot be reached', () => {
    it('has written nothing', async () => {
      await t.fresh();
      const store = await t.create({ endpoint: 'http://127.0.0.1:1' });
      expect((await faultOf(store.putIfNewer(entry(10), later(store)))).outcome).toBe('nothing-written');
      expect((await faultOf(store.open())).outcome).toBe('nothing-written');
    });

    it('keeps secrets out of what is thrown', async () => {
      await t.fresh();
      const store = await t.create({
        endpoint: 'http://127.0.0.1:1',
        credentials: { accessKeyId: 'SEEKRETID', secretAccessKey: 'SEEKRETKEY' },
      });
      const fault = await faultOf(store.putIfNewer(entry(10), later(store)));
      expect(JSON.stringify([fault.message, fault.toJSON(), store.label])).not.toContain('SEEKRET');
    });
  });
});
