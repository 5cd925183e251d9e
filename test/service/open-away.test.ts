import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import Database from 'better-sqlite3';
import { afterEach, describe, expect, onTestFinished, test } from 'vitest';
import { MemoryDatabase, memory } from '../../adapters/memory/index.ts';
import { sql } from '../../adapters/sql/index.ts';
import type { Side } from '../../src/core/stage.ts';
import {
  type Control,
  control,
  defineConfig,
  migration,
  NotPrepared,
  open,
  StoreUnavailable,
} from '../../src/index.ts';
import { insist } from '../support/insist.ts';
import { type Item, item, until } from '../support/memory-service.ts';

const WHY = { actor: 'ada', reason: 'test', force: true };
const SETTINGS = { noOutsideWriters: true, breakerResetMs: 50, operationTimeoutMs: 3_000, mirrorTimeoutMs: 1_000 };

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
  const operations = await control(config);
  kept.push(operations);
  await operations.prepare('items');
  await operations.plane.changeSettings('items', SETTINGS, WHY);
  const controller = await operations.migration('items');
  await controller.set({ dial: 'dual-write', to: 100_000 }, WHY);
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
