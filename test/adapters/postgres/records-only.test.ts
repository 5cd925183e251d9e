import { describe, expect, it } from 'vitest';
import { KeySpec } from '../../../src/core/record-key.ts';
import type { Entry, ScanOptions, Store } from '../../../src/core/store.ts';
import { testServer } from '../../support/servers.ts';
import { onPostgres } from '../postgres-harness.ts';

const KEYS = new KeySpec(['name', 'id'], ['name']);
const describePostgres = describe.skipIf(testServer('postgres').missing !== undefined);

const TABLE = 'CREATE TABLE things (name text COLLATE "en-x-icu", id int, n int, PRIMARY KEY (id, name))';
const NAME = `(ARRAY['a', 'B', 'ä', 'a b'])[1 + i % 4]`;
const RECORDS = `INSERT INTO things SELECT ${NAME}, i, i FROM generate_series(1, 500) AS i`;
const STAMPS = `INSERT INTO things_changeover SELECT ${NAME}, i, decode(lpad(to_hex(i), 24, '0'), 'hex'), i % 5 = 0
  FROM generate_series(1, 700) AS i WHERE`;

describePostgres('a scan of records only on PostgreSQL', () => {
  const scan = async (store: Store, options: Partial<ScanOptions>): Promise<readonly Entry[]> => {
    const found: Entry[] = [];
    for (const partition of await store.partitions(3)) {
      for await (const page of store.scan(partition, { pageSize: 20, ...options })) found.push(...page.entries);
    }
    return found;
  };

  // What is few and what is many is a matter of the page: here 20 entries of about 170 that a share has.
  const cases = [
    ['no stamps', 'false'],
    ['few stamps', 'i % 100 = 3'],
    ['as many stamps as a page has records, together', 'i BETWEEN 100 AND 119'],
    ['one more', 'i BETWEEN 100 AND 120'],
    ['tombstones of other records alone', 'i > 500'],
    ['many of both', 'i % 3 > 0'],
    ['a stamp for each', 'true'],
  ] as const;

  it('meets each record with its stamp, be there none, few or many', async () => {
    await using place = await onPostgres(`${TABLE}; ${RECORDS}; DELETE FROM things WHERE id % 5 = 0`);
    for (const [what, which] of cases) {
      for (const pageSize of [7, 20, 1_000]) {
        // Another store each time, as one remembers that there were many.
        const store = await place.open({}, KEYS);
        await store.prepare();
        await place.rows('TRUNCATE things_changeover');
        await place.rows(`${STAMPS} ${which}`);
        const all = (await scan(store, {})).filter(({ value }) => value !== null);
        expect(all).toHaveLength(400);
        const records = await scan(store, { recordsOnly: true, pageSize });
        expect(
          records.filter(({ value }) => value !== null),
          `${what}, by ${pageSize}`,
        ).toStrictEqual(all);
        await store.close();
      }
    }
  });

  it('goes on from a cursor, and without a stamp table', async () => {
    await using place = await onPostgres(`${TABLE}; ${RECORDS}`);
    const store = await place.open({}, KEYS);
    expect(await scan(store, { recordsOnly: true })).toStrictEqual(await scan(store, {}));
    await store.prepare();
    await place.rows(`${STAMPS} i = 300`);
    const [whole] = await store.partitions(1);
    const share = whole ?? { id: '1/1' };
    const [begun, rest]: [Entry[], Entry[]] = [[], []];
    let cursor: string | undefined;
    for await (const page of store.scan(share, { pageSize: 299, recordsOnly: true })) {
      begun.push(...page.entries);
      cursor = page.cursor;
      break;
    }
    for await (const { entries } of store.scan(share, { pageSize: 50, recordsOnly: true, cursor }))
      rest.push(...entries);
    expect([...begun, ...rest]).toStrictEqual(await scan(store, {}));
    expect(rest.filter(({ stamp }) => stamp !== null)).toHaveLength(1);
  });
});
