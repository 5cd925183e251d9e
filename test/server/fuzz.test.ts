import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { setTimeout as pause } from 'node:timers/promises';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { MigrationStatus } from '../../src/control/status.ts';
import { until } from '../support/memory-service.ts';
import { type Answer, ApiServer } from './api-server.ts';
import { type ApiOperation, addressOf, operationsOf, spoilt, valid } from './requests.ts';

/** A stream does not end by itself; the health check has no input. */
const LEFT_OUT = new Set(['followRulesets', 'signOut']);
/** What makes everybody wait for a process that is none, or ends a migration, comes last. */
const LAST = ['control_join', 'finish', 'control_advanceFinish'];

const RUNS = 5;

let api: ApiServer;
let all: readonly ApiOperation[];

beforeEach(async () => {
  api = await ApiServer.start({ rateLimits: { perSecond: 1e6, burst: 1e6 } });
  const found = operationsOf((await api.call('/api/v1/openapi.json')).json).filter(({ id }) => !LEFT_OUT.has(id));
  all = found.toSorted((a, b) => LAST.indexOf(a.id) - LAST.indexOf(b.id));
});
afterEach(() => api?.[Symbol.asyncDispose]());

/** Without what changes by time alone: a ramp says what it waits for, and a replay how fast it is and whose. */
const untimed = ({ replay, ...status }: MigrationStatus): object => ({
  ...status,
  ramp: null,
  replay: replay === null ? null : { ...replay, runner: null, runners: 0, rate: null, etaMs: null, eased: null },
});

/** Everything that a request could change. */
async function state(): Promise<string> {
  const { plane } = api.operations;
  const migrations = await plane.migrations();
  const each = await Promise.all(
    migrations.map(async (name) => [
      await plane.ruleset(name),
      untimed(await plane.status(name)),
      // That a move was refused is in the history; it changed nothing.
      (await plane.history(name, { limit: 50 })).filter(({ kind }) => kind !== 'refusal'),
      await plane.dirt(name, null, 100),
      await plane.divergences(name, 0, 100),
      await plane.acceptances(name),
      await plane.censuses(name),
      await plane.verifications(name, { limit: 5 }),
    ]),
  );
  const tokens = (await plane.tokens()).map(({ usedAt: _, usedFrom: __, ...token }) => token);
  const fleet = await plane.fleet(null);
  return JSON.stringify([migrations, each, tokens, fleet]);
}

async function idle(): Promise<void> {
  const token = await api.token('admin');
  await until(async () => {
    const { status, text, json } = await api.call('/api/v1/jobs', { token });
    expect(status, text).toBe(200);
    return json.every((job: { state: string }) => job.state !== 'running');
  }, 'the end of all jobs');
  await stopRamps();
}

/** A ramp that goes on would move its dial while the next requests are looked at. */
async function stopRamps(): Promise<void> {
  const { plane } = api.operations;
  for (const name of await plane.migrations()) {
    const [ramp] = await plane.ramps(name, 1);
    if (ramp === undefined || ramp.finishedAt !== null) continue;
    await plane.steerRamp(name, 'stop', { actor: 'test', reason: 'test' });
    // Its driver may be in the middle of a step.
    await until(async () => {
      const before = await state();
      await pause(100);
      return (await state()) === before;
    }, 'the end of its last step');
  }
}

/** Params, query and body of an operation, of which some part may be spoilt. */
function requests(operation: ApiOperation, bad: boolean): fc.Arbitrary<{ path: string; body: unknown }> {
  const { params, query, body } = operation;
  const record = (schemas: ApiOperation['params']) =>
    fc.record(Object.fromEntries(Object.entries(schemas).map(([name, schema]) => [name, valid(schema)])), {
      noNullPrototype: true,
    });
  const texts = fc.oneof(
    fc.string({ unit: 'grapheme', maxLength: 50 }),
    fc.constantFrom('..', '%00', '1e9', '-1', 'null', "';--"),
  );
  const odd = (schemas: ApiOperation['params']) =>
    Object.keys(schemas).length === 0
      ? fc.constant({})
      : fc
          .tuple(record(schemas), fc.constantFrom(...Object.keys(schemas)), texts)
          .map(([good, name, text]) => ({ ...good, [name]: text }));
  const bodyOf = body === null ? fc.constant(undefined) : bad ? spoilt(body) : valid(body);
  return fc
    .tuple(bad && body === null ? odd(params) : record(params), bad ? odd(query) : record(query), bodyOf)
    .map(([path, search, content]) => ({ path: addressOf(operation, path, search), body: content }));
}

/** Never a failure of the server, and never a word about its inside. */
function checkAnswer(operation: ApiOperation, { status, text, headers, json }: Answer): void {
  expect(status, `${operation.id}: ${text}`).toBeLessThan(500);
  expect(text).not.toMatch(/\.ts:\d+|node_modules|\bat \w+ \(/);
  if (status < 400) return;
  expect(headers.get('content-type')).toMatch(/^application\/problem\+json/);
  expect(json).toMatchObject({ status, code: expect.stringMatching(/^[A-Z_]+$/), detail: expect.any(String) });
}

describe('requests made from the OpenAPI document', () => {
  test.each(['spoilt', 'well-formed'])(
    '%s ones never fail the server, and one that is refused has changed nothing',
    { timeout: 600_000 },
    async (kind) => {
      const outcomes = new Map<string, number>();
      for (const operation of all) {
        await fc.assert(
          fc.asyncProperty(requests(operation, kind === 'spoilt'), async ({ path, body }) => {
            // A new one each time: the last request may have been to revoke it.
            const token = await api.token('admin');
            const before = await state();
            const answer = await api.call(path, { method: operation.method, body, token });
            checkAnswer(operation, answer);
            // Somebody who joined and was never heard of again may be waited for in vain: the move is made.
            const outcome = answer.status < 400 || answer.json.code === 'FLEET_TIMEOUT' ? 'done' : 'refused';
            outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
            if (outcome === 'refused') expect(await state()).toBe(before);
            else if (operation.method !== 'GET') await idle();
          }),
          { numRuns: RUNS, endOnFailure: true },
        );
      }
      // Both ways of ending were met, or nothing was tested.
      expect(outcomes.get('refused')).toBeGreaterThan(30);
      expect(outcomes.get('done')).toBeGreaterThan(30);
    },
  );

  test.each([
    ['no JSON', '{"dial":', 400],
    ['a prototype', '{"__proto__": {"admin": true}}', 400],
    ['too much', JSON.stringify({ reason: 'x'.repeat(300_000) }), 413],
    ['nothing at all', '', 400],
  ])('%s in a body is refused', async (_, body, status) => {
    const answer = await api.call('/api/v1/migrations/items/dials', { body });
    expect(answer.status).toBe(status);
    expect(answer.json.code).toBe('INVALID_ARGUMENT');
  });

  test('what no route ever sees is refused in the same form', async () => {
    const long = await api.call(`/api/v1/migrations?name=${'x'.repeat(20_000)}`);
    expect([long.status, long.json?.code, long.json?.status]).toEqual([431, 'INVALID_ARGUMENT', 431]);
    expect(long.headers.get('content-type')).toBe('application/problem+json');
    for (const path of ['/%ff', '/api/v1/migrations/%', '/api/v1/migrations/%c3%28/history']) {
      const bent = await api.call(path);
      expect([bent.status, bent.json?.code, bent.json?.status], path).toEqual([400, 'INVALID_ARGUMENT', 400]);
      expect(bent.headers.get('content-type'), path).toContain('application/problem+json');
    }
    const { hostname, port } = new URL(api.server.url);
    const socket = connect(Number(port), hostname).end('no HTTP at all\r\n\r\n');
    const [head, body] = (await text(socket)).split('\r\n\r\n') as [string, string];
    expect(head).toMatch(/^HTTP\/1\.1 400 /);
    expect(JSON.parse(body)).toMatchObject({ status: 400, code: 'INVALID_ARGUMENT' });
  });

  test('a body of another type is refused', async () => {
    const headers = { 'content-type': 'text/plain' };
    const { status, json } = await api.call('/api/v1/migrations/items/dials', { body: '{}', headers });
    expect([status, json.code]).toEqual([415, 'INVALID_ARGUMENT']);
  });
});
