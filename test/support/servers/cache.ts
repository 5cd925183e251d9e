import { randomUUID } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { command } from './command.ts';
import type { Environment } from './names.ts';

export interface CachedFolder {
  readonly folder: string;
  /** How long fetching took; null where it was there. */
  readonly fetchedMs: number | null;
}

const TRIES = 2;
const RETRY_MS = 500;
const ABANDONED_MS = 3_600_000;

/**
 * What tests fetch once and keep: one folder an artefact and version. A folder is filled under another name and renamed
 * when it is whole, so a run that is killed leaves nothing half, and of two runs at a time the first one's stays.
 */
export class Cache {
  readonly folder: string;

  /**
   * `CHANGEOVER_TEST_CACHE`, or the user's cache folder. Servers that refuse to be root run as another user, who cannot
   * enter root's home: there it is the system's cache folder.
   */
  constructor(environment: Environment) {
    const home = environment['XDG_CACHE_HOME'] ?? join(homedir(), '.cache');
    const usual = process.getuid?.() === 0 ? '/var/cache' : home;
    this.folder = environment['CHANGEOVER_TEST_CACHE'] ?? join(usual, 'changeover-test');
  }

  /** The folder of that name; `fill` makes its content, a second time where the first one fails. */
  async get(name: string, fill: (folder: string) => Promise<void>): Promise<CachedFolder> {
    const folder = join(this.folder, name);
    if (existsSync(folder)) return { folder, fetchedMs: null };
    const begun = performance.now();
    mkdirSync(this.folder, { recursive: true });
    this.#dropAbandoned();
    for (let tries = 1; ; tries += 1) {
      const filling = join(this.folder, `.${name}-${randomUUID()}`);
      mkdirSync(filling);
      try {
        await fill(filling);
        // A server may run as another user than the one who fetched it.
        await command('chmod', ['-R', 'a+rX', filling]);
        this.#keep(filling, folder);
        return { folder, fetchedMs: performance.now() - begun };
      } catch (error) {
        if (tries === TRIES) throw error;
        await pause(RETRY_MS);
      } finally {
        rmSync(filling, { recursive: true, force: true });
      }
    }
  }

  #keep(filling: string, folder: string): void {
    try {
      renameSync(filling, folder);
    } catch (error) {
      if (!existsSync(folder)) throw error;
    }
  }

  #dropAbandoned(): void {
    for (const name of readdirSync(this.folder)) {
      const path = join(this.folder, name);
      const age = Date.now() - (statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? Date.now());
      if (name.startsWith('.') && age > ABANDONED_MS) rmSync(path, { recursive: true, force: true });
    }
  }
}
