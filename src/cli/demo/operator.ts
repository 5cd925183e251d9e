import type { VerifyReport } from '../../../verify/verify-report.ts';
import type { Controller, MoveResult } from '../../control/controller.ts';
import type { MigrationStatus } from '../../control/status.ts';
import { parseDialValue } from '../../core/dial.ts';
import { GatesRefused, HandoverInProgress } from '../../core/errors.ts';
import type { Settings } from '../../core/settings.ts';
import type { Control } from '../../service/control.ts';
import { MIGRATION } from './demo-config.ts';
import { count, counted, duration, type Narrator } from './narrator.ts';
import type { Workplace } from './workplace.ts';

/** A handover that does not get through on a busy machine is undone; an operator tries again. */
const TRIES = 4;
/** Looks at what differs: shorter than the command's own, as everything is on one host. */
const RECHECK_MS = [50, 200, 500] as const;

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
    for (const [side, { actions }] of [['old', old] as const, ['new', fresh] as const]) {
      this.#narrator.say(`${side} store: ${actions.length === 0 ? 'nothing to do' : headline(actions)}`);
    }
  }

  async setting(typed: string, change: Partial<Settings>): Promise<void> {
    this.#type(`set ${MIGRATION} ${typed}`);
    const { revision } = await this.control.plane.changeSettings(MIGRATION, change, this.#why(typed));
    await this.#controller.waitAcknowledged(revision, this.#signal);
  }

  async cohort(units: readonly string[], cohort: 'canary'): Promise<void> {
    for (const unit of units) {
      this.#type(`cohort ${MIGRATION} ${unit} ${cohort}`);
      await this.#controller.cohort(unit, cohort, this.#why('canaries first'));
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
    this.#narrator.say(`in force after ${duration(result.tookMs)}: the old store gets no writes any more`);
  }

  /** Repairs until nothing is dirty; says nothing when nothing is. Gives how many records were put. */
  async settle(): Promise<void> {
    for (let round = 0; round < TRIES; round += 1) {
      const { dirty } = await this.status();
      if (dirty.ranges + dirty.rejected === 0) return;
      await this.repair();
    }
    await this.when('nothing is dirty', ({ dirty }) => dirty.ranges + dirty.rejected === 0);
  }

  async repair(): Promise<void> {
    this.#type(`repair ${MIGRATION}`);
    const begun = performance.now();
    const { applied, cleared, restamped, divergent } = await this.#controller.repair(this.#why('repair'));
    const parts = [
      ...(cleared > 0
        ? [`${counted(cleared, 'line')} of dirt cleared, ${counted(applied, 'missing version')} put`]
        : []),
      ...(restamped > 0 ? [`${counted(restamped, 'divergent record')} written anew from the old store`] : []),
      ...(divergent > 0 ? [`${counted(divergent, 'record')} still differ`] : []),
    ];
    this.#narrator.say(`${parts.join('; ') || 'nothing was wrong'} (${duration(performance.now() - begun)})`);
  }

  async backfill(): Promise<void> {
    this.#type(`backfill ${MIGRATION}`);
    const begun = performance.now();
    const rate = (n: number): string => `${count((n * 1_000) / Math.max(1, performance.now() - begun))}/s`;
    const { scanned, applied, skipped } = await this.#controller.backfill({
      ...this.#why('backfill'),
      onProgress: ({ scanned: n, estimate }) =>
        this.#narrator.progress(n / Math.max(estimate ?? n, n, 1), `${counted(n, 'record')}, ${rate(n)}`),
    });
    this.#narrator.progressEnd();
    this.#narrator.say(
      `${counted(scanned, 'record')} looked at, ${count(applied)} copied, ${count(skipped)} were there already: ${duration(performance.now() - begun)}, ${rate(scanned)}`,
    );
  }

  async verify(): Promise<VerifyReport> {
    this.#type(`verify ${MIGRATION}`);
    const begun = performance.now();
    const report = await this.#controller.verify({ ...this.#why('verify'), recheckMs: RECHECK_MS });
    const { counts, verdict, reasons } = report;
    const differ = counts.missing + counts.extra + counts.different + counts.stale;
    const text = `${counted(counts.equal, 'record')} equal${differ > 0 ? `, ${count(differ)} differ` : ''}`;
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
    this.#type(`set ${MIGRATION} ${dial} ${value}`);
    const { tookMs } = await this.#controller.set({ dial, to: parseDialValue(value) }, this.#why(`${dial} ${value}`));
    const { fleet } = await this.status();
    this.#narrator.say(`in force in all ${fleet.nodes} processes after ${duration(tookMs)}`);
  }

  /** Handovers need a moment without dirt; what got dirty meanwhile is repaired before the next try. */
  async #insist(command: string, move: () => Promise<MoveResult>): Promise<MoveResult> {
    for (let tries = 1; ; tries += 1) {
      await this.settle();
      this.#type(command);
      try {
        return await move();
      } catch (error) {
        const passing =
          error instanceof HandoverInProgress ||
          (error instanceof GatesRefused && error.gates.every(({ gate, passed }) => passed || PASSING.has(gate)));
        if (!passing || tries === TRIES) throw error;
        this.#narrator.say(`${error.message}; once more`);
      }
    }
  }

  async #tellHandover({ pauseMs, tookMs }: MoveResult): Promise<void> {
    const { slowestMs, failed } = await this.#workplace.experience();
    this.#pausesMs.push(pauseMs ?? 0);
    this.#narrator.say(
      `handed over in ${duration(tookMs)}; writes of the range paused ${duration(pauseMs ?? 0)}, slowest call meanwhile ${duration(slowestMs)}${failed > 0 ? `, ${counted(failed, 'call')} failed` : ''}`,
    );
  }
}

/** Gates that a moment or a repair opens. */
const PASSING: ReadonlySet<string> = new Set(['dirty', 'fleet', 'handover']);

const HEADLINE = 80;

function headline(actions: readonly string[]): string {
  const first = (actions[0] ?? '').replace(/\s+/g, ' ');
  const short = first.length > HEADLINE ? `${first.slice(0, HEADLINE)}…` : first;
  return actions.length === 1 ? short : `${short} (and ${actions.length - 1} more)`;
}
