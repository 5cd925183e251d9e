import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { Change } from '../../src/console/change.ts';
import type { GateVerdict, MovePreview } from '../../src/server/api-types.ts';
import { ApiServer } from '../server/api-server.ts';
import { until } from '../support/memory-service.ts';

let api: ApiServer;
beforeAll(async () => {
  api = await ApiServer.start();
  // The page's own address is the server's.
  const { fetch } = globalThis;
  vi.stubGlobal('fetch', (path: string, init: RequestInit) =>
    fetch(new URL(path, api.server.url), {
      ...init,
      headers: { ...(init.headers as Record<string, string>), authorization: `Bearer ${api.tokens.admin}` },
    }),
  );
});
afterAll(async () => {
  vi.unstubAllGlobals();
  await api?.[Symbol.asyncDispose]();
});

const moves = async (): Promise<number> =>
  (await api.operations.plane.jobs(['items'], 100)).filter(({ kind }) => kind === 'move').length;

test('what is applied twice at the same moment is asked for once', async () => {
  const change = new Change('items');
  change.want('shadow-read', 0, 5);
  change.reason.value = 'twice';
  await Promise.all([change.apply(), change.apply()]);
  expect(await moves()).toBe(1);
  expect(change.phase.value.kind).toBe('refused');
  expect(change.busy.value).toBe(false);
});

test('what was forced is not forced for another value, nor against other advice', async () => {
  const change = new Change('items');
  change.want('dual-write', 0, 5);
  await until(async () => change.preview.value?.to === 5, 'the preview');
  change.force.value = true;
  change.want('dual-write', 0, 50);
  expect(change.force.value).toBe(false);
  // Advice that stood before the server is asked again, and does not any more.
  const advice: GateVerdict = { gate: 'old', passed: false, advice: true, evidence: '', remedy: null };
  change.preview.value = { ...(change.preview.value as MovePreview), gates: [advice] };
  change.force.value = true;
  await until(async () => change.preview.value?.to === 50, 'the next preview');
  expect(change.force.value).toBe(false);
  change.discard();
});

test('a job that cannot be looked at any more ends what is shown of it', async () => {
  const change = new Change('items');
  const [row] = await api.operations.plane.jobs(['items'], 1);
  const gone = { ...row, id: '00000000-0000-4000-8000-000000000009', state: 'running' } as never;
  await change.show(gone);
  expect(change.phase.value).toMatchObject({ kind: 'failed', cancelled: false });
});
