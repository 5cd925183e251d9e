import { setTimeout as pause } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { audit } from '../../src/cli/demo/audit.ts';
import { NOBODY } from '../../src/core/dial.ts';
import { OwnDynamoDb } from '../support/own-dynamodb.ts';
import { testServer } from '../support/servers.ts';
import { dynamodbPlace, mongodbPlace } from './document-places.ts';
import { failuresOf, finalRecords, Pair } from './pair.ts';

const { missing } = testServer('mongodb');
const HANG_MS = 3_000;
/** How long a store that does not answer is waited for. */
const TIMEOUT_MS = 1_500;

/**
 * Enough calls were answered while a store stands still, for which a busy machine is given time; and most of them much
 * sooner than one that waits for that store. Says which failed.
 */
async function served(pair: Pair): Promise<readonly string[]> {
  const failures = new Set<string>();
  let calls = 0;
  for (let look = 0; look < 20 && calls <= 20; look += 1) {
    await pause(HANG_MS);
    const met = await pair.experience();
    calls += met.calls;
    if (met.calls > 0) expect(met.p50Ms).toBeLessThan(TIMEOUT_MS);
    for (const failure of failuresOf(met)) failures.add(failure);
  }
  expect(calls).toBeGreaterThan(20);
  return [...failures];
}

test.skipIf(missing !== undefined)(
  `from mongodb to dynamodb under load, whatever is killed or hangs on the way${missing === undefined ? '' : ` (${missing})`}`,
  { timeout: 900_000 },
  async () => {
    await using server = await OwnDynamoDb.create();
    await using pair = await Pair.open(mongodbPlace, () => dynamodbPlace('new', server), {
      operationsPerSecond: 25,
      settings: {
        // Short, so that hangs outlive them.
        mirrorTimeoutMs: TIMEOUT_MS,
        // Mirrors to MongoDB are slow here only because the machine is busy; given up, they are unseen in an emergency.
        acknowledgeGraceMs: 1_500,
        // Slow enough to be killed in the middle.
        replayRate: 150,
      },
    });
    await pair.prepare();
    await pair.startServices();
    await pair.set('dual-write', 100);

    // The new store only follows: callers notice nothing of what happens to it.
    await pair.experience();
    server.hang();
    expect(await served(pair)).toEqual([]);
    server.goOn();
    await server.kill();
    await server.start();
    expect(await pair.failures()).toEqual([]);
    await pair.killService(0);

    const { before, summary } = await pair.backfillKilledOnce();
    expect(before).toBeLessThan(summary.scanned);
    expect(summary).toMatchObject({ resumed: true, rejected: 0 });
    await pair.change({ replayRate: null });
    await pair.drain();
    expect(await pair.verify()).toMatchObject({ verdict: 'consistent' });
    expect(await pair.failures()).toEqual([]);

    await pair.set('shadow-read', 100);
    await pair.compared();
    await pair.set('cutover', 50);
    await pair.compared();
    await pair.set('cutover', 100);
    expect(await pair.status()).toMatchObject({ dials: { cutover: 100 } });
    await pair.change({ putTimeoutMs: TIMEOUT_MS });
    await pair.experience();

    // The new store leads and stands still: everybody is back on the old one, without the new one's help.
    server.hang();
    const { document } = await pair.emergency();
    expect(document.dials.cutover).toBe(NOBODY);
    // What was under way may have failed.
    await pair.experience();
    await served(pair);
    await expect.poll(async () => (await pair.status()).dirty.ranges).toBeGreaterThan(0);
    server.goOn();
    await pair.drain();

    await pair.compared();
    await pair.set('cutover', 100);
    await pair.killService(1);
    await pair.drain();
    expect(await pair.verify()).toMatchObject({ verdict: 'consistent', counts: { missing: 0, different: 0 } });
    await pair.stopServices();

    const { writes, reads, cutOff } = pair.history();
    expect(cutOff).toBeGreaterThanOrEqual(2);
    expect(writes.filter(({ outcome }) => outcome === 'applied').length).toBeGreaterThan(500);
    const now = audit({ writes, reads, final: await finalRecords(pair.new) });
    expect(now.findings).toEqual([]);
    expect(now.records).toBeGreaterThan(200);
    await pair.drain();
    const then = audit({ writes, reads: [], final: await finalRecords(pair.old) });
    expect(then.findings).toEqual([]);
  },
);
