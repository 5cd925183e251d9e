import { expect, test } from 'vitest';
import { MemoryDatabase, memory } from '../../adapters/memory/index.ts';
import { ControlPlane } from '../../src/control/control-plane.ts';
import type { ControllerParts } from '../../src/control/controller-parts.ts';
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
async function ended(leads: Side) {
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
  const undertaker = new Undertaker({ plane, stores, clock, probe: () => 'ended' } as unknown as ControllerParts);
  const alive = async (): Promise<number> => (await plane.fleet('alive')).length;
  return { clock, databases, stores, undertaker, alive };
}

test.each(['old', 'new'] as const)(
  'nobody is declared dead by the clock of a store that is not connected (the %s one leads)',
  async (leads) => {
    const { clock, databases, stores, undertaker, alive } = await ended(leads);
    // What it sent has deadlines in the time of the store, which is far ahead of this machine's.
    databases[leads].skewMs = AHEAD_MS;
    databases[leads].outage = 'refuse';
    for (let round = 0; round < 5; round += 1) {
      expect(await undertaker.tend(WHY)).toBe(0);
      await clock.advance(60_000);
    }
    expect(await alive()).toBe(1);
    databases[leads].outage = 'none';
    expect(await undertaker.tend(WHY)).toBe(0);
    await settle();
    expect(stores[leads].away).toBe(false);
    // From here on its time is known: its last put may have been given its whole time just now.
    expect(await undertaker.tend(WHY)).toBe(0);
    await clock.advance(60_000);
    expect(await undertaker.tend(WHY)).toBe(1);
    expect(await alive()).toBe(0);
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
