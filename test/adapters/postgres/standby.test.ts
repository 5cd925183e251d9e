import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { memory } from '../../../adapters/memory/index.ts';
import { sql } from '../../../adapters/sql/index.ts';
import { systemClock } from '../../../src/core/clock.ts';
import { StoreFault } from '../../../src/core/errors.ts';
import { KeySpec } from '../../../src/core/record-key.ts';
import { makeStamp } from '../../../src/core/stamp.ts';
import { type Entry, identityCodec, type Store } from '../../../src/core/store.ts';
import { control, defineConfig, migration } from '../../../src/index.ts';
import { OwnPostgres } from '../../support/own-postgres.ts';
import { testServer } from '../../support/servers.ts';
import { TcpProxy } from '../../support/tcp-proxy.ts';
import { onPostgres } from '../postgres-harness.ts';

const keys = new KeySpec(['id'], ['id']);
const SIMPLE = 'CREATE TABLE things (id text PRIMARY KEY, n int4)';
const later = (store: Store): number => store.now() + 60_000;
const entry = (id: string, ms: number): Entry => {
  const key = { id };
  return { id: keys.id(key), key, stamp: makeStamp(ms, 0, 1), value: { id, n: ms } };
};

describe('a standby', () => {
  let primary: OwnPostgres;
  let standby: OwnPostgres;
  beforeAll(async () => {
    primary = await OwnPostgres.create();
    const store = await made(primary.url);
    await (store.native as { raw(sql: string): Promise<unknown> }).raw(SIMPLE);
    await store.open();
    await store.prepare();
    await store.close();
    standby = await primary.replica();
  }, 120_000);
  afterAll(() => primary?.[Symbol.asyncDispose]());

  const made = (connection: string): Promise<Store> =>
    sql({ client: 'pg', connection, table: 'things' }).create({
      ...{ migration: 'things', side: 'old', keys, codec: identityCodec, clock: systemClock },
    });
  const REFUSED = {
    message:
      'postgres things: topology:replica: the server is a standby, not the primary: it takes no writes and its reads lag',
    outcome: 'nothing-written',
    expected: 'the primary',
    remedy: expect.stringMatching('a host that leads to the primary only'),
  };

  it('is no place to read from: a store does not open there, and doctor says why by name', async () => {
    const store = await made(standby.url);
    onTestFinished(() => store.close());
    await expect(store.open()).rejects.toBeInstanceOf(StoreFault);
    await expect(store.open()).rejects.toMatchObject(REFUSED);
    const definition = sql({ client: 'pg', connection: standby.url, table: 'things' });
    const config = defineConfig({
      control: primary.url,
      migrations: {
        things: migration<{ readonly id: string }>({ key: ['id'], unit: 'id', old: definition, new: memory() }),
      },
    });
    const operations = await control(config);
    onTestFinished(() => operations.close());
    const report = await operations.doctor('things');
    expect(report.stores.old.trouble).toMatchObject({ message: REFUSED.message, remedy: REFUSED.remedy });
  });

  it('that the name of a store leads to for a while is left when it leads to the primary again', async () => {
    const { proxy, url } = await TcpProxy.create(primary.url);
    await using _ = proxy;
    const store = await made(url);
    onTestFinished(() => store.close());
    await store.open();
    await store.putIfNewer(entry('a', 1), later(store));
    proxy.leadTo(standby.url);
    const write = (ms: number): Promise<unknown> => store.putIfNewer(entry('a', ms), later(store));
    // What was cut is found out at its next use.
    while ((await write(2).catch((error: StoreFault) => error.message)) !== REFUSED.message);
    await expect(write(2)).rejects.toMatchObject({ outcome: 'nothing-written', message: REFUSED.message });
    await expect(store.get('["a"]', { id: 'a' }), 'what is read there may be old').rejects.toMatchObject(REFUSED);
    proxy.leadTo(primary.url);
    expect(await write(3)).toMatchObject({ kind: 'applied' });
  });
});

describe.skipIf(testServer('postgres').missing !== undefined)('a connection that takes no writes', () => {
  it('is not kept: when the database takes them again, the next one is applied', async () => {
    await using place = await onPostgres(SIMPLE);
    await (await place.open({}, keys)).prepare();
    const database = new URL(place.url).pathname.slice(1);
    await place.rows(`ALTER DATABASE ${database} SET default_transaction_read_only = on`);
    const store = await place.open({ pool: 1 }, keys);
    const write = (ms: number): Promise<unknown> => store.putIfNewer(entry('a', ms), later(store));
    await expect(write(1)).rejects.toMatchObject({ outcome: 'nothing-written', message: 'postgres things: 25006' });
    await place.rows(`ALTER DATABASE ${database} RESET default_transaction_read_only`);
    expect(await write(2)).toMatchObject({ kind: 'applied' });
  });
});
