import { Readable } from 'node:stream';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { FleetRow } from '../control/control-plane.ts';
import type { MigrationStatus } from '../control/status.ts';
import type { NodeRow } from '../control/storage.ts';
import type { RulesetDocument } from '../core/ruleset.ts';
import { covers } from './gatekeeper.ts';
import { historyExport, historyLine } from './history-lines.ts';
import type { MigrationDescription } from './operations.ts';
import { addRoute, callerOf, pageSchema, type ServerParts } from './routing.ts';
import { array, COUNT, ID, NAME, oneOf, type Schema, SIDE, whole } from './schemas.ts';
import { parseUnit } from './unit-json.ts';

/** A migration at a glance: its status, and what its team says of it; null where only the control plane knows it. */
export interface MigrationOverview extends MigrationStatus {
  readonly description: MigrationDescription | null;
}

const DOCUMENT: Schema = { type: 'object', additionalProperties: true };
const PARAMS = { name: NAME };
const LIMIT: Schema = { ...whole(1, 1_000), default: 100 };
const TAG = 'migrations';

/** What a session is and what a deadline is is nobody's business but the control plane's. */
function fleetLine({ node, acknowledged }: FleetRow) {
  const { id, state, info, joinedAt, seenAt, health } = node;
  return { incarnation: id, state, ...info, joinedAt, seenAt, health, acknowledged };
}

interface Paging {
  readonly after?: number;
  readonly before?: number;
  readonly limit: number;
}

const paging = (request: FastifyRequest): Paging => request.query as Paging;

const pageOf = <R extends { readonly id: number }>(rows: readonly R[], limit: number) => ({
  rows,
  next: rows.length < limit ? null : (rows.at(-1)?.id ?? null),
});

/** Looking: everything here changes nothing. */
export function migrationRoutes(app: FastifyInstance, { operations }: ServerParts): void {
  const { plane } = operations;
  const nameOf = (request: FastifyRequest): string => (request.params as { readonly name: string }).name;

  const overview = async (name: string): Promise<MigrationOverview> => ({
    ...(await plane.status(name)),
    description: operations.names.includes(name) ? operations.describe(name) : null,
  });

  const look = (
    path: string,
    id: string,
    summary: string,
    answer: Schema,
    handle: (name: string, request: FastifyRequest, reply: FastifyReply) => unknown,
    query?: Readonly<Record<string, Schema>>,
  ): void =>
    addRoute(app, {
      method: 'GET',
      url: `/migrations/:name${path}`,
      access: 'viewer',
      id,
      summary,
      tag: TAG,
      params: PARAMS,
      ...(query === undefined ? {} : { query }),
      answers: { 200: answer },
      handle: async (request, reply) => {
        const name = nameOf(request);
        // Lists of a migration that there is not would be empty.
        await plane.ruleset(name);
        return handle(name, request, reply);
      },
    });

  addRoute(app, {
    method: 'GET',
    url: '/migrations',
    access: 'viewer',
    id: 'listMigrations',
    summary: 'Every migration with its status',
    tag: TAG,
    answers: { 200: array(DOCUMENT) },
    handle: async (request) => {
      const caller = callerOf(request);
      const names = (await plane.migrations()).filter((name) => covers(caller, name));
      return Promise.all(names.map(overview));
    },
  });

  look('', 'getMigration', 'The status of a migration', DOCUMENT, overview);
  look(
    '/ruleset',
    'getRuleset',
    'The ruleset in force',
    DOCUMENT,
    (name): Promise<RulesetDocument> => plane.ruleset(name),
  );

  look(
    '/history',
    'getHistory',
    'Who did what, when, why and from where; newest first. As JSON lines: all of it, with the rulesets',
    {
      description: 'a page, or the export',
      content: {
        'application/json': { schema: pageSchema(DOCUMENT, COUNT) },
        'application/jsonl': { schema: { type: 'string' } },
      },
    },
    async (name, request, reply) => {
      const { before, limit } = paging(request);
      const page = (from: number | undefined, most: number) =>
        plane.history(name, { limit: most, ...(from === undefined ? {} : { before: from }) });
      if ((request.query as { readonly format: string }).format === 'jsonl') {
        // Refused now or not at all: the first page is asked for before anything is sent.
        const first = await page(undefined, 1);
        reply.type('application/jsonl; charset=utf-8');
        reply.header('content-disposition', `attachment; filename="${name}-history.jsonl"`);
        return reply.send(first.length === 0 ? '' : Readable.from(historyExport(page)));
      }
      return pageOf((await page(before, limit)).map(historyLine), limit);
    },
    { 'before?': ID, 'limit?': LIMIT, 'format?': { ...oneOf('json', 'jsonl'), default: 'json' } },
  );

  look(
    '/fleet',
    'getFleet',
    'The processes that have the migration open, and the revision that each has acknowledged',
    array(DOCUMENT),
    async (name, request) => {
      const { state } = request.query as { readonly state: NodeRow['state'] | 'any' };
      const rows = await plane.fleet(state === 'any' ? null : state);
      return rows.filter(({ acknowledged }) => Object.hasOwn(acknowledged, name)).map(fleetLine);
    },
    { 'state?': { ...oneOf('alive', 'left', 'dead', 'any'), default: 'alive' } },
  );

  look(
    '/dirt',
    'getDirt',
    'Ranges and keys whose writes a store may be missing, oldest first',
    pageSchema(DOCUMENT, COUNT),
    async (name, request) => {
      const { after = 0, limit } = paging(request);
      const { target = null } = request.query as { readonly target?: 'old' | 'new' };
      return pageOf(await plane.dirt(name, target, limit, after), limit);
    },
    { 'target?': SIDE, 'after?': COUNT, 'limit?': LIMIT },
  );

  look(
    '/divergences',
    'getDivergences',
    'Records that differ, field by field, by when they were first seen',
    pageSchema(DOCUMENT, COUNT),
    async (name, request) => {
      const { after = 0, limit } = paging(request);
      return pageOf(await plane.divergences(name, after, limit), limit);
    },
    { 'after?': COUNT, 'limit?': LIMIT },
  );

  look(
    '/verifications',
    'getVerifications',
    'Verdicts, newest first',
    pageSchema(DOCUMENT, COUNT),
    async (name, request) => {
      const { before, limit } = paging(request);
      const page = { limit, ...(before === undefined ? {} : { before }) };
      return pageOf(await plane.verifications(name, page), limit);
    },
    { 'before?': ID, 'limit?': LIMIT },
  );

  look(
    '/route',
    'getRoute',
    'Where the operations of a unit go, and why',
    DOCUMENT,
    async (name, request) => operations.route(name, parseUnit((request.query as { readonly unit: string }).unit)),
    { unit: { type: 'string', maxLength: 10_000, description: 'JSON: the unit, or an object of its fields' } },
  );

  addRoute(app, {
    method: 'GET',
    url: '/fleet',
    access: 'viewer',
    id: 'listFleet',
    summary: 'All processes, and what each has acknowledged',
    tag: 'fleet',
    query: { 'state?': { ...oneOf('alive', 'left', 'dead', 'any'), default: 'alive' } },
    answers: { 200: array(DOCUMENT) },
    handle: async (request) => {
      const caller = callerOf(request);
      const { state } = request.query as { readonly state: NodeRow['state'] | 'any' };
      const rows = await plane.fleet(state === 'any' ? null : state);
      const shared = rows.filter(({ acknowledged }) => Object.keys(acknowledged).some((name) => covers(caller, name)));
      return (caller.migrations === null ? rows : shared).map(fleetLine);
    },
  });
}
