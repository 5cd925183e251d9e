import { expect, test } from 'vitest';
import type { Change, ControlClient, NodeReport } from '../../src/core/control-client.ts';
import { NotRegistered } from '../../src/core/errors.ts';
import { initialRuleset } from '../../src/core/ruleset.ts';
import { makeStamp, type Stamp, stampMs } from '../../src/core/stamp.ts';
import { silentLogger } from '../../src/core/telemetry.ts';
import { FleetSession } from '../../src/repository/fleet-session.ts';
import type { Lost } from '../../src/repository/migration-session.ts';
import { settle, VirtualClock } from '../support/virtual-clock.ts';

/** A process on a virtual clock, and the control plane that it hears. */
function sessionOn(clock: VirtualClock, control: Partial<ControlClient>): FleetSession {
  return new FleetSession({
    control: {
      join: async () => ({ incarnation: 7, rulesets: [initialRuleset('items')] }),
      report: async () => ({ standing: 'member' }),
      leave: async () => {},
      rulesets: async () => [initialRuleset('items')],
      watch: () => () => {},
      ...control,
    },
    migrations: ['items'],
    node: { host: 'h', pid: 1, processId: 'p', version: '1', name: 'n' },
    session: 's',
    clock,
    random: () => 0.5,
    logger: silentLogger,
  });
}

test('a process reads its rulesets when they may have changed, and not for every report of the fleet', async () => {
  const clock = new VirtualClock();
  let reads = 0;
  let changed: (change?: Change) => void = () => {};
  const session = sessionOn(clock, {
    rulesets: async () => {
      reads += 1;
      return [initialRuleset('items')];
    },
    watch: (callback) => {
      changed = callback;
      return () => {};
    },
  });
  await session.open();
  await settle();
  const readsAfter = async (change: Change | undefined): Promise<number> => {
    const before = reads;
    changed(change);
    await settle();
    return reads - before;
  };
  expect(await readsAfter('other')).toBe(0);
  expect(await readsAfter('rulesets')).toBe(1);
  expect(await readsAfter(undefined)).toBe(1);
  await session.close();
});

test('a process takes part anew when the control plane knows less than it does: that one was restored from a copy', async () => {
  const clock = new VirtualClock();
  let revision = 5;
  const joins: number[] = [];
  const session = sessionOn(clock, {
    join: async () => {
      joins.push(revision);
      return { incarnation: joins.length, rulesets: [{ ...initialRuleset('items'), revision }] };
    },
    rulesets: async () => [{ ...initialRuleset('items'), revision }],
  });
  await session.open();
  await settle();
  const items = session.migration('items');
  revision = 9;
  await clock.advance(3_000);
  expect([items.revision, session.incarnation]).toEqual([9, 1]);
  revision = 3;
  await clock.advance(6_000);
  expect([items.revision, session.incarnation, joins]).toEqual([3, 2, [5, 3]]);
  // One answer that was under way when something newer was heard is no restored copy.
  revision = 4;
  await clock.advance(3_000);
  expect([items.revision, session.incarnation]).toEqual([4, 2]);
  await session.close();
});

test('one older answer is not taken for a restored control plane', async () => {
  const clock = new VirtualClock();
  let answers = 0;
  const session = sessionOn(clock, {
    join: async () => ({ incarnation: 7, rulesets: [{ ...initialRuleset('items'), revision: 4 }] }),
    rulesets: async () => {
      answers += 1;
      return [{ ...initialRuleset('items'), revision: answers === 1 ? 3 : 4 }];
    },
  });
  await session.open();
  await clock.advance(10_000);
  expect([session.incarnation, session.migration('items').revision, answers > 3]).toEqual([7, 4, true]);
  expect(session.membership().alive).toBe(true);
  await session.close();
});

test('stamps beyond a floor are promised before it is in force', async () => {
  const clock = new VirtualClock();
  const floorAt = (days: number) => makeStamp(clock.now() + days * 86_400_000, 0, 0);
  let stampFloor = floorAt(10);
  let revision = 1;
  const order: string[] = [];
  const session = sessionOn(clock, {
    join: async () => ({ incarnation: 7, rulesets: [{ ...initialRuleset('items'), revision, stampFloor }] }),
    rulesets: async () => [{ ...initialRuleset('items'), revision, stampFloor }],
    report: async ({ stampLimit, acknowledged }: NodeReport) => {
      order.push(`${stampLimit > stampFloor ? 'above' : 'below'} at ${acknowledged['items']}`);
      return { standing: 'member' };
    },
  });
  await session.open();
  const items = session.migration('items');
  expect(items.nextStamp(session.membership()) > stampFloor).toBe(true);
  expect(order[0]).toBe('above at 1');
  await clock.advance(2_000);

  order.length = 0;
  stampFloor = floorAt(30);
  revision = 2;
  await clock.advance(2_000);
  expect(items.revision).toBe(2);
  // The promise was made while the revision before was in force.
  expect(order.indexOf('above at 1')).toBeGreaterThanOrEqual(0);
  expect(order.indexOf('above at 1')).toBeLessThan(order.indexOf('above at 2'));
  expect(items.nextStamp(session.membership()) > stampFloor).toBe(true);
  await session.close();
});

test.each(['fails', 'hangs'])('a floor is in force within a heartbeat where the report for it %s', async (how) => {
  const clock = new VirtualClock();
  let document = { ...initialRuleset('items'), revision: 1 };
  let away = false;
  const session = sessionOn(clock, {
    join: async () => ({ incarnation: 7, rulesets: [document] }),
    rulesets: async () => [document],
    report: async () => {
      if (away && how === 'hangs') await new Promise(() => {});
      if (away) throw new Error('away');
      return { standing: 'member' };
    },
  });
  await session.open();
  await clock.advance(2_000);
  away = true;
  document = { ...document, revision: 2, stampFloor: makeStamp(clock.now() + 864_000_000, 0, 0) };
  await clock.advance(1_300);
  await clock.advance(1_000);
  expect(session.migration('items').revision).toBe(2);
  expect(() => session.migration('items').nextStamp(session.membership())).toThrow(NotRegistered);
  session.abandon();
});

const dirty = (id: number): Lost => ({
  target: 'new',
  kind: 'lost',
  position: id,
  key: { id },
  cause: 'shed',
  revision: 0,
  notBefore: null,
});

test('while a follower is away dirt is told together, not in a report a write, and all of it', async () => {
  const clock = new VirtualClock();
  const reports: NodeReport[] = [];
  const session = sessionOn(clock, {
    report: async (report) => {
      reports.push(report);
      return { standing: 'member' };
    },
  });
  await session.open();
  await settle();
  const items = session.migration('items');
  const writes = 300;
  for (let i = 0; i < writes; i += 1) {
    items.markDirty(dirty(i));
    await clock.advance(1);
  }
  await clock.advance(1_000);
  const told = reports.flatMap(({ dirt }) => dirt.map(({ position }) => position));
  expect(told).toEqual(Array.from({ length: writes }, (_, i) => i));
  const withDirt = reports.filter(({ dirt }) => dirt.length > 0).length;
  expect(withDirt).toBeLessThan(writes / 10);
  expect(withDirt).toBeGreaterThan(2);
  await session.close();
});

test('an acknowledgement waits for no more dirt: what there is goes with it, in as many reports as it needs', async () => {
  const clock = new VirtualClock();
  const reports: NodeReport[] = [];
  const session = sessionOn(clock, {
    report: async (report) => {
      reports.push(report);
      return { standing: 'member' };
    },
  });
  await session.open();
  await settle();
  const items = session.migration('items');
  items.markDirty(dirty(0));
  await clock.advance(0);
  reports.length = 0;
  for (let i = 1; i <= 4_500; i += 1) items.markDirty(dirty(i));
  expect(reports).toHaveLength(0);
  const { revision } = initialRuleset('items');
  items.apply({ ...initialRuleset('items'), revision: revision + 1 });
  await settle();
  expect(reports.map(({ dirt }) => dirt.length)).toEqual([2_000, 2_000, 500]);
  expect(reports.map(({ acknowledged }) => acknowledged['items'])).toEqual([undefined, undefined, revision + 1]);
  await session.close();
});

test('no stamp is issued that is not below what the process promised the fleet', async () => {
  const clock = new VirtualClock();
  let promised: Stamp | undefined;
  const session = sessionOn(clock, {
    join: async ({ stampLimit }) => {
      promised = stampLimit;
      return { incarnation: 7, rulesets: [initialRuleset('items')] };
    },
    report: async ({ stampLimit }) => {
      promised = stampLimit;
      return { standing: 'member' };
    },
  });
  await session.open();
  const items = session.migration('items');
  const membership = session.membership();
  const limit = stampMs(promised!);
  membership.stamps.observe(makeStamp(limit - 1, 0, 0));
  expect(items.nextStamp(membership) < promised!).toBe(true);
  membership.stamps.observe(makeStamp(limit, 0, 0));
  expect(() => items.nextStamp(membership)).toThrow(NotRegistered);
  // Being refused asks for a new promise.
  await clock.advance(0);
  const stamp = items.nextStamp(membership);
  expect([stampMs(stamp) >= limit, stamp < promised!]).toEqual([true, true]);
  await session.close();
});
