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
import { reportDocument } from '../../verify/reports/report-document.ts';
import { freshDatabase, testServer } from '../support/servers.ts';

const WHY = { actor: 'test', reason: 'values' };
/** More than a page, so that what stands behind the unreadable ones is of other pages too. */
const idOf = (n: number): string => `r${String(n).padStart(5, '0')}`;
const GOOD = Array.from({ length: 1_500 }, (_, n) => idOf(n));
const withAll = (bad: readonly string[]): readonly string[] => [...new Set([...GOOD, ...bad])];

interface Item {
  readonly id: string;
  readonly at: Date | null;
  readonly n: number;
}

/** An old store with records that are good until some of them are spoilt: then they cannot be read exactly. */
interface Source {
  readonly definition: StoreDefinition;
  readonly codec?: Codec;
  readonly bad: readonly string[];
  /** What a message about each of them says. */
  readonly says: RegExp;
  spoil(): Promise<void>;
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
    for (const id of withAll(bad)) insert.run(id, '2026-01-01T00:00:00.000Z', 1);
  })();
  const set = (at: string): void => {
    for (const id of bad) database.prepare('UPDATE items SET at = ? WHERE id = ?').run(at, id);
  };
  return {
    definition: sql({ client: 'better-sqlite3', connection, table: 'items' }),
    bad,
    says: /column "at" of the record .* cannot be read exactly/,
    spoil: async () => set('in spring'),
    mend: async () => set('2026-03-21T00:00:00.000Z'),
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
  const bad = ['a first', idOf(123), idOf(1_124)];
  await pool.query("INSERT INTO items SELECT id, '2026-01-01', 1 FROM unnest($1::text[]) AS id", [withAll(bad)]);
  const set = async (times: readonly string[]): Promise<void> => {
    for (const [i, id] of bad.entries()) await pool.query('UPDATE items SET at = $1 WHERE id = $2', [times[i], id]);
  };
  return {
    definition: sql({ client: 'pg', connection: fresh.url, table: 'items' }),
    bad,
    says: /column "at" of the record .* cannot be read exactly/,
    spoil: () => set(['infinity', '-infinity', '2026-01-01 00:00:00.123456+00']),
    mend: () => set(['2026-03-21', '2026-03-22', '2026-03-23']),
  };
}

async function documents() {
  const fresh = await freshDatabase('mongodb');
  const client = await new MongoClient(fresh.url).connect();
  onTestFinished(async () => {
    await client.close();
    await fresh.drop();
  });
  const items = client.db(fresh.name).collection<{ _id: string; at: unknown; n: number; id?: string }>('items');
  const bad = [idOf(3), 'zz last'];
  await items.insertMany(withAll(bad).map((_id, n) => ({ _id, at: new Date(n), n: 1 })));
  const definition = mongodb({ url: fresh.url, database: fresh.name, collection: 'items', id: 'id' });
  return { items, definition, bad, ours: { _id: { $in: bad } } };
}

async function mongo(): Promise<Source> {
  const { items, definition, bad, ours } = await documents();
  return {
    definition,
    bad,
    says: /: the field "at" of the document .* holds a date out of range$/,
    // What no date of JavaScript is: the server makes it.
    spoil: async () => {
      await items.updateMany(ours, [
        { $set: { at: { $toDate: { $multiply: [Long.fromNumber(9_000_000_000_000_000), '$n'] } } } },
      ]);
    },
    mend: async () => {
      await items.updateMany(ours, { $set: { at: new Date(0) } });
    },
  };
}

async function withTwoIds(): Promise<Source> {
  const { items, definition, bad, ours } = await documents();
  return {
    definition,
    bad,
    says: /: the field "id" of the document .* is not what its _id says$/,
    spoil: async () => {
      await items.updateMany(ours, { $set: { id: 'another' } });
    },
    mend: async () => {
      await items.updateMany(ours, { $unset: { id: 1 } });
    },
  };
}

/** A codec that refuses records which stand in the store as they do in the other one. */
async function behindCodec(): Promise<Source> {
  const { definition, bad } = await documents();
  let refuses = false;
  const decode: Codec['decode'] = (stored) => {
    if (refuses && bad.includes(String(stored['id']))) throw new InvalidRecord('the record is of the first release');
    return stored;
  };
  return {
    definition,
    codec: { encode: (record) => record, decode, version: '1' },
    bad,
    says: /: the record is of the first release$/,
    spoil: async () => {
      refuses = true;
    },
    mend: async () => {
      refuses = false;
    },
  };
}

const SOURCES = [
  { name: 'SQLite', make: sqlite, needs: undefined },
  { name: 'PostgreSQL', make: postgres, needs: testServer('postgres').missing },
  { name: 'MongoDB', make: mongo, needs: testServer('mongodb').missing },
  { name: 'MongoDB that say two ids', make: withTwoIds, needs: testServer('mongodb').missing },
  { name: 'MongoDB behind a codec', make: behindCodec, needs: testServer('mongodb').missing },
] as const;

/** A migration from a source to a SQLite table, and what an operator does with it. */
async function stand({ definition, codec }: Source) {
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
  const mirror = () => controller.set({ dial: 'dual-write', to: ALL }, { ...WHY, force: true });
  return { config, controller, plane: operations.plane, mirror };
}

describe.for(SOURCES)('records of $name that cannot be read exactly', ({ make, needs }) => {
  test.skipIf(needs !== undefined)(
    'are rejected and missing by name, all others are moved, and a repair brings them when they are mended',
    { timeout: 120_000 },
    async () => {
      const source = await make();
      const { bad, says } = source;
      await source.spoil();
      const { config, controller, plane, mirror } = await stand(source);
      const census = await controller.census({ ...WHY, sample: null });
      expect(census).toMatchObject({ exhaustive: true, unreadable: { count: bad.length } });
      await mirror();

      expect(await controller.backfill(WHY)).toMatchObject({ rejected: bad.length });
      const rejected = await plane.dirt('items', null, 100);
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
      const unit = { id: bad[0] as string };
      expect(await controller.verify({ ...WHY, recheckMs: [5], unit })).toMatchObject({ counts: { missing: 1 } });

      const changeover = await open(config, { logger: 'error' });
      onTestFinished(() => changeover.close());
      const repository = changeover.repository('items');
      await expect(repository.get(unit)).rejects.toBeInstanceOf(InvalidRecord);
      await expect(repository.getMany([{ id: idOf(1) }, unit])).rejects.toBeInstanceOf(InvalidRecord);
      await expect(repository.update(unit, (item) => item)).rejects.toBeInstanceOf(InvalidRecord);
      await expect(async () => {
        for await (const _ of repository.list(unit.id)) expect.unreachable();
      }).rejects.toBeInstanceOf(InvalidRecord);
      expect(await repository.get({ id: idOf(1) })).toMatchObject({ n: 1 });

      await source.mend();
      expect(await controller.repair(WHY)).toMatchObject({ applied: bad.length, rejected: { new: 0 } });
      expect(await controller.verify({ ...WHY, recheckMs: [5], prove: true })).toMatchObject({
        verdict: 'consistent',
        proof: { missed: [] },
      });
      expect(await plane.status('items')).toMatchObject({ divergences: 0, dirty: { rejected: 0 } });
    },
  );

  test.skipIf(needs !== undefined)(
    'are equal to nothing, not to the copies from before either, until they are mended',
    { timeout: 120_000 },
    async () => {
      const source = await make();
      const { bad } = source;
      const { controller, plane, mirror } = await stand(source);
      await mirror();
      expect(await controller.backfill(WHY)).toMatchObject({ rejected: 0 });
      expect(await controller.verify({ ...WHY, recheckMs: [5] })).toMatchObject({ verdict: 'consistent' });
      await source.spoil();
      const different = { verdict: 'divergent', counts: { different: bad.length, missing: 0, extra: 0 } };
      for (const repaired of [false, true]) {
        if (repaired) await controller.repair(WHY);
        const report = await controller.verify({ ...WHY, recheckMs: [5] });
        expect(report).toMatchObject(different);
        expect(report.divergences.map(({ key, cause }) => `${key['id']} ${cause}`).sort()).toEqual(
          bad.map((id) => `${id} rejected`).sort(),
        );
        // No part of what stands for it is told as a value.
        expect(reportDocument(report, { showValues: true }).divergences.flatMap(({ fields }) => fields)).toEqual([]);
        expect((await plane.status('items')).divergences).toBe(bad.length);
      }
      const unit = { id: bad.at(-1) as string };
      expect(await controller.verify({ ...WHY, recheckMs: [5], unit })).toMatchObject({ counts: { different: 1 } });
      await source.mend();
      await controller.backfill(WHY);
      await controller.repair(WHY);
      expect(await controller.verify({ ...WHY, recheckMs: [5] })).toMatchObject({ verdict: 'consistent' });
      expect((await plane.status('items')).divergences).toBe(0);
    },
  );
});
