import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { until } from '../support/memory-service.ts';
import { ApiServer } from './api-server.ts';

let api: ApiServer;
beforeAll(async () => {
  api = await ApiServer.start();
});
afterAll(() => api?.[Symbol.asyncDispose]());

const change = (path: string, body: object, method = 'POST') =>
  api.call(`/api/v1/migrations/items${path}`, { method, body: { reason: 'OPS-1', ...body } });

const wrapped = () => change('/settings', { settings: { noOutsideWriters: true } }, 'PATCH');

describe('the audit export', () => {
  test('has a line for everything: who, from where, why, before and after, and the evidence of gates', async () => {
    await wrapped();
    expect((await change('/dials', { dial: 'dual-write', to: 25 })).status).toBe(200);
    const { status, headers, text } = await api.call('/api/v1/migrations/items/history?format=jsonl');
    expect(status).toBe(200);
    expect(headers.get('content-type')).toMatch(/^application\/jsonl/);
    expect(text.endsWith('\n')).toBe(true);
    const lines = text
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    const move = lines.find(({ kind }) => kind === 'move');
    expect(move).toMatchObject({
      migration: 'items',
      actor: expect.stringMatching(/^admin \w{8} \(127\.0\.0\.1\)$/),
      reason: 'OPS-1',
      before: { dials: { dualWrite: -1 } },
      after: { dials: { dualWrite: 25_000 }, revision: move.revision },
      changes: [{ path: 'dials.dualWrite', before: -1, after: 25_000 }],
    });
    expect(new Date(move.at).toISOString()).toBe(move.at);
    expect(move.gates.map(({ gate }: { gate: string }) => gate)).toContain('outside-writers');
    expect(lines.map(({ id }) => id)).toEqual(lines.map(({ id }) => id).toSorted((a, b) => b - a));
  });

  test('has every line of a long history, as the pages of the list have', async () => {
    const authorship = { actor: 'test', reason: 'many' };
    for (let i = 0; i < 450; i += 1) {
      await api.operations.plane.changeSettings('notes', { holdTimeoutMs: 1_000 + i }, authorship);
    }
    const { text } = await api.call('/api/v1/migrations/notes/history?format=jsonl');
    const exported = text
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line).id as number);
    expect(exported.length).toBeGreaterThanOrEqual(450);
    expect(new Set(exported).size).toBe(exported.length);
    const listed: number[] = [];
    for (let before: number | null | undefined; before !== null; ) {
      const page = await api.call(
        `/api/v1/migrations/notes/history?limit=170${before === undefined ? '' : `&before=${before}`}`,
      );
      listed.push(...page.json.rows.map(({ id }: { id: number }) => id));
      before = page.json.next;
    }
    expect(listed).toEqual(exported);
  });
});

describe('jobs', () => {
  test('answer at once, report what they came to, and say what they could not do', async () => {
    await wrapped();
    await change('/dials', { dial: 'dual-write', to: 'all' });
    const begun = await change('/backfill', {});
    expect(begun.status).toBe(202);
    expect(begun.headers.get('location')).toBe(`/api/v1/jobs/${begun.json.id}`);
    const job = async () => (await api.call(begun.headers.get('location') as string)).json;
    await until(async () => (await job()).state !== 'running', 'the end of the backfill');
    expect(await job()).toMatchObject({
      kind: 'backfill',
      state: 'done',
      reason: 'OPS-1',
      error: null,
      result: { rejected: 0 },
    });
    expect((await api.call('/api/v1/migrations/items')).json.coverage.new).toBe(100);

    const refused = await change('/repair', { wait: true });
    expect(refused.status).toBe(200);
    const { json } = await change('/dials', { dial: 'retire-old', to: true, wait: false });
    await until(async () => (await api.call(`/api/v1/jobs/${json.id}`)).json.state === 'failed', 'the refusal');
    expect((await api.call(`/api/v1/jobs/${json.id}`)).json.error).toMatchObject({
      code: 'GATES_REFUSED',
      status: 409,
    });
    expect((await api.call('/api/v1/jobs?migration=items')).json[0].id).toBe(json.id);
    expect((await api.call('/api/v1/jobs?migration=notes')).json).toEqual([]);
  });

  test('a misspelt option moves nothing', async () => {
    const before = (await api.call('/api/v1/migrations/items/ruleset')).json;
    const { status, json } = await change('/dials', { dial: 'shadow-read', to: 10, dryrun: true });
    expect([status, json.code]).toEqual([400, 'INVALID_ARGUMENT']);
    expect((await api.call('/api/v1/migrations/items/ruleset')).json).toEqual(before);
  });
});

describe('/metrics', () => {
  test('shows what the control plane knows, as Prometheus reads it', async () => {
    const { plane } = api.operations;
    const stamp = 'f'.repeat(24) as never;
    const node = { host: 'h', pid: 7, processId: '', version: '1', name: 'api "one"\\' };
    const request = { session: 'm', attempt: 1, node, migrations: ['notes'], deadlineLimit: 0, stampLimit: stamp };
    const { incarnation } = await plane.join(request);
    const health = {
      mirrorQueue: 3,
      shed: 2,
      operations: 70,
      errors: 1,
      memoryBytes: 4_096,
      aheadMs: 0,
      highWater: stamp,
    };
    const dirt = {
      migration: 'notes',
      target: 'new',
      kind: 'lost',
      position: 5,
      key: null,
      revision: 1,
      cause: 'x',
      notBefore: null,
    } as const;
    const shadow = [{ migration: 'notes', compared: 9, divergent: 4 }];
    const report = {
      acknowledged: {},
      dirt: [dirt],
      divergences: [],
      shadow,
      deadlineLimit: 0,
      stampLimit: stamp,
      health,
    };
    await plane.report({ incarnation, ...report });
    await plane.changeSettings('notes', { holdTimeoutMs: 77 }, { actor: 'test', reason: 'lag' });
    const { headers, text } = await api.call('/metrics');
    expect(headers.get('content-type')).toMatch(/^text\/plain; version=0\.0\.4/);
    const who = `process="api \\"one\\"\\\\",incarnation="${incarnation}"`;
    const { revision } = await plane.ruleset('notes');
    for (const line of [
      `changeover_ruleset_revision{migration="notes"} ${revision}`,
      'changeover_dial{migration="notes",dial="cutover"} 0',
      'changeover_coverage{migration="notes",store="old"} 100',
      'changeover_dirty{migration="notes",kind="lost"} 1',
      'changeover_shadow_reads{migration="notes",result="equal"} 5',
      'changeover_shadow_reads{migration="notes",result="divergent"} 4',
      'changeover_fleet_processes{migration="notes"} 1',
      'changeover_handover_age_seconds{migration="notes"} 0',
      `changeover_process_memory_bytes{${who},stage="off"} 4096`,
      `changeover_process_mirror_queue{${who}} 3`,
      `changeover_fleet_lag{${who},migration="notes"} 1`,
    ]) {
      expect(text.split('\n')).toContain(line);
    }
    // Who has left is not shown for ever.
    await plane.leave({ incarnation, ...report });
    expect((await api.call('/metrics')).text).not.toContain(who);
    expect(text).toMatch(
      /changeover_http_request_seconds_count\{method="GET",route="\/api\/v1\/jobs\/:id",status="200"\} \d+/,
    );
  });
});
