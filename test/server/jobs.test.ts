import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { systemClock } from '../../src/core/clock.ts';
import { silentLogger } from '../../src/core/telemetry.ts';
import { control } from '../../src/index.ts';
import { startServer } from '../../src/server/index.ts';
import { Jobs } from '../../src/server/jobs.ts';
import { until } from '../support/memory-service.ts';
import { VirtualClock } from '../support/virtual-clock.ts';
import { ApiServer } from './api-server.ts';

let api: ApiServer;
beforeAll(async () => {
  api = await ApiServer.start();
});
afterAll(() => api?.[Symbol.asyncDispose]());

const job = async (id: string) => (await api.call(`/api/v1/jobs/${id}`)).json;
const act = (path: string, body: object = {}) =>
  api.call(`/api/v1/migrations/items${path}`, { body: { reason: 'OPS-1', ...body } });
const ended = (id: string) => until(async () => (await job(id)).state !== 'running', 'the end of the job');

/** A job's row that some server left behind. */
const row = (id: string, aliveUntil: number) => ({
  id,
  ...{ kind: 'census', migration: 'items', actor: 'ada', reason: 'nightly', state: 'running' as const },
  ...{ startedAt: 1_000, finishedAt: null, progress: { compared: 7 }, result: null, error: null },
  again: { action: 'takeCensus', body: { sample: 5 } },
  ...{ resumes: null, server: 'another', aliveUntil, cancelRequested: false },
});

describe('the list of jobs', () => {
  test('outlives its server: what ended is there, what was running says that it was interrupted', async () => {
    const done = await act('/census');
    await ended(done.json.id);
    expect((await job(done.json.id)).error).toBeNull();
    await api.operations.plane.beginJob(row('00000000-0000-4000-8000-000000000001', Date.now() - 1));
    await api.server.close();
    await api.listen();
    const list = (await api.call('/api/v1/jobs')).json;
    expect(list.map(({ id, state, resumable }: Record<string, unknown>) => [id, state, resumable])).toEqual([
      [done.json.id, 'done', false],
      ['00000000-0000-4000-8000-000000000001', 'interrupted', true],
    ]);
    expect(list[0].result).toMatchObject({ sampled: 0 });
    expect(list[1].progress).toEqual({ compared: 7 });
  });

  test('lets an interrupted one be gone on with by who may, as it was asked for', async () => {
    const id = '00000000-0000-4000-8000-000000000002';
    await api.operations.plane.beginJob(row(id, Date.now() - 1));
    const resume = (token?: string) =>
      api.call(`/api/v1/jobs/${id}/resume`, { body: { reason: 'go on' }, ...(token ? { token } : {}) });
    expect((await resume(api.tokens.viewer)).status).toBe(403);
    const elsewhere = await api.token('operator', { migrations: ['notes'] });
    expect((await resume(elsewhere)).status).toBe(403);
    const { status, json, headers } = await resume(api.tokens.operator);
    expect(status).toBe(202);
    expect(headers.get('location')).toBe(`/api/v1/jobs/${json.id}`);
    expect(json).toMatchObject({ kind: 'census', resumes: id, reason: 'go on' });
    await ended(json.id);
    expect(await job(json.id)).toMatchObject({ state: 'done', result: { sampled: 0 }, resumedBy: null });
    // Each is gone on with once, and says so.
    expect(await job(id)).toMatchObject({ state: 'interrupted', resumable: false, resumedBy: json.id });
    const listed = (await api.call('/api/v1/jobs')).json.find((each: { id: string }) => each.id === id);
    expect(listed).toMatchObject({ resumable: false, resumedBy: json.id });
    const again = await api.call(`/api/v1/jobs/${json.id}/resume`, { body: { reason: 'again' } });
    expect([again.status, again.json.code]).toEqual([400, 'INVALID_ARGUMENT']);
  });

  test('lets each be gone on with once, however many ask at the same moment', async () => {
    const id = '00000000-0000-4000-8000-000000000003';
    await api.operations.plane.beginJob(row(id, Date.now() - 1));
    const answers = await Promise.all(
      [1, 2, 3].map(() => api.call(`/api/v1/jobs/${id}/resume`, { body: { reason: 'go on' } })),
    );
    expect(answers.map(({ status }) => status).sort()).toEqual([202, 400, 400]);
    const begun = answers.find(({ status }) => status === 202)?.json.id;
    expect(answers.find(({ status }) => status === 400)?.json.detail).toContain(begun);
    await ended(begun);
  });

  test('is one for two servers: each shows, and cancels, what the other runs', async () => {
    const operations = await control(api.config);
    const other = await startServer({ operations, version: '0.0.0', port: 0 });
    const jobs = new Jobs(api.operations.plane, systemClock, silentLogger);
    try {
      const work = (run: (signal: AbortSignal, progress: (value: unknown) => void) => Promise<unknown>) =>
        jobs.start({
          kind: 'backfill',
          migration: 'items',
          actor: 'ada',
          reason: 'r',
          again: { action: 'backfill', body: {} },
          run,
        });
      const { job: begun, outcome } = await work(
        (signal, progress) =>
          new Promise((_, reject) => {
            progress({ scanned: 41 });
            signal.addEventListener('abort', () => reject(signal.reason), { once: true });
          }),
      );
      const stopped = outcome.then(
        () => 'done',
        (error: { code: string }) => error.code,
      );
      const seen = async () => {
        const headers = { authorization: `Bearer ${api.tokens.admin}` };
        return (await (await fetch(`${other.url}/api/v1/jobs/${begun.id}`, { headers })).json()) as Record<
          string,
          unknown
        >;
      };
      await until(
        async () => JSON.stringify((await seen())['progress']) === '{"scanned":41}',
        'its progress elsewhere',
      );
      expect(await seen()).toMatchObject({ state: 'running', resumable: false });
      const cancelled = await fetch(`${other.url}/api/v1/jobs/${begun.id}/cancel`, {
        method: 'POST',
        body: '{}',
        headers: { authorization: `Bearer ${api.tokens.operator}`, 'content-type': 'application/json' },
      });
      expect(cancelled.status).toBe(200);
      expect(await stopped).toBe('INTERRUPTED');
      await until(async () => (await seen())['state'] === 'cancelled', 'its end elsewhere');
      expect(await seen()).toMatchObject({ resumable: true, error: { code: 'INTERRUPTED' } });
    } finally {
      await jobs.close();
      await other.close();
      await operations.close();
    }
  });

  test('calls those interrupted whose server is closed while they run', async () => {
    const jobs = new Jobs(api.operations.plane, systemClock, silentLogger);
    const { job: begun, outcome } = await jobs.start({
      ...{ kind: 'repair', migration: 'items', actor: 'ada', reason: 'r', again: { action: 'repair', body: {} } },
      run: (signal) =>
        new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason), { once: true })),
    });
    outcome.catch(() => {});
    await jobs.close();
    expect(await job(begun.id)).toMatchObject({ state: 'interrupted', resumable: true });
    await expect(
      jobs.start({ kind: 'repair', migration: 'items', actor: 'a', reason: 'r', again: null, run: async () => 1 }),
    ).rejects.toMatchObject({ code: 'INTERRUPTED' });
  });

  test('keeps a job alive for as long as its server says so, and no longer', async () => {
    const clock = new VirtualClock(Date.now());
    const jobs = new Jobs(api.operations.plane, clock, silentLogger);
    const { job: begun } = await jobs.start({
      ...{ kind: 'repair', migration: 'items', actor: 'ada', reason: 'r', again: null },
      run: () => new Promise(() => {}),
    });
    const { plane } = api.operations;
    const state = async () => (await plane.job(begun.id))?.state;
    const first = (await plane.job(begun.id))?.aliveUntil ?? 0;
    await clock.advance(2_000);
    await until(async () => ((await plane.job(begun.id))?.aliveUntil ?? 0) > first, 'a sign of life');
    expect(await state()).toBe('running');
    await plane.keepJobs((await plane.job(begun.id))?.server ?? '', -1, {});
    expect(await state()).toBe('interrupted');
  });
});
