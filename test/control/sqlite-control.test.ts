import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, onTestFinished, test } from 'vitest';
import {
  openControlWorker,
  openSqliteControl,
  type Remote,
  type SqliteControlOptions,
} from '../../src/control/sqlite-control.ts';
import {
  Closed,
  ControlUnavailable,
  GatesRefused,
  InvalidConfiguration,
  NotPrepared,
  UnknownMigration,
} from '../../src/core/errors.ts';
import { STAMP_MIN } from '../../src/core/stamp.ts';
import { Child } from '../support/child.ts';
import type { CounterPlane } from '../support/counter-plane.ts';

const folder = mkdtempSync(join(tmpdir(), 'changeover-worker-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

let files = 0;
const newFile = (): string => {
  files += 1;
  return join(folder, `${files}.db`);
};

const entry = new URL('../support/counter-plane-worker.ts', import.meta.url);

async function open(path = newFile(), options: Partial<SqliteControlOptions> = {}): Promise<Remote<CounterPlane>> {
  const plane = await openControlWorker<CounterPlane>(entry, { path, ...options });
  onTestFinished(() => plane.close());
  return plane;
}

const workers = (): number =>
  process.getActiveResourcesInfo().filter((name) => name === 'MessagePort' || name === 'Worker').length;

describe('a control plane in a worker', () => {
  test('answers calls, many at once, in one order', async () => {
    const plane = await open();
    await plane.create();
    const sums = await Promise.all(Array.from({ length: 40 }, () => plane.add(1)));
    expect(sums).toEqual(Array.from({ length: 40 }, (_, i) => i + 2));
    expect(await plane.value()).toBe(41);
  });

  test('gives errors back as what they were', async () => {
    const plane = await open();
    const refused = await plane.refuse().catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(GatesRefused);
    expect(refused).toMatchObject({
      gates: [{ gate: 'covered' }],
      details: { migration: 'events' },
      cause: { message: 'because' },
    });
    await expect(plane.fail('EIO')).rejects.toBeInstanceOf(ControlUnavailable);
    const mistake = await plane.fail(null).catch((error: unknown) => error);
    expect(mistake).toMatchObject({ name: 'TypeError', message: 'a mistake' });
    expect(mistake).not.toBeInstanceOf(ControlUnavailable);
  });

  test('can be awaited and printed like any object', async () => {
    const plane = await open();
    expect(await Promise.resolve(plane)).toBe(plane);
    expect(JSON.stringify(plane)).toBe('{}');
    await expect(plane.add((() => 1) as never)).rejects.toThrow();
    await plane.create();
  });

  test('tells of its own commits and of those of others, until nobody listens', async () => {
    const path = newFile();
    const [plane, other] = [await open(path), await open(path)];
    await plane.create();
    let seen = Promise.withResolvers<void>();
    const stop = plane.watch(() => seen.resolve());
    await seen.promise;
    for (const writer of [plane, other, plane]) {
      seen = Promise.withResolvers<void>();
      await writer.add(1);
      await seen.promise;
    }
    stop();
    stop();
    let calls = 0;
    plane.watch(() => {
      calls += 1;
    })();
    await other.add(1);
    await plane.value();
    expect(calls).toBe(0);
  });

  test('leaves the main thread alone while another process holds the write lock', async () => {
    const path = newFile();
    const plane = await open(path, { busyBudgetMs: 30_000 });
    await plane.create();
    const holder = new Child('control-process', ['hold', path]);
    await holder.message();
    const write = plane.add(1);
    let written = false;
    const done = write.then(() => {
      written = true;
    });
    // Turns of a 1 ms timer, none of which could run in a busy wait.
    let worst = 0;
    const began = performance.now();
    for (let turns = 0; turns < 200; turns += 1) {
      const before = performance.now();
      await new Promise((resolve) => setTimeout(resolve, 1));
      worst = Math.max(worst, performance.now() - before);
    }
    const waitedMs = Math.round(performance.now() - began);
    expect(written).toBe(false);
    holder.send('enough');
    await done;
    await holder.ended;
    console.log(`worker waited ${waitedMs} ms for a lock: 200 turns of a 1 ms timer, longest ${worst.toFixed(1)} ms`);
  });

  test('rejects what waits when the worker dies, and everything after', async () => {
    const plane = await open();
    const waiting = plane.hang();
    const exiting = plane.exit();
    for (const call of [waiting, exiting]) await expect(call).rejects.toBeInstanceOf(ControlUnavailable);
    await expect(plane.value()).rejects.toThrow(/has ended: exit code 7$/);
    await plane.close();
  });

  test('says what the worker died of', async () => {
    const plane = await open();
    const died = { code: 'CONTROL_UNAVAILABLE', message: expect.stringMatching(/has ended: out of everything$/) };
    await expect(plane.collapse()).rejects.toMatchObject({ ...died, cause: { name: 'RangeError' } });
    await expect(plane.value()).rejects.toMatchObject(died);
  });

  test('finishes what was called before it closes, takes no more, and leaves no handle', async () => {
    const before = workers();
    const path = newFile();
    const plane = await openControlWorker<CounterPlane>(entry, { path });
    plane.watch(() => {});
    await plane.create();
    expect(workers()).toBeGreaterThan(before);
    const calls = Array.from({ length: 10 }, () => plane.add(1));
    await Promise.all([plane.close(), plane.close()]);
    expect(await Promise.all(calls)).toHaveLength(10);
    await expect(plane.value()).rejects.toBeInstanceOf(Closed);
    expect(() => plane.watch(() => {})).toThrow(Closed);
    expect(workers()).toBe(before);
    expect(await (await open(path)).value()).toBe(11);
  });

  test('says why it cannot start, and leaves no handle then either', async () => {
    const before = workers();
    await expect(open(newFile(), { prepare: false })).rejects.toBeInstanceOf(NotPrepared);
    await expect(open(':memory:')).rejects.toBeInstanceOf(InvalidConfiguration);
    writeFileSync(join(folder, 'file'), '');
    await expect(open(join(folder, 'file', 'control.db'))).rejects.toBeInstanceOf(ControlUnavailable);
    const missing = openControlWorker(new URL('./nothing.ts', import.meta.url), { path: newFile() });
    await expect(missing).rejects.toBeInstanceOf(ControlUnavailable);
    expect(workers()).toBe(before);
  });
});

describe('the control plane on SQLite', () => {
  const joining = () => ({
    session: 's',
    attempt: 1,
    node: { host: 'h', pid: 1, processId: 'p', version: '1', name: 'n' },
    migrations: ['events'],
    deadlineLimit: Date.now() + 60_000,
    stampLimit: STAMP_MIN,
  });

  test('runs in its worker from end to end', async () => {
    const control = await openSqliteControl({ path: newFile() });
    onTestFinished(() => control.close());
    expect(await control.ensureMigration('events')).toMatchObject({ migration: 'events', revision: 1 });
    expect(await control.migrations()).toEqual(['events']);
    await expect(control.ruleset('nothing')).rejects.toBeInstanceOf(UnknownMigration);
    const joined = await control.join(joining());
    expect(joined.incarnation).toBeGreaterThanOrEqual(1);
    expect(joined.rulesets.map(({ migration }) => migration)).toEqual(['events']);
  });

  test('calls a process dead that joined a file that is gone: it joins the new one', async () => {
    const path = newFile();
    const control = await openSqliteControl({ path });
    onTestFinished(() => control.close());
    const { deadlineLimit, stampLimit } = joining();
    const { incarnation } = await control.join(joining());
    const health = { ...{ mirrorQueue: 0, shed: 0, operations: 0, errors: 0 }, memoryBytes: 0, aheadMs: 0 };
    const nothing = { acknowledged: {}, dirt: [], divergences: [], shadow: [], traffic: {} };
    const report = { incarnation, ...nothing, deadlineLimit, stampLimit, health: { ...health, highWater: STAMP_MIN } };
    expect(await control.report(report)).toEqual({ standing: 'member' });
    for (const end of ['', '-wal', '-shm']) rmSync(`${path}${end}`);
    await expect(control.report(report)).rejects.toBeInstanceOf(ControlUnavailable);
    const other = await openSqliteControl({ path });
    onTestFinished(() => other.close());
    expect(await control.report(report)).toEqual({ standing: 'dead' });
    await control.join(joining());
    expect(await other.fleet('alive')).toHaveLength(1);
  });
});
