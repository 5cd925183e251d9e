import { expect, test } from 'vitest';
import type { Fault, Operation } from '../../adapters/memory/fault.ts';
import type { ControlPlaneApi } from '../../src/control/control-plane.ts';
import type { Controller } from '../../src/control/controller.ts';
import type { DirtRow } from '../../src/control/storage.ts';
import type { NodeReport } from '../../src/core/control-client.ts';
import { ALL, type Threshold } from '../../src/core/dial.ts';
import { ChangeoverError, ControlUnavailable } from '../../src/core/errors.ts';
import type { RulesetDocument } from '../../src/core/ruleset.ts';
import type { Settings } from '../../src/core/settings.ts';
import type { Side } from '../../src/core/stage.ts';
import type { CasOutcome, Entry } from '../../src/core/store.ts';
import type { SimProcess } from '../simulation/process.ts';
import { MIGRATION, type SimNode, type SimRecord, World, type WorldOptions } from '../simulation/world.ts';
import { censusRow } from '../support/control-rows.ts';
import { type Held, Interventions, nameOf, type Sent, type Strike, type Target } from './interventions.ts';

export const why = { actor: 'test', reason: 'a scenario of the protocol' };
/** A move's options: advice (verification, shadow reads) is not what these tests are about. */
export const forced = { ...why, force: true };

export const record = (unit: string, value: string, id = '1'): SimRecord => ({ unit, id, value });
export const keyOf = (unit: string, id = '1'): { readonly unit: string; readonly id: string } => ({ unit, id });

/** Whether a call of a process to the control plane fails: before it is made, or its answer on the way back. */
export type Cut = (method: string, result?: unknown) => boolean;

/** An operation that goes on beside the test. */
export interface Pending<T> {
  readonly promise: Promise<T>;
  state: 'pending' | 'done' | 'failed';
  error: unknown;
}

/** Time-outs of these tests: short, and far enough apart to tell one from the other. */
export const SETTINGS: Partial<Settings> = {
  noOutsideWriters: true,
  putTimeoutMs: 800,
  operationTimeoutMs: 2_500,
  mirrorTimeoutMs: 1_200,
  acknowledgeGraceMs: 100,
  holdTimeoutMs: 3_000,
};

type FleetOptions = Pick<WorldOptions, 'capabilities' | 'leaseMs' | 'probe' | 'storage'>;

/** A {@link World} without weather: nothing goes wrong, and nothing takes time, but what a test says. */
export class Fleet {
  readonly world: World;
  readonly reports: { readonly from: string; readonly report: NodeReport }[] = [];
  readonly #interventions = new Interventions();
  readonly #cuts = new Map<string, Cut>();
  readonly #hooks = new Map<string, (method: string) => void>();
  #operators = 0;

  constructor(options: FleetOptions = {}) {
    this.world = new World(1, {
      ...options,
      faults: (process, call) => this.#interventions.fault(process, call),
      line: (process, side, store) => this.#interventions.line(process, side, store),
      control: (process, plane) => this.#control(process, plane),
    });
    for (const side of ['old', 'new'] as const) this.world.weather[side].delayMs = 0;
    this.world.control.delayMs = 0;
    this.world.databases.old.skewMs = 300;
    this.world.databases.new.skewMs = -200;
  }

  /** Every request to a store, in order. */
  get sent(): Sent[] {
    return this.#interventions.sent;
  }

  get plane(): ControlPlaneApi {
    return this.world.plane;
  }

  // --- setting the scene -----------------------------------------------------------------------

  /** The migration with everything off, and so many nodes, with their wall clocks off by `offsets`. */
  async start(nodes = 2, settings: Partial<Settings> = {}, offsets: readonly number[] = []): Promise<SimNode[]> {
    await this.plane.ensureMigration(MIGRATION);
    await this.plane.recordCensus(censusRow(MIGRATION), why);
    await this.plane.changeSettings(MIGRATION, { ...SETTINGS, ...settings }, why);
    const started: SimNode[] = [];
    for (let i = 0; i < nodes; i += 1) started.push(await this.world.startNode(offsets[i] ?? 0));
    return started;
  }

  /** An operator's process of its own, so that it can be killed. */
  async operator(name = `operator-${++this.#operators}`): Promise<{ process: SimProcess; controller: Controller }> {
    return this.world.controller(name);
  }

  /** Moves a dial and waits until everybody has it. */
  async set(dial: 'dual-write' | 'cutover', to: Threshold): Promise<void> {
    const { controller } = await this.operator();
    await controller.set({ dial, to }, forced);
    await this.settled();
  }

  /** Stamped writes to the old store alone. */
  async stamped(): Promise<void> {
    await this.set('dual-write', ALL);
    await this.set('dual-write', -1);
  }

  /** Both stores complete and written, the old one leading. */
  async dualWrite(to: Threshold = ALL): Promise<void> {
    await this.set('dual-write', to);
    await this.backfill();
  }

  /** Both stores complete and written, the new one leading. */
  async live(): Promise<void> {
    await this.dualWrite();
    await this.set('cutover', ALL);
  }

  async backfill(target: Side = 'new'): Promise<void> {
    await (await this.operator()).controller.backfill({ ...why, target });
  }

  async repair(): Promise<void> {
    await (await this.operator()).controller.repair(why);
  }

  /** Publishes the hold of a cutover and goes no further. */
  async hold(to: Threshold): Promise<RulesetDocument> {
    const evidence = { prepared: null, findings: { old: [], new: [] }, mapping: 'sim' };
    const move = { dial: 'cutover', to } as const;
    const answer = await this.plane.move({
      migration: MIGRATION,
      move,
      evidence,
      dryRun: false,
      ifRevision: null,
      ...forced,
    });
    return answer.document as RulesetDocument;
  }

  /** Everybody has acknowledged the present revision. */
  async settled(): Promise<void> {
    const { revision } = await this.document();
    await this.until(async () => (await this.behind(revision)).length === 0, `revision ${revision} everywhere`);
  }

  // --- what goes wrong -------------------------------------------------------------------------

  /** Holds the next such request up: before it reaches the store, or its answer. */
  holdUp(target: Target, at: 'request' | 'answer' = 'request'): Held {
    let release = (): void => {};
    const opened = new Promise<void>((resolve) => {
      release = resolve;
    });
    const { hit } = this.#interventions.add(target, 1, { hold: { at, opened } });
    return { hit, release };
  }

  /** Strikes the next such requests with a fault of the memory store. */
  strike(target: Target, fault: Fault, times = 1): Strike {
    return this.#interventions.add(target, times, { fault });
  }

  /** Answers the next such requests in the store's place; they do not reach it. */
  answer(target: Target, answer: CasOutcome, times = 1): Strike {
    return this.#interventions.add(target, times, { answer });
  }

  /** Cuts a process off from the control plane, or from a part of it, until the returned function is called. */
  cut(from: string | { readonly process: SimProcess }, cut: Cut = () => true): () => void {
    this.#cuts.set(nameOf(from), cut);
    return () => this.#cuts.delete(nameOf(from));
  }

  /** A process that does not come to know revisions of a kind. */
  deaf(from: { readonly process: SimProcess }, to: (document: RulesetDocument) => boolean): () => void {
    return this.cut(
      from,
      (method, result) =>
        method === 'rulesets' && result !== undefined && (result as readonly RulesetDocument[]).some(to),
    );
  }

  /** Kills a process the moment before it makes a call to the control plane. */
  killBefore(process: SimProcess, method: string, condition: () => boolean = () => true): void {
    this.#hooks.set(process.name, (called) => {
      if (called === method && condition()) process.kill();
    });
  }

  // --- looking ---------------------------------------------------------------------------------

  document(): Promise<RulesetDocument> {
    return this.plane.ruleset(MIGRATION);
  }

  /** The incarnations that have not acknowledged a revision. */
  async behind(revision: number): Promise<number[]> {
    return (await this.plane.behind(MIGRATION, revision)).map(({ incarnation }) => incarnation);
  }

  dirt(target: Side | null = null): Promise<readonly DirtRow[]> {
    return this.plane.dirt(MIGRATION, target, 1_000);
  }

  /** The dirt as `target kind id`, or `target kind from–to` for ranges. */
  async dirtLines(): Promise<string[]> {
    return (await this.dirt()).map(
      ({ target, kind, key, fromPosition, toPosition }) =>
        `${target} ${kind} ${key === null ? `${fromPosition}–${toPosition}` : `${key['unit']}/${key['id']}`}`,
    );
  }

  async coverage(): Promise<{ readonly old: number; readonly new: number }> {
    return (await this.plane.status(MIGRATION)).coverage;
  }

  entry(side: Side, unit: string, id = '1'): Entry | undefined {
    const wanted = this.world.keys.id({ unit, id });
    return this.world.databases[side].snapshot().find((entry) => entry.id === wanted);
  }

  /** What a store holds under a key: a value, null for a tombstone, undefined for nothing. */
  held(side: Side, unit: string, id = '1'): unknown {
    const entry = this.entry(side, unit, id);
    return entry === undefined || entry.value === null ? entry?.value : entry.value['value'];
  }

  /** Both databases, to be compared with later. */
  snapshot(): unknown {
    return { old: this.world.databases.old.snapshot(), new: this.world.databases.new.snapshot() };
  }

  /** What a process sent to a side. */
  sentBy(from: string | { readonly process: SimProcess }, side: Side, op: Operation): Sent[] {
    return this.sent.filter((sent) => sent.from === nameOf(from) && sent.side === side && sent.op === op);
  }

  async position(unit: string): Promise<number> {
    return (await this.world.ruleset()).position(this.world.keys.unit({ unit }));
  }

  /** The revision that a node has in force. */
  applied(node: SimNode): number {
    return node.session.migration(MIGRATION).epoch.revision;
  }

  /** Both stores hold the same versions of the same keys. */
  expectEqual(): void {
    expect(this.world.databases.new.snapshot()).toStrictEqual(this.world.databases.old.snapshot());
  }

  // --- virtual time ----------------------------------------------------------------------------

  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => this.world.clock.after(ms, resolve));
  }

  async until(condition: () => boolean | Promise<boolean>, what = 'the condition', limitMs = 60_000): Promise<void> {
    const end = this.world.clock.monotonic() + limitMs;
    while (!(await condition())) {
      if (this.world.clock.monotonic() > end) throw new Error(`${what}: not within ${limitMs} ms`);
      await this.sleep(1);
    }
  }

  /** Lets an operation go on beside the test. */
  begin<T>(promise: Promise<T>): Pending<T> {
    const pending: Pending<T> = { promise, state: 'pending', error: undefined };
    promise.then(
      () => {
        pending.state = 'done';
      },
      (error: unknown) => {
        pending.state = 'failed';
        pending.error = error;
      },
    );
    return pending;
  }

  #control(process: SimProcess, plane: ControlPlaneApi): ControlPlaneApi {
    return new Proxy(plane, {
      get: (target, name) => {
        const member: unknown = Reflect.get(target, name, target);
        if (typeof member !== 'function' || name === 'watch') return member;
        return async (...args: unknown[]): Promise<unknown> => {
          const method = String(name);
          const away = (): ControlUnavailable => new ControlUnavailable('cut off by the test');
          this.#hooks.get(process.name)?.(method);
          if (!process.alive) return new Promise(() => {});
          if (this.#cuts.get(process.name)?.(method) === true) throw away();
          const result: unknown = await Reflect.apply(member, target, args);
          if (this.#cuts.get(process.name)?.(method, result) === true) throw away();
          if (method === 'report') this.reports.push({ from: process.name, report: args[0] as NodeReport });
          return result;
        };
      },
    });
  }
}

/** The error of an operation that must fail. */
export async function failure(promise: Promise<unknown>): Promise<ChangeoverError> {
  const error: unknown = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(ChangeoverError);
  return error as ChangeoverError;
}

/** A test on virtual time: every await in it lets as much of it go by as it takes. */
export function scenario(title: string, story: (fleet: Fleet) => Promise<void>, options: FleetOptions = {}): void {
  test(title, async () => {
    const fleet = new Fleet(options);
    await fleet.world.clock.runUntil(story(fleet));
  });
}
