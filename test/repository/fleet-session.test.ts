import { expect, test } from 'vitest';
import type { Change, ControlClient } from '../../src/core/control-client.ts';
import { initialRuleset } from '../../src/core/ruleset.ts';
import { silentLogger } from '../../src/core/telemetry.ts';
import { FleetSession } from '../../src/repository/fleet-session.ts';
import { settle, VirtualClock } from '../support/virtual-clock.ts';

test('a process reads its rulesets when they may have changed, and not for every report of the fleet', async () => {
  const clock = new VirtualClock();
  let reads = 0;
  let changed: (change?: Change) => void = () => {};
  const control: ControlClient = {
    join: async () => ({ incarnation: 7, rulesets: [initialRuleset('items')] }),
    report: async () => ({ standing: 'member' }),
    leave: async () => {},
    rulesets: async () => {
      reads += 1;
      return [initialRuleset('items')];
    },
    watch: (callback) => {
      changed = callback;
      return () => {};
    },
  };
  const session = new FleetSession({
    control,
    migrations: ['items'],
    node: { host: 'h', pid: 1, processId: 'p', version: '1', name: 'n' },
    session: 's',
    clock,
    random: () => 0.5,
    logger: silentLogger,
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
