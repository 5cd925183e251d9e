import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { systemClock } from '../../src/core/clock.ts';
import { KeySpec } from '../../src/core/record-key.ts';
import { makeStamp } from '../../src/core/stamp.ts';
import type { Entry } from '../../src/core/store.ts';
import { onFile, type SqliteFile } from '../adapters/sql-harness.ts';

const run = promisify(execFile);
const SCRIPT = new URL('../support/sqlite-writer.ts', import.meta.url).pathname;
const keys = new KeySpec(['id'], ['id']);
const DDL = 'CREATE TABLE things (id TEXT PRIMARY KEY, body TEXT)';

const entry = (id: string, ms: number, value: string | null): Entry => {
  const key = { id };
  return { id: keys.id(key), key, stamp: makeStamp(ms, 0, 1), value: value === null ? null : { id, value } };
};

/** Every key has a row exactly where its stamp is not a tombstone's. */
async function expectAgreement(place: SqliteFile, wanted: ReadonlyMap<string, boolean>): Promise<void> {
  const store = await place.open({ document: 'body' }, keys);
  const rows = new Set((place.raw().prepare('SELECT id FROM things').all() as { id: string }[]).map(({ id }) => id));
  for (const [id, deleted] of wanted) {
    const found = await store.get(keys.id({ id }), { id });
    expect(found, id).toBeDefined();
    expect([id, found!.value === null, rows.has(id)]).toEqual([id, deleted, !deleted]);
  }
}

test.for([
  ['first', 1, 2],
  ['first', 2, 1],
  ['second', 1, 2],
  ['second', 2, 1],
] as const)(
  'stamp and value agree when a delete meets the first insert of its key, delete asked for %s, stamps %i and %i (scenario 37)',
  async ([order, insertStamp, deleteStamp]) => {
    await using place = await onFile(DDL);
    const [inserter, deleter] = [
      await place.open({ document: 'body' }, keys),
      await place.open({ document: 'body' }, keys),
    ];
    await inserter.prepare();
    // Both wait for the same lock, so that neither has seen what the other one does.
    const lock = place.raw();
    lock.exec('BEGIN IMMEDIATE');
    const deadline = systemClock.now() + 30_000;
    const insert = () => inserter.putIfNewer(entry('a', insertStamp, 'inserted'), deadline);
    const remove = () => deleter.putIfNewer(entry('a', deleteStamp, null), deadline);
    const both = order === 'first' ? [remove(), insert()] : [insert(), remove()];
    lock.exec('COMMIT');
    await Promise.all(both);
    await expectAgreement(place, new Map([['a', deleteStamp > insertStamp]]));
    const store = await place.open({ document: 'body' }, keys);
    expect((await store.get(keys.id({ id: 'a' }), { id: 'a' }))?.stamp).toBe(makeStamp(2, 0, 1));
  },
);

test('stamp and value agree for keys that processes insert first and delete at once (scenario 37)', async ({
  signal,
}) => {
  await using place = await onFile(DDL);
  await (await place.open({ document: 'body' }, keys)).prepare();
  const [processes, count] = [4, 150];
  const reports = await Promise.all(
    Array.from({ length: processes }, async (_, i) => {
      const { stdout } = await run(process.execPath, [SCRIPT, place.file, String(i + 1), String(count), '1'], {
        signal,
      });
      return JSON.parse(stdout) as {
        readonly applied: { readonly id: string; readonly stamp: string; readonly deleted: boolean }[];
      };
    }),
  );
  const applied = reports.flatMap((report) => report.applied);
  const wanted = new Map<string, boolean>();
  for (let k = 0; k < count; k += 1) {
    const puts = applied.filter(({ id }) => id === keys.id({ id: `key ${k}` }));
    wanted.set(`key ${k}`, puts.reduce((a, b) => (a.stamp > b.stamp ? a : b)).deleted);
  }
  expect(new Set(wanted.values())).toEqual(new Set([true, false]));
  await expectAgreement(place, wanted);
});
