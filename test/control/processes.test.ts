import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { ControlPlane } from '../../src/control/control-plane.ts';
import { factsOf } from '../../src/control/facts.ts';
import { beginCutover } from '../../src/control/handovers.ts';
import type { ControlStorage } from '../../src/control/storage.ts';
import { systemClock } from '../../src/core/clock.ts';
import { ALL, NOBODY, WHOLE_LINE } from '../../src/core/dial.ts';
import { ControlUnavailable } from '../../src/core/errors.ts';
import { initialRuleset } from '../../src/core/ruleset.ts';
import { Child } from '../support/child.ts';
import { ControlDatabase } from '../support/control-database.ts';
import { migrationRow } from '../support/control-rows.ts';
import { controlStorage } from '../support/control-storage.ts';
import { freshDatabase, testServer } from '../support/servers.ts';

const folder = mkdtempSync(join(tmpdir(), 'changeover-processes-'));
const { missing } = testServer('postgres');
let database: ControlDatabase | undefined;
beforeAll(async () => {
  if (missing === undefined) database = await ControlDatabase.create(await freshDatabase('postgres'));
});

const children = new Set<Child>();
afterEach(async () => {
  for (const child of children) {
    child.kill();
    await child.ended;
  }
  children.clear();
});
afterAll(async () => {
  rmSync(folder, { recursive: true, force: true });
  await database?.drop();
});

let files = 0;
/** New control databases, as the configuration names them. */
const places: Readonly<Record<string, () => string>> = {
  SQLite: () => {
    files += 1;
    return join(folder, 'deeper', `${files}.db`);
  },
  PostgreSQL: () => database?.newUrl() ?? '',
};
const present = Object.keys(places).filter((name) => name !== 'PostgreSQL' || missing === undefined);
if (missing !== undefined) test.skip(`a control database on PostgreSQL between processes: ${missing}`, () => {});

const start = (what: string, place: string, ...args: string[]): Child => {
  const child = new Child('control-process', [what, place, ...args]);
  children.add(child);
  return child;
};

async function counter(place: string, budget = 30_000): Promise<ControlStorage> {
  const storage = controlStorage(place, budget);
  onTestFinished(() => storage.close());
  await storage.prepare();
  await storage.transaction((tx) => tx.insert('migrations', migrationRow('counter', { revision: 0 })));
  return storage;
}

const why = { actor: 'test', reason: 'a test of controllers' };

const revision = (storage: ControlStorage): Promise<number | undefined> =>
  storage.read(async (tx) => (await tx.select('migrations', { name: 'counter' }))[0]?.revision);

describe.each(present)('a control database on %s between processes', (name) => {
  const newPlace = places[name] as () => string;

  test('loses no increment of two processes', async () => {
    const place = newPlace();
    const storage = await counter(place);
    const ended = await Promise.all([1, 2].map(() => start('increment', place, '300').ended));
    expect(ended.map(({ code }) => code)).toEqual([0, 0]);
    expect(await revision(storage)).toBe(600);
  });

  test('is prepared once by processes that all try', async () => {
    const place = newPlace();
    const ended = await Promise.all([1, 2, 3, 4].map(() => start('prepare', place).ended));
    expect(ended.map(({ code }) => code)).toEqual([0, 0, 0, 0]);
    const storage = controlStorage(place);
    expect(await storage.read((tx) => tx.count('migrations', {}))).toBe(0);
    await storage.close();
  });

  test('lets timers and reads run while another process holds the write lock', async () => {
    const place = newPlace();
    const storage = await counter(place);
    const holder = start('hold', place);
    expect(await holder.message()).toBe('holding');
    let written = false;
    const write = storage
      .transaction((tx) => tx.update('migrations', { name: 'counter' }, { revision: 5 }))
      .then(() => {
        written = true;
      });
    // Turns of a 5 ms timer, none of which could run in a busy wait.
    let worst = 0;
    const began = performance.now();
    for (let i = 0; i < 60; i += 1) {
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
      `${name}: write lock held ${Math.round(performance.now() - began)} ms; longest turn of a 5 ms timer ${worst.toFixed(1)} ms`,
    );
  });

  test('answers ControlUnavailable when the lock stays taken for longer than the budget', async () => {
    const place = newPlace();
    await counter(place);
    const holder = start('hold', place);
    await holder.message();
    const impatient = controlStorage(place, 60);
    const attempt = impatient.transaction((tx) => tx.update('migrations', {}, { revision: 1 }));
    await expect(attempt).rejects.toBeInstanceOf(ControlUnavailable);
    expect(await revision(impatient)).toBe(0);
    await impatient.close();
    holder.send('enough');
    await holder.ended;
  });

  test('is usable at once after a process was killed inside a transaction', async () => {
    const place = newPlace();
    const storage = await counter(place);
    const victim = start('hang', place);
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
  ])('tells of the commits of another process, %s', async (situation, handover) => {
    const place = newPlace();
    const storage = await counter(place);
    const document = { ...initialRuleset('counter'), handover } as ReturnType<typeof initialRuleset>;
    await storage.transaction((tx) => tx.update('migrations', {}, { document }));
    let seen = Promise.withResolvers<void>();
    const stop = storage.watch(() => seen.resolve());
    await seen.promise;
    const writer = start('commit', place);
    await writer.message();
    const latencies: number[] = [];
    for (let i = 0; i < 60; i += 1) {
      const before = await revision(storage);
      writer.send('go');
      do {
        seen = Promise.withResolvers<void>();
        await seen.promise;
      } while ((await revision(storage)) === before);
      const at = Date.now();
      latencies.push(at - Number(await writer.message()));
      // Out of step with the poll, so that the sample is fair.
      await new Promise((resolve) => setTimeout(resolve, (i * 7) % 23));
    }
    stop();
    expect(await revision(storage)).toBe(60);
    const sorted = latencies.toSorted((a, b) => a - b);
    console.log(
      `${name}: commit to read by a follower, ${situation}: median ${sorted[30]} ms, p95 ${sorted[57]} ms, worst ${sorted.at(-1)} ms`,
    );
  });

  test('lets each step of a handover be done by one of the controllers that all try', async () => {
    const place = newPlace();
    const storage = await counter(place);
    const plane = new ControlPlane(storage, systemClock);
    const begun = initialRuleset('events', { noOutsideWriters: true });
    const dials = { ...begun.dials, dualWrite: ALL };
    const document = { ...begun, dials, stamping: 'on' as const };
    await storage.transaction((tx) =>
      tx.insert('migrations', migrationRow('events', { document, coverageOld: WHOLE_LINE, coverageNew: WHOLE_LINE })),
    );
    const controllers = [1, 2, 3].map(() => start('step', place));
    for (const controller of controllers) expect(await controller.message()).toBe('ready');
    for (let round = 0; round < 12; round += 1) {
      await storage.transaction(async (tx) =>
        beginCutover(tx, await factsOf(tx, 'events', 0), round % 2 === 0 ? ALL : NOBODY, why, []),
      );
      for (const controller of controllers) controller.send('go');
      const steps = await Promise.all(controllers.map(async (controller) => Number(await controller.message())));
      // Authority moves, and the hold ends.
      expect(steps.reduce((sum, n) => sum + n)).toBe(2);
      expect((await plane.ruleset('events')).revision).toBe(1 + 3 * (round + 1));
    }
    const history = await plane.history('events', { limit: 100 });
    expect(history.map((line) => line.revision)).toEqual(Array.from({ length: 36 }, (_, i) => 37 - i));
  });
});
