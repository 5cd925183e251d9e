import { setImmediate as nextTurn } from 'node:timers/promises';

const SHARE_MS = 4;

/**
 * Keeps a caller that reads in a loop from starving everybody else: SQLite answers at once, so `await` alone never
 * lets timers and sockets have their turn.
 */
export class EventLoopShare {
  #since = 0;
  #counting = false;

  /** Waits for the next turn of the event loop if this one was used up. */
  async take(): Promise<void> {
    if (!this.#counting) {
      this.#counting = true;
      this.#since = performance.now();
      setImmediate(() => {
        this.#counting = false;
      });
    } else if (performance.now() - this.#since > SHARE_MS) {
      await nextTurn();
    }
  }
}
