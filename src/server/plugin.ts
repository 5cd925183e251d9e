import { randomUUID } from 'node:crypto';
import swagger from '@fastify/swagger';
import type { FastifyInstance } from 'fastify';
import { RampKeeper } from '../control/ramp-driver.ts';
import { type Clock, systemClock } from '../core/clock.ts';
import { checkedOidc, type OidcOptions } from '../core/sign-in.ts';
import { type Logger, silentLogger } from '../core/telemetry.ts';
import { prometheusMetrics } from '../telemetry/metrics-prometheus.ts';
import { BUILT_CONSOLE, consoleRoutes } from './console-routes.ts';
import { controlRoutes } from './control-routes.ts';
import { divergenceRoutes } from './divergence-routes.ts';
import { eventRoutes } from './event-routes.ts';
import { proxyWarning } from './forwarded.ts';
import { Gatekeeper, ORIGIN_HEADER, type RateLimits, SESSION_COOKIE } from './gatekeeper.ts';
import { healthRoutes } from './health-routes.ts';
import { jobRoutes } from './job-routes.ts';
import { Jobs } from './jobs.ts';
import { metricsRoutes } from './metrics-routes.ts';
import { migrationRoutes } from './migration-routes.ts';
import { moveRoutes } from './move-routes.ts';
import { OidcClient } from './oidc-client.ts';
import { oidcRoutes } from './oidc-routes.ts';
import type { Operations } from './operations.ts';
import { outlookRoutes } from './outlook-routes.ts';
import { errorHandler, notFoundHandler } from './problem.ts';
import { rampRoutes } from './ramp-routes.ts';
import { replayRoutes } from './replay-routes.ts';
import { addRoute, authorize, type ServerParts, typedQuery } from './routing.ts';
import { RulesetFeed } from './ruleset-feed.ts';
import { Sampler } from './sampler.ts';
import { setSecurityHeaders } from './security-headers.ts';
import { seriesRoutes } from './series-routes.ts';
import { sessionRoutes } from './session-routes.ts';
import { tokenRoutes } from './token-routes.ts';
import { verificationRoutes } from './verification-routes.ts';
import { Webhooks } from './webhooks.ts';

export interface PluginOptions {
  /** What `control(config)` gave; the plugin does not close it. */
  readonly operations: Operations;
  readonly version: string;
  /** Where the metrics, health checks and the API lie. @default the root */
  readonly prefix?: string;
  /** @default silent */
  readonly logger?: Logger;
  readonly clock?: Clock;
  /** Of one token. @default 2000 a second, 4000 at once: a fleet shares one */
  readonly rateLimits?: RateLimits;
  /** Addresses that are told of moves, refusals, roll-backs, divergences and stuck replays. @default none */
  readonly webhooks?: readonly string[];
  /** How people sign in besides by tokens. @default by tokens only */
  readonly oidc?: OidcOptions | undefined;
  /** The folder of the built console; null serves none. @default the package's own, where the plugin lies at the root */
  readonly console?: string | null;
}

const RATE_LIMITS: RateLimits = { perSecond: 2_000, burst: 4_000 };

/**
 * The server as a plugin of fastify. Its instance must have been made with {@link FASTIFY_OPTIONS}, or validation is
 * laxer than the OpenAPI document says.
 *
 * @example
 * const app = fastify(FASTIFY_OPTIONS);
 * const operations = await control(config);
 * await app.register(changeoverServer, { operations, version: '1.0.0' });
 */
export async function changeoverServer(app: FastifyInstance, options: PluginOptions): Promise<void> {
  const { operations, version, logger = silentLogger, clock = systemClock, rateLimits = RATE_LIMITS } = options;
  const { plane } = operations;
  const parts: ServerParts = {
    operations,
    gatekeeper: new Gatekeeper(plane, clock, rateLimits),
    jobs: new Jobs(plane, clock, logger),
    actions: new Map(),
    feed: new RulesetFeed(plane, clock, logger),
    oidc: options.oidc === undefined ? null : await OidcClient.load(checkedOidc(options.oidc), clock),
    clock,
    logger,
  };

  const sampler = new Sampler(plane, clock, logger);
  const webhooks = new Webhooks(options.webhooks ?? [], plane, clock, logger);
  const ramps = new RampKeeper(
    { plane, clock, runner: randomUUID() },
    operations.names,
    (name) => operations.migration(name),
    (error, migration) => logger.error({ err: error, migration }, 'a ramp cannot be driven; it is tried again'),
  );

  app.decorateRequest('caller', null);
  // The schemas of answers are for readers; what is answered is not bent to them.
  app.setSerializerCompiler(() => (answer) => JSON.stringify(answer));
  // JSON only: what a form of another site can send is nothing here.
  app.removeContentTypeParser('text/plain');
  app.setErrorHandler(errorHandler);
  const warnOfProxy = proxyWarning(logger);
  app.addHook('onRequest', async (request, reply) => {
    setSecurityHeaders(request, reply);
    warnOfProxy(request);
    await authorize(parts.gatekeeper, request);
  });
  app.addHook('preValidation', async (request) => {
    typedQuery(request.query as Record<string, unknown>, request.routeOptions.schema?.querystring);
  });
  // A route without a word about who may call it is a mistake, and is found when the server starts.
  app.addHook('onRoute', ({ config, url, method }) => {
    if (config?.access === undefined && method !== 'HEAD') throw new Error(`nobody says who may call ${method} ${url}`);
  });
  // Streams and jobs end first: nobody waits for them to end by themselves.
  app.addHook('onReady', () => ramps.start());
  app.addHook('preClose', async () => {
    parts.feed.close();
    await sampler.close();
    await ramps.close();
    await webhooks.close();
    await parts.jobs.close();
  });

  await app.register(swagger, { openapi: documentHead(version) });
  metricsRoutes(app, parts, prometheusMetrics('changeover'));
  healthRoutes(app, parts);
  const root = options.console === undefined && app.prefix === '' ? BUILT_CONSOLE : (options.console ?? null);
  if (root === null) app.setNotFoundHandler(notFoundHandler);
  else await consoleRoutes(app, root);
  await app.register(
    async (api) => {
      addRoute(api, {
        method: 'GET',
        url: '/openapi.json',
        access: 'public',
        id: 'openapi',
        summary: 'This document',
        tag: 'health',
        answers: { 200: { type: 'object', additionalProperties: true } },
        handle: () => app.swagger(),
      });
      for (const routes of [
        sessionRoutes,
        oidcRoutes,
        tokenRoutes,
        migrationRoutes,
        seriesRoutes,
        divergenceRoutes,
        verificationRoutes,
        outlookRoutes,
        moveRoutes,
        replayRoutes,
        rampRoutes,
        jobRoutes,
        eventRoutes,
        controlRoutes,
      ]) {
        routes(api, parts);
      }
    },
    { prefix: '/api/v1' },
  );
}

const documentHead = (version: string) => ({
  openapi: '3.1.0' as const,
  info: {
    title: 'changeover',
    description: `Moves live data from one database to another. Send a token as \`Authorization: Bearer …\`; writes of a session (cookie \`${SESSION_COOKIE}\`) need the header \`${ORIGIN_HEADER}\`. \`x-role\` is the least role that a route takes.`,
    version,
    license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
  },
  components: {
    securitySchemes: {
      token: { type: 'http' as const, scheme: 'bearer' },
      session: { type: 'apiKey' as const, in: 'cookie' as const, name: SESSION_COOKIE },
    },
  },
});
