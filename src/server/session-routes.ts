import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Role } from '../control/storage.ts';
import { Forbidden } from '../core/errors.ts';
import { overTls } from './forwarded.ts';
import { SESSION_COOKIE } from './gatekeeper.ts';
import { addRoute, callerOf, type ServerParts } from './routing.ts';
import { nullable, object, type Schema } from './schemas.ts';
import { newSecret, tokenText } from './token-text.ts';

/** Who is signed in. */
export interface SessionInfo {
  readonly name: string;
  readonly role: Role;
  /** Null: all. */
  readonly migrations: readonly string[] | null;
  readonly expiresAt: number | null;
}

/** The ways of signing in; `oidc` null where there is only the token. */
export interface SignInOptions {
  readonly oidc: { readonly name: string } | null;
}

export const SESSION_MS = 12 * 3_600_000;
const SESSION: Schema = { type: 'object', additionalProperties: true };

/** Out of reach for scripts and for other sites; over TLS only, where there is TLS. */
export function setSessionCookie(request: FastifyRequest, reply: FastifyReply, value: string, maxAgeS: number): void {
  const secure = overTls(request) ? '; Secure' : '';
  const cookie = `${SESSION_COOKIE}=${value}; Path=/; HttpOnly; SameSite=Strict; Max-Age=${maxAgeS}${secure}`;
  reply.header('set-cookie', cookie);
}

/** How the console signs in: with a token, once, for a cookie that no script can read. */
export function sessionRoutes(app: FastifyInstance, { operations, gatekeeper, oidc }: ServerParts): void {
  addRoute(app, {
    method: 'GET',
    url: '/session/options',
    access: 'public',
    id: 'signInOptions',
    summary: 'How one can sign in besides with a token',
    tag: 'session',
    answers: { 200: object({ oidc: nullable(object({ name: { type: 'string' } })) }) },
    handle: (): SignInOptions => ({ oidc: oidc === null ? null : { name: oidc.name } }),
  });

  addRoute(app, {
    method: 'POST',
    url: '/session',
    access: 'public',
    id: 'signIn',
    summary: 'Signs in with a token, for a session cookie',
    tag: 'session',
    body: object({ token: { type: 'string', maxLength: 200 } }),
    answers: { 201: SESSION },
    handle: async (request, reply): Promise<SessionInfo> => {
      const caller = await gatekeeper.admit((request.body as { readonly token: string }).token, request.ip);
      if (caller.kind !== 'token') throw new Forbidden('a session opens no other one', { expected: 'a token' });
      const { secret, hash } = newSecret();
      const session = await operations.plane.createSession(caller.id, hash, SESSION_MS);
      setSessionCookie(request, reply, tokenText(session.id, secret), SESSION_MS / 1_000);
      reply.code(201);
      const { name, role, migrations, expiresAt } = session;
      return { name, role, migrations, expiresAt };
    },
  });

  addRoute(app, {
    method: 'GET',
    url: '/session',
    access: 'viewer',
    id: 'whoAmI',
    summary: 'Whose token or session this is, and what it may do',
    tag: 'session',
    answers: { 200: SESSION },
    handle: (request): SessionInfo => {
      const { name, role, migrations, expiresAt } = callerOf(request);
      return { name, role, migrations, expiresAt };
    },
  });

  addRoute(app, {
    method: 'DELETE',
    url: '/session',
    access: 'viewer',
    id: 'signOut',
    summary: 'Ends the session',
    tag: 'session',
    answers: { 204: { type: 'null' } },
    handle: async (request, reply) => {
      const { id, kind } = callerOf(request);
      if (kind !== 'session') throw new Forbidden('this is a token, not a session', { expected: 'the session cookie' });
      await operations.plane.revokeToken(id);
      setSessionCookie(request, reply, '', 0);
      return reply.code(204).send();
    },
  });
}
