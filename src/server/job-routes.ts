import type { FastifyInstance, FastifyRequest } from 'fastify';
import { JOB } from './action.ts';
import { covers, demandScope } from './gatekeeper.ts';
import { addRoute, callerOf, type ServerParts } from './routing.ts';
import { array, NAME, object, type Schema } from './schemas.ts';

const JOB_ID: Schema = { type: 'string', pattern: '^[0-9a-f-]{36}$' };

/** What this server is busy with, and what came of it. */
export function jobRoutes(app: FastifyInstance, { jobs }: ServerParts): void {
  const idOf = (request: FastifyRequest): string => (request.params as { readonly id: string }).id;

  addRoute(app, {
    method: 'GET',
    url: '/jobs',
    access: 'viewer',
    id: 'listJobs',
    summary: 'The jobs of this server, newest first',
    tag: 'jobs',
    query: { 'migration?': NAME },
    answers: { 200: array(JOB) },
    handle: (request) => {
      const { migration } = request.query as { readonly migration?: string };
      return jobs
        .list()
        .filter((job) => covers(callerOf(request), job.migration) && job.migration === (migration ?? job.migration));
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
    handle: (request) => {
      const job = jobs.get(idOf(request));
      demandScope(callerOf(request), [job.migration]);
      return job;
    },
  });

  addRoute(app, {
    method: 'POST',
    url: '/jobs/:id/cancel',
    access: 'operator',
    id: 'cancelJob',
    summary: 'Stops a job where it can be gone on with; a handover is undone',
    tag: 'jobs',
    params: { id: JOB_ID },
    body: object({}),
    answers: { 200: JOB },
    handle: (request) => {
      const id = idOf(request);
      demandScope(callerOf(request), [jobs.get(id).migration]);
      return jobs.cancel(id);
    },
  });
}
