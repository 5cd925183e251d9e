/** A SQLite store on a disk that is full, and has room again; a script. argv: the disk. Prints what became of its puts. */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { sql } from '../../adapters/sql/index.ts';
import { systemClock } from '../../src/core/clock.ts';
import { StoreFault } from '../../src/core/errors.ts';
import { KeySpec } from '../../src/core/record-key.ts';
import { makeStamp } from '../../src/core/stamp.ts';
import { identityCodec } from '../../src/core/store.ts';
import { fill } from './fill-disk.ts';

const [disk = ''] = process.argv.slice(2);
const file = join(disk, 'store.db');
new Database(file).exec('CREATE TABLE things (id TEXT PRIMARY KEY, body TEXT)').close();
const keys = new KeySpec(['id'], ['id']);
const definition = sql({ client: 'better-sqlite3', connection: file, table: 'things', document: 'body' });
const store = await definition.create({
  migration: 'things',
  side: 'old',
  keys,
  codec: identityCodec,
  clock: systemClock,
});
await store.open();
await store.prepare();

const entry = (name: string, stampMs: number) => {
  const key = { id: name };
  return { id: keys.id(key), key, stamp: makeStamp(stampMs, 0, 1), value: { id: name, text: 'x'.repeat(20_000) } };
};
async function put(name: string): Promise<string> {
  try {
    return (await store.putIfNewer(entry(name, 1), store.now() + 5_000)).kind;
  } catch (error) {
    if (!(error instanceof StoreFault)) throw error;
    return `${error.outcome}: ${error.message.split(': ').at(-1)}`;
  }
}

const filler = fill(disk);
const full = await put('a');
const { id, key } = entry('a', 1);
const left = (await store.get(id, key)) ?? null;
rmSync(filler);
const room = await put('a');
const value = (await store.get(id, key))?.value;
await store.close();
process.stdout.write(JSON.stringify({ full, left, room, kept: value?.['id'] }));
