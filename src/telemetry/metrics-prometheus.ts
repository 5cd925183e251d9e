import type { Meter } from '@opentelemetry/api';
import { PrometheusSerializer } from '@opentelemetry/exporter-prometheus';
import { AggregationTemporality, InstrumentType, MeterProvider, MetricReader } from '@opentelemetry/sdk-metrics';

/** Collects when it is asked to, and at no other time. */
class PullReader extends MetricReader {
  protected override async onShutdown(): Promise<void> {}
  protected override async onForceFlush(): Promise<void> {}
}

/** Of one instrument: 500 processes with 200 migrations each. Beyond that all others would be one line. */
const MOST_SERIES = 100_000;

/** A registry of its own, apart from whatever the process has set up globally. */
export interface PrometheusMetrics {
  readonly meter: Meter;
  /** The present values in Prometheus' text format. */
  text(): Promise<string>;
  close(): Promise<void>;
}

/** The media type of {@link PrometheusMetrics.text}. */
export const PROMETHEUS_TYPE = 'text/plain; version=0.0.4; charset=utf-8';

/**
 * Metrics for a scraper to fetch; `open(config, { meter })` takes the meter.
 *
 * @example
 * const metrics = prometheusMetrics('events-api');
 * const changeover = await open(config, { meter: metrics.meter });
 * createServer(async (_, response) => response.end(await metrics.text())).listen(9464);
 */
export function prometheusMetrics(scope = 'changeover'): PrometheusMetrics {
  const reader = new PullReader({
    // A gauge that nobody observes any more is gone: a process that has left must not be shown for ever.
    aggregationTemporalitySelector: (type) =>
      type === InstrumentType.OBSERVABLE_GAUGE ? AggregationTemporality.DELTA : AggregationTemporality.CUMULATIVE,
    cardinalitySelector: () => MOST_SERIES,
  });
  const provider = new MeterProvider({ readers: [reader] });
  const serializer = new PrometheusSerializer('', false, undefined, true, true);
  return {
    meter: provider.getMeter(scope),
    async text() {
      // What one instrument could not read is missing; the others are told all the same.
      return serializer.serialize((await reader.collect()).resourceMetrics);
    },
    close: () => provider.shutdown(),
  };
}
