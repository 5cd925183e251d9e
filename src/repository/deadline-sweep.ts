import type { Clock, TimerHandle } from '../core/clock.ts';
import { StoreFault } from '../core/errors.ts';
import type { CallMeter } from './call-meter.ts';

/**
 * A store call that may have to be given up: one link of the list of all of them. Whoever makes very many is its own
 * link, so that a call is one object, and keeps the {@link Latest} of them. No base class: a derived object was measured
 * to cost twice as much to make.
 */
export interface Watched {
  /** Where it stands in {@link DeadlineSweep}; nobody else's business. */
  at: number;
  newer: Watched | null;
  older: Watched | null;
  watching: boolean;
  meter: CallMeter | null;
  begun: number;

  /** The time is over; an answer that comes later is dropped. May not throw. */
  giveUp(): void;
}

/**
 * Holds the latest object of a class that every call makes one of. Where a collection finds none, as in a quiet moment,
 * V8 forgets what they look like and throws away all code that it had made fast for them: the next 20,000 puts were
 * measured to take half as long again.
 */
export interface Latest<T> {
  latest: T | null;
}

/** A call whose outcome goes to functions. */
export class Call implements Watched {
  at = 0;
  newer: Watched | null = null;
  older: Watched | null = null;
  watching = false;
  meter: CallMeter | null = null;
  begun = -1;
  readonly #ms: number;
  readonly #what: string;
  readonly #failed: (error: unknown) => void;

  constructor(ms: number, what: string, failed: (error: unknown) => void) {
    this.#ms = ms;
    this.#what = what;
    this.#failed = failed;
  }

  giveUp(): void {
    this.#failed(noAnswer(this.#what, this.#ms));
  }
}

/** What a call comes to that was given up. */
export const noAnswer = (what: string, ms: number): StoreFault =>
  new StoreFault(`${what} did not answer within ${ms} ms`, { outcome: 'unknown' });

/**
 * Gives up on store calls that do not answer, with one timer for all of them: a timer a call was measured to cost more
 * than the whole rest of a routed read. The clock is read once a step, so a call may wait up to two steps longer.
 */
export class DeadlineSweep implements Latest<Watched> {
  latest: Watched | null = null;
  readonly #clock: Clock;
  readonly #stepMs: number;
  #newest: Watched | null = null;
  #timer: TimerHandle | undefined;
  /** The time of the last step, while the timer runs. */
  #now = 0;
  /** How long calls have been watched, in whole ms; time in which the process did not run counts for no call. */
  #watched = 0;

  constructor(clock: Clock, stepMs = 20) {
    this.#clock = clock;
    this.#stepMs = stepMs;
  }

  /** The monotonic time at most a step ago: for measuring long times without reading a clock a call. */
  recent(): number {
    if (this.#timer === undefined) this.#arm(this.#clock.monotonic());
    return this.#now;
  }

  /**
   * The outcome of `call`, or after `ms` (rounded up to a step) a StoreFault of unknown outcome. What the call answers
   * later is dropped.
   */
  bound<T>(call: Promise<T>, ms: number, what: string, meter: CallMeter | null = null): Promise<T> {
    return new Promise<T>((resolve, reject) => this.watch(call, ms, what, resolve, reject, meter));
  }

  /** The same without a promise: calls exactly one of the two functions, once; neither may throw. `meter` counts it. */
  watch<T>(
    call: Promise<T>,
    ms: number,
    what: string,
    answered: (value: T) => void,
    failed: (error: unknown) => void,
    meter: CallMeter | null = null,
  ): void {
    const watched = new Call(ms, what, failed);
    this.latest = watched;
    this.begin(watched, ms, meter);
    call.then(
      (value) => {
        if (this.end(watched, false)) answered(value);
      },
      (error: unknown) => {
        if (this.end(watched, true)) failed(error);
      },
    );
  }

  /** The same for whoever brings the link: gives it up after `ms`, unless `end` is called before. */
  begin(call: Watched, ms: number, meter: CallMeter | null): void {
    this.recent();
    call.meter = meter;
    if (meter !== null) call.begun = meter.begin();
    // Whole numbers: others would be boxed, for every call.
    call.at = this.#watched + this.#stepMs + Math.ceil(ms);
    call.watching = true;
    const older = this.#newest;
    call.older = older;
    if (older !== null) older.newer = call;
    this.#newest = call;
  }

  /** The call has its answer; false when it was given up before, and the answer is to be dropped. */
  end(call: Watched, failed: boolean): boolean {
    if (!call.watching) return false;
    call.watching = false;
    const { newer, older } = call;
    if (newer === null) this.#newest = older;
    else newer.older = older;
    if (older !== null) older.newer = newer;
    call.newer = null;
    call.older = null;
    call.meter?.end(call.begun, failed);
    return true;
  }

  /** Stops the timer; calls still waiting are given up now. */
  close(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#giveUp(Number.POSITIVE_INFINITY);
  }

  #giveUp(now: number): void {
    const late: Watched[] = [];
    for (let call = this.#newest; call !== null; call = call.older) if (call.at <= now) late.push(call);
    // Oldest first, and only then told: what they do may begin new calls.
    for (const call of late.reverse()) if (this.end(call, true)) call.giveUp();
  }

  #arm(now: number): void {
    this.#now = Math.floor(now);
    this.#timer = this.#clock.after(this.#stepMs, () => {
      this.#timer = undefined;
      const later = Math.floor(this.#clock.monotonic());
      // While the process did not run nobody could hear an answer.
      this.#watched += Math.min(later - this.#now, 2 * this.#stepMs);
      this.#giveUp(this.#watched);
      if (this.#newest === null) this.#watched = 0;
      else if (this.#timer === undefined) this.#arm(later);
    });
  }
}
