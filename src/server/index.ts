/** `changeover/server`: the operators' server, as a plugin of fastify or by itself. */
export { PROMETHEUS_TYPE, type PrometheusMetrics, prometheusMetrics } from '../telemetry/metrics-prometheus.ts';
export type { RateLimits } from './gatekeeper.ts';
export { DEFAULT_PORT, FASTIFY_OPTIONS, type ListenOptions, type RunningServer, startServer } from './listen.ts';
export type { MigrationDescription, Operations } from './operations.ts';
export { changeoverServer, type PluginOptions } from './plugin.ts';
