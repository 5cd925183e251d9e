import type { TrafficSample } from './traffic.ts';

/** What callers met in a while, all services together. */
export interface Experience {
  readonly calls: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly slowestMs: number;
  readonly errors: Readonly<Record<string, number>>;
  readonly failed: number;
}

const quantile = (sorted: readonly number[], share: number): number =>
  sorted[Math.min(sorted.length - 1, Math.ceil(sorted.length * share) - 1)] ?? 0;

/** Puts the samples of several services together. */
export function experienceOf(samples: readonly TrafficSample[]): Experience {
  const sorted = samples.flatMap(({ latenciesMs }) => latenciesMs).sort((a, b) => a - b);
  const errors: Record<string, number> = {};
  for (const sample of samples) {
    for (const [code, times] of Object.entries(sample.errors)) errors[code] = (errors[code] ?? 0) + times;
  }
  return {
    calls: sorted.length,
    p50Ms: quantile(sorted, 0.5),
    p99Ms: quantile(sorted, 0.99),
    slowestMs: sorted.at(-1) ?? 0,
    errors,
    failed: Object.values(errors).reduce((sum, times) => sum + times, 0),
  };
}
