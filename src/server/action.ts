import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Role } from '../control/storage.ts';
import type { JobKind, JobWork } from './jobs.ts';
import { addRoute, authorshipOf, type ServerParts } from './routing.ts';
import { BOOLEAN, NAME, object, REASON, type Schema } from './schemas.ts';

/** A request that changes something, and how it is done. */
export interface Action<Body> {
  readonly url: string;
  readonly id: string;
  readonly summary: string;
  readonly kind: JobKind;
  readonly role: Role;
  /** Beside `reason` and `wait`. */
  readonly body: Readonly<Record<string, Schema>>;
  /** Whether the answer comes when it is done, unless `wait` says otherwise. */
  readonly waits: boolean;
  /** @throws what makes the request wrong, before a job begins */
  readonly begin: (name: string, body: Body, who: Who) => Promise<JobWork['run']>;
}

export interface Who {
  readonly actor: string;
  readonly reason: string;
}

export const JOB: Schema = { type: 'object', additionalProperties: true };

/**
 * Adds the route of an action. It runs as a job: the answer is its result (200), or the job (202) where nobody waits; a
 * client that goes away does not stop it.
 */
export function addAction<Body>(app: FastifyInstance, { jobs, feed }: ServerParts, action: Action<Body>): void {
  addRoute(app, {
    method: 'POST',
    url: `/migrations/:name${action.url}`,
    access: action.role,
    id: action.id,
    summary: action.summary,
    tag: 'actions',
    params: { name: NAME },
    body: object({
      ...action.body,
      reason: REASON,
      'wait?': { ...BOOLEAN, default: action.waits, description: 'answer when it is done, not at once with its job' },
    }),
    answers: { 200: JOB, 202: JOB },
    handle: async (request: FastifyRequest, reply: FastifyReply) => {
      const { name } = request.params as { readonly name: string };
      const body = request.body as Body & { readonly wait: boolean };
      const who = authorshipOf(request);
      const run = await action.begin(name, body, who);
      const { id, outcome } = jobs.start({ kind: action.kind, migration: name, ...who, run });
      // Followers learn of what was published before the answer does.
      outcome.then(feed.poke.bind(feed), () => {});
      if (body.wait) return (await outcome) ?? {};
      reply.code(202).header('location', `/api/v1/jobs/${id}`);
      return jobs.get(id);
    },
  });
}
