import type { FastifyInstance, FastifyRequest } from 'fastify';
import { SPANS, type Span } from '../control/series.ts';
import { addRoute, type ServerParts } from './routing.ts';
import { array, COUNT, MS, NAME, nullable, object, oneOf, type Schema, text } from './schemas.ts';

const POINTS: Schema = array(nullable({ type: 'number' }));
const STORE = object({
  reads: POINTS,
  writes: POINTS,
  errors: POINTS,
  readP50: POINTS,
  readP99: POINTS,
  writeP50: POINTS,
  writeP99: POINTS,
});

/** What the fleet did over time. */
export function seriesRoutes(app: FastifyInstance, { operations }: ServerParts): void {
  addRoute(app, {
    method: 'GET',
    url: '/migrations/:name/series',
    access: 'viewer',
    id: 'getSeries',
    summary: 'The fleet over time: rates a second and latencies in ms by store, queues, dirt, replays, and every move',
    tag: 'migrations',
    params: { name: NAME },
    query: { 'span?': { ...oneOf(...Object.keys(SPANS)), default: '15m' } },
    answers: {
      200: object({
        migration: NAME,
        from: MS,
        to: MS,
        stepMs: COUNT,
        at: { ...array(MS), description: 'the end of each slot; every list beside it has a value for each, or null' },
        old: STORE,
        new: STORE,
        compared: POINTS,
        divergent: POINTS,
        mirrorQueue: POINTS,
        dirty: POINTS,
        divergences: POINTS,
        fleet: object({ nodes: POINTS, acknowledged: POINTS, memoryBytes: POINTS }),
        replay: object({ scanned: POINTS, estimate: POINTS, rate: POINTS }),
        marks: array(
          object({ at: MS, revision: COUNT, text: text(1_000), actor: text(500), automatic: { type: 'boolean' } }),
        ),
      }),
    },
    handle: (request: FastifyRequest) => {
      const { name } = request.params as { readonly name: string };
      return operations.plane.series(name, (request.query as { readonly span: Span }).span);
    },
  });
}
