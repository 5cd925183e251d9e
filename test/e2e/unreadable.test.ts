import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { Long, MongoClient } from 'mongodb';
import pg from 'pg';
import { describe, expect, onTestFinished, test } from 'vitest';
import { mongodb } from '../../adapters/mongodb/index.ts';
import { sql } from '../../adapters/sql/index.ts';
import { ALL } from '../../src/core/dial.ts';
import { InvalidRecord } from '../../src/core/errors.ts';
import type { Codec, StoreDefinition } from '../../src/core/store.ts';
import { control, defineConfig, migration, open } from '../../src/index.ts';
import { freshDatabase, testServer } from '../support/servers.ts';

const WHY = { actor: 'test', reason: 'values' };
/** More than a page, so that what stands behind the unreadable ones is of other pages too. */
const GOOD = 1_500;
const idOf = (n: number): string => `r${String(n).padStart(5, '0')}`;

interface Item {
  readonly id: string;
  readonly at: Date | null;
  readonly n: number;
}

/** An old store with good records and some that hold what cannot be read exactly. */
interface Source {
  readonly definition: StoreDefinition;
  readonly codec?: Codec;
  readonly bad: readonly string[];
  /** What a message about each of them says. */
  readonly says: RegExp;
  mend(): Promise<void>;
}

const folderOf = (): string => {
  const folder = mkdtempSync(join(tmpdir(), 'changeover-unreadable-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
};

function sqlitePlace(type = 'TEXT'): { readonly connection: string; readonly database: Database.Database } {
  const connection = join(folderOf(), 'store.db');
  const database = new Database(connection);
  onTestFinished(() => {
    database.close();
  });
  database.exec(`CREATE TABLE items (id TEXT NOT NULL PRIMARY KEY, at ${type}, n INTEGER)`);
  return { connection, database };
}

async function sqlite(): Promise<Source> {
  const { connection, database } = sqlitePlace('DATETIME');
  const insert = database.prepare('INSERT INTO items VALUES (?, ?, ?)');
  const bad = ['a first', idOf(700), 'zz last'];
  database.transaction(() => {
    for (let n = 0; n < GOOD; n += 1) insert.run(idOf(n), '2026-01-01T00:00:00.000Z', n);
    for (const id of bad) database.prepare('REPLACE INTO items VALUES (?, ?, 1)').run(id, 'in spring');
  })();
  return {
    definition: sql({ client: 'better-sqlite3', connection, table: 'items' }),
    bad,
    says: /column "at" of the record .* cannot be read exactly/,
    mend: async () => {
      database.exec("UPDATE items SET at = '2026-03-21T00:00:00.000Z' WHERE at = 'in spring'");
    },
  };
}

async function postgres(): Promise<Source> {
  const fresh = await freshDatabase('postgres');
  const pool = new pg.Pool({ connectionString: fresh.url, max: 2 });
  pool.on('connect', (client) => client.on('error', () => undefined));
  onTestFinished(async () => {
    await pool.end();
    await fresh.drop();
  });
  await pool.query('CREATE TABLE items (id text PRIMARY KEY, at timestamptz, n integer)');
  await pool.query(
    "INSERT INTO items SELECT 'r' || lpad(n::text, 5, '0'), '2026-01-01', n FROM generate_series(0, $1) AS n",
    [GOOD - 1],
  );
  const bad = ['a first', idOf(123), idOf(1_124)];
  const times = ['infinity', '-infinity', '2026-01-01 00:00:00.123456+00'];
  for (const [i, id] of bad.entries()) {
    await pool.query('INSERT INTO items VALUES ($1, $2, 1) ON CONFLICT (id) DO UPDATE SET at = excluded.at', [
      id,
      times[i],
    ]);
  }
  return {
    definition: sql({ client: 'pg', connection: fresh.url, table: 'items' }),
    bad,
    says: /column "at" of the record .* cannot be read exactly/,
    mend: async () => {
      await pool.query("UPDATE items SET at = '2026-03-21' WHERE id = ANY ($1)", [bad]);
    },
  };
}

async function documents() {
  const fresh = await freshDatabase('mongodb');
  const client = await new MongoClient(fresh.url).connect();
  onTestFinished(async () => {
    await client.close();
    await fresh.drop();
  });
  const items = client.db(fresh.name).collection<{ _id: string; at: unknown; n: number }>('items');
  await items.insertMany(Array.from({ length: GOOD }, (_, n) => ({ _id: idOf(n), at: new Date(n), n })));
  return { items, definition: mongodb({ url: fresh.url, database: fresh.name, collection: 'items', id: 'id' }) };
}

async function mongo(): Promise<Source> {
  const { items, definition } = await documents();
  const bad = [idOf(3), idOf(1_003)];
  // What no date of JavaScript is: the server makes it.
  await items.updateMany({ _id: { $in: bad } }, [
    { $set: { at: { $toDate: { $multiply: [Long.fromNumber(9_000_000_000_000_000), { $add: ['$n', 1] }] } } } },
  ]);
  return {
    definition,
    bad,
    says: /: the field "at" of the document .* holds a date out of range$/,
    mend: async () => {
      await items.updateMany({ _id: { $in: bad } }, { $set: { at: new Date(0) } });
    },
  };
}

async function behindCodec(): Promise<Source> {
  const { items, definition } = await documents();
  const bad = [idOf(11)];
  await items.updateMany({ _id: { $in: bad } }, { $set: { at: 'never' } });
  const decode: Codec['decode'] = (stored) => {
    if (stored['at'] === 'never') throw new InvalidRecord('the field "at" is of the first release');
    return stored;
  };
  return {
    definition,
    codec: { encode: (record) => record, decode, version: '1' },
    bad,
    says: /: the field "at" is of the first release$/,
    mend: async () => {
      await items.updateMany({ _id: { $in: bad } }, { $set: { at: null } });
    },
  };
}

const SOURCES = [
  { name: 'SQLite', make: sqlite, needs: undefined },
  { name: 'PostgreSQL', make: postgres, needs: testServer('postgres').missing },
  { name: 'MongoDB', make: mongo, needs: testServer('mongodb').missing },
  { name: 'MongoDB behind a codec', make: behindCodec, needs: testServer('mongodb').missing },
] as const;

describe.for(SOURCES)('records of $name that cannot be read exactly', ({ make, needs }) => {
  test.skipIf(needs !== undefined)(
    'are rejected and missing by name, all others are moved, and a repair brings them when they are mended',
    { timeout: 120_000 },
    async () => {
      const { definition, codec, bad, says, mend } = await make();
      const { connection } = sqlitePlace('DATETIME');
      const items = migration<Item>({
        key: ['id'],
        unit: 'id',
        old: definition,
        new: sql({ client: 'better-sqlite3', connection, table: 'items' }),
        ...(codec !== undefined && { codecs: { old: codec } }),
      });
      const config = defineConfig({ control: 'memory', migrations: { items } });
      const operations = await control(config);
      onTestFinished(() => operations.close());
      await operations.prepare('items');
      await operations.plane.changeSettings('items', { noOutsideWriters: true }, WHY);
      const controller = await operations.migration('items');
      const census = await controller.census({ ...WHY, sample: null });
      expect(census).toMatchObject({ exhaustive: true, unreadable: { count: bad.length } });
      await controller.set({ dial: 'dual-write', to: ALL }, { ...WHY, force: true });

      expect(await controller.backfill(WHY)).toMatchObject({ rejected: bad.length });
      const rejected = await operations.plane.dirt('items', null, 100);
      expect(rejected.map(({ kind, key }) => `${kind} ${key?.['id']}`).sort()).toEqual(
        bad.map((id) => `rejected ${id}`).sort(),
      );
      for (const { cause } of rejected) expect(cause).toMatch(says);

      for (const repaired of [false, true]) {
        if (repaired) expect(await controller.repair(WHY)).toMatchObject({ rejected: { new: bad.length } });
        const report = await controller.verify({ ...WHY, recheckMs: [5] });
        expect(report).toMatchObject({ verdict: 'divergent', counts: { missing: bad.length, different: 0, extra: 0 } });
        expect(report.counts.equal).toBe(report.counts.old - bad.length);
        expect(new Set(report.divergences.map(({ key, cause }) => `${key['id']} ${cause}`))).toEqual(
          new Set(bad.map((id) => `${id} rejected`)),
        );
      }
      expect(await controller.verify({ ...WHY, recheckMs: [5], unit: { id: bad[0] as string } })).toMatchObject({
        counts: { missing: 1 },
      });

      const changeover = await open(config, { logger: 'error' });
      onTestFinished(() => changeover.close());
      const repository = changeover.repository('items');
      await expect(repository.get({ id: bad[0] })).rejects.toBeInstanceOf(InvalidRecord);
      await expect(repository.getMany([{ id: idOf(1) }, { id: bad[0] }])).rejects.toBeInstanceOf(InvalidRecord);
      await expect(repository.update({ id: bad[0] }, (item) => item)).rejects.toBeInstanceOf(InvalidRecord);
      await expect(async () => {
        for await (const _ of repository.list(bad[0] as string)) expect.unreachable();
      }).rejects.toBeInstanceOf(InvalidRecord);
      expect(await repository.get({ id: idOf(1) })).toMatchObject({ n: 1 });

      await mend();
      expect(await controller.repair(WHY)).toMatchObject({ applied: bad.length, rejected: { new: 0 } });
      expect(await controller.verify({ ...WHY, recheckMs: [5], prove: true })).toMatchObject({
        verdict: 'consistent',
        proof: { missed: [] },
      });
      expect(await operations.plane.status('items')).toMatchObject({ divergences: 0, dirty: { rejected: 0 } });
    },
  );
});
