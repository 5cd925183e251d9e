import { setTimeout as wait } from 'node:timers/promises';
import { type Call, type FaultPlan, type MemoryDatabase, memory, type Operation } from '../../adapters/memory/index.ts';
import type { Controller } from '../../src/control/controller.ts';
import type { Settings } from '../../src/core/settings.ts';
import type { Side, Stage } from '../../src/core/stage.ts';
import type { Entry } from '../../src/core/store.ts';
import {
  type Changeover,
  type Control,
  control,
  defineConfig,
  type MigrationDefinition,
  type MigrationOptions,
  migration,
  type OpenOptions,
  open,
} from '../../src/index.ts';
import type { Repository } from '../../src/repository/repository.ts';
import { insist } from './insist.ts';

/** The records of these tests: a user's items. */
export interface Item {
  readonly user: string;
  readonly id: string;
  readonly n: number;
  readonly note?: unknown;
}

export const item = (user: string, id: string, n = 1): Item => ({ user, id, n });

type Describe = Partial<Omit<MigrationOptions<Item>, 'key' | 'unit' | 'old' | 'new'>>;

export interface ServiceOptions extends Describe {
  readonly settings?: Partial<Settings>;
  /** How each side's database is made. */
  readonly memory?: Partial<Record<Side, Parameters<typeof memory>[0]>>;
  readonly tracer?: OpenOptions['tracer'];
}

const WHY = { actor: 'test', reason: 'test' };

/** Time-outs short enough for tests, and no waiting for rechecks. */
const SETTINGS: Partial<Settings> = { noOutsideWriters: true, shadowRecheckMs: [], breakerResetMs: 50 };

const DATA: ReadonlySet<Operation> = new Set(['get', 'getMany', 'list', 'putIfNewer', 'compareAndSet', 'putPlain']);

/**
 * A service with one migration over two memory databases, whose requests can be watched and made to fail.
 *
 * @example
 * await using service = await startService();
 * await service.to('dualwrite');
 * service.faults.new = ({ op }) => (op === 'putIfNewer' ? { kind: 'fail' } : undefined);
 */
export class MemoryService implements AsyncDisposable {
  readonly changeover: Changeover<{ items: MigrationDefinition<Item> }>;
  readonly operations: Control;
  readonly controller: Controller;
  readonly items: Repository<Item>;
  readonly databases: Readonly<Record<Side, MemoryDatabase>>;
  readonly faults: Partial<Record<Side, FaultPlan>>;
  readonly #log: Call[];

  constructor(
    parts: Pick<MemoryService, 'changeover' | 'operations' | 'controller' | 'databases' | 'faults'>,
    log: Call[],
  ) {
    this.changeover = parts.changeover;
    this.operations = parts.operations;
    this.controller = parts.controller;
    this.databases = parts.databases;
    this.faults = parts.faults;
    this.items = parts.changeover.repository('items');
    this.#log = log;
  }

  /** Brings all buckets into a stage, with whatever backfill that takes; verification is not asked for. */
  async to(stage: Stage): Promise<void> {
    const { dials } = await this.operations.plane.ruleset('items');
    const cutsOver = stage === 'live' || stage === 'rampdown' || stage === 'complete';
    if (cutsOver && dials.cutover < 100_000) await this.cover(stage === 'complete' ? 100_001 : 100_000);
    else if (stage === 'complete' && dials.dualWrite <= 100_000) await this.cover(100_001);
    await insist(this.controller, () => this.controller.stage(stage, { ...WHY, force: true }));
    await this.#settled();
  }

  /** Dual-write up to a threshold, backfilled. */
  async cover(dualWrite = 100_000): Promise<void> {
    const { dials } = await this.operations.plane.ruleset('items');
    if (dials.dualWrite < dualWrite) await this.set('dual-write', dualWrite);
    await this.controller.backfill(WHY);
  }

  async set(dial: 'dual-write' | 'shadow-read' | 'cutover', to: number): Promise<void> {
    await insist(this.controller, () => this.controller.set({ dial, to }, { ...WHY, force: true }));
    await this.#settled();
  }

  async settings(change: Partial<Settings>): Promise<void> {
    const { revision } = await this.operations.plane.changeSettings('items', change, WHY);
    await this.controller.waitAcknowledged(revision);
    this.forget();
  }

  /** The requests on records since the last `forget`, as `old get`, `new putIfNewer`, in the order they were made. */
  get requests(): string[] {
    return this.#log.filter(({ op }) => DATA.has(op)).map(({ side, op }) => `${side} ${op}`);
  }

  forget(): void {
    this.#log.length = 0;
  }

  /** A handover's last revision, its hold off, may still be on its way to the service when the command returns. */
  async #settled(): Promise<void> {
    const { revision } = await this.operations.plane.ruleset('items');
    await this.controller.waitAcknowledged(revision);
    this.forget();
  }

  /** What a store holds under a key. */
  stored(side: Side, user: string, id: string): Entry | undefined {
    return this.databases[side].snapshot().find(({ key }) => key['user'] === user && key['id'] === id);
  }

  /** The dirt that the control plane has, by target, kind and id. */
  async dirt(): Promise<string[]> {
    const rows = await this.operations.plane.dirt('items', null, 1_000);
    return rows
      .map(({ target, kind, key }) => `${target} ${kind} ${key === null ? 'range' : String(key['id'])}`)
      .sort();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const side of ['old', 'new'] as const) {
      this.faults[side] = () => undefined;
      this.databases[side].outage = 'none';
    }
    await this.changeover.close();
    await this.operations.close();
  }
}

/** Longer than anything takes on a machine that has much else to do. */
const PATIENCE_MS = 60_000;

/** Resolves when the condition holds. Polls, so that nobody guesses how long something takes. */
export async function until(condition: () => boolean | Promise<boolean>, what = 'the condition'): Promise<void> {
  const begun = performance.now();
  while (!(await condition())) {
    if (performance.now() - begun > PATIENCE_MS) throw new Error(`${what} did not come about in time`);
    await wait(2);
  }
}

export async function startService(options: ServiceOptions = {}): Promise<MemoryService> {
  const { settings, memory: stores, tracer, ...description } = options;
  const faults: Partial<Record<Side, FaultPlan>> = {};
  const log: Call[] = [];
  const plan: FaultPlan = (call) => {
    log.push(call);
    return faults[call.side]?.(call);
  };
  const old = memory({ ...stores?.old, faults: plan });
  const fresh = memory({ ...stores?.new, faults: plan });
  const config = defineConfig({
    control: 'memory',
    migrations: {
      items: migration<Item>({ ...description, key: ['user', 'id'], unit: 'user', old, new: fresh }),
    },
  });
  const operations = await control(config);
  await operations.prepare('items');
  await operations.plane.changeSettings('items', { ...SETTINGS, ...settings }, WHY);
  const changeover = await open(config, { name: 'test', ...(tracer === undefined ? {} : { tracer }) });
  const controller = await operations.migration('items');
  const databases = { old: old.database, new: fresh.database };
  const service = new MemoryService({ changeover, operations, controller, databases, faults }, log);
  service.forget();
  return service;
}
