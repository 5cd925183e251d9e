import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { control } from '../../src/index.ts';
import { startServer } from '../../src/server/index.ts';
import { until } from '../support/memory-service.ts';
import { ApiServer } from './api-server.ts';

let api: ApiServer;
beforeAll(async () => {
  api = await ApiServer.start({ trustProxy: 'loopback' });
});
afterAll(() => api?.[Symbol.asyncDispose]());

const cookieOf = (headers: Headers): string => (headers.get('set-cookie') ?? '').split(';')[0] as string;

async function signIn(token: string): Promise<string> {
  const { status, headers } = await api.call('/api/v1/session', { body: { token }, token: null });
  expect(status).toBe(201);
  return cookieOf(headers);
}

/** So seldom that the time which a test takes adds nothing. */
const SELDOM = { perSecond: 0.01, burst: 5 };

const settings = { settings: { holdTimeoutMs: 4_000 }, reason: 'try' };

describe('a session of the console', () => {
  test('is a cookie that no script and no other site can use', async () => {
    const { headers, json } = await api.call('/api/v1/session', { body: { token: api.tokens.viewer }, token: null });
    const cookie = headers.get('set-cookie') ?? '';
    expect(cookie).toMatch(/^changeover_session=chg_\d+_[\w-]{43}; Path=\/; HttpOnly; SameSite=Strict; Max-Age=\d+$/);
    expect(cookie).not.toContain(api.tokens.viewer);
    expect(json).toMatchObject({ role: 'viewer', migrations: null });
    const secure = await api.call('/api/v1/session', {
      body: { token: api.tokens.viewer },
      token: null,
      headers: { 'x-forwarded-proto': 'https' },
    });
    expect(secure.headers.get('set-cookie')).toMatch(/; Secure$/);
    expect(secure.headers.get('strict-transport-security')).toMatch(/^max-age=\d+$/);
    expect(headers.get('strict-transport-security')).toBe(null);
  });

  test('reads as its token may, and writes only with the header of its own pages', async () => {
    const cookie = await signIn(api.tokens.operator);
    const call = (headers: Record<string, string>, body?: object) =>
      api.call(`/api/v1/migrations/items${body === undefined ? '' : '/settings'}`, {
        token: null,
        headers: { cookie: `other=1; ${cookie}`, ...headers },
        ...(body === undefined ? {} : { method: 'PATCH', body }),
      });
    expect((await call({})).status).toBe(200);
    expect((await call({}, settings)).json.code).toBe('FORBIDDEN');
    expect((await call({ 'x-changeover': '1' }, settings)).status).toBe(200);
    const rows = await api.operations.plane.history('items', { limit: 1 });
    expect(rows[0]).toMatchObject({ reason: 'try', actor: expect.stringMatching(/^operator .* \(127\.0\.0\.1\)$/) });
  });

  test('ends by signing out, and with the token that opened it', async () => {
    const whoAmI = async (cookie: string) =>
      (await api.call('/api/v1/session', { token: null, headers: { cookie } })).status;
    const one = await signIn(api.tokens.viewer);
    const out = { method: 'DELETE', token: null, headers: { cookie: one, 'x-changeover': '1' } };
    const { status, headers } = await api.call('/api/v1/session', out);
    expect(status).toBe(204);
    expect(headers.get('set-cookie')).toContain('Max-Age=0');
    await until(async () => (await whoAmI(one)) === 401, 'the end of the session');

    const token = await api.token('admin', { name: 'leaver' });
    const two = await signIn(token);
    expect(await whoAmI(two)).toBe(200);
    const id = (await api.operations.plane.tokens()).find(({ name }) => name === 'leaver')?.id;
    expect((await api.call(`/api/v1/tokens/${id}`, { method: 'DELETE' })).json.revokedAt).toEqual(expect.any(Number));
    await until(async () => (await whoAmI(two)) === 401, 'the end of the other session');
    expect((await api.call('/api/v1/session', { body: { token }, token: null })).status).toBe(401);
  });

  test('opens no other one, and is no token', async () => {
    const cookie = await signIn(api.tokens.viewer);
    const text = cookie.slice(cookie.indexOf('=') + 1);
    expect((await api.call('/api/v1/session', { body: { token: text }, token: null })).status).toBe(403);
    expect((await api.call('/api/v1/session', { token: text })).status).toBe(401);
  });
});

describe('tokens', () => {
  test('are shown once, work at once, and are kept as hashes', async () => {
    const body = { name: 'ci', role: 'viewer', migrations: ['items'] };
    const { status, json } = await api.call('/api/v1/tokens', { body });
    expect(status).toBe(201);
    const who = await api.call('/api/v1/session', { token: json.token });
    expect(who.json).toEqual({ name: 'ci', role: 'viewer', migrations: ['items'], expiresAt: null });
    const list = await api.call('/api/v1/tokens');
    // The secret may itself hold a '_'.
    const secret = json.token.split('_').slice(2).join('_');
    expect(secret).toHaveLength(43);
    expect(list.text).not.toContain(secret);
    expect(list.text).not.toContain('hash');
    expect(list.json.find((each: { name: string }) => each.name === 'ci')).toMatchObject({
      role: 'viewer',
      revokedAt: null,
    });
    const stored = await api.operations.plane.tokenRow(json.id);
    expect(JSON.stringify(stored)).not.toContain(secret);
    await until(async () => (await api.operations.plane.tokenRow(json.id))?.usedAt != null, 'the last use');
    expect((await api.operations.plane.tokenRow(json.id))?.usedFrom).toBe('127.0.0.1');
  });

  test('may not share a name, be for a migration that there is not, or have expired', async () => {
    const create = (body: object) => api.call('/api/v1/tokens', { body: { role: 'viewer', ...body } });
    expect((await create({ name: 'twin' })).status).toBe(201);
    expect((await create({ name: 'twin' })).json.code).toBe('INVALID_ARGUMENT');
    expect((await create({ name: 'x', migrations: ['unheard'] })).json.code).toBe('UNKNOWN_MIGRATION');
    expect((await create({ name: 'y', expiresAt: 1 })).json.code).toBe('INVALID_ARGUMENT');
  });

  test('end when they expire', async () => {
    const token = await api.token('viewer', { expiresAt: Date.now() + 300 });
    await until(async () => (await api.call('/api/v1/session', { token })).status === 401, 'its end');
  });

  test('cannot be guessed: wrong ones are refused altogether after a while, right ones are not', async () => {
    const guess = (i: number) => api.call('/api/v1/session', { token: `chg_1_${String(i).padStart(43, '0')}` });
    const statuses = new Set<number>();
    // So many at once that it does not matter how slow they are.
    await until(async () => {
      const answers = await Promise.all(Array.from({ length: 40 }, (_, i) => guess(i)));
      for (const { status } of answers) statuses.add(status);
      const limited = answers.find(({ status }) => status === 429);
      if (limited === undefined) return false;
      expect(limited.json).toMatchObject({ code: 'RATE_LIMITED', retryable: true });
      expect(Number(limited.headers.get('retry-after'))).toBeGreaterThan(0);
      return true;
    }, 'the limit');
    expect(statuses).toEqual(new Set([401, 429]));
    expect((await api.call('/api/v1/session')).status).toBe(200);
    // Also when what is remembered of it has to be looked up again, and others behind its address go on guessing.
    await new Promise((resolve) => setTimeout(resolve, 1_100));
    for (let i = 0; i < 5; i += 1) await guess(100 + i);
    expect((await api.call('/api/v1/session')).status).toBe(200);
  });
});

describe('signing in', () => {
  test('is limited like any other request: of wrong tokens by address, of a right one by itself', async () => {
    await using limited = await ApiServer.start({ rateLimits: SELDOM });
    const signIns = (count: number, token: (i: number) => string): Promise<number[]> =>
      Promise.all(
        Array.from({ length: count }, async (_, i) => {
          const { status } = await limited.call('/api/v1/session', { body: { token: token(i) }, token: null });
          return status;
        }),
      );
    const right = await signIns(12, () => limited.tokens.viewer);
    expect(new Set(right)).toEqual(new Set([201, 429]));
    expect((await limited.call('/api/v1/session', { token: limited.tokens.operator })).status).toBe(200);
    const wrong = new Set<number>();
    await until(async () => {
      for (const status of await signIns(40, (i) => `chg_1_${String(i).padStart(43, '0')}`)) wrong.add(status);
      return wrong.has(429);
    }, 'the limit');
    expect(wrong).toEqual(new Set([401, 429]));
    expect((await limited.call('/api/v1/session', { token: limited.tokens.operator })).status).toBe(200);
  });

  test('over TLS gives a cookie for TLS only, also through a proxy that nobody said to trust', async () => {
    const said: string[] = [];
    const note = (_fields: object, message: string) => said.push(message);
    const logger = { debug() {}, info() {}, warn: note, error() {}, isLevelEnabled: () => true };
    await using plain = await ApiServer.start({ logger });
    const cookie = async (headers: Readonly<Record<string, string>>): Promise<string> => {
      const body = { token: plain.tokens.viewer };
      return (await plain.call('/api/v1/session', { body, token: null, headers })).headers.get('set-cookie') ?? '';
    };
    expect(await cookie({})).not.toContain('Secure');
    expect(await cookie({ origin: 'http://changeover.internal' })).not.toContain('Secure');
    expect(await cookie({ origin: 'https://changeover.internal' })).toMatch(/; Secure$/);
    expect(said).toEqual([]);
    const through = { 'x-forwarded-for': '192.0.2.7', 'x-forwarded-proto': 'https' };
    for (let i = 0; i < 2; i += 1) expect(await cookie(through)).toMatch(/; Secure$/);
    expect(said).toEqual([expect.stringContaining('--trust-proxy')]);
  });
});

describe('the server', () => {
  test('limits the requests of one token, not those of others', async () => {
    await using limited = await ApiServer.start({ rateLimits: SELDOM });
    const statuses = await Promise.all(
      Array.from(
        { length: 12 },
        async () => (await limited.call('/api/v1/session', { token: limited.tokens.viewer })).status,
      ),
    );
    expect(statuses.filter((status) => status === 200).length).toBeGreaterThanOrEqual(5);
    expect(statuses).toContain(429);
    expect((await limited.call('/api/v1/session', { token: limited.tokens.operator })).status).toBe(200);
  });

  test('makes the first token where nobody has one, and then no other', async () => {
    const folder = `${api.folder}/fresh.db`;
    const operations = await control({ ...api.config, control: `sqlite:${folder}` });
    const options = { operations, version: '0', port: 0 };
    await expect(startServer({ ...options, host: '0.0.0.0' })).rejects.toMatchObject({ code: 'INVALID_CONFIGURATION' });
    const first = await startServer(options);
    expect(first.firstToken).toMatch(/^chg_1_/);
    const headers = { authorization: `Bearer ${first.firstToken}` };
    expect(await (await fetch(`${first.url}/api/v1/session`, { headers })).json()).toMatchObject({ role: 'admin' });
    await first.close();
    const second = await startServer({ ...options, host: '0.0.0.0' });
    expect(second.firstToken).toBe(null);
    await second.close();
    await operations.close();
  });

  test('says what keeps it from listening', async () => {
    const port = Number(new URL(api.server.url).port);
    await expect(startServer({ operations: api.operations, version: '0', port })).rejects.toMatchObject({
      code: 'INVALID_CONFIGURATION',
      message: expect.stringContaining('EADDRINUSE'),
    });
  });

  test('sends every answer with a strict policy', async () => {
    for (const path of ['/healthz', '/nowhere', '/api/v1/nowhere', '/api/v1/openapi.json', '/api/v1/migrations']) {
      const { headers } = await api.call(path);
      expect(headers.get('content-security-policy')).toContain("default-src 'none'; script-src 'self'");
      expect(headers.get('x-content-type-options')).toBe('nosniff');
      expect(headers.get('x-frame-options')).toBe('DENY');
      expect(headers.get('access-control-allow-origin')).toBe(null);
    }
  });

  test('is healthy while it runs and ready while the control plane answers', async () => {
    await using other = await ApiServer.start();
    expect((await other.call('/readyz', { token: null })).status).toBe(200);
    await other.operations.close();
    expect((await other.call('/readyz', { token: null })).json.code).toBe('CLOSED');
    expect((await other.call('/healthz', { token: null })).status).toBe(200);
  });
});
