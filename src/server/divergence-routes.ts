import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { DivergenceRow } from '../control/storage.ts';
import { addRoute, authorshipOf, pageSchema, type ServerParts } from './routing.ts';
import { COUNT, NAME, object, oneOf, REASON, type Schema, text, whole } from './schemas.ts';

const ROW: Schema = { type: 'object', additionalProperties: true };
const TAG = 'divergences';
const KINDS = ['missing', 'extra', 'different', 'stale'] as const;

interface Query {
  readonly after?: number;
  readonly limit: number;
  readonly kind?: DivergenceRow['kind'];
  readonly field?: string;
  readonly key?: string;
}

/** Records that differ: by pages, and one of them unmasked for those who may. */
export function divergenceRoutes(app: FastifyInstance, { operations, feed }: ServerParts): void {
  const page = pageSchema(ROW, COUNT);

  addRoute(app, {
    method: 'GET',
    url: '/migrations/:name/divergences',
    access: 'viewer',
    id: 'getDivergences',
    summary: 'Records that differ, field by field, by when they were first seen; values masked where the service masks',
    tag: TAG,
    params: { name: NAME },
    query: {
      'kind?': oneOf(...KINDS),
      'field?': { ...text(1_000, 1), description: 'only where this path differs, or one below it' },
      'key?': { ...text(1_000, 1), description: 'only where the canonical text of the key holds this' },
      'after?': COUNT,
      'limit?': {
        ...whole(1, 1_000),
        default: 100,
        description: 'with a filter a page may hold fewer, and still go on',
      },
    },
    answers: {
      200: {
        ...page,
        properties: {
          ...(page['properties'] as object),
          counts: object(Object.fromEntries(KINDS.map((kind) => [kind, COUNT]))),
        },
      },
    },
    handle: (request: FastifyRequest) => {
      const { name } = request.params as { readonly name: string };
      return operations.plane.divergencePage(name, request.query as Query);
    },
  });

  addRoute(app, {
    method: 'POST',
    url: '/migrations/:name/divergences/:id/values',
    access: 'admin',
    id: 'revealDivergence',
    summary: 'The record as both stores hold it now, unmasked; who asked for it is in the history',
    tag: TAG,
    params: { name: NAME, id: { type: 'string', pattern: '^\\d{1,15}$' } },
    body: object({ reason: REASON }),
    answers: { 200: ROW },
    handle: async (request: FastifyRequest) => {
      const { name, id } = request.params as { readonly name: string; readonly id: string };
      await operations.plane.ruleset(name);
      const revealed = await operations.reveal(name, Number(id), authorshipOf(request));
      feed.poke();
      return revealed;
    },
  });
}
