import type { Clock } from '../core/clock.ts';

/**
 * What this process holds in memory, bytes; asked once in so many ms, however often it is told: while a follower is away
 * there is a report every few ms, and to find out takes a fifth of one.
 */
export function residentMemory(clock: Pick<Clock, 'monotonic'>, everyMs: number): () => number {
  let bytes = 0;
  let askedAt = Number.NEGATIVE_INFINITY;
  return () => {
    const now = clock.monotonic();
    if (now - askedAt >= everyMs) {
      bytes = process.memoryUsage.rss();
      askedAt = now;
    }
    return bytes;
  };
}
