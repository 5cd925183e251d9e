import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { DivergenceReport, NodeReport } from '../../src/core/control-client.ts';
import { STAMP_MIN } from '../../src/core/stamp.ts';
import { open } from '../../src/index.ts';
import { ApiServer } from './api-server.ts';

const WHY = { actor: 'ada', reason: 'test' };
const KINDS = ['missing', 'extra', 'different', 'stale'] as const;

let api: ApiServer;
beforeAll(async () => {
  api = await ApiServer.start();
});
afterAll(() => api?.[Symbol.asyncDispose]());

const get = async (path: string, token?: string) => api.call(`/api/v1/migrations/${path}`, token ? { token } : {});

describe('divergences', () => {
  const COUNT = 1_200;
  const line = (i: number): DivergenceReport => ({
    migration: 'items',
    key: { user: `u${i}`, id: `r${i}` },
    position: i,
    kind: KINDS[i % 4] as (typeof KINDS)[number],
    cause: null,
    fields: [{ path: i % 100 === 2 ? 'address.street' : 'n', old: '1 digit', new: '2 digits' }],
    at: 1_000 + i,
  });
  beforeAll(() =>
    api.operations.plane.recordDivergences(
      'items',
      Array.from({ length: COUNT }, (_, i) => line(i)),
    ),
  );

  /** All pages of a query. */
  async function all(
    query: string,
  ): Promise<{ rows: { id: number; kind: string; key: { user: string } }[]; pages: number }> {
    const rows = [];
    let pages = 0;
    for (let after: number | null = 0; after !== null; pages += 1) {
      const { status, json } = await get(`items/divergences?limit=100&after=${after}${query}`);
      expect(status).toBe(200);
      expect(json.rows.length).toBeLessThanOrEqual(100);
      rows.push(...json.rows);
      after = json.next;
    }
    return { rows, pages };
  }

  test('come by pages, each once, with how many there are of each kind', async () => {
    const { rows } = await all('');
    expect(rows.map(({ key }) => key.user)).toEqual(Array.from({ length: COUNT }, (_, i) => `u${i}`));
    const { json } = await get('items/divergences?limit=1');
    expect(json.counts).toEqual({ missing: 300, extra: 300, different: 300, stale: 300 });
  });

  test('are filtered by kind, by a field or what lies below it, and by key', async () => {
    const extra = await all('&kind=extra');
    expect(extra.rows.length).toBe(300);
    expect(new Set(extra.rows.map(({ kind }) => kind))).toEqual(new Set(['extra']));
    expect((await all('&field=address')).rows.map(({ key }) => key.user)).toEqual(
      Array.from({ length: 12 }, (_, i) => `u${i * 100 + 2}`),
    );
    expect((await all('&field=addr')).rows).toEqual([]);
    expect((await all('&field=n&kind=missing')).rows.length).toBe(300);
    expect((await all('&key=u1199')).rows.length).toBe(1);
  });

  test('are unmasked for an admin only, as both stores hold them now, and that is in the history', async () => {
    const service = await open(api.config, { name: 'svc' });
    await service.repository('items').put({ user: 'u2', id: 'r2', n: 7 });
    await service.close();
    const { rows } = (await get('items/divergences?key=u2%22&limit=1000')).json;
    const { id } = rows.find(({ key }: { key: { user: string } }) => key.user === 'u2');
    const path = `/api/v1/migrations/items/divergences/${id}/values`;
    const reason = 'a customer asks';
    const refused = await api.call(path, { body: { reason }, token: api.tokens.operator });
    expect([refused.status, refused.json.code]).toEqual([403, 'FORBIDDEN']);
    expect((await api.call(path, { body: {} })).status).toBe(400);
    const before = await api.operations.plane.history('items', { limit: 1 });
    expect(before[0]?.kind).not.toBe('reveal');
    const { status, json } = await api.call(path, { body: { reason } });
    expect(status).toBe(200);
    expect(json).toMatchObject({
      present: { old: true, new: false },
      fields: [{ path: '', old: { user: 'u2', id: 'r2', n: 7 }, new: null }],
    });
    const [line] = await api.operations.plane.history('items', { limit: 1 });
    expect(line).toMatchObject({ kind: 'reveal', reason, actor: expect.stringMatching(/^admin/) });
    const gone = await api.call('/api/v1/migrations/notes/divergences/1/values', { body: { reason } });
    expect([gone.status, gone.json.code]).toEqual([404, 'NOT_FOUND']);
  });
});

describe('history', () => {
  test('is filtered by kind, by time and by what it says, over pages', async () => {
    const { plane } = api.operations;
    for (let i = 0; i < 30; i += 1) {
      await plane.changeSettings(
        'notes',
        { holdTimeoutMs: 2_000 + i },
        { actor: i % 2 ? 'Bob' : 'ada', reason: `OPS-${i}` },
      );
    }
    await plane.advanceStamping('notes', WHY);
    const kinds = (json: { rows: { kind: string }[] }) => json.rows.map(({ kind }) => kind);
    expect(kinds((await get('notes/history?kinds=stamping')).json)).toEqual(['stamping']);
    const both = (await get('notes/history?kinds=stamping,settings&limit=1000')).json;
    expect(new Set(kinds(both))).toEqual(new Set(['stamping', 'settings']));
    const bobs = (await get('notes/history?search=bOb&limit=10')).json;
    expect(bobs.rows.map(({ actor }: { actor: string }) => actor)).toEqual(new Array(10).fill('Bob'));
    const rest = (await get(`notes/history?search=bob&limit=10&before=${bobs.next}`)).json;
    expect([rest.rows.length, rest.next]).toEqual([5, null]);
    expect((await get('notes/history?search=OPS-7')).json.rows.length).toBe(1);
    const { at } = both.rows[10];
    const since = (await get(`notes/history?since=${at}&limit=1000`)).json.rows;
    const until = (await get(`notes/history?until=${at}&limit=1000`)).json.rows;
    expect(since.every((row: { at: number }) => row.at >= at)).toBe(true);
    expect(until.every((row: { at: number }) => row.at < at)).toBe(true);
    expect(since.length + until.length).toBe((await get('notes/history?limit=1000')).json.rows.length);
  });
});

describe('the fleet', () => {
  test('is paged, searched, and shown by who has not acknowledged', async () => {
    const { plane } = api.operations;
    const { revision: first } = await plane.ruleset('items');
    const incarnations: number[] = [];
    for (let i = 0; i < 25; i += 1) {
      const node = { host: `host-${i % 5}`, pid: 100 + i, processId: 'p', version: '9.9.9', name: `worker-${i}` };
      const request = { session: `l${i}`, attempt: 1, node, migrations: ['items'], deadlineLimit: 1 };
      incarnations.push((await plane.join({ ...request, stampLimit: STAMP_MIN })).incarnation);
    }
    const { revision } = await plane.changeSettings('items', { holdTimeoutMs: 3_333 }, WHY);
    const report = (incarnation: number): NodeReport => ({
      ...{ incarnation, acknowledged: { items: revision }, dirt: [], divergences: [], shadow: [] },
      ...{ deadlineLimit: 1, stampLimit: STAMP_MIN },
      health: { mirrorQueue: 0, shed: 0, operations: 0, errors: 0, memoryBytes: 1, aheadMs: 0, highWater: STAMP_MIN },
    });
    for (const incarnation of incarnations.slice(5)) await plane.report(report(incarnation));

    const page = (await get('items/fleet?search=worker&limit=10')).json;
    expect(page.map((line: { incarnation: number }) => line.incarnation)).toEqual(incarnations.slice(0, 10));
    const next = (await get(`items/fleet?search=worker&limit=100&after=${page[9].incarnation}`)).json;
    expect(next.length).toBe(15);
    expect((await get('items/fleet?search=HOST-3')).json.length).toBe(5);
    const behind = (await get('items/fleet?behind=true')).json;
    expect(behind.map((line: { name: string }) => line.name)).toEqual([0, 1, 2, 3, 4].map((i) => `worker-${i}`));

    const told = (await get('items/acknowledgements')).json;
    expect(told).toMatchObject({ revision, nodes: 25, acknowledged: 20 });
    expect(told.waitingFor.map((each: { incarnation: number }) => each.incarnation)).toEqual(incarnations.slice(0, 5));
    expect((await get(`items/acknowledgements?revision=${first}`)).json).toMatchObject({
      acknowledged: 25,
      waitingFor: [],
    });
    for (const incarnation of incarnations) await plane.leave(report(incarnation));
  });
});
