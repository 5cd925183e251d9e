import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Changeover, type MigrationDefinition, open } from '../../src/index.ts';
import { until } from '../support/memory-service.ts';
import { ApiServer, type Item } from './api-server.ts';
import { EventStream } from './event-stream.ts';

const reason = 'OPS-7';

let api: ApiServer;
let service: Changeover<Record<string, MigrationDefinition<Item>>>;
let writing = true;
let writer: Promise<void>;

beforeAll(async () => {
  api = await ApiServer.start();
  service = (await open(api.config, { name: 'items-api' })) as typeof service;
  const items = service.repository('items');
  const turn = () => new Promise<void>((resolve) => setTimeout(resolve, 5));
  writer = (async () => {
    for (let n = 1; writing; n += 1) {
      await items.put({ user: `u${n % 50}`, id: '1', n });
      await items.get({ user: `u${n % 50}`, id: '1' });
      await turn();
    }
  })();
  await api.operations.plane.changeSettings(
    'items',
    // A mirror that is slow because the machine is busy is waited for.
    { noOutsideWriters: true, shadowRecheckMs: [], mirrorTimeoutMs: 60_000, acknowledgeGraceMs: 10_000 },
    { actor: 'ada', reason },
  );
});
afterAll(async () => {
  writing = false;
  await writer;
  await service?.close();
  await api?.[Symbol.asyncDispose]();
});

const get = async (path: string) => {
  const { status, json, text } = await api.call(`/api/v1/migrations/items${path}`, { token: api.tokens.viewer });
  expect([path, status, text]).toEqual([path, 200, text]);
  return json;
};
/** A handover that takes too long on a busy machine is undone, and is asked for again. */
const move = (dial: string, to: unknown) =>
  until(async () => {
    const body = { dial, to, force: true, reason };
    return (await api.call('/api/v1/migrations/items/dials', { body })).status === 200;
  }, `${dial} ${to}`);
const repair = () => api.call('/api/v1/migrations/items/repair', { body: { reason, wait: true } });
const preview = async (dial: string, to: unknown) =>
  (await api.call('/api/v1/migrations/items/preview', { body: { dial, to }, token: api.tokens.viewer })).json;

// One walk: what each test finds is what the one before left.
describe('what a page shows of a migration that moves', () => {
  test('is its traffic over time, sampled by the server', async () => {
    await until(async () => {
      const { old } = await get('/series');
      return old.writes.some((rate: number | null) => rate !== null && rate > 0);
    }, 'the writes in the series');
    const { at, stepMs, old, fleet, from, to } = await get('/series?span=1h');
    expect([at.length, stepMs, to - from]).toEqual([720, 5_000, 3_600_000]);
    expect(old.readP99.some((ms: number | null) => ms !== null && ms >= 0)).toBe(true);
    expect(fleet.nodes).toContain(1);
    expect((await get('/series?span=24h')).at.length).toBe(1_440);
    expect((await api.call('/api/v1/migrations/items/series?span=2h')).status).toBe(400);
    expect((await api.call('/api/v1/migrations/none/series')).status).toBe(404);
  });

  test('is how much a move concerns, and how far it may go', async () => {
    await until(async () => (await preview('dual-write', 25)).moves.traffic?.writes > 0, 'the share of the writes');
    const asked = await preview('dual-write', 25);
    expect(asked).toMatchObject({ allowed: true, next: 'stamping', moves: { percent: 25, positions: [[-1, 25_000]] } });
    await move('dual-write', 40);
    const job = (await api.call('/api/v1/migrations/items/backfill', { body: { reason, wait: true } })).json;
    expect(job.rejected).toBe(0);
    const refused = await preview('cutover', 100);
    expect(refused).toMatchObject({ allowed: false, furthest: null, moves: { percent: 100 } });
    const within = await preview('cutover', 40);
    expect(within.gates.find(({ gate }: { gate: string }) => gate === 'coverage').passed).toBe(true);
    await move('dual-write', 100);
    // What a slow mirror left dirty while the dial moved is in the way, too.
    await until(async () => {
      await repair();
      return (await preview('cutover', 100)).furthest === 40;
    }, 'the furthest value');
    expect(await preview('cutover', 100)).toMatchObject({ allowed: false, furthest: 40 });
  });

  test('is where everything stands on the line', async () => {
    const line = await get('/line');
    expect(line).toMatchObject({
      dials: { dualWrite: 100_000, cutover: -1 },
      covered: { old: [[-1, 100_001]], new: [[-1, 40_000]] },
      dirty: { old: [], new: [] },
      handover: null,
      replays: [],
    });
  });

  test('is its status as it changes, on the event stream, for every page alike', async () => {
    const streams = await Promise.all(
      [api.tokens.viewer, api.tokens.operator].map((token) =>
        EventStream.open(`${api.server.url}/api/v1/events?status=true`, token),
      ),
    );
    const told = (stream: EventStream) =>
      stream.events.filter(({ event, data }) => event === 'status' && data.migration === 'items');
    for (const stream of streams) await until(() => stream.ready && told(stream).length > 0, 'the first status');
    const names = streams[0]?.events.filter(({ event }) => event === 'status').map(({ data }) => data.migration);
    expect(new Set(names)).toEqual(new Set(['items', 'notes']));
    await move('shadow-read', 10);
    for (const stream of streams) {
      await until(
        () => JSON.stringify(told(stream).at(-1)?.data['dials']).includes('"shadowRead":10'),
        'the moved dial in the status',
      );
    }
    // Exactly what the route says.
    const status = told(streams[0] as EventStream).at(-1)?.data ?? {};
    const { description: _, ...asked } = await get('');
    expect(Object.keys(status).sort()).toEqual(Object.keys(asked).sort());
    const elsewhere = await api.token('viewer', { migrations: ['notes'] });
    const other = await EventStream.open(`${api.server.url}/api/v1/events?status=true`, elsewhere);
    await until(() => other.ready, 'the other page');
    expect(other.events.filter(({ event }) => event === 'status').map(({ data }) => data.migration)).toEqual(['notes']);
    for (const stream of [...streams, other]) stream.close();
  });

  test('is what an emergency would leave behind, without asking a store', async () => {
    const nothing = await api.call('/api/v1/migrations/items/emergency', { token: api.tokens.viewer });
    expect([nothing.status, nothing.json.code]).toEqual([409, 'BUSY']);
    await move('cutover', 30);
    await until(async () => {
      await repair();
      return (await get('/emergency')).behind.lines === 0;
    }, 'an old store that misses nothing');
    const { plane } = api.operations;
    const [{ node } = { node: { id: 0 } }] = await plane.fleet('alive');
    expect(node.id).toBeGreaterThan(0);
    const { revision } = await plane.ruleset('items');
    const before = await plane.history('items', { limit: 1 });
    const outlook = await get('/emergency');
    expect(outlook).toMatchObject({
      allowed: true,
      gate: null,
      from: 30,
      to: 0,
      positions: [[-1, 30_000]],
      behind: { lines: 0, first: [] },
      nodes: 1,
      silent: expect.any(Array),
      revision,
    });
    expect(await plane.history('items', { limit: 1 })).toEqual(before);
    const forbidden = await api.call('/api/v1/migrations/items/emergency', {
      body: { reason },
      token: api.tokens.viewer,
    });
    expect(forbidden.status).toBe(403);
    const dirty = { migration: 'items', target: 'old', kind: 'lost', position: 7, key: null, revision } as const;
    const health = { mirrorQueue: 0, shed: 0, operations: 0, errors: 0, memoryBytes: 1, aheadMs: 0 };
    const stamp = '0'.repeat(24) as never;
    const request = { session: 'e', attempt: 1, migrations: ['items'], deadlineLimit: 1, stampLimit: stamp };
    const info = { host: 'h', pid: 1, processId: 'p', version: '1', name: 'other' };
    const { incarnation } = await plane.join({ ...request, node: info });
    await plane.leave({
      ...{ incarnation, acknowledged: {}, divergences: [], shadow: [], deadlineLimit: 1, stampLimit: stamp },
      dirt: [{ ...dirty, cause: 'timed out', notBefore: null }],
      health: { ...health, highWater: stamp },
    });
    expect((await get('/emergency')).behind).toMatchObject({
      lines: 1,
      first: [{ from: 7, to: 8, kind: 'lost', cause: 'timed out' }],
    });
    expect((await get('/line')).dirty.old).toEqual([[7, 8]]);
  });

  test('is the report of a verification, in every form', async () => {
    await move('shadow-read', 0);
    await repair();
    const verified = await api.call('/api/v1/migrations/items/verify', { body: { reason, wait: true } });
    expect(verified.status).toBe(200);
    const [line] = (await get('/verifications')).rows;
    expect(line.reportKept).toBe(true);
    const report = (format: string, id = line.id) =>
      api.call(`/api/v1/migrations/items/verifications/${id}/report?format=${format}`, { token: api.tokens.viewer });
    const json = await report('json');
    expect(json.json).toMatchObject({ migration: 'items', verdict: line.verdict });
    const html = await report('html');
    expect(html.headers.get('content-type')).toMatch(/^text\/html/);
    expect(html.headers.get('content-security-policy')).toMatch(/default-src 'none'.*frame-ancestors 'self'/);
    expect(html.headers.get('content-security-policy')).not.toContain('unsafe');
    expect(html.text).toContain('<!doctype html>');
    for (const [format, type, begin] of [
      ['markdown', 'text/markdown', '#'],
      ['junit', 'application/xml', '<?xml'],
      ['text', 'text/plain', ''],
    ] as const) {
      const { status, headers, text } = await report(format);
      expect([status, headers.get('content-type')?.startsWith(type), text.startsWith(begin)]).toEqual([
        200,
        true,
        true,
      ]);
    }
    const saved = await api.call(`/api/v1/migrations/items/verifications/${line.id}/report?format=html&download=true`);
    expect(saved.headers.get('content-disposition')).toBe(`attachment; filename="items-verification-${line.id}.html"`);
    const gone = await report('json', 999_999);
    expect([gone.status, gone.json.code]).toEqual([404, 'NOT_FOUND']);
  });

  test('is what the doctor finds', async () => {
    const { status, json } = await api.call('/api/v1/migrations/items/doctor', {
      body: { reason, dryRun: true },
      token: api.tokens.operator,
    });
    expect([status, json.migration, json.control.kind]).toEqual([200, 'items', 'sqlite']);
    expect(JSON.stringify(json)).not.toContain(api.folder);
    expect(
      (await api.call('/api/v1/migrations/items/doctor', { body: { reason }, token: api.tokens.viewer })).status,
    ).toBe(403);
  });
});
