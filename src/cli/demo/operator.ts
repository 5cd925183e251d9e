import type { VerifyReport } from '../../../verify/verify-report.ts';
import type { Controller, MoveResult } from '../../control/controller.ts';
import type { MigrationStatus } from '../../control/status.ts';
import { parseDialValue } from '../../core/dial.ts';
import { FleetTimeout, GatesRefused, HandoverInProgress } from '../../core/errors.ts';
import type { Settings } from '../../core/settings.ts';
import type { Control } from '../../service/control.ts';
import { MIGRATION } from './demo-config.ts';
import { failedText } from './latency.ts';
import { count, duration, type Narrator, plural } from './narrator.ts';
import type { Workplace } from './workplace.ts';

/** What stands in the way for a moment is repaired; an operator tries again. */
const TRIES = 4;
/** A handover is undone after a second, which a busy machine may need for itself many times over. */
const TRIES_IN_TIME = 30;
/** Looks at what differs: shorter than the command's own, as everything is on one host. */
const RECHECK_MS = [50, 150, 300] as const;
/** Comparisons that say something. */
const COMPARISONS = 150;

/** Types commands, waits for what comes of them and tells it. */
export class Operator {
  readonly control: Control;
  readonly #controller: Controller;
  readonly #workplace: Workplace;
  readonly #narrator: Narrator;
  readonly #signal: AbortSignal;
  readonly #pausesMs: number[] = [];

  private constructor(
    control: Control,
    controller: Controller,
    workplace: Workplace,
    narrator: Narrator,
    signal: AbortSignal,
  ) {
    this.control = control;
    this.#controller = controller;
    this.#workplace = workplace;
    this.#narrator = narrator;
    this.#signal = signal;
  }

  static async begin(
    control: Control,
    workplace: Workplace,
    narrator: Narrator,
    signal: AbortSignal,
  ): Promise<Operator> {
    return new Operator(control, await control.migration(MIGRATION), workplace, narrator, signal);
  }

  /** How long writes waited in each handover. */
  get pausesMs(): readonly number[] {
    return this.#pausesMs;
  }

  status(): Promise<MigrationStatus> {
    return this.control.plane.status(MIGRATION);
  }

  /** Resolves when the status is such. */
  async when(
    what: string,
    condition: (status: MigrationStatus) => boolean | Promise<boolean>,
  ): Promise<MigrationStatus> {
    let status = await this.status();
    await this.#workplace.until(what, async () => {
      status = await this.status();
      return condition(status);
    });
    return status;
  }

  async prepare(): Promise<void> {
    this.#type('prepare');
    const { old, new: fresh } = await this.control.prepare(MIGRATION);
    this.#narrator.say(`${old.actions.length} done on SQLite, ${fresh.actions.length} on DynamoDB`);
  }

  /** `typed` is how the command line says the change. */
  async setting(typed: string, change: Partial<Settings>): Promise<void> {
    this.#type(`set ${MIGRATION} ${typed}`);
    const begun = performance.now();
    const { revision } = await this.control.plane.changeSettings(MIGRATION, change, this.#why(typed));
    await this.#controller.waitAcknowledged(revision, this.#signal);
    await this.#inForce(performance.now() - begun);
  }

  async cohort(units: readonly string[], cohort: 'canary'): Promise<void> {
    for (const unit of units) {
      this.#type(`cohort ${MIGRATION} ${unit} ${cohort}`);
      const begun = performance.now();
      await this.#controller.cohort(unit, cohort, this.#why('canaries first'));
      await this.#inForce(performance.now() - begun);
    }
  }

  async dualWrite(value: string | number): Promise<void> {
    await this.#share('dual-write', value);
  }

  async shadowRead(value: string | number): Promise<void> {
    await this.#share('shadow-read', value);
  }

  /** The gates' refusal, or null when they let the cutover pass. */
  async tryCutover(value: string | number): Promise<GatesRefused | null> {
    this.#type(`set ${MIGRATION} cutover ${value}`);
    try {
      const { pauseMs } = await this.#controller.set(
        { dial: 'cutover', to: parseDialValue(value) },
        this.#why('too early'),
      );
      this.#narrator.say(`done, writes waited ${duration(pauseMs ?? 0)}`);
      return null;
    } catch (error) {
      if (error instanceof GatesRefused) return error;
      throw error;
    }
  }

  /** Moves authority up to a share; callers' slowest answer meanwhile is told too. */
  async cutover(value: string | number): Promise<MoveResult> {
    await this.#workplace.samples();
    const result = await this.#insist(`set ${MIGRATION} cutover ${value}`, () =>
      this.#controller.set({ dial: 'cutover', to: parseDialValue(value) }, this.#why('forward')),
    );
    await this.#tellHandover(result);
    return result;
  }

  async rollback(): Promise<MoveResult> {
    await this.#workplace.samples();
    const result = await this.#insist(`rollback ${MIGRATION}`, () => this.#controller.rollback(this.#why('a drill')));
    await this.#tellHandover(result);
    return result;
  }

  async retireOld(): Promise<void> {
    const result = await this.#insist(`set ${MIGRATION} retire-old yes`, () =>
      this.#controller.set({ dial: 'retire-old', to: true }, this.#why('nobody needs it any more')),
    );
    this.#narrator.say(`in force after ${duration(result.tookMs)}: SQLite gets no more writes`);
  }

  /** Repairs until nothing is dirty; says nothing where nothing is. What stays dirty is for the gates to refuse. */
  async settle(): Promise<void> {
    for (let round = 0; round < TRIES; round += 1) {
      const { dirty } = await this.status();
      if (dirty.ranges + dirty.rejected === 0) return;
      await this.repair();
    }
  }

  async repair(): Promise<void> {
    this.#type(`repair ${MIGRATION}`);
    const begun = performance.now();
    const { applied, cleared, restamped, divergent } = await this.#controller.repair(this.#why('repair'));
    const parts = [
      ...(restamped > 0 ? [`${plural(restamped, 'divergent record')} written anew`] : []),
      ...(cleared > 0 ? [`${plural(cleared, 'dirty entry', 'dirty entries')} gone`] : []),
      ...(applied > 0 ? [`${plural(applied, 'version')} brought over`] : []),
      ...(divergent > 0 ? [`${plural(divergent, 'record')} still differ`] : []),
    ];
    this.#narrator.say(`${parts.join(', ') || 'nothing was wrong'} (${duration(performance.now() - begun)})`);
  }

  async backfill(): Promise<void> {
    this.#type(`backfill ${MIGRATION}`);
    const begun = performance.now();
    const rate = (n: number): string => `${count((n * 1_000) / Math.max(1, performance.now() - begun))}/s`;
    const { scanned, applied, skipped } = await this.#controller.backfill({
      ...this.#why('backfill'),
      onProgress: ({ scanned: n, estimate }) =>
        this.#narrator.progress(n / Math.max(estimate ?? n, n, 1), `${plural(n, 'record')}, ${rate(n)}`),
    });
    this.#narrator.progressEnd();
    this.#narrator.say(
      `${count(applied)} of ${plural(scanned, 'record')} copied, ${count(skipped)} were there already: ${duration(performance.now() - begun)}, ${rate(scanned)}`,
    );
  }

  /**
   * Verifies until the verdict is no question any more: what is dirty or divergent is repaired in between.
   * @returns the last verdict, and how many records differed on the way
   */
  async prove(): Promise<{ readonly consistent: boolean; readonly found: number }> {
    let found = 0;
    for (let round = 1; ; round += 1) {
      await this.settle();
      const { verdict, counts } = await this.verify();
      found += counts.missing + counts.extra + counts.different + counts.stale;
      if (verdict === 'consistent') return { consistent: true, found };
      // A mirror that was slow on a busy machine may be behind again; what differs a second time is another fault.
      if (round === TRIES || (round > 1 && counts.different > 0)) return { consistent: false, found };
      if (verdict === 'divergent') await this.repair();
    }
  }

  async verify(): Promise<VerifyReport> {
    this.#type(`verify ${MIGRATION}`);
    const begun = performance.now();
    const report = await this.#controller.verify({ ...this.#why('verify'), recheckMs: RECHECK_MS });
    const { counts, verdict, reasons } = report;
    const differ = counts.missing + counts.extra + counts.different + counts.stale;
    const text = `${plural(counts.equal, 'record')} equal${differ > 0 ? `, ${count(differ)} differ` : ''}`;
    this.#narrator.say(`${verdict}: ${text} (${duration(performance.now() - begun)})`);
    for (const reason of reasons) this.#narrator.say(`not certain: ${reason}`);
    return report;
  }

  #why(reason: string): { readonly actor: string; readonly reason: string; readonly signal: AbortSignal } {
    return { actor: 'demo', reason, signal: this.#signal };
  }

  #type(command: string): void {
    this.#narrator.command(`changeover ${command}`);
  }

  async #share(dial: 'dual-write' | 'shadow-read', value: string | number): Promise<void> {
    const move = { dial, to: parseDialValue(value) };
    const { tookMs } = await this.#insist(
      `set ${MIGRATION} ${dial} ${value}`,
      () => this.#controller.set(move, this.#why(`${dial} ${value}`)),
      { settled: false },
    );
    await this.#inForce(tookMs);
  }

  async #inForce(ms: number): Promise<void> {
    const { fleet } = await this.status();
    this.#narrator.say(`in force in ${plural(fleet.nodes, 'process', 'processes')} after ${duration(ms)}`);
  }

  /** What stands in the way for a moment is waited for or repaired, as the gates' remedies say; then once more. */
  async #insist(
    command: string,
    move: () => Promise<MoveResult>,
    { settled = true }: { readonly settled?: boolean } = {},
  ): Promise<MoveResult> {
    for (let tries = 1; ; tries += 1) {
      if (settled) await this.settle();
      this.#type(command);
      try {
        return await move();
      } catch (error) {
        const refused = error instanceof GatesRefused ? error.gates.filter(({ passed }) => !passed) : [];
        const slow = error instanceof HandoverInProgress || error instanceof FleetTimeout;
        const most = slow ? TRIES_IN_TIME : TRIES;
        if ((!slow && refused.length === 0) || tries >= most || refused.some(({ gate }) => !MENDABLE.has(gate)))
          throw error;
        const names = refused.map(({ gate }) => gate);
        this.#narrator.say(names.length === 0 ? 'not in time; once more' : `not yet: ${names.join(', ')}`);
        if (names.includes('divergences')) await this.repair();
        if (names.includes('shadow-reads')) await this.compareAnew();
      }
    }
  }

  /** Begins to count comparisons anew, and waits for enough of them. */
  async compareAnew(): Promise<void> {
    if ((await this.status()).dials.shadowRead !== 0) await this.shadowRead(0);
    await this.shadowRead(100);
    await this.compared();
  }

  /** Resolves when enough reads were compared since a dial last moved. */
  async compared(): Promise<void> {
    await this.when('enough reads are compared', ({ shadow }) => shadow.compared >= COMPARISONS);
  }

  async #tellHandover({ pauseMs }: MoveResult): Promise<void> {
    const met = await this.#workplace.experience();
    this.#pausesMs.push(pauseMs ?? 0);
    this.#narrator.say(
      `writes paused ${duration(pauseMs ?? 0)}, slowest call ${duration(met.slowestMs)}${met.failed === 0 ? '' : `, ${failedText(met)}`}`,
    );
  }
}

/** Gates that a moment, a repair or more comparisons open; `constraints` where a store was too busy to be looked at. */
const MENDABLE: ReadonlySet<string> = new Set([
  ...['dirty', 'fleet', 'handover', 'divergences', 'shadow-reads', 'constraints'],
]);
