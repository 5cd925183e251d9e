import { randomUUID } from 'node:crypto';
import type { ControlPlaneApi } from '../control/control-plane.ts';
import type { Controller } from '../control/controller.ts';
import { systemClock } from '../core/clock.ts';
import { type Route, Ruleset } from '../core/ruleset.ts';
import type { Side } from '../core/stage.ts';
import type { PrepareReport } from '../core/store.ts';
import type { Logger } from '../core/telemetry.ts';
import { DeadlineSweep } from '../repository/deadline-sweep.ts';
import { FleetSession } from '../repository/fleet-session.ts';
import type { Repository } from '../repository/repository.ts';
import type { LogLevel } from '../telemetry/logger.ts';
import { type Config, definitionOf } from './config.ts';
import { controlPlaneOf } from './control-plane-of.ts';
import { loggerOf } from './logger-of.ts';
import { closeStores, makeStores, openStores, type StorePair } from './open-stores.ts';
import { probeProcess, thisProcess } from './process-identity.ts';
import { makeController, makeRepository } from './service-runtime.ts';
import { VERSION } from './version.ts';

/** Where a unit's operations go, and why. */
export interface UnitRoute extends Route {
  readonly unit: string;
  readonly position: number;
  readonly revision: number;
}

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
  readonly #runner = `${process.pid}-${randomUUID()}`;
  readonly #sweep = new DeadlineSweep(systemClock);
  readonly #stores = new Map<string, Promise<StorePair>>();
  readonly #unconnected: Promise<StorePair>[] = [];
  readonly #sessions = new Map<string, Promise<FleetSession>>();
  #closing: Promise<void> | undefined;

  constructor(config: Config, plane: ControlPlaneApi, logger: Logger) {
    this.#config = config;
    this.plane = plane;
    this.#logger = logger;
  }

  /** The controller of one migration. @throws UnknownMigration, StoreFault, NotPrepared */
  async migration(name: string): Promise<Controller> {
    definitionOf(this.#config, name);
    await this.plane.ensureMigration(name);
    return this.#controller(name, await this.stores(name));
  }

  /**
   * The controller without a connection to its stores, one of which may be dead: for `emergency`, which needs none, and
   * for nothing else. @throws UnknownMigration
   */
  async emergencyController(name: string): Promise<Controller> {
    const definition = definitionOf(this.#config, name);
    await this.plane.ensureMigration(name);
    const stores = makeStores(name, definition, systemClock);
    this.#unconnected.push(stores);
    return this.#controller(name, await stores);
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
      logger: this.#logger,
    });
  }

  /** Checks the name and returns the plane, for what needs no store. @throws UnknownMigration */
  async planeOf(name: string): Promise<ControlPlaneApi> {
    definitionOf(this.#config, name);
    await this.plane.ensureMigration(name);
    return this.plane;
  }

  /** Creates what stamped writing needs on both stores; with `dryRun` only says what it would do. */
  async prepare(name: string, options: { readonly dryRun?: boolean } = {}): Promise<Record<Side, PrepareReport>> {
    const stores = await this.stores(name);
    if (options.dryRun !== true) await this.plane.ensureMigration(name);
    return { old: await stores.old.prepare(options), new: await stores.new.prepare(options) };
  }

  /** Where a unit's operations go now. @throws InvalidRecord when the unit has not the fields it needs */
  async route(name: string, unit: unknown): Promise<UnitRoute> {
    const { keys } = definitionOf(this.#config, name);
    const plane = await this.planeOf(name);
    const ruleset = new Ruleset(await plane.ruleset(name));
    const text = keys.unit(keys.unitKeyOf(unit));
    return { ...ruleset.route(text), unit: text, position: ruleset.position(text), revision: ruleset.revision };
  }

  /** Both stores of a migration, connected. */
  stores(name: string): Promise<StorePair> {
    const known = this.#stores.get(name) ?? openStores(name, definitionOf(this.#config, name), systemClock);
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
      for (const stores of await Promise.allSettled([...this.#stores.values(), ...this.#unconnected])) {
        if (stores.status === 'fulfilled') await closeStores(stores.value);
      }
      await this.plane.close();
    })();
    return this.#closing;
  }

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
      node: thisProcess('changeover repair', VERSION),
      clock: systemClock,
      random: Math.random,
      logger: this.#logger,
    });
    await session.open();
    return session;
  }
}

/** Opens the control plane of a configuration for operating it. @throws InvalidConfiguration, ControlUnavailable */
export async function control(config: Config, options: { readonly logger?: Logger | LogLevel } = {}): Promise<Control> {
  return new Control(config, await controlPlaneOf(config), await loggerOf(options.logger));
}
