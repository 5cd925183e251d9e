import type { Change, WatchOptions } from '../core/control-client.ts';
import type { ErrorJson } from '../core/revive-error.ts';
import type { Making } from './control-dialect.ts';

/** What a worker that hosts a control plane is started with. */
export interface ControlWorkerData {
  readonly path: string;
  readonly busyBudgetMs: number;
  /** Create or upgrade the schema before the first call. */
  readonly prepare: Making;
}

/** From the main thread to the worker. */
export type ControlRequest =
  | { readonly kind: 'call'; readonly id: number; readonly method: string; readonly args: readonly unknown[] }
  | { readonly kind: 'watch'; readonly id: number; readonly options: WatchOptions }
  | { readonly kind: 'unwatch'; readonly id: number }
  | { readonly kind: 'close' };

/** From the worker to the main thread. */
export type ControlResponse =
  | { readonly kind: 'ready'; readonly methods: readonly string[] }
  | { readonly kind: 'failed'; readonly error: ErrorJson }
  | { readonly kind: 'result'; readonly id: number; readonly value: unknown }
  | { readonly kind: 'error'; readonly id: number; readonly error: ErrorJson }
  | { readonly kind: 'changed'; readonly id: number; readonly change: Change | undefined };

/** The methods whose only argument is a report; it crosses packed. */
export const REPORTS: ReadonlySet<string> = new Set(['report', 'leave']);
