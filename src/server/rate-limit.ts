import type { Clock } from '../core/clock.ts';
import { RateLimited } from '../core/errors.ts';

interface Bucket {
  left: number;
  at: number;
}

/** More keys than this are not kept; those that are full again are forgotten first. */
const MOST_BUCKETS = 10_000;

/** A token bucket for each key: `burst` at once, then `perSecond`. */
export class RateLimit {
  readonly #clock: Clock;
  readonly #perSecond: number;
  readonly #burst: number;
  readonly #buckets = new Map<string, Bucket>();

  constructor(clock: Clock, perSecond: number, burst: number) {
    this.#clock = clock;
    this.#perSecond = perSecond;
    this.#burst = burst;
  }

  /** Takes one. @throws RateLimited when there is none left */
  take(key: string): void {
    const bucket = this.#bucket(key);
    if (bucket.left < 1) throw this.#limited(bucket);
    bucket.left -= 1;
  }

  /** @throws RateLimited when there is none left; takes none */
  check(key: string): void {
    if (!this.#buckets.has(key)) return;
    const bucket = this.#bucket(key);
    if (bucket.left < 1) throw this.#limited(bucket);
  }

  #limited(bucket: Bucket): RateLimited {
    return new RateLimited('too many requests', {
      expected: `${this.#burst} at once, then ${this.#perSecond} a second`,
      details: { retryAfterS: Math.max(1, Math.ceil((1 - bucket.left) / this.#perSecond)) },
    });
  }

  #bucket(key: string): Bucket {
    const now = this.#clock.monotonic();
    let bucket = this.#buckets.get(key);
    if (bucket === undefined) {
      if (this.#buckets.size >= MOST_BUCKETS) this.#forget(now);
      bucket = { left: this.#burst, at: now };
      this.#buckets.set(key, bucket);
    } else {
      bucket.left = this.#filled(bucket, now);
      bucket.at = now;
    }
    return bucket;
  }

  #filled({ left, at }: Bucket, now: number): number {
    return Math.min(this.#burst, left + ((now - at) * this.#perSecond) / 1_000);
  }

  #forget(now: number): void {
    for (const [key, bucket] of this.#buckets) if (this.#filled(bucket, now) >= this.#burst) this.#buckets.delete(key);
    // Nobody is full: the longest unused gives way.
    const [first] = this.#buckets.keys();
    if (this.#buckets.size >= MOST_BUCKETS && first !== undefined) this.#buckets.delete(first);
  }
}
