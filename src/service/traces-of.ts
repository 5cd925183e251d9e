import type { Traces } from '../core/telemetry.ts';
import type { Tracer } from '../telemetry/traces.ts';

/** Where spans go: the tracer that somebody gave; null where nobody did. */
export async function tracesOf(tracer: Tracer | undefined): Promise<Traces | null> {
  if (tracer === undefined) return null;
  const { openTelemetryTraces } = await import('../telemetry/traces.ts');
  return openTelemetryTraces(tracer);
}
