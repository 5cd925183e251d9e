import { randomUUID } from 'node:crypto';
import type { Making } from '../control/control-dialect.ts';
import type { ControlPlaneApi } from '../control/control-plane.ts';
import type { Controller } from '../control/controller.ts';
import type { Authorship } from '../control/publish.ts';
import { type Revealed, reveal } from '../control/reveal.ts';
import type { ScanDesk } from '../control/scan-desk.ts';
import { systemClock } from '../core/clock.ts';
import { type Route, Ruleset } from '../core/ruleset.ts';
import type { Side } from '../core/stage.ts';
import type { Logger } from '../core/telemetry.ts';
import type { PartitionJobs } from '../replay/partition-jobs.ts';
import { DeadlineSweep } from '../repository/deadline-sweep.ts';
import { FleetSession } from '../repository/fleet-session.ts';
import type { Repository } from '../repository/repository.ts';
import type { LogLevel } from '../telemetry/logger.ts';
import { type Config, definitionOf } from './config.ts';
import { configuredOf } from './configured.ts';
import { controlPlaneOf } from './control-plane-of.ts';
import { type DoctorOptions, type DoctorReport, examine } from './doctor.ts';
import { leftStampFindings, writesNoStamps } from './left-stamps.ts';
import { loggerOf } from './logger-of.ts';
import { closeStores, connectStores, makeStores, type StorePair } from './open-stores.ts';
import { hasPgBoss, onPostgres, partitionJobsOf, scanDeskOf } from './partition-jobs-of.ts';
import { type Prepared, type PrepareOptions, refuseProblems } from './prepare.ts';
import { probeProcess, thisProcess } from './process-identity.ts';
import { makeController, makeRepository } from './service-runtime.ts';
import { VERSION } from './version.ts';
import { refuseWorkers, Worker, type WorkerEvent, type WorkerTotals } from './worker.ts';

/** Where a unit's operations go, and why. */
export interface UnitRoute extends Route {
  readonly unit: string;
  readonly position: number;
  readonly revision: number;
}

/** What a team says of a migration. */
export interface MigrationDescription {
  readonly key: readonly string[];
  readonly unit: readonly string[];
  /** The adapters' names. */
  readonly stores: Readonly<Record<Side, string>>;
  readonly owner: string | null;
  readonly runbook: string | null;
}

export interface WorkOptions {
  /** @default all of the configuration */
  readonly migrations?: readonly string[];
  /** Partitions worked on at once. @default 4 */
  readonly concurrency?: number;
  readonly signal: AbortSignal;
  readonly onEvent?: (event: WorkerEvent) => void;
}

export const WORKER_CONCURRENCY = 4;

/**
 * Everything that operators do; the command line, the server and the console are thin over it. Stores are connected
 * only when something needs them.
 *
 * @example
 * const operations = await control(config);
 * const events = await operations.migration('events');
 * await events.set({ dial: 'dual-write', to: parseDialValue(10) }, { actor: 'ada', reason: 'OPS-2291' });
 * await operations.close();
 */
export class Control {
  /** The control plane itself: status, history, fleet, dirt, divergences, settings. */
  readonly plane: ControlPlaneApi;
  readonly #config: Config;
  readonly #logger: Logger;
  /** Says to workers what there is to do; null where there can be none. */
  readonly #jobs: PartitionJobs | null;
  /** Where verifications are shared with them; null where they cannot be. */
  readonly #scans: ScanDesk | null;
  readonly #runner = `${process.pid}-${randomUUID()}`;
  readonly #sweep = new DeadlineSweep(systemClock);
  readonly #stores = new Map<string, Promise<StorePair>>();
  readonly #sessions = new Map<string, Promise<FleetSession>>();
  #closing: Promise<void> | undefined;

  constructor(config: Config, plane: ControlPlaneApi, logger: Logger) {
    this.#config = config;
    this.plane = plane;
    this.#logger = logger;
    this.#jobs = partitionJobsOf(config, { onError: this.#jobsFailed });
    this.#scans = scanDeskOf(config);
  }

  /** The names of the configuration's migrations. */
  get names(): readonly string[] {
    return Object.keys(this.#config.migrations);
  }

  /** Whether replays can be left to `changeover worker`: a control plane on PostgreSQL, and pg-boss. */
  get hasWorkers(): boolean {
    return this.#jobs !== null;
  }

  /** What the configuration says of a migration, for people. @throws UnknownMigration */
  describe(name: string): MigrationDescription {
    const { keys, stores, owner, runbook } = definitionOf(this.#config, name);
    const adapters = { old: stores.old.adapter, new: stores.new.adapter };
    return { key: keys.fields, unit: keys.unitFields, stores: adapters, owner, runbook };
  }

  /**
   * The controller of one migration. Its stores connect when something needs them: one that is away keeps nobody from
   * going back. @throws UnknownMigration, InvalidConfiguration
   */
  async migration(name: string): Promise<Controller> {
    definitionOf(this.#config, name);
    await this.plane.ensureMigration(name);
    return this.#controller(name, await this.#pair(name));
  }

  #controller(name: string, stores: StorePair): Controller {
    return makeController({
      plane: this.plane,
      name,
      definition: definitionOf(this.#config, name),
      stores,
      repository: () => this.#repository(name),
      probe: probeProcess,
      clock: systemClock,
      random: Math.random,
      runner: this.#runner,
      process: thisProcess('changeover', VERSION),
      carrier: this.#jobs,
      scans: this.#scans,
      logger: this.#logger,
    });
  }

  /** Checks the name and returns the plane, for what needs no store. @throws UnknownMigration */
  async planeOf(name: string): Promise<ControlPlaneApi> {
    definitionOf(this.#config, name);
    await this.plane.ensureMigration(name);
    return this.plane;
  }

  /**
   * Looks at both stores, creates what stamped writing needs on them, and takes a census of the old one; with `dryRun`
   * it only looks, and says what it would create.
   * @throws GatesRefused before anything is made, where a store has a problem that no acceptance helps with
   */
  async prepare(name: string, options: PrepareOptions = {}): Promise<Prepared> {
    const { dryRun = false, ...census } = options;
    const stores = await this.stores(name);
    const controller = this.#controller(name, stores);
    const inspections = await controller.inspect();
    if (await writesNoStamps(this.plane, name)) {
      for (const side of ['old', 'new'] as const) {
        const left = await leftStampFindings(stores[side], side, options.signal);
        inspections[side] = { ...inspections[side], findings: [...left, ...inspections[side].findings] };
      }
    }
    if (!dryRun) {
      refuseProblems(name, inspections);
      await this.plane.ensureMigration(name);
    }
    const old = await stores.old.prepare({ dryRun });
    const fresh = await stores.new.prepare({ dryRun });
    if (dryRun) return { old, new: fresh, inspections, census: null };
    const why = { actor: 'changeover', reason: 'prepare' };
    const made = old.actions.length + fresh.actions.length > 0;
    return {
      old,
      new: fresh,
      // What was missing is there now, and is no finding any more.
      inspections: made ? await controller.inspect() : inspections,
      census: await controller.census({ ...why, ...census }),
    };
  }

  /**
   * Looks at the control plane, both stores, the fleet and the mapping, and takes a census; goes on with the rest where
   * something does not answer. Nothing but the census is recorded, and with `dryRun` not even that.
   * @throws UnknownMigration
   */
  doctor(name: string, options: DoctorOptions = {}): Promise<DoctorReport> {
    const parts = { config: this.#config, name, plane: this.plane, clock: systemClock, random: Math.random };
    return examine(parts, options);
  }

  /**
   * A divergent record as both stores hold it now, unmasked. Who asked for it is in the history.
   * @throws NotFound, StoreFault
   */
  async reveal(name: string, divergence: number, authorship: Authorship): Promise<Revealed> {
    const { keys, rules } = definitionOf(this.#config, name);
    const stores = await this.stores(name);
    return reveal({ plane: this.plane, migration: name, stores, keys, rules }, divergence, authorship);
  }

  /** Where a unit's operations go now. @throws InvalidRecord when the unit has not the fields it needs */
  async route(name: string, unit: unknown): Promise<UnitRoute> {
    const { keys } = definitionOf(this.#config, name);
    const plane = await this.planeOf(name);
    const ruleset = new Ruleset(await plane.ruleset(name));
    const text = keys.unit(keys.unitKeyOf(unit));
    return { ...ruleset.route(text), unit: text, position: ruleset.position(text), revision: ruleset.revision };
  }

  /** Both stores of a migration, connected. @throws StoreFault, NotPrepared */
  async stores(name: string): Promise<StorePair> {
    const pair = await this.#pair(name);
    await connectStores(pair);
    return pair;
  }

  #pair(name: string): Promise<StorePair> {
    const known =
      this.#stores.get(name) ?? makeStores(name, definitionOf(this.#config, name), systemClock, this.#logger);
    this.#stores.set(name, known);
    known.catch(() => this.#stores.delete(name));
    return known;
  }

  /** Idempotent. */
  close(): Promise<void> {
    this.#closing ??= (async () => {
      for (const session of await Promise.allSettled(this.#sessions.values())) {
        if (session.status === 'fulfilled') await session.value.close();
      }
      this.#sweep.close();
      for (const stores of await Promise.allSettled(this.#stores.values())) {
        if (stores.status === 'fulfilled') await closeStores(stores.value);
      }
      await this.#jobs?.close();
      await this.#scans?.close();
      await this.plane.close();
    })();
    return this.#closing;
  }

  /**
   * Works on partitions of shared replays and verifications, whoever began them, until the signal ends it; what is under way then is
   * written down and given back.
   * @throws InvalidConfiguration where there are no workers, UnknownMigration
   */
  async work(options: WorkOptions): Promise<WorkerTotals> {
    const { migrations = this.names, concurrency = WORKER_CONCURRENCY, signal, onEvent = () => {} } = options;
    const mappings = new Map(migrations.map((name) => [name, definitionOf(this.#config, name).mapping]));
    refuseWorkers(onPostgres(this.#config), hasPgBoss());
    const jobs = partitionJobsOf(this.#config, { supervise: true, onError: this.#jobsFailed }) as PartitionJobs;
    const worker = new Worker({
      plane: this.plane,
      jobs,
      scans: this.#scans as ScanDesk,
      mappings,
      controller: async (name) => {
        await this.stores(name);
        return this.migration(name);
      },
      probe: probeProcess,
      process: thisProcess('changeover worker', VERSION),
      runner: this.#runner,
      clock: systemClock,
      concurrency,
      onEvent,
    });
    try {
      return await worker.run(signal);
    } finally {
      await jobs.close();
    }
  }

  readonly #jobsFailed = (error: unknown): void => {
    this.#logger.warn({ err: error }, 'jobs could not be seen to');
  };

  /** Re-stamping is a write like any other, so it is done by a member of the fleet. */
  async #repository(name: string): Promise<Repository<object>> {
    const known = this.#sessions.get(name) ?? this.#join(name);
    this.#sessions.set(name, known);
    const session = await known;
    return makeRepository<object>(
      name,
      definitionOf(this.#config, name),
      await this.stores(name),
      session,
      this.#sweep,
    );
  }

  async #join(name: string): Promise<FleetSession> {
    const session = new FleetSession({
      session: randomUUID(),
      control: this.plane,
      migrations: [name],
      node: { ...thisProcess('changeover repair', VERSION), configured: configuredOf(this.#config, [name]) },
      clock: systemClock,
      random: Math.random,
      logger: this.#logger,
    });
    await session.open();
    return session;
  }
}

export interface ControlOptions {
  /** As that of {@link OpenOptions}. @default silent */
  readonly logger?: Logger | LogLevel;
  /**
   * Whether the control plane is made where there is none (`fresh`), and upgraded too (`true`): processes of the version
   * before do not start any more then. @default 'fresh'
   */
  readonly prepare?: Making;
}

/** Opens the control plane of a configuration for operating it. @throws InvalidConfiguration, ControlUnavailable, NotPrepared */
export async function control(config: Config, options: ControlOptions = {}): Promise<Control> {
  return new Control(config, await controlPlaneOf(config, options.prepare), await loggerOf(options.logger));
}
