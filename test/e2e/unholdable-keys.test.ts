import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { BSONSymbol, Decimal128, MaxKey, MinKey, MongoClient, Timestamp } from 'mongodb';
import { describe, expect, onTestFinished, test } from 'vitest';
import { memory } from '../../adapters/memory/index.ts';
import { mongodb } from '../../adapters/mongodb/index.ts';
import { sql } from '../../adapters/sql/index.ts';
import { ALL } from '../../src/core/dial.ts';
import { StoreRejected } from '../../src/core/errors.ts';
import { control, defineConfig, migration, open } from '../../src/index.ts';
import { testServer } from '../support/servers.ts';

const WHY = { actor: 'test', reason: 'keys' };
const NAMED = { user: 'ada', id: 'x' };
const NUMBERED = { user: 'ada', id: 5 };

interface Item {
  readonly user: string;
  readonly id: string | number;
  readonly n: number;
}

/** Items whose keys are text, all but one, move to a table whose keys are text. */
async function move(followerLimits: 'mark' | 'refuse') {
  const folder = mkdtempSync(join(tmpdir(), 'changeover-keys-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const connection = join(folder, 'new.db');
  const database = new Database(connection);
  database.exec(
    'CREATE TABLE items (user TEXT NOT NULL, id TEXT NOT NULL, n INTEGER NOT NULL, PRIMARY KEY (user, id))',
  );
  database.close();
  const items = migration<Item>({
    key: ['user', 'id'],
    unit: 'user',
    old: memory(),
    new: sql({ client: 'better-sqlite3', connection, table: 'items' }),
  });
  const config = defineConfig({ control: 'memory', migrations: { items } });
  const operations = await control(config);
  onTestFinished(() => operations.close());
  await operations.prepare('items');
  const changeover = await open(config, { logger: 'error' });
  onTestFinished(() => changeover.close());
  const repository = changeover.repository('items');
  await repository.put({ ...NAMED, n: 1 });
  await repository.put({ ...NUMBERED, n: 2 });
  await operations.plane.changeSettings('items', { noOutsideWriters: true, mirrorToNew: 'wait', followerLimits }, WHY);
  const controller = await operations.migration('items');
  await controller.set({ dial: 'dual-write', to: ALL }, { ...WHY, force: true });
  await controller.backfill(WHY);
  const rejected = async () =>
    (await operations.plane.dirt('items', null, 10)).map(({ target, kind, key }) => `${target} ${kind} ${key?.['id']}`);
  return { repository, controller, rejected };
}

describe('a key that the new store cannot hold', () => {
  test('blocks cutover while there is a record, and no longer when it is deleted', async () => {
    const { repository, controller, rejected } = await move('mark');
    expect(await rejected()).toEqual(['new rejected 5']);
    const forced = { ...WHY, force: true };
    await expect(controller.set({ dial: 'cutover', to: ALL }, forced)).rejects.toMatchObject({ code: 'GATES_REFUSED' });

    expect(await repository.delete(NUMBERED)).toBe(true);
    expect(await rejected()).toEqual(['new rejected 5']);
    expect(await controller.repair(WHY)).toMatchObject({ cleared: 1, rejected: { old: 0, new: 0 } });
    expect(await rejected()).toEqual([]);
    expect(await controller.verify({ ...WHY, recheckMs: [] })).toMatchObject({
      verdict: 'consistent',
      counts: { old: 1 },
    });

    await controller.census({ ...WHY, sample: null });
    await controller.set({ dial: 'cutover', to: ALL }, forced);
    expect(await repository.get(NAMED)).toEqual({ ...NAMED, n: 1 });
    expect(await repository.get(NUMBERED)).toBeUndefined();
  });

  test('can be deleted where its puts are refused', async () => {
    const { repository, rejected } = await move('refuse');
    await expect(repository.put({ ...NUMBERED, n: 3 })).rejects.toBeInstanceOf(StoreRejected);
    expect(await repository.get(NUMBERED)).toEqual({ ...NUMBERED, n: 2 });
    expect(await repository.delete(NUMBERED)).toBe(true);
    expect(await repository.get(NUMBERED)).toBeUndefined();
    // The backfill's own finding stays until a repair looks at the key again.
    expect(await rejected()).toEqual(['new rejected 5']);
  });
});

// A scan meets these, and no call can ask for any of them.
describe.skipIf(testServer('mongodb').missing !== undefined)('records of the old store that no key names', () => {
  test('are missing until they are mended, whatever is repaired meanwhile', async () => {
    const url = testServer('mongodb').url as string;
    const database = `unnamed_${randomBytes(6).toString('hex')}`;
    const client = new MongoClient(url);
    onTestFinished(async () => {
      await client.db(database).dropDatabase();
      await client.close();
    });
    const collection = client.db(database).collection<{ _id: unknown }>('events');
    const unnamed: readonly Record<string, unknown>[] = [
      { _id: 'a' },
      { _id: 'b', user: null },
      { _id: 'c', user: [1, '"]'] },
      { _id: 'd', user: { a: 1 } },
      { _id: 'e', user: new Timestamp({ t: 1, i: 2 }) },
      { _id: new Timestamp({ t: 1, i: 1 }), user: 'u' },
      { _id: Number.NaN, user: 'u' },
      { _id: null, user: 'u' },
      { _id: { a: 1 }, user: 'u' },
      { _id: new Decimal128('7.5'), user: 'u' },
      { _id: new BSONSymbol('s'), user: 'u' },
      { _id: new MinKey(), user: 'u' },
      { _id: new MaxKey(), user: 'u' },
    ];
    await collection.insertMany(unnamed.map((one) => ({ ...one, n: 1 })) as never);
    await collection.insertMany([
      { _id: 'x', user: 'ada', n: 1 },
      { _id: 'y', user: 'bob', n: 2 },
    ] as never);
    const folder = mkdtempSync(join(tmpdir(), 'changeover-keys-'));
    onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
    const file = join(folder, 'new.db');
    const made = new Database(file);
    made.exec('CREATE TABLE items (user TEXT NOT NULL, id TEXT NOT NULL, n INTEGER, PRIMARY KEY (user, id))');
    made.close();
    const items = migration<Item>({
      key: ['user', 'id'],
      unit: 'user',
      old: mongodb({ url, database, collection: 'events', id: 'id' }),
      new: sql({ client: 'better-sqlite3', connection: file, table: 'items' }),
    });
    const operations = await control(defineConfig({ control: 'memory', migrations: { items } }));
    onTestFinished(() => operations.close());
    await operations.prepare('items');
    await operations.plane.changeSettings('items', { noOutsideWriters: true }, WHY);
    const controller = await operations.migration('items');
    await controller.census({ ...WHY, sample: null });
    await controller.set({ dial: 'dual-write', to: ALL }, { ...WHY, force: true });
    const many = unnamed.length;
    expect(await controller.backfill(WHY)).toMatchObject({ applied: 2, rejected: many });
    for (const repaired of [false, true]) {
      if (repaired) expect(await controller.repair(WHY)).toMatchObject({ cleared: 0, rejected: { new: many } });
      // No repair ends a difference that it cannot look at.
      expect(await operations.plane.status('items')).toMatchObject({ divergences: repaired ? many : 0 });
      const report = await controller.verify({ ...WHY, recheckMs: [] });
      expect(report).toMatchObject({
        verdict: 'divergent',
        counts: { old: many + 2, new: 2, equal: 2, missing: many },
      });
      expect(new Set(report.divergences.map(({ kind, cause }) => `${kind}, ${cause}`))).toEqual(
        new Set(['missing, rejected']),
      );
      const rows = await operations.plane.dirt('items', null, 100);
      expect(rows.map(({ kind }) => kind)).toEqual(unnamed.map(() => 'rejected'));
    }
    await collection.deleteMany({ n: 1, user: { $ne: 'ada' } });
    expect(await controller.backfill(WHY)).toMatchObject({ rejected: 0 });
    await controller.repair(WHY);
    expect(await controller.verify({ ...WHY, recheckMs: [] })).toMatchObject({
      verdict: 'consistent',
      counts: { old: 2 },
    });
    expect(await operations.plane.status('items')).toMatchObject({ divergences: 0 });
  });
});
