import type { ControlPlaneApi } from '../../src/control/control-plane.ts';
import type { Clock, TimerHandle } from '../../src/core/clock.ts';
import { ControlUnavailable } from '../../src/core/errors.ts';
import type { VirtualClock } from '../support/virtual-clock.ts';
import type { SeededRandom } from './random.ts';

const never = <T>(): Promise<T> => new Promise<T>(() => {});

/**
 * A process that can die at any await: from then on no timer of it fires, no answer reaches it and no request leaves it;
 * requests that are under way go on by themselves.
 */
export class SimProcess implements Clock {
  readonly name: string;
  readonly #clock: VirtualClock;
  #offsetMs: number;
  alive = true;
  /** Its last requests: what it sends now arrives late or never, and it hears no answer. */
  dying = false;

  constructor(name: string, clock: VirtualClock, offsetMs = 0) {
    this.name = name;
    this.#clock = clock;
    this.#offsetMs = offsetMs;
  }

  kill(): void {
    this.alive = false;
  }

  now(): number {
    return this.#clock.now() + this.#offsetMs;
  }

  monotonic(): number {
    return this.#clock.monotonic();
  }

  after(ms: number, fn: () => void, background?: boolean): TimerHandle {
    return this.#clock.after(
      ms,
      () => {
        if (this.alive) fn();
      },
      background,
    );
  }

  /** Moves this process's wall clock. */
  jump(ms: number): void {
    this.#offsetMs += ms;
  }

  /** Hears of an outcome only while it lives. */
  hear<T>(outcome: Promise<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      outcome.then(
        (value) => {
          if (this.alive) resolve(value);
        },
        (error: unknown) => {
          if (this.alive) reject(error);
        },
      );
    });
  }

  /** An object whose asynchronous methods this process calls; synchronous ones and properties pass through. */
  mortal<T extends object>(target: T): T {
    return new Proxy(target, {
      get: (object, name) => {
        const member: unknown = Reflect.get(object, name, object);
        if (typeof member !== 'function') return member;
        return (...args: unknown[]): unknown => {
          if (!this.alive) return never();
          const result: unknown = Reflect.apply(member, object, args);
          if (result instanceof Promise) return this.hear(result);
          const iterator = (result as AsyncIterable<unknown> | null)?.[Symbol.asyncIterator]?.bind(result);
          return iterator === undefined ? result : { [Symbol.asyncIterator]: () => this.mortal(iterator() as object) };
        };
      },
    });
  }
}

/** What may go wrong between a process and the control plane. */
export interface ControlWeather {
  /** The control plane answers nobody. */
  away: boolean;
  /** The share of calls whose answer is lost after they took effect. */
  lostAnswers: number;
  /** The longest a call or an announcement is under way, ms. */
  delayMs: number;
}

/** The control plane as one process reaches it: late, sometimes not at all, sometimes without an answer. */
export function remotePlane(
  plane: ControlPlaneApi,
  process: SimProcess,
  clock: VirtualClock,
  weather: ControlWeather,
  random: SeededRandom,
): ControlPlaneApi {
  const pause = (ms: number): Promise<void> => new Promise((resolve) => clock.after(ms, resolve));
  const away = (): ControlUnavailable => new ControlUnavailable('the simulated control plane is away');
  return new Proxy(plane, {
    get: (object, name) => {
      const member: unknown = Reflect.get(object, name, object);
      if (name === 'watch') {
        return (changed: () => void) =>
          plane.watch(() => {
            clock.after(
              random.int(0, weather.delayMs),
              () => {
                if (process.alive && !weather.away) changed();
              },
              true,
            );
          });
      }
      if (typeof member !== 'function') return member;
      return (...args: unknown[]): Promise<unknown> => {
        if (!process.alive) return never();
        const call = async (): Promise<unknown> => {
          await pause(random.int(0, weather.delayMs));
          if (weather.away) throw away();
          const result: unknown = await Reflect.apply(member, object, args);
          await pause(random.int(0, weather.delayMs));
          if (weather.away || random.chance(weather.lostAnswers)) throw away();
          return result;
        };
        return process.hear(call());
      };
    },
  });
}
