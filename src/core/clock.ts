/** Time, injected so that tests and the simulation own it. */
export interface Clock {
  /** Wall time in ms since 1970; may jump. */
  now(): number;
  /** Milliseconds of a clock that never goes back; its zero means nothing. */
  monotonic(): number;
  /** Runs `fn` once after `ms`; the handle cancels it. A `background` timer does not keep the process alive. */
  after(ms: number, fn: () => void, background?: boolean): TimerHandle;
}

export interface TimerHandle {
  cancel(): void;
}

/** A uniform random number in [0, 1), injected for the same reason. */
export type Random = () => number;

/** The clock of the machine. */
export const systemClock: Clock = Object.freeze({
  now: () => Date.now(),
  monotonic: () => performance.now(),
  after(ms: number, fn: () => void, background = false): TimerHandle {
    const timer = setTimeout(fn, ms);
    if (background) timer.unref();
    return { cancel: () => clearTimeout(timer) };
  },
});

/** Resolves after `ms`, or rejects with the signal's reason as soon as it aborts. */
export function sleep(clock: Clock, ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(signal.reason);
      return;
    }
    const onAbort = (): void => {
      timer.cancel();
      reject(signal?.reason);
    };
    const timer = clock.after(ms, () => {
      signal?.removeEventListener('abort', onAbort);
      resolve();
    });
    signal?.addEventListener('abort', onAbort, { once: true });
  });
}
