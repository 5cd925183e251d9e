import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Clock } from '../core/clock.ts';
import { ChangeoverError, Forbidden, Unauthenticated } from '../core/errors.ts';
import { grantOf, personOf } from '../core/sign-in.ts';
import type { OidcClient, Pending } from './oidc-client.ts';
import { problemOf, sendProblem } from './problem.ts';
import { RateLimit } from './rate-limit.ts';
import { addRoute, type ServerParts } from './routing.ts';
import { SESSION_MS, setSessionCookie } from './session-routes.ts';
import { newSecret, tokenText } from './token-text.ts';

const TAG = 'session';
const PENDING_S = 600;
const MOST_SPENT = 10_000;
const NO_BODY = { type: 'null' };

/** Of one address, behind which a whole office may be: every sign-in asks the provider. */
const AT_ONCE = 100;
const PER_SECOND = 5;

/**
 * What the browser keeps between leaving for the provider and coming back: Lax, as it comes back from another site. Its
 * prefix keeps other hosts of the same domain from setting it. It holds no secret of ours; script cannot read it.
 */
const cookieName = (secure: boolean): string => `${secure ? '__Host-' : ''}changeover_sign_in`;

/** Sign-ins that came back: each does so once. The provider sees to the same, also for other servers. */
class Spent {
  readonly #clock: Clock;
  readonly #until = new Map<string, number>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** False for one that was spent before. */
  spend(state: string): boolean {
    const now = this.#clock.monotonic();
    for (const [each, until] of this.#until) {
      if (until > now && this.#until.size < MOST_SPENT) break;
      this.#until.delete(each);
    }
    if (this.#until.has(state)) return false;
    this.#until.set(state, now + PENDING_S * 1_000);
    return true;
  }
}

/** How people sign in whom an identity provider knows; nothing where none is configured. */
export function oidcRoutes(app: FastifyInstance, { operations, oidc, clock, logger }: ServerParts): void {
  if (oidc === null) return;
  const limit = new RateLimit(clock, PER_SECOND, AT_ONCE);
  const spent = new Spent(clock);
  const secure = oidc.oidc.url.startsWith('https:');

  const setPending = (reply: FastifyReply, value: string, maxAgeS: number): void => {
    const attributes = `Path=/; HttpOnly; SameSite=Lax; Max-Age=${maxAgeS}${secure ? '; Secure' : ''}`;
    reply.header('set-cookie', `${cookieName(secure)}=${value}; ${attributes}`);
  };

  addRoute(app, {
    method: 'GET',
    url: '/session/oidc',
    access: 'public',
    id: 'beginSignIn',
    summary: 'Sends a browser to the identity provider',
    tag: TAG,
    answers: { 302: NO_BODY },
    handle: (request, reply) =>
      orPage(request, reply, async () => {
        limit.take(request.ip);
        const { to, pending } = await oidc.begin();
        setPending(reply, sealed(pending), PENDING_S);
        return reply.redirect(to.href);
      }),
  });

  addRoute(app, {
    method: 'GET',
    url: '/session/oidc/callback',
    access: 'public',
    id: 'finishSignIn',
    summary: 'Where the identity provider sends a browser back to, for a session cookie',
    tag: TAG,
    answers: { 302: NO_BODY },
    handle: (request, reply) =>
      orPage(request, reply, async () => {
        limit.take(request.ip);
        setPending(reply, '', 0);
        const pending = pendingOf(request.headers.cookie, cookieName(secure));
        if (pending === null || !spent.spend(pending.state)) {
          throw new Unauthenticated('this sign-in did not begin in this browser, took too long, or is over', {
            remedy: 'sign in again',
          });
        }
        const { secret, id } = await signIn(oidc, request, pending);
        setSessionCookie(request, reply, tokenText(id, secret), SESSION_MS / 1_000);
        // Always the same place: where else, nobody can say from outside.
        return reply.redirect(`${oidc.oidc.url}/`);
      }),
  });

  async function signIn(client: OidcClient, request: FastifyRequest, pending: Pending) {
    const { oidc: options } = client;
    const at = request.url.indexOf('?');
    const claims = await client.finish(at < 0 ? '' : request.url.slice(at), pending);
    const name = personOf(claims, options);
    const grant = grantOf(claims, options);
    if (name === null || grant === null) {
      throw new Forbidden(`${name ?? 'whoever signed in'} is known to ${options.name} but has no role here`, {
        expected: `one of the values of "${options.claim}" that the configuration names`,
        remedy: 'ask who runs this server',
      });
    }
    const { secret, hash } = newSecret();
    const { role, migrations } = grant;
    const person = { name, hash, role, migrations, createdBy: options.issuer };
    const { id } = await operations.plane.createPersonSession(person, SESSION_MS);
    return { secret, id };
  }

  /** A browser gets a page that it can read; whatever else asks, a problem. */
  async function orPage(
    request: FastifyRequest,
    reply: FastifyReply,
    handle: () => Promise<unknown>,
  ): Promise<unknown> {
    try {
      return await handle();
    } catch (error) {
      if (!(error instanceof ChangeoverError)) throw error;
      logger.warn({ code: error.code, because: wordOf(error.cause) }, 'a sign-in failed');
      if (!(request.headers.accept ?? '').includes('text/html')) {
        sendProblem(reply, error);
        return reply;
      }
      const { status, title, detail, expected, remedy } = problemOf(error);
      return reply
        .code(status)
        .type('text/html; charset=utf-8')
        .send(page(title, [detail, expected, remedy]));
    }
  }
}

const sealed = ({ state, nonce, verifier }: Pending): string => [state, nonce, verifier].join('.');

/** Three texts of base64url, or nothing. */
function pendingOf(cookies: string | undefined, name: string): Pending | null {
  const [, state, nonce, verifier] =
    new RegExp(`(?:^|; *)${name}=([\\w-]{20,100})\\.([\\w-]{20,100})\\.([\\w-]{20,150})(?:;|$)`).exec(cookies ?? '') ??
    [];
  return state === undefined || nonce === undefined || verifier === undefined ? null : { state, nonce, verifier };
}

/** What an error of the library is called, for the log; its message may hold what was sent. */
function wordOf(cause: unknown): string | undefined {
  if (!(cause instanceof Error)) return undefined;
  const { code, error } = cause as { readonly code?: unknown; readonly error?: unknown };
  return [cause.name, code, error].filter((word) => typeof word === 'string' && /^[\w ]{1,60}$/.test(word)).join(' ');
}

const escaped = (text: string): string => text.replace(/[&<>"']/g, (sign) => `&#${sign.charCodeAt(0)};`);

const page = (title: string, lines: readonly unknown[]): string => `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Sign in · changeover</title></head>
<body>
<h1>Nobody is signed in: ${escaped(title.toLowerCase())}</h1>
${lines
  .filter((line) => typeof line === 'string')
  .map((line) => `<p>${escaped(line)}</p>`)
  .join('\n')}
<p><a href="/">Sign in again</a></p>
</body>
</html>
`;
