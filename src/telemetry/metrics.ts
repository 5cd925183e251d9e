import { type Attributes, createNoopMeter, type Meter, metrics } from '@opentelemetry/api';
import { ChangeoverError } from '../core/errors.ts';
import { type Side, STAGES, type Stage } from '../core/stage.ts';
import {
  type ComparisonResult,
  MEASURED_CALLS,
  MEASURED_OPERATIONS,
  type Metrics,
  type MigrationGauges,
  type MigrationMetrics,
} from '../core/telemetry.ts';

export type { Meter } from '@opentelemetry/api';

const SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];
const SIDES = ['old', 'new'] as const satisfies readonly Side[];
const RESULTS = ['equal', 'missing', 'extra', 'different', 'stale'] as const satisfies readonly ComparisonResult[];

/** The meter of the process's own SDK; one that does nothing where there is none. */
export const globalMeter = (version: string): Meter => metrics.getMeter('changeover', version);

/** Something for each of a few words. */
const each = <K extends string, V>(keys: readonly K[], make: (key: K) => V): Readonly<Record<K, V>> =>
  Object.fromEntries(keys.map((key) => [key, make(key)])) as Record<K, V>;

/** The attributes of every kind of measurement, made once: a measurement makes none. */
function attributesOf<K extends string>(
  migration: string,
  operations: readonly K[],
): Readonly<Record<K, Readonly<Record<Stage, Readonly<Record<Side, Attributes>>>>>> {
  return each(operations, (operation) =>
    each(STAGES, (stage) => each(SIDES, (store) => Object.freeze({ migration, operation, stage, store }))),
  );
}

const codeOf = (error: unknown): string => (error instanceof ChangeoverError ? error.code : 'INTERNAL');

/**
 * Measurements by the OpenTelemetry API: what goes where is the business of the SDK that the process has set up. Null
 * where it has none.
 */
export function openTelemetryMetrics(meter: Meter): Metrics | null {
  if (meter === createNoopMeter()) return null;
  const advice = { explicitBucketBoundaries: SECONDS };
  const operations = meter.createHistogram('changeover.operation.seconds', {
    description: 'How long calls of a repository took, by the stage and the authority of their unit',
    advice,
  });
  const errors = meter.createCounter('changeover.operation.errors', { description: 'Calls that failed, by code' });
  const calls = meter.createHistogram('changeover.store.seconds', {
    description: 'How long calls of a store took, for operations, mirror puts and shadow reads',
    advice,
  });
  const faults = meter.createCounter('changeover.store.errors', { description: 'Calls of a store that failed' });
  const comparisons = meter.createCounter('changeover.shadow.comparisons', {
    description: 'Shadow reads that were compared, by result',
  });
  const gauges = {
    mirrorQueue: meter.createObservableGauge('changeover.mirror.queue', {
      description: 'Mirror puts waiting or under way',
    }),
    shed: meter.createObservableCounter('changeover.mirror.shed', {
      description: 'Mirror puts dropped because the queue was full',
    }),
    unreported: meter.createObservableGauge('changeover.dirt.unreported', {
      description: 'Lines of dirt that the control plane does not have yet',
    }),
    revision: meter.createObservableGauge('changeover.ruleset.applied', {
      description: 'The revision of the ruleset in force in this process',
    }),
  };

  return {
    migration(migration: string): MigrationMetrics {
      const ofOperation = attributesOf(migration, MEASURED_OPERATIONS);
      const ofCall = attributesOf(migration, MEASURED_CALLS);
      const ofResult = each(RESULTS, (result) => Object.freeze({ migration, result }));
      const own = Object.freeze({ migration });
      return {
        operation(operation, stage, store, ms, error) {
          const attributes = ofOperation[operation][stage][store];
          operations.record(ms / 1_000, attributes);
          if (error !== null) errors.add(1, { ...attributes, code: codeOf(error) });
        },
        storeCall(call, stage, store, ms, failed) {
          const attributes = ofCall[call][stage][store];
          calls.record(ms / 1_000, attributes);
          if (failed) faults.add(1, attributes);
        },
        comparison: (result) => comparisons.add(1, ofResult[result]),
        observe(read: () => MigrationGauges) {
          const names = ['mirrorQueue', 'shed', 'unreported', 'revision'] as const;
          const callback: Parameters<Meter['addBatchObservableCallback']>[0] = (result) => {
            const now = read();
            for (const name of names) result.observe(gauges[name], now[name], own);
          };
          const observed = Object.values(gauges);
          meter.addBatchObservableCallback(callback, observed);
          return () => meter.removeBatchObservableCallback(callback, observed);
        },
      };
    },
  };
}
