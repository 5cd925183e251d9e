import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as nextTurn, setTimeout as pause } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { isDeepStrictEqual } from 'node:util';
import type { FinalRecord } from '../../src/cli/demo/audit.ts';
import { Child } from '../../src/cli/demo/child.ts';
import { type EventKey, eventOf, seedKey, seedWrite, type WebhookEvent } from '../../src/cli/demo/events.ts';
import { type History, JournalTail, keyText, readJournals, type WriteRecord } from '../../src/cli/demo/journal.ts';
import { type Experience, experienceOf } from '../../src/cli/demo/latency.ts';
import type { TrafficSample } from '../../src/cli/demo/traffic.ts';
import type { ReplaySummary } from '../../src/control/backfill.ts';
import type { Controller, MoveResult } from '../../src/control/controller.ts';
import type { MigrationStatus } from '../../src/control/status.ts';
import { type DialName, parseDialValue } from '../../src/core/dial.ts';
import { ChangeoverError, GatesRefused } from '../../src/core/errors.ts';
import type { Settings } from '../../src/core/settings.ts';
import { type Control, control } from '../../src/service/control.ts';
import type { Divergence, VerifyReport } from '../../verify/verify-report.ts';
import { isSlow } from '../support/insist.ts';
import type { Place } from './place.ts';
import { configOf, MIGRATION, type PairSpec } from './place-spec.ts';
import type { ServiceOrders } from './service.ts';

const WHY = { actor: 'test', reason: 'a migration from end to end' } as const;
const SERVICES = 2;
const SEEDS = 300;
/** Further ones, of which no service knows. */
const RESTING = 60;
const OPERATIONS_PER_SECOND = 50;
/** What stands in the way for a moment is waited for or repaired, as the gates' remedies say; then once more. */
const TRIES = 6;
/** A handover is undone after a second, which a busy machine may need for itself many times over. */
const TRIES_IN_TIME = 60;
const MENDABLE: ReadonlySet<string> = new Set([
  ...['dirty', 'fleet', 'handover', 'divergences', 'shadow-reads'],
  // A store that was too busy to be looked at.
  'constraints',
]);
const COMPARISONS = 40;
/** Between two looks at something that is waited for. */
const LOOK_MS = 25;
/** A process that was told to stand still does so by then, or is not running anyway. */
const STOPS_MS = 10;
const RECHECK_MS = [50, 150, 300] as const;

/** Answers that promise that nothing was written, for a call that came at the wrong moment. */
const PASSING: ReadonlySet<string> = new Set(['HANDOVER_IN_PROGRESS', 'VERSION_CONFLICT']);

/** No call fails because the machine, or its disk, stands still for seconds. */
const PATIENT = { putTimeoutMs: 30_000, operationTimeoutMs: 60_000 } as const;

export interface PairOptions {
  /** Of each service. @default 50 */
  readonly operationsPerSecond?: number;
  readonly settings?: Partial<Settings>;
}

/** A service and where it writes down what it does. */
interface Running {
  readonly child: Child;
  readonly journal: string;
}

/** An old store with events in it, a new one, services that use them, and an operator. */
export class Pair {
  readonly old: Place;
  readonly new: Place;
  readonly #folder: string;
  readonly #spec: PairSpec;
  readonly #control: Control;
  readonly #options: PairOptions;
  readonly #services: Running[] = [];
  readonly #journals: string[] = [];
  /** All processes that were ever started, so that none is left behind. */
  readonly #children: Child[] = [];
  #controller: Controller | undefined;

  private constructor(
    folder: string,
    places: { readonly old: Place; readonly new: Place },
    operations: Control,
    options: PairOptions,
  ) {
    this.#folder = folder;
    this.old = places.old;
    this.new = places.new;
    this.#spec = specOf(folder, places);
    this.#control = operations;
    this.#options = options;
  }

  static async open(
    makeOld: (folder: string) => Promise<Place>,
    makeNew: () => Promise<Place>,
    options: PairOptions = {},
  ): Promise<Pair> {
    const folder = mkdtempSync(join(tmpdir(), 'changeover-pair-'));
    const places = { old: await makeOld(folder), new: await makeNew() };
    await places.old.seed(seeds().map(({ event }) => event));
    return new Pair(folder, places, await control(configOf(specOf(folder, places))), options);
  }

  async startServices(): Promise<void> {
    await Promise.all(Array.from({ length: SERVICES }, (_, place) => this.startService(place)));
  }

  /** Starts a service, in place of another one where there was one. */
  async startService(place: number): Promise<void> {
    const label = `s${this.#journals.length + 1}`;
    const journal = join(this.#folder, `${label}.jsonl`);
    const orders: ServiceOrders = {
      pair: this.#spec,
      journal,
      label,
      seeds: SEEDS,
      operationsPerSecond: this.#options.operationsPerSecond ?? OPERATIONS_PER_SECOND,
    };
    this.#journals.push(journal);
    const child = this.#startChild(label, 'service.ts', orders);
    await child.ready();
    this.#services[place] = { child, journal };
  }

  /**
   * kill -9 for a service at a moment when its journal ends with a write that has no answer yet, and another one in its
   * place. Resolves when the fleet knows that the killed one has ended.
   */
  async killService(place: number): Promise<void> {
    const { child, journal } = this.#services[place] as Running;
    const tail = new JournalTail(journal);
    for (;;) {
      while (!tail.endsInWrite()) await nextTurn();
      // It may have had its answer before the signal came.
      child.signal('SIGSTOP');
      await pause(STOPS_MS);
      if (tail.endsInWrite()) break;
      child.signal('SIGCONT');
    }
    await child.kill();
    tail.close();
    await this.startService(place);
    const dead = async (): Promise<boolean> =>
      (await this.#control.plane.fleet('dead')).some(({ node }) => node.info.pid === child.pid);
    while (!(await dead())) await pause(LOOK_MS);
  }

  async stopServices(): Promise<void> {
    await Promise.all(this.#services.map(({ child }) => child.ask('stop')));
    await Promise.all(this.#services.map(({ child }) => child.kill()));
  }

  /** What callers were told since the last look, where it was more than that they came at a wrong moment. */
  async failures(): Promise<readonly string[]> {
    return failuresOf(await this.experience());
  }

  /** What callers met since the last look. */
  async experience(): Promise<Experience> {
    const asked = this.#services.map(({ child }) => child.ask('take'));
    return experienceOf((await Promise.all(asked)) as TrafficSample[]);
  }

  async prepare(): Promise<void> {
    await this.#control.prepare(MIGRATION);
    this.#controller = await this.#control.migration(MIGRATION);
    await this.change({ noOutsideWriters: true, ...PATIENT, ...this.#options.settings });
    await this.#acceptRisks();
  }

  async change(settings: Partial<Settings>): Promise<void> {
    await this.#control.plane.changeSettings(MIGRATION, settings, WHY);
  }

  status(): Promise<MigrationStatus> {
    return this.#control.plane.status(MIGRATION);
  }

  async set(dial: Exclude<DialName, 'retire-old'>, value: number | string): Promise<MoveResult> {
    return this.#insist(() => this.#operator.set({ dial, to: parseDialValue(value) }, WHY));
  }

  async retireOld(): Promise<MoveResult> {
    return this.#insist(() => this.#operator.set({ dial: 'retire-old', to: true }, WHY));
  }

  async rollback(): Promise<MoveResult> {
    return this.#insist(() => this.#operator.rollback(WHY));
  }

  /** For a new store that hangs: needs no connection to it. */
  async emergency(): Promise<MoveResult> {
    const controller = await this.#control.migration(MIGRATION);
    for (let tries = 1; ; tries += 1) {
      try {
        return await controller.emergency(WHY);
      } catch (error) {
        if (!isSlow(error) || tries === TRIES_IN_TIME) throw error;
      }
    }
  }

  /** Fills the new store before dual-write; what stands in the way for a moment is waited for. */
  async preload(): Promise<ReplaySummary> {
    for (let tries = 1; ; tries += 1) {
      try {
        return await this.#operator.preload(WHY);
      } catch (error) {
        if (!isSlow(error) || tries === TRIES_IN_TIME) throw error;
      }
    }
  }

  backfill(): Promise<ReplaySummary> {
    return this.#operator.backfill(WHY);
  }

  /**
   * An operator's process begins to backfill and is killed in the middle; another one goes on when the lease of the first
   * one has ended.
   */
  async backfillKilledOnce(): Promise<{ readonly before: number; readonly summary: ReplaySummary }> {
    const first = this.#startChild('operator-1', 'operator.ts', this.#spec);
    first.ask('backfill').catch(() => {});
    let before = 0;
    while (before === 0) {
      await pause(LOOK_MS);
      before = (await first.ask('scanned')) as number;
    }
    await first.kill();
    while (await this.#replayIsLeased()) await pause(LOOK_MS);
    const second = this.#startChild('operator-2', 'operator.ts', this.#spec);
    return { before, summary: (await second.ask('backfill')) as ReplaySummary };
  }

  /** Repairs until nothing is dirty; the test's own time-out ends it. */
  async drain(): Promise<void> {
    for (;;) {
      const { dirty } = await this.status();
      if (dirty.ranges + dirty.rejected === 0) return;
      try {
        await this.#operator.repair(WHY);
      } catch (error) {
        if (!(error instanceof ChangeoverError && error.retryable)) throw error;
        await pause(LOOK_MS);
      }
    }
  }

  /** Verifies until the verdict is no question any more: what is dirty or divergent is repaired in between. */
  async verify(): Promise<VerifyReport> {
    for (let tries = 1; ; tries += 1) {
      await this.#settle();
      const report = await this.look();
      if (report.verdict === 'consistent' || tries === TRIES) return report;
      if (report.verdict === 'divergent') await this.#operator.repair(WHY);
    }
  }

  /** One verification, of what is there: nothing is repaired before it. */
  look(): Promise<VerifyReport> {
    return this.#operator.verify({ ...WHY, recheckMs: RECHECK_MS });
  }

  /**
   * The divergences of a report that no write on its way can excuse: of keys that nobody has written since a moment, nor
   * was writing then. A backfill that began at that moment has to have brought them over, whatever became of their mirrors.
   */
  ofResting({ divergences }: VerifyReport, since: number): readonly Divergence[] {
    const written = new Set(this.history().writes.flatMap(({ key, end }) => (end > since ? [key] : [])));
    return divergences.filter(({ key }) => !written.has(keyText(key as unknown as EventKey)));
  }

  /** One verification that proves itself by planted records. */
  prove(): Promise<VerifyReport> {
    return this.#operator.verify({ ...WHY, recheckMs: RECHECK_MS, prove: true });
  }

  /** Resolves when enough reads were compared since a dial last moved; the test's own time-out ends it. */
  async compared(): Promise<void> {
    while ((await this.status()).shadow.compared < COMPARISONS) await pause(25);
  }

  history(): History {
    const { writes, ...rest } = readJournals(this.#journals);
    return { ...rest, writes: [...seeds().map(({ write }) => write), ...writes] };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#children.map((child) => child.kill()));
    await this.#control.close();
    for (const place of [this.old, this.new]) await place.drop();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  /** Whether nobody else may go on with the backfill yet, because its runner has been heard of just now. */
  async #replayIsLeased(): Promise<boolean> {
    const running = await this.#control.plane.runningReplay(MIGRATION, 'backfill', 'new');
    return running !== null && running.runner !== null && running.leaseUntil > Date.now();
  }

  #startChild(name: string, script: string, orders: object): Child {
    const url = pathToFileURL(join(import.meta.dirname, script)).href;
    const child = new Child(name, url, [JSON.stringify(orders)], join(this.#folder, `${name}.log`));
    this.#children.push(child);
    return child;
  }

  /** What a store might refuse or change (MariaDB checks its JSON columns) is accepted by name, as an operator would. */
  async #acceptRisks(): Promise<void> {
    const inspections = await this.#operator.inspect();
    for (const side of ['old', 'new'] as const) {
      for (const { name, level } of inspections[side].findings) {
        if (level === 'risk') await this.#operator.accept(name, { ...WHY, side });
      }
    }
  }

  get #operator(): Controller {
    if (this.#controller === undefined) throw new Error('prepare the stores first');
    return this.#controller;
  }

  async #settle(): Promise<void> {
    for (let round = 0; round < TRIES; round += 1) {
      const { dirty } = await this.status();
      if (dirty.ranges + dirty.rejected === 0) return;
      await this.#operator.repair(WHY);
    }
  }

  async #insist(move: () => Promise<MoveResult>): Promise<MoveResult> {
    for (let tries = 1; ; tries += 1) {
      await this.#settle();
      try {
        return await move();
      } catch (error) {
        const refused = error instanceof GatesRefused ? error.gates.filter(({ passed }) => !passed) : [];
        const slow = isSlow(error);
        if (!slow && refused.length === 0) throw error;
        if (tries === (slow ? TRIES_IN_TIME : TRIES) || refused.some(({ gate }) => !MENDABLE.has(gate))) throw error;
        const names = refused.map(({ gate }) => gate);
        if (names.includes('divergences')) await this.#operator.repair(WHY);
        if (names.includes('shadow-reads')) await this.compared();
      }
    }
  }
}

export const failuresOf = ({ errors }: Experience): readonly string[] =>
  Object.entries(errors).flatMap(([code, { message }]) => (PASSING.has(code) ? [] : [`${code}: ${message}`]));

const specOf = (folder: string, places: { readonly old: Place; readonly new: Place }): PairSpec => ({
  control: join(folder, 'control.db'),
  old: places.old.spec,
  new: places.new.spec,
});

interface Seed {
  readonly event: WebhookEvent;
  readonly write: WriteRecord;
}

/** What was in the old store before changeover came, and the writes, before all others, that the audit takes it for. */
function seeds(): readonly Seed[] {
  return Array.from({ length: SEEDS + RESTING }, (_, n) => {
    const key = seedKey(n);
    const write = seedWrite(n);
    const event = eventOf(key, { lastWrite: write, deliveries: 1, receivedAt: '2026-01-01T00:00:00.000Z' });
    return {
      event: event as WebhookEvent,
      write: { kind: 'create', key: keyText(key), write, start: 0, end: 1, outcome: 'applied' },
    };
  });
}

/** What a store holds in the end, as the audit wants it: is each record, whole, what some service wrote? */
export async function finalRecords(place: Place): Promise<ReadonlyMap<string, FinalRecord>> {
  const records = (await place.read()).map((record): [string, FinalRecord] => {
    const { userKey, id, lastWrite, deliveries, receivedAt } = record as unknown as WebhookEvent;
    const expected = eventOf({ userKey, id }, { lastWrite, deliveries, receivedAt });
    const whole = isDeepStrictEqual(record, expected);
    return [
      keyText({ userKey, id }),
      { write: lastWrite, count: deliveries, fault: whole ? null : `not what was written: ${JSON.stringify(record)}` },
    ];
  });
  return new Map(records);
}
