import type { Controller } from '../../src/control/controller.ts';
import type { ControlStorage } from '../../src/control/storage.ts';
import { NOBODY, type Threshold } from '../../src/core/dial.ts';
import { ChangeoverError } from '../../src/core/errors.ts';
import { type Intervals, includes, intersect, union } from '../../src/core/intervals.ts';
import { mirroredTo, Ruleset } from '../../src/core/ruleset.ts';
import type { Settings } from '../../src/core/settings.ts';
import type { DialMove, Side } from '../../src/core/stage.ts';
import { STAMP_MIN } from '../../src/core/stamp.ts';
import type { Entry } from '../../src/core/store.ts';
import { censusRow } from '../support/control-rows.ts';
import { client, History, operate, type SimKey } from './clients.ts';
import { linearizable } from './linearizability.ts';
import type { SeededRandom } from './random.ts';
import { calm, MIGRATION, type SimNode, World } from './world.ts';

export interface SimulationOptions {
  readonly seed: number;
  /** With emergencies the guarantee is R17's, not linearizability. @default false */
  readonly emergencies?: boolean;
  /** The fleet ends its work so long after an emergency, virtual ms: nobody writes over what is wrong. @default never */
  readonly endsAfterEmergencyMs?: number;
  /** Operators turn dual-write off again and again, and preload before they turn it on. @default false */
  readonly preloads?: boolean;
  /** How long the fleet works, virtual ms. @default 20000 */
  readonly lengthMs?: number;
  readonly nodes?: number;
  /** Callers that hardly think, for a shorter time. @default in some seeds */
  readonly busy?: boolean;
  /** Stands between the control plane and its rows, to break a rule on purpose. */
  readonly storage?: (real: ControlStorage) => ControlStorage;
  /** How long a request or an answer takes at most at the beginning, ms. @default 3, to the control plane more in some seeds */
  readonly delayMs?: number;
  /** Nothing but processes that die with requests on their way, or keys that the follower refuses. @default all faults */
  readonly only?: 'crashes' | 'rejections';
  /** How hard the weather is, 0 … 1. @default 1 */
  readonly storm?: number;
  /** What operators have set otherwise. */
  readonly settings?: Partial<Settings>;
}

export interface SimulationResult {
  readonly seed: number;
  readonly violations: readonly string[];
  /** What happened, for reading a failing seed. */
  readonly log: readonly string[];
  readonly operations: number;
  readonly moves: number;
}

interface Action {
  readonly name: string;
  readonly run: () => Promise<unknown>;
}

const why = { actor: 'sim', reason: 'simulation' };
const UNITS = ['ada', 'bob', 'cyd', 'dan'];
/** Which of the faults these are. */
const ONLY = { crashes: 0, rejections: 8 } as const;

/** One seed, one history: the same every time. */
export async function simulate(options: SimulationOptions): Promise<SimulationResult> {
  return new Simulation(options).run();
}

class Simulation {
  readonly #options: SimulationOptions;
  readonly #world: World;
  readonly #random: SeededRandom;
  readonly #history = new History();
  readonly #log: string[] = [];
  readonly #violations: string[] = [];
  readonly #keys: readonly SimKey[];
  readonly #lengthMs: number;
  readonly #thinkMs: number;
  #over = false;
  #moves = 0;
  #positionOf: (unit: string) => number = () => 0;
  /** When the last emergency was through; operations begun later must not lose to earlier ones. */
  #emergencyDone = 0;
  #emergencyBegun = 0;

  constructor(options: SimulationOptions) {
    this.#options = options;
    this.#world = new World(options.seed, {
      // Some name all that they lose, some the first few keys, some none.
      namedKeys: (process) => [1_000, 2, 0][process % 3] as number,
      ...(options.storage === undefined ? {} : { storage: options.storage }),
    });
    this.#random = this.#world.random.fork();
    // Some fleets are busy, for a shorter time: only there two calls meet within a handover's milliseconds.
    const busy = options.busy ?? this.#random.chance(0.3);
    this.#thinkMs = busy ? 40 : 500;
    this.#lengthMs = options.lengthMs ?? (busy ? 6_000 : 20_000);
    this.#world.control.delayMs = options.delayMs ?? this.#random.pick([3, 3, 40, 150]);
    for (const weather of Object.values(this.#world.weather)) weather.delayMs = options.delayMs ?? weather.delayMs;
    this.#keys = UNITS.flatMap((unit) => [{ unit, id: '1' }, ...(this.#random.chance(0.5) ? [{ unit, id: '2' }] : [])]);
  }

  async run(): Promise<SimulationResult> {
    const { clock } = this.#world;
    try {
      await clock.runUntil(this.#story(), 3_600_000);
    } catch (error) {
      this.#violation(`the simulation itself failed: ${(error as Error).stack}`);
    }
    const operations = [...this.#history.operations.values()].reduce((sum, list) => sum + list.length, 0);
    return {
      seed: this.#options.seed,
      violations: this.#violations,
      log: this.#log,
      operations,
      moves: this.#moves,
    };
  }

  async #story(): Promise<void> {
    const world = this.#world;
    await world.plane.ensureMigration(MIGRATION);
    await world.plane.recordCensus(censusRow(MIGRATION), why);
    await world.plane.changeSettings(
      MIGRATION,
      {
        noOutsideWriters: true,
        putTimeoutMs: 800,
        operationTimeoutMs: 2_500,
        mirrorTimeoutMs: 1_200,
        acknowledgeGraceMs: 100,
        holdTimeoutMs: 3_000,
        shadowRecheckMs: [20, 200, 800],
        ...this.#options.settings,
      },
      why,
    );
    this.#watchAuthority();
    for (let i = 0; i < (this.#options.nodes ?? 3); i += 1) await this.#startNode();
    const end = world.clock.monotonic() + this.#lengthMs;
    const over = (): boolean => this.#over || world.clock.monotonic() >= end;
    await Promise.all([this.#operator('operator', over), this.#tender(over), this.#chaos(over)]);
    this.#over = true;
    await this.#heal();
    await this.#judge();
  }

  async #startNode(): Promise<SimNode> {
    const world = this.#world;
    const node = await world.startNode(this.#random.int(-3_000, 3_000));
    this.#note(`${node.process.name} joined as #${node.session.incarnation}`);
    const random = this.#random.fork();
    for (let i = 0; i < 2; i += 1) {
      void client(world, node, this.#history, this.#keys, random.fork(), this.#thinkMs, () => this.#over);
    }
    return node;
  }

  /** The gates, seen from above: no authority ever moves to a store that misses what the other one has (P4). */
  #watchAuthority(): void {
    const { plane } = this.#world;
    for (const method of ['stepHandover', 'cancelHandover'] as const) {
      const original = plane[method].bind(plane) as (...args: unknown[]) => ReturnType<typeof plane.stepHandover>;
      Object.assign(plane, {
        [method]: async (...args: unknown[]) => {
          const before = await plane.ruleset(MIGRATION);
          const progress = await original(...args);
          if (before.handover?.kind !== 'emergency' && progress.state === 'stepped') {
            this.#checkAuthority(new Ruleset(before), new Ruleset(progress.document));
          }
          return progress;
        },
      });
    }
  }

  #checkAuthority(before: Ruleset, after: Ruleset): void {
    for (const key of this.#keys) {
      const from = before.route(key.unit).authority;
      const to = after.route(key.unit).authority;
      if (from === to) continue;
      this.#moves += 1;
      const had = this.#stored(from, key);
      const has = this.#stored(to, key);
      // What was never stamped is as old as what a replay made of it.
      if ((had?.stamp ?? STAMP_MIN) > (has?.stamp ?? STAMP_MIN) || (had !== undefined && has === undefined)) {
        this.#violation(
          `P4: revision ${after.revision} gives ${key.unit}/${key.id} to ${to}, which has ${show(has)}; ${from} has ${show(had)}`,
        );
      }
    }
  }

  async #operator(name: string, over: () => boolean): Promise<void> {
    const world = this.#world;
    const random = this.#random.fork();
    while (!over()) {
      await this.#sleep(random.int(50, 900));
      const { process, controller } = await world.controller(`${name}-${world.clock.monotonic()}`);
      const action = random.chance(0.6) ? await this.#sensible(random, controller) : this.#action(random, controller);
      const outcome = action.run().then(
        () => 'done',
        (error: unknown) => {
          if (!(error instanceof ChangeoverError) && (error as Error)?.name !== 'AbortError') {
            this.#violation(`${action.name} threw ${(error as Error)?.stack ?? String(error)}`);
          }
          return `${(error as ChangeoverError)?.code}: ${(error as Error)?.message}`;
        },
      );
      const killAfter = random.chance(0.15) ? random.int(1, 300) : 30_000;
      const killed = this.#sleep(killAfter).then(() => {
        process.kill();
        return 'killed';
      });
      const result = await Promise.race([outcome, killed]);
      process.kill();
      this.#note(`${action.name} → ${result}`);
    }
  }

  /** What an operator would do next who wants to get somewhere: blind chance alone seldom gets to a cutover. */
  async #sensible(random: SeededRandom, controller: Controller): Promise<Action> {
    const status = await this.#world.plane.status(MIGRATION);
    const { dials } = await this.#world.plane.ruleset(MIGRATION);
    const set = (dial: 'dual-write' | 'cutover', to: Threshold): Action => ({
      name: `set ${dial} ${to}`,
      run: () => controller.set({ dial, to }, { ...why, force: true }),
    });
    if (this.#options.emergencies === true && dials.cutover > NOBODY && random.chance(0.4)) {
      return { name: 'EMERGENCY in bad weather', run: () => this.#emergency(random, controller) };
    }
    if (random.chance(0.15)) {
      const unit = random.pick(UNITS);
      const to = random.pick(['canary', 'kept-back', null] as const);
      return { name: `cohort ${unit} ${to}`, run: () => controller.cohort(unit, to, why) };
    }
    if (this.#options.preloads === true && random.chance(dials.dualWrite === NOBODY ? 0.5 : 0.1)) {
      if (dials.dualWrite === NOBODY) return { name: 'preload', run: () => controller.preload(why) };
      if (dials.cutover === NOBODY) return set('dual-write', NOBODY);
    }
    if (dials.dualWrite === NOBODY) return set('dual-write', random.pick([100_000, 100_001, 100_001, 50_000]));
    if (status.dirty.ranges + status.dirty.rejected > 0) return { name: 'repair', run: () => controller.repair(why) };
    if (dials.retireOld) {
      return {
        name: 'un-retire',
        run: () => controller.set({ dial: 'retire-old', to: false }, { ...why, force: true }),
      };
    }
    if (status.coverage.new < (dials.dualWrite * 100) / 100_001 - 0.1)
      return { name: 'backfill', run: () => controller.backfill(why) };
    if (status.coverage.old < 99.9)
      return { name: 'backfill --to old', run: () => controller.backfill({ ...why, target: 'old' }) };
    return set('cutover', random.pick([NOBODY, 0, 25_000, 50_000, 75_000, dials.dualWrite, dials.dualWrite]));
  }

  #action(random: SeededRandom, controller: Controller): Action {
    const threshold = (): Threshold => random.pick([NOBODY, 0, 25_000, 50_000, 75_000, 100_000, 100_001, 100_001]);
    const move = (dial: 'dual-write' | 'shadow-read' | 'cutover'): { name: string; run: () => Promise<unknown> } => {
      const to = threshold();
      const change: DialMove = { dial, to };
      return { name: `set ${dial} ${to}`, run: () => controller.set(change, { ...why, force: true }) };
    };
    const unit = random.pick(UNITS);
    const to = random.pick(['canary', 'kept-back', null] as const);
    const actions: { readonly weight: number; readonly name: string; readonly run: () => Promise<unknown> }[] = [
      { weight: 5, ...move('dual-write') },
      {
        weight: 2,
        name: 'set dual-write all',
        run: () => controller.set({ dial: 'dual-write', to: 100_001 }, { ...why, force: true }),
      },
      { weight: 2, ...move('shadow-read') },
      { weight: 6, ...move('cutover') },
      { weight: 6, name: 'backfill', run: () => controller.backfill(why) },
      { weight: 2, name: 'backfill --to old', run: () => controller.backfill({ ...why, target: 'old' }) },
      { weight: 5, name: 'repair', run: () => controller.repair(why) },
      { weight: 2, name: 'rollback', run: () => controller.rollback({ ...why, force: true }) },
      { weight: 3, name: `cohort ${unit} ${to}`, run: () => controller.cohort(unit, to, why) },
      {
        weight: 1,
        name: 'retire-old',
        run: () => controller.set({ dial: 'retire-old', to: true }, { ...why, force: true }),
      },
      {
        weight: 1,
        name: 'un-retire',
        run: () => controller.set({ dial: 'retire-old', to: false }, { ...why, force: true }),
      },
      {
        weight: 1,
        name: 'mirror policy',
        run: () => controllerSettings(this.#world, random),
      },
    ];
    if (this.#options.emergencies === true) {
      actions.push({
        weight: 4,
        name: 'EMERGENCY',
        run: () => this.#emergency(random, controller),
      });
    }
    if (this.#options.preloads === true) {
      actions.push({ weight: 10, name: 'preload', run: () => controller.preload(why) });
    }
    const sum = actions.reduce((total, action) => total + action.weight, 0);
    let roll = random.next() * sum;
    for (const action of actions) {
      roll -= action.weight;
      if (roll < 0) return action;
    }
    return actions[0] as (typeof actions)[number];
  }

  /** The new store hangs with puts open, or mirrors to the old one have failed, and then the old one leads again. */
  async #emergency(random: SeededRandom, controller: Controller): Promise<void> {
    const { databases } = this.#world;
    const outage = random.pick(['none', 'old', 'new'] as const);
    if (outage === 'old') {
      databases.old.outage = 'refuse';
      await this.#sleep(random.int(100, 1_500));
      databases.old.outage = 'none';
    }
    if (outage === 'new') {
      databases.new.outage = 'hang';
      void this.#sleep(random.int(200, 2_500)).then(() => {
        databases.new.outage = 'none';
      });
      await this.#sleep(random.int(1, 600));
    }
    this.#emergencyBegun = this.#world.clock.monotonic();
    await controller.emergency(why);
    this.#emergencyDone = this.#world.clock.monotonic();
    const { endsAfterEmergencyMs } = this.#options;
    if (endsAfterEmergencyMs === undefined) return;
    // Those who have worked together know each other's stamps; a new one knows only what it is told.
    void this.#startNode();
    void this.#sleep(endsAfterEmergencyMs).then(() => {
      this.#over = true;
    });
  }

  /** Somebody clears up behind the dead, as every service's janitor does. */
  async #tender(over: () => boolean): Promise<void> {
    const random = this.#random.fork();
    while (!over()) {
      await this.#sleep(random.int(1_000, 3_000));
      const { process, controller } = await this.#world.controller(`tender-${this.#world.clock.monotonic()}`);
      const round = async (): Promise<void> => {
        await controller.tend(why);
        const { handover } = await this.#world.plane.ruleset(MIGRATION);
        if (handover !== null && this.#world.clock.now() - handover.startedAt > 4_000)
          await controller.finishHandover(why);
      };
      await Promise.race([round().catch(() => {}), this.#sleep(random.chance(0.1) ? random.int(1, 50) : 20_000)]);
      process.kill();
    }
  }

  async #chaos(over: () => boolean): Promise<void> {
    const world = this.#world;
    const random = this.#random.fork();
    const { only } = this.#options;
    // Some runs are calm: long chains of moves happen only there.
    const storm = this.#options.storm ?? random.pick([0, 0.3, 1, 1]);
    if (storm === 0) return;
    while (!over()) {
      await this.#sleep(random.int(100, 1_500) / storm);
      const living = world.nodes.filter((node) => node.process.alive && !node.closed);
      const side = random.pick(['old', 'new'] as const);
      switch (only === undefined ? random.int(0, 9) : ONLY[only]) {
        case 0:
        case 1: {
          const node = random.pick(living);
          if (node === undefined) break;
          // Half of them with requests on their way that arrive when the process is long gone.
          node.process.dying = only === 'crashes' || random.chance(0.5);
          if (node.process.dying) await this.#sleep(random.int(1, 300));
          this.#note(`${node.process.name} crashes`);
          world.crash(node);
          void this.#sleep(random.int(10, 3_000)).then(() => (this.#over ? undefined : this.#startNode()));
          break;
        }
        case 2: {
          const node = random.pick(living);
          if (node === undefined || living.length < 2) break;
          this.#note(`${node.process.name} leaves`);
          node.closed = true;
          // A process whose farewell was not heard has ended all the same, a moment later.
          void node.session.close().then(() => world.crash(node));
          void this.#sleep(random.int(10, 1_000)).then(() => (this.#over ? undefined : this.#startNode()));
          break;
        }
        case 3:
          random.pick(living)?.process.jump(random.int(-5_000, 5_000));
          break;
        case 4: {
          const weather = world.weather[side];
          Object.assign(weather, {
            delayMs: random.pick([0, 3, 30, 150]),
            fail: random.pick([0, 0.05]) * storm,
            loseRequest: random.pick([0, 0.05]) * storm,
            loseAnswer: random.pick([0, 0.1]) * storm,
            late: random.pick([0, 0.1]) * storm,
            twice: random.pick([0, 0.1]) * storm,
          });
          this.#note(`weather of ${side}: ${JSON.stringify({ ...weather, rejects: undefined })}`);
          break;
        }
        case 5: {
          world.databases[side].outage = random.pick(['hang', 'refuse'] as const);
          this.#note(`${side} ${world.databases[side].outage}s`);
          await this.#sleep(random.int(100, 3_000));
          world.databases[side].outage = 'none';
          this.#note(`${side} is back`);
          break;
        }
        case 6:
          this.#note('control plane away');
          world.control.away = true;
          await this.#sleep(random.int(100, 2_500));
          world.control.away = false;
          this.#note('control plane back');
          break;
        case 7:
          world.control.lostAnswers = random.pick([0, 0, 0.03, 0.1]) * storm;
          world.control.delayMs = random.pick([0, 3, 40, 150]);
          break;
        case 8: {
          const key = random.pick(this.#keys);
          const id = world.keys.id({ unit: key.unit, id: key.id });
          // Only the follower refuses a key: what the authority refuses is simply the caller's error.
          world.weather.new.rejects.add(id);
          void this.#sleep(random.int(200, 3_000)).then(() => world.weather.new.rejects.delete(id));
          break;
        }
        default:
          Object.assign(world.weather[side], { ...calm(), rejects: world.weather[side].rejects });
      }
    }
  }

  /** Good weather again, and time for everything to come to its end. */
  async #heal(): Promise<void> {
    const world = this.#world;
    this.#note('healing');
    for (const side of ['old', 'new'] as const) {
      world.databases[side].outage = 'none';
      world.weather[side].rejects.clear();
      Object.assign(world.weather[side], calm(), { rejects: world.weather[side].rejects });
    }
    Object.assign(world.control, { away: false, lostAnswers: 0, delayMs: 1 });
    await this.#sleep(8_000);
    if (!world.nodes.some((node) => node.process.alive && !node.closed)) await this.#startNode();
    const { controller } = await world.controller('healer');
    const stubborn = async (name: string, run: () => Promise<unknown>): Promise<void> => {
      let last: unknown;
      for (let i = 0; i < 40; i += 1) {
        try {
          await run();
          return;
        } catch (error) {
          last = error;
          await controller.tend(why);
          await this.#sleep(500);
        }
      }
      this.#violation(`liveness: ${name} does not get through: ${(last as Error)?.stack}`);
    };
    await stubborn('burying the dead', async () => {
      await controller.tend(why);
      const alive = await world.plane.fleet('alive');
      const dead = alive.filter(({ node }) => world.ended.has(node.info.processId));
      if (dead.length > 0) throw new Error(`${dead.map(({ node }) => node.id).join()} not buried`);
    });
    await stubborn('the handover', async () => {
      const document = await controller.finishHandover(why);
      if (document.handover !== null) throw new Error('still going on');
    });
    await stubborn('the repair', async () => {
      await controller.repair(why);
      const status = await world.plane.status(MIGRATION);
      if (status.dirty.ranges + status.dirty.rejected > 0) throw new Error(`dirty: ${JSON.stringify(status.dirty)}`);
    });
    // What is called complete, and is not dirty, must be so without a backfill that would hide that it is not.
    const { covered } = await world.plane.status(MIGRATION);
    const ruleset = await world.ruleset();
    this.#positionOf = (unit) => ruleset.position(unit);
    this.#compareStores('before the last backfill', intersect(covered.old, covered.new));
    const document = await world.plane.ruleset(MIGRATION);
    for (const target of ['new', 'old'] as const) {
      if (mirroredTo(document, target).length > 0) {
        await stubborn(`the backfill to ${target}`, () => controller.backfill({ ...why, target }));
      }
    }
    // Time for what the dead had sent: nothing of it may count any more.
    await this.#sleep(15_000);
  }

  async #judge(): Promise<void> {
    const world = this.#world;
    const ruleset = await world.ruleset();
    this.#compareStores('in the end', union(mirroredTo(ruleset.document, 'old'), mirroredTo(ruleset.document, 'new')));
    const node = world.nodes.find((candidate) => candidate.process.alive && !candidate.closed) as SimNode;
    for (const key of this.#keys) await operate(world, node, this.#history, key, 'get');
    for (const bug of this.#history.bugs) this.#violation(`a caller met ${bug}`);
    for (const key of this.#keys) {
      const list = this.#history.operations.get(`${key.unit}/${key.id}`) ?? [];
      const final = list.at(-1);
      if (final?.kind !== 'read' || final.unknown) this.#violation(`liveness: ${key.unit}/${key.id} cannot be read`);
      if (this.#emergencyBegun === 0) {
        if (!linearizable(list, null)) {
          this.#violation(
            `P2: the history of ${key.unit}/${key.id} is not linearizable:\n${list.map((o) => `   ${JSON.stringify(o)}`).join('\n')}`,
          );
        }
      } else {
        this.#judgeAfterEmergency(key, final?.saw ?? null);
      }
    }
  }

  #compareStores(when: string, positions: Intervals): void {
    for (const key of this.#keys) {
      if (!includes(positions, this.#positionOf(key.unit))) continue;
      const [old, fresh] = [this.#stored('old', key), this.#stored('new', key)];
      if ((old?.value?.['value'] ?? null) !== (fresh?.value?.['value'] ?? null)) {
        this.#violation(`P1: ${key.unit}/${key.id} is ${show(old)} on old and ${show(fresh)} on new ${when}`);
      }
    }
  }

  /** R17: what began under the emergency's revision, or later, never loses to what was answered before it began. */
  #judgeAfterEmergency(key: SimKey, final: string | null): void {
    const list = this.#history.operations.get(`${key.unit}/${key.id}`) ?? [];
    const changes = list.filter((operation) => operation.kind !== 'read' && operation.kind !== 'occupied');
    const later = changes.filter((operation) => !operation.unknown && operation.invoked > this.#emergencyDone);
    if (this.#emergencyDone < this.#emergencyBegun || later.length === 0) return;
    const author = changes.find((operation) => operation.wrote === final && final !== null);
    if (final !== null && author === undefined) {
      this.#violation(`R17: ${key.unit}/${key.id} ends as ${final}, which nobody wrote`);
    }
    const deleted = final === null && !changes.some((operation) => operation.wrote === null);
    if (deleted) this.#violation(`R17: ${key.unit}/${key.id} is gone and nobody deleted it`);
    if (author !== undefined && !author.unknown && author.answered < this.#emergencyBegun) {
      this.#violation(`R17: ${key.unit}/${key.id} ends as ${final}, older than the emergency, after later writes`);
    }
  }

  #stored(side: Side, key: SimKey): Entry | undefined {
    const id = this.#world.keys.id({ unit: key.unit, id: key.id });
    return this.#world.databases[side].snapshot().find((entry) => entry.id === id);
  }

  #sleep(ms: number): Promise<void> {
    return new Promise((resolve) => this.#world.clock.after(ms, resolve));
  }

  #note(what: string): void {
    this.#log.push(`${String(Math.round(this.#world.clock.monotonic())).padStart(6)} ${what}`);
  }

  #violation(what: string): void {
    this.#note(`VIOLATION ${what}`);
    this.#violations.push(what);
  }
}

async function controllerSettings(world: World, random: SeededRandom): Promise<void> {
  await world.plane.changeSettings(
    MIGRATION,
    { mirrorToNew: random.pick(['wait', 'detached']), mirrorToOld: random.pick(['wait', 'detached']) },
    why,
  );
}

const show = (entry: Entry | undefined): string =>
  entry === undefined
    ? 'nothing'
    : `${entry.value === null ? 'a tombstone' : String(entry.value['value'])} @${entry.stamp}`;
