import { type Clock, systemClock } from '../core/clock.ts';
import type { Change, WatchOptions } from '../core/control-client.ts';
import type { Making } from './control-dialect.ts';
import type { ControlPlane } from './control-plane.ts';
import { WorkerLink } from './worker-link.ts';

/** How a control plane on SQLite is opened. */
export interface SqliteControlOptions {
  /** The database file, on a local disk. */
  readonly path: string;
  /**
   * Create the file, or upgrade its schema, first; with `fresh` only the former. Without it a file that lacks anything is `NotPrepared`.
   * @default true
   */
  readonly prepare?: Making | undefined;
  /**
   * How long a call waits for the locks of other processes before `ControlUnavailable`, ms.
   * @default 5000
   */
  readonly busyBudgetMs?: number | undefined;
  /** The main thread's clock, for the limits of `close`; the plane itself runs by the machine's. @default systemClock */
  readonly clock?: Clock | undefined;
}

type Call = (...args: never[]) => Promise<unknown>;

/** A control plane that runs in a worker: its asynchronous methods, and what belongs to the connection. */
export type Remote<Plane> = {
  readonly [M in Exclude<keyof Plane, 'watch' | 'close'> as Plane[M] extends Call ? M : never]: Plane[M];
} & {
  /** Calls `changed` soon after any commit, by any process, until the returned function is called; once at first. */
  watch(changed: (change?: Change) => void, options?: WatchOptions): () => void;
  /** Waits for the calls under way and ends the worker; idempotent. */
  close(): Promise<void>;
};

export type RemoteControlPlane = Remote<ControlPlane>;

const DEFAULT_BUSY_BUDGET_MS = 5_000;

/** A module beside this one: source runs as .ts, what is compiled as .js. */
function beside(name: string): URL {
  const extension = import.meta.url.endsWith('.ts') ? '.ts' : '.js';
  return new URL(`./${name}${extension}`, import.meta.url);
}

/** Opens the plane that a worker's entry serves. @throws what kept it from starting, `NotPrepared` for one. */
export async function openControlWorker<Plane extends object>(
  entry: URL,
  options: SqliteControlOptions,
): Promise<Remote<Plane>> {
  const { path, prepare = true, busyBudgetMs = DEFAULT_BUSY_BUDGET_MS, clock = systemClock } = options;
  const link = new WorkerLink(entry, { path, prepare, busyBudgetMs }, clock);
  try {
    const methods = await link.started;
    const remote: Record<string, unknown> = {};
    for (const method of methods) remote[method] = (...args: unknown[]) => link.call(method, args);
    remote['watch'] = (changed: (change?: Change) => void, options?: WatchOptions) => link.watch(changed, options);
    remote['close'] = () => link.close();
    return Object.freeze(remote) as Remote<Plane>;
  } catch (error) {
    await link.close();
    throw error;
  }
}

/**
 * Opens the control plane in a SQLite file. All of its I/O runs in a worker thread: a lock that another process holds
 * never stops this process's event loop.
 *
 * @throws NotPrepared, InvalidConfiguration (a newer schema, no database), ControlUnavailable
 * @example
 * const control = await openSqliteControl({ path: '.changeover/control.db' });
 */
export function openSqliteControl(options: SqliteControlOptions): Promise<RemoteControlPlane> {
  return openControlWorker<ControlPlane>(beside('sqlite-worker'), options);
}
