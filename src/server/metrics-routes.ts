import type { FastifyInstance } from 'fastify';
import { type DialValue, parseDialValue } from '../core/dial.ts';
import { type ControlReading, type MigrationReading, observeControl } from '../telemetry/metrics-control.ts';
import { httpMetrics } from '../telemetry/metrics-http.ts';
import { PROMETHEUS_TYPE, type PrometheusMetrics } from '../telemetry/metrics-prometheus.ts';
import { demandEverything } from './gatekeeper.ts';
import { addRoute, callerOf, type ServerParts } from './routing.ts';

/** The canaries are no share of the line; the kept-back are all of it. */
const percent = (value: DialValue): number =>
  typeof value === 'number' ? value : value === 'all' ? 100 : Math.max(parseDialValue(value), 0);

/** /metrics: what the control plane knows, and how the server itself fares. */
export function metricsRoutes(app: FastifyInstance, parts: ServerParts, metrics: PrometheusMetrics): void {
  const { feed, jobs } = parts;
  const http = httpMetrics(metrics.meter, () => ({
    followers: feed.followers,
    jobs: jobs.running,
  }));
  const stop = observeControl(metrics.meter, () => readControl(parts));

  app.addHook('onResponse', async (request, reply) => {
    const { url } = request.routeOptions;
    http.answered(request.method, url ?? 'none', reply.statusCode, reply.elapsedTime / 1_000);
  });
  app.addHook('onClose', async () => {
    stop();
    await metrics.close();
  });

  addRoute(app, {
    method: 'GET',
    url: '/metrics',
    access: 'viewer',
    id: 'metrics',
    summary: 'What the control plane knows and how the server fares, for Prometheus',
    tag: 'health',
    answers: { 200: { description: 'text', content: { 'text/plain': { schema: { type: 'string' } } } } },
    handle: async (request, reply) => {
      demandEverything(callerOf(request));
      return reply.type(PROMETHEUS_TYPE).send(await metrics.text());
    },
  });
}

async function readControl({ operations, clock, jobs }: ServerParts): Promise<ControlReading> {
  const { plane } = operations;
  const now = clock.now();
  const all = await plane.statuses();
  const revisions = new Map(all.map(({ migration, revision }) => [migration, revision]));
  const stages = new Map(all.map(({ migration, stage }) => [migration, stage]));
  const verifying = new Map(jobs.verifying.map(({ migration, progress }) => [migration, progress]));
  const fleet = await plane.fleet('alive');
  return {
    migrations: all.map((status) => ({
      migration: status.migration,
      revision: status.revision,
      dials: {
        dualWrite: percent(status.dials.dualWrite),
        shadowRead: percent(status.dials.shadowRead),
        cutover: percent(status.dials.cutover),
      },
      retired: status.dials.retireOld,
      coverage: status.coverage,
      dirty: status.dirty,
      divergences: status.divergences,
      shadow: status.shadow,
      handoverSeconds: status.handover === null ? 0 : Math.max(now - status.handover.startedAt, 0) / 1_000,
      replay: status.replay,
      verify: (verifying.get(status.migration) ?? null) as MigrationReading['verify'],
      verification:
        status.verification === null
          ? null
          : {
              verdict: status.verification.verdict,
              expiresInSeconds: (status.verification.expiresAt - now) / 1_000,
            },
    })),
    processes: fleet.map(({ node, acknowledged }) => ({
      process: node.info.name,
      incarnation: node.id,
      silentSeconds: Math.max(now - node.seenAt, 0) / 1_000,
      memoryBytes: node.health?.memoryBytes ?? 0,
      stage: sharedStage(Object.keys(acknowledged).map((name) => stages.get(name))),
      mirrorQueue: node.health?.mirrorQueue ?? 0,
      shed: node.health?.shed ?? 0,
      operations: node.health?.operations ?? 0,
      errors: node.health?.errors ?? 0,
      behind: Object.fromEntries(
        Object.entries(acknowledged).map(([name, revision]) => [
          name,
          Math.max((revisions.get(name) ?? revision) - revision, 0),
        ]),
      ),
    })),
  };
}

/** The stage of all, `mixed` where there are several. */
function sharedStage(stages: readonly (string | undefined)[]): string {
  const [first = 'off', ...others] = new Set(stages);
  return others.length === 0 ? first : 'mixed';
}
