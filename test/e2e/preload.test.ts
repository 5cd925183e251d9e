import { describe, expect, test } from 'vitest';
import { audit } from '../../src/cli/demo/audit.ts';
import { testServer } from '../support/servers.ts';
import { dynamodbPlace, mongodbPlace } from './document-places.ts';
import { finalRecords, Pair } from './pair.ts';
import { postgresPlace } from './sql-places.ts';

const PAIRS = [
  { from: 'mongodb', to: 'dynamodb', old: mongodbPlace, fresh: () => dynamodbPlace('new') },
  { from: 'postgres', to: 'mongodb', old: postgresPlace, fresh: mongodbPlace },
] as const;

describe.for(PAIRS)('a preload from $from to $to', ({ from, to, old, fresh }) => {
  const missing = [from, to].map((name) => testServer(name).missing).filter((why) => why !== undefined);
  const because = missing.length === 0 ? '' : ` (${missing.join('; ')})`;

  test.skipIf(missing.length > 0)(
    `fills the new store while services write and delete, and not one record is lost or comes back${because}`,
    { timeout: 900_000 },
    async () => {
      await using pair = await Pair.open(old, fresh);
      await pair.prepare();
      await pair.startServices();

      const preload = await pair.preload();
      expect(preload).toMatchObject({ kind: 'preload', rejected: 0, skipped: 0, covered: [] });
      expect(preload.applied).toBeGreaterThanOrEqual(200);
      expect(await pair.status()).toMatchObject({ stage: 'off', coverage: { new: 0 }, dials: { dualWrite: 0 } });

      await pair.set('dual-write', 'all');
      const backfill = await pair.backfill();
      expect(backfill.rejected).toBe(0);
      expect(backfill.skipped, 'what the preload brought is not put again').toBeGreaterThan(backfill.scanned / 2);
      expect(await pair.verify()).toMatchObject({
        verdict: 'consistent',
        counts: { missing: 0, extra: 0, different: 0 },
      });

      await pair.set('shadow-read', 100);
      await pair.compared();
      await pair.set('cutover', 'all');
      expect(await pair.failures()).toEqual([]);
      await pair.stopServices();
      const { writes, reads } = pair.history();
      expect(writes.some(({ kind, outcome }) => kind === 'delete' && outcome === 'applied')).toBe(true);
      const { findings } = audit({ writes, reads, final: await finalRecords(pair.new) });
      expect(findings).toEqual([]);
    },
  );
});
