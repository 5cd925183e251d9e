import { randomUUID } from 'node:crypto';
import type { ControlPlaneApi } from '../control/control-plane.ts';
import { systemClock } from '../core/clock.ts';
import { ALL, NOBODY } from '../core/dial.ts';
import type { Logger, Traces } from '../core/telemetry.ts';
import { DeadlineSweep } from '../repository/deadline-sweep.ts';
import { FleetSession } from '../repository/fleet-session.ts';
import type { MigrationSession } from '../repository/migration-session.ts';
import { Operation, type OperationDefinition } from '../repository/operation.ts';
import type { Repository } from '../repository/repository.ts';
import type { LogLevel } from '../telemetry/logger.ts';
import type { Meter } from '../telemetry/metrics.ts';
import type { Tracer } from '../telemetry/traces.ts';
import { type Config, definitionOf, type MigrationDefinition } from './config.ts';
import { configuredOf } from './configured.ts';
import { controlPlaneOf } from './control-plane-of.ts';
import { Janitor } from './janitor.ts';
import { refuseLeftStamps } from './left-stamps.ts';
import { loggerOf } from './logger-of.ts';
import { metricsOf } from './metrics-of.ts';
import { atHand, closeStores, connectPromptly, type LatePair, makeStores, type StorePair } from './open-stores.ts';
import { Patiently } from './patiently.ts';
import { probeProcess, thisProcess } from './process-identity.ts';
import { makeController, makeRepository } from './service-runtime.ts';
import { tracesOf } from './traces-of.ts';
import { VERSION } from './version.ts';

export interface OpenOptions {
  /** What the service calls itself; shown by `changeover fleet`. @default the empty name */
  readonly name?: string;
  /** What the service was built from, as of `process.env.GIT_COMMIT`; shown beside its name. @default nothing */
  readonly commit?: string | undefined;
  /** A level, for JSON lines on standard error; a pino logger, or anything like it. @default silent */
  readonly logger?: Logger | LogLevel;
  /** Where measurements go, by the OpenTelemetry API. @default the global meter provider; nothing where there is none */
  readonly meter?: Meter;
  /**
   * Gets a span for each call of a store: `trace.getTracer('changeover')` of the OpenTelemetry API. They cost an object or
   * two a call. @default none
   */
  readonly tracer?: Tracer;
  /** Only these migrations of the configuration. @default all */
  readonly migrations?: readonly string[];
}

type RecordOf<D> = D extends MigrationDefinition<infer R> ? R : never;

/**
 * A process of the fleet: its repositories route by the rulesets of the control plane, which it follows by itself.
 *
 * @example
 * const changeover = await open(config, { name: 'events-api' });
 * const events = changeover.repository('events');
 * await events.put(event);
 * await changeover.close();
 */
export interface Changeover<M extends Readonly<Record<string, MigrationDefinition>>> {
  /** @throws UnknownMigration */
  repository<N extends keyof M & string>(name: N): Repository<RecordOf<M[N]>>;
  /** Routes a pair of functions by the dials of a migration. @throws UnknownMigration, InvalidConfiguration */
  operation<RI, RO, WI, WO>(
    name: keyof M & string,
    definition: OperationDefinition<RI, RO, WI, WO>,
  ): Operation<RI, RO, WI, WO>;
  /** Drains mirrors, hands over dirt, leaves the fleet, closes the stores. Idempotent. */
  close(): Promise<void>;
}

/**
 * Registers this process and opens the stores of the configuration's migrations. A store that cannot be reached keeps
 * nobody from starting while another one leads; it is connected when it is back.
 * @throws InvalidConfiguration, ControlUnavailable (nothing may be written without it; after 10 s of trying), NotPrepared,
 * StoreFault (no store that leads can be reached)
 */
export async function open<M extends Readonly<Record<string, MigrationDefinition>>>(
  config: Config<M>,
  options: OpenOptions = {},
): Promise<Changeover<M>> {
  const service = await OpenService.open(config as Config, options);
  return service as unknown as Changeover<M>;
}

class OpenService {
  readonly #config: Config;
  readonly #plane: ControlPlaneApi;
  readonly #session: FleetSession;
  readonly #stores: ReadonlyMap<string, StorePair>;
  readonly #sweep: DeadlineSweep;
  readonly #janitor: Janitor;
  readonly #traces: Traces | null;
  readonly #repositories = new Map<string, Repository<object>>();
  #closing: Promise<void> | undefined;

  private constructor(
    config: Config,
    plane: ControlPlaneApi,
    session: FleetSession,
    stores: ReadonlyMap<string, StorePair>,
    sweep: DeadlineSweep,
    logger: Logger,
    traces: Traces | null,
  ) {
    this.#config = config;
    this.#traces = traces;
    this.#plane = plane;
    this.#session = session;
    this.#stores = stores;
    this.#sweep = sweep;
    const runner = `${process.pid}-${randomUUID()}`;
    const controllers = [...stores].map(([name, pair]) =>
      makeController({
        plane,
        name,
        definition: definitionOf(config, name),
        stores: pair,
        repository: async () => this.repository(name),
        probe: probeProcess,
        clock: systemClock,
        random: Math.random,
        runner,
        process: thisProcess('', VERSION),
        carrier: null,
        scans: null,
        logger,
      }),
    );
    this.#janitor = new Janitor(plane, controllers, systemClock, Math.random, logger);
  }

  static async open(config: Config, options: OpenOptions): Promise<OpenService> {
    const names = options.migrations ?? Object.keys(config.migrations);
    const definitions = names.map((name) => [name, definitionOf(config, name)] as const);
    const logger = await loggerOf(options.logger);
    const metrics = await metricsOf(options.meter);
    const traces = await tracesOf(options.tracer);
    const patiently = new Patiently(systemClock, Math.random, logger);
    const plane = await patiently.call(() => controlPlaneOf(config));
    const stores = new Map<string, LatePair>();
    try {
      for (const [name, definition] of definitions)
        stores.set(name, await makeStores(name, definition, systemClock, logger));
      await Promise.all([...stores.values()].map((pair) => connectPromptly(pair, systemClock)));
      await patiently.call(() =>
        Promise.all([...stores].map(([name, pair]) => refuseLeftStamps(plane, name, pair, systemClock, logger))),
      );
      const session = new FleetSession({
        session: randomUUID(),
        control: plane,
        migrations: names,
        node: {
          ...thisProcess(options.name ?? '', VERSION, options.commit),
          configured: configuredOf(config, names),
        },
        clock: systemClock,
        random: Math.random,
        logger,
        metrics,
      });
      await patiently.call(() => session.open());
      try {
        await Promise.all([...stores].map(([name, pair]) => mustLead(session.migration(name), pair, logger)));
      } catch (error) {
        await session.close();
        throw error;
      }
      const pairs = new Map([...stores].map(([name, pair]) => [name, atHand(pair)]));
      return new OpenService(config, plane, session, pairs, new DeadlineSweep(systemClock), logger, traces);
    } catch (error) {
      for (const pair of [...stores.values()].reverse()) await closeStores(pair);
      await plane.close();
      throw error;
    }
  }

  repository(name: string): Repository<object> {
    const known = this.#repositories.get(name);
    if (known !== undefined) return known;
    const definition = definitionOf(this.#config, name);
    const stores = this.#stores.get(name) as StorePair;
    const repository = makeRepository<object>(name, definition, stores, this.#session, this.#sweep, this.#traces);
    this.#repositories.set(name, repository);
    return repository;
  }

  operation<RI, RO, WI, WO>(name: string, definition: OperationDefinition<RI, RO, WI, WO>): Operation<RI, RO, WI, WO> {
    const { keys } = definitionOf(this.#config, name);
    return new Operation(this.#session.migration(name), keys, this.#sweep, definition);
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    await this.#janitor.close();
    await this.#session.close();
    this.#sweep.close();
    for (const pair of [...this.#stores.values()].reverse()) await closeStores(pair);
    await this.#plane.close();
  }
}

/** Waits until a store that leads something is connected. @throws StoreFault where none can be */
async function mustLead(session: MigrationSession, stores: LatePair, logger: Logger): Promise<void> {
  const { cutover } = session.epoch.ruleset.document.dials;
  const leading = (['old', 'new'] as const).filter((side) => (side === 'old' ? cutover < ALL : cutover > NOBODY));
  try {
    await Promise.any(leading.map((side) => stores[side].open()));
  } catch (error) {
    throw error instanceof AggregateError ? error.errors[0] : error;
  }
  for (const side of ['old', 'new'] as const) {
    if (!stores[side].away) continue;
    const told = (err: unknown): void =>
      logger.error(
        { err, migration: session.name, side },
        'a store is away: the process goes on without it until it is back',
      );
    stores[side].open().catch(told);
  }
}
