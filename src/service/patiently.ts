import { type Clock, type Random, sleep } from '../core/clock.ts';
import { ControlUnavailable } from '../core/errors.ts';
import type { Logger } from '../core/telemetry.ts';

/** So long a process that starts waits for a control plane that is busy, restarts or fails over, ms. */
const PATIENCE_MS = 10_000;
const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 1_000;

/** Calls again, after random pauses, while the control plane is away; all calls of one start share its time. */
export class Patiently {
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #logger: Logger;
  readonly #end: number;

  constructor(clock: Clock, random: Random, logger: Logger) {
    this.#clock = clock;
    this.#random = random;
    this.#logger = logger;
    this.#end = clock.monotonic() + PATIENCE_MS;
  }

  /** @throws what the call throws; ControlUnavailable only once the time is over */
  async call<T>(call: () => Promise<T>): Promise<T> {
    for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS)) {
      try {
        return await call();
      } catch (error) {
        const leftMs = this.#end - this.#clock.monotonic();
        if (!(error instanceof ControlUnavailable) || leftMs <= 0) throw error;
        this.#logger.warn({ err: error, leftMs: Math.round(leftMs) }, 'the control plane is away; trying again');
        await sleep(this.#clock, Math.min(leftMs, (0.5 + this.#random() / 2) * pauseMs));
      }
    }
  }
}
