import { once } from 'node:events';
import type { Readable } from 'node:stream';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { systemClock } from '../../src/core/clock.ts';
import type { OidcOptions } from '../../src/core/sign-in.ts';
import type { Logger } from '../../src/core/telemetry.ts';
import { CONFIG, Project } from '../cli/project.ts';
import { until } from '../support/memory-service.ts';
import { freePort } from '../support/servers/free-port.ts';
import { ApiServer } from './api-server.ts';
import { CLIENT_ID, IdentityProvider, Visitor } from './identity-provider.ts';

const PEOPLE = {
  ada: { email: 'ada@example.com', email_verified: true, groups: ['staff', 'dba'] },
  grace: { email: 'grace@example.com', email_verified: true, groups: ['sre'] },
  alan: { email: 'root@example.com', email_verified: false, groups: ['auditors'] },
  edsger: { email: 'edsger@example.com', email_verified: true, groups: ['notes'] },
  mallory: { email: 'mallory@example.com', email_verified: true, groups: ['admin', '*', '__proto__'] },
  nobody: {},
};

const logged: string[] = [];
const logger: Logger = {
  debug: (...all) => void logged.push(JSON.stringify(all)),
  info: (...all) => void logged.push(JSON.stringify(all)),
  warn: (...all) => void logged.push(JSON.stringify(all)),
  error: (...all) => void logged.push(JSON.stringify(all)),
  isLevelEnabled: () => true,
};

let api: ApiServer;
let provider: IdentityProvider;
let oidc: OidcOptions;

beforeAll(async () => {
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  provider = await IdentityProvider.start(`${url}/api/v1/session/oidc/callback`, PEOPLE);
  oidc = {
    issuer: provider.issuer,
    clientId: CLIENT_ID,
    clientSecret: provider.clientSecret,
    url,
    name: 'Example',
    scopes: ['email', 'groups'],
    roles: {
      dba: 'admin',
      sre: 'operator',
      auditors: 'viewer',
      notes: { role: 'operator', migrations: ['notes'] },
    },
  };
  api = await ApiServer.start({ port, oidc, logger });
});
afterAll(async () => {
  await api?.[Symbol.asyncDispose]();
  await provider?.[Symbol.asyncDispose]();
});

const address = (path = ''): string => `${api.server.url}/api/v1/session/oidc${path}`;

/** Leaves for the provider. @returns where to */
async function leave(visitor: Visitor): Promise<URL> {
  const { status, headers } = await visitor.visit(address());
  expect(status).toBe(302);
  return new URL(headers.get('location') as string);
}

/** The whole way there; the last address, not yet visited. */
async function comeBack(visitor: Visitor, login: string, change = (to: URL): URL => to): Promise<URL> {
  return visitor.agree(change(await leave(visitor)).href, login, address('/callback'));
}

async function signIn(login: string): Promise<Record<string, string>> {
  const visitor = new Visitor();
  const { status, headers } = await visitor.visit(await comeBack(visitor, login));
  expect(status).toBe(302);
  expect(headers.get('location')).toBe(`${api.server.url}/`);
  const session = visitor.cookies(api.server.url).get('changeover_session');
  return { cookie: `changeover_session=${session}`, 'x-changeover': '1' };
}

const whoIs = (headers: Record<string, string>) => api.call('/api/v1/session', { token: null, headers });

/** Nobody was let in, and a person can read why. */
async function expectRefused(response: Response, status: number, words: RegExp): Promise<void> {
  expect(response.status).toBe(status);
  expect(response.headers.get('content-type')).toMatch(/^text\/html/);
  expect(response.headers.getSetCookie().join()).not.toContain('changeover_session=chg');
  expect(await response.text()).toMatch(words);
}

const with_ = (to: URL, name: string, value: string): URL => {
  const changed = new URL(to);
  changed.searchParams.set(name, value);
  return changed;
};

const CHANGE = { settings: { holdTimeoutMs: 4_000 }, reason: 'try' };

describe('signing in by OpenID Connect', () => {
  test.each([
    ['ada', 'admin', 'ada@example.com', null],
    ['grace', 'operator', 'grace@example.com', null],
    ['alan', 'viewer', 'alan of Example', null],
    ['edsger', 'operator', 'edsger@example.com', ['notes']],
  ])('%s is %s, and called %s', async (login, role, name, migrations) => {
    const headers = await signIn(login);
    const { json } = await whoIs(headers);
    expect(json).toMatchObject({ name, role, migrations, expiresAt: expect.any(Number) });
    const change = { method: 'PATCH', body: CHANGE, token: null, headers };
    const moved = await api.call('/api/v1/migrations/items/settings', change);
    const mayItems = role !== 'viewer' && migrations === null;
    expect(moved.status).toBe(mayItems ? 200 : 403);
    if (migrations !== null) expect((await api.call('/api/v1/migrations/notes/settings', change)).status).toBe(200);
    expect((await api.call('/api/v1/tokens', { token: null, headers })).status).toBe(role === 'admin' ? 200 : 403);
    if (!mayItems) return;
    const [row] = await api.operations.plane.history('items', { limit: 1 });
    expect(row?.actor).toBe(`${name} (127.0.0.1)`);
  });

  test.each(['mallory', 'nobody'])('%s, who has no role here, does not get in', async (login) => {
    const visitor = new Visitor();
    const back = await comeBack(visitor, login);
    await expectRefused(await visitor.visit(back), 403, /known to Example but has no role here/);
  });

  test('is shown as a way in only where there is it', async () => {
    expect((await api.call('/api/v1/session/options', { token: null })).json).toEqual({ oidc: { name: 'Example' } });
    await using other = await ApiServer.start();
    expect((await other.call('/api/v1/session/options', { token: null })).json).toEqual({ oidc: null });
    expect((await other.call('/api/v1/session/oidc', { token: null })).status).toBe(404);
  });

  test('asks for a code with PKCE, state and nonce, each new, and keeps them where no script can read', async () => {
    const [one, two] = await Promise.all([leave(new Visitor()), leave(new Visitor())]);
    const { searchParams: asked } = one;
    expect(Object.fromEntries(asked)).toMatchObject({
      response_type: 'code',
      code_challenge_method: 'S256',
      scope: 'openid email groups',
      redirect_uri: `${api.server.url}/api/v1/session/oidc/callback`,
    });
    for (const name of ['state', 'nonce', 'code_challenge']) {
      expect(asked.get(name)).toMatch(/^[\w-]{43}$/);
      expect(asked.get(name)).not.toBe(two.searchParams.get(name));
    }
    const { headers } = await fetch(address(), { redirect: 'manual' });
    expect(headers.get('set-cookie')).toMatch(
      /^changeover_sign_in=[\w.-]+; Path=\/; HttpOnly; SameSite=Lax; Max-Age=600$/,
    );
  });

  test.each([
    ['state', 'x'.repeat(43)],
    ['state', ''],
    ['iss', 'https://elsewhere.example.com'],
    ['code', 'x'.repeat(43)],
  ])('another %s on the way back is refused', async (name, value) => {
    const visitor = new Visitor();
    const back = await comeBack(visitor, 'ada');
    await expectRefused(await visitor.visit(with_(back, name, value)), 401, /not the one that began here/);
    // It is spent: the right one does not work any more either.
    await expectRefused(await visitor.visit(back), 401, /did not begin in this browser/);
  });

  test.each(['nonce', 'code_challenge'])('another %s on the way there is refused on the way back', async (name) => {
    const visitor = new Visitor();
    const back = await comeBack(visitor, 'ada', (to) => with_(to, name, 'y'.repeat(43)));
    await expectRefused(await visitor.visit(back), 401, /not the one that began here/);
  });

  test('works once, in the browser that it began in, also when its cookie is kept or another server is asked', async () => {
    const visitor = new Visitor();
    const back = await comeBack(visitor, 'ada');
    const stranger = new Visitor();
    await expectRefused(await stranger.visit(back), 401, /did not begin in this browser/);
    const pending = visitor.cookies(api.server.url).get('changeover_sign_in');
    const again = (at: URL) =>
      fetch(at, { redirect: 'manual', headers: { accept: 'text/html', cookie: `changeover_sign_in=${pending}` } });
    const first = await again(back);
    expect(first.status).toBe(302);
    await expectRefused(await again(back), 401, /did not begin in this browser/);
    // Another server of the same control plane knows nothing of it, but the provider does.
    const own = api.server;
    try {
      await api.listen({ oidc, logger });
      const there = new URL(`${back.pathname}${back.search}`, api.server.url);
      await expectRefused(await again(there), 401, /not the one that began here \(invalid_grant\)/);
    } finally {
      await api.server.close();
      api.server = own;
    }
  });

  test('leads nowhere but to the console, whatever somebody adds to the address', async () => {
    for (const extra of ['next=https://evil.example.com', 'redirect_uri=//evil.example.com', 'returnTo=/\\evil']) {
      const visitor = new Visitor();
      const begun = await visitor.visit(`${address()}?${extra}`);
      const to = begun.headers.get('location') as string;
      expect(new URL(to).origin).toBe(provider.issuer);
      const back = await visitor.agree(to, 'ada', address('/callback'));
      const { headers } = await visitor.visit(`${back.href}&${extra}`);
      expect(headers.get('location')).toBe(`${api.server.url}/`);
    }
  });

  test("says the provider's refusal in a word, and shows nothing that came with the address as it is", async () => {
    const visitor = new Visitor();
    const to = await leave(visitor);
    const state = to.searchParams.get('state') as string;
    const iss = encodeURIComponent(provider.issuer);
    const said = 'error=access_denied&error_description=%3Cscript%3Ealert(1)%3C/script%3E';
    const refused = await visitor.visit(`${address('/callback')}?${said}&state=${state}&iss=${iss}`);
    const text = await refused.clone().text();
    await expectRefused(refused, 401, /\(access_denied\)/);
    expect(text).not.toMatch(/script|alert/);
  });

  test('ends by signing out, and by an admin who revokes the session', async () => {
    const own = await signIn('grace');
    expect((await api.call('/api/v1/session', { method: 'DELETE', token: null, headers: own })).status).toBe(204);
    await until(async () => (await whoIs(own)).status === 401, 'the end of the session');

    const headers = await signIn('grace');
    const listed = (await api.call('/api/v1/tokens')).json as {
      id: number;
      name: string;
      kind: string;
      revokedAt: null;
    }[];
    const row = listed.find(({ name, revokedAt }) => name === 'grace@example.com' && revokedAt === null);
    expect(row).toMatchObject({ kind: 'session', createdBy: expect.stringContaining(provider.issuer) });
    expect(listed.every((each) => !('hash' in each))).toBe(true);
    expect((await api.call(`/api/v1/tokens/${row?.id}`, { method: 'DELETE' })).status).toBe(200);
    await until(async () => (await whoIs(headers)).status === 401, 'the end of the revoked session');
  });

  test.each([
    ['within the tolerance', 3_620, 302],
    ['past it', 3_700, 401],
  ])('takes a token of an hour %s of clocks that differ', async (_, aheadS, status) => {
    const clock = { ...systemClock, now: () => Date.now() + aheadS * 1_000 };
    const own = api.server;
    try {
      await api.listen({ oidc, logger, clock });
      const visitor = new Visitor();
      const to = (await visitor.visit(address())).headers.get('location') as string;
      const back = await visitor.agree(to, 'ada', own.url);
      const here = new URL(`${back.pathname}${back.search}`, api.server.url);
      expect((await visitor.visit(here)).status).toBe(status);
    } finally {
      await api.server.close();
      api.server = own;
    }
  });

  test('says so when the provider cannot be reached, and works once it can', async () => {
    const port = await freePort();
    await using lonely = await ApiServer.start({
      oidc: { ...oidc, issuer: `http://127.0.0.1:${port}` },
      logger,
    });
    const { status, json } = await lonely.call('/api/v1/session/oidc', { token: null });
    expect([status, json.code]).toEqual([503, 'SIGN_IN_UNAVAILABLE']);
    expect((await lonely.call('/api/v1/session', { body: { token: lonely.tokens.viewer }, token: null })).status).toBe(
      201,
    );
    const page = await fetch(`${lonely.server.url}/api/v1/session/oidc`, { headers: { accept: 'text/html' } });
    expect(await page.text()).toContain('Example cannot be asked who you are');
    await using _late = await IdentityProvider.start('http://127.0.0.1/', PEOPLE, { port });
    expect((await fetch(page.url, { redirect: 'manual' })).status).toBe(302);
  });

  test('asks the provider only so often for one address', async () => {
    await using busy = await ApiServer.start({ oidc, logger });
    const statuses = new Set<number>();
    const ask = async () =>
      statuses.add((await fetch(`${busy.server.url}/api/v1/session/oidc`, { redirect: 'manual' })).status);
    await until(async () => {
      await Promise.all(Array.from({ length: 40 }, ask));
      return statuses.has(429);
    }, 'the limit');
    expect([...statuses].sort()).toEqual([302, 429]);
  });

  test('does not let the wrong client secret pass for a refusal of the person', async () => {
    await using wrong = await ApiServer.start({ oidc: { ...oidc, clientSecret: 'not-the-secret' }, logger });
    const visitor = new Visitor();
    const to = (await visitor.visit(`${wrong.server.url}/api/v1/session/oidc`)).headers.get('location') as string;
    const back = await visitor.agree(to, 'ada', oidc.url);
    const answer = await visitor.visit(new URL(`${back.pathname}${back.search}`, wrong.server.url));
    await expectRefused(answer, 503, /cannot be asked who you are/);
  });

  test('leaves no secret in any log', async () => {
    const visitor = new Visitor();
    const back = await comeBack(visitor, 'ada');
    const pending = (visitor.cookies(api.server.url).get('changeover_sign_in') as string).split('.');
    await visitor.visit(with_(back, 'state', 'z'.repeat(43)));
    const text = logged.join('\n');
    expect(text).toContain('a sign-in failed');
    const code = back.searchParams.get('code') as string;
    for (const secret of [provider.clientSecret, 'not-the-secret', code, ...pending])
      expect(text).not.toContain(secret);
  });
});

describe('a server of the command line', () => {
  const configOf = (extra: string) => CONFIG.replace("control: 'sqlite:", `oidc: { ${extra} },\n  control: 'sqlite:`);

  test('offers what its configuration says, with the secret from the environment', { timeout: 240_000 }, async () => {
    const { issuer, clientId, url } = oidc;
    const options = `issuer: '${issuer}', clientId: '${clientId}', url: '${url}', name: 'Example', roles: { dba: 'admin' }`;
    await using project = Project.create(configOf(`${options}, clientSecret: process.env.HOME`));
    const port = await freePort();
    const { stdout } = project.start('serve', '--port', String(port), '--json');
    await once(stdout as Readable, 'data');
    const offered = async () => (await fetch(`http://127.0.0.1:${port}/api/v1/session/options`)).json();
    expect(await offered()).toEqual({ oidc: { name: 'Example' } });
  });

  test('does not start with what cannot be meant, and says what was expected', { timeout: 240_000 }, async () => {
    await using project = Project.create(configOf(`issuer: 'http://login.example.com', clientSecret: 'hush-hush'`));
    const { code, stderr } = await project.run('serve', '--port', '0');
    expect(code).toBe(3);
    expect(stderr).toMatch(/oidc: the issuer is no address that secrets may go to/);
    expect(stderr).not.toContain('hush-hush');
  });
});
