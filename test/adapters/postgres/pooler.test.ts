import type { Knex } from 'knex';
import type pg from 'pg';
import { describe, expect, it } from 'vitest';
import { KeySpec } from '../../../src/core/record-key.ts';
import { makeStamp } from '../../../src/core/stamp.ts';
import type { Entry, Store } from '../../../src/core/store.ts';
import { testServer } from '../../support/servers.ts';
import { onPostgres, type PostgresPlace } from '../postgres-harness.ts';

const keys = new KeySpec(['id'], ['id']);
const KEY = { id: 'a' };
const entry = (n: number): Entry => ({ id: keys.id(KEY), key: KEY, stamp: makeStamp(n, 0, 1), value: { ...KEY, n } });
const later = (store: Store): number => store.now() + 60_000;
const applied = { kind: 'applied' };

interface Named {
  readonly name: string;
  readonly statement: string;
}

/** Asks the session of a store that has one: what other clients of a pooler do there. */
async function onSession<T>(store: Store, ask: (client: pg.Client) => Promise<T>): Promise<T> {
  const { client } = store.native as Knex;
  const session = (await client.acquireConnection()) as pg.Client;
  try {
    return await ask(session);
  } finally {
    await client.releaseConnection(session);
  }
}

const named = (store: Store): Promise<readonly Named[]> =>
  onSession(store, async (client) => {
    const { rows } = await client.query<Named>("SELECT * FROM pg_prepared_statements WHERE name LIKE 'changeover%'");
    return rows;
  });

describe.skipIf(testServer('postgres').missing !== undefined)('a session that clients of a pooler share', () => {
  const made = async (place: PostgresPlace): Promise<Store> => {
    const store = await place.open({ pool: 1 }, keys);
    await store.prepare();
    return store;
  };
  const compared = (store: Store, from: number, to: number): Promise<unknown> => {
    const { stamp, value } = entry(from);
    return store.compareAndSet(entry(to), { kind: 'version', stamp, value }, later(store));
  };
  const everything = async (store: Store, n: number): Promise<void> => {
    expect(await store.putIfNewer(entry(n), later(store))).toMatchObject(applied);
    expect(await store.get(keys.id(KEY), KEY)).toEqual(entry(n));
    expect(await compared(store, n, n + 1)).toMatchObject(applied);
    expect(await compared(store, n, n + 2), 'another is there').not.toMatchObject(applied);
    expect(await store.putManyIfNewer([entry(n + 2)], later(store))).toMatchObject([applied]);
  };

  it('may know statements already that this client never sent', async () => {
    await using place = await onPostgres('CREATE TABLE things (id text PRIMARY KEY, n int4)');
    const other = await made(place);
    await everything(other, 1);
    const theirs = await named(other);
    const store = await made(place);
    await onSession(store, async (client) => {
      // What PREPARE does not take (BEGIN and the like) is left out, and so is what this client has sent as well.
      for (const { name, statement } of theirs) await client.query(`PREPARE ${name} AS ${statement}`).catch(() => {});
    });
    const known = await named(store);
    expect(known.length).toBeGreaterThan(theirs.length / 2);
    await everything(store, 10);
  });

  it('may know no longer what this client sent, in the middle of a transaction too', async () => {
    await using place = await onPostgres('CREATE TABLE things (id text PRIMARY KEY, n int4)');
    const store = await made(place);
    await everything(store, 1);
    const ends = (await named(store)).filter(({ statement }) => /^(COMMIT|ROLLBACK)$/.test(statement));
    await onSession(store, async (client) => {
      for (const { name } of ends) await client.query(`DEALLOCATE ${name}`);
    });
    expect(await compared(store, 3, 4)).toMatchObject(applied);
    await onSession(store, (client) => client.query('DEALLOCATE ALL'));
    await everything(store, 10);
  });
});
