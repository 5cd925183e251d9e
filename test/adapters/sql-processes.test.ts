import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { systemClock } from '../../src/core/clock.ts';
import { StoreFault } from '../../src/core/errors.ts';
import { KeySpec } from '../../src/core/record-key.ts';
import { makeStamp } from '../../src/core/stamp.ts';
import { hasSmallDisk, onSmallDisk } from '../support/small-disk.ts';
import { onFile } from './sql-harness.ts';

const run = promisify(execFile);
const SCRIPT = new URL('../support/sqlite-writer.ts', import.meta.url).pathname;
const DDL = 'CREATE TABLE things (id TEXT PRIMARY KEY, body TEXT)';
const keys = new KeySpec(['id'], ['id']);

interface Report {
  readonly applied: readonly { readonly id: string; readonly stamp: string; readonly deleted: boolean }[];
  readonly increments: number;
}

it.for([true, false])(
  'processes that write one file at once agree with the stamps and lose no update (WAL: %s)',
  async (wal, { signal }) => {
    await using place = await onFile(DDL);
    const store = await place.open({ document: 'body', wal }, keys);
    await store.prepare();
    const [processes, rounds] = [4, 40];
    const failed = new AbortController();
    const reports = await Promise.all(
      Array.from({ length: processes }, async (_, i): Promise<Report> => {
        const args = [SCRIPT, place.file, String(i + 1), '4', String(rounds)];
        const { stdout } = await run(process.execPath, args, { signal: AbortSignal.any([signal, failed.signal]) });
        return JSON.parse(stdout) as Report;
      }),
    );
    for (let k = 0; k < 4; k += 1) {
      const key = { id: `key ${k}` };
      const id = keys.id(key);
      const puts = reports.flatMap(({ applied }) => applied.filter((put) => put.id === id));
      const winner = puts.reduce((a, b) => (a.stamp > b.stamp ? a : b));
      const found = await store.get(id, key);
      expect(found?.stamp).toBe(winner.stamp);
      expect(found?.value === null).toBe(winner.deleted);
    }
    const counter = await store.get(keys.id({ id: 'counter' }), { id: 'counter' });
    expect(reports.map(({ increments }) => increments)).toEqual(Array(processes).fill(rounds));
    expect(counter?.value).toEqual({ id: 'counter', count: processes * rounds });
  },
);

it('a put that never gets the lock is expired, the event loop goes on, and nothing is written later', async () => {
  await using place = await onFile(DDL);
  const store = await place.open({ document: 'body' }, keys);
  await store.prepare();
  const entry = { id: keys.id({ id: 'a' }), key: { id: 'a' }, stamp: makeStamp(1, 0, 1), value: { id: 'a' } };
  const lock = place.raw();
  lock.exec('BEGIN IMMEDIATE');
  let turns = 0;
  const ticking = setInterval(() => {
    turns += 1;
  }, 1);
  const outcomes = await Promise.all([
    store.putIfNewer(entry, systemClock.now() + 600),
    store.putManyIfNewer([entry, { ...entry, stamp: makeStamp(2, 0, 1) }], systemClock.now() + 400),
    store.compareAndSet(entry, { kind: 'absent' }, systemClock.now() + 200),
  ]);
  clearInterval(ticking);
  expect(outcomes.flat()).toEqual(Array(4).fill({ kind: 'expired' }));
  expect(turns).toBeGreaterThan(1);
  lock.exec('COMMIT');
  expect(await store.get(entry.id, entry.key)).toBeUndefined();
  expect(await store.putIfNewer(entry, systemClock.now() + 10_000)).toEqual({ kind: 'applied', previous: 'absent' });
});

it('a put goes through as soon as another process lets the lock go', async () => {
  await using place = await onFile(DDL);
  const store = await place.open({ document: 'body' }, keys);
  await store.prepare();
  const entry = { id: keys.id({ id: 'a' }), key: { id: 'a' }, stamp: makeStamp(1, 0, 1), value: { id: 'a' } };
  const lock = place.raw();
  lock.exec('BEGIN IMMEDIATE');
  const put = store.putIfNewer(entry, systemClock.now() + 10_000);
  await new Promise((resolve) => setImmediate(resolve));
  lock.exec('COMMIT');
  expect(await put).toEqual({ kind: 'applied', previous: 'absent' });
});

it('opening waits for a file that another process has to itself', async () => {
  await using place = await onFile(DDL);
  const lock = place.raw();
  lock.exec('BEGIN EXCLUSIVE');
  const opening = place.open({ document: 'body', wal: false }, keys);
  let opened = false;
  const done = opening.then(() => {
    opened = true;
  });
  for (let turn = 0; turn < 50; turn += 1) await new Promise((resolve) => setImmediate(resolve));
  expect(opened).toBe(false);
  lock.exec('COMMIT');
  await done;
  expect(await (await opening).prepared()).toBe(false);
});

it('a file that cannot be written is a fault with nothing written, not a rejection', async () => {
  await using place = await onFile(DDL);
  await (await place.open({ document: 'body' }, keys)).prepare();
  const connection = { filename: place.file, options: { readonly: true } };
  const store = await place.open({ document: 'body', connection }, keys);
  const entry = { id: keys.id({ id: 'a' }), key: { id: 'a' }, stamp: makeStamp(1, 0, 1), value: { id: 'a' } };
  const error = await store.putIfNewer(entry, systemClock.now() + 10_000).catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(StoreFault);
  expect(error).toMatchObject({
    outcome: 'nothing-written',
    pressure: false,
    message: 'sqlite things: SQLITE_READONLY',
  });
  expect(await store.putManyIfNewer([entry], systemClock.now() + 10_000)).toMatchObject([
    { kind: 'fault', outcome: 'nothing-written' },
  ]);
});

it.skipIf(!hasSmallDisk)(
  'a put that finds no room on the disk has surely written nothing, and succeeds when there is',
  async () => {
    expect(await onSmallDisk('full-disk-store')).toEqual({
      full: 'nothing-written: SQLITE_FULL',
      left: null,
      room: 'applied',
      kept: 'a',
    });
  },
);
