import { randomBytes } from 'node:crypto';
import { inspect } from 'node:util';
import { afterAll, afterEach, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { ControlPlane } from '../../src/control/control-plane.ts';
import {
  openPostgresControl,
  type PostgresControlOptions,
  postgresStorage,
} from '../../src/control/postgres-control.ts';
import type { ControlStorage } from '../../src/control/storage.ts';
import { type Clock, systemClock } from '../../src/core/clock.ts';
import type { Change } from '../../src/core/control-client.ts';
import { ControlUnavailable, InvalidConfiguration, NotPrepared } from '../../src/core/errors.ts';
import { STAMP_MIN } from '../../src/core/stamp.ts';
import { Child } from '../support/child.ts';
import { ControlDatabase, schemaIn } from '../support/control-database.ts';
import { migrationRow, nodeRow } from '../support/control-rows.ts';
import { hasty } from '../support/hasty-clock.ts';
import { freshDatabase, testServer } from '../support/servers.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';

const { missing } = testServer('postgres');

describe.skipIf(missing !== undefined)('a control database on PostgreSQL', () => {
  let database: ControlDatabase;
  const children = new Set<Child>();
  beforeAll(async () => {
    database = await ControlDatabase.create(await freshDatabase('postgres'));
  });
  afterEach(async () => {
    for (const child of children) {
      child.kill();
      await child.ended;
    }
    children.clear();
  });
  afterAll(() => database?.drop());

  const open = (url: string, options: Partial<PostgresControlOptions> = {}): ControlStorage => {
    const { storage } = postgresStorage({ url, ...options });
    onTestFinished(() => storage.close());
    return storage;
  };
  const prepared = async (url: string, options: Partial<PostgresControlOptions> = {}): Promise<ControlStorage> => {
    const storage = open(url, options);
    await storage.prepare();
    return storage;
  };
  const counter = async (url: string, options: Partial<PostgresControlOptions> = {}): Promise<ControlStorage> => {
    const storage = await prepared(url, options);
    await storage.transaction((tx) => tx.insert('migrations', migrationRow('counter', { revision: 0 })));
    return storage;
  };
  const revision = (storage: ControlStorage): Promise<number | undefined> =>
    storage.read(async (tx) => (await tx.select('migrations', { name: 'counter' }))[0]?.revision);
  const increment = (storage: ControlStorage, meanwhile: () => Promise<unknown> = async () => {}): Promise<number> =>
    storage.transaction(async (tx) => {
      const [row] = await tx.select('migrations', { name: 'counter' });
      await meanwhile();
      return tx.update('migrations', { name: 'counter' }, { revision: (row?.revision ?? 0) + 1 });
    });
  const until = async (what: () => Promise<boolean>): Promise<void> => {
    while (!(await what())) await new Promise((resolve) => setTimeout(resolve, 10));
  };

  test('is NotPrepared where nothing was prepared, and nothing is made by looking', async () => {
    const url = database.newUrl();
    await expect(open(url).read((tx) => tx.count('nodes', {}))).rejects.toBeInstanceOf(NotPrepared);
    await expect(openPostgresControl({ url, prepare: false })).rejects.toBeInstanceOf(NotPrepared);
    expect(await database.query('select 1 from pg_namespace where nspname = $1', [schemaIn(url)])).toEqual([]);
    const storage = await prepared(url);
    await storage.prepare();
    expect(await storage.read((tx) => tx.count('nodes', {}))).toBe(0);
  });

  test('refuses a schema that is newer than the code, by name', async () => {
    const url = database.newUrl();
    await prepared(url);
    await database.query(`insert into ${schemaIn(url)}.changeover_schema (name, batch) values ('999-later', 2)`);
    for (const use of [
      (s: ControlStorage) => s.prepare(),
      (s: ControlStorage) => s.read((tx) => tx.count('nodes', {})),
    ]) {
      await expect(use(open(url))).rejects.toSatisfy(
        (error) => error instanceof InvalidConfiguration && error.message.includes('999-later'),
      );
    }
  });

  test('refuses a schema in which another application has such a table, and leaves it alone', async () => {
    const url = database.newUrl();
    const schema = schemaIn(url);
    await database.query(`create schema ${schema}; create table ${schema}.migrations (theirs int)`);
    await expect(open(url).prepare()).rejects.toSatisfy(
      (error) => error instanceof InvalidConfiguration && error.message.includes(`${schema}.migrations`),
    );
    const tables = await database.query('select table_name from information_schema.tables where table_schema = $1', [
      schema,
    ]);
    expect(tables).toEqual([{ table_name: 'migrations' }]);
  });

  test('says what a user lacks who may not make a schema, and needs no more than one', async () => {
    const name = `limited_${randomBytes(4).toString('hex')}`;
    await database.query(`create role ${name} login password 'not-a-secret'`);
    onTestFinished(async () => {
      await database.query(`drop owned by ${name} cascade`);
      await database.query(`drop role ${name}`);
    });
    const url = new URL(database.newUrl());
    url.username = name;
    url.password = 'not-a-secret';
    const refused = await open(url.href)
      .prepare()
      .catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(InvalidConfiguration);
    expect((refused as InvalidConfiguration).remedy).toContain(`create schema ${schemaIn(url.href)}`);
    await database.query(`create schema ${schemaIn(url.href)} authorization ${name}`);
    const storage = await counter(url.href);
    await increment(storage);
    expect(await revision(storage)).toBe(1);
    await storage.close();
  });

  test('keeps its texts in the order of characters, whatever the language of the database is', async () => {
    const url = database.newUrl();
    await prepared(url);
    const columns = await database.query(
      `select distinct data_type, collation_name from information_schema.columns
       where table_schema = $1 and table_name not like 'changeover%' and data_type not in ('bigint', 'boolean')
       order by data_type`,
      [schemaIn(url)],
    );
    expect(columns).toEqual([
      { data_type: 'double precision', collation_name: null },
      { data_type: 'text', collation_name: 'C' },
    ]);
  });

  test('gives incarnations from another place each time it is made anew', async () => {
    const first: number[] = [];
    for (let i = 0; i < 4; i += 1) {
      const storage = await prepared(database.newUrl());
      const ids = await storage.transaction(async (tx) => [
        await tx.insert('nodes', nodeRow()),
        await tx.insert('nodes', nodeRow()),
      ]);
      expect(ids[1]).toBe((ids[0] as number) + 1);
      expect(ids[0]).toBeGreaterThanOrEqual(1);
      expect(ids[0]).toBeLessThanOrEqual(2 ** 31);
      first.push(ids[0] as number);
    }
    expect(new Set(first).size).toBe(4);
  });

  test('gives no incarnation twice when its transaction was undone, nor when the process was killed', async () => {
    const url = database.newUrl();
    const storage = await prepared(url);
    const given: number[] = [];
    const join = (fails: boolean): Promise<void> =>
      storage.transaction(async (tx) => {
        given.push(await tx.insert('nodes', nodeRow()));
        if (fails) throw new Error('undone');
      });
    await join(false);
    await join(true).catch(() => {});
    await database.terminate(url);
    await join(false);
    expect(given).toEqual([...new Set(given)].toSorted((a, b) => a - b));
  });

  test('shows a transaction all that was committed before its turn came, and nothing later', async () => {
    const url = database.newUrl();
    const [first, second] = [await counter(url), open(url)];
    await revision(second);
    const entered = Promise.withResolvers<void>();
    const leave = Promise.withResolvers<void>();
    const one = first.transaction(async (tx) => {
      entered.resolve();
      await tx.insert('nodes', nodeRow());
      await leave.promise;
    });
    await entered.promise;
    let runs = 0;
    const other = second.transaction(async (tx) => {
      runs += 1;
      return tx.count('nodes', {});
    });
    await until(async () => {
      const states = await database.connections(url);
      return states.some(({ waits }) => waits === 'advisory');
    });
    leave.resolve();
    await one;
    expect(await other).toBe(1);
    expect(runs).toBe(1);
  });

  test('runs a transaction again whose connection was ended in its middle, and applies it once', async () => {
    const url = database.newUrl();
    const storage = await counter(url);
    let runs = 0;
    await increment(storage, async () => {
      runs += 1;
      if (runs === 1) expect(await database.terminate(url, 'idle in transaction')).toBe(1);
    });
    expect(runs).toBe(2);
    expect(await revision(storage)).toBe(1);
  });

  test('keeps no connection that takes no writes', async () => {
    const url = database.newUrl();
    await counter(url);
    const name = new URL(url).pathname.slice(1);
    await database.query(`alter database ${name} set default_transaction_read_only = on`);
    onTestFinished(
      async () => void (await database.query(`alter database ${name} reset default_transaction_read_only`)),
    );
    const storage = open(url);
    const refused = { code: 'CONTROL_UNAVAILABLE', message: expect.stringMatching('failed with 25006$') };
    await expect(increment(storage)).rejects.toMatchObject(refused);
    await database.query(`alter database ${name} reset default_transaction_read_only`);
    await increment(storage);
    expect(await revision(storage)).toBe(1);
  });

  test('says of what is asked at once why it failed, not that something before had failed', async () => {
    const storage = await counter(database.newUrl());
    const failed = storage.transactionAtOnce(async (tx) => {
      const asked = ['counter', 'another'].map((name) => tx.insert('migrations', migrationRow(name)));
      const [, second] = await Promise.allSettled(asked);
      if (second?.status === 'rejected') throw second.reason;
    });
    await expect(failed).rejects.toMatchObject({ code: '23505' });
  });

  test('does not notice that its connections were ended while they rested', async () => {
    const url = database.newUrl();
    const storage = await counter(url);
    expect(await revision(storage)).toBe(0);
    expect(await database.terminate(url)).toBeGreaterThanOrEqual(2);
    await increment(storage);
    expect(await revision(storage)).toBe(1);
  });

  test.each([
    ['before', 0],
    ['after', 1],
  ] as const)(
    'calls a commit whose line broke %s it arrived of unknown outcome, and does not repeat it',
    async (when, applied) => {
      const url = database.newUrl();
      const direct = await counter(url);
      const through = await TcpProxy.create(url);
      onTestFinished(() => through.proxy[Symbol.asyncDispose]());
      const storage = open(through.url);
      await revision(storage);
      let runs = 0;
      const attempt = increment(storage, async () => {
        runs += 1;
        through.proxy.cutAt('COMMIT', when);
      });
      await expect(attempt).rejects.toSatisfy(
        (error) => error instanceof ControlUnavailable && error.retryable && error.details['outcome'] === 'unknown',
      );
      expect(runs).toBe(1);
      expect(await revision(direct)).toBe(applied);
      await increment(storage);
      expect(await revision(storage)).toBe(applied + 1);
    },
  );

  test('answers ControlUnavailable, and nothing of unknown outcome, while nobody is there', async () => {
    const url = new URL(database.newUrl());
    url.port = '1';
    const attempt = open(url.href).transaction((tx) => tx.remove('dirt', {}));
    await expect(attempt).rejects.toSatisfy(
      (error) => error instanceof ControlUnavailable && error.retryable && error.details['outcome'] === undefined,
    );
  });

  test('gives up a line that broke without a word, hears again when it is mended, and closes in the meantime', async () => {
    const url = database.newUrl();
    const direct = await counter(url);
    const through = await TcpProxy.create(url);
    onTestFinished(() => through.proxy[Symbol.asyncDispose]());
    const storage = open(through.url, { clock: hasty });
    const heard: (Change | undefined)[] = [];
    storage.watch((change) => heard.push(change));
    await until(async () => {
      await increment(direct);
      return heard.includes('other');
    });
    through.proxy.freeze();
    await expect(revision(storage)).rejects.toBeInstanceOf(ControlUnavailable);
    through.proxy.freeze(false);
    heard.length = 0;
    await until(async () => {
      await increment(direct);
      return heard.includes('other');
    });
    expect(await revision(storage)).toBe(await revision(direct));
    through.proxy.freeze();
    await storage.close();
  });

  test('frees the lock of a process that was stopped in its transaction', async () => {
    const url = database.newUrl();
    const storage = await counter(url);
    const victim = new Child('control-process', ['hang', url]);
    children.add(victim);
    expect(await victim.message()).toBe('hanging');
    process.kill(victim.process.pid as number, 'SIGSTOP');
    await increment(storage);
    expect(await revision(storage)).toBe(1);
  });

  test('hears of commits again after its connection was ended, and catches up with those in between', async () => {
    const url = database.newUrl();
    const listener = await counter(url);
    const writer = open(`${url}-writer`);
    const heard: (Change | undefined)[] = [];
    let last = -1;
    listener.watch((change) => {
      heard.push(change);
      // A read that was ended with the connection tells nothing: what is committed later is heard of again.
      revision(listener).then(
        (now = -1) => {
          last = now;
        },
        () => {},
      );
    });
    for (let round = 1; round <= 5; round += 1) {
      await database.terminate(url);
      await increment(writer);
      await until(async () => last === round);
    }
    // An announcement says what changed; polling does not.
    heard.length = 0;
    await until(async () => {
      await increment(writer);
      return heard.includes('other');
    });
  });

  test('tells whether rulesets changed, in this process and in others', async () => {
    const url = database.newUrl();
    const storage = await counter(url);
    const other = open(url);
    const heard: Record<string, (Change | undefined)[]> = { storage: [], other: [] };
    storage.watch((change) => heard['storage']?.push(change));
    other.watch((change) => heard['other']?.push(change));
    const { document } = migrationRow('counter');
    const changes: [Change | null, (s: ControlStorage) => Promise<unknown>][] = [
      ['other', (s) => s.transaction((tx) => tx.insert('nodes', nodeRow()))],
      ['other', (s) => s.transaction((tx) => tx.update('migrations', {}, { shadowCompared: 4 }))],
      ['rulesets', (s) => s.transaction((tx) => tx.update('migrations', {}, { document, revision: 2 }))],
      ['rulesets', (s) => s.transaction((tx) => tx.insert('migrations', migrationRow('another')))],
      [null, (s) => s.transaction((tx) => tx.count('migrations', {}))],
      [null, (s) => s.transaction((tx) => tx.insert('migrations', migrationRow('another'))).catch(() => {})],
    ];
    // Listening has begun when an announcement arrives.
    await until(async () => {
      await storage.transaction((tx) => tx.remove('dirt', {}));
      return heard['other']?.includes('other') === true;
    });
    const last = (list: readonly (Change | undefined)[]) => list.findLast((one) => one !== undefined);
    let ruleset = 2;
    /** A change of the other kind, told after all that came before it: until then nothing is missing, or late. */
    const afterAll = async (marker: Change): Promise<void> => {
      ruleset += 1;
      const revision = ruleset;
      await storage.transaction((tx) =>
        marker === 'rulesets' ? tx.update('migrations', {}, { document, revision }) : tx.insert('nodes', nodeRow()),
      );
      await until(async () => Object.values(heard).every((list) => last(list) === marker));
    };
    await afterAll('rulesets');
    for (const [change, run] of changes) {
      const marker = change === 'rulesets' ? 'other' : 'rulesets';
      await afterAll(change === 'rulesets' ? 'rulesets' : 'other');
      await afterAll(marker);
      for (const list of Object.values(heard)) list.length = 0;
      await run(storage);
      await afterAll(marker);
      for (const list of Object.values(heard)) {
        expect(list.filter((one) => one !== undefined)).toEqual(change === null ? [marker] : [change, marker]);
      }
    }
  });

  test("goes by the server's clock, whatever its own says", async () => {
    const url = database.newUrl();
    const wrong: Clock = { ...systemClock, now: () => systemClock.now() - 7_200_000 };
    const { storage, clock } = postgresStorage({ url, clock: wrong });
    onTestFinished(() => storage.close());
    await storage.prepare();
    const plane = new ControlPlane(storage, clock);
    const node = { host: 'h', pid: 1, processId: 'p', version: '1', name: 'n' };
    const limits = { deadlineLimit: 0, stampLimit: STAMP_MIN };
    await plane.join({ session: 's', attempt: 1, node, migrations: ['events'], ...limits });
    const [joined] = await plane.fleet('alive');
    const [now] = await database.query('select extract(epoch from clock_timestamp())::float8 * 1000 as ms');
    expect(Math.abs(Number(now?.['ms']) - (joined?.node.joinedAt ?? 0))).toBeLessThan(60_000);
  });

  test('has four connections under load, and none when it is closed', async () => {
    const url = database.newUrl();
    const storage = await counter(url);
    storage.watch(() => {});
    await Promise.all(Array.from({ length: 60 }, (_, i) => (i % 3 === 0 ? increment(storage) : revision(storage))));
    expect(await revision(storage)).toBe(20);
    await until(async () => (await database.connections(url)).length === 4);
    await storage.close();
    await until(async () => (await database.connections(url)).length === 0);
  });

  test('keeps the password of its URL out of everything it says', async () => {
    const secret = 'pa55-w0rd-of-nobody';
    const good = new URL(database.newUrl());
    good.password ||= secret;
    const away = new URL(good);
    away.port = '1';
    const nothing = new URL(good);
    nothing.pathname = '/no_such_database';
    const misnamed = new URL(good);
    misnamed.searchParams.set('schema', 'Not one');
    const words: string[] = [];
    for (const url of [away.href, nothing.href, misnamed.href, `postgres://u:${good.password}@[/`]) {
      const failure = await openPostgresControl({ url }).catch((error: unknown) => error);
      expect(failure).toBeInstanceOf(Error);
      words.push(inspect(failure, { depth: 20, showHidden: true }), JSON.stringify(failure));
    }
    expect(words.join('\n')).not.toContain(good.password);
    expect(words.join('\n')).toContain('CONTROL_UNAVAILABLE');
    expect(words.join('\n')).toContain('no_such_database');
  });
});
