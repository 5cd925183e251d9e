import type { Metrics } from '../core/telemetry.ts';
import type { Meter } from '../telemetry/metrics.ts';
import { VERSION } from './version.ts';

/** Where measurements go: the meter that somebody gave, or the process's own; null where nobody collects. */
export async function metricsOf(meter: Meter | undefined): Promise<Metrics | null> {
  const { globalMeter, openTelemetryMetrics } = await import('../telemetry/metrics.ts');
  return openTelemetryMetrics(meter ?? globalMeter(VERSION));
}
