import { type FaultPlan, MemoryDatabase, memory } from '../../adapters/memory/index.ts';
import type { Clock } from '../../src/core/clock.ts';
import type { DirtReport, ShadowCounts } from '../../src/core/control-client.ts';
import { ControlUnavailable } from '../../src/core/errors.ts';
import { KeySpec } from '../../src/core/record-key.ts';
import { initialRuleset } from '../../src/core/ruleset.ts';
import type { Settings } from '../../src/core/settings.ts';
import type { Side } from '../../src/core/stage.ts';
import { identityCodec, type Store } from '../../src/core/store.ts';
import { silentLogger } from '../../src/core/telemetry.ts';
import { DeadlineSweep } from '../../src/repository/deadline-sweep.ts';
import { FleetSession } from '../../src/repository/fleet-session.ts';
import type { FleetSessionOptions } from '../../src/repository/fleet-session-options.ts';
import { Mirror } from '../../src/repository/mirror.ts';
import { Repository } from '../../src/repository/repository.ts';
import { ShadowReads } from '../../src/repository/shadow-reads.ts';
import { NO_RULES } from '../../verify/compare.ts';
import type { Item } from './memory-service.ts';

/**
 * A process on a clock whose old store leads, whose writes are mirrored and whose reads are compared; `told`,
 * `compared` and `errors` are what it reported.
 */
export async function oneProcess(
  clock: Clock,
  settings: Partial<Settings>,
  faults: Partial<Record<Side, FaultPlan>>,
  { logger = silentLogger, ...more }: Partial<FleetSessionOptions> = {},
) {
  const keys = new KeySpec(['user', 'id'], ['user']);
  const told: DirtReport[] = [];
  const compared: ShadowCounts[] = [];
  let [errors, away] = [0, false];
  const ruleset = {
    ...initialRuleset('items', settings),
    dials: { dualWrite: 100_000, shadowRead: 100_000, cutover: 0, retireOld: false },
    stamping: 'on' as const,
  };
  const session = new FleetSession({
    control: {
      join: async () => ({ incarnation: 7, rulesets: [ruleset] }),
      report: async ({ dirt, shadow, health }) => {
        if (away) throw new ControlUnavailable('away');
        told.push(...dirt);
        compared.push(...shadow);
        errors = health.errors;
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
    logger,
    ...more,
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
  return {
    items,
    migration,
    told,
    compared,
    errors: () => errors,
    /** The control plane does not answer any more, or does again. */
    away: (now: boolean) => {
      away = now;
    },
    close: () => session.close(),
  };
}
