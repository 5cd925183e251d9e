import { expect, test } from 'vitest';
import { type FaultPlan, MemoryDatabase, memory } from '../../adapters/memory/index.ts';
import type { Clock } from '../../src/core/clock.ts';
import type { DirtReport } from '../../src/core/control-client.ts';
import { KeySpec } from '../../src/core/record-key.ts';
import { initialRuleset } from '../../src/core/ruleset.ts';
import type { Settings } from '../../src/core/settings.ts';
import type { Side } from '../../src/core/stage.ts';
import { identityCodec, type Store } from '../../src/core/store.ts';
import { silentLogger } from '../../src/core/telemetry.ts';
import { DeadlineSweep } from '../../src/repository/deadline-sweep.ts';
import { FleetSession } from '../../src/repository/fleet-session.ts';
import { Mirror } from '../../src/repository/mirror.ts';
import { Repository } from '../../src/repository/repository.ts';
import { ShadowReads } from '../../src/repository/shadow-reads.ts';
import { NO_RULES } from '../../verify/compare.ts';
import { type Item, item } from '../support/memory-service.ts';
import { settle, VirtualClock } from '../support/virtual-clock.ts';

/** A process on a virtual clock whose old store leads and whose writes are mirrored; `told` is what it reported. */
async function mirroring(clock: Clock, settings: Partial<Settings>, faults: Partial<Record<Side, FaultPlan>>) {
  const keys = new KeySpec(['user', 'id'], ['user']);
  const told: DirtReport[] = [];
  const ruleset = {
    ...initialRuleset('items', settings),
    dials: { dualWrite: 100_000, shadowRead: 0, cutover: 0, retireOld: false },
    stamping: 'on' as const,
  };
  const session = new FleetSession({
    control: {
      join: async () => ({ incarnation: 7, rulesets: [ruleset] }),
      report: async ({ dirt }) => {
        told.push(...dirt);
        return { standing: 'member' };
      },
      leave: async () => {},
      rulesets: async () => [ruleset],
      watch: () => () => {},
    },
    migrations: ['items'],
    node: { host: 'h', pid: 1, processId: 'p', version: '1', name: 'n' },
    session: 's',
    clock,
    random: () => 0.5,
    logger: silentLogger,
  });
  const store = (side: Side): Promise<Store> =>
    memory({ database: new MemoryDatabase({ clock, prepared: true }), faults: faults[side] }).create({
      migration: 'items',
      side,
      keys,
      codec: identityCodec,
      clock,
      logger: silentLogger,
    });
  const stores = { old: await store('old'), new: await store('new') };
  await session.open();
  const migration = session.migration('items');
  const sweep = new DeadlineSweep(clock);
  const items = new Repository<Item>({
    session: migration,
    keys,
    stores,
    sweep,
    mirror: new Mirror(migration, stores, sweep),
    shadow: new ShadowReads(migration, stores, sweep, NO_RULES, (field) => field),
    schema: null,
    queries: {},
  });
  return { items, migration, told, close: () => session.close() };
}

test('an answer of the lead put that comes while the mirror put is under way is not taken for the mirror’s', async () => {
  const clock = new VirtualClock();
  let copies = 0;
  const process = await mirroring(
    clock,
    { putTimeoutMs: 1_000, mirrorTimeoutMs: 20_000 },
    {
      old: () => {
        copies += 1;
        return copies === 1 ? { kind: 'slow', answerMs: 5_000 } : undefined;
      },
      new: () => ({ kind: 'hang', applied: false }),
    },
  );
  const put = process.items.put(item('ada', '1'));
  await clock.advance(4_000);
  await put;
  expect([copies, process.migration.mirrorPending]).toEqual([2, 1]);
  // Now the first copy is answered: applied.
  await clock.advance(4_000);
  expect([process.migration.mirrorPending, process.told]).toEqual([1, []]);
  await clock.advance(30_000);
  expect(process.told.map(({ target, kind, key }) => [target, kind, key])).toEqual([
    ['new', 'lost', { user: 'ada', id: '1' }],
  ]);
  await process.close();
});

test('a queue that is given up becomes dirty a part at a time, and all of it', async () => {
  const virtual = new VirtualClock();
  const left: number[] = [];
  let process: Awaited<ReturnType<typeof mirroring>> | undefined;
  const clock: Clock = {
    now: () => virtual.now(),
    monotonic: () => virtual.monotonic(),
    after: (ms, fn, background) =>
      virtual.after(
        ms,
        () => {
          fn();
          left.push(process?.migration.mirrorPending ?? 0);
        },
        background,
      ),
  };
  process = await mirroring(
    clock,
    { mirrorConcurrency: 1, mirrorTimeoutMs: 1_000, breakerFailures: 1, breakerResetMs: 600_000 },
    { new: () => ({ kind: 'hang', applied: false }) },
  );
  const writes = 1_000;
  for (let n = 0; n < writes; n += 1) await process.items.put(item('ada', String(n)));
  await settle();
  expect(process.migration.mirrorPending).toBe(writes);
  left.length = 0;
  await virtual.advance(5_000);
  expect(process.migration.mirrorPending).toBe(0);
  const steps = left.map((pending, i) => (left[i - 1] ?? writes) - pending);
  expect(Math.max(...steps)).toBeLessThan(writes / 4);
  expect(new Set(process.told.map(({ key }) => key?.['id'])).size).toBe(writes);
  await process.close();
});
