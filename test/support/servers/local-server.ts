import type { Cache } from './cache.ts';
import type { KeeperLink } from './keeper-link.ts';

/** A server that this machine can have without anything being installed. */
export interface LocalServer {
  /** Fetches what is not there yet. @returns how long that took; null where all was there */
  fetch(cache: Cache): Promise<LocalFiles>;
  /** Starts it on a free port. */
  start(files: LocalFiles, keeper: KeeperLink): Promise<RunningServer>;
}

export interface LocalFiles {
  readonly folder: string;
  readonly fetchedMs: number | null;
}

export interface RunningServer {
  readonly url: string;
  /** Why it will never answer; null while it may. */
  gone(): string | null;
}
