import type { Clock } from '../core/clock.ts';
import { type CallTotals, quantile, subtract, type Traffic } from '../core/traffic.ts';
import type { ControlPlaneApi } from './control-plane.ts';

/** Heartbeats bring the calls in lumps: what came in a shorter time says little. */
const EVERY_MS = 2_000;
/** The slowest hundredth of fewer calls is one call. */
const LEAST_CALLS = 20;

/** How long the services' calls take, from one look to the next. */
export class TrafficWatch {
  readonly #plane: Pick<ControlPlaneApi, 'traffic'>;
  readonly #migration: string;
  readonly #clock: Clock;
  #last: { readonly at: number; readonly traffic: Traffic } | null = null;

  constructor(plane: Pick<ControlPlaneApi, 'traffic'>, migration: string, clock: Clock) {
    this.#plane = plane;
    this.#migration = migration;
    this.#clock = clock;
  }

  /** The highest p99 of reads and writes on either store since the last time, ms; null when it is too early to tell. */
  async p99Ms(): Promise<number | null> {
    const at = this.#clock.monotonic();
    if (this.#last !== null && at - this.#last.at < EVERY_MS) return null;
    const traffic = await this.#plane.traffic(this.#migration);
    const lately = this.#last === null ? null : subtract(traffic, this.#last.traffic);
    const all = lately === null ? [] : [lately.old.read, lately.old.write, lately.new.read, lately.new.write];
    const slowest = all.filter(({ count }) => count >= LEAST_CALLS).map(p99);
    if (this.#last === null || slowest.length > 0) this.#last = { at, traffic };
    return slowest.length === 0 ? null : Math.max(...slowest);
  }
}

const p99 = ({ latency }: CallTotals): number => quantile(latency, 0.99) ?? 0;
