import type { FailedCalls, TrafficSample } from './traffic.ts';

/** What callers met in a while, all services together. */
export interface Experience {
  readonly calls: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly slowestMs: number;
  readonly errors: Readonly<Record<string, FailedCalls>>;
  readonly failed: number;
}

const quantile = (sorted: readonly number[], share: number): number =>
  sorted[Math.min(sorted.length - 1, Math.ceil(sorted.length * share) - 1)] ?? 0;

/** Puts the samples of several services together. */
export function experienceOf(samples: readonly TrafficSample[]): Experience {
  const sorted = samples.flatMap(({ latenciesMs }) => latenciesMs).sort((a, b) => a - b);
  const errors: Record<string, FailedCalls> = {};
  for (const sample of samples) {
    for (const [code, { times, message }] of Object.entries(sample.errors)) {
      const known = errors[code];
      errors[code] = { times: times + (known?.times ?? 0), message: known?.message ?? message };
    }
  }
  return {
    calls: sorted.length,
    p50Ms: quantile(sorted, 0.5),
    p99Ms: quantile(sorted, 0.99),
    slowestMs: sorted.at(-1) ?? 0,
    errors,
    failed: Object.values(errors).reduce((sum, { times }) => sum + times, 0),
  };
}

/** "0 failed", or how many and what the first of each kind was told. */
export function failedText({ failed, errors }: Experience): string {
  const told = Object.entries(errors).map(([code, { message }]) => `${code}: ${message}`);
  return told.length === 0 ? `${failed} failed` : `${failed} failed (${told.join('; ')})`;
}
