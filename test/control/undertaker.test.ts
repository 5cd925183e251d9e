import { expect, test } from 'vitest';
import { MemoryDatabase, memory } from '../../adapters/memory/index.ts';
import { ControlPlane } from '../../src/control/control-plane.ts';
import type { ControllerParts, ProcessProbe } from '../../src/control/controller-parts.ts';
import { memoryStorage } from '../../src/control/memory-storage.ts';
import { Undertaker } from '../../src/control/undertaker.ts';
import { ALL, NOBODY } from '../../src/core/dial.ts';
import { KeySpec } from '../../src/core/record-key.ts';
import type { Side } from '../../src/core/stage.ts';
import { STAMP_MIN } from '../../src/core/stamp.ts';
import { identityCodec } from '../../src/core/store.ts';
import { LateStore } from '../../src/service/late-store.ts';
import { settle, VirtualClock } from '../support/virtual-clock.ts';

const WHY = { actor: 'ada', reason: 'test' };
const AHEAD_MS = 3_600_000;

/** A process that ended without leaving, of a fleet where one store leads; whoever looks is connected to neither. */
async function ended(leads: Side, told: ReturnType<ProcessProbe> = 'ended', operatorAheadMs = 0) {
  const clock = new VirtualClock(1_750_000_000_000);
  const storage = memoryStorage();
  const plane = new ControlPlane(storage, clock);
  const databases: Record<Side, MemoryDatabase> = {
    old: new MemoryDatabase({ clock, prepared: true }),
    new: new MemoryDatabase({ clock, prepared: true }),
  };
  const keys = new KeySpec(['id'], ['id']);
  const store = async (side: Side): Promise<LateStore> => {
    const context = { migration: 'events', side, keys, codec: identityCodec, clock };
    return new LateStore(await memory({ database: databases[side] }).create(context), 'events', side, clock);
  };
  const stores = { old: await store('old'), new: await store('new') };
  await plane.ensureMigration('events');
  await storage.transaction(async (tx) => {
    const [row] = await tx.select('migrations', { name: 'events' });
    const dials = { dualWrite: ALL, shadowRead: NOBODY, cutover: leads === 'new' ? ALL : NOBODY, retireOld: false };
    const document = { ...row!.document, stamping: 'on' as const, dials };
    await tx.update('migrations', { name: 'events' }, { document });
  });
  const node = { host: 'h', pid: 1, processId: 'p', version: '1', name: 'svc' };
  const deadlineLimit = clock.now() + 100_000_000;
  await plane.join({ session: 's', attempt: 1, node, migrations: ['events'], deadlineLimit, stampLimit: STAMP_MIN });
  await clock.advance(10_000);
  const said = { verdict: told };
  const own = clock.skewed(operatorAheadMs);
  const undertaker = new Undertaker({
    plane,
    stores,
    clock: own,
    probe: () => said.verdict,
  } as unknown as ControllerParts);
  const alive = async (): Promise<number> => (await plane.fleet('alive')).length;
  return { clock, plane, databases, stores, undertaker, alive, deadlineLimit, said };
}

test.each(['old', 'new'] as const)(
  'who has surely ended is buried when his puts have had their time, though the %s store that he led stays away',
  async (leads) => {
    const { clock, databases, stores, undertaker, alive } = await ended(leads);
    databases[leads].outage = 'refuse';
    expect(await undertaker.tend(WHY)).toBe(0);
    await clock.advance(1_000);
    expect([await undertaker.tend(WHY), await alive()]).toEqual([0, 1]);
    await clock.advance(60_000);
    expect(stores[leads].away).toBe(true);
    expect([await undertaker.tend(WHY), await alive()]).toEqual([1, 0]);
  },
);

test.each(['old', 'new'] as const)(
  'of whom nobody can tell the %s store must say that his time is over',
  async (leads) => {
    const { clock, databases, stores, undertaker, alive, deadlineLimit } = await ended(leads, 'unknown');
    databases[leads].outage = 'refuse';
    await clock.advance(deadlineLimit + 10_000 - clock.now());
    for (let round = 0; round < 5; round += 1) {
      expect(await undertaker.tend(WHY)).toBe(0);
      await clock.advance(60_000);
    }
    expect(await alive()).toBe(1);
    databases[leads].outage = 'none';
    expect(await undertaker.tend(WHY)).toBe(0);
    await settle();
    expect(stores[leads].away).toBe(false);
    expect([await undertaker.tend(WHY), await alive()]).toEqual([1, 0]);
  },
);

test('a store that leads nothing may stay away', async () => {
  const { clock, databases, undertaker, alive } = await ended('old');
  databases.new.outage = 'hang';
  expect(await undertaker.tend(WHY)).toBe(0);
  await settle();
  expect(await undertaker.tend(WHY)).toBe(0);
  await clock.advance(60_000);
  expect(await undertaker.tend(WHY)).toBe(1);
  expect(await alive()).toBe(0);
});

test('an operator whose clock is fast makes nobody dead of whom nobody can tell', async () => {
  const { clock, plane, stores, undertaker, alive, deadlineLimit } = await ended('old', 'unknown', 2e8);
  for (const side of ['old', 'new'] as const) await stores[side].open();
  const late = await plane.behind('events', 1_000);
  expect(late).toHaveLength(1);
  await undertaker.buryAtOnce(late, WHY);
  expect([await undertaker.tend(WHY), await alive()]).toEqual([0, 1]);
  await clock.advance(deadlineLimit + 10_000 - clock.now());
  expect([await undertaker.tend(WHY), await alive()]).toEqual([1, 0]);
});

test('an end that was proven by other clocks than that of the store is waited for all the same', async () => {
  const { clock, plane, databases, stores, undertaker, alive } = await ended('new');
  databases.new.skewMs = AHEAD_MS;
  databases.new.outage = 'refuse';
  const late = await plane.behind('events', 1_000);
  const bury = plane.bury.bind(plane);
  plane.bury = () => Promise.reject(new Error('the control plane is away'));
  await expect(undertaker.buryAtOnce(late, WHY)).rejects.toThrow('away');
  plane.bury = bury;
  databases.new.outage = 'none';
  await clock.advance(2_000);
  await stores.new.open();
  // Its last put may have a deadline in an hour that this machine's clock has yet to see.
  expect(await undertaker.tend(WHY)).toBe(0);
  await clock.advance(60_000);
  expect([await undertaker.tend(WHY), await alive()]).toEqual([1, 0]);
});

test('the store that he led decides, however far the other one is ahead', async () => {
  const { clock, databases, stores, undertaker, alive, deadlineLimit } = await ended('old', 'unknown');
  databases.new.skewMs = AHEAD_MS;
  for (const side of ['old', 'new'] as const) await stores[side].open();
  await clock.advance(deadlineLimit - AHEAD_MS / 2 - clock.now());
  expect(stores.new.now()).toBeGreaterThan(deadlineLimit);
  expect([await undertaker.tend(WHY), await alive()]).toEqual([0, 1]);
  await clock.advance(AHEAD_MS);
  expect([await undertaker.tend(WHY), await alive()]).toEqual([1, 0]);
});

test('an end that turned out to be none proves nothing later', async () => {
  const { clock, stores, undertaker, said } = await ended('old');
  await stores.old.open();
  expect(await undertaker.tend(WHY)).toBe(0);
  said.verdict = 'running';
  await clock.advance(60_000);
  expect(await undertaker.tend(WHY)).toBe(0);
  said.verdict = 'ended';
  expect(await undertaker.tend(WHY)).toBe(0);
  await clock.advance(60_000);
  expect(await undertaker.tend(WHY)).toBe(1);
});
