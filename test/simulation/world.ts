import { MemoryDatabase } from '../../adapters/memory/database.ts';
import type { Call, Fault, FaultPlan } from '../../adapters/memory/fault.ts';
import { memory } from '../../adapters/memory/memory.ts';
import { type ControlPlaneApi, localControlPlane } from '../../src/control/control-plane.ts';
import { Controller } from '../../src/control/controller.ts';
import { memoryStorage } from '../../src/control/memory-storage.ts';
import type { ControlStorage } from '../../src/control/storage.ts';
import { KeySpec } from '../../src/core/record-key.ts';
import { Ruleset, type RulesetDocument } from '../../src/core/ruleset.ts';
import type { Side } from '../../src/core/stage.ts';
import { type Capabilities, identityCodec, type Store } from '../../src/core/store.ts';
import { silentLogger } from '../../src/core/telemetry.ts';
import type { PartitionCarrier } from '../../src/replay/partition-jobs.ts';
import { DeadlineSweep } from '../../src/repository/deadline-sweep.ts';
import { FleetSession } from '../../src/repository/fleet-session.ts';
import { Mirror } from '../../src/repository/mirror.ts';
import { Repository } from '../../src/repository/repository.ts';
import { ShadowReads } from '../../src/repository/shadow-reads.ts';
import { NO_RULES } from '../../verify/compare.ts';
import { VirtualClock } from '../support/virtual-clock.ts';
import { type ControlWeather, remotePlane, SimProcess } from './process.ts';
import { SeededRandom } from './random.ts';

export const MIGRATION = 'sim';

export interface SimRecord {
  readonly unit: string;
  readonly id: string;
  readonly value: string;
}

/** What may go wrong between processes and one store. */
export interface StoreWeather {
  delayMs: number;
  fail: number;
  loseRequest: number;
  loseAnswer: number;
  late: number;
  twice: number;
  /** Keys that the store refuses for now. */
  readonly rejects: Set<string>;
}

export const calm = (): StoreWeather => ({
  delayMs: 3,
  fail: 0,
  loseRequest: 0,
  loseAnswer: 0,
  late: 0,
  twice: 0,
  rejects: new Set(),
});

/** A node: the real session, mirror and repository of one incarnation after another, in one killable process. */
export interface SimNode {
  readonly process: SimProcess;
  readonly session: FleetSession;
  readonly repository: Repository<SimRecord>;
  /** Set when it has left in good order. */
  closed: boolean;
}

/** What a test takes into its own hands; without any of it the world goes by its weather alone. */
export interface WorldOptions {
  /** Stands between the control plane and its rows, to break a rule on purpose. */
  readonly storage?: (real: ControlStorage) => ControlStorage;
  /** Decides the fate of a request in place of the weather; undefined leaves it to the weather. */
  readonly faults?: (process: SimProcess, call: Call) => Fault | undefined;
  /** Stands between a process and its store. */
  readonly line?: (process: SimProcess, side: Side, store: Store) => Store;
  /** Stands between a process and the control plane. */
  readonly control?: (process: SimProcess, plane: ControlPlaneApi) => ControlPlaneApi;
  /** How many lost keys the nth process names. @default {@link FleetSessionOptions.namedKeys} */
  readonly namedKeys?: (process: number) => number;
  /** @default {@link FleetSessionOptions.leaseMs} */
  readonly leaseMs?: number;
  /** Abilities that both stores go without. @default none */
  readonly capabilities?: Partial<Capabilities>;
  /** What can be known of a process. @default whether it has ended */
  readonly probe?: (process: string) => 'ended' | 'running' | 'unknown';
}

const WRITES = new Set(['putIfNewer', 'putManyIfNewer', 'load', 'compareAndSet', 'putPlain']);

/** A whole fleet on a virtual clock: the real classes, the faulty in-memory store, and nothing that knows of time. */
export class World {
  readonly clock = new VirtualClock();
  readonly random: SeededRandom;
  readonly keys = new KeySpec(['unit', 'id'], ['unit']);
  readonly databases: Readonly<Record<Side, MemoryDatabase>>;
  readonly weather: Readonly<Record<Side, StoreWeather>> = { old: calm(), new: calm() };
  readonly control: ControlWeather = { away: false, lostAnswers: 0, delayMs: 3 };
  readonly plane: ControlPlaneApi;
  readonly nodes: SimNode[] = [];
  /** Processes that have ended, by name: what a probe can tell. */
  readonly ended = new Set<string>();
  readonly #options: WorldOptions;
  #started = 0;

  constructor(seed: number, options: WorldOptions = {}) {
    this.#options = options;
    this.random = new SeededRandom(seed);
    this.databases = {
      old: new MemoryDatabase({ clock: this.clock, skewMs: this.random.int(-2_000, 2_000), prepared: true }),
      new: new MemoryDatabase({ clock: this.clock, skewMs: this.random.int(-2_000, 2_000), prepared: true }),
    };
    this.plane = localControlPlane((options.storage ?? ((real) => real))(memoryStorage()), this.clock);
  }

  /** A store of one process, with today's weather. */
  async store(process: SimProcess, side: Side): Promise<Store> {
    const random = this.random.fork();
    const weather = this.weather[side];
    const faults: FaultPlan = (call) => {
      const told = this.#options.faults?.(process, call);
      if (told !== undefined) return told;
      const { op, ids } = call;
      const requestMs = random.int(0, weather.delayMs);
      const answerMs = random.int(0, weather.delayMs);
      const roll = random.next();
      if (process.dying && WRITES.has(op)) {
        return random.chance(0.5)
          ? { kind: 'late', lateMs: random.int(0, 25_000), caller: 'hang' }
          : { kind: 'hang', applied: random.chance(0.5) };
      }
      if (WRITES.has(op) && ids.some((id) => weather.rejects.has(id))) {
        return { kind: 'reject', reason: 'constraint', ids: ids.filter((id) => weather.rejects.has(id)), requestMs };
      }
      let edge = weather.fail;
      if (roll < edge) return { kind: 'fail', requestMs, answerMs };
      edge += weather.loseRequest;
      if (roll < edge) return { kind: 'lose-request', requestMs, answerMs };
      edge += weather.loseAnswer;
      if (roll < edge) return { kind: 'lose-answer', requestMs, answerMs };
      if (WRITES.has(op)) {
        edge += weather.late;
        if (roll < edge) return { kind: 'late', lateMs: random.int(0, 6_000), caller: 'unknown', answerMs };
        edge += weather.twice;
        // A copy stands for a re-send that was overtaken; plain writes are never sent again, and a compare-and-set only
        // when it had no answer.
        if (roll < edge && (op === 'putIfNewer' || op === 'putManyIfNewer'))
          return { kind: 'twice', againMs: random.int(0, 6_000), requestMs, answerMs };
      }
      return { kind: 'slow', requestMs, answerMs };
    };
    const { capabilities } = this.#options;
    const definition = memory({ database: this.databases[side], faults, capabilities });
    const store = await definition.create({
      migration: MIGRATION,
      side,
      keys: this.keys,
      codec: identityCodec,
      clock: this.clock,
    });
    return process.mortal(this.#options.line?.(process, side, store) ?? store);
  }

  /** Starts a process of the fleet; resolves when it has registered, never if it dies before. */
  async startNode(offsetMs = 0, heartbeatMs = 500): Promise<SimNode> {
    this.#started += 1;
    const process = new SimProcess(`node-${this.#started}`, this.clock, offsetMs);
    const random = this.random.fork();
    const stores = { old: await this.store(process, 'old'), new: await this.store(process, 'new') };
    const session = new FleetSession({
      session: process.name,
      control: this.#remote(process, random),
      migrations: [MIGRATION],
      node: { host: 'sim', pid: this.#started, processId: process.name, version: '0', name: process.name },
      clock: process,
      random: random.next,
      logger: silentLogger,
      heartbeatMs,
      memoryBytes: () => 0,
      ...(this.#options.namedKeys === undefined ? {} : { namedKeys: this.#options.namedKeys(this.#started) }),
      ...(this.#options.leaseMs === undefined ? {} : { leaseMs: this.#options.leaseMs }),
    });
    const node: SimNode = { process, session, repository: this.#repository(process, stores, session), closed: false };
    this.nodes.push(node);
    for (;;) {
      try {
        await session.open();
        return node;
      } catch {
        await new Promise<void>((resolve) => process.after(50, resolve));
      }
    }
  }

  #remote(process: SimProcess, random: SeededRandom): ControlPlaneApi {
    const plane = this.#options.control?.(process, this.plane) ?? this.plane;
    return remotePlane(plane, process, this.clock, this.control, random.fork());
  }

  #repository(process: SimProcess, stores: Record<Side, Store>, session: FleetSession): Repository<SimRecord> {
    const sweep = new DeadlineSweep(process);
    const migration = session.migration(MIGRATION);
    return new Repository<SimRecord>({
      session: migration,
      keys: this.keys,
      stores,
      sweep,
      mirror: new Mirror(migration, stores, sweep),
      shadow: new ShadowReads(migration, stores, sweep, NO_RULES, (field) => field),
      schema: null,
      queries: {},
    });
  }

  /** The process is gone at once. */
  crash(node: SimNode): void {
    node.process.kill();
    this.ended.add(node.process.name);
  }

  /** An operator's process: the real controller, killable like any other. */
  async controller(
    name: string,
    carrier: PartitionCarrier | null = null,
  ): Promise<{ readonly process: SimProcess; readonly controller: Controller }> {
    const process = new SimProcess(name, this.clock);
    const random = this.random.fork();
    const stores = { old: await this.store(process, 'old'), new: await this.store(process, 'new') };
    const controller = new Controller({
      plane: this.#remote(process, random),
      migration: MIGRATION,
      stores,
      keys: this.keys,
      rules: NO_RULES,
      mapping: 'sim',
      restamp: async (key) => {
        const node = this.nodes.find((candidate) => candidate.process.alive && !candidate.closed);
        await node?.repository.restamp(key);
      },
      probe: (node) => this.#options.probe?.(node.processId) ?? (this.ended.has(node.processId) ? 'ended' : 'running'),
      clock: process,
      random: random.next,
      runner: name,
      process: { host: 'sim', pid: 0, processId: name, version: '', name },
      carrier,
      scans: null,
    });
    return { process, controller };
  }

  /** The ruleset as the control plane has it, outside of all weather. */
  async ruleset(): Promise<Ruleset> {
    return new Ruleset((await this.plane.ruleset(MIGRATION)) as RulesetDocument);
  }
}
