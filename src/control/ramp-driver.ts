import { type Clock, sleep, type TimerHandle } from '../core/clock.ts';
import { describeDial } from '../core/dial.ts';
import { ChangeoverError, GatesRefused } from '../core/errors.ts';
import { clean, judge, type RampFacts, shareDial } from '../core/ramp.ts';
import { subtract, type Traffic } from '../core/traffic.ts';
import type { ControlPlaneApi } from './control-plane.ts';
import type { Controller } from './controller.ts';
import type { RampRow } from './ramp-row.ts';
import { automatic, isOpen, stepTarget, whyBroken } from './ramps.ts';

export interface RampDriverParts {
  readonly plane: ControlPlaneApi;
  /** Connects to the stores when the ramp first needs them. */
  readonly controller: () => Promise<Controller>;
  readonly clock: Clock;
  /** Names this driver; nobody else may have the name. */
  readonly runner: string;
  readonly signal: AbortSignal;
  readonly onChange?: ((row: RampRow) => void) | undefined;
}

/** A driver that says nothing for so long has lost its ramp. */
const LEASE_MS = 10_000;
/** Between two looks at the fleet, whose processes report every second or so. */
const LOOK_MS = 1_000;
const LEAST_LOOK_MS = 100;
/** What is judged beside the whole step. */
const RECENT_MS = 60_000;

/**
 * Drives a ramp: one dial, step by step, each with its gates and a clean hold, and back to where it began when a budget
 * is broken. All that matters is durable: where a driver ends, another one goes on, with the step's hold from its
 * beginning in the control plane.
 *
 * @returns the ramp as it ended, or as it was when somebody else took it or the signal stopped this driver
 */
export class RampDriver {
  readonly #parts: RampDriverParts;
  readonly #readings: { readonly at: number; readonly traffic: Traffic }[] = [];

  constructor(parts: RampDriverParts) {
    this.#parts = parts;
  }

  async drive(ramp: number): Promise<RampRow | null> {
    const { plane, clock, runner, signal, onChange } = this.#parts;
    const hold = { ramp, runner };
    let last: RampRow | null = null;
    try {
      for (;;) {
        const row = await plane.holdRamp(hold, LEASE_MS, {});
        if (row === null) return await this.#ended(last, ramp);
        last = row;
        onChange?.(row);
        const moved = row.state === 'returning' ? await this.#goBack(row) : await this.#goOn(row);
        if (!moved) await sleep(clock, Math.min(LOOK_MS, Math.max(LEAST_LOOK_MS, row.plan.holdMs / 10)), signal);
        signal.throwIfAborted();
      }
    } finally {
      await plane.releaseRamp(hold).catch(() => {});
    }
  }

  /** One look; true where something moved and the next look should come at once. */
  async #goOn(row: RampRow): Promise<boolean> {
    const { plane, clock } = this.#parts;
    const { plan } = row;
    const { dials } = await plane.ruleset(row.migration);
    const present = dials[shareDial(plan.dial)];
    const target = stepTarget(row);
    const before = row.step === 0 ? row.start : (plan.steps[row.step - 1] as number);
    if (row.stepSince === null && present !== target) {
      if (present !== before) return this.#leave(row, present);
      return this.#move(row, target);
    }
    if (present !== target) return this.#leave(row, present);
    if (row.stepSince === null) return (await this.#inForce(row)) && this.#begin(row);
    const facts = await this.#facts(row);
    const checks = judge(plan, facts);
    if (checks.some(({ state }) => state === 'broken')) {
      return (await plane.turnBack(this.#hold(row), checks)) ?? true;
    }
    const elapsed = clock.now() - row.stepSince;
    const over = elapsed >= plan.holdMs && clean(checks, plan.budgets);
    if (!over) {
      await this.#note(row, { checks, note: null });
      return false;
    }
    if (row.step + 1 < plan.steps.length) {
      this.#readings.length = 0;
      await this.#note(row, { step: row.step + 1, stepSince: null, checks, note: null });
      return true;
    }
    await this.#note(row, { checks });
    await plane.endRamp(this.#hold(row), 'done', `${plan.dial} is at ${describeDial(target)}, and its hold was clean`);
    return true;
  }

  /** Whether everybody has what was published; a handover that its move left behind is gone on with. */
  async #inForce(row: RampRow): Promise<boolean> {
    const { plane, signal } = this.#parts;
    try {
      const controller = await this.#parts.controller();
      const options = { ...automatic(row), signal };
      const { revision } = await this.#keeping(row, () => controller.finishHandover(options));
      const late = await plane.behind(row.migration, revision);
      if (late.length === 0) return true;
      const names = late.map(({ name }) => name).join(', ');
      await this.#note(row, { note: `revision ${revision} is not acknowledged by: ${names}` });
    } catch (error) {
      await this.#wait(row, error);
    }
    return false;
  }

  /** The step is in force everywhere: what comes from now on is held against the budgets. */
  async #begin(row: RampRow): Promise<boolean> {
    const { plane, clock } = this.#parts;
    const traffic = await plane.traffic(row.migration);
    const { shadow } = await plane.status(row.migration);
    this.#readings.length = 0;
    await this.#note(row, {
      stepSince: clock.now(),
      marks: { ...row.marks, step: traffic, compared: shadow.compared, divergent: shadow.divergent },
      checks: [],
      note: null,
    });
    return false;
  }

  async #move(row: RampRow, to: number): Promise<boolean> {
    const { plan } = row;
    try {
      const controller = await this.#parts.controller();
      const who = automatic(row);
      const reason = `${who.reason}: step ${row.step + 1} of ${plan.steps.length}`;
      const options = { ...who, reason, force: plan.force, signal: this.#parts.signal, ramp: this.#hold(row) };
      await this.#keeping(row, () => controller.set({ dial: plan.dial, to }, options));
      return true;
    } catch (error) {
      await this.#wait(row, error);
      return false;
    }
  }

  /** Back to where the ramp began, repairing first what is dirty; again and again until that is through. */
  async #goBack(row: RampRow): Promise<boolean> {
    const { plane, signal } = this.#parts;
    const { plan, start } = row;
    const { dials } = await plane.ruleset(row.migration);
    if (dials[shareDial(plan.dial)] <= start) {
      await plane.endRamp(
        this.#hold(row),
        'returned',
        `${plan.dial} is at ${describeDial(start)} again: ${whyBroken(row.checks)}`,
      );
      return true;
    }
    try {
      const controller = await this.#parts.controller();
      const options = { ...automatic(row), force: true, signal, ramp: this.#hold(row) };
      await this.#keeping(row, () =>
        plan.dial === 'cutover'
          ? controller.rollback(options, start)
          : controller.set({ dial: plan.dial, to: start }, options),
      );
      return true;
    } catch (error) {
      await this.#wait(row, error);
      return false;
    }
  }

  /** Keeps the ramp while something is done that takes long: a repair may take longer than the lease. */
  async #keeping<T>(row: RampRow, work: () => Promise<T>): Promise<T> {
    const { clock } = this.#parts;
    let kept: Promise<void> = Promise.resolve();
    let timer: TimerHandle;
    const later = (): void => {
      timer = clock.after(LEASE_MS / 4, () => {
        kept = this.#note(row, {}).catch(() => {});
        later();
      });
    };
    later();
    try {
      return await work();
    } finally {
      timer!.cancel();
      // What is still on its way must not take again what is let go of next.
      await kept;
    }
  }

  /** Notes why it does not go on, once a reason; it is tried again at the next look. */
  async #wait(row: RampRow, error: unknown): Promise<void> {
    this.#parts.signal.throwIfAborted();
    if (!(error instanceof ChangeoverError)) throw error;
    const missing =
      error instanceof GatesRefused
        ? error.gates
            .filter(({ passed }) => !passed)
            .map(({ gate, evidence, remedy }) => `${gate}: ${evidence}${remedy === null ? '' : ` → ${remedy}`}`)
        : [];
    const what = missing.length > 0 ? `waits for its gates: ${missing.join('; ')}` : error.message;
    await this.#note(row, { note: row.state === 'returning' ? `cannot go back yet: ${what}` : what });
  }

  /** Somebody moved the dial: it is theirs. */
  async #leave(row: RampRow, present: number): Promise<boolean> {
    const note = `${row.plan.dial} was moved to ${describeDial(present)} by somebody else`;
    await this.#parts.plane.endRamp(this.#hold(row), 'stopped', note);
    return true;
  }

  async #facts(row: RampRow): Promise<RampFacts> {
    const { plane, clock } = this.#parts;
    const traffic = await plane.traffic(row.migration);
    const { shadow } = await plane.status(row.migration);
    const { begun, step, compared, divergent } = row.marks;
    const now = clock.monotonic();
    this.#readings.push({ at: now, traffic });
    while (now - ((this.#readings[1]?.at ?? now) as number) > RECENT_MS) this.#readings.shift();
    // Counts begin anew when a repair has mended something.
    const since = (count: number, mark: number): number => (shadow.compared < compared ? count : count - mark);
    return {
      step: subtract(traffic, step ?? begun),
      recent: subtract(traffic, this.#readings[0]?.traffic ?? traffic),
      ramp: subtract(traffic, begun),
      compared: since(shadow.compared, compared),
      divergent: Math.max(since(shadow.divergent, divergent), 0),
    };
  }

  async #note(row: RampRow, progress: Parameters<ControlPlaneApi['holdRamp']>[2]): Promise<void> {
    await this.#parts.plane.holdRamp(this.#hold(row), LEASE_MS, progress);
  }

  async #ended(last: RampRow | null, ramp: number): Promise<RampRow | null> {
    if (last === null) return null;
    const rows = await this.#parts.plane.ramps(last.migration, 20);
    return rows.find(({ id }) => id === ramp) ?? last;
  }

  #hold = ({ id }: RampRow): { readonly ramp: number; readonly runner: string } => ({
    ramp: id,
    runner: this.#parts.runner,
  });
}

/** A ramp that nobody drives is taken up so soon. */
const TAKE_MS = 1_000;

/**
 * Drives whatever ramps nobody else drives, as a server does; any number of keepers share the work by their leases.
 */
export class RampKeeper {
  readonly #parts: Omit<RampDriverParts, 'controller' | 'signal' | 'onChange'>;
  readonly #names: readonly string[];
  readonly #controller: (migration: string) => Promise<Controller>;
  readonly #failed: (error: unknown, migration: string) => void;
  readonly #stop = new AbortController();
  readonly #driven = new Map<number, Promise<void>>();
  #loop: Promise<void> | undefined;

  constructor(
    parts: Omit<RampDriverParts, 'controller' | 'signal' | 'onChange'>,
    names: readonly string[],
    controller: (migration: string) => Promise<Controller>,
    failed: (error: unknown, migration: string) => void,
  ) {
    this.#parts = parts;
    this.#names = names;
    this.#controller = controller;
    this.#failed = failed;
  }

  start(): void {
    this.#loop ??= this.#run();
  }

  /** Lets go of all ramps; they go on where somebody else takes them. */
  async close(): Promise<void> {
    this.#stop.abort();
    await this.#loop;
    await Promise.all(this.#driven.values());
  }

  async #run(): Promise<void> {
    const { plane, clock, runner } = this.#parts;
    const { signal } = this.#stop;
    while (!signal.aborted) {
      try {
        for (const row of await plane.idleRamps(runner, this.#names)) {
          if (!this.#driven.has(row.id) && isOpen(row)) this.#driven.set(row.id, this.#drive(row));
        }
      } catch {
        // The control plane is away; it is asked again.
      }
      await sleep(clock, TAKE_MS, signal).catch(() => {});
    }
  }

  async #drive({ id, migration }: RampRow): Promise<void> {
    try {
      const controller = () => this.#controller(migration);
      await new RampDriver({ ...this.#parts, controller, signal: this.#stop.signal }).drive(id);
    } catch (error) {
      if (!this.#stop.signal.aborted) this.#failed(error, migration);
    } finally {
      this.#driven.delete(id);
    }
  }
}
