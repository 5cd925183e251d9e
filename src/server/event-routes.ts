import type { FastifyInstance } from 'fastify';
import { covers } from './gatekeeper.ts';
import { addRoute, callerOf, type ServerParts } from './routing.ts';
import { type FollowerStream, parseSeen } from './ruleset-feed.ts';
import { BOOLEAN } from './schemas.ts';

/** What processes and pages follow. */
export function eventRoutes(app: FastifyInstance, { feed, gatekeeper, operations }: ServerParts): void {
  addRoute(app, {
    method: 'GET',
    url: '/events',
    access: 'viewer',
    id: 'followRulesets',
    summary: 'Every new ruleset as a server-sent event',
    tag: 'events',
    query: {
      'migrations?': { type: 'string', maxLength: 100_000, description: 'names, separated by commas; all by default' },
      'changes?': { ...BOOLEAN, description: 'also an event `change` whenever anything changed' },
      'status?': {
        ...BOOLEAN,
        description: 'also the status of each migration as events `status`: all at once, then each that has changed',
      },
      'seen?': {
        type: 'string',
        maxLength: 100_000,
        description: 'what the follower has, as the id of the last event said; Last-Event-ID wins',
      },
    },
    answers: {
      200: {
        description:
          '`ruleset` events, each with the id to go on from; `status` and `change` where asked for; `ready` after what was missed',
        content: { 'text/event-stream': { schema: { type: 'string' } } },
      },
    },
    handle: async (request, reply) => {
      const query = request.query as {
        readonly migrations?: string;
        readonly changes?: boolean;
        readonly status?: boolean;
        readonly seen?: string;
      };
      const caller = callerOf(request);
      const wanted = query.migrations?.split(',') ?? (await operations.plane.migrations());
      const migrations = wanted.filter((name) => covers(caller, name)).slice(0, 1_000);
      const last = request.headers['last-event-id'];
      const seen = parseSeen((Array.isArray(last) ? last[0] : last) ?? query.seen);
      // Nothing that may be refused comes after this line.
      reply.hijack();
      const { raw } = reply;
      raw.writeHead(200, {
        ...(reply.getHeaders() as Record<string, string>),
        'content-type': 'text/event-stream; charset=utf-8',
        'cache-control': 'no-store',
        'x-accel-buffering': 'no',
        // An ended stream takes its connection with it: a server that closes waits for every one that is open.
        connection: 'close',
      });
      request.socket.setNoDelay(true);
      const stream: FollowerStream = {
        write: (text) => void raw.write(text),
        get pending() {
          return raw.writableLength;
        },
        end: () => raw.end(),
        valid: () => gatekeeper.stillValid(caller),
      };
      try {
        const all = query.migrations === undefined;
        const statuses = (name: string): boolean => (all ? covers(caller, name) : migrations.includes(name));
        const stop = await feed.follow(stream, {
          migrations,
          seen,
          changes: query.changes === true,
          statuses: query.status === true ? statuses : null,
        });
        if (raw.destroyed) stop();
        else raw.once('close', stop);
      } catch {
        // The control plane is away; whoever follows tries again.
        raw.end();
      }
    },
  });
}
