import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { isDeepStrictEqual } from 'node:util';
import type { FinalRecord } from '../../src/cli/demo/audit.ts';
import { Child } from '../../src/cli/demo/child.ts';
import { eventOf, seedKey, seedWrite, type WebhookEvent } from '../../src/cli/demo/events.ts';
import { type History, keyText, readJournals, type WriteRecord } from '../../src/cli/demo/journal.ts';
import type { TrafficSample } from '../../src/cli/demo/traffic.ts';
import type { Controller, MoveResult } from '../../src/control/controller.ts';
import type { MigrationStatus } from '../../src/control/status.ts';
import { type DialName, parseDialValue } from '../../src/core/dial.ts';
import { FleetTimeout, GatesRefused, HandoverInProgress } from '../../src/core/errors.ts';
import { type Control, control } from '../../src/service/control.ts';
import type { VerifyReport } from '../../verify/verify-report.ts';
import type { Place } from './place.ts';
import { configOf, MIGRATION, type PairSpec } from './place-spec.ts';
import type { ServiceOrders } from './service.ts';

const WHY = { actor: 'test', reason: 'a migration from end to end' } as const;
const SERVICES = 2;
const SEEDS = 300;
const OPERATIONS_PER_SECOND = 50;
/** What stands in the way for a moment is waited for or repaired, as the gates' remedies say; then once more. */
const TRIES = 6;
/** A handover is undone after a second, which a busy machine may need for itself many times over. */
const TRIES_IN_TIME = 60;
const MENDABLE: ReadonlySet<string> = new Set(['dirty', 'fleet', 'handover', 'divergences', 'shadow-reads']);
const COMPARISONS = 40;
const RECHECK_MS = [50, 150, 300] as const;

/** An old store with events in it, a new one, services that use them, and an operator. */
export class Pair {
  readonly old: Place;
  readonly new: Place;
  readonly #folder: string;
  readonly #spec: PairSpec;
  readonly #control: Control;
  readonly #services: Child[] = [];
  readonly #journals: string[] = [];
  #controller: Controller | undefined;

  private constructor(folder: string, places: { readonly old: Place; readonly new: Place }, operations: Control) {
    this.#folder = folder;
    this.old = places.old;
    this.new = places.new;
    this.#spec = specOf(folder, places);
    this.#control = operations;
  }

  static async open(makeOld: (folder: string) => Promise<Place>, makeNew: () => Promise<Place>): Promise<Pair> {
    const folder = mkdtempSync(join(tmpdir(), 'changeover-pair-'));
    const places = { old: await makeOld(folder), new: await makeNew() };
    await places.old.seed(seeds().map(({ event }) => event));
    return new Pair(folder, places, await control(configOf(specOf(folder, places))));
  }

  async startServices(): Promise<void> {
    const script = pathToFileURL(join(import.meta.dirname, 'service.ts')).href;
    for (let n = 1; n <= SERVICES; n += 1) {
      const label = `s${n}`;
      const journal = join(this.#folder, `${label}.jsonl`);
      const orders: ServiceOrders = {
        pair: this.#spec,
        journal,
        label,
        seeds: SEEDS,
        operationsPerSecond: OPERATIONS_PER_SECOND,
      };
      this.#journals.push(journal);
      this.#services.push(new Child(label, script, [JSON.stringify(orders)], join(this.#folder, `${label}.log`)));
    }
    await Promise.all(this.#services.map((service) => service.ready()));
  }

  async stopServices(): Promise<void> {
    await Promise.all(this.#services.map((service) => service.ask('stop')));
    await Promise.all(this.#services.map((service) => service.kill()));
  }

  /** Codes of the calls that failed since the last look. */
  async failures(): Promise<Readonly<Record<string, number>>> {
    const samples = (await Promise.all(this.#services.map((service) => service.ask('take')))) as TrafficSample[];
    return Object.assign({}, ...samples.map(({ errors }) => errors));
  }

  async prepare(): Promise<void> {
    await this.#control.prepare(MIGRATION);
    this.#controller = await this.#control.migration(MIGRATION);
    await this.#control.plane.changeSettings(MIGRATION, { noOutsideWriters: true }, WHY);
    await this.#acceptRisks();
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

  async backfill(): ReturnType<Controller['backfill']> {
    return this.#operator.backfill(WHY);
  }

  /** Verifies until the verdict is no question any more: what is dirty or divergent is repaired in between. */
  async verify(): Promise<VerifyReport> {
    for (let tries = 1; ; tries += 1) {
      await this.#settle();
      const report = await this.#operator.verify({ ...WHY, recheckMs: RECHECK_MS });
      if (report.verdict === 'consistent' || tries === TRIES) return report;
      if (report.verdict === 'divergent') await this.#operator.repair(WHY);
    }
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
    await Promise.all(this.#services.map((service) => service.kill()));
    await this.#control.close();
    for (const place of [this.old, this.new]) await place.drop();
    rmSync(this.#folder, { recursive: true, force: true });
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
        const slow = error instanceof HandoverInProgress || error instanceof FleetTimeout;
        if (!slow && refused.length === 0) throw error;
        if (tries === (slow ? TRIES_IN_TIME : TRIES) || refused.some(({ gate }) => !MENDABLE.has(gate))) throw error;
        const names = refused.map(({ gate }) => gate);
        if (names.includes('divergences')) await this.#operator.repair(WHY);
        if (names.includes('shadow-reads')) await this.compared();
      }
    }
  }
}

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
  return Array.from({ length: SEEDS }, (_, n) => {
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
