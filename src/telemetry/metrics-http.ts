import type { Meter } from '@opentelemetry/api';

/** What the server says of itself. */
export interface HttpMetrics {
  answered(method: string, route: string, status: number, seconds: number): void;
}

const SECONDS = [0.005, 0.025, 0.1, 0.5, 2.5, 10];

export function httpMetrics(
  meter: Meter,
  read: () => { readonly followers: number; readonly jobs: number },
): HttpMetrics {
  const duration = meter.createHistogram('changeover.http.request_seconds', {
    description: 'How long requests took',
    advice: { explicitBucketBoundaries: SECONDS },
  });
  const followers = meter.createObservableGauge('changeover.server.followers', { description: 'Open event streams' });
  const jobs = meter.createObservableGauge('changeover.server.jobs', { description: 'Jobs that are running' });
  followers.addCallback((result) => result.observe(read().followers));
  jobs.addCallback((result) => result.observe(read().jobs));
  return {
    answered: (method, route, status, seconds) =>
      duration.record(seconds, {
        method,
        route,
        status,
      }),
  };
}
