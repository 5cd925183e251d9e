import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ROLES, type Role } from '../../src/control/storage.ts';
import type { Stamp } from '../../src/core/stamp.ts';
import { ApiServer } from './api-server.ts';
import { type ApiOperation, addressOf, operationsOf, valid } from './requests.ts';

/**
 * The least role of every operation, written down by hand: a route that is new, or that has come to let others in, is
 * found here.
 */
const LEAST: Readonly<Record<Role | 'public', readonly string[]>> = {
  public: ['healthy', 'ready', 'openapi', 'signIn', 'signInOptions'],
  viewer: [
    'metrics',
    'whoAmI',
    'signOut',
    'listMigrations',
    'getMigration',
    'getRuleset',
    'getHistory',
    'getFleet',
    'getDirt',
    'getDivergences',
    'getVerifications',
    'getRoute',
    ...['listRamps', 'control_ramps'],
    ...['getSeries', 'getLine', 'getAcknowledgements', 'previewEmergency', 'getReport'],
    ...['traffic', 'series', 'statuses', 'divergencePage', 'historyPage'].map((name) => `control_${name}`),
    ...['line', 'acknowledgements', 'emergencyOutlook', 'moveShare'].map((name) => `control_${name}`),
    'listFleet',
    'listJobs',
    'getJob',
    'previewMove',
    'followRulesets',
    'controlMethods',
    ...['rulesets', 'ruleset', 'ensureMigration', 'behind', 'status', 'migrations', 'fleet', 'history', 'dirt'].map(
      (name) => `control_${name}`,
    ),
    ...[
      'verifications',
      'verificationReport',
      'divergences',
      'burialFacts',
      'runningReplay',
      'replayPartitions',
      'dirtOf',
      'fleetGate',
    ].map((name) => `control_${name}`),
    ...['replayWork', 'openReplays'].map((name) => `control_${name}`),
    ...['censuses', 'acceptances', 'writable'].map((name) => `control_${name}`),
    // These ask for more where they change something: see below.
    'control_move',
  ],
  service: [
    ...['join', 'report', 'leave', 'stepHandover', 'cancelHandover', 'bury', 'checkpoint', 'promiseDeadline'].map(
      (name) => `control_${name}`,
    ),
    ...['releaseReplay', 'endReplay', 'clearDirt', 'addRejected'].map((name) => `control_${name}`),
    ...['takePartition', 'checkpointPartition', 'releasePartition', 'freePartition'].map((name) => `control_${name}`),
    'control_beginReplay',
  ],
  operator: [
    ...['startRamp', 'steerRamp', 'control_startRamp', 'control_steerRamp'],
    'doctor',
    'resumeJob',
    'moveDial',
    'moveStage',
    'moveUnit',
    'rollBack',
    'rollBackAtOnce',
    'finishHandover',
    'cancelHandover',
    'changeSettingsOf',
    'preload',
    'backfill',
    'repair',
    'verify',
    'prepare',
    'takeCensus',
    'inspect',
    'accept',
    'cancelReplay',
    'pauseReplay',
    'cancelJob',
    ...['beginPreload', 'settlePreload'].map((name) => `control_${name}`),
    ...['advanceStamping', 'changeSettings', 'changeCohort', 'beginEmergency', 'cancelReplay', 'pauseReplay'].map(
      (name) => `control_${name}`,
    ),
    ...[
      'recordDivergences',
      'clearDivergences',
      'recordVerification',
      'recordCensus',
      'accept',
      'declareEnded',
      'holdProof',
      'releaseProof',
    ].map((name) => `control_${name}`),
  ],
  admin: [
    'revealDivergence',
    'control_noteReveal',
    'listTokens',
    'createToken',
    'revokeToken',
    'finish',
    ...['advanceFinish', 'recordCleaned', 'createToken', 'tokens', 'revokeToken'].map((name) => `control_${name}`),
  ],
};

/** Calls that open a stream or end the session are looked at elsewhere. */
const ELSEWHERE = new Set(['followRulesets', 'signIn']);

let api: ApiServer;
let all: readonly ApiOperation[];

beforeAll(async () => {
  api = await ApiServer.start({ rateLimits: { perSecond: 1e6, burst: 1e6 } });
  all = operationsOf((await api.call('/api/v1/openapi.json', { token: null })).json);
});
afterAll(() => api?.[Symbol.asyncDispose]());

/** A request of which nothing is wrong but perhaps who sends it. */
function request(operation: ApiOperation, seed: number): { readonly path: string; readonly body: unknown } {
  const one = <T>(from: fc.Arbitrary<T>): T => fc.sample(from, { numRuns: 1, seed })[0] as T;
  const params = Object.fromEntries(
    Object.entries(operation.params).map(([name, schema]) => [name, name === 'name' ? 'items' : one(valid(schema))]),
  );
  const query = operation.id === 'getRoute' ? { unit: '"ada"' } : {};
  return {
    path: addressOf(operation, params, query),
    body: operation.body === null ? undefined : one(valid(operation.body)),
  };
}

const refusedForRole = (code: unknown): boolean => code === 'FORBIDDEN' || code === 'UNAUTHENTICATED';

describe('who may call what', () => {
  test('is written down for every operation of the OpenAPI document, and for no other', () => {
    const said = Object.entries(LEAST).flatMap(([role, ids]) => ids.map((id) => `${id}: ${role}`));
    expect(all.map(({ id, role }) => `${id}: ${role}`).sort()).toEqual(said.sort());
  });

  test('nobody gets in anywhere without a token, with a wrong one, or with one in the wrong place', async () => {
    const wrong = api.tokens.admin.replace(/.$/, (last) => (last === 'A' ? 'B' : 'A'));
    for (const operation of all.filter(({ role }) => role !== 'public')) {
      const { path, body } = request(operation, 1);
      const { method } = operation;
      // Few wrong tokens from one address: more would be a guesser's, and are refused as such.
      const answers = [await api.call(path, { method, body, token: null })];
      if (operation.id === 'whoAmI') {
        answers.push(await api.call(path, { method, body, token: wrong }));
        answers.push(await api.call(path, { method, body, token: null, headers: { authorization: api.tokens.admin } }));
        const cookie = `changeover_session=${api.tokens.admin}`;
        answers.push(await api.call(path, { method, body, token: null, headers: { cookie } }));
      }
      for (const { status, json, headers } of answers) {
        expect([operation.id, status, json.code]).toEqual([operation.id, 401, 'UNAUTHENTICATED']);
        expect(headers.get('content-type')).toMatch(/^application\/problem\+json/);
        expect(headers.get('www-authenticate')).toContain('Bearer');
      }
    }
  });

  test.each(ROLES)('the role %s may call its own operations and those below, and nothing above', async (role) => {
    const rank = (of: string): number => ROLES.indexOf(of as Role);
    for (const operation of all.filter(({ id }) => !ELSEWHERE.has(id))) {
      const { path, body } = request(operation, 7);
      // A well-formed request that may do nothing: an allowed one must not change what the next role meets.
      const harmless =
        rank(role) < rank(operation.role) ? body : operation.body === null ? undefined : { unheardOf: 1 };
      if (operation.method === 'DELETE' && rank(role) >= rank(operation.role)) continue;
      const { status, json } = await api.call(path, {
        method: operation.method,
        body: harmless,
        token: api.tokens[role],
      });
      if (rank(role) < rank(operation.role)) {
        expect([operation.id, status, json.code]).toEqual([operation.id, 403, 'FORBIDDEN']);
      } else {
        expect([operation.id, refusedForRole(json?.code), status < 500]).toEqual([operation.id, false, true]);
      }
    }
  });

  test('a viewer may preview a move over the control plane, and an operator make it', async () => {
    const revision = async () => (await api.call('/api/v1/migrations/items')).json.revision;
    const request = (dryRun: boolean) => ({
      request: {
        actor: 'x',
        reason: 'y',
        migration: 'items',
        move: { dial: 'dual-write', to: 0 },
        evidence: { prepared: null, findings: { old: null, new: null }, mapping: '' },
        force: false,
        dryRun,
        ifRevision: null,
      },
    });
    const before = await revision();
    const call = (dryRun: boolean, role: Role) =>
      api.call('/api/v1/control/move', { body: request(dryRun), token: api.tokens[role] });
    expect((await call(true, 'viewer')).status).toBe(200);
    expect((await call(false, 'viewer')).status).toBe(403);
    expect((await call(false, 'service')).status).toBe(403);
    expect((await call(false, 'operator')).json.code).toBe('GATES_REFUSED');
    // What only the server itself says of a move is not taken from anybody else.
    for (const ramp of [null, 5, { ramp: 1, runner: 'mine' }]) {
      const body = { request: { ...request(false).request, ramp, reason: `as a ramp ${JSON.stringify(ramp)}` } };
      const { json } = await api.call('/api/v1/control/move', { body, token: api.tokens.operator });
      expect(json.code).toBe('GATES_REFUSED');
      const [line] = (await api.call('/api/v1/migrations/items/history?limit=1')).json.rows;
      expect(line).toMatchObject({ kind: 'refusal', reason: body.request.reason });
    }
    expect(await revision()).toBe(before);
  });

  test('a token for some migrations sees and touches no other', async () => {
    const token = await api.token('operator', { migrations: ['notes'] });
    const names = (await api.call('/api/v1/migrations', { token })).json.map(
      (each: { migration: string }) => each.migration,
    );
    expect(names).toEqual(['notes']);
    expect((await api.call('/api/v1/control/migrations', { token, body: {} })).json.result).toEqual(['notes']);
    const about = { reason: 'r', settings: { putTimeoutMs: 1_000 } };
    for (const operation of all.filter(({ params, role }) => 'name' in params && role !== 'admin')) {
      const { path, body } = request(operation, 3);
      const { status, json } = await api.call(path, { method: operation.method, body, token });
      expect([operation.id, status, json.code]).toEqual([operation.id, 403, 'FORBIDDEN']);
    }
    for (const [method, body] of [
      ['ruleset', { name: 'items' }],
      ['rulesets', { migrations: ['notes', 'items'] }],
      ['changeSettings', { name: 'items', change: about.settings, authorship: { actor: '', reason: 'r' } }],
      ['writable', {}],
    ] as const) {
      const { status } = await api.call(`/api/v1/control/${method}`, { body, token });
      expect([method, status]).toEqual([method, method === 'writable' ? 200 : 403]);
    }
    const patched = await api.call('/api/v1/migrations/notes/settings', { method: 'PATCH', body: about, token });
    expect(patched.status).toBe(200);
    const admin = await api.token('admin', { migrations: ['notes'] });
    for (const path of ['/api/v1/tokens', '/metrics'])
      expect((await api.call(path, { token: admin })).status).toBe(403);
    expect((await api.call('/api/v1/control/tokens', { token: admin, body: {} })).status).toBe(403);
  });

  test('a process reports for itself only where its token may', async () => {
    const items = await api.token('service', { migrations: ['items'] });
    const notes = await api.token('service', { migrations: ['notes'] });
    const node = { host: 'h', pid: 1, processId: '', version: '1', name: 'svc' };
    const join = {
      session: 's',
      attempt: 1,
      node,
      migrations: ['items'],
      deadlineLimit: 1,
      stampLimit: '0'.repeat(24),
    };
    const joined = await api.call('/api/v1/control/join', { body: { request: join }, token: items });
    expect(joined.status).toBe(200);
    const health = {
      ...{ mirrorQueue: 0, shed: 0, operations: 0, errors: 0, memoryBytes: 0, aheadMs: 0 },
      highWater: '0'.repeat(24),
    };
    const report = {
      incarnation: joined.json.result.incarnation,
      ...{ acknowledged: { items: 1 }, dirt: [], divergences: [], shadow: [], deadlineLimit: 1 },
      stampLimit: '0'.repeat(24),
      health,
    };
    const leave = (token: string) => api.call('/api/v1/control/leave', { body: { report }, token });
    expect((await leave(notes)).status).toBe(403);
    expect((await leave(items)).status).toBe(200);
  });

  const joinBoth = (session: string, name: string) =>
    api.operations.plane.join({
      ...{ session, attempt: 1, migrations: ['items', 'notes'], deadlineLimit: 1, stampLimit: '0'.repeat(24) as Stamp },
      node: { host: 'h', pid: 1, processId: '', version: '1', name },
    });

  test('a token for some migrations sees of a process only those, and not its session', async () => {
    const { incarnation } = await joinBoth('secret-session', 'both');
    const zero = '0'.repeat(24) as Stamp;
    await api.operations.plane.report({
      ...{ incarnation, acknowledged: {}, dirt: [], divergences: [], shadow: [], deadlineLimit: 1, stampLimit: zero },
      health: {
        ...{ mirrorQueue: 3, mirrorQueues: { items: 1, notes: 2 }, shed: 0, operations: 0, errors: 0 },
        ...{ memoryBytes: 0, aheadMs: 0, highWater: zero },
      },
    });
    const token = await api.token('service', { migrations: ['notes'] });
    const lists = [
      (await api.call('/api/v1/fleet', { token })).json,
      (await api.call('/api/v1/migrations/notes/fleet', { token })).json,
      (await api.call('/api/v1/control/fleet', { token, body: { state: 'alive' } })).json.result,
    ];
    for (const list of lists) {
      const line = list.find(
        (each: { name?: string; node?: { info: object } }) => (each.name ?? each.node) !== undefined,
      );
      expect(Object.keys(line.acknowledged)).toEqual(['notes']);
      expect((line.health ?? line.node.health).mirrorQueues).toEqual({ notes: 2 });
      expect(JSON.stringify(list)).not.toMatch(/items|secret-session/);
    }
    const whole = (await api.call('/api/v1/fleet')).json;
    expect(whole.some((line: { acknowledged: object }) => 'items' in line.acknowledged)).toBe(true);
    const burial = { actor: 'a', reason: 'r', incarnation, deadlineLimit: 0, notBefore: null };
    await api.call('/api/v1/control/bury', { body: { burial } });
  });

  test('who buries a process writes the history of a burial, whatever else the call says', async () => {
    const { incarnation } = await joinBoth('another-session', 'gone');
    const forged = { kind: 'move', summary: 'cutover 0 % → 100 %', gates: [{ gate: 'coverage', passed: true }] };
    const burial = { actor: 'a', reason: 'r', incarnation, deadlineLimit: 0, notBefore: null, ...forged };
    const { status } = await api.call('/api/v1/control/bury', { body: { burial }, token: api.tokens.service });
    expect(status).toBe(200);
    const [line] = (await api.call('/api/v1/migrations/items/history?limit=1')).json.rows;
    expect(line).toMatchObject({ kind: 'burial', gates: [] });
    expect(line.summary).toMatch(/ended without leaving/);
    expect(line.actor).toMatch(/^service .* for a \(/);
  });

  test('a report that is shown is one of its verification, and what cannot be written is said so', async () => {
    const body = (document: unknown) => ({
      row: {
        ...{ id: 0, migration: 'items', verdict: 'divergent', positions: [], revision: 1, mapping: 'm' },
        ...{ startedAt: 1, finishedAt: 2, expiresAt: 3, report: null },
      },
      authorship: { actor: 'a', reason: 'r' },
      document,
    });
    const record = (document: unknown) => api.call('/api/v1/control/recordVerification', { body: body(document) });
    const own = { migration: 'items', verdict: 'divergent', revision: 1 };
    for (const other of [{}, null, 'x', { ...own, verdict: 'consistent' }, { ...own, migration: 'notes' }]) {
      expect((await record(other)).json.code).toBe('INVALID_ARGUMENT');
    }
    const { result } = (await record(own)).json;
    const shown = await api.call(`/api/v1/migrations/items/verifications/${result}/report?format=html`);
    expect([shown.status, shown.json.code]).toEqual([422, 'NOT_SUPPORTED']);
  });
});
