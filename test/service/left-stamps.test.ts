import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { afterEach, expect, test } from 'vitest';
import { sql } from '../../adapters/sql/index.ts';
import { type Config, type Control, control, defineConfig, migration, open } from '../../src/index.ts';
import { insist } from '../support/insist.ts';
import { type Item, item } from '../support/memory-service.ts';

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

test('stores that were never stamped are prepared as often as anybody likes', async () => {
  const under = place();
  for (const file of ['control.db', 'anew.db', 'anew.db']) {
    expect((await (await operate(under(file))).prepare('items')).inspections.old.findings).toEqual([]);
  }
});
