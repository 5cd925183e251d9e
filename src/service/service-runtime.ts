import { maskValue } from '../../verify/compare.ts';
import type { ControlPlaneApi } from '../control/control-plane.ts';
import { Controller } from '../control/controller.ts';
import type { ProcessProbe } from '../control/controller-parts.ts';
import type { ScanDesk } from '../control/scan-desk.ts';
import type { Clock, Random } from '../core/clock.ts';
import type { NodeInfo } from '../core/control-client.ts';
import type { Logger, Traces } from '../core/telemetry.ts';
import type { PartitionCarrier } from '../replay/partition-jobs.ts';
import type { DeadlineSweep } from '../repository/deadline-sweep.ts';
import type { FleetSession } from '../repository/fleet-session.ts';
import { MeasuredRepository } from '../repository/measured-repository.ts';
import { measuredStore } from '../repository/measured-store.ts';
import { Mirror } from '../repository/mirror.ts';
import { Repository } from '../repository/repository.ts';
import { ShadowReads, type ShowField } from '../repository/shadow-reads.ts';
import { tracedStores } from '../repository/traced-store.ts';
import type { MigrationDefinition } from './config.ts';
import type { StorePair } from './open-stores.ts';

const masked: ShowField = ({ path, old, new: fresh }) => ({ path, old: maskValue(old), new: maskValue(fresh) });

/** Values as JSON can carry them into the control plane: what JSON lacks becomes its text. */
const shown: ShowField = ({ path, old, new: fresh }) => ({ path, old: plain(old), new: plain(fresh) });

function plain(value: unknown): unknown {
  if (value === undefined) return null;
  const text = JSON.stringify(value, (_, item: unknown) => (typeof item === 'bigint' ? `${item}n` : item));
  return text.length <= 2_000 ? JSON.parse(text) : `${text.slice(0, 2_000)}…`;
}

/** A migration's repository over opened stores and a registered session. */
export function makeRepository<R extends object>(
  name: string,
  definition: MigrationDefinition,
  stores: StorePair,
  session: FleetSession,
  sweep: DeadlineSweep,
  traces: Traces | null = null,
): Repository<R> {
  const migration = session.migration(name);
  const { metrics } = migration;
  const { keys } = definition;
  // Measured and traced only where somebody collects: elsewhere there is nothing that could cost anything.
  const measured =
    metrics === null
      ? stores
      : {
          old: measuredStore(stores.old, 'old', metrics, migration, keys),
          new: measuredStore(stores.new, 'new', metrics, migration, keys),
        };
  const used = traces === null ? measured : tracedStores(measured, traces.migration(name), migration, keys);
  const parts = {
    session: migration,
    keys,
    stores: used,
    sweep,
    mirror: new Mirror(migration, used, sweep),
    shadow: new ShadowReads(migration, used, sweep, definition.rules, definition.showValues ? shown : masked),
    schema: definition.schema,
    queries: definition.queries,
  };
  return metrics === null ? new Repository<R>(parts) : new MeasuredRepository<R>(parts, metrics);
}

export interface ControllerDependencies {
  readonly plane: ControlPlaneApi;
  readonly name: string;
  readonly definition: MigrationDefinition;
  readonly stores: StorePair;
  readonly repository: () => Promise<Repository<object>>;
  readonly probe: ProcessProbe;
  readonly clock: Clock;
  readonly random: Random;
  readonly runner: string;
  readonly process: NodeInfo;
  readonly carrier: PartitionCarrier | null;
  readonly scans: ScanDesk | null;
  readonly logger: Logger;
}

/** A migration's controller over opened stores. */
export function makeController(dependencies: ControllerDependencies): Controller {
  const { plane, name, definition, stores, repository, probe, clock, random, runner, process, carrier, scans, logger } =
    dependencies;
  return new Controller({
    plane,
    migration: name,
    stores,
    keys: definition.keys,
    rules: definition.rules,
    mapping: definition.mapping,
    restamp: async (key) => (await repository()).restamp(key),
    probe,
    clock,
    random,
    runner,
    process,
    carrier,
    scans,
    logger,
  });
}
