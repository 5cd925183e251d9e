import type { Side, Stage } from './stage.ts';

/** A structured logger; pino satisfies it. Values of records and secrets are never passed. */
export interface Logger {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
  /** False lets hot paths skip making the fields. */
  isLevelEnabled(level: 'debug' | 'info' | 'warn' | 'error'): boolean;
}

/** Logs nothing. */
export const silentLogger: Logger = Object.freeze({
  debug() {},
  info() {},
  warn() {},
  error() {},
  isLevelEnabled: () => false,
});

/** A call of a repository, as its caller sees it. */
export const MEASURED_OPERATIONS = ['create', 'put', 'get', 'getMany', 'replace', 'update', 'delete'] as const;
export type MeasuredOperation = (typeof MEASURED_OPERATIONS)[number];

/** A call of a store: by an operation, a mirror put or a shadow read. */
export const MEASURED_CALLS = ['get', 'getMany', 'putIfNewer', 'compareAndSet', 'putPlain', 'list'] as const;
export type MeasuredCall = (typeof MEASURED_CALLS)[number];

export type ComparisonResult = 'equal' | 'missing' | 'extra' | 'different' | 'stale';

/** What a process knows of a migration at a moment. */
export interface MigrationGauges {
  readonly mirrorQueue: number;
  /** Mirror puts dropped since the start. */
  readonly shed: number;
  /** Lines of dirt that the control plane does not have yet. */
  readonly unreported: number;
  readonly revision: number;
}

/** Where the measurements of one migration go. Nothing is allocated for one. */
export interface MigrationMetrics {
  /** `error` is null where it succeeded. */
  operation(operation: MeasuredOperation, stage: Stage, store: Side, ms: number, error: unknown): void;
  storeCall(call: MeasuredCall, stage: Stage, store: Side, ms: number, failed: boolean): void;
  comparison(result: ComparisonResult): void;
  /** Reads the gauges whenever somebody collects. @returns what ends it */
  observe(read: () => MigrationGauges): () => void;
}

/** Where measurements go; null in its place where nobody collects any, so that they cost nothing. */
export interface Metrics {
  migration(name: string): MigrationMetrics;
}

/** Who began something, for what outlives it to name; what it is knows only who records spans. */
export type CallOrigin = object;

/** What a call of a store is a part of: the caller's own answer, or what goes on behind its back. */
export interface CallPart {
  readonly role: 'lead' | 'mirror' | 'shadow';
  /** Of the lead that it follows, or repeats. */
  readonly origin: CallOrigin | null;
}

/** A call of a store as it is traced. Never with keys or values. */
export interface TracedCall extends CallPart {
  readonly call: MeasuredCall;
  readonly stage: Stage;
  readonly store: Side;
}

/** Where the spans of one migration go. */
export interface MigrationTraces {
  /** Runs a call within a span of its own; `began` hears who began it, before it runs. */
  storeCall<T>(call: TracedCall, run: () => Promise<T>, began: (origin: CallOrigin) => void): Promise<T>;
}

/** Where spans go; null in its place where nobody asked for any, so that they cost nothing. */
export interface Traces {
  migration(name: string): MigrationTraces;
}
