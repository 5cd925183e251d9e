import { describe, expect, it } from 'vitest';
import { sql } from '../../../adapters/sql/index.ts';
import { systemClock } from '../../../src/core/clock.ts';
import { StoreFault } from '../../../src/core/errors.ts';
import { KeySpec } from '../../../src/core/record-key.ts';
import { makeStamp } from '../../../src/core/stamp.ts';
import { type Entry, identityCodec, type Store } from '../../../src/core/store.ts';
import { testServer } from '../../support/servers.ts';
import { onPostgres, type PostgresPlace } from '../postgres-harness.ts';

const describePostgres = describe.skipIf(testServer('postgres').missing !== undefined);
const keys = new KeySpec(['id'], ['id']);
const DDL = 'CREATE TABLE things (id text PRIMARY KEY, n int4)';

const entry = (id: string, ms: number, n: number | null): Entry => {
  const key = { id };
  return { id: keys.id(key), key, stamp: makeStamp(ms, 0, 1), value: n === null ? null : { id, n } };
};
const plain = (id: string, n: number | null): Entry => ({ ...entry(id, 0, n), stamp: null });
const later = (store: Store, ms = 20_000): number => store.now() + ms;
const APPLIED_NEW = { kind: 'applied', previous: 'absent' };
const APPLIED_OVER = { kind: 'applied', previous: 'record' };

/** Two processes' stores on one prepared table. */
async function twoStores(place: PostgresPlace, options = {}): Promise<readonly [Store, Store]> {
  const stores = [await place.open(options, keys), await place.open(options, keys)] as const;
  await stores[0].prepare();
  return stores;
}

const key = (id: string): readonly [string, { readonly id: string }] => [keys.id({ id }), { id }];

describePostgres('a write that waits for a lock', () => {
  const puts: readonly (readonly [string, (store: Store, deadline: number) => Promise<unknown>])[] = [
    ['a put', (store, deadline) => store.putIfNewer(entry('a', 9, 1), deadline)],
    ['a delete', (store, deadline) => store.putIfNewer(entry('a', 9, null), deadline)],
    [
      'a compare-and-set',
      (store, deadline) =>
        store.compareAndSet(entry('a', 9, 1), { kind: 'version', stamp: makeStamp(5, 0, 1) }, deadline),
    ],
    [
      'a compare-and-set by value',
      (store, deadline) => {
        const expected = { kind: 'version', stamp: makeStamp(5, 0, 1), value: { id: 'a', n: 5 } } as const;
        return store.compareAndSet(entry('a', 9, 1), expected, deadline);
      },
    ],
    ['a plain put', (store, deadline) => store.putPlain(plain('a', 1), deadline)],
    ['a plain delete', (store, deadline) => store.putPlain(plain('a', null), deadline)],
    [
      'a batch',
      async (store, deadline) => {
        const [outcome, other] = await store.putManyIfNewer([entry('a', 9, 1), entry('b', 9, 1)], deadline);
        expect(['applied', 'expired']).toContain(other?.kind);
        return outcome;
      },
    ],
  ];
  it.for(puts)('%s comes back expired, and is not applied when the lock is free', async ([, put]) => {
    await using place = await onPostgres(DDL);
    const [store] = await twoStores(place);
    await store.putIfNewer(entry('a', 5, 5), later(store));
    const lock = await place.begun(
      "SELECT * FROM things_changeover WHERE id = 'a' FOR UPDATE",
      "SELECT * FROM things WHERE id = 'a' FOR UPDATE",
    );
    expect(await put(store, later(store, 300))).toEqual({ kind: 'expired' });
    await lock.query('COMMIT');
    expect(await store.get(...key('a'))).toEqual(entry('a', 5, 5));
  });

  it('of a record that another transaction is about to insert comes back expired too, if that goes back', async () => {
    await using place = await onPostgres(DDL);
    const [store] = await twoStores(place);
    const lock = await place.begun("INSERT INTO things VALUES ('a', 7)");
    const put = store.putIfNewer(entry('a', 5, 5), later(store, 1_500));
    await place.waiting(1);
    expect(await put).toEqual({ kind: 'expired' });
    await lock.query('ROLLBACK');
    expect(await store.get(...key('a'))).toBeUndefined();
  });

  it('looks at the clock again when it has the lock, however late the client thinks it is', async () => {
    await using place = await onPostgres(DDL);
    const [store] = await twoStores(place);
    await store.putIfNewer(entry('a', 5, 5), later(store));
    // Only the lock of a row that the record refers to is waited for, behind all of the write's own conditions.
    await place.rows('CREATE TABLE numbers (n int4 PRIMARY KEY)');
    await place.rows('INSERT INTO numbers VALUES (1), (5)');
    await place.rows('ALTER TABLE things ADD FOREIGN KEY (n) REFERENCES numbers');
    const lock = await place.begun('SELECT * FROM numbers WHERE n = 1 FOR UPDATE');
    expect(await store.putIfNewer(entry('a', 9, 1), later(store, 300))).toEqual({ kind: 'expired' });
    await lock.query('COMMIT');
    expect(await store.get(...key('a'))).toEqual(entry('a', 5, 5));
  });

  it.for(['put', 'delete'])('is not applied late by its statement alone, should no timer end it: %s', async (what) => {
    await using place = await onPostgres(DDL);
    const [store] = await twoStores(place);
    await store.putIfNewer(entry('a', 5, 5), later(store));
    const lock = await place.begun("SELECT * FROM things_changeover WHERE id = 'a' FOR UPDATE");
    const put = store.putIfNewer(entry('a', 6, what === 'put' ? 6 : null), later(store, 2_500));
    await place.waiting(1);
    const [[statement] = []] = await place.rows(
      "SELECT query FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'",
    );
    const [[now] = []] = await place.rows('SELECT extract(epoch FROM clock_timestamp()) * 1000');
    const client = await place.raw();
    const stamp = Buffer.from(makeStamp(7, 0, 1), 'hex');
    const deadline = Number(now) + 100;
    const alone = client.query(String(statement), [...(what === 'put' ? ['a', 7] : ['a']), stamp, deadline]);
    expect(await put).toEqual({ kind: 'expired' });
    await lock.query('COMMIT');
    await alone;
    expect(await store.get(...key('a'))).toEqual(entry('a', 5, 5));
  });

  it('that waits again when a check of the table is due at its end is late then too', async () => {
    await using place = await onPostgres(`CREATE TABLE parents (n int4 PRIMARY KEY); INSERT INTO parents VALUES (1);
      CREATE TABLE things (id text PRIMARY KEY, n int4 REFERENCES parents DEFERRABLE INITIALLY DEFERRED)`);
    const [store] = await twoStores(place);
    for (const [id, put] of [
      ['a', (e: Entry, deadline: number) => store.putIfNewer(e, deadline)],
      ['b', (e: Entry, deadline: number) => store.putManyIfNewer([e, entry('c', 9, 1)], deadline)],
    ] as const) {
      await store.putIfNewer(entry(id, 5, null), later(store));
      const stamps = await place.begun('SELECT 1 FROM things_changeover FOR UPDATE');
      const parents = await place.begun('DELETE FROM parents');
      const deadline = store.now() + 2_400;
      const done = put(entry(id, 9, 1), deadline);
      await place.waiting(1);
      await new Promise((resolve) => setTimeout(resolve, 1_300));
      await stamps.query('ROLLBACK');
      // Each wait is shorter than the whole time that there was, and both together are longer.
      while (store.now() < deadline + 150) await new Promise((resolve) => setTimeout(resolve, 20));
      await parents.query('ROLLBACK');
      for (const outcome of [await done].flat()) expect(outcome).toEqual({ kind: 'expired' });
      expect(await place.rows('SELECT * FROM things')).toEqual([]);
    }
  });

  it('that is late already when it arrives changes nothing, whatever its client thinks of the time', async () => {
    await using place = await onPostgres(DDL);
    const [store] = await twoStores(place);
    await store.putIfNewer(entry('a', 5, 5), later(store));
    let behind = 0;
    const clock = { ...systemClock, monotonic: () => systemClock.monotonic() - behind };
    const definition = sql({ client: 'pg', connection: place.url, table: 'things' });
    const slow = await definition.create({ migration: 'm', side: 'new', keys, codec: identityCodec, clock });
    await slow.open();
    behind = 60_000;
    const deadline = store.now() - 1;
    const expected = { kind: 'version', stamp: makeStamp(5, 0, 1) } as const;
    const byValue = { ...expected, value: { id: 'a', n: 5 } };
    expect(await slow.putIfNewer(entry('a', 6, 6), deadline)).toEqual({ kind: 'expired' });
    expect(await slow.putIfNewer(entry('a', 6, null), deadline)).toEqual({ kind: 'expired' });
    expect(await slow.compareAndSet(entry('a', 6, 6), expected, deadline)).toEqual({ kind: 'expired' });
    expect(await slow.compareAndSet(entry('a', 6, 6), byValue, deadline)).toEqual({ kind: 'expired' });
    expect(await slow.putPlain(plain('a', 6), deadline)).toEqual({ kind: 'expired' });
    expect(await slow.putManyIfNewer([entry('a', 6, 6), entry('b', 6, 6)], deadline)).toEqual([
      { kind: 'expired' },
      { kind: 'expired' },
    ]);
    await slow.close();
    expect(await store.get(...key('a'))).toEqual(entry('a', 5, 5));
    expect(await store.get(...key('b'))).toBeUndefined();
  });

  it('is applied once the lock is free', async () => {
    await using place = await onPostgres(DDL);
    const [store, other] = await twoStores(place);
    await store.putIfNewer(entry('a', 5, 5), later(store));
    const lock = await place.begun("SELECT * FROM things_changeover WHERE id = 'a' FOR UPDATE");
    const both = [
      store.putIfNewer(entry('a', 6, 6), later(store)),
      other.putIfNewer(entry('a', 7, null), later(store)),
    ];
    await place.waiting(2);
    await lock.query('COMMIT');
    const kinds = (await Promise.all(both)).map(({ kind }) => kind);
    expect(kinds[1]).toBe('applied');
    expect(await store.get(...key('a'))).toEqual(entry('a', 7, null));
    expect(await place.rows('SELECT * FROM things')).toEqual([]);
  });

  it('keeps no others of its batch: they are applied without it', async () => {
    await using place = await onPostgres(DDL);
    const [store] = await twoStores(place);
    await store.putIfNewer(entry('k 13', 1, 1), later(store));
    const lock = await place.begun("SELECT * FROM things WHERE id = 'k 13' FOR UPDATE");
    const batch = Array.from({ length: 40 }, (_, i) => entry(`k ${i}`, 5, i));
    const outcomes = await store.putManyIfNewer(batch, later(store, 8_000));
    expect(outcomes.map(({ kind }) => kind)).toEqual(batch.map((_, i) => (i === 13 ? 'expired' : 'applied')));
    await lock.query('COMMIT');
    expect(await store.get(...key('k 13'))).toEqual(entry('k 13', 1, 1));
    expect(await store.get(...key('k 12'))).toEqual(entry('k 12', 5, 12));
  });
});

describePostgres('R2 on PostgreSQL', () => {
  // Each trace holds the stamp's lock, lets both writes queue behind it, and so gives both a snapshot of before.
  it.for([
    ['insert', 'delete', 6, 7],
    ['insert', 'delete', 7, 6],
    ['delete', 'insert', 6, 7],
    ['delete', 'insert', 7, 6],
  ] as const)(
    '%s then %s of a key with a tombstone, stamps %i and %i, agree on stamp and value (scenario 37)',
    async ([first, second, firstStamp, secondStamp]) => {
      await using place = await onPostgres(DDL);
      const stores = await twoStores(place);
      await stores[0].putIfNewer(entry('a', 5, null), later(stores[0]));
      const lock = await place.begun("SELECT * FROM things_changeover WHERE id = 'a' FOR UPDATE");
      const put = (i: 0 | 1, what: string, stamp: number) =>
        stores[i].putIfNewer(entry('a', stamp, what === 'insert' ? stamp : null), later(stores[i]));
      const one = put(0, first, firstStamp);
      await place.waiting(1);
      const two = put(1, second, secondStamp);
      await place.waiting(2);
      await lock.query('COMMIT');
      await Promise.all([one, two]);
      const winner = firstStamp > secondStamp ? first : second;
      expect(await stores[0].get(...key('a'))).toEqual(entry('a', 7, winner === 'insert' ? 7 : null));
      expect(await place.rows('SELECT count(*) FROM things')).toEqual([[winner === 'insert' ? '1' : '0']]);
    },
  );

  it('a delete removes the record that was inserted while it waited, which its own first look could not see', async () => {
    await using place = await onPostgres(DDL);
    const [store] = await twoStores(place);
    // The insert holds the lock of a stamp row that nobody else can see yet.
    const insert = await place.begun(
      "INSERT INTO things_changeover VALUES ('a', '\\x000000000006000000000001', false)",
      "INSERT INTO things VALUES ('a', 6)",
    );
    const remove = store.putIfNewer(entry('a', 7, null), later(store));
    await place.waiting(1);
    await insert.query('COMMIT');
    expect(await remove).toEqual(APPLIED_OVER);
    expect(await place.rows('SELECT * FROM things')).toEqual([]);
    expect(await store.get(...key('a'))).toEqual(entry('a', 7, null));
  });

  it('an older put that waited behind a delete does not bring the record back', async () => {
    await using place = await onPostgres(DDL);
    const [store] = await twoStores(place);
    const remove = await place.begun("INSERT INTO things_changeover VALUES ('a', '\\x000000000009000000000001', true)");
    const put = store.putIfNewer(entry('a', 7, 7), later(store));
    await place.waiting(1);
    await remove.query('COMMIT');
    expect(await put).toEqual({ kind: 'superseded', stamp: makeStamp(9, 0, 1) });
    expect(await place.rows('SELECT * FROM things')).toEqual([]);
  });

  it('of two creates that both saw nothing one conflicts, and leaves no stamp of its own', async () => {
    await using place = await onPostgres(DDL);
    const [store] = await twoStores(place);
    const create = await place.begun("INSERT INTO things VALUES ('a', 1)");
    const other = store.compareAndSet(entry('a', 7, 7), { kind: 'absent' }, later(store));
    await place.waiting(1);
    await create.query('COMMIT');
    expect(await other).toEqual({ kind: 'conflict' });
    expect(await place.rows('SELECT * FROM things_changeover')).toEqual([]);
    expect(await store.get(...key('a'))).toEqual(plain('a', 1));
  });

  it('a compare-and-set by value sees a plain write that it waited for', async () => {
    await using place = await onPostgres(DDL);
    const [store] = await twoStores(place);
    await store.putIfNewer(entry('a', 5, 5), later(store));
    const write = await place.begun("UPDATE things SET n = 6 WHERE id = 'a'");
    const expected = { kind: 'version', stamp: makeStamp(5, 0, 1), value: { id: 'a', n: 5 } } as const;
    const cas = store.compareAndSet(entry('a', 7, 7), expected, later(store));
    await place.waiting(1);
    await write.query('COMMIT');
    expect(await cas).toEqual({ kind: 'conflict' });
    expect(await place.rows('SELECT n FROM things')).toEqual([['6']]);
  });

  it('holds whatever isolation the role begins its transactions with', async () => {
    await using place = await onPostgres(DDL);
    const connection = { connectionString: place.url, options: '-c default_transaction_isolation=serializable' };
    const [store] = await twoStores(place, { connection });
    const insert = await place.begun(
      "INSERT INTO things_changeover VALUES ('a', '\\x000000000006000000000001', false)",
      "INSERT INTO things VALUES ('a', 6)",
    );
    const remove = store.putIfNewer(entry('a', 7, null), later(store));
    await place.waiting(1);
    await insert.query('COMMIT');
    expect(await remove).toEqual(APPLIED_OVER);
    expect(await place.rows('SELECT * FROM things')).toEqual([]);
  });

  it('batches over the same keys in different orders never wait for each other in a circle', async () => {
    await using place = await onPostgres(DDL);
    const stores = await twoStores(place);
    const count = 120;
    const rounds = Array.from({ length: 12 }, (_, round) => {
      const batch = Array.from({ length: count }, (_, i) =>
        entry(`k ${(i * 7 + round * 31) % count}`, 10 + round, round % 3 ? i : null),
      );
      return (stores[round % 2] as Store).putManyIfNewer(round % 2 ? batch : batch.toReversed(), later(stores[0]));
    });
    const kinds = new Set((await Promise.all(rounds)).flat().map(({ kind }) => kind));
    expect([...kinds].filter((kind) => kind !== 'applied' && kind !== 'superseded')).toEqual([]);
    const found = await stores[0].getMany(Array.from({ length: count }, (_, i) => entry(`k ${i}`, 1, 1)));
    expect(new Set(found.map((one) => one?.stamp))).toEqual(new Set([makeStamp(21, 0, 1)]));
  });
});

describePostgres('a lost connection', () => {
  const terminate = (place: PostgresPlace): Promise<unknown> =>
    place.rows(
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'changeover' AND state = 'active'",
    );

  it('in the middle of a put is a fault of unknown outcome, and the next put has another connection', async () => {
    await using place = await onPostgres(DDL);
    const [store] = await twoStores(place);
    await store.putIfNewer(entry('a', 5, 5), later(store));
    const lock = await place.begun("SELECT * FROM things_changeover WHERE id = 'a' FOR UPDATE");
    const put = store.putIfNewer(entry('a', 6, 6), later(store)).catch((error: unknown) => error);
    const many = store.putManyIfNewer([entry('a', 7, 7), entry('b', 7, 7)], later(store));
    await place.waiting(2);
    await terminate(place);
    const error = await put;
    expect(error).toBeInstanceOf(StoreFault);
    expect(error).toMatchObject({ outcome: 'unknown' });
    expect(await many).toMatchObject([
      { kind: 'fault', outcome: 'unknown' },
      { kind: 'fault', outcome: 'unknown' },
    ]);
    await lock.query('COMMIT');
    expect(await store.putIfNewer(entry('a', 8, 8), later(store))).toEqual(APPLIED_OVER);
  });

  it('between puts is not noticed by anybody', async () => {
    await using place = await onPostgres(DDL);
    const [store] = await twoStores(place);
    expect(await store.putIfNewer(entry('a', 5, 5), later(store))).toEqual(APPLIED_NEW);
    await place.rows(
      "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'changeover'",
    );
    // The client learns of it with the next turn of its event loop.
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(await store.putIfNewer(entry('a', 6, 6), later(store))).toEqual(APPLIED_OVER);
    expect(await store.get(...key('a'))).toEqual(entry('a', 6, 6));
  });

  it('that cannot be made is a fault with nothing written that tells no secret', async () => {
    await using place = await onPostgres(DDL);
    const url = new URL(place.url);
    url.password = 'sesame';
    url.port = '1';
    const error = await place.open({ connection: url.href }, keys).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(StoreFault);
    expect(error).toMatchObject({ outcome: 'nothing-written', message: 'postgres things: ECONNREFUSED' });
    url.port = new URL(place.url).port;
    url.username = 'nobody_of_this_name';
    const refused = await place.open({ connection: url.href }, keys).catch((reason: unknown) => reason);
    expect(refused).toMatchObject({ outcome: 'nothing-written' });
    expect(String((refused as Error).message)).not.toContain('sesame');
  });

  it('that none is free for in time is a fault with nothing written, under pressure', async () => {
    await using place = await onPostgres(DDL);
    const [store] = await twoStores(place, { pool: 1 });
    await store.putIfNewer(entry('a', 5, 5), later(store));
    const lock = await place.begun("SELECT * FROM things_changeover WHERE id = 'a' FOR UPDATE");
    const slow = store.putIfNewer(entry('a', 6, 6), later(store));
    await place.waiting(1);
    const error = await store.putIfNewer(entry('b', 6, 6), later(store, 1_500)).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ outcome: 'nothing-written', pressure: true });
    await lock.query('COMMIT');
    expect(await slow).toEqual(APPLIED_OVER);
  });
});
