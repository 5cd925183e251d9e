import type { Clock } from '../core/clock.ts';
import type { Side } from '../core/stage.ts';
import { bucketOf, type CallKind, type CallTotals, LATENCY_BUCKETS, type Traffic } from '../core/traffic.ts';

/** So many calls are timed between two looks at a quiet store before only every second one is, then every fourth … */
const TIMED = 512;
const LONGEST_STRIDE = 64;
/** Times are whole µs that begin anew after 18 min: other numbers would be boxed, for every call. */
const MICROS = 2 ** 30 - 1;

/**
 * Counts the calls of one store, of one kind. Each call is counted; of a busy store only some are timed, and each
 * stands for those that were not: two readings of the clock were measured to cost more than all else together.
 */
export class CallMeter {
  readonly #clock: Clock;
  readonly #latency = new Float64Array(LATENCY_BUCKETS);
  #count = 0;
  #errors = 0;
  #stride = 1;
  #skip = 1;
  #timed = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** A call begins. @returns what `end` wants back: when that was, or -1 where it is not timed */
  begin(): number {
    this.#skip -= 1;
    if (this.#skip > 0) return -1;
    this.#skip = this.#stride;
    return this.#micros();
  }

  end(begun: number, failed: boolean): void {
    this.#count += 1;
    if (failed) this.#errors += 1;
    if (begun < 0) return;
    const bucket = bucketOf(((this.#micros() - begun) & MICROS) / 1_000);
    this.#latency[bucket] = (this.#latency[bucket] as number) + this.#stride;
    this.#timed += 1;
    if (this.#timed < TIMED) return;
    this.#timed = 0;
    if (this.#stride < LONGEST_STRIDE) this.#stride *= 2;
  }

  /** The totals so far. Whoever looks often is told of a quiet store more exactly again. */
  read(): CallTotals {
    if (this.#timed < TIMED / 2 && this.#stride > 1) this.#stride /= 2;
    this.#timed = 0;
    const latency: [number, number][] = [];
    this.#latency.forEach((calls, bucket) => {
      if (calls > 0) latency.push([bucket, calls]);
    });
    return { count: this.#count, errors: this.#errors, latency };
  }

  #micros(): number {
    return (this.#clock.monotonic() * 1_000) & MICROS;
  }
}

/** The meters of a migration's stores. */
export class TrafficMeter {
  readonly old: Readonly<Record<CallKind, CallMeter>>;
  readonly new: Readonly<Record<CallKind, CallMeter>>;

  constructor(clock: Clock) {
    const side = () => ({ read: new CallMeter(clock), write: new CallMeter(clock) });
    this.old = side();
    this.new = side();
  }

  /** Null where nobody has called anything yet. */
  read(): Traffic | null {
    const side = (of: Side) => ({ read: this[of].read.read(), write: this[of].write.read() });
    const traffic = { old: side('old'), new: side('new') };
    const calls = [traffic.old, traffic.new].reduce((sum, { read, write }) => sum + read.count + write.count, 0);
    return calls === 0 ? null : traffic;
  }
}
