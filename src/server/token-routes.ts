import type { FastifyInstance, FastifyRequest } from 'fastify';
import { ROLES, type Role } from '../control/storage.ts';
import { InvalidArgument, NotFound } from '../core/errors.ts';
import { actorOf, demandEverything } from './gatekeeper.ts';
import { addRoute, callerOf, type ServerParts } from './routing.ts';
import { array, MS, NAME, nullable, object, oneOf, type Schema, text } from './schemas.ts';
import { newSecret, tokenText } from './token-text.ts';

const TOKEN: Schema = { type: 'object', additionalProperties: true };
const TAG = 'tokens';

/** Who gets in. */
export function tokenRoutes(app: FastifyInstance, { operations, clock }: ServerParts): void {
  const { plane } = operations;

  addRoute(app, {
    method: 'GET',
    url: '/tokens',
    access: 'admin',
    id: 'listTokens',
    summary: 'All tokens, newest first; never their secrets',
    tag: TAG,
    answers: { 200: array(TOKEN) },
    handle: (request) => {
      demandEverything(callerOf(request));
      return plane.tokens();
    },
  });

  addRoute(app, {
    method: 'POST',
    url: '/tokens',
    access: 'admin',
    id: 'createToken',
    summary: 'Creates a token; its text is in the answer and nowhere else',
    tag: TAG,
    body: object({
      name: text(100, 1),
      role: oneOf(...ROLES),
      'migrations?': { ...nullable(array(NAME, 1_000)), default: null, description: 'null: all' },
      'expiresAt?': { ...nullable(MS), default: null },
    }),
    answers: { 201: TOKEN },
    handle: async (request, reply) => {
      const caller = callerOf(request);
      demandEverything(caller);
      const body = request.body as {
        readonly name: string;
        readonly role: Role;
        readonly migrations: readonly string[] | null;
        readonly expiresAt: number | null;
      };
      if (body.expiresAt !== null && body.expiresAt <= clock.now()) {
        throw new InvalidArgument('the token would have expired already', { expected: 'a time to come' });
      }
      const { secret, hash } = newSecret();
      const token = await plane.createToken({ ...body, hash, createdBy: actorOf(caller) });
      reply.code(201);
      return { ...token, token: tokenText(token.id, secret) };
    },
  });

  addRoute(app, {
    method: 'DELETE',
    url: '/tokens/:id',
    access: 'admin',
    id: 'revokeToken',
    summary: 'Nobody gets in with it any more, nor with a session that it opened',
    tag: TAG,
    params: { id: { type: 'string', pattern: '^\\d{1,15}$' } },
    answers: { 200: TOKEN },
    handle: async (request: FastifyRequest) => {
      demandEverything(callerOf(request));
      const { id } = request.params as { readonly id: string };
      const token = await plane.revokeToken(Number(id));
      if (token === null) throw new NotFound(`there is no token ${id}`);
      return token;
    },
  });
}
