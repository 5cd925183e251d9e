/**
 * One of several processes that write the same SQLite table at once; a script, started by a test.
 *
 * argv: file, writer number, keys, rounds. It puts, deletes and increments, and prints what was applied as JSON.
 */
import { sql } from '../../adapters/sql/index.ts';
import { systemClock } from '../../src/core/clock.ts';
import { StoreFault } from '../../src/core/errors.ts';
import { KeySpec } from '../../src/core/record-key.ts';
import { makeStamp, type Stamp, StampClock } from '../../src/core/stamp.ts';
import { type Entry, identityCodec } from '../../src/core/store.ts';
import type { StoredRecord } from '../../src/core/value.ts';

const [file = '', writerText = '1', keysText = '4', roundsText = '50'] = process.argv.slice(2);
const [writer, keys, rounds] = [Number(writerText), Number(keysText), Number(roundsText)];
const spec = new KeySpec(['id'], ['id']);
const store = await sql({ client: 'better-sqlite3', connection: file, table: 'things', document: 'body' }).create({
  migration: 'things',
  side: 'new',
  keys: spec,
  codec: identityCodec,
  clock: systemClock,
});
await store.open();

const entry = (id: string, stamp: Stamp, value: StoredRecord | null): Entry => {
  const key = { id };
  return { id: spec.id(key), key, stamp, value: value === null ? null : { id, ...value } };
};
const applied: { id: string; stamp: string; deleted: boolean }[] = [];
let increments = 0;
const clock = new StampClock(store, writer);

async function definite<T>(call: () => Promise<T>): Promise<T> {
  for (let sent = 1; ; sent += 1) {
    try {
      return await call();
    } catch (error) {
      if (!(error instanceof StoreFault) || sent >= 20) throw error;
    }
  }
}

async function increment(): Promise<void> {
  for (;;) {
    const key = { id: 'counter' };
    const current = await definite(() => store.get(spec.id(key), key));
    if (current?.stamp) clock.observe(current.stamp);
    const next = entry('counter', clock.next(), { count: Number(current?.value?.['count'] ?? 0) + 1 });
    const expected =
      current === undefined ? ({ kind: 'absent' } as const) : ({ kind: 'version', stamp: current.stamp } as const);
    const outcome = await definite(() => store.compareAndSet(next, expected, store.now() + 60_000));
    if (outcome.kind === 'applied') {
      increments += 1;
      return;
    }
    if (outcome.kind === 'superseded') clock.observe(outcome.stamp);
    else if (outcome.kind !== 'conflict') throw new Error(`an increment is ${outcome.kind}`);
  }
}

for (let round = 0; round < rounds; round += 1) {
  const batch = Array.from({ length: keys }, (_, k) => {
    // Every writer's stamps interleave with those of the others.
    const stamp = makeStamp(1_750_000_000_000 + ((round * 7919 + k * 31) % (rounds * 4)), round % 5, writer);
    const deleted = (round + k + writer) % 4 === 0;
    return entry(`key ${k}`, stamp, deleted ? null : { writer, round });
  });
  const put = async (one: Entry): Promise<void> => {
    const outcome = await definite(() => store.putIfNewer(one, store.now() + 60_000));
    if (outcome.kind === 'applied')
      applied.push({ id: one.id, stamp: one.stamp as Stamp, deleted: one.value === null });
    else if (outcome.kind !== 'superseded') throw new Error(`a put is ${outcome.kind}`);
  };
  await Promise.all([...batch.map(put), increment()]);
}
await store.close();
process.stdout.write(JSON.stringify({ applied, increments }));
