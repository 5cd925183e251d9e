import type { ControlPlaneApi } from '../control/control-plane.ts';
import type { Controller } from '../control/controller.ts';
import type { Clock, Random, TimerHandle } from '../core/clock.ts';
import type { Logger } from '../core/telemetry.ts';

/** A handover older than this has lost its driver: the budget of every driver is well below it. */
const ABANDONED_MS = 4_000;
const EVERY_MS = 2_000;

const authorship = { actor: 'changeover', reason: 'nobody else was seeing to it' };

/**
 * Lets any service process clear up behind what died: processes that ended without leaving are declared dead, and a
 * handover whose driver is gone is driven to its end or undone, so that no write waits for a person.
 */
export class Janitor {
  readonly #plane: ControlPlaneApi;
  readonly #controllers: readonly Controller[];
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #logger: Logger;
  readonly #stop = new AbortController();
  #timer: TimerHandle | undefined;
  #running: Promise<void> = Promise.resolve();

  constructor(
    plane: ControlPlaneApi,
    controllers: readonly Controller[],
    clock: Clock,
    random: Random,
    logger: Logger,
  ) {
    this.#plane = plane;
    this.#controllers = controllers;
    this.#clock = clock;
    this.#random = random;
    this.#logger = logger;
    this.#schedule();
  }

  async close(): Promise<void> {
    this.#stop.abort();
    this.#timer?.cancel();
    await this.#running;
  }

  #schedule(): void {
    if (this.#stop.signal.aborted) return;
    const run = (): void => {
      this.#running = this.#round().finally(() => this.#schedule());
    };
    this.#timer = this.#clock.after(EVERY_MS * (0.5 + this.#random()), run, true);
  }

  async #round(): Promise<void> {
    const { signal } = this.#stop;
    for (const controller of this.#controllers) {
      if (signal.aborted) return;
      try {
        await controller.tend(authorship);
        const { handover } = await this.#plane.ruleset(controller.migration);
        if (handover === null || this.#clock.now() - handover.startedAt < ABANDONED_MS) continue;
        this.#logger.warn({ migration: controller.migration }, 'going on with a handover that nobody drives');
        await controller.finishHandover({ ...authorship, signal });
      } catch (error) {
        if (!signal.aborted) this.#logger.warn({ err: error, migration: controller.migration }, 'could not clear up');
      }
    }
  }
}
