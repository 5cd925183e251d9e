import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { SqlOptions } from '../../adapters/sql/index.ts';
import { Interrupted, StoreFault } from '../../src/core/errors.ts';
import { KeySpec } from '../../src/core/record-key.ts';
import { makeStamp } from '../../src/core/stamp.ts';
import type { Codec, Entry, Partition, Store } from '../../src/core/store.ts';
import type { StorePair } from '../../src/core/store-pair.ts';
import type { VerifyOptions } from '../../verify/full-scan.ts';
import { onFile, type SqliteFile } from '../adapters/sql-harness.ts';
import { equalCounts, verifications } from './by-digests.ts';

const ROWS = 700;
const SEED = 20260111;
const BY_TENANT = new KeySpec(['tenant', 'id'], ['tenant']);

/** A column of each affinity; what has none holds a value as it is. */
const COLUMNS = [
  'tenant TEXT NOT NULL',
  'id INTEGER NOT NULL',
  'n INTEGER',
  'title VARCHAR(40) COLLATE NOCASE',
  'name TEXT',
  'ratio DOUBLE',
  'amount DECIMAL(10,2)',
  'done BOOLEAN',
  'at DATETIME',
  'body JSON',
  'bytes BLOB',
  'loose',
];
const PRIMARY = 'PRIMARY KEY (tenant, id)';
const table = (name: string, columns = COLUMNS, primary = PRIMARY): string =>
  `CREATE TABLE ${name} (${[...columns, primary].join(', ')})`;

const numbers = (rows: number): string =>
  `WITH RECURSIVE i (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM i WHERE i < ${rows})`;
const fill = (name: string, rows = ROWS): string => `
  INSERT INTO ${name} (tenant, id, n, title, name, ratio, amount, done, at, body, bytes, loose) ${numbers(rows)} SELECT
    CASE i % 5 WHEN 0 THEN 'ada' WHEN 1 THEN 'Ada' WHEN 2 THEN 'zoë' WHEN 3 THEN 'a b' ELSE '~x' END, i, nullif(i % 7, 3),
    CASE WHEN i % 3 > 0 THEN 'title ' || i END, CASE i % 4 WHEN 0 THEN '' WHEN 1 THEN 'a''"😀' || i WHEN 2 THEN 'long ' || hex(zeroblob(300)) END,
    i / 7.0, i / 8.0 + 1, i % 2, 1767225600000 + i, json_object('n', i), unhex(printf('%08x', i)), i / 3.0 FROM i`;

const LOOSE = { tenant: 'tenant', id: 'id', loose: { type: 'bytes' } } as const;

const OPTIONS: Partial<SqlOptions> = {
  columns: {
    ...Object.fromEntries(COLUMNS.slice(0, -1).map((column) => [column.split(' ')[0], String(column.split(' ')[0])])),
    loose: { type: 'real' },
  },
};

describe('verification by a database that reads both stores', () => {
  let place: SqliteFile;
  let old: Store;
  let fresh: Store;
  const run = (...statements: readonly string[]): void => {
    const database = place.raw();
    for (const statement of statements) database.exec(statement);
  };
  const open = (name: string, options: Partial<SqlOptions> = {}, codec?: Codec): Promise<Store> =>
    place.open({ ...OPTIONS, table: name, ...options }, BY_TENANT, codec);

  beforeEach(async () => {
    place = await onFile(`${table('a')}; ${fill('a')}; ${table('b', COLUMNS.toReversed())}; ${fill('b')}`);
    old = await open('a');
    fresh = await open('b');
    for (const store of [old, fresh]) await store.prepare();
  });
  afterEach(() => place[Symbol.asyncDispose]());

  const { verify, both } = verifications(() => ({ old, new: fresh, keys: BY_TENANT }));
  /** From now on nobody may read these. */
  const unread = (...stores: readonly Store[]): void => {
    for (const store of stores) {
      vi.spyOn(store, 'scan').mockImplementation(() => {
        throw new Error('it was scanned');
      });
      vi.spyOn(store, 'getMany').mockRejectedValue(new Error('it was read'));
    }
  };

  test('reads nothing where all is equal, wherever the columns stand', async () => {
    unread(old, fresh);
    const report = await verify();
    expect(report).toMatchObject({ verdict: 'consistent', counts: equalCounts(ROWS) });
    expect(report.scanned).toMatchObject({ byDigests: ROWS, candidates: 0 });
  });

  const at = (i: number): string => `WHERE id = ${i}`;
  const DIFFERENCES: readonly (readonly [what: string, change: (i: number) => string, diverges?: boolean])[] = [
    ['n', (i) => `UPDATE b SET n = coalesce(n, 9) + 1 ${at(i)}`],
    ['null for a number', (i) => `UPDATE a SET n = 0 ${at(i)}; UPDATE b SET n = NULL ${at(i)}`],
    ['null for no text', (i) => `UPDATE a SET name = '' ${at(i)}; UPDATE b SET name = NULL ${at(i)}`],
    [
      'what stands behind a NUL',
      (i) => `UPDATE a SET name = char(120, 0, 121) ${at(i)}; UPDATE b SET name = char(120, 0, 122) ${at(i)}`,
    ],
    ['the last bit of a double', (i) => `UPDATE a SET ratio = 0.3 ${at(i)}; UPDATE b SET ratio = 0.1 + 0.2 ${at(i)}`],
    [
      'the last bit of a decimal',
      (i) => `UPDATE a SET amount = 0.3 ${at(i)}; UPDATE b SET amount = 0.1 + 0.2 ${at(i)}`,
    ],
    ['the sign of zero', (i) => `UPDATE a SET loose = 0.0 ${at(i)}; UPDATE b SET loose = -0.0 ${at(i)}`],
    [
      'a whole double for an integer',
      (i) => `UPDATE a SET loose = 5 ${at(i)}; UPDATE b SET loose = 5.0 ${at(i)}`,
      false,
    ],
    ['large letters', (i) => `UPDATE a SET title = 'title' ${at(i)}; UPDATE b SET title = 'Title' ${at(i)}`],
    ['done', (i) => `UPDATE b SET done = 1 - done ${at(i)}`],
    ['at', (i) => `UPDATE b SET at = at + 1 ${at(i)}`],
    ['a date in words', (i) => `UPDATE a SET at = 0 ${at(i)}; UPDATE b SET at = '1970-01-01' ${at(i)}`, false],
    ['body', (i) => `UPDATE b SET body = json_object('n', -1) ${at(i)}`],
    ['blanks in JSON', (i) => `UPDATE b SET body = json_pretty(body) ${at(i)}`, false],
    ['bytes', (i) => `UPDATE b SET bytes = CAST(bytes || x'00' AS BLOB) ${at(i)}`],
    [
      'a part that moved to the next column',
      (i) => `UPDATE a SET name = 'xy', title = 'z' ${at(i)}; UPDATE b SET name = 'x', title = 'yz' ${at(i)}`,
    ],
    [
      'values that two records have exchanged',
      (i) => `UPDATE b SET n = 77 - n, at = 77 - at, title = 'x' || id WHERE id IN (${i}, ${i + 5})`,
    ],
    ['a missing record', (i) => `DELETE FROM b ${at(i)}`],
    ['a record too many', (i) => `DELETE FROM a ${at(i)}`],
    ['one under another key', (i) => `UPDATE b SET id = id + 100000 ${at(i)}`],
    ['one under a key of other letters', (i) => `UPDATE b SET tenant = 'ADA' ${at(i)}`],
  ];

  const cases = DIFFERENCES.map(([what, change, diverges = true]) => ({ what, change, diverges }));
  test.each(cases)('$what: found wherever it is', async ({ what, change, diverges }) => {
    run(...fc.sample(fc.integer({ min: 1, max: ROWS - 5 }), { numRuns: 2, seed: SEED + what.length }).map(change));
    const report = await both();
    expect(report.verdict).toBe(diverges ? 'divergent' : 'consistent');
    expect(report.scanned.byDigests).toBeGreaterThan(ROWS - 5);
    expect(report.scanned.byDigests).toBeLessThan(ROWS);
  });

  test('tells cells of every type apart', async () => {
    // As SQL: of any two of them the values differ, or the type by which they are held does.
    const cells = [
      'NULL',
      '5',
      '5.0',
      "'5'",
      "'5.0'",
      "x'35'",
      "''",
      "x''",
      "'NULL'",
      "'null:'",
      '0.0',
      '-0.0',
      '0',
      '9e999',
      '-9e999',
      "'Inf'",
      '9007199254740993',
      '9007199254740992.0',
      '1e-320',
      '2e-320',
    ];
    for (const name of ['p', 'q']) {
      run(
        `CREATE TABLE ${name} (tenant TEXT, id INTEGER, loose, ${PRIMARY})`,
        ...cells.map((_, i) => `INSERT INTO ${name} VALUES ('x', ${i}, NULL)`),
      );
    }
    const [p, q] = await Promise.all(['p', 'q'].map((name) => open(name, { columns: { ...LOOSE } })));
    const pair = await (p as Store).pair?.(q as Store);
    const [share] = await (p as Store).partitions(1);
    for (const [i, cell] of cells.entries()) {
      for (const other of cells.slice(i)) {
        run(`UPDATE p SET loose = ${cell} WHERE id = 3`, `UPDATE q SET loose = ${other} WHERE id = 3`);
        const seen = await pair?.records?.(share as Partition);
        const keys = seen?.differing?.map(({ key }) => key);
        expect({ cell, other, keys }).toEqual({ cell, other, keys: cell === other ? [] : [{ tenant: 'x', id: 3 }] });
        expect(seen).toMatchObject({ equal: cells.length - (cell === other ? 0 : 1), rest: null });
      }
    }
    await pair?.close();
  });

  const KEYS_OF: readonly (readonly [declared: string, value: string, table?: string])[] = [
    ['INTEGER PRIMARY KEY', 'i - 250'],
    ['BIGINT PRIMARY KEY', 'i * 10000000000'],
    ['TEXT PRIMARY KEY', "CASE i % 2 WHEN 0 THEN 'é' ELSE 'E' END || i"],
    ['BLOB PRIMARY KEY', "unhex(printf('%08x', i))"],
    ['DATETIME PRIMARY KEY', '1767225600000 - i'],
    ['VARCHAR(9) PRIMARY KEY', "printf('%09d', i)", 'WITHOUT ROWID'],
  ];

  test.each(KEYS_OF)('a key that is declared %s, and a document', async (declared, value, rest = '') => {
    const keys = new KeySpec(['k'], ['k']);
    const sides: Store[] = [];
    for (const name of ['p', 'q']) {
      run(
        `CREATE TABLE ${name} (k ${declared}, doc TEXT) ${rest}`,
        `INSERT INTO ${name} ${numbers(500)} SELECT ${value}, json_object('n', i) FROM i`,
      );
      sides.push(await place.open({ table: name, columns: { k: 'k' }, document: 'doc' }, keys));
    }
    const [p, q] = sides as [Store, Store];
    const all = { keys, old: p, new: q };
    expect((await verify(all)).scanned).toMatchObject({ byDigests: 500, candidates: 0 });
    run(
      'DELETE FROM q WHERE k = (SELECT k FROM p ORDER BY k LIMIT 1 OFFSET 300)',
      `UPDATE q SET doc = '{}' WHERE k = (SELECT max(k) FROM p)`,
      'DELETE FROM p WHERE k = (SELECT min(k) FROM p)',
    );
    const report = await both(all);
    expect(report.counts).toMatchObject({ missing: 1, different: 1, extra: 1, equal: 497 });
    expect(report.scanned.byDigests).toBe(497);
  });

  test('a stamp makes no difference, a tombstone for a record does, and one for nothing does not', async () => {
    const put = async (store: Store, ms: number, gone = false): Promise<void> => {
      const key = { tenant: 'ada', id: 10 };
      const [there] = await old.getMany([{ id: BY_TENANT.id(key), key }]);
      const entry = { ...(there as Entry), stamp: makeStamp(ms, 0, 1), ...(gone ? { value: null } : {}) };
      expect((await store.putIfNewer(entry, store.now() + 60_000)).kind).toBe('applied');
    };
    await put(old, 2);
    await put(fresh, 1);
    expect((await both()).verdict).toBe('consistent');
    await put(fresh, 3, true);
    expect(await both()).toMatchObject({ verdict: 'divergent', counts: { missing: 1, equal: ROWS - 1 } });
    await put(old, 3, true);
    run('DELETE FROM b_changeover');
    expect(await both()).toMatchObject({ verdict: 'consistent', counts: equalCounts(ROWS - 1) });
  });

  test('what differs in heaps is scanned, and says the same', async () => {
    run(`UPDATE b SET done = 1 - done WHERE tenant > 'b'`);
    const half = await both();
    expect(half.counts.different).toBe((ROWS / 5) * 2);
    run('DELETE FROM a');
    expect((await both()).counts).toMatchObject({ old: 0, new: ROWS, extra: ROWS });
    run('DELETE FROM b');
    expect((await both()).counts).toMatchObject({ old: 0, new: 0 });
  });

  test('reads few of the large records that differ at once', async () => {
    // The first in the order of keys, so that they are looked at together.
    const large = (name: string, letter: string): string =>
      `UPDATE ${name} SET name = replace(hex(zeroblob(500000)), '0', '${letter}') WHERE id < 30 AND id % 5 = 1`;
    run(large('a', 'x'), large('b', 'y'));
    const reads = [old, fresh].map((store) => vi.spyOn(store, 'getMany'));
    const { counts, scanned } = await verify({ recheckMs: [] });
    expect(counts).toMatchObject({ equal: ROWS - 6, different: 6 });
    expect(scanned).toMatchObject({ byDigests: ROWS - 6, candidates: 6 });
    for (const { mock } of reads) expect(Math.max(...mock.calls.map(([keys]) => keys.length))).toBe(4);
  });

  test('is not asked where it would not tell what a scan does, or no index serves it', async () => {
    const codec: Codec = { encode: (record) => record, decode: (stored) => stored };
    const declared = (column: string, as: string): string[] =>
      COLUMNS.map((each) => (each.startsWith(`${column} `) ? as : each));
    run(
      table('wider', declared('n', 'n NUMERIC')),
      table('folded', declared('tenant', 'tenant TEXT NOT NULL COLLATE NOCASE')),
      table('other', COLUMNS, 'PRIMARY KEY (id)'),
      ...['wider', 'folded', 'other'].map((name) => fill(name)),
    );
    const others: readonly Partial<VerifyOptions>[] = [
      { new: await open('wider') },
      { new: await open('folded') },
      { new: await open('other') },
      { new: await open('b', {}, codec) },
      { new: await open('b', { json: 'extended' }) },
      { new: await open('b', { nulls: 'absent' }) },
      { includes: () => true },
    ];
    for (const options of others) {
      const { scanned } = await verify(options);
      expect(scanned).toMatchObject({ byDigests: 0, new: { records: ROWS } });
    }
  });

  test('reads two files, and lets go of them', async () => {
    await using second = await onFile(`${table('b')}; ${fill('b')}`);
    const there = await second.open({ ...OPTIONS, table: 'b' }, BY_TENANT);
    await there.prepare();
    const paired = vi.spyOn(old, 'pair');
    expect((await verify({ new: there })).scanned.byDigests).toBe(ROWS);
    second.raw().exec('UPDATE b SET done = 1 - done WHERE id = 600; DELETE FROM b WHERE id = 601');
    expect((await both({ new: there })).counts).toMatchObject({ equal: ROWS - 2, different: 1, missing: 1 });
    const abort = new AbortController();
    const late = vi.spyOn(there, 'getMany').mockImplementation(() => {
      abort.abort();
      return Promise.reject(new Error('it was in the middle of it'));
    });
    await expect(verify({ new: there, signal: abort.signal })).rejects.toThrow(Interrupted);
    expect(late).toHaveBeenCalledOnce();
    const [share] = await old.partitions(1);
    expect(paired.mock.results).toHaveLength(3);
    for (const { value } of paired.mock.results) {
      const pair = (await value) as StorePair;
      await expect(pair.records?.(share as Partition)).rejects.toThrow('not open');
    }
  });

  test('what it fails at is scanned', async () => {
    const fault = new StoreFault('it is out of order', { outcome: 'nothing-written' });
    const pairs = old.pair?.bind(old);
    const paired = vi.spyOn(old, 'pair').mockRejectedValue(fault);
    const none = await verify({ random: () => 0 });
    expect(none).toMatchObject({ verdict: 'consistent', counts: equalCounts(ROWS), scanned: { byDigests: 0 } });
    paired.mockImplementation(async (other) => {
      const pair = (await pairs?.(other)) as StorePair;
      let asked = 0;
      const records: StorePair['records'] = async (share) => {
        asked += 1;
        if (asked === 1) return (pair.records as NonNullable<StorePair['records']>)(share);
        throw fault;
      };
      return { records, stamped: () => Promise.reject(fault), close: () => pair.close() };
    });
    const half = await verify({ random: () => 0 });
    expect(half).toMatchObject({ verdict: 'consistent', counts: equalCounts(ROWS) });
    expect(half.scanned.byDigests).toBeGreaterThan(0);
    expect(half.scanned.byDigests).toBeLessThan(ROWS);
  });

  test('waits for a file that somebody has locked', async () => {
    await using plain = await onFile(`${table('a')}; ${fill('a')}; ${table('b')}; ${fill('b')}`);
    const [here, there] = await Promise.all(
      ['a', 'b'].map((name) => plain.open({ ...OPTIONS, table: name, wal: false }, BY_TENANT)),
    );
    const paired = vi.spyOn(here as Store, 'pair');
    const database = plain.raw();
    paired.mockImplementationOnce((other) => {
      database.exec('BEGIN EXCLUSIVE');
      setTimeout(() => database.exec('COMMIT'), 50);
      return (here as Store).pair?.(other) ?? Promise.resolve(null);
    });
    expect((await verify({ old: here as Store, new: there as Store })).scanned.byDigests).toBe(ROWS);
    expect(paired).toHaveBeenCalledTimes(2);
  });

  test('planted records are found and removed', async () => {
    const proven = await verify({ prove: true });
    expect(proven).toMatchObject({
      verdict: 'consistent',
      counts: equalCounts(ROWS),
      proof: { missed: [], refused: null },
    });
    expect(proven.proof?.planted).toBeGreaterThan(0);
    expect(proven.scanned.byDigests).toBe(ROWS);
    expect(await verify()).toMatchObject({ verdict: 'consistent', counts: equalCounts(ROWS) });
  });

  test('takes no write on its way for a divergence', async () => {
    let going = true;
    const writer = (async () => {
      for (let ms = 10; going; ms += 1) {
        const key = { tenant: 'ada', id: 5 + 5 * ((ms * 37) % (ROWS / 5)) };
        const id = BY_TENANT.id(key);
        const there = await old.get(id, key);
        const entry = { id, key, stamp: makeStamp(ms, 0, 1), value: { ...there?.value, title: `${ms}` } } as Entry;
        for (const store of [old, fresh]) {
          expect((await store.putIfNewer(entry, store.now() + 60_000)).kind).toBe('applied');
        }
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

  test('lets others have their turn', async () => {
    let turns = 0;
    const timer = setInterval(() => {
      turns += 1;
    }, 0);
    run('DELETE FROM a', 'DELETE FROM b', fill('a', 20_000), fill('b', 20_000));
    turns = 0;
    unread(old, fresh);
    await verify();
    clearInterval(timer);
    expect(turns).toBeGreaterThan(3);
  });
});
