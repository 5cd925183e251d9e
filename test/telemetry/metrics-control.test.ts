import { expect, onTestFinished, test } from 'vitest';
import { observeControl } from '../../src/telemetry/metrics-control.ts';
import { prometheusMetrics } from '../../src/telemetry/metrics-prometheus.ts';

test('a verification under way shows what it has read of each store, and of about how much', async () => {
  const metrics = prometheusMetrics('test');
  onTestFinished(() => metrics.close());
  const migration = {
    migration: 'events',
    revision: 3,
    dials: { dualWrite: 100, shadowRead: 0, cutover: 0 },
    retired: false,
    coverage: { old: 100, new: 40 },
    dirty: { ranges: 0, rejected: 0 },
    divergences: 0,
    shadow: { compared: 0, divergent: 0 },
    handoverSeconds: 0,
    replay: null,
    verify: { scanned: { old: 700, new: 450 }, estimated: { old: 1_200, new: null } },
    verification: null,
  };
  onTestFinished(
    observeControl(metrics.meter, async () => ({
      migrations: [migration, { ...migration, migration: 'notes', verify: null }],
      processes: [],
    })),
  );
  const lines = (await metrics.text()).split('\n').filter((line) => line.startsWith('changeover_verify_'));
  expect(lines.map((line) => line.replaceAll(/,?otel_scope_\w+="[^"]*"/g, '')).sort()).toEqual([
    'changeover_verify_estimate{migration="events",store="old"} 1200',
    'changeover_verify_records{migration="events",store="new"} 450',
    'changeover_verify_records{migration="events",store="old"} 700',
  ]);
});
