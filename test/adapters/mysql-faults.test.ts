import type { Connection } from 'mysql2/promise';
import { describe, expect, it } from 'vitest';
import { sleep, systemClock } from '../../src/core/clock.ts';
import { StoreFault } from '../../src/core/errors.ts';
import { KeySpec } from '../../src/core/record-key.ts';
import { makeStamp } from '../../src/core/stamp.ts';
import type { Entry, Store } from '../../src/core/store.ts';
import { testServer } from '../support/servers.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';
import { type MysqlPlace, onMysql } from './mysql-harness.ts';

const { missing } = testServer('mysql');
const keys = new KeySpec(['id'], ['id']);
const THINGS = 'CREATE TABLE things (id VARCHAR(40) PRIMARY KEY, n INT, body JSON) CHARACTER SET utf8mb4';
const options = { document: 'body' };

const entry = (id: string, ms: number, n: number | null, writer = 1): Entry => {
  const key = { id };
  return { id: keys.id(key), key, stamp: makeStamp(ms, 0, writer), value: n === null ? null : { id, n, more: [n] } };
};
const later = (store: Store): number => store.now() + 60_000;
const read = (store: Store, { id, key }: Entry) => store.get(id, key);

/** Rows of a statement, as lists. */
async function rows(connection: Connection, sql: string): Promise<unknown[][]> {
  const [found] = await connection.query(sql);
  return found as unknown[][];
}

/** The connections of a place whose statement now waits for a lock; waits until there are so many, or that is over. */
async function waiting(place: MysqlPlace, count: number, over = () => false): Promise<number[]> {
  const raw = await place.raw();
  const database = new URL(place.url).pathname.slice(1);
  for (;;) {
    const found = await rows(
      raw,
      `SELECT l.trx_mysql_thread_id FROM information_schema.INNODB_TRX AS l JOIN information_schema.PROCESSLIST AS p
       ON p.ID = l.trx_mysql_thread_id WHERE l.trx_state = 'LOCK WAIT' AND p.DB = '${database}'`,
    );
    if (found.length >= count || over()) return found.map(([id]) => Number(id));
    // The server looks anew only when it has not been asked for a tenth of a second.
    await sleep(systemClock, 150);
  }
}

describe.skipIf(missing !== undefined)('a put that waits for a lock', () => {
  it.for([
    ['of its stamp', 'SELECT * FROM things_changeover WHERE id = "a" FOR UPDATE'],
    ['of its record', 'SELECT * FROM things WHERE id = "a" FOR UPDATE'],
  ])('%s past its deadline is expired and changes nothing, whenever the lock is let go', async ([, lock]) => {
    await using place = await onMysql(THINGS);
    const store = await place.open(options, keys);
    await store.prepare();
    const before = entry('a', 1, 1);
    await store.putIfNewer(before, later(store));
    const left = ['before the server gives up', 'after it'];
    for (let released = left.shift(); released !== undefined; ) {
      const raw = await place.raw();
      await raw.query('START TRANSACTION');
      await raw.query(lock ?? '');
      const deadline = store.now() + 1_200;
      const puts = Promise.all([
        store.putIfNewer(entry('a', 5, 5), deadline),
        store.putIfNewer(entry('a', 6, null), deadline),
        store.compareAndSet(entry('a', 7, 7), { kind: 'version', stamp: before.stamp }, deadline),
        store.compareAndSet(entry('a', 8, 8), { kind: 'version', stamp: before.stamp, value: before.value }, deadline),
        store.putPlain({ ...entry('a', 0, 9), stamp: null }, deadline),
        store.putManyIfNewer([entry('a', 9, 9), entry('b', 9, 9)], deadline),
      ]);
      let ended = false;
      void puts.finally(() => {
        ended = true;
      });
      // On a machine that stands still just then none of them may get that far in time: then once more.
      const held = await waiting(place, 2, () => ended);
      if (released === 'before the server gives up') {
        while (store.now() <= deadline) await sleep(systemClock, 10);
        await raw.query('ROLLBACK');
      }
      const outcomes = (await puts).flat();
      if (held.length >= 2) released = left.shift();
      expect(outcomes.slice(0, 6), released).toEqual(Array(6).fill({ kind: 'expired' }));
      await raw.query('ROLLBACK');
      expect(await read(store, before)).toEqual(before);
    }
  });

  it('goes through when the lock is let go in time', async () => {
    await using place = await onMysql(THINGS);
    const store = await place.open(options, keys);
    await store.prepare();
    await store.putIfNewer(entry('a', 1, 1), later(store));
    const raw = await place.raw();
    await raw.query('START TRANSACTION');
    await raw.query('SELECT * FROM things WHERE id = "a" FOR UPDATE');
    const put = store.putIfNewer(entry('a', 2, 2), later(store));
    await waiting(place, 1);
    await raw.query('COMMIT');
    expect(await put).toEqual({ kind: 'applied', previous: 'record' });
  });

  it('is expired when its process is held up between the lock and the write', async () => {
    await using place = await onMysql(THINGS);
    let slow = false;
    const codec = {
      encode: (record: object) => record as never,
      decode(stored: object) {
        const until = performance.now() + (slow ? 700 : 0);
        while (performance.now() < until);
        return stored as never;
      },
    };
    const store = await place.open(options, keys, codec);
    await store.prepare();
    const before = entry('a', 1, 1);
    await store.putIfNewer(before, later(store));
    slow = true;
    const expected = { kind: 'version', stamp: before.stamp, value: before.value } as const;
    expect(await store.compareAndSet(entry('a', 2, 2), expected, store.now() + 400)).toEqual({ kind: 'expired' });
    slow = false;
    expect(await read(store, before)).toEqual(before);
    expect(await store.compareAndSet(entry('a', 2, 2), expected, later(store))).toMatchObject({ kind: 'applied' });
  });

  it('whose connection is killed meanwhile wrote nothing, and says so', async () => {
    await using place = await onMysql(THINGS);
    const store = await place.open(options, keys);
    await store.prepare();
    await store.putIfNewer(entry('a', 1, 1), later(store));
    const raw = await place.raw();
    await raw.query('START TRANSACTION');
    await raw.query('SELECT * FROM things WHERE id = "a" FOR UPDATE');
    for (const how of ['KILL QUERY', 'KILL CONNECTION']) {
      const put = store.putIfNewer(entry('a', 5, 5), later(store)).catch((error: unknown) => error);
      const [id] = await waiting(place, 1);
      await (await place.raw()).query(`${how} ${id}`);
      const fault = await put;
      expect(fault, how).toBeInstanceOf(StoreFault);
      // A server that only closes the connection leaves open what became of the packet's COMMIT.
      if (how === 'KILL QUERY') expect(fault).toMatchObject({ outcome: 'nothing-written' });
    }
    await raw.query('COMMIT');
    expect(await read(store, entry('a', 1, 1))).toEqual(entry('a', 1, 1));
    expect(await store.putIfNewer(entry('a', 6, 6), later(store))).toEqual({ kind: 'applied', previous: 'record' });
  });
});

describe.skipIf(missing !== undefined)('a line that breaks', () => {
  it.for(['before', 'after'] as const)(
    '%s the server has the put leaves its outcome open, and the same put settles it',
    async (when) => {
      await using place = await onMysql(THINGS);
      const { proxy, url } = await TcpProxy.create(place.url);
      await using _ = proxy;
      const store = await place.open({ ...options, connection: url }, keys);
      await store.prepare();
      await store.putIfNewer(entry('a', 1, 1), later(store));
      for (const put of [
        () => store.putIfNewer(entry('a', 5, 5), later(store)),
        () => store.compareAndSet(entry('a', 6, 6), { kind: 'version', stamp: makeStamp(5, 0, 1) }, later(store)),
      ]) {
        proxy.cutAt('COMMIT', when);
        await expect(put()).rejects.toMatchObject({ code: 'STORE_FAULT', outcome: 'unknown' });
        expect(await put()).toEqual({ kind: 'applied', previous: when === 'before' ? 'record' : 'same' });
      }
      proxy.cutAt('COMMIT', when);
      const batch = [entry('a', 7, 7), entry('b', 7, 7)];
      expect(await store.putManyIfNewer(batch, later(store))).toMatchObject([
        { kind: 'fault', outcome: 'unknown' },
        { kind: 'fault', outcome: 'unknown' },
      ]);
      expect((await store.putManyIfNewer(batch, later(store))).map(({ kind }) => kind)).toEqual(['applied', 'applied']);
      // Nothing was committed in the packet that only takes locks.
      proxy.cutAt('FOR UPDATE', when);
      expect(await store.putManyIfNewer([entry('a', 8, 8), entry('b', 8, 8)], later(store))).toMatchObject([
        { kind: 'fault', outcome: 'nothing-written' },
        { kind: 'fault', outcome: 'nothing-written' },
      ]);
      expect(await read(store, entry('a', 7, 7))).toEqual(entry('a', 7, 7));
      proxy.cutAt('SELECT', when);
      await expect(read(store, entry('a', 7, 7))).rejects.toMatchObject({ code: 'STORE_FAULT' });
    },
  );

  it('without a word lets a call fail in its time, and holds no connection', async () => {
    await using place = await onMysql(THINGS);
    const { proxy, url } = await TcpProxy.create(place.url);
    await using _ = proxy;
    const store = await place.open({ ...options, connection: url, pool: 2 }, keys);
    await store.prepare();
    proxy.freeze();
    const puts = [1, 2, 3, 4].map((n) =>
      store.putIfNewer(entry(`k${n}`, 1, n), store.now() + 1_500).catch((error: unknown) => error),
    );
    const faults = await Promise.all(puts);
    expect(faults.every((fault) => fault instanceof StoreFault)).toBe(true);
    proxy.freeze(false);
    expect(await store.putIfNewer(entry('a', 2, 2), later(store))).toEqual({ kind: 'applied', previous: 'absent' });
  });
});

describe.skipIf(missing !== undefined)('a server', () => {
  it('that is not there is a fault with nothing written, without secrets', async () => {
    await using place = await onMysql(THINGS);
    const gone = new URL(place.url);
    gone.port = '1';
    gone.password = 'top-secret';
    const refused = await place.open({ ...options, connection: gone.href }, keys).catch((error: unknown) => error);
    expect(refused).toMatchObject({ code: 'STORE_FAULT', outcome: 'nothing-written' });
    const denied = new URL(place.url);
    denied.password = 'top-secret';
    const wrong = await place.open({ ...options, connection: denied.href }, keys).catch((error: unknown) => error);
    for (const error of [refused, wrong]) {
      expect(error).toBeInstanceOf(StoreFault);
      expect(`${(error as Error).message}${JSON.stringify(error)}`).not.toContain('top-secret');
    }
  });

  it('takes a record as large as its packets, and refuses a larger one by name', async () => {
    await using place = await onMysql('CREATE TABLE things (id INT PRIMARY KEY, body LONGTEXT CHARACTER SET utf8mb4)');
    const byNumber = new KeySpec(['id'], ['id']);
    const store = await place.open(options, byNumber);
    await store.prepare();
    const [[most] = []] = await rows(await place.raw(), 'SELECT @@max_allowed_packet');
    const put = (id: number, bytes: number): Entry => {
      const key = { id };
      return { id: byNumber.id(key), key, stamp: makeStamp(1, 0, 1), value: { id, text: 'x'.repeat(bytes) } };
    };
    // The text of an insert and of an update does not fit one packet any more.
    const large = put(1, Math.floor(Number(most) * 0.9));
    expect(await store.putIfNewer(large, later(store))).toEqual({ kind: 'applied', previous: 'absent' });
    expect((await store.get(large.id, large.key))?.value).toEqual(large.value);
    const larger = { kind: 'rejected', reason: 'limit', message: expect.stringContaining('max_allowed_packet') };
    expect(await store.putIfNewer(put(2, Number(most)), later(store))).toMatchObject(larger);
    const outcomes = await store.putManyIfNewer([put(3, 10), put(4, Number(most)), large, put(5, 20)], later(store));
    expect(outcomes).toMatchObject([
      { kind: 'applied' },
      larger,
      { kind: 'applied', previous: 'same' },
      { kind: 'applied' },
    ]);
  });
});

describe.skipIf(missing !== undefined)('writers', () => {
  it('30 times 30 of a few keys leave the greatest stamp of each with its own value', async () => {
    await using place = await onMysql(THINGS);
    const stores = await Promise.all([1, 2, 3].map(() => place.open(options, keys)));
    const [store] = stores as [Store];
    await store.prepare();
    const [writers, rounds, names] = [30, 30, 4];
    const applied: Entry[] = [];
    await Promise.all(
      Array.from({ length: writers }, async (_, writer) => {
        for (let round = 0; round < rounds; round += 1) {
          const name = `key ${(writer + round) % names}`;
          const put = entry(
            name,
            1 + ((round * 7 + writer * 13) % 50),
            (round + writer) % 5 === 0 ? null : writer * 100 + round,
            writer,
          );
          const own = stores[writer % stores.length] as Store;
          const outcome =
            round % 6 === 5
              ? (await own.putManyIfNewer([put, entry(`${name}'`, 1, 1, writer)], later(own)))[0]
              : await own.putIfNewer(put, later(own));
          if (outcome?.kind === 'applied') applied.push(put);
          else expect(outcome?.kind).toBe('superseded');
        }
      }),
    );
    const raw = await place.raw();
    for (let k = 0; k < names; k += 1) {
      const winner = applied
        .filter(({ id }) => id === keys.id({ id: `key ${k}` }))
        .reduce((a, b) => ((a.stamp ?? '') > (b.stamp ?? '') ? a : b));
      expect(await read(store, winner)).toEqual(winner);
      const held = await rows(
        raw,
        `SELECT s.deleted, r.id IS NULL FROM things_changeover s LEFT JOIN things r ON r.id = CAST(s.id AS CHAR CHARACTER SET utf8mb4) WHERE s.id = 'key ${k}'`,
      );
      expect(held).toEqual([winner.value === null ? [1, 1] : [0, 0]]);
    }
  });

  it.for([
    [1, 2],
    [2, 1],
  ] as const)('that make the same stamp at once are no rejection, stamps %i and %i', async ([one, two]) => {
    await using place = await onMysql(THINGS);
    const store = await place.open(options, keys);
    const other = await place.open(options, keys);
    await store.prepare();
    // Neither finds a stamp, as each takes its time between looking and inserting; the newer one takes more.
    const newer = `NEW.stamp = x'${makeStamp(2, 0, 1)}'`;
    await place.exec(
      `CREATE TRIGGER slow BEFORE INSERT ON things_changeover FOR EACH ROW SET @slept = SLEEP(0.2 + 0.4 * (${newer}))`,
    );
    const put = (name: string, ms: number) => store.putIfNewer(entry(name, ms, ms === 1 ? null : ms), later(store));
    const singles = await Promise.all([put('a', one), put('a', two)]);
    const batches = await Promise.all(
      [one, two].map((ms) => other.putManyIfNewer([entry('b', ms, ms), entry('c', ms, null)], later(other))),
    );
    const kinds = [...singles, ...batches.flat()].map((outcome) => outcome.kind);
    expect(kinds.every((kind) => kind === 'applied' || kind === 'superseded')).toBe(true);
    const newest = [entry('a', 2, 2), entry('b', 2, 2), entry('c', 2, null)];
    expect(await store.getMany(newest)).toEqual(newest);
  });

  it.for([
    ['delete', 1, 2],
    ['delete', 2, 1],
    ['insert', 1, 2],
    ['insert', 2, 1],
  ] as const)(
    'leave stamp and value agreeing when a delete meets the first insert of its key: %s asked for first, stamps %i and %i (scenario 37)',
    async ([first, insertStamp, deleteStamp]) => {
      await using place = await onMysql(THINGS);
      const store = await place.open(options, keys);
      const other = await place.open(options, keys);
      await store.prepare();
      // Both wait for the place of the stamp, so that neither has seen what the other one does.
      const raw = await place.raw();
      await raw.query('START TRANSACTION');
      await raw.query("INSERT INTO things_changeover VALUES ('a', 'a', REPEAT('0', 12), 0)");
      const insert = () => store.putIfNewer(entry('a', insertStamp, 1), later(store));
      const remove = () => other.putIfNewer(entry('a', deleteStamp, null), later(store));
      const calls = first === 'delete' ? [remove, insert] : [insert, remove];
      const both: Promise<unknown>[] = [];
      for (const [i, call] of calls.entries()) {
        both.push(call());
        await waiting(place, i + 1);
      }
      await raw.query('ROLLBACK');
      await Promise.all(both);
      expect(await read(store, entry('a', 2, 1))).toEqual(
        deleteStamp > insertStamp ? entry('a', 2, null) : entry('a', 2, 1),
      );
      expect(await rows(raw, 'SELECT COUNT(*) FROM things')).toEqual([[deleteStamp > insertStamp ? 0 : 1]]);
    },
  );
});
