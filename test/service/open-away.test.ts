import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import Database from 'better-sqlite3';
import type { Knex } from 'knex';
import { afterEach, describe, expect, onTestFinished, test } from 'vitest';
import { MemoryDatabase, memory } from '../../adapters/memory/index.ts';
import { sql } from '../../adapters/sql/index.ts';
import type { Controller } from '../../src/control/controller.ts';
import { NOBODY } from '../../src/core/dial.ts';
import type { Side } from '../../src/core/stage.ts';
import {
  type Config,
  type Control,
  control,
  defineConfig,
  migration,
  NotPrepared,
  open,
  StoreFault,
  StoreUnavailable,
} from '../../src/index.ts';
import { insist } from '../support/insist.ts';
import { type Item, item, until } from '../support/memory-service.ts';
import { lost, reportDirt } from '../support/reported-dirt.ts';

const WHY = { actor: 'ada', reason: 'test', force: true };
const SETTINGS = { noOutsideWriters: true, breakerResetMs: 50, operationTimeoutMs: 3_000, mirrorTimeoutMs: 1_000 };

/** Who operates a configuration's migration, which is mirrored. */
async function mirroring(config: Config) {
  const operations = await control(config);
  kept.push(operations);
  await operations.prepare('items');
  await operations.plane.changeSettings('items', SETTINGS, WHY);
  const controller = await operations.migration('items');
  await controller.set({ dial: 'dual-write', to: 100_000 }, WHY);
  return { operations, controller };
}

/** A migration of which both stores can be taken away, and what operates it. */
async function place() {
  const databases: Readonly<Record<Side, MemoryDatabase>> = { old: new MemoryDatabase(), new: new MemoryDatabase() };
  const config = defineConfig({
    control: 'memory',
    migrations: {
      items: migration<Item>({
        ...{ key: ['user', 'id'], unit: 'user' },
        old: memory({ database: databases.old }),
        new: memory({ database: databases.new }),
      }),
    },
  });
  const { operations, controller } = await mirroring(config);
  const alive = async () => (await operations.plane.fleet('alive')).length;
  const heldBy = (side: Side, user: string): unknown =>
    databases[side].snapshot().find(({ key }) => key['user'] === user)?.value ?? undefined;
  return { config, databases, operations, controller, alive, heldBy };
}

const kept: Control[] = [];
afterEach(async () => {
  for (const operations of kept.splice(0)) await operations.close();
});

describe.each(['hang', 'refuse'] as const)('a process that begins while the new store is away (%s)', (outage) => {
  test('serves what the old one leads, loses nothing, and needs no restart when it is back', async () => {
    const { config, databases, operations, controller, heldBy } = await place();
    databases.new.outage = outage;
    const changeover = await open(config);
    const items = changeover.repository('items');
    for (const user of ['ada', 'bob']) await items.put(item(user, '1'));
    await items.update({ user: 'bob', id: '1' }, (one) => one && { ...one, n: 2 });
    await items.create(item('eve', '1'));
    expect(await items.delete({ user: 'eve', id: '1' })).toBe(true);
    expect(await items.get({ user: 'bob', id: '1' })).toEqual(item('bob', '1', 2));
    await until(async () => (await operations.plane.status('items')).dirty.ranges > 0, 'the dirt');
    databases.new.outage = 'none';
    await until(async () => {
      await items.put(item('joe', '1', 7));
      return heldBy('new', 'joe') !== undefined;
    }, 'a mirror');
    // Some of the dirt may still be on its way to the control plane.
    await until(async () => {
      await insist(controller, () => controller.repair(WHY));
      return ['ada', 'bob', 'eve', 'joe'].every((user) => isDeepStrictEqual(heldBy('new', user), heldBy('old', user)));
    }, 'stores that agree');
    expect(heldBy('new', 'bob')).toEqual(item('bob', '1', 2));
    await changeover.close();
  });

  test('serves half where each store leads half, and all of it after an emergency roll-back', async () => {
    const { config, databases, controller, heldBy } = await place();
    const before = await open(config);
    const users = Array.from({ length: 12 }, (_, n) => `user-${n}`);
    for (const user of users) await before.repository('items').put(item(user, '1'));
    await until(() => users.every((user) => heldBy('new', user) !== undefined), 'the mirrors');
    await controller.backfill(WHY);
    await insist(controller, () => controller.set({ dial: 'cutover', to: 50_000 }, WHY));
    const authority = new Map(users.map((user) => [user, before.repository('items').route(user).authority]));
    await before.close();
    const ledBy = (side: Side) => users.filter((user) => authority.get(user) === side);
    expect(ledBy('old').length * ledBy('new').length).toBeGreaterThan(0);

    databases.new.outage = outage;
    const changeover = await open(config);
    const items = changeover.repository('items');
    for (const user of ledBy('old')) {
      await items.put(item(user, '1', 2));
      expect(await items.get({ user, id: '1' })).toEqual(item(user, '1', 2));
    }
    const [user = ''] = ledBy('new');
    const read = expect(items.get({ user, id: '1' })).rejects.toBeInstanceOf(StoreUnavailable);
    const written = await items.put(item(user, '1', 2)).catch((error: unknown) => error);
    expect(written).toMatchObject({ code: expect.stringMatching(/^(STORE_UNAVAILABLE|DEADLINE_EXCEEDED)$/) });
    await read;
    await controller.emergency(WHY);
    for (const each of users) {
      await items.put(item(each, '1', 3));
      expect(await items.get({ user: each, id: '1' })).toEqual(item(each, '1', 3));
    }
    await changeover.close();
  });

  test('leads nobody to it, however a move is forced, and says why', async () => {
    const { config, databases, controller, operations } = await place();
    await controller.backfill(WHY);
    const other = await control(config);
    kept.push(other);
    const late = await other.migration('items');
    databases.new.outage = outage;
    for (const one of [controller, late]) {
      let said: unknown;
      const told = (what: unknown) => {
        said = what;
      };
      one.set({ dial: 'cutover', to: 50_000 }, WHY).then(told, told);
      await until(() => {
        // As a driver does that gives up.
        databases.new.outage = 'refuse';
        databases.new.outage = outage;
        return said !== undefined;
      }, 'an answer');
      expect(said).toBeInstanceOf(StoreFault);
    }
    expect((await operations.plane.ruleset('items')).dials.cutover).toBe(NOBODY);
  });

  test('cannot begin where it leads everything, and has left the fleet then', async () => {
    const { config, databases, controller, alive } = await place();
    await controller.backfill(WHY);
    await controller.set({ dial: 'cutover', to: 100_000 }, WHY);
    await controller.set({ dial: 'dual-write', to: 100_001 }, WHY);
    await controller.backfill(WHY);
    await controller.set({ dial: 'cutover', to: 100_001 }, WHY);
    databases.new.outage = outage;
    const beginning = open(config);
    if (outage === 'hang') {
      // As a driver does that gives up.
      const failed = expect(beginning).rejects.toMatchObject({ code: 'STORE_FAULT' });
      await until(async () => (await alive()) === 1, 'the fleet');
      databases.new.outage = 'refuse';
      await failed;
    } else {
      await expect(beginning).rejects.toMatchObject({
        code: 'STORE_FAULT',
        message: expect.stringContaining('the new store of items cannot be reached'),
        remedy: expect.stringContaining('--emergency'),
      });
    }
    expect(await alive()).toBe(0);
    // The old one leads nothing, and may be gone.
    databases.new.outage = 'none';
    databases.old.outage = 'refuse';
    const changeover = await open(config);
    expect(await changeover.repository('items').get({ user: 'ada', id: '1' })).toBeUndefined();
    await changeover.close();
  });
});

describe('operators who are connected to nothing yet, while the new store is away', () => {
  /** Half is led by the new store, and something is dirty far from where it leads; `late` has not connected to it. */
  async function half() {
    const there = await place();
    const { config, controller, operations } = there;
    await controller.backfill(WHY);
    await controller.set({ dial: 'cutover', to: 50_000 }, WHY);
    const { revision } = await operations.plane.ruleset('items');
    await reportDirt(operations.plane, 'items', [{ position: 70_000, revision, key: null, ...lost }]);
    const other = await control(config);
    kept.push(other);
    there.databases.new.outage = 'hang';
    return { ...there, late: await other.migration('items') };
  }

  test('go back beside dirt elsewhere', async () => {
    const { late } = await half();
    expect(await late.rollback(WHY)).toMatchObject({
      before: { cutover: 50_000 },
      document: { dials: { cutover: -1 } },
    });
  });

  test('hear what a repair would do, but for how many records', async () => {
    const { late, databases } = await half();
    databases.new.outage = 'none';
    databases.old.outage = 'refuse';
    expect((await late.planRepair()).replays).toMatchObject([{ target: 'new', lines: 1, keys: 0, records: null }]);
    databases.old.outage = 'none';
    await new Promise((resolve) => setTimeout(resolve, 1_100));
    expect((await late.planRepair()).replays).toMatchObject([{ target: 'new', records: 0 }]);
  });

  test.each<[string, (late: Controller, signal: AbortSignal) => Promise<unknown>]>([
    ['a verification', (late, signal) => late.verify({ ...WHY, signal })],
    ['a repair', (late, signal) => late.repair({ ...WHY, signal })],
    ['a backfill', (late, signal) => late.backfill({ ...WHY, signal })],
  ])('interrupt %s that waits for it', async (_, act) => {
    const { late } = await half();
    const stop = new AbortController();
    const over = new Error('no more patience');
    const acting = expect(act(late, stop.signal)).rejects.toBe(over);
    setTimeout(() => stop.abort(over), 20);
    await acting;
  });

  test('lead no unit to it', async () => {
    const { late, databases, operations } = await half();
    databases.new.outage = 'refuse';
    const unit = Array.from({ length: 50 }, (_, n) => ({ user: `user-${n}` }));
    const routes = await Promise.all(unit.map((one) => operations.route('items', one)));
    const chosen = unit[routes.findIndex(({ authority }) => authority === 'old')] as { user: string };
    await expect(late.cohort(chosen, 'canary', WHY)).rejects.toMatchObject({ code: 'STORE_FAULT' });
    expect(await operations.route('items', chosen)).toMatchObject({ authority: 'old' });
    // Nothing is asked of anybody where the same store goes on leading.
    await late.cohort(chosen, 'kept-back', WHY);
    expect((await operations.plane.ruleset('items')).cohorts.keptBack).toHaveLength(1);
  });
});

test('a store that answers, but not as it should, is said at once', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'changeover-open-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const file = join(folder, 'empty.db');
  new Database(file).exec('VACUUM').close();
  const things = sql({ client: 'better-sqlite3', connection: file, table: 'things' });
  const config = defineConfig({
    control: 'memory',
    migrations: { items: migration<Item>({ key: ['user', 'id'], unit: 'user', old: memory(), new: things }) },
  });
  await expect(open(config)).rejects.toBeInstanceOf(NotPrepared);
});

test('a named query finds a store that is back, though nothing else has asked for it', {
  timeout: 120_000,
}, async () => {
  const folder = mkdtempSync(join(tmpdir(), 'changeover-open-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const file = join(folder, 'new.db');
  new Database(file).exec('CREATE TABLE things ("user" text, id text, n integer, PRIMARY KEY ("user", id))').close();
  const things = sql({ client: 'better-sqlite3', connection: file, table: 'things' });
  let refuses = false;
  const fresh: typeof things = {
    ...things,
    create: async (context) => {
      const store = await things.create(context);
      const refused = (): Promise<void> => Promise.reject(new StoreFault('refused', { outcome: 'nothing-written' }));
      const connect = store.open.bind(store);
      return Object.assign(store, { open: () => (refuses ? refused() : connect()) });
    },
  };
  const config = defineConfig({
    control: 'memory',
    migrations: {
      items: migration<Item>({
        ...{ key: ['user', 'id'], unit: 'user' },
        old: memory(),
        new: fresh,
        queries: {
          ofUser: {
            unit: (user: string) => user,
            old: () => [],
            new: (knex: Knex, user: string) => knex('things').where({ user }),
          },
        },
      }),
    },
  });
  const { operations, controller } = await mirroring(config);
  await controller.backfill(WHY);
  await controller.set({ dial: 'cutover', to: 50_000 }, WHY);
  const users = Array.from({ length: 40 }, (_, n) => `user-${n}`);
  const routes = await Promise.all(users.map((user) => operations.route('items', { user })));
  const user = users[routes.findIndex(({ authority }) => authority === 'new')] ?? '';
  const before = await open(config);
  await before.repository('items').put(item(user, '1', 7));
  await before.close();

  refuses = true;
  const changeover = await open(config);
  const items = changeover.repository('items');
  await expect(items.get({ user, id: '1' })).rejects.toBeInstanceOf(StoreUnavailable);
  refuses = false;
  const found: Item[] = [];
  for await (const one of items.query('ofUser', user)) found.push(one);
  expect(found).toEqual([item(user, '1', 7)]);
  await changeover.close();
});
