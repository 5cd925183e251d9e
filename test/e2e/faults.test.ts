import { setTimeout as pause } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { audit } from '../../src/cli/demo/audit.ts';
import { NOBODY } from '../../src/core/dial.ts';
import { OwnDynamoDb } from '../support/own-dynamodb.ts';
import { testServer } from '../support/servers.ts';
import { dynamodbPlace, mongodbPlace } from './document-places.ts';
import { finalRecords, Pair } from './pair.ts';

const { missing } = testServer('mongodb');
const HANG_MS = 3_000;

/** A call that came at the wrong moment and wrote nothing; two updates of one event may meet at any time. */
const PASSING: ReadonlySet<string> = new Set(['HANDOVER_IN_PROGRESS', 'VERSION_CONFLICT']);

async function failures(pair: Pair): Promise<readonly string[]> {
  return Object.keys(await pair.failures()).filter((code) => !PASSING.has(code));
}

/** Calls that were answered while a store stands still; a busy machine is given time for some. */
async function served(pair: Pair): Promise<number> {
  let calls = 0;
  for (let look = 0; look < 20 && calls <= 20; look += 1) {
    calls += (await pair.experience()).calls;
    if (calls <= 20) await pause(HANG_MS);
  }
  return calls;
}

test.skipIf(missing !== undefined)(
  `from mongodb to dynamodb under load, whatever is killed or hangs on the way${missing === undefined ? '' : ` (${missing})`}`,
  { timeout: 900_000 },
  async () => {
    await using server = await OwnDynamoDb.create();
    await using pair = await Pair.open(mongodbPlace, () => dynamodbPlace('new', server), {
      operationsPerSecond: 25,
      settings: {
        // Short, so that hangs outlive them, and so that the end of what a killed process sent is certain soon.
        putTimeoutMs: 1_500,
        mirrorTimeoutMs: 1_500,
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
    await pause(HANG_MS);
    expect(await served(pair)).toBeGreaterThan(20);
    server.goOn();
    await server.kill();
    await server.start();
    expect(await failures(pair)).toEqual([]);
    await pair.killService(0);

    const { before, summary } = await pair.backfillKilledOnce();
    expect(before).toBeLessThan(summary.scanned);
    expect(summary).toMatchObject({ resumed: true, rejected: 0 });
    await pair.change({ replayRate: null });
    await pair.drain();
    expect(await pair.verify()).toMatchObject({ verdict: 'consistent' });
    expect(await failures(pair)).toEqual([]);

    await pair.set('shadow-read', 100);
    await pair.compared();
    await pair.set('cutover', 50);
    await pair.compared();
    await pair.set('cutover', 100);
    expect(await pair.status()).toMatchObject({ dials: { cutover: 100 } });
    await pair.experience();

    // The new store leads and stands still: everybody is back on the old one, without the new one's help.
    server.hang();
    const { document } = await pair.emergency();
    expect(document.dials.cutover).toBe(NOBODY);
    await pair.experience();
    await pause(HANG_MS);
    expect(await served(pair)).toBeGreaterThan(20);
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
