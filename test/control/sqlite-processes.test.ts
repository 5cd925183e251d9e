import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { afterAll, afterEach, describe, expect, onTestFinished, test } from 'vitest';
import { knexStorage } from '../../src/control/knex-storage.ts';
import type { ControlStorage } from '../../src/control/storage.ts';
import { ControlUnavailable, InvalidConfiguration, NotPrepared } from '../../src/core/errors.ts';
import { initialRuleset } from '../../src/core/ruleset.ts';
import { Child } from '../support/child.ts';
import { migrationRow } from '../support/control-rows.ts';

const folder = mkdtempSync(join(tmpdir(), 'changeover-processes-'));
const children = new Set<Child>();
afterEach(async () => {
  for (const child of children) {
    child.kill();
    await child.ended;
  }
  children.clear();
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

let files = 0;
const newFile = (): string => {
  files += 1;
  return join(folder, 'deeper', `${files}.db`);
};

const start = (what: string, path: string, ...args: string[]): Child => {
  const child = new Child('control-process', [what, path, ...args]);
  children.add(child);
  return child;
};

async function counter(path: string, budget = 30_000): Promise<ControlStorage> {
  const storage = knexStorage({ path, busyBudgetMs: budget });
  onTestFinished(() => storage.close());
  await storage.prepare();
  await storage.transaction((tx) => tx.insert('migrations', migrationRow('counter', { revision: 0 })));
  return storage;
}

const revision = (storage: ControlStorage): Promise<number | undefined> =>
  storage.read(async (tx) => (await tx.select('migrations', { name: 'counter' }))[0]?.revision);

describe('a control database on SQLite between processes', () => {
  test('loses no increment of two processes', async () => {
    const path = newFile();
    const storage = await counter(path);
    const ended = await Promise.all([1, 2].map(() => start('increment', path, '300').ended));
    expect(ended.map(({ code }) => code)).toEqual([0, 0]);
    expect(await revision(storage)).toBe(600);
  });

  test('is prepared once by processes that all try', async () => {
    const path = newFile();
    const ended = await Promise.all([1, 2, 3, 4].map(() => start('prepare', path).ended));
    expect(ended.map(({ code }) => code)).toEqual([0, 0, 0, 0]);
    const storage = knexStorage({ path });
    expect(await storage.read((tx) => tx.count('migrations', {}))).toBe(0);
    await storage.close();
  });

  test('lets timers and reads run while another process holds the write lock', async () => {
    const path = newFile();
    const storage = await counter(path);
    const holder = start('hold', path);
    expect(await holder.message()).toBe('holding');
    let written = false;
    const write = storage
      .transaction((tx) => tx.update('migrations', { name: 'counter' }, { revision: 5 }))
      .then(() => {
        written = true;
      });
    // 100 turns of a 5 ms timer, none of which could run in a busy wait.
    let worst = 0;
    const began = performance.now();
    for (let i = 0; i < 100; i += 1) {
      const before = performance.now();
      await new Promise((resolve) => setTimeout(resolve, 5));
      worst = Math.max(worst, performance.now() - before);
    }
    expect(await revision(storage)).toBe(0);
    expect(written).toBe(false);
    holder.send('enough');
    await write;
    expect(await revision(storage)).toBe(5);
    console.log(
      `write lock held ${Math.round(performance.now() - began)} ms; longest turn of a 5 ms timer ${worst.toFixed(1)} ms`,
    );
  });

  test('answers ControlUnavailable when the lock stays taken for longer than the budget', async () => {
    const path = newFile();
    await counter(path);
    const holder = start('hold', path);
    await holder.message();
    const impatient = knexStorage({ path, busyBudgetMs: 60 });
    const attempt = impatient.transaction((tx) => tx.update('migrations', {}, { revision: 1 }));
    await expect(attempt).rejects.toBeInstanceOf(ControlUnavailable);
    expect(await revision(impatient)).toBe(0);
    await impatient.close();
    holder.send('enough');
    await holder.ended;
  });

  test('is usable at once after a process was killed inside a transaction', async () => {
    const path = newFile();
    const storage = await counter(path);
    const victim = start('hang', path);
    expect(await victim.message()).toBe('hanging');
    victim.kill();
    expect((await victim.ended).signal).toBe('SIGKILL');
    expect(await revision(storage)).toBe(0);
    await storage.transaction((tx) => tx.update('migrations', { name: 'counter' }, { revision: 1 }));
    expect(await revision(storage)).toBe(1);
  });

  test.each([
    ['at rest', null],
    ['in a handover', { positions: [[0, 5]] }],
  ])('tells of the commits of another process, %s', async (name, handover) => {
    const path = newFile();
    const storage = await counter(path);
    const document = { ...initialRuleset('counter'), handover } as ReturnType<typeof initialRuleset>;
    await storage.transaction((tx) => tx.update('migrations', {}, { document }));
    let seen = Promise.withResolvers<void>();
    const stop = storage.watch(() => seen.resolve());
    await seen.promise;
    const writer = start('commit', path);
    await writer.message();
    const latencies: number[] = [];
    for (let i = 0; i < 60; i += 1) {
      seen = Promise.withResolvers<void>();
      writer.send('go');
      await seen.promise;
      const at = Date.now();
      latencies.push(at - Number(await writer.message()));
      // Out of step with the poll, so that the sample is fair.
      await new Promise((resolve) => setTimeout(resolve, (i * 7) % 23));
    }
    stop();
    expect(await revision(storage)).toBe(60);
    const sorted = latencies.toSorted((a, b) => a - b);
    console.log(`commit to changed, ${name}: median ${sorted[30]} ms, p95 ${sorted[57]} ms, worst ${sorted.at(-1)} ms`);
  });
});

describe('a control database on SQLite', () => {
  test('is NotPrepared where there is none, and none is made by looking', async () => {
    const storage = knexStorage({ path: newFile() });
    await expect(storage.read((tx) => tx.count('nodes', {}))).rejects.toBeInstanceOf(NotPrepared);
    await storage.prepare();
    await storage.prepare();
    expect(await storage.read((tx) => tx.count('nodes', {}))).toBe(0);
    await storage.close();
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
        const node = {
          id: 0,
          state: 'alive' as const,
          info: { host: 'h', pid: 1, processId: 'p', version: '1', name: 'n' },
          session: 's',
          attempt: 1,
          joinedAt: 0,
          seenAt: 0,
          deadlineLimit: 0,
          stampLimit: '0'.repeat(24) as never,
          health: null,
        };
        return [await tx.insert('nodes', node), await tx.insert('nodes', node)];
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
