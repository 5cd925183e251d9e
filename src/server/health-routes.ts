import type { FastifyInstance } from 'fastify';
import { addRoute, type ServerParts } from './routing.ts';
import { object, type Schema } from './schemas.ts';

const OK: Schema = object({ status: { type: 'string' } });

/** For whoever starts, stops and routes to this process. They say nothing that needs a token. */
export function healthRoutes(app: FastifyInstance, { operations }: ServerParts): void {
  addRoute(app, {
    method: 'GET',
    url: '/healthz',
    access: 'public',
    id: 'healthy',
    summary: 'The process lives',
    tag: 'health',
    answers: { 200: OK },
    handle: () => ({ status: 'ok' }),
  });

  addRoute(app, {
    method: 'GET',
    url: '/readyz',
    access: 'public',
    id: 'ready',
    summary: 'The control plane answers',
    tag: 'health',
    answers: { 200: OK },
    handle: async () => {
      await operations.plane.migrations();
      return { status: 'ok' };
    },
  });
}
