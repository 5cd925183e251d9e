import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ApiServer } from './api-server.ts';

let api: ApiServer;
beforeAll(async () => {
  api = await ApiServer.start();
  await change('/settings', { settings: { noOutsideWriters: true } }, 'PATCH');
});
afterAll(() => api?.[Symbol.asyncDispose]());

const change = (path: string, body: object, method = 'POST', name = 'items') =>
  api.call(`/api/v1/migrations/${name}${path}`, { method, body: { reason: 'OPS-7', ...body } });
const newest = async () => (await api.call('/api/v1/migrations/items/ramps')).json[0];

describe('a ramp through the API', () => {
  test('is driven by the server, goes on after a restart of it, and is in the list with how it does', async () => {
    const { status, json } = await change('/ramps', { dial: 'dual-write', to: 100, steps: [7, 40], holdMs: 1_500 });
    expect(status).toBe(201);
    expect(json).toMatchObject({ dial: 'dual-write', start: 0, steps: [7, 40, 100], step: 0, state: 'running' });
    expect((await change('/ramps', { dial: 'shadow-read', to: 5, holdMs: 0 })).json.code).toBe('BUSY');
    await expect.poll(async () => (await newest()).stepSince, { timeout: 60_000 }).not.toBeNull();
    await api.server.close();
    await api.listen();
    await expect.poll(async () => (await newest()).state, { timeout: 60_000 }).toBe('done');
    expect((await api.operations.plane.status('items')).dials.dualWrite).toBe(100);
    expect((await newest()).checks).toContainEqual(expect.objectContaining({ check: 'errors', state: 'open' }));
  });

  test('can be paused and stopped, which is in the history with who did it', async () => {
    await change('/ramps', { dial: 'shadow-read', to: 100, steps: [3], holdMs: 600_000 });
    expect((await change('/ramps/pause', {})).json.state).toBe('paused');
    expect((await change('/ramps/stop', {})).json.state).toBe('stopped');
    expect((await change('/ramps/resume', {})).status).toBe(404);
    const [line] = await api.operations.plane.history('items', { limit: 1 });
    expect(line?.summary).toMatch(/^ramp \d+ is stopped$/);
    expect(line?.actor).toMatch(/\(127\.0\.0\.1\)$/);
  });

  test('that cannot be is refused, and nothing changes', async () => {
    for (const body of [
      { dial: 'retire-old', to: 100, holdMs: 0 },
      { dial: 'dual-write', to: 50, holdMs: 0 },
      { dial: 'shadow-read', to: 50, steps: [20, 10], holdMs: 0 },
      { dial: 'shadow-read', to: 50, holdMs: -1 },
      { dial: 'shadow-read', to: 50, holdMs: 0, budgets: { errorRate: 2 } },
    ]) {
      const before = (await api.call('/api/v1/migrations/items/ramps')).json.length;
      const { status } = await change('/ramps', body);
      expect([status, body]).toEqual([400, body]);
      expect((await api.call('/api/v1/migrations/items/ramps')).json).toHaveLength(before);
    }
  });
});
