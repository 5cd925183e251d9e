import type { FastifyInstance, FastifyRequest } from 'fastify';
import { type Action, JOB, sendJob, startAction } from './action.ts';
import { demandRole, demandScope } from './gatekeeper.ts';
import { addRoute, authorshipOf, callerOf, type ServerParts } from './routing.ts';
import { array, NAME, object, REASON, type Schema } from './schemas.ts';

const JOB_ID: Schema = { type: 'string', pattern: '^[0-9a-f-]{36}$' };

/** What the servers are busy with, and what came of it. */
export function jobRoutes(app: FastifyInstance, parts: ServerParts): void {
  const { jobs, actions } = parts;
  const idOf = (request: FastifyRequest): string => (request.params as { readonly id: string }).id;

  addRoute(app, {
    method: 'GET',
    url: '/jobs',
    access: 'viewer',
    id: 'listJobs',
    summary: 'The jobs of all servers, newest first; those of a server that stopped are `interrupted`',
    tag: 'jobs',
    query: { 'migration?': NAME },
    answers: { 200: array(JOB) },
    handle: (request) => {
      const { migration } = request.query as { readonly migration?: string };
      const { migrations } = callerOf(request);
      if (migration === undefined) return jobs.list(migrations);
      return migrations?.includes(migration) === false ? [] : jobs.list([migration]);
    },
  });

  addRoute(app, {
    method: 'GET',
    url: '/jobs/:id',
    access: 'viewer',
    id: 'getJob',
    summary: 'A job: its state, progress, result or error',
    tag: 'jobs',
    params: { id: JOB_ID },
    answers: { 200: JOB },
    handle: async (request) => {
      const job = await jobs.get(idOf(request));
      demandScope(callerOf(request), [job.migration]);
      return job;
    },
  });

  addRoute(app, {
    method: 'POST',
    url: '/jobs/:id/cancel',
    access: 'operator',
    id: 'cancelJob',
    summary: 'Stops a job where it can be gone on with, whichever server runs it; a handover is undone',
    tag: 'jobs',
    params: { id: JOB_ID },
    body: object({}),
    answers: { 200: JOB },
    handle: async (request) => {
      const id = idOf(request);
      demandScope(callerOf(request), [(await jobs.get(id)).migration]);
      return jobs.cancel(id);
    },
  });

  addRoute(app, {
    method: 'POST',
    url: '/jobs/:id/resume',
    access: 'operator',
    id: 'resumeJob',
    summary: 'Goes on with a job that was interrupted, cancelled or failed, as a new one',
    tag: 'jobs',
    params: { id: JOB_ID },
    body: object({ reason: REASON }),
    answers: { 202: JOB },
    handle: async (request, reply) => {
      const id = idOf(request);
      const caller = callerOf(request);
      const { migration } = await jobs.get(id);
      demandScope(caller, [migration]);
      const { action, body } = await jobs.again(id);
      const known = actions.get(action) as Action<unknown>;
      demandRole(caller, known.role);
      return sendJob(reply, (await startAction(parts, known, migration, body, authorshipOf(request), id)).job);
    },
  });
}
