import { MongoClient } from 'mongodb';
import pg from 'pg';
import { describe, expect, onTestFinished, test } from 'vitest';
import { mongodb } from '../../adapters/mongodb/index.ts';
import { sql } from '../../adapters/sql/index.ts';
import { systemClock } from '../../src/core/clock.ts';
import { KeySpec } from '../../src/core/record-key.ts';
import { identityCodec, type Store, type StoreDefinition } from '../../src/core/store.ts';
import { OwnPostgres } from '../support/own-postgres.ts';
import { OwnReplicaSet } from '../support/own-replica-set.ts';

const LATE_MS = 400;

async function opened(definition: StoreDefinition): Promise<Store> {
  const keys = new KeySpec(['id'], ['id']);
  const store = await definition.create({
    migration: 'm',
    side: 'new',
    keys,
    codec: identityCodec,
    clock: systemClock,
  });
  onTestFinished(() => store.close());
  await store.open();
  return store;
}

/** Asks, and writes, until the answer fits. */
async function until(
  store: Store,
  write: () => Promise<unknown>,
  fits: (ms: number | null) => boolean,
): Promise<number | null> {
  for (;;) {
    await write();
    const ms = (await store.replicaLag?.()) ?? null;
    if (fits(ms)) return ms;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

const late = (ms: number | null): boolean => ms !== null && ms > LATE_MS;
const caughtUp = (ms: number | null): boolean => ms === 0;

describe('the lag of replicas', () => {
  test('is told by PostgreSQL while a standby applies nothing, and no more when it does', {
    timeout: 240_000,
  }, async () => {
    await using primary = await OwnPostgres.create();
    const connect = async (url: string): Promise<pg.Client> => {
      const client = new pg.Client(url);
      client.on('error', () => {});
      await client.connect();
      onTestFinished(() => client.end().catch(() => {}));
      return client;
    };
    const first = await connect(primary.url);
    await first.query('CREATE TABLE things (id text PRIMARY KEY)');
    await first.query('CREATE ROLE plain LOGIN');
    await first.query('GRANT ALL ON things TO plain');
    await first.end();
    const replica = await primary.replica();
    const admin = await connect(primary.url);
    const standby = await connect(replica.url);
    const write = () => admin.query('INSERT INTO things VALUES (gen_random_uuid())');
    const connection = { client: 'pg', table: 'things' } as const;
    const store = await opened(sql({ ...connection, connection: primary.url }));
    await until(store, write, caughtUp);
    await standby.query('SELECT pg_wal_replay_pause()');
    await until(store, write, late);
    await standby.query('SELECT pg_wal_replay_resume()');
    await until(store, write, caughtUp);

    const plain = new URL(primary.url);
    plain.username = 'plain';
    const unprivileged = await opened(sql({ ...connection, connection: plain.href }));
    expect(await unprivileged.replicaLag?.(), 'this user may not know').toBeNull();
    await replica.stop('SIGQUIT');
    await until(store, write, (ms) => ms === null);
  });

  test('is told by MongoDB while a secondary applies nothing, and no more when it does', {
    timeout: 240_000,
  }, async () => {
    await using set = await OwnReplicaSet.create();
    const client = await new MongoClient(set.url).connect();
    const things = client.db('app').collection('things');
    const write = () => things.insertOne({}, { writeConcern: { w: 1 } });
    await write();
    const store = await opened(mongodb({ url: set.url, database: 'app', collection: 'things', id: 'id' }));
    await until(store, write, caughtUp);
    const primary = (await client.db('admin').command({ hello: 1 }))['primary'] as string;
    const other = set.members.find((member) => !member.includes(primary)) as string;
    const secondary = await new MongoClient(other).connect();
    const admin = secondary.db('admin');
    // Not before what it copied to begin with is durable.
    const locked = () => admin.command({ fsync: 1, lock: true }).catch(() => null);
    while ((await locked()) === null) await write();
    await until(store, write, late);
    await admin.command({ fsyncUnlock: 1 });
    await until(store, write, caughtUp);
    await secondary.close();
    await client.close();
  });
});
