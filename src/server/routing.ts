import type { FastifyInstance, FastifyReply, FastifyRequest, HTTPMethods } from 'fastify';
import type { Role } from '../control/storage.ts';
import type { Clock } from '../core/clock.ts';
import type { Logger } from '../core/telemetry.ts';
import type { Action } from './action.ts';
import { actorOf, type Caller, demandRole, demandScope, type Gatekeeper } from './gatekeeper.ts';
import type { Jobs } from './jobs.ts';
import type { OidcClient } from './oidc-client.ts';
import type { Operations } from './operations.ts';
import type { RulesetFeed } from './ruleset-feed.ts';
import { array, object, PROBLEM, type Schema } from './schemas.ts';

/** What the routes work with. */
export interface ServerParts {
  readonly operations: Operations;
  readonly gatekeeper: Gatekeeper;
  readonly jobs: Jobs;
  /** Everything that runs as a job, by the id of its operation. */
  readonly actions: Map<string, Action<unknown>>;
  readonly feed: RulesetFeed;
  /** Null: people sign in with tokens only. */
  readonly oidc: OidcClient | null;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** `public` asks nobody who they are. */
export type Access = Role | 'public';

declare module 'fastify' {
  interface FastifyContextConfig {
    access?: Access;
  }
  interface FastifyRequest {
    /** Null on public routes. */
    caller: Caller | null;
  }
}

/** One route with everything that the OpenAPI document says of it. */
export interface Route {
  readonly method: HTTPMethods;
  readonly url: string;
  readonly access: Access;
  readonly id: string;
  readonly summary: string;
  readonly tag: string;
  readonly params?: Readonly<Record<string, Schema>>;
  readonly query?: Readonly<Record<string, Schema>>;
  readonly body?: Schema;
  readonly bodyLimit?: number;
  /** The statuses that it answers besides problems, and of what form. */
  readonly answers: Readonly<Record<number, Schema>>;
  readonly handle: (request: FastifyRequest, reply: FastifyReply) => unknown;
}

const SECURITY = [{ token: [] }, { session: [] }];
const REFUSALS = {
  description: 'refused; nothing changed',
  content: { 'application/problem+json': { schema: PROBLEM } },
};

/** Adds a route. Who may call it is part of it: none can be forgotten. */
export function addRoute(app: FastifyInstance, route: Route): void {
  const { access, params, query, body } = route;
  app.route({
    method: route.method,
    url: route.url,
    config: { access },
    ...(route.bodyLimit === undefined ? {} : { bodyLimit: route.bodyLimit }),
    schema: {
      operationId: route.id,
      summary: route.summary,
      tags: [route.tag],
      security: access === 'public' ? [] : SECURITY,
      'x-role': access,
      ...(params === undefined ? {} : { params: object(params) }),
      ...(query === undefined ? {} : { querystring: object(query) }),
      ...(body === undefined ? {} : { body }),
      response: { ...route.answers, '4xx': REFUSALS },
    } as object,
    handler: async (request, reply) => {
      const answer = await route.handle(request, reply);
      return reply.sent || reply.raw.headersSent ? reply : answer;
    },
  });
}

/** Query strings are text: what the schema calls a number or a boolean becomes one, where it is one. */
export function typedQuery(query: Record<string, unknown>, schema: unknown): void {
  const properties = (schema as { properties?: Record<string, Schema> } | undefined)?.properties ?? {};
  for (const [name, value] of Object.entries(query)) {
    const type = Object.hasOwn(properties, name) ? properties[name]?.['type'] : undefined;
    if (typeof value !== 'string') continue;
    if ((type === 'integer' || type === 'number') && /^-?\d{1,16}(\.\d+)?$/.test(value)) query[name] = Number(value);
    else if (type === 'boolean' && (value === 'true' || value === 'false')) query[name] = value === 'true';
  }
}

/** Lets the request in, or says why not. Before its body is read. */
export async function authorize(gatekeeper: Gatekeeper, request: FastifyRequest): Promise<void> {
  const { access } = request.routeOptions.config;
  if (access === 'public' || request.is404) return;
  const caller = await gatekeeper.identify(request);
  request.caller = caller;
  demandRole(caller, access ?? 'admin');
  const name: unknown = (request.params as { name?: unknown } | null)?.name;
  if (typeof name === 'string') demandScope(caller, [name]);
}

export const callerOf = (request: FastifyRequest): Caller => request.caller as Caller;

/** Who acts and why, for the history. */
export const authorshipOf = (request: FastifyRequest): { readonly actor: string; readonly reason: string } => ({
  actor: actorOf(callerOf(request)),
  reason: (request.body as { readonly reason: string }).reason,
});

/** A page of a list: its rows and what to ask for next, null at its end. */
export const pageSchema = (row: Schema, cursor: Schema): Schema =>
  object({ rows: array(row), next: { anyOf: [cursor, { type: 'null' }] } });
