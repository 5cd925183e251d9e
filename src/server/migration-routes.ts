import { Readable } from 'node:stream';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { FleetRow } from '../control/control-plane.ts';
import type { HistoryQuery } from '../control/lists.ts';
import type { MigrationStatus } from '../control/status.ts';
import type { NodeRow } from '../control/storage.ts';
import type { NodeInfo } from '../core/control-client.ts';
import type { RulesetDocument } from '../core/ruleset.ts';
import { type Caller, covers, partOf } from './gatekeeper.ts';
import { historyExport, historyLine } from './history-lines.ts';
import type { MigrationDescription } from './operations.ts';
import { addRoute, callerOf, pageSchema, type ServerParts } from './routing.ts';
import { array, BOOLEAN, COUNT, ID, MS, NAME, oneOf, type Schema, SIDE, text, whole } from './schemas.ts';
import { parseUnit } from './unit-json.ts';

/** A migration at a glance: its status, and what its team says of it; null where only the control plane knows it. */
export interface MigrationOverview extends MigrationStatus {
  readonly description: MigrationDescription | null;
}

const DOCUMENT: Schema = { type: 'object', additionalProperties: true };
const PARAMS = { name: NAME };
const LIMIT: Schema = { ...whole(1, 1_000), default: 100 };
const TAG = 'migrations';
const FLEET_QUERY: Readonly<Record<string, Schema>> = {
  'state?': { ...oneOf('alive', 'left', 'dead', 'any'), default: 'alive' },
  'search?': { ...text(200, 1), description: 'only where name, host, version or commit hold this' },
  'after?': { ...COUNT, description: 'the last incarnation that was seen' },
  'limit?': { ...whole(1, 10_000), default: 1_000 },
};

/** A process of the fleet, as lists show it. */
export interface FleetLine extends NodeInfo, Pick<NodeRow, 'state' | 'joinedAt' | 'seenAt' | 'health'> {
  readonly incarnation: number;
  /** The revision of each migration that it has open. */
  readonly acknowledged: Readonly<Record<string, number>>;
}

/** What a session is and what a deadline is is nobody's business but the control plane's. */
function fleetLine({ node, acknowledged }: FleetRow): FleetLine {
  const { id, state, info, joinedAt, seenAt, health } = node;
  return { incarnation: id, state, ...info, joinedAt, seenAt, health, acknowledged };
}

/** Of the processes that fit, a page in the order of their incarnations. */
function fleetLines(
  rows: readonly FleetRow[],
  { search, after = 0, limit }: FleetQuery,
  caller: Caller,
  fits: (row: FleetRow) => boolean,
) {
  const wanted = search?.toLowerCase();
  return rows
    .filter((row) => row.node.id > after && fits(row))
    .map((row) => fleetLine(caller.migrations === null ? row : partOf(row, (name) => covers(caller, name))))
    .filter(
      ({ name, host, version, commit = '', pid }) =>
        wanted === undefined || `${name}\n${host}\n${version}\n${commit}\n${pid}`.toLowerCase().includes(wanted),
    )
    .slice(0, limit);
}

interface HistoryQueryText extends Omit<HistoryQuery, 'kinds'> {
  readonly kinds?: string;
  readonly format: 'json' | 'jsonl';
}

interface FleetQuery {
  readonly state: NodeRow['state'] | 'any';
  readonly behind: boolean;
  readonly search?: string;
  readonly after?: number;
  readonly limit: number;
}

interface Paging {
  readonly after?: number;
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

  const described = (status: MigrationStatus): MigrationOverview => ({
    ...status,
    description: operations.names.includes(status.migration) ? operations.describe(status.migration) : null,
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
      return (await plane.statuses()).filter(({ migration }) => covers(caller, migration)).map(described);
    },
  });

  look('', 'getMigration', 'The status of a migration', DOCUMENT, async (name) => described(await plane.status(name)));
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
      const { format, kinds, ...query } = request.query as HistoryQueryText;
      if (format === 'jsonl') {
        const page = (from: number | undefined, most: number) =>
          plane.history(name, { limit: most, ...(from === undefined ? {} : { before: from }) });
        // Refused now or not at all: the first page is asked for before anything is sent.
        const first = await page(undefined, 1);
        reply.type('application/jsonl; charset=utf-8');
        reply.header('content-disposition', `attachment; filename="${name}-history.jsonl"`);
        return reply.send(first.length === 0 ? '' : Readable.from(historyExport(page)));
      }
      const wanted = { ...query, ...(kinds === undefined ? {} : { kinds: kinds.split(',') }) };
      const { rows, next } = await plane.historyPage(name, wanted);
      return { rows: rows.map(historyLine), next };
    },
    {
      'before?': ID,
      'limit?': LIMIT,
      'format?': { ...oneOf('json', 'jsonl'), default: 'json' },
      'kinds?': { ...text(1_000, 1), description: 'of a page: only these kinds, separated by commas' },
      'since?': MS,
      'until?': MS,
      'search?': { ...text(200, 1), description: 'of a page: only where actor, reason or summary hold this' },
    },
  );

  look(
    '/fleet',
    'getFleet',
    'The processes that have the migration open, and the revision that each has acknowledged',
    array(DOCUMENT),
    async (name, request) => {
      const query = request.query as FleetQuery;
      const { revision } = query.behind ? await plane.ruleset(name) : { revision: 0 };
      const rows = await plane.fleet(query.state === 'any' ? null : query.state);
      return fleetLines(rows, query, callerOf(request), ({ acknowledged }) =>
        query.behind ? (acknowledged[name] ?? revision) < revision : Object.hasOwn(acknowledged, name),
      );
    },
    { ...FLEET_QUERY, 'behind?': { ...BOOLEAN, default: false, description: 'only who has not acknowledged' } },
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
    query: FLEET_QUERY,
    answers: { 200: array(DOCUMENT) },
    handle: async (request) => {
      const caller = callerOf(request);
      const query = request.query as FleetQuery;
      const rows = await plane.fleet(query.state === 'any' ? null : query.state);
      return fleetLines(rows, query, caller, ({ acknowledged }) =>
        caller.migrations === null ? true : Object.keys(acknowledged).some((name) => covers(caller, name)),
      );
    },
  });
}
