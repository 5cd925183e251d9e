import { type Clock, type Random, sleep } from '../core/clock.ts';
import { ControlUnavailable } from '../core/errors.ts';

export interface OutwaitContext {
  readonly clock: Clock;
  readonly random: Random;
  readonly signal?: AbortSignal | undefined;
}

/** A control plane that is away for a moment costs no replay; its lease outlives these tries. */
export const OUTWAIT_ATTEMPTS = 6;
const FIRST_BACKOFF_MS = 100;

/**
 * Asks the control plane, again with growing pauses while it is away.
 * @throws ControlUnavailable when it stays away, and whatever else it says at once
 */
export async function outwait<T>(
  { clock, random, signal }: OutwaitContext,
  ask: () => Promise<T>,
  attempts = OUTWAIT_ATTEMPTS,
): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await ask();
    } catch (error) {
      if (!(error instanceof ControlUnavailable) || attempt >= attempts) throw error;
      await sleep(clock, FIRST_BACKOFF_MS * 2 ** (attempt - 1) * (0.5 + random()), signal);
    }
  }
}
