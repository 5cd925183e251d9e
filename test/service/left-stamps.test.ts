import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import Database from 'better-sqlite3';
import { afterEach, describe, expect, test } from 'vitest';
import { memory } from '../../adapters/memory/index.ts';
import { sql } from '../../adapters/sql/index.ts';
import { InvalidRecord, StoreFault } from '../../src/core/errors.ts';
import { KeySpec } from '../../src/core/record-key.ts';
import { makeStamp } from '../../src/core/stamp.ts';
import type { Store } from '../../src/core/store.ts';
import { type Logger, silentLogger } from '../../src/core/telemetry.ts';
import { type Config, type Control, control, defineConfig, migration, open } from '../../src/index.ts';
import { definitionOf } from '../../src/service/config.ts';
import { controlPlaneOf } from '../../src/service/control-plane-of.ts';
import { refuseLeftStamps } from '../../src/service/left-stamps.ts';
import { closeStores, connectStores, makeStores } from '../../src/service/open-stores.ts';
import { onPostgres } from '../adapters/postgres-harness.ts';
import { insist } from '../support/insist.ts';
import { type Item, item } from '../support/memory-service.ts';
import { testServer } from '../support/servers.ts';
import { VirtualClock } from '../support/virtual-clock.ts';

const WHY = { actor: 'ada', reason: 'test', force: true };

const ending: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const end of ending.splice(0).reverse()) await end();
});

/** Two stores with a few plain records in the old one, and the configuration that each control plane gives them. */
function place(): (controlFile: string) => Config {
  const folder = mkdtempSync(join(tmpdir(), 'changeover-left-stamps-'));
  ending.push(() => rmSync(folder, { recursive: true }));
  const store = (file: string) => {
    const connection = join(folder, file);
    const database = new Database(connection);
    database.exec('CREATE TABLE IF NOT EXISTS items (user TEXT, id TEXT, body TEXT, PRIMARY KEY (user, id))');
    if (file === 'old.db') database.exec(`INSERT INTO items VALUES ('ada', '1', '{"n":1}'), ('bob', '1', '{"n":1}')`);
    database.close();
    return sql({ client: 'better-sqlite3', connection, table: 'items', document: 'body' });
  };
  const items = migration<Item>({ key: ['user', 'id'], unit: 'user', old: store('old.db'), new: store('new.db') });
  return (file) => defineConfig({ control: `sqlite:${join(folder, file)}`, migrations: { items } });
}

async function operate(config: Config): Promise<Control> {
  const operations = await control(config);
  ending.push(() => operations.close());
  return operations;
}

/** Dual-write and a backfill of everything. */
async function mirror(operations: Control): Promise<void> {
  await operations.plane.changeSettings('items', { noOutsideWriters: true }, WHY);
  const controller = await operations.migration('items');
  await controller.set({ dial: 'dual-write', to: 100_000 }, WHY);
  await controller.backfill(WHY);
}

test('a control plane made anew beside stores that another one moved is refused until the stamps are gone', async () => {
  const under = place();
  const operations = await operate(under('control.db'));
  await operations.prepare('items');
  await mirror(operations);
  const controller = await operations.migration('items');
  const changeover = await open(under('control.db'));
  await insist(controller, () => controller.set({ dial: 'cutover', to: 100_000 }, WHY));
  await changeover.repository('items').put(item('ada', '1', 2));
  await changeover.close();
  // Whoever has its control plane may prepare it again and again.
  await operations.prepare('items');

  const anew = await operate(under('anew.db'));
  const failed = (side: string) =>
    expect.objectContaining({ gate: 'stamps', evidence: expect.stringContaining(`the ${side} store: stamps:left`) });
  await expect(anew.prepare('items')).rejects.toMatchObject({
    code: 'GATES_REFUSED',
    gates: [failed('old'), failed('new')],
  });
  // Nor does a service begin, as where its volume is not mounted.
  for (const file of ['anew.db', 'mistyped.db']) {
    await expect(open(under(file))).rejects.toMatchObject({
      code: 'NOT_PREPARED',
      message: expect.stringContaining('holds stamps'),
    });
  }
  expect(await anew.plane.migrations()).toEqual([]);
  const looked = await anew.prepare('items', { dryRun: true });
  expect(looked.inspections.old.findings[0]).toMatchObject({ name: 'stamps:left', level: 'problem' });
  const report = await anew.doctor('items', { dryRun: true });
  expect(report.verdict).toBe('open');
  expect(report.stores.new.findings[0]).toMatchObject({ name: 'stamps:left' });

  // As the documentation has it, where the old store is the one to keep.
  const stores = await anew.stores('items');
  await stores.old.finish({});
  await stores.new.wipe({});
  await anew.prepare('items');
  await mirror(anew);
  expect(await (await anew.migration('items')).verify(WHY)).toMatchObject({ verdict: 'consistent' });
});

describe('a service under a control plane that does not know its migration', () => {
  /** Refused or not, and what was said, of an old store that answers in its own way and a new one that was never stamped. */
  async function starting(prepared: () => Promise<boolean>): Promise<{ refusal: unknown; warned: string[] }> {
    const clock = new VirtualClock();
    const items = migration<Item>({ key: ['user', 'id'], unit: 'user', old: memory(), new: memory() });
    const config = defineConfig({ control: 'memory', migrations: { items } });
    const plane = await controlPlaneOf(config);
    ending.push(() => plane.close());
    const stores = await makeStores('items', definitionOf(config, 'items'), clock);
    ending.push(() => closeStores(stores));
    await connectStores(stores);
    const old: Store = new Proxy(stores.old.inner, {
      get: (store, name) => (name === 'prepared' ? prepared : Reflect.get(store, name, store)),
    });
    const warned: string[] = [];
    const logger: Logger = {
      ...silentLogger,
      warn: (fields) => warned.push(`${(fields as { side: string }).side}: ${(fields as { err: Error }).err.message}`),
    };
    const refused = refuseLeftStamps(plane, 'items', { old, new: stores.new.inner }, clock, logger).then(
      () => null,
      (error: unknown) => error,
    );
    let refusal: unknown;
    for (let s = 0; refusal === undefined && s < 20; s += 1) {
      await clock.advance(1_000);
      refusal = await Promise.race([refused, setImmediate(undefined)]);
    }
    return { refusal, warned };
  }

  test('starts beside a store that hangs when it is looked into, and says so', async () => {
    const { refusal, warned } = await starting(() => new Promise(() => {}));
    expect(refusal).toBeNull();
    expect(warned).toEqual([expect.stringMatching(/^old: .+ has not answered within 5000 ms$/)]);
  });

  test.each([
    new InvalidRecord('a row that nobody can read'),
    new StoreFault('no grant', { outcome: 'nothing-written' }),
  ])('starts beside a store that answers with an error, and says which: %s', async (error) => {
    const { refusal, warned } = await starting(() => Promise.reject(error));
    expect(refusal).toBeNull();
    expect(warned).toEqual([`old: ${error.message}`]);
  });
});

test('stores that were never stamped are prepared as often as anybody likes', async () => {
  const under = place();
  for (const file of ['control.db', 'anew.db', 'anew.db']) {
    expect((await (await operate(under(file))).prepare('items')).inspections.old.findings).toEqual([]);
  }
});

test('stamps that somebody left in the new store after it was prepared are refused before any is written', async () => {
  const config = place()('control.db');
  const operations = await operate(config);
  await operations.prepare('items');
  await operations.plane.changeSettings('items', { noOutsideWriters: true }, WHY);
  const { new: store } = await operations.stores('items');
  const key = { user: 'ada', id: '1' };
  const keys = new KeySpec(['user', 'id'], ['user']);
  const entry = { id: keys.id(key), key, stamp: makeStamp(store.now(), 0, 7), value: { ...key, n: 5 } };
  expect(await store.putIfNewer(entry, store.now() + 10_000)).toMatchObject({ kind: 'applied' });
  const controller = await operations.migration('items');
  await expect(controller.set({ dial: 'dual-write', to: 100_000 }, WHY)).rejects.toMatchObject({
    code: 'NOT_PREPARED',
    message: expect.stringContaining('holds stamps of another migration'),
  });
  expect((await operations.plane.ruleset('items')).stamping).toBe('off');
  await store.wipe({});
  await controller.set({ dial: 'dual-write', to: 100_000 }, WHY);
  expect((await operations.plane.ruleset('items')).stamping).toBe('on');
});

test.skipIf(testServer('postgres').missing !== undefined)(
  'what was put plainly into a store that reads it as a copy is no stamp that was left',
  async () => {
    await using there = await onPostgres('CREATE TABLE items (user_name text, id text, PRIMARY KEY (user_name, id))');
    const config = defineConfig({
      control: 'memory',
      migrations: {
        items: migration<Item>({
          ...{ key: ['user', 'id'], unit: 'user', old: memory() },
          new: sql({
            ...{ client: 'pg', connection: there.url, table: 'items' },
            columns: { user: 'user_name', id: 'id' },
          }),
        }),
      },
    });
    const operations = await operate(config);
    await operations.prepare('items');
    await there.rows("INSERT INTO items VALUES ('ada', '1'), ('bob', '2')");
    expect((await operations.prepare('items')).inspections.new.findings.map(({ name }) => name)).not.toContain(
      'stamps:left',
    );
  },
);
