import { describe, expect, it } from 'vitest';
import { KeySpec } from '../../../src/core/record-key.ts';
import { makeStamp } from '../../../src/core/stamp.ts';
import type { Entry, Store } from '../../../src/core/store.ts';
import { Decimal, type StoredRecord } from '../../../src/core/value.ts';
import { testServer } from '../../support/servers.ts';
import { onPostgres } from '../postgres-harness.ts';

const KEYS = new KeySpec(['id'], ['id']);
const describePostgres = describe.skipIf(testServer('postgres').missing !== undefined);

const entryOf = (record: StoredRecord, ms = 1): Entry => {
  const key = KEYS.keyOf(record);
  return { id: KEYS.id(key), key, stamp: makeStamp(ms, 0, 1), value: record };
};
const put = (store: Store, entries: readonly Entry[]) => store.putManyIfNewer(entries, store.now() + 60_000);

const COLUMNS = `id text PRIMARY KEY, s smallint, i integer, l bigint, d double precision, f real, b boolean, t text,
  v varchar(20), y bytea, j json, k jsonb, u uuid, m numeric, z timestamptz`;

/** Each field in turn is null. */
function record(n: number): StoredRecord {
  const fields: StoredRecord = {
    s: -(n % 30_000),
    i: n * 65_537 - 2 ** 30,
    l: 2n ** 62n + BigInt(n),
    d: n / 3,
    f: n + 0.5,
    b: n % 2 === 0,
    t: `"\\ {,} NULL \u{1f600} ${'ä'.repeat(n % 50)}`,
    v: `v${n}`,
    y: Uint8Array.of(0, 255, n % 256),
    j: { n, deep: [n, { '"': '\\' }] },
    k: [n, 'ü', null],
    u: `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`,
    m: new Decimal(`${n}.25`),
    z: new Date(1_700_000_000_000 + n),
  };
  const names = Object.keys(fields);
  return { ...fields, [names[n % (names.length + 1)] ?? 't']: null, id: `r${n}` };
}

describePostgres('a batch on PostgreSQL', () => {
  it('holds values of every type exactly, NULLs among them, inserted or put over others', async () => {
    await using place = await onPostgres(`CREATE TABLE things (${COLUMNS})`);
    const store = await place.open({ nulls: 'null' }, KEYS);
    await store.prepare();
    const range = Array.from({ length: 300 }, (_, n) => n);
    for (const shift of [0, 1]) {
      // The second time each row is another one's, under a newer stamp.
      const entries = range.map((n) => entryOf({ ...record(n + shift), id: `r${n}` }, 1 + shift));
      const previous = shift === 0 ? 'absent' : 'record';
      expect(await put(store, entries)).toStrictEqual(entries.map(() => ({ kind: 'applied', previous })));
      expect(await store.getMany(entries)).toStrictEqual(entries);
    }
  });

  it('with something there puts the others all the same, and says what became of each, batch after batch', async () => {
    await using place = await onPostgres('CREATE TABLE things (id text PRIMARY KEY, n integer NOT NULL)');
    const store = await place.open({}, KEYS);
    await store.prepare();
    await place.rows("INSERT INTO things VALUES ('plain', 0)");
    const some = (from: number, ms: number) =>
      Array.from({ length: 40 }, (_, i) => entryOf({ id: `k${from + i}`, n: ms }, ms));
    expect(new Set((await put(store, some(0, 5))).map(({ kind }) => kind))).toStrictEqual(new Set(['applied']));
    // Half of each batch is there with a newer stamp; a record without one is in the first.
    for (let round = 0; round < 30; round += 1) {
      const batch = [...some(round * 20, 4), ...(round === 0 ? [entryOf({ id: 'plain', n: 4 }, 4)] : [])];
      const outcomes = await put(store, batch);
      const newer = batch.filter(({ id }) => Number(/\d+/.exec(id)?.[0] ?? 99) < 40).length;
      expect(outcomes.filter(({ kind }) => kind === 'superseded')).toHaveLength(newer);
      expect(outcomes.filter(({ kind }) => kind === 'applied')).toHaveLength(batch.length - newer);
    }
    expect((await place.rows('SELECT count(*), sum(n) FROM things WHERE n = 5'))[0]).toStrictEqual(['40', '200']);
    expect(await place.rows('SELECT count(*) FROM things')).toStrictEqual([[String(29 * 20 + 40 + 1)]]);
  });

  it('writes no stamp of a record that a trigger keeps away', async () => {
    await using place = await onPostgres(
      `CREATE TABLE things (id text PRIMARY KEY);
       CREATE FUNCTION away() RETURNS trigger LANGUAGE plpgsql AS
         $$ BEGIN IF NEW.id = 'k7' THEN RETURN NULL; END IF; RETURN NEW; END $$;
       CREATE TRIGGER away BEFORE INSERT ON things FOR EACH ROW EXECUTE FUNCTION away()`,
    );
    const store = await place.open({}, KEYS);
    await store.prepare();
    const outcomes = await put(
      store,
      Array.from({ length: 20 }, (_, n) => entryOf({ id: `k${n}` })),
    );
    expect(outcomes.filter(({ kind }) => kind === 'applied')).toHaveLength(19);
    expect(outcomes[7]).toMatchObject({ kind: 'rejected', reason: 'constraint' });
    expect(await store.getMany([entryOf({ id: 'k7' })])).toStrictEqual([undefined]);
  });
});
