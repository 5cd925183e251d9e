import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import pg from 'pg';
import { sql } from '../../adapters/sql/index.ts';
import { systemClock } from '../../src/core/clock.ts';
import { KeySpec } from '../../src/core/record-key.ts';
import { identityCodec, type Store } from '../../src/core/store.ts';
import { verifyStores } from '../../verify/full-scan.ts';
import { NO_POSTGRES } from '../fleet.ts';
import { atMost, type Line } from '../line.ts';
import { paired } from '../paired.ts';

const run = promisify(execFile);
const ROWS = 1_000_000;
const MOST_ROUNDS = 3;
const KEYS = new KeySpec(['id'], ['id']);
/** Differences, and the share of reladiff's time that a verification may take. */
const CASES = [
  [0, 1],
  [10, 0.5],
  [1_000, 0.5],
] as const;
const PLACE = join(import.meta.dirname, '../.cache/reladiff');
const COMMAND = join(PLACE, 'bin/reladiff');

/** Installs reladiff into a place of the bench's own, once. Null, or why it cannot be had. */
async function install(): Promise<string | null> {
  if (existsSync(COMMAND)) return null;
  try {
    await run('python3', ['-m', 'venv', PLACE]);
    await run(join(PLACE, 'bin/pip'), ['install', '--quiet', '--no-compile', 'reladiff==0.6.0', 'psycopg2-binary']);
    return null;
  } catch {
    return 'python3 with venv and pip is needed, and a way to PyPI';
  }
}

async function seed(client: pg.Client, schema: string, rows: number): Promise<void> {
  await client.query(`CREATE SCHEMA ${schema}`);
  for (const table of ['a', 'b']) {
    await client.query(
      `CREATE TABLE ${schema}.${table} (id integer PRIMARY KEY, n integer NOT NULL, text text NOT NULL)`,
    );
    await client.query(
      `INSERT INTO ${schema}.${table} SELECT i, i % 1000, repeat('lorem ipsum ', 8) || i FROM generate_series(1, $1::int) i`,
      [rows],
    );
    await client.query(`ANALYZE ${schema}.${table}`);
  }
}

async function open(url: string, table: string, side: 'old' | 'new'): Promise<Store> {
  const context = { migration: 'bench', side, keys: KEYS, codec: identityCodec, clock: systemClock };
  const store = await sql({ client: 'pg', connection: url, table }).create(context);
  await store.open();
  await store.prepare();
  return store;
}

/** Seconds that a full verification takes, rechecks of what differs included. */
async function verify(old: Store, fresh: Store, differences: number): Promise<number> {
  const begun = performance.now();
  const { counts } = await verifyStores({
    migration: 'bench',
    old,
    new: fresh,
    keys: KEYS,
    authority: () => 'old',
    includes: null,
    rules: {},
    clock: systemClock,
    revision: 1,
    mappingHash: 'bench',
    ttlMs: 60_000,
    dirty: { ranges: 0, rejected: 0 },
  });
  if (counts.different !== differences) throw new Error(`${counts.different} of ${differences} differences`);
  return (performance.now() - begun) / 1_000;
}

/** Seconds that reladiff takes. */
async function hashdiff(url: string, schema: string, differences: number): Promise<number> {
  const begun = performance.now();
  const server = url.replace(/^postgres:/, 'postgresql:');
  const args = [server, `${schema}.a`, server, `${schema}.b`, '-k', 'id', '-c', 'n', '-c', 'text', '--json'];
  const { stdout, stderr } = await run(COMMAND, args, { maxBuffer: 2 ** 26 });
  // It ends with 0 whatever happens.
  if (stderr.includes('ERROR')) throw new Error(stderr);
  const seen = stdout.trim() === '' ? 0 : 1;
  if (seen !== Math.min(differences, 1)) throw new Error(`reladiff did not see ${differences} differences`);
  return (performance.now() - begun) / 1_000;
}

/** A verification beside reladiff's hashdiff, two tables of one PostgreSQL. */
export const reladiff: Line = {
  name: 'reladiff',
  async *measure({ rounds, scale }) {
    const url = process.env['CHANGEOVER_TEST_POSTGRES_URL'];
    const rows = Math.ceil(ROWS * scale);
    const name = `verify beside reladiff, PostgreSQL, ${rows} rows`;
    const because = url === undefined ? NO_POSTGRES : await install();
    if (url === undefined || because !== null) {
      yield { line: name, because: because ?? NO_POSTGRES };
      return;
    }
    const schema = `bench_${randomBytes(6).toString('hex')}`;
    const client = new pg.Client({ connectionString: url });
    await client.connect();
    try {
      await seed(client, schema, rows);
      const [old, fresh] = [await open(url, `${schema}.a`, 'old'), await open(url, `${schema}.b`, 'new')];
      try {
        for (const [differences, share] of CASES) {
          const wrong = Math.min(differences, rows);
          await client.query(`UPDATE ${schema}.b SET n = id % 1000 WHERE n = -1`);
          await client.query(
            `UPDATE ${schema}.b SET n = -1 WHERE id IN (SELECT k * $1::int FROM generate_series(1, $2::int) k)`,
            [Math.floor(rows / Math.max(wrong, 1)), wrong],
          );
          const pairing = await paired(
            { name: 'a verification', run: () => verify(old, fresh, wrong) },
            { name: 'reladiff', run: () => hashdiff(url, schema, wrong) },
            Math.min(rounds, MOST_ROUNDS),
          );
          yield {
            line: `${name}, ${wrong} differences`,
            compared:
              'a full verification, rechecks included, beside `reladiff` with its defaults (hashdiff), on one server',
            unit: 's',
            pairing,
            target: atMost(pairing.ratio.median, share, share === 1 ? 'as fast' : 'at least twice as fast'),
          };
        }
      } finally {
        await old.close();
        await fresh.close();
      }
    } finally {
      await client.query(`DROP SCHEMA IF EXISTS ${schema} CASCADE`);
      await client.end();
    }
  },
};
