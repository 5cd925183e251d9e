import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { afterEach, describe, expect, test } from 'vitest';
import { sql } from '../../adapters/sql/index.ts';
import type { MigrationOptions } from '../../src/index.ts';
import { type Config, type Control, control, defineConfig, migration, open } from '../../src/index.ts';
import { configuredOf } from '../../src/service/configured.ts';
import type { Item } from '../support/memory-service.ts';

const WHY = { actor: 'ada', reason: 'test', force: true };

const ending: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const end of ending.splice(0).reverse()) await end();
});

type Change = Partial<Pick<MigrationOptions<Item>, 'old' | 'new' | 'unit' | 'schemaVersion'>>;

/** A migration between two SQLite files, as its processes may have configured it, each in its own way. */
class Place {
  readonly folder = mkdtempSync(join(tmpdir(), 'changeover-configured-'));

  constructor() {
    ending.push(() => rmSync(this.folder, { recursive: true }));
  }

  store(file: string) {
    const path = join(this.folder, file);
    const database = new Database(path);
    database.exec('CREATE TABLE IF NOT EXISTS items (user TEXT, id TEXT, body TEXT, PRIMARY KEY (user, id))');
    database.close();
    return sql({ client: 'better-sqlite3', connection: path, table: 'items', document: 'body' });
  }

  config(change: Change = {}): Config {
    const stores = { old: this.store('old.db'), new: this.store('new.db') };
    const items = migration<Item>({ key: ['user', 'id'], unit: 'user', ...stores, ...change });
    return defineConfig({ control: `sqlite:${join(this.folder, 'control.db')}`, migrations: { items } });
  }

  async operate(config: Config): Promise<Control> {
    const operations = await control(config);
    ending.push(() => operations.close());
    await operations.prepare('items');
    await operations.plane.changeSettings('items', { noOutsideWriters: true }, WHY);
    return operations;
  }

  async process(name: string, config: Config) {
    const said: string[] = [];
    const say = (fields: object, text?: string): void => void said.push(`${JSON.stringify(fields)} ${text}`);
    const quiet = (): void => {};
    const logger = { isLevelEnabled: () => true, debug: quiet, info: quiet, warn: quiet, error: say };
    const changeover = await open(config, { name, logger });
    ending.push(() => changeover.close());
    return { changeover, said };
  }
}

const dualWrite = { dial: 'dual-write', to: 100_000 } as const;
const cutover = { dial: 'cutover', to: 50_000 } as const;

const UNLIKE = [
  ['another new store', (place: Place): Change => ({ new: place.store('staging.db') })],
  ['another old store', (place: Place): Change => ({ old: place.store('staging.db') })],
  ['another key or unit', (): Change => ({ unit: 'id' })],
] as const;

describe.each(UNLIKE)('a process with %s than the rest of the fleet', (what, change) => {
  test('keeps dials from moving up, is named by doctor and its own log, and by nobody once it has left', async () => {
    const place = new Place();
    const operations = await place.operate(place.config());
    const controller = await operations.migration('items');
    const first = await place.process('s1', place.config());
    await controller.set(dualWrite, WHY);
    await controller.backfill(WHY);
    expect(first.said).toEqual([]);

    const theirs = place.config(change(place));
    const other = await control(theirs);
    ending.push(() => other.close());
    await other.prepare('items');
    const second = await place.process('s2', theirs);
    expect(second.said.join()).toMatch(
      new RegExp(`s2 \\d+@\\S+ \\(#\\d+\\) has ${what} than s1 .*configured differently`),
    );
    await expect(controller.set(cutover, WHY)).rejects.toMatchObject({
      code: 'GATES_REFUSED',
      gates: expect.arrayContaining([
        expect.objectContaining({ gate: 'configuration', advice: false, evidence: expect.stringContaining(what) }),
      ]),
    });
    const report = await operations.doctor('items', { dryRun: true });
    expect(report.verdict).toBe('open');
    expect(report.fleet?.unlike).toEqual([expect.stringMatching(`s2 .* has ${what} than s1 `)]);
    // The way back is always open.
    await controller.set({ dial: 'dual-write', to: 0 }, WHY);
    await expect(controller.set(dualWrite, WHY)).rejects.toMatchObject({ code: 'GATES_REFUSED' });

    await second.changeover.close();
    await controller.set(dualWrite, WHY);
    expect((await operations.doctor('items', { dryRun: true })).fleet?.unlike).toEqual([]);
  });
});

test('another schema, as while a new version is deployed, is advice against a move', async () => {
  const place = new Place();
  const operations = await place.operate(place.config());
  const controller = await operations.migration('items');
  await place.process('s1', place.config());
  await place.process('s2', place.config({ schemaVersion: '2' }));
  await expect(controller.set(dualWrite, { ...WHY, force: false })).rejects.toMatchObject({
    gates: expect.arrayContaining([expect.objectContaining({ gate: 'configuration', passed: false, advice: true })]),
  });
  await controller.set(dualWrite, WHY);
});

describe('what processes tell of their stores', () => {
  const of = (connection: string, table = 'items') => {
    const store = (name: string) => sql({ client: 'pg', connection, table: name, document: 'body' });
    const items = migration<Item>({ key: ['user', 'id'], unit: 'user', old: store(table), new: store('fresh') });
    return configuredOf(defineConfig({ control: 'memory', migrations: { items } }), ['items'])['items'];
  };

  test('is the same for one data set, whoever asks and however its server is written', () => {
    const one = of('postgres://ada:secret@LOCALHOST/app');
    expect(of('postgres://bob:other@127.0.0.1:5432/app')).toEqual(one);
    expect(of('postgres://b:5432,a/app')).toEqual(of('postgres://a,b/app'));
  });

  test('differs by server, database and table, and holds nothing but digests', () => {
    const one = of('postgres://ada:secret@db.internal/app');
    for (const other of [
      of('postgres://db.internal/other'),
      of('postgres://db2/app'),
      of('postgres://db.internal/app', 't'),
    ]) {
      expect(other?.old).not.toBe(one?.old);
      expect(other?.key).toBe(one?.key);
    }
    for (const digest of Object.values(one ?? {})) expect(digest).toMatch(/^[0-9a-f.]+$/);
  });

  test('says nothing of a store whose client somebody else made, and does not hold it against anybody', async () => {
    const client = { query: () => {} };
    const store = { adapter: 'x', mapping: {}, place: ['x', client], create: () => Promise.reject() };
    const items = migration<Item>({ key: ['user', 'id'], unit: 'user', old: store, new: { ...store, place: ['y'] } });
    const told = configuredOf(defineConfig({ control: 'memory', migrations: { items } }), ['items'])['items'];
    expect(told).toMatchObject({ old: null, new: expect.any(String) });
  });
});
