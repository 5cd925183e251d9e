import type { ControlPlaneApi } from '../control/control-plane.ts';
import type { Clock, TimerHandle } from '../core/clock.ts';
import type { Logger } from '../core/telemetry.ts';

/** How often the fleet is sampled; several servers take turns. */
const STEP_MS = 5_000;
/** For no more than a tenth of the time, however large the fleet. */
const SHARE = 10;
/** Later than the slot's begin: the heartbeats of a second are in. */
const LATER_MS = 250;

/** Has the control plane sample the fleet as each slot of time begins. */
export class Sampler {
  readonly #plane: ControlPlaneApi;
  readonly #clock: Clock;
  readonly #logger: Logger;
  #timer: TimerHandle | undefined;
  #running: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(plane: ControlPlaneApi, clock: Clock, logger: Logger) {
    this.#plane = plane;
    this.#clock = clock;
    this.#logger = logger;
    this.#schedule(0);
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#timer?.cancel();
    await this.#running;
  }

  #schedule(ms: number): void {
    this.#timer = this.#clock.after(
      ms,
      () => {
        this.#running = this.#sample();
      },
      true,
    );
  }

  async #sample(): Promise<void> {
    const begun = this.#clock.monotonic();
    try {
      await this.#plane.sample();
    } catch (error) {
      // A gap in a chart; whoever needs the control plane says so louder.
      if (!this.#closed) this.#logger.warn({ err: error }, 'the fleet could not be sampled');
    }
    if (this.#closed) return;
    const tookMs = this.#clock.monotonic() - begun;
    this.#schedule(Math.max(STEP_MS - (this.#clock.now() % STEP_MS) + LATER_MS, tookMs * SHARE));
  }
}
