import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { SqlOptions } from '../../adapters/sql/index.ts';
import { Interrupted, StoreFault } from '../../src/core/errors.ts';
import { KeySpec } from '../../src/core/record-key.ts';
import { makeStamp } from '../../src/core/stamp.ts';
import type { Codec, Entry, Store } from '../../src/core/store.ts';
import type { VerifyOptions } from '../../verify/full-scan.ts';
import { onPostgres, type PostgresPlace } from '../adapters/postgres-harness.ts';
import { testServer } from '../support/servers.ts';
import { equalCounts, unread, verifications, withDigests } from './by-digests.ts';
import { withMethods } from './data-set.ts';

const ROWS = 900;
const SEED = 20260105;
const BY_TENANT = new KeySpec(['tenant', 'id'], ['tenant']);

/** Every type that prints in a way of its own, with the collation of the key's text left open. */
const columns = (collation: string): string => `
  tenant varchar(20) COLLATE ${collation}, id bigint, n int, small smallint, big bigint, name text, title varchar(40),
  padded char(6), amount numeric, ratio float8, single float4, done boolean, at timestamptz, day date, local timestamp,
  ref uuid, body jsonb, raw json, bytes bytea, mood mood, PRIMARY KEY (tenant, id)`;

const ROW = `
  (ARRAY['ada', 'Ada', 'zoë', 'a b', '~x'])[1 + i % 5], i, nullif(i % 7, 3), i % 100, (i::bigint << 40) - 7,
  (ARRAY[NULL, '', 'a''"\\(,) b', '😀 ' || i, repeat('long ', 300)])[1 + i % 5], CASE WHEN i % 3 > 0 THEN 'title ' || i END,
  'p' || i % 50, i / 8.0 + 0.10, i / 7.0::float8, i / 7.0::float4, i % 2 = 0,
  timestamptz '2026-01-01 00:00:00.120+00' + i * interval '1 hour', date '2026-01-01' + i, timestamp '1999-12-31 23:59:59' + i * interval '1 ms',
  md5(i::text)::uuid, jsonb_build_object('n', i, 'b', NULL, 'a', '[1, 2.50]'::jsonb), ('{"x":  [' || i || ']}')::json, decode(md5(i::text), 'hex'),
  CASE i % 3 WHEN 0 THEN 'happy'::mood WHEN 1 THEN 'sad'::mood END`;

const table = (name: string, collation: string): string => `CREATE TABLE ${name} (${columns(collation)})`;
const fill = (name: string, rows = ROWS): string =>
  `INSERT INTO ${name} SELECT ${ROW} FROM generate_series(1, ${rows}) AS i`;

/** What another session prints otherwise, unless it is told how. */
const ODD =
  '-c TimeZone=Asia/Kolkata -c DateStyle=German -c IntervalStyle=iso_8601 -c extra_float_digits=-3 -c bytea_output=escape';

describe.skipIf(testServer('postgres').missing !== undefined)('verification by digests of PostgreSQL', () => {
  let place: PostgresPlace;
  let old: Store;
  let fresh: Store;

  const open = (name: string, options: Partial<SqlOptions> = {}, codec?: Codec): Promise<Store> =>
    place.open({ table: name, ...options }, BY_TENANT, codec);

  beforeAll(async () => {
    place = await onPostgres(
      `CREATE TYPE mood AS ENUM ('happy', 'sad'); ${table('a', '"en-x-icu"')}; ${table('b', '"en-x-icu"')}; ${fill('a')}; ${fill('b')}`,
    );
    old = await open('a');
    fresh = await open('b', { connection: { connectionString: place.url, options: ODD } });
    for (const store of [old, fresh]) await store.prepare();
  });
  afterAll(() => place?.[Symbol.asyncDispose]());

  const { verify, both } = verifications(() => ({ old, new: fresh, keys: BY_TENANT }));
  /** Does something to a table for as long as a check takes. */
  async function whileSo(statements: readonly string[], check: () => Promise<void>): Promise<void> {
    try {
      for (const statement of statements) await place.rows(statement);
      await check();
    } finally {
      await place.rows('TRUNCATE a, b, a_changeover, b_changeover');
      await place.rows(fill('a'));
      await place.rows(fill('b'));
    }
  }

  test('reads nothing where all is equal, whatever it is and however sessions print it', async () => {
    const report = await verify({ old: unread(old), new: unread(fresh) });
    expect(report).toMatchObject({ verdict: 'consistent', counts: equalCounts(ROWS) });
    expect(report.scanned).toMatchObject({
      old: { records: ROWS },
      new: { records: ROWS },
      byDigests: ROWS,
      candidates: 0,
    });
  });

  const DIFFERENCES: readonly (readonly [what: string, change: (i: number) => string, diverges?: boolean])[] = [
    ['n', (i) => `UPDATE b SET n = n + 1 WHERE id = ${i} AND n IS NOT NULL OR id = ${i + 1}`],
    ['null for a number', (i) => `UPDATE b SET n = CASE WHEN n IS NULL THEN 0 END WHERE id = ${i}`],
    ['small', (i) => `UPDATE b SET small = -small - 1 WHERE id = ${i}`],
    ['big', (i) => `UPDATE b SET big = big + (1::int8 << 32) WHERE id = ${i}`],
    ['name', (i) => `UPDATE b SET name = coalesce(name, '') || ' ' WHERE id = ${i}`],
    ['null for no text', (i) => `UPDATE b SET name = CASE WHEN name IS NULL THEN '' END WHERE id = ${i}`],
    ['title', (i) => `UPDATE b SET title = 'Title' WHERE id = ${i}`],
    ['padded', (i) => `UPDATE b SET padded = 'q' WHERE id = ${i}`],
    ['amount', (i) => `UPDATE b SET amount = amount + 1e-12 WHERE id = ${i}`],
    ['zeros behind a numeric', (i) => `UPDATE b SET amount = amount::numeric(20,9) WHERE id = ${i}`, false],
    ['the last bit of a double', (i) => `UPDATE b SET ratio = ratio * (1 + 2.3e-16::float8) WHERE id = ${i}`],
    ['the sign of zero', (i) => `UPDATE a SET ratio = 0 WHERE id = ${i}; UPDATE b SET ratio = '-0' WHERE id = ${i}`],
    ['single', (i) => `UPDATE b SET single = single + 0.0009765625 WHERE id = ${i}`],
    ['done', (i) => `UPDATE b SET done = NOT done WHERE id = ${i}`],
    ['at', (i) => `UPDATE b SET at = at + interval '1 ms' WHERE id = ${i}`],
    ['day', (i) => `UPDATE b SET day = day + 1 WHERE id = ${i}`],
    ['local', (i) => `UPDATE b SET local = local - interval '1 ms' WHERE id = ${i}`],
    ['ref', (i) => `UPDATE b SET ref = md5('x')::uuid WHERE id = ${i}`],
    ['body', (i) => `UPDATE b SET body = body || '{"c": 1}' WHERE id = ${i}`],
    ['raw', (i) => `UPDATE b SET raw = '{"x": [0.5]}' WHERE id = ${i}`],
    ['blanks in JSON', (i) => `UPDATE b SET raw = '{"x":[${i}]}' WHERE id = ${i}`, false],
    ['bytes', (i) => `UPDATE b SET bytes = bytes || '\\x00' WHERE id = ${i}`],
    ['mood', (i) => `UPDATE b SET mood = CASE mood WHEN 'sad' THEN 'happy'::mood ELSE 'sad'::mood END WHERE id = ${i}`],
    [
      'a part that moved to the next column',
      (i) =>
        `UPDATE a SET name = 'xy', title = 'z' WHERE id = ${i}; UPDATE b SET name = 'x', title = 'yz' WHERE id = ${i}`,
    ],
    [
      'values that two records have exchanged',
      (i) =>
        `UPDATE b SET big = -c.big, title = c.title, ref = c.ref FROM a AS c WHERE b.id IN (${i}, ${i + 5}) AND c.id = ${2 * i + 5} - b.id`,
    ],
    ['a missing record', (i) => `DELETE FROM b WHERE id = ${i}`],
    ['a record too many', (i) => `DELETE FROM a WHERE id = ${i}`],
    [
      'one before all and one behind all',
      () => `DELETE FROM a WHERE id = 5; DELETE FROM b WHERE id = (SELECT max(id) FROM b)`,
    ],
    ['one under another key', (i) => `UPDATE b SET id = id + 100000 WHERE id = ${i}`],
    ['one under a key of other letters', (i) => `UPDATE b SET tenant = upper(tenant) WHERE id = ${i * 5}`],
  ];

  const cases = DIFFERENCES.map(([what, change, diverges = true]) => ({ what, change, diverges }));
  test.each(cases)('$what: found wherever it is', async ({ what, change, diverges }) => {
    const places = fc.sample(fc.integer({ min: 1, max: ROWS / 5 - 1 }), { numRuns: 2, seed: SEED + what.length });
    await whileSo(
      places.flatMap((i) => change(i).split('; ')),
      async () => {
        const report = await both();
        expect(report.verdict).toBe(diverges ? 'divergent' : 'consistent');
        expect(report.scanned.byDigests).toBeGreaterThan(ROWS - 20);
      },
    );
  });

  /** What stands under the key of a record of `a`, as a stamp and tombstone of a store. */
  async function put(store: Store, i: number, ms: number, gone = false): Promise<void> {
    const [[tenant] = []] = await place.rows(`SELECT tenant FROM a WHERE id = ${i}`);
    const key = { tenant: String(tenant), id: BigInt(i) };
    const [there] = await old.getMany([{ id: BY_TENANT.id(key), key }]);
    const entry = { ...(there as Entry), stamp: makeStamp(ms, 0, 1), ...(gone ? { value: null } : {}) };
    expect((await store.putIfNewer(entry, store.now() + 60_000)).kind).toBe('applied');
  }

  test('a stamp makes no difference, a tombstone for a record does, and one for nothing does not', async () => {
    await whileSo([], async () => {
      await put(old, 10, 2);
      await put(fresh, 10, 1);
      expect((await both()).verdict).toBe('consistent');
      await put(fresh, 10, 3, true);
      expect(await both()).toMatchObject({ verdict: 'divergent', counts: { missing: 1, equal: ROWS - 1 } });
      await put(old, 10, 3, true);
      await place.rows('DELETE FROM b_changeover');
      expect(await both()).toMatchObject({ verdict: 'consistent', counts: equalCounts(ROWS - 1) });
    });
  });

  test('what differs in heaps is scanned, and says the same', async () => {
    await whileSo([`UPDATE b SET small = -1 WHERE id > ${ROWS / 2}`], async () => {
      expect((await both({ pageSize: 50 })).counts).toMatchObject({ equal: ROWS / 2, different: ROWS / 2 });
    });
    await whileSo([`UPDATE b SET small = -1`], async () => {
      expect((await both()).counts).toMatchObject({ equal: 0, different: ROWS });
    });
    // All in one range, which it makes too large to be listed.
    await whileSo(
      [`INSERT INTO b (tenant, id, body) SELECT 'Ada', i, '1' FROM generate_series(1000000, 1001000) AS i`],
      async () => {
        const report = await both();
        expect(report.counts).toMatchObject({ equal: ROWS, extra: 1_001 });
        expect(report.scanned.byDigests).toBeGreaterThan(0);
      },
    );
    await whileSo(['TRUNCATE a'], async () => {
      expect((await both()).counts).toMatchObject({ old: 0, new: ROWS, extra: ROWS });
    });
    await whileSo(['TRUNCATE a, b'], async () => {
      expect((await both()).counts).toMatchObject({ old: 0, new: 0 });
    });
  });

  test('reads few of the large records that differ at once', async () => {
    // Of one tenant: in few ranges, others of which would be scanned.
    const large = (name: string, letter: string): string =>
      `UPDATE ${name} SET name = repeat('${letter}', 1000000) WHERE id > ${ROWS - 30} AND id % 5 = 0`;
    await whileSo([large('a', 'x'), large('b', 'y')], async () => {
      let most = 0;
      const watched = (store: Store): Store =>
        withMethods(store, {
          getMany: (keys, options) => {
            most = Math.max(most, keys.length);
            return store.getMany(keys, options);
          },
        });
      const { counts, scanned } = await verify({ old: watched(old), new: watched(fresh), recheckMs: [] });
      expect(counts).toMatchObject({ equal: ROWS - 6, different: 6 });
      expect(scanned).toMatchObject({ byDigests: ROWS - 6, candidates: 6 });
      expect(most).toBe(4);
    });
  });

  test('compare rules say what is equal, and planted records are found and removed', async () => {
    await whileSo(['UPDATE b SET n = 1, amount = amount + 0.5 WHERE id % 5 = 1 AND id < 200'], async () => {
      const rules = { ignore: ['n'], numericTolerance: { amount: 1 } };
      expect(await both({ rules })).toMatchObject({ verdict: 'consistent', counts: equalCounts(ROWS) });
      const proven = await verify({ rules, prove: true });
      expect(proven).toMatchObject({
        verdict: 'consistent',
        counts: equalCounts(ROWS),
        proof: { missed: [], refused: null },
      });
      expect(proven.proof?.planted).toBeGreaterThan(0);
      expect(proven.scanned.byDigests).toBeGreaterThan(0);
      expect(await place.rows('SELECT count(*) FROM a UNION ALL SELECT count(*) FROM b')).toEqual([
        [`${ROWS}`],
        [`${ROWS}`],
      ]);
    });
  });

  test('are not asked for where they would not tell what a scan does', async () => {
    const codec: Codec = { encode: (record) => record, decode: (stored) => stored };
    for (const statement of [
      `${table('wider', '"en-x-icu"').replace('n int', 'n bigint')}`,
      fill('wider'),
      table('sorted', '"C"'),
      fill('sorted'),
    ]) {
      await place.rows(statement);
    }
    const other: readonly Partial<VerifyOptions>[] = [
      { new: await open('wider') },
      { new: await open('sorted') },
      { new: await open('b', {}, codec) },
      { new: await open('b', { json: 'extended' }) },
      { new: await open('b', { nulls: 'absent', columns: { n: 'n', tenant: 'tenant', id: 'id' } }) },
      { includes: () => true },
      { sample: 0.999 },
      { unit: { tenant: 'ada' } },
      { byDigests: false },
    ];
    for (const options of other) expect((await verify(options)).scanned.byDigests).toBe(0);
    expect((await verify()).scanned.byDigests).toBe(ROWS);
  });

  test.each(['cut', 'of'] as const)('where a server cannot (%s), everything is scanned', async (method) => {
    const fault = (): Promise<never> =>
      Promise.reject(new StoreFault('it took too long', { outcome: 'nothing-written' }));
    const side = method === 'cut' ? 'old' : 'new';
    const report = await verify({ [side]: withDigests(side === 'old' ? old : fresh, method, fault), random: () => 0 });
    expect(report).toMatchObject({ verdict: 'consistent', counts: equalCounts(ROWS), scanned: { byDigests: 0 } });
  });

  test('end with the verification', async () => {
    const abort = new AbortController();
    const cut = async (): Promise<never> => {
      abort.abort();
      throw new StoreFault('it was in the middle of it', { outcome: 'nothing-written' });
    };
    await expect(verify({ old: withDigests(old, 'cut', cut), signal: abort.signal })).rejects.toThrow(Interrupted);
  });

  test('shares that are left can be scanned by others', async () => {
    await whileSo([`UPDATE b SET small = -1 WHERE id > ${ROWS / 2}`], async () => {
      let shared = 0;
      const report = await verify({
        share: async ({ partitions, scanHere, signal }) => {
          expect(partitions.old).toEqual(partitions.new);
          for (const side of ['old', 'new'] as const) {
            for (const partition of partitions[side]) await scanHere(side, partition, null, signal);
          }
          shared += 1;
          return true;
        },
      });
      expect(shared).toBe(1);
      expect(report.counts).toMatchObject({ equal: ROWS / 2, different: ROWS / 2 });
      let asked = false;
      await whileSo([], async () => {
        await place.rows('UPDATE b SET small = a.small FROM a WHERE a.id = b.id');
        const equal = await verify({
          share: async () => {
            asked = true;
            return true;
          },
        });
        expect(equal.counts).toEqual(equalCounts(ROWS));
      });
      expect(asked).toBe(false);
    });
  });

  test('takes no write on its way for a divergence', async () => {
    await whileSo([], async () => {
      let going = true;
      const writer = (async () => {
        for (let ms = 10; going; ms += 1) {
          const i = 1 + ((ms * 37) % ROWS);
          await put(old, i, ms);
          await place.rows(`UPDATE a SET small = ${ms % 100} WHERE id = ${i}`);
          await put(fresh, i, ms);
        }
      })();
      try {
        for (let n = 0; n < 5; n += 1) {
          const { counts } = await verify({ recheckMs: [50, 200, 1_000, 3_000] });
          expect({ ...counts, pending: 0 }).toEqual(equalCounts(ROWS));
        }
      } finally {
        going = false;
        await writer;
      }
    });
  });
});
