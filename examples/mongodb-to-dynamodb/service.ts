import { randomUUID } from 'node:crypto';
import { open } from 'changeover';
import fastify from 'fastify';
import config from './changeover.config.ts';
import { places } from './places.ts';

interface Posted {
  readonly userKey: string;
  readonly id?: string;
  readonly type: string;
  readonly payload?: { readonly [field: string]: unknown };
}

const POSTED = {
  type: 'object',
  required: ['userKey', 'type'],
  additionalProperties: false,
  properties: {
    userKey: { type: 'string', minLength: 1 },
    id: { type: 'string', minLength: 1 },
    type: { type: 'string', minLength: 1 },
    payload: { type: 'object' },
  },
} as const;

/** An HTTP service of events that knows nothing of two stores. An event that is posted again counts its deliveries. */
const changeover = await open(config, { name: `events-${places.service.port}`, logger: 'warn' });
const events = changeover.repository('events');
const server = fastify();

server.post<{ Body: Posted }>('/events', { schema: { body: POSTED } }, async (request, reply) => {
  const { userKey, type, payload = {} } = request.body;
  const key = { userKey, id: request.body.id ?? randomUUID() };
  const event = await events.update(key, (known) =>
    known === undefined
      ? { ...key, type, receivedAt: new Date(), deliveries: 1, payload }
      : { ...known, deliveries: known.deliveries + 1 },
  );
  return reply.code(event?.deliveries === 1 ? 201 : 200).send(event);
});

server.get<{ Params: { userKey: string; id: string } }>('/events/:userKey/:id', async (request, reply) => {
  const event = await events.get(request.params);
  return event ?? reply.code(404).send({ error: 'no such event' });
});

server.delete<{ Params: { userKey: string; id: string } }>('/events/:userKey/:id', async (request, reply) =>
  reply.code((await events.delete(request.params)) ? 204 : 404).send(),
);

server.setErrorHandler<Error & { statusCode?: number; code?: string; retryable?: boolean }>(
  (error, _request, reply) => {
    const status = error.retryable === true ? 503 : (error.statusCode ?? 500);
    if (error.retryable === true) reply.header('retry-after', '1');
    return reply.code(status).send({ error: error.message, code: error.code });
  },
);

await server.listen(places.service);
console.log(`events at http://${places.service.host}:${places.service.port}/events`);

const stop = async (): Promise<void> => {
  await server.close();
  await changeover.close();
};
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void stop());
