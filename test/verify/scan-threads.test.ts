import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { describe, expect, test } from 'vitest';
import { sql } from '../../adapters/sql/index.ts';
import { systemClock } from '../../src/core/clock.ts';
import { Interrupted, InvalidRecord } from '../../src/core/errors.ts';
import { makeStamp } from '../../src/core/stamp.ts';
import { identityCodec, type Store, type StoreContext } from '../../src/core/store.ts';
import { verifyStores } from '../../verify/full-scan.ts';
import { threadsFor } from '../../verify/scan-threads.ts';
import { entryOf, KEYS, optionsFor } from './data-set.ts';

const RECORDS = 3_000;

/** Two stores on files; what is left open at the end is closed. */
async function onFiles() {
  const directory = await mkdtemp(join(tmpdir(), 'changeover-threads-'));
  const stores: Store[] = [];
  const create = async (side: 'old' | 'new', codec = identityCodec): Promise<Store> => {
    const connection = join(directory, `${side}.db`);
    const raw = new Database(connection);
    raw.exec('CREATE TABLE IF NOT EXISTS things (user TEXT, id INTEGER, n INTEGER, PRIMARY KEY (user, id))');
    raw.close();
    const context: StoreContext = { migration: 'events', side, keys: KEYS, codec, clock: systemClock };
    const store = await sql({ client: 'better-sqlite3', connection, table: 'things' }).create(context);
    stores.push(store);
    await store.open();
    await store.prepare();
    return store;
  };
  return {
    create,
    raw: (side: 'old' | 'new') => new Database(join(directory, `${side}.db`)),
    async [Symbol.asyncDispose]() {
      for (const store of stores) await store.close();
      await rm(directory, { recursive: true });
    },
  };
}

async function fill(store: Store, count: number, nOf: (i: number) => number | null): Promise<void> {
  const entries = Array.from({ length: count }, (_, i) => {
    const n = nOf(i);
    return entryOf(`user-${i % 37}`, i, makeStamp(systemClock.now() - 900_000, i, 7), n === null ? null : { n });
  });
  const outcomes = await store.putManyIfNewer(entries, store.now() + 60_000);
  expect(outcomes.filter(({ kind }) => kind !== 'applied')).toEqual([]);
}

/** What counts of a report: all but its times. */
const found = ({ verdict, counts, divergences, scanned }: Awaited<ReturnType<typeof verifyStores>>) => ({
  verdict,
  counts,
  divergences: divergences.map(({ key, kind, fields }) => ({ key, kind, fields })),
  records: { old: scanned.old.records, new: scanned.new.records },
});

describe('a scan by threads', () => {
  test('finds what a scan of one thread finds, planted records included', async () => {
    await using place = await onFiles();
    const stores = { old: await place.create('old'), new: await place.create('new') };
    await fill(stores.old, RECORDS, (i) => (i % 500 === 7 ? null : i));
    await fill(stores.new, RECORDS - 5, (i) => (i % 1_000 === 8 ? -1 : i));
    const options = { ...optionsFor(systemClock, stores), includes: null, partitions: 3, pageSize: 100 };
    const alone = found(await verifyStores({ ...options, threads: 0 }));
    expect(alone.counts).toMatchObject({ missing: 5, extra: 6, different: 3, pending: 0 });
    const threaded = await verifyStores({ ...options, threads: 2, prove: true });
    expect(found(threaded)).toEqual(alone);
    expect(threaded.proof?.missed).toEqual([]);
  });

  test('verifies a sample alike in both stores', async () => {
    await using place = await onFiles();
    const stores = { old: await place.create('old'), new: await place.create('new') };
    for (const store of [stores.old, stores.new]) await fill(store, RECORDS, (i) => i);
    const options = { ...optionsFor(systemClock, stores), includes: null, sample: 0.5 };
    const { verdict, counts } = await verifyStores({ ...options, threads: 1 });
    expect(verdict).toBe('consistent');
    expect(counts.equal).toBeGreaterThan(0);
    expect(counts.equal).toBeLessThan(RECORDS);
  });

  test('fails by the name of what a thread met', async () => {
    await using place = await onFiles();
    const stores = { old: await place.create('old'), new: await place.create('new') };
    await fill(stores.old, 10, (i) => i);
    const raw = place.raw('old');
    raw.exec("INSERT INTO things VALUES ('user-1', 77, 'no number')");
    raw.close();
    const options = { ...optionsFor(systemClock, stores), includes: null };
    await expect(verifyStores({ ...options, threads: 2 })).rejects.toBeInstanceOf(InvalidRecord);
  });

  test('ends with its threads when it is interrupted', async () => {
    await using place = await onFiles();
    const stores = { old: await place.create('old'), new: await place.create('new') };
    await fill(stores.old, RECORDS, (i) => i);
    const stop = new AbortController();
    const options = { ...optionsFor(systemClock, stores), includes: null, pageSize: 1, signal: stop.signal };
    const onProgress = (): void => stop.abort();
    await expect(verifyStores({ ...options, threads: 2, onProgress })).rejects.toBeInstanceOf(Interrupted);
    expect(process.getActiveResourcesInfo().filter((name) => name === 'MessagePort')).toEqual([]);
  });

  test('is left to this thread where a codec cannot be sent, or a store not opened, elsewhere', async () => {
    await using place = await onFiles();
    const codec = { encode: identityCodec.encode, decode: identityCodec.decode };
    const [mapped, old] = [await place.create('old', codec), await place.create('old')];
    const fresh = await place.create('new');
    for (const store of [old, fresh]) await fill(store, 100, (i) => i);
    expect(mapped.elsewhere).toBeUndefined();
    const astray = new Proxy(old, {
      get(store, name) {
        if (name === 'elsewhere') return { ...store.elsewhere, module: 'file:///nowhere/at-all.js' };
        const member: unknown = Reflect.get(store, name, store);
        return typeof member === 'function' ? member.bind(store) : member;
      },
    });
    for (const store of [mapped, astray]) {
      const options = { ...optionsFor(systemClock, { old: store, new: fresh }), includes: null };
      const { verdict, counts } = await verifyStores({ ...options, threads: 2 });
      expect([verdict, counts.equal]).toEqual(['consistent', 100]);
    }
  });

  test('is begun for many records only, and never by more threads than processors', () => {
    expect([threadsFor(1_000, 8), threadsFor(1_000_000, 1), threadsFor(1_000_000, 2)]).toEqual([0, 1, 2]);
    expect(threadsFor(1_000_000, 64)).toBe(4);
  });
});
