import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Role } from '../control/storage.ts';
import type { Job, JobKind, JobWork } from './jobs.ts';
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
export function addAction<Body>(app: FastifyInstance, parts: ServerParts, action: Action<Body>): void {
  parts.actions.set(action.id, action as Action<unknown>);
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
      const { wait, reason: _, ...body } = request.body as Record<string, unknown> & { readonly wait: boolean };
      const who = authorshipOf(request);
      const { job, outcome } = await startAction(parts, action as Action<unknown>, name, body, who);
      if (wait) return (await outcome) ?? {};
      return sendJob(reply, job);
    },
  });
}

/** Begins an action as a job. @throws what makes the request wrong */
export async function startAction(
  { jobs, feed }: ServerParts,
  { id, kind, waits, begin }: Action<unknown>,
  migration: string,
  body: unknown,
  who: Who,
  resumes: string | null = null,
): Promise<{ readonly job: Job; readonly outcome: Promise<unknown> }> {
  const run = await begin(migration, body, who);
  // What is quick is done anew by whoever wants it; what takes long can be gone on with.
  const again = waits ? null : { action: id, body };
  const begun = await jobs.start({ kind, migration, ...who, again, resumes, run });
  // Followers learn of what was published before the answer does.
  begun.outcome.then(feed.poke.bind(feed), () => {});
  return begun;
}

export function sendJob(reply: FastifyReply, job: Job): Job {
  reply.code(202).header('location', `/api/v1/jobs/${job.id}`);
  return job;
}
