import { existsSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { afterAll, describe, expect, test, vi } from 'vitest';
import { knexStorage } from '../../src/control/knex-storage.ts';
import type { ControlStorage } from '../../src/control/storage.ts';
import type { Change } from '../../src/core/control-client.ts';
import { ControlUnavailable, InvalidConfiguration, NotPrepared } from '../../src/core/errors.ts';
import { makeStamp, STAMP_MIN } from '../../src/core/stamp.ts';
import { migrationRow, nodeRow } from '../support/control-rows.ts';
import { hasSmallDisk, onSmallDisk } from '../support/small-disk.ts';

const folder = mkdtempSync(join(tmpdir(), 'changeover-control-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const PATIENCE = { timeout: 60_000, interval: 2 };

let files = 0;
const newFile = (): string => {
  files += 1;
  return join(folder, 'deeper', `${files}.db`);
};

describe('a control database on SQLite', () => {
  test('is NotPrepared where there is none, and none is made by looking', async () => {
    const storage = knexStorage({ path: newFile() });
    await expect(storage.read((tx) => tx.count('nodes', {}))).rejects.toBeInstanceOf(NotPrepared);
    await storage.prepare();
    await storage.prepare();
    expect(await storage.read((tx) => tx.count('nodes', {}))).toBe(0);
    await storage.close();
  });

  test('tells whether rulesets changed, and nothing else to who follows only them', async () => {
    const path = newFile();
    const [storage, other] = [knexStorage({ path }), knexStorage({ path })];
    await storage.prepare();
    await storage.transaction((tx) => tx.insert('migrations', migrationRow('a')));
    const heard: (Change | undefined)[][] = [[], [], []];
    storage.watch((change) => heard[0]?.push(change));
    other.watch((change) => heard[1]?.push(change), { soon: true });
    other.watch((change) => heard[2]?.push(change), { onlyRulesets: true });
    await vi.waitUntil(() => heard.every((list) => list.length > 0), PATIENCE);
    const { document } = migrationRow('a');
    const changes: [Change, (s: ControlStorage) => Promise<unknown>][] = [
      ['other', (s) => s.transaction((tx) => tx.insert('nodes', nodeRow()))],
      ['other', (s) => s.transactionAtOnce((tx) => tx.update('migrations', {}, { shadowCompared: 4 }))],
      ['rulesets', (s) => s.transaction((tx) => tx.update('migrations', {}, { document, revision: 2 }))],
      ['rulesets', (s) => s.transaction((tx) => tx.insert('migrations', migrationRow('b')))],
    ];
    for (const [change, run] of changes) {
      for (const list of heard) list.length = 0;
      await run(storage);
      const hears = change === 'rulesets' ? heard : heard.slice(0, 2);
      await vi.waitUntil(() => hears.every((list) => list.length > 0), PATIENCE);
      for (const list of hears) expect(new Set(list)).toEqual(new Set([change]));
      if (change === 'other') expect(heard[2]).toEqual([]);
    }
    await Promise.all([storage.close(), other.close()]);
  });

  test('is the file that stands at its path: one that was removed is left, by whoever writes, reads or listens', async () => {
    const path = newFile();
    const storage = knexStorage({ path });
    await storage.prepare();
    await storage.transaction((tx) => tx.insertMany('migrations', [migrationRow('a'), migrationRow('b')]));
    const names = (s: ControlStorage) =>
      s.read(async (tx) => (await tx.select('migrations', {})).map((row) => row.name));
    expect(await names(storage)).toEqual(['a', 'b']);
    let heard = 0;
    storage.watch(
      () => {
        heard += 1;
      },
      { onlyRulesets: true },
    );
    await vi.waitUntil(() => heard > 0, PATIENCE);
    for (const end of ['', '-wal', '-shm']) rmSync(`${path}${end}`);

    await expect(names(storage)).rejects.toBeInstanceOf(ControlUnavailable);
    const write = (name: string) => storage.transaction((tx) => tx.insert('migrations', migrationRow(name)));
    await expect(write('lost')).rejects.toBeInstanceOf(ControlUnavailable);
    expect(existsSync(path)).toBe(false);
    writeFileSync(path, '');
    await expect(names(storage)).rejects.toBeInstanceOf(NotPrepared);

    const other = knexStorage({ path });
    await other.prepare();
    await other.transaction((tx) => tx.insert('migrations', migrationRow('anew')));
    expect(await names(storage)).toEqual(['anew']);
    await write('joined');
    expect(await names(other)).toEqual(['anew', 'joined']);
    heard = 0;
    await other.transaction((tx) => tx.update('migrations', { name: 'anew' }, { revision: 2 }));
    await vi.waitUntil(() => heard > 0, PATIENCE);

    const aside = `${path}.aside`;
    const copy = knexStorage({ path: aside });
    await copy.prepare();
    await copy.transaction((tx) => tx.insert('migrations', migrationRow('restored')));
    await Promise.all([copy.close(), other.close()]);
    for (const end of ['-wal', '-shm']) rmSync(`${path}${end}`);
    renameSync(aside, path);
    expect(await names(storage)).toEqual(['restored']);
    await storage.close();
  });

  test.skipIf(!hasSmallDisk)(
    'says that its disk is full, and shows it to who asks whether it can be written',
    async () => {
      const full = {
        code: 'CONTROL_UNAVAILABLE',
        message: expect.stringMatching(/control\.db failed .*SQLITE_FULL$/),
        remedy: 'make room on its disk',
      };
      expect(await onSmallDisk('full-disk-control')).toMatchObject({
        empty: { notices: 0 },
        full: { write: full, writable: full, notices: 0 },
        room: { write: null, writable: null, notices: 0 },
      });
    },
  );

  test('keeps the greatest stamps that an earlier version noted', async () => {
    const path = newFile();
    const storage = knexStorage({ path });
    await storage.prepare();
    const health = { ...{ mirrorQueue: 0, shed: 0, operations: 0, errors: 0 }, memoryBytes: 0, aheadMs: 0 };
    const highWater = makeStamp(5, 0, 1);
    await storage.transaction((tx) =>
      tx.insertMany('nodes', [nodeRow({ health: { ...health, highWater } }), nodeRow({ session: 't' })]),
    );
    await storage.close();
    const file = new Database(path);
    file.exec(`alter table nodes drop column high_water; delete from changeover_schema where name = '011-high-water'`);
    file.close();
    const later = knexStorage({ path });
    await later.prepare();
    const nodes = await later.read((tx) => tx.select('nodes', {}));
    expect(nodes.map((node) => node.highWater)).toEqual([highWater, STAMP_MIN]);
    await later.close();
  });

  test('refuses a schema that is newer than the code, by name', async () => {
    const path = newFile();
    const first = knexStorage({ path });
    await first.prepare();
    await first.close();
    const file = new Database(path);
    file.prepare(`insert into changeover_schema (name, batch) values ('999-later', 2)`).run();
    file.close();
    for (const use of [
      (s: ControlStorage) => s.prepare(),
      (s: ControlStorage) => s.read((tx) => tx.count('nodes', {})),
    ]) {
      const storage = knexStorage({ path });
      await expect(use(storage)).rejects.toSatisfy(
        (error) => error instanceof InvalidConfiguration && error.message.includes('999-later'),
      );
      await storage.close();
    }
  });

  test('refuses a file that is no database, and one of another application', async () => {
    const path = newFile();
    const empty = knexStorage({ path });
    await empty.prepare();
    await empty.close();
    const text = join(folder, 'text.db');
    writeFileSync(text, 'this is no database, but long enough to be taken for one '.repeat(20));
    const noDatabase = knexStorage({ path: text });
    await expect(noDatabase.prepare()).rejects.toBeInstanceOf(InvalidConfiguration);
    await noDatabase.close();
    const foreign = join(folder, 'foreign.db');
    const file = new Database(foreign);
    file.pragma('application_id = 42');
    file.exec('create table theirs (a)');
    file.close();
    const theirs = knexStorage({ path: foreign });
    await expect(theirs.prepare()).rejects.toBeInstanceOf(InvalidConfiguration);
    await theirs.close();
    expect(() => knexStorage({ path: ':memory:' })).toThrow(InvalidConfiguration);
  });

  test('gives incarnations from another place each time it is made anew', async () => {
    const first: number[] = [];
    for (let i = 0; i < 4; i += 1) {
      const storage = knexStorage({ path: newFile() });
      await storage.prepare();
      const ids = await storage.transaction(async (tx) => {
        return [await tx.insert('nodes', nodeRow()), await tx.insert('nodes', nodeRow())];
      });
      await storage.close();
      expect(ids[1]).toBe((ids[0] as number) + 1);
      expect(ids[0]).toBeGreaterThanOrEqual(1);
      expect(ids[0]).toBeLessThanOrEqual(2 ** 31);
      first.push(ids[0] as number);
    }
    expect(new Set(first).size).toBe(4);
  });
});
