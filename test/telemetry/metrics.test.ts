import { createNoopMeter } from '@opentelemetry/api';
import { describe, expect, test } from 'vitest';
import { memory } from '../../adapters/memory/index.ts';
import { type Config, control, defineConfig, migration, open } from '../../src/index.ts';
import { Repository } from '../../src/repository/repository.ts';
import { openTelemetryMetrics } from '../../src/telemetry/metrics.ts';
import { prometheusMetrics } from '../../src/telemetry/metrics-prometheus.ts';
import { until } from '../support/memory-service.ts';

interface Item {
  readonly user: string;
  readonly id: string;
  readonly n: number;
}

const WHY = { actor: 'test', reason: 'test' };

function setUp() {
  const old = memory();
  const fresh = memory({ faults: ({ op }) => (op === 'putIfNewer' && failing.new ? { kind: 'fail' } : undefined) });
  const failing = { new: false };
  const items = migration<Item>({ key: ['user', 'id'], unit: 'user', old, new: fresh });
  return {
    config: defineConfig({ control: 'memory', migrations: { items } }),
    old: old.database,
    fresh: fresh.database,
    failing,
  };
}

/** The value of a line of Prometheus' text, by its labels in any order; 0 where there is none. */
function sumOf(text: string, name: string, labels: Readonly<Record<string, string>>): number {
  let sum = 0;
  for (const line of text.split('\n')) {
    if (
      !line.startsWith(`${name}{`) ||
      !Object.entries(labels).every(([key, value]) => line.includes(`${key}="${value}"`))
    )
      continue;
    sum += Number(line.slice(line.lastIndexOf(' ') + 1));
  }
  return sum;
}

describe('the measurements of a service', () => {
  test('tell operations, calls of each store, errors, comparisons, mirrors and dirt by what they were', async () => {
    const { config, old, failing } = setUp();
    const metrics = prometheusMetrics();
    const operations = await control(config as Config);
    await operations.prepare('items');
    await operations.plane.changeSettings(
      'items',
      { noOutsideWriters: true, shadowRecheckMs: [], mirrorToNew: 'wait', mirrorTimeoutMs: 1_000 },
      WHY,
    );
    const changeover = await open(config, { name: 'measured', meter: metrics.meter });
    const items = changeover.repository('items');
    const count = async (name: string, labels: Record<string, string>) =>
      sumOf(await metrics.text(), `changeover_${name}`, labels);

    await items.put({ user: 'ada', id: '1', n: 1 });
    await items.get({ user: 'ada', id: '1' });
    await expect(items.get({ user: 'ada' })).rejects.toMatchObject({ code: 'INVALID_RECORD' });
    const at = { migration: 'items', stage: 'off', store: 'old' };
    expect(await count('operation_seconds_count', { ...at, operation: 'put' })).toBe(1);
    expect(await count('operation_seconds_count', { ...at, operation: 'get' })).toBe(1);
    expect(await count('store_seconds_count', { ...at, operation: 'putPlain' })).toBe(1);
    expect(await count('store_seconds_count', { store: 'new' })).toBe(0);

    const controller = await operations.migration('items');
    await controller.stage('shadow', { ...WHY, force: true });
    await items.update({ user: 'ada', id: '1' }, (item) => item && { ...item, n: item.n + 1 });
    await items.get({ user: 'ada', id: '1' });
    await until(async () => (await count('shadow_comparisons_total', { result: 'equal' })) === 1, 'the comparison');
    const shadow = { migration: 'items', stage: 'shadow' };
    expect(await count('operation_seconds_count', { ...shadow, store: 'old', operation: 'update' })).toBe(1);
    expect(await count('store_seconds_count', { ...shadow, store: 'new', operation: 'putIfNewer' })).toBe(1);
    expect(await count('store_seconds_count', { ...shadow, store: 'new', operation: 'get' })).toBe(1);

    failing.new = true;
    await items.put({ user: 'ada', id: '2', n: 1 });
    expect(await count('store_errors_total', { ...shadow, store: 'new', operation: 'putIfNewer' })).toBeGreaterThan(0);
    expect(await count('operation_errors_total', {})).toBe(0);
    await items.get({ user: 'ada', id: '2' });
    await until(async () => (await count('shadow_comparisons_total', { result: 'missing' })) === 1, 'the divergence');

    old.outage = 'refuse';
    await expect(items.get({ user: 'ada', id: '1' })).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' });
    expect(await count('operation_errors_total', { ...shadow, operation: 'get', code: 'STORE_UNAVAILABLE' })).toBe(1);
    old.outage = 'none';

    const { revision } = await operations.plane.ruleset('items');
    await until(async () => (await count('ruleset_applied', { migration: 'items' })) === revision, 'the revision');
    expect(await metrics.text()).toMatch(/changeover_mirror_queue\{migration="items"\} 0/);
    await changeover.close();
    expect(await metrics.text()).not.toContain('changeover_mirror_queue{');
    await operations.close();
  });

  test('cost nothing where nobody collects: the repository is the plain one', async () => {
    expect(openTelemetryMetrics(createNoopMeter())).toBe(null);
    const { config } = setUp();
    const operations = await control(config as Config);
    await operations.prepare('items');
    const plain = await open(config);
    const measured = await open(config, { meter: prometheusMetrics().meter });
    expect(plain.repository('items').constructor).toBe(Repository);
    expect(measured.repository('items').constructor).not.toBe(Repository);
    for (const service of [plain, measured, operations]) await service.close();
  });
});

test('the text for a scraper leaves no line out, however many processes and migrations there are', async () => {
  const metrics = prometheusMetrics();
  const gauge = metrics.meter.createObservableGauge('lag');
  gauge.addCallback((result) => {
    for (let n = 0; n < 5_000; n += 1)
      result.observe(n, { process: `p${n % 100}`, migration: `m${Math.floor(n / 100)}` });
  });
  const lines = (await metrics.text()).split('\n').filter((line) => line.startsWith('lag{'));
  expect(lines).toHaveLength(5_000);
  expect(lines.at(-1)).toMatch(/migration="m49".* 4999/);
  await metrics.close();
});
