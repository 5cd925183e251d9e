import type { FastifyInstance, FastifyRequest } from 'fastify';
import { addAction } from './action.ts';
import { addRoute, type ServerParts } from './routing.ts';
import { BOOLEAN, NAME, nullable, REVISION, type Schema, whole } from './schemas.ts';

const ANSWER: Schema = { type: 'object', additionalProperties: true };

/** What a page shows before somebody acts: where everything stands, who is waited for, what would be left behind. */
export function outlookRoutes(app: FastifyInstance, parts: ServerParts): void {
  const { operations } = parts;
  const { plane } = operations;

  const look = (
    path: string,
    id: string,
    summary: string,
    handle: (name: string, request: FastifyRequest) => unknown,
    query?: Readonly<Record<string, Schema>>,
  ): void =>
    addRoute(app, {
      method: 'GET',
      url: `/migrations/:name${path}`,
      access: 'viewer',
      id,
      summary,
      tag: 'migrations',
      params: { name: NAME },
      ...(query === undefined ? {} : { query }),
      answers: { 200: ANSWER },
      handle: (request) => handle((request.params as { readonly name: string }).name, request),
    });

  look(
    '/line',
    'getLine',
    'Where dials, coverage, dirt, replays and a handover stand on the line, as positions',
    (name) => plane.line(name),
  );

  look(
    '/acknowledgements',
    'getAcknowledgements',
    'How many processes have acknowledged a revision, and which are waited for',
    (name, request) => plane.acknowledgements(name, (request.query as { readonly revision?: number }).revision ?? null),
    { 'revision?': { ...REVISION, description: 'the present one by default' } },
  );

  look(
    '/emergency',
    'previewEmergency',
    'What an emergency roll-back would take back and leave behind; asks neither store and changes nothing',
    (name) => plane.emergencyOutlook(name),
  );

  addAction<{ readonly dryRun?: boolean; readonly sample?: number | null }>(app, parts, {
    url: '/doctor',
    id: 'doctor',
    summary: 'Examines the control plane, both stores, the fleet and the mapping, and takes a census',
    kind: 'doctor',
    role: 'operator',
    body: {
      'dryRun?': { ...BOOLEAN, description: 'the census is not recorded' },
      'sample?': { ...nullable(whole(1, 1_000_000_000)), description: 'how many records; null: all' },
    },
    waits: true,
    begin: async (name, { dryRun = false, sample }, who) => {
      await plane.ruleset(name);
      return (signal) =>
        operations.doctor(name, { ...who, dryRun, ...(sample === undefined ? {} : { sample }), signal });
    },
  });
}
