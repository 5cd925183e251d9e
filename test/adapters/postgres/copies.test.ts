import { describe, expect, it } from 'vitest';
import { KeySpec } from '../../../src/core/record-key.ts';
import { makeStamp, STAMP_MIN, type Stamp } from '../../../src/core/stamp.ts';
import type { Entry, Store } from '../../../src/core/store.ts';
import { testServer } from '../../support/servers.ts';
import { onPostgres, type PostgresPlace } from '../postgres-harness.ts';

const describePostgres = describe.skipIf(testServer('postgres').missing !== undefined);
const KEYS = new KeySpec(['id'], ['id']);
const DDL = 'CREATE TABLE things (id text PRIMARY KEY, n int4 CHECK (n >= 0))';

const entryOf = (id: string, stamp: Stamp, n: number | null): Entry => {
  const key = { id };
  return { id: KEYS.id(key), key, stamp, value: n === null ? null : { id, n } };
};
const entry = (id: string, ms: number, n: number | null): Entry => entryOf(id, makeStamp(ms, 0, 1), n);
/** As a replay puts what never had a stamp. */
const copy = (id: string, n: number): Entry => entryOf(id, STAMP_MIN, n);
const later = (store: Store): number => store.now() + 20_000;
const put = (store: Store, entries: readonly Entry[]) => store.putManyIfNewer(entries, later(store));

async function newStore(place: PostgresPlace): Promise<Store> {
  const store = await place.open({}, KEYS);
  await store.prepare();
  return store;
}

const stampRows = (place: PostgresPlace) => place.rows('SELECT * FROM things_changeover ORDER BY id');
const records = (place: PostgresPlace) => place.rows('SELECT id, n FROM things ORDER BY id');

describePostgres('copies of records that never had a stamp, in a new store that was empty', () => {
  it('have no row among the stamps, and read as if they had the least one', async () => {
    await using place = await onPostgres(DDL, 'new');
    const store = await newStore(place);
    const copies = [copy('a', 1), copy('b', 2), copy('c', 3)];
    expect(await put(store, copies)).toEqual(copies.map(() => ({ kind: 'applied', previous: 'absent' })));
    expect(await stampRows(place)).toEqual([]);
    const [partition] = await store.partitions(1);
    for (const recordsOnly of [false, true]) {
      for await (const page of store.scan(partition!, { pageSize: 10, recordsOnly })) {
        expect(page.entries).toEqual(copies);
      }
    }
    expect(await store.getMany(copies)).toEqual(copies);
    expect(await store.get(copies[0]!.id, copies[0]!.key)).toEqual(copies[0]);
    expect(await store.list({ id: 'b' }, null, 5)).toEqual([copies[1]]);
    expect(await store.stamps?.([...copies, copy('none', 0)])).toEqual([STAMP_MIN, STAMP_MIN, STAMP_MIN, null]);
  });

  it('are put again under a stamp where one meets a record, and leave what is newer', async () => {
    await using place = await onPostgres(DDL, 'new');
    const store = await newStore(place);
    await put(store, [copy('a', 1), copy('b', 2)]);
    await put(store, [entry('c', 5, 3), entry('d', 6, null)]);
    // Somebody else put one there, and may have changed another.
    await place.rows("INSERT INTO things VALUES ('f', 0)");
    await place.rows("UPDATE things SET n = 0 WHERE id = 'b'");
    const over = { kind: 'applied', previous: 'record' };
    const same = { kind: 'applied', previous: 'same' };
    expect(await store.putIfNewer(copy('a', 1), later(store))).toEqual(over);
    const batch = ['a', 'b', 'c', 'd', 'e', 'f'].map((id, i) => copy(id, i + 1));
    const newer = [
      { kind: 'superseded', stamp: makeStamp(5, 0, 1) },
      { kind: 'superseded', stamp: makeStamp(6, 0, 1) },
    ];
    expect(await put(store, batch)).toEqual([same, over, ...newer, { kind: 'applied', previous: 'absent' }, over]);
    expect((await stampRows(place)).map(([id]) => id)).toEqual(['a', 'b', 'c', 'd', 'f']);
    expect(await put(store, batch)).toEqual([same, same, ...newer, over, same]);
    expect(await records(place)).toEqual([
      ['a', '1'],
      ['b', '2'],
      ['c', '3'],
      ['e', '5'],
      ['f', '6'],
    ]);
  });

  it('wait for no delete: they get stamps while one is written, and for a while after', async () => {
    await using place = await onPostgres(DDL, 'new');
    const [deleter, copier] = [await newStore(place), await newStore(place)];
    await deleter.putIfNewer(entry('gone', 1, 1), later(deleter));
    const held = await place.begun("SELECT * FROM things_changeover WHERE id = 'gone' FOR UPDATE");
    const removed = deleter.putIfNewer(entry('gone', 5, null), later(deleter));
    await place.waiting(1);
    const batchOf = (name: string) => Array.from({ length: 5 }, (_, i) => copy(`${name}${i}`, i));
    const outcomes = await put(copier, batchOf('a'));
    expect(outcomes.map(({ kind }) => kind)).toEqual(outcomes.map(() => 'applied'));
    expect(await stampRows(place)).toHaveLength(6);
    await held.query('ROLLBACK');
    expect(await removed).toEqual({ kind: 'applied', previous: 'record' });
    for (const name of 'bc') await put(copier, batchOf(name));
    expect(await stampRows(place)).toHaveLength(16);
    // Another process has not met it.
    await put(deleter, batchOf('d'));
    expect(await stampRows(place)).toHaveLength(16);
    expect(await records(place)).toHaveLength(20);
  });

  it('are held off by a delete in whatever slot one may be, and at the gate before all', async () => {
    await using place = await onPostgres(DDL, 'new');
    const store = await newStore(place);
    await store.putIfNewer(entry('gone', 1, 1), later(store));
    const held = await place.begun("SELECT * FROM things_changeover WHERE id = 'gone' FOR UPDATE");
    const removed = store.putIfNewer(entry('gone', 5, null), later(store));
    await place.waiting(1);
    const locks = await place.rows(`SELECT objid FROM pg_locks WHERE locktype = 'advisory' AND mode = 'ShareLock'
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) ORDER BY objid::int8`);
    const slots = Array.from({ length: 16 }, (_, slot) => [String(slot)]);
    const gate = [String(2 ** 32 - 1)];
    expect(locks).toEqual([...slots, gate]);
    await held.query('ROLLBACK');
    expect(await removed).toEqual({ kind: 'applied', previous: 'record' });
  });

  it('do not wait for each other, however many are under way', async () => {
    await using place = await onPostgres(DDL, 'new');
    const stores = await Promise.all(Array.from({ length: 3 }, () => newStore(place)));
    const batches = stores.flatMap((store, s) =>
      Array.from({ length: 12 }, (_, b) => () => put(store, [copy(`${s} ${b} x`, 1), copy(`${s} ${b} y`, 2)])),
    );
    const outcomes = (await Promise.all(batches.map((batch) => batch()))).flat();
    expect(outcomes.map(({ kind }) => kind)).toEqual(outcomes.map(() => 'applied'));
    expect(await records(place)).toHaveLength(72);
  });

  it('are put beside stamped records and tombstones of the same batch', async () => {
    await using place = await onPostgres(DDL, 'new');
    const store = await newStore(place);
    const batch = [copy('a', 1), entry('b', 5, 2), copy('c', 3), entry('d', 6, null), entry('e', 7, 5), copy('f', 6)];
    expect((await put(store, batch)).map(({ kind }) => kind)).toEqual(batch.map(() => 'applied'));
    expect(await store.getMany(batch)).toEqual(batch);
    expect((await stampRows(place)).map(([id]) => id)).toEqual(['b', 'd', 'e']);
  });

  it('give way to puts, deletes and updates over what was read', async () => {
    await using place = await onPostgres(DDL, 'new');
    const store = await newStore(place);
    const ids = ['put', 'delete', 'update', 'update away', 'by value', 'stamped', 'changed'];
    await put(
      store,
      ids.map((id) => copy(id, 1)),
    );
    // One has its least stamp in a row, as a put of its own leaves it.
    await store.putIfNewer(copy('stamped alone', 1), later(store));
    const read = { kind: 'version', stamp: STAMP_MIN } as const;
    const over = { kind: 'applied', previous: 'record' };
    expect(await store.putIfNewer(entry('put', 5, 2), later(store))).toEqual(over);
    expect(await store.putIfNewer(entry('delete', 5, null), later(store))).toEqual(over);
    expect(await store.compareAndSet(entry('update', 5, 2), read, later(store))).toEqual(over);
    expect(await store.compareAndSet(entry('stamped alone', 5, 2), read, later(store))).toEqual(over);
    expect(await store.compareAndSet(entry('update away', 5, null), read, later(store))).toEqual(over);
    const byValue = { ...read, value: { id: 'by value', n: 1 } };
    expect(await store.compareAndSet(entry('by value', 5, 2), byValue, later(store))).toEqual(over);
    const conflict = { kind: 'conflict' };
    await store.putIfNewer(entry('changed', 4, 9), later(store));
    expect(await store.compareAndSet(entry('changed', 5, 2), read, later(store))).toEqual(conflict);
    expect(await store.compareAndSet(entry('update', 6, 2), read, later(store))).toEqual(conflict);
    expect(await store.compareAndSet(entry('delete', 6, 2), read, later(store))).toEqual(conflict);
    expect(await store.compareAndSet(entry('never there', 6, 2), read, later(store))).toEqual(conflict);
    expect(await store.compareAndSet(entry('stamped', 6, 2), { kind: 'absent' }, later(store))).toEqual(conflict);
    expect(await records(place)).toEqual([
      ['by value', '2'],
      ['changed', '9'],
      ['put', '2'],
      ['stamped', '1'],
      ['stamped alone', '2'],
      ['update', '2'],
    ]);
  });

  it('that the table refuses are named, and only they', async () => {
    await using place = await onPostgres(DDL, 'new');
    const store = await newStore(place);
    const batch = Array.from({ length: 40 }, (_, i) => copy(`k${String(i).padStart(2, '0')}`, i % 13 === 5 ? -1 : i));
    const outcomes = await put(store, batch);
    expect(outcomes.map(({ kind }) => kind)).toEqual(batch.map((_, i) => (i % 13 === 5 ? 'rejected' : 'applied')));
    expect(await store.getMany(batch)).toEqual(batch.map((each, i) => (i % 13 === 5 ? undefined : each)));
  });

  it('are written one by one where a trigger keeps some away', async () => {
    await using place = await onPostgres(
      `${DDL}; CREATE FUNCTION away() RETURNS trigger LANGUAGE plpgsql AS
         $$ BEGIN IF NEW.id = 'k7' THEN RETURN NULL; END IF; RETURN NEW; END $$;
       CREATE TRIGGER away BEFORE INSERT ON things FOR EACH ROW EXECUTE FUNCTION away()`,
      'new',
    );
    const store = await newStore(place);
    const outcomes = await put(
      store,
      Array.from({ length: 20 }, (_, i) => copy(`k${i}`, i)),
    );
    expect(outcomes[7]).toMatchObject({ kind: 'rejected', reason: 'constraint' });
    expect(outcomes.filter(({ kind }) => kind === 'applied')).toHaveLength(19);
    expect(await stampRows(place)).toEqual([]);
  });

  // The two writes are each held in their middle, where neither sees what the other one did.
  it('do not come back behind a delete that they met half-way', async () => {
    await using place = await onPostgres(DDL, 'new');
    const [deleter, copier] = [await newStore(place), await newStore(place)];
    // The delete waits for the lock of a stamp row that goes away again.
    const held = await place.begun("INSERT INTO things_changeover VALUES ('b', '\\x000000000001000000000001', true)");
    const removed = deleter.putIfNewer(entry('b', 5, null), later(deleter));
    await place.waiting(1);
    const copied = put(copier, [copy('a', 1), copy('b', 2), copy('c', 3)]);
    await place.waiting(2);
    await held.query('ROLLBACK');
    expect(await removed).toMatchObject({ kind: 'applied' });
    // Whoever had the lock first: the delete is newer.
    expect((await copied).map(({ kind }) => kind)).toEqual([
      'applied',
      expect.stringMatching(/applied|superseded/),
      'applied',
    ]);
    expect(await records(place)).toEqual([
      ['a', '1'],
      ['c', '3'],
    ]);
  });

  it.for(['one delete', 'deletes of a batch', 'a delete of what was read'])(
    'are removed by %s that met them half-way',
    async (what) => {
      await using place = await onPostgres(DDL, 'new');
      const [copier, deleter] = [await newStore(place), await newStore(place)];
      // The batch has inserted `a`, and waits for whoever is about to insert `b`.
      const held = await place.begun("INSERT INTO things VALUES ('b', 7)");
      const copied = put(copier, [copy('a', 1), copy('b', 2)]);
      await place.waiting(1);
      const removed =
        what === 'one delete'
          ? deleter.putIfNewer(entry('a', 5, null), later(deleter))
          : what === 'deletes of a batch'
            ? put(deleter, [entry('a', 5, null), entry('c', 5, null)])
            : deleter.compareAndSet(
                entry('a', 5, null),
                { kind: 'version', stamp: STAMP_MIN, value: { id: 'a', n: 1 } },
                later(deleter),
              );
      await place.waiting(2);
      await held.query('ROLLBACK');
      expect((await copied).map(({ kind }) => kind)).toEqual(['applied', 'applied']);
      expect([await removed].flat()[0]).toEqual({ kind: 'applied', previous: 'record' });
      expect(await records(place)).toEqual([['b', '2']]);
    },
  );

  it('agree with the greatest stamp, whoever puts, deletes and copies the same keys at once', async () => {
    await using place = await onPostgres(DDL, 'new');
    const stores = await Promise.all(Array.from({ length: 4 }, () => newStore(place)));
    const ids = Array.from({ length: 60 }, (_, i) => `k${String(i).padStart(2, '0')}`);
    const tops = new Map<string, Entry>();
    const write = async (store: Store, salt: number): Promise<void> => {
      for (const [i, id] of ids.entries()) {
        const ms = 1 + ((i * 7 + salt * 13) % 31);
        const written = entryOf(id, makeStamp(ms, 0, salt), (i + salt) % 2 === 0 ? null : salt);
        const top = tops.get(id);
        if (top === undefined || (top.stamp ?? '') < (written.stamp ?? '')) tops.set(id, written);
        await (i % 3 === 0 ? put(store, [written]) : store.putIfNewer(written, later(store)));
      }
    };
    const copyAll = async (store: Store): Promise<void> => {
      for (let round = 0; round < 12; round += 1) {
        const from = (round * 17) % ids.length;
        await put(
          store,
          ids.slice(from, from + 25).map((id) => copy(id, 0)),
        );
      }
    };
    const [one, two, three, four] = stores as [Store, Store, Store, Store];
    await Promise.all([write(one, 1), write(two, 2), copyAll(three), copyAll(four)]);
    expect(await one.getMany([...tops.values()])).toEqual([...tops.values()]);
    const live = [...tops.values()].filter(({ value }) => value !== null);
    expect((await records(place)).map(([id]) => id)).toEqual(live.map(({ key }) => key['id']).sort());
  });
});

describePostgres('records without a stamp are no copies', () => {
  it('in a new store that was not empty: a replay goes over them, whatever they say', async () => {
    await using place = await onPostgres(`${DDL}; INSERT INTO things VALUES ('stale', 1)`, 'new');
    const store = await newStore(place);
    const batch = [copy('stale', 2), copy('fresh', 3)];
    expect(await store.stamps?.(batch)).toEqual([null, null]);
    expect(await put(store, batch)).toEqual([
      { kind: 'applied', previous: 'record' },
      { kind: 'applied', previous: 'absent' },
    ]);
    expect(await store.stamps?.(batch)).toEqual([STAMP_MIN, STAMP_MIN]);
    expect(await records(place)).toEqual([
      ['fresh', '3'],
      ['stale', '2'],
    ]);
  });

  it('in an old store, whose plain records are its service’s own', async () => {
    await using place = await onPostgres(DDL, 'old');
    const store = await newStore(place);
    await store.putPlain({ ...copy('a', 1), stamp: null }, later(store));
    expect(await store.stamps?.([copy('a', 1)])).toEqual([null]);
  });

  it('any more once the migration has ended, however long a process lives', async () => {
    await using place = await onPostgres(DDL, 'new');
    const [store, other] = [await newStore(place), await newStore(place)];
    await put(store, [copy('a', 1), copy('b', 2)]);
    expect((await other.get(KEYS.id({ id: 'a' }), { id: 'a' }))?.stamp).toBe(STAMP_MIN);
    await store.finish({});
    expect((await other.get(KEYS.id({ id: 'a' }), { id: 'a' }))?.stamp).toBeNull();
    // Prepared for another one, they are what that one finds there.
    await store.prepare();
    expect((await store.get(KEYS.id({ id: 'a' }), { id: 'a' }))?.stamp).toBeNull();
  });
});
