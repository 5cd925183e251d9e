import { describe, expect, test } from 'vitest';
import { testServer } from '../support/servers.ts';
import { dynamodbPlace, mongodbPlace } from './document-places.ts';
import { Pair } from './pair.ts';
import type { Place } from './place.ts';
import { mysqlPlace, postgresPlace, sqlitePlace } from './sql-places.ts';

const server = (name: 'postgres' | 'mysql' | 'mongodb' | 'dynamodb'): string | undefined => testServer(name).missing;

const PAIRS: readonly (readonly [string, (folder: string) => Promise<Place>, () => Promise<Place>, ...unknown[]])[] = [
  ['sqlite to postgres', sqlitePlace, postgresPlace, server('postgres')],
  ['mysql to mongodb', mysqlPlace, mongodbPlace, server('mysql'), server('mongodb')],
  ['mongodb to dynamodb', mongodbPlace, () => dynamodbPlace('new'), server('mongodb'), server('dynamodb')],
];

const sorted = async (place: Place): Promise<readonly string[]> =>
  (await place.read()).map((record) => JSON.stringify(Object.entries(record).sort())).sort();

describe.for(PAIRS)('planted records, %s', ([, makeOld, makeNew, ...missing]) => {
  const because = missing.filter((why) => why !== undefined);

  test.skipIf(because.length > 0)(
    `are found in real stores, and no trace of them is left ${because.join('; ')}`,
    { timeout: 240_000 },
    async () => {
      await using pair = await Pair.open(makeOld, makeNew);
      await pair.prepare();
      await pair.set('dual-write', 'all');
      await pair.backfill();
      const before = { old: await sorted(pair.old), new: await sorted(pair.new) };
      expect(before.old.length).toBeGreaterThan(100);
      const report = await pair.prove();
      expect(report.reasons).toEqual([]);
      expect(report).toMatchObject({
        verdict: 'consistent',
        counts: { old: before.old.length, new: before.new.length, equal: before.old.length },
        proof: { planted: 12, missed: [], refused: null },
      });
      expect(await sorted(pair.old)).toEqual(before.old);
      expect(await sorted(pair.new)).toEqual(before.new);
      // Stamps and tombstones of theirs would be met as leftovers, or counted.
      expect(await pair.verify()).toMatchObject({ verdict: 'consistent', counts: report.counts, reasons: [] });
    },
  );
});
