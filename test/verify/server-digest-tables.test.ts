import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Clock, systemClock } from '../../src/core/clock.ts';
import type { Digests } from '../../src/core/digests.ts';
import { KeySpec } from '../../src/core/record-key.ts';
import { makeStamp } from '../../src/core/stamp.ts';
import type { Store } from '../../src/core/store.ts';
import { onPostgres, type PostgresPlace } from '../adapters/postgres-harness.ts';
import { testServer } from '../support/servers.ts';
import { unread, verifications, withDigests } from './by-digests.ts';

describe.skipIf(testServer('postgres').missing !== undefined)('digests of PostgreSQL of other tables', () => {
  const keys = new KeySpec(['k'], ['k']);
  let place: PostgresPlace;
  beforeAll(async () => {
    place = await onPostgres();
  });
  afterAll(() => place?.[Symbol.asyncDispose]());
  const { verify, both } = verifications(() => ({}));

  const KEYS_OF: readonly (readonly [type: string, value: string, rest: string])[] = [
    ['int', 'i', ''],
    ['uuid', 'md5(i::text)::uuid', ''],
    ['timestamptz', "timestamptz '2026-01-01' + i * interval '1 s'", ', v int'],
    ['char(8)', "lpad(i::text, 8, 'x')", ', v int'],
    ['bytea', "decode(md5(i::text), 'hex')", ', v float8, w text'],
    ['text', `concat(E'\\'"{a,b}\\\\ \\n\\t\u{1f600}', i)`, ', v int NOT NULL DEFAULT 7, w bigint'],
    ['date', "date '2026-01-01' + i", ', v smallint NOT NULL DEFAULT -1, w int'],
    ['smallint', 'i', ', v smallint NOT NULL DEFAULT 0, w int NOT NULL DEFAULT 5, x text'],
    ['bigint', 'i * 10000000000', ', v smallint, PRIMARY KEY (k)) PARTITION BY HASH (k'],
  ];

  test.each(KEYS_OF)('a key of type %s', async (type, value, rest) => {
    const sides: Store[] = [];
    for (const name of ['p', 'q']) {
      await place.rows(`CREATE TABLE ${name} (k ${type}${rest.includes('KEY') ? '' : ' PRIMARY KEY'}${rest})`);
      if (rest.includes('PARTITION')) {
        for (const n of [0, 1]) {
          await place.rows(
            `CREATE TABLE ${name}_${n} PARTITION OF ${name} FOR VALUES WITH (MODULUS 2, REMAINDER ${n})`,
          );
        }
      }
      await place.rows(`INSERT INTO ${name} (k) SELECT ${value} FROM generate_series(1, 500) AS i`);
      sides.push(await place.open({ table: name }, keys));
    }
    const [p, q] = sides as [Store, Store];
    const all = { keys, old: unread(p), new: unread(q) };
    expect(await verify(all)).toMatchObject({ verdict: 'consistent', scanned: { byDigests: 500, candidates: 0 } });
    await place.rows('DELETE FROM q WHERE k = (SELECT k FROM p ORDER BY k OFFSET 300 LIMIT 1)');
    const one = await both({ keys, old: p, new: q });
    expect(one).toMatchObject({ counts: { missing: 1, equal: 499 }, scanned: { byDigests: 499, candidates: 1 } });
    await place.rows('DROP TABLE p');
    await place.rows('DROP TABLE q');
  });

  // The names that the statements themselves give to columns and tables.
  const COLUMNS =
    'v0 text, v1 text, w0 int, w1 bigint, n0 int, n smallint, t jsonb, i int, a text, b int, d0 int, k0 int';
  test.each([
    ['c1', 'c0', 'g', 'w'],
    ['c1', 'stamp', 'x', 'z'],
    ['n', 'w0', 'q', 'r'],
    ['t', 'a', 's', 'given'],
  ])('keys named %s and %s, in tables named %s and %s', async (one, other, ...names) => {
    const spec = new KeySpec([one, other], [one]);
    const others = COLUMNS.split(', ').filter((column) => ![one, other].includes(column.split(' ')[0] as string));
    const sides: Store[] = [];
    for (const name of names) {
      const columns = [`${one} int`, `${other} int`, ...others, 'c3 int', `PRIMARY KEY (${one}, ${other})`];
      await place.rows(`CREATE TABLE ${name} (${columns.join()})`);
      // Whoever orders by another column than these finds another order.
      await place.rows(
        `INSERT INTO ${name} (${one}, ${other}, v0, c3) SELECT i / 3, 7919 * i % 5000, md5(i::text), i % 7 FROM generate_series(1, 5000) AS i`,
      );
      sides.push(await place.open({ table: name }, spec));
    }
    const [p, q] = sides as [Store, Store];
    const target = p.now() + 60_000;
    const tombstone = { [one]: 9_999, [other]: 1 };
    const marked = { id: spec.id(tombstone), key: tombstone, stamp: makeStamp(p.now(), 0, 1), value: null };
    for (const stamped of [false, true]) {
      if (stamped) await p.prepare();
      if (stamped) expect(await p.putIfNewer(marked, target)).toMatchObject({ kind: 'applied' });
      for (const pageSize of [100, 1_000]) {
        const seen: string[] = [];
        for (const partition of await p.partitions(3)) {
          for await (const { entries } of p.scan(partition, { pageSize })) seen.push(...entries.map(({ id }) => id));
        }
        expect(new Set(seen).size).toBe(stamped ? 5_001 : 5_000);
      }
    }
    const all = { keys: spec, old: p, new: q };
    const whole = await both(all);
    expect(whole).toMatchObject({ verdict: 'consistent', counts: { equal: 5_000 }, scanned: { byDigests: 5_000 } });
    await place.rows(`UPDATE ${names[1]} SET c3 = -1 WHERE ${one} IN (5, 1500)`);
    expect(await both(all)).toMatchObject({ counts: { different: 6, equal: 4_994 } });
    for (const name of [...names, `${names[0]}_changeover`]) await place.rows(`DROP TABLE ${name}`);
  });

  test('NULL where there could be none when the store was opened is no 0', async () => {
    for (const name of ['r', 's']) {
      await place.rows(`CREATE TABLE ${name} (k int PRIMARY KEY, v int NOT NULL, w bigint NOT NULL)`);
      await place.rows(`INSERT INTO ${name} SELECT i, 0, 0 FROM generate_series(1, 500) AS i`);
    }
    const [r, s] = [await place.open({ table: 'r' }, keys), await place.open({ table: 's' }, keys)];
    await place.rows('ALTER TABLE s ALTER v DROP NOT NULL, ALTER w DROP NOT NULL');
    // Two in one range, which must not make up for each other.
    await place.rows('UPDATE s SET v = NULL WHERE k IN (10, 11); UPDATE s SET w = NULL WHERE k IN (300, 301)');
    const report = await both({ keys, old: r, new: s });
    expect(report).toMatchObject({ counts: { different: 4, equal: 496 }, scanned: { byDigests: 496 } });
    // Looked at anew, the tables are held alike all the same.
    const again = await place.open({ table: 's' }, keys);
    expect(await both({ keys, old: r, new: again })).toMatchObject({ scanned: { byDigests: 496, candidates: 4 } });
    await place.rows('DROP TABLE r');
    await place.rows('DROP TABLE s');
  });

  test('what was found long enough before the end is not waited for, what was not is', async () => {
    for (const name of ['r', 's']) {
      await place.rows(`CREATE TABLE ${name} (k int PRIMARY KEY, v int)`);
      await place.rows(`INSERT INTO ${name} SELECT i, i FROM generate_series(1, 10000) AS i`);
    }
    await place.rows('UPDATE s SET v = 0 WHERE k IN (20, 30)');
    const [r, s] = [await place.open({ table: 'r' }, keys), await place.open({ table: 's' }, keys)];
    // A second goes by before each statement's ranges are cut; nothing else takes time.
    let passed = 1_000_000;
    const slow = withDigests(r, 'cut', (...asked: Parameters<Digests['cut']>) => {
      passed += 1_000;
      return (r.digests as Digests).cut(...asked);
    });
    const waits: number[] = [];
    const clock: Clock = {
      now: () => passed,
      monotonic: () => passed,
      after: (ms, fn) => {
        waits.push(ms);
        return systemClock.after(0, fn);
      },
    };
    const found = { verdict: 'divergent', counts: { different: 2, equal: 9_998 } };
    expect(await verify({ old: slow, new: s, keys, clock, recheckMs: [900, 1_800] })).toMatchObject(found);
    expect(passed).toBeGreaterThan(1_002_000);
    expect(waits).toEqual([]);
    expect(await verify({ old: r, new: s, keys, clock, recheckMs: [900, 1_800] })).toMatchObject(found);
    expect(waits).toEqual([900]);
    await place.rows('DROP TABLE r');
    await place.rows('DROP TABLE s');
  });
});
