import type { Clock, TimerHandle } from '../core/clock.ts';
import type { Change, WatchOptions } from '../core/control-client.ts';
import type { ChangeWatch } from './control-dialect.ts';
import type { SqliteConnection } from './sqlite-connection.ts';

const POLL_MS = 20;
/** While authority is on its way every step waits for the fleet to see the one before; and so does who waits for acknowledgements. */
const WAITED_FOR_POLL_MS = 5;

/** One row: how far all rulesets have come together, and whether authority is on its way anywhere. */
const RULESETS = `select count(*) as migrations, sum(revision) as revisions,
  coalesce(max(json_extract(document, '$.handover') is not null), 0) as moving from migrations`;

export interface SqliteWatchParts {
  /** Its own: one that writes does not count its own commits. */
  readonly connection: SqliteConnection;
  readonly clock: Clock;
  readonly changed: (change?: Change) => void;
  readonly options: WatchOptions;
  readonly onEnd: (self: SqliteWatch) => void;
}

/**
 * Sees the commits of every process by `PRAGMA data_version`, a counter of this connection that moves when another
 * one has committed, and looks only then whether rulesets have changed.
 */
export class SqliteWatch implements ChangeWatch {
  /** Resolves when the connection is closed. */
  readonly ended: Promise<void>;
  readonly #parts: SqliteWatchParts;
  readonly #resolveEnded: () => void;
  #version = -1;
  #rulesets = '';
  #intervalMs = WAITED_FOR_POLL_MS;
  #timer: TimerHandle | null = null;
  #looking = false;
  #lookAgain = false;
  #stopped = false;

  constructor(parts: SqliteWatchParts) {
    this.#parts = parts;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.ended = promise;
    this.#resolveEnded = resolve;
    this.nudge();
  }

  nudge(): void {
    if (this.#stopped) return;
    if (this.#looking) {
      this.#lookAgain = true;
      return;
    }
    this.#timer?.cancel();
    this.#looking = true;
    void this.#look();
  }

  stop(): void {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#timer?.cancel();
    if (!this.#looking) void this.#end();
  }

  async #look(): Promise<void> {
    const { connection, clock } = this.#parts;
    do {
      this.#lookAgain = false;
      try {
        // Another file counts its commits by itself.
        if (await connection.open()) this.#version = -1;
        const version = Number(connection.execute(VERSION).rows[0]?.['data_version']);
        if (version !== this.#version) this.#see(version);
      } catch {
        // A database that cannot be read says so to whoever calls it; watching goes on for when it is back.
        this.#version = -1;
      }
    } while (this.#lookAgain && !this.#stopped);
    this.#looking = false;
    if (this.#stopped) await this.#end();
    else this.#timer = clock.after(this.#intervalMs, () => this.nudge(), true);
  }

  #see(version: number): void {
    const { connection, changed, options } = this.#parts;
    // The first look counts as a change: whatever came between the subscriber's last read and now is in it.
    const first = this.#version === -1;
    const row = connection.execute({ sql: RULESETS, values: [] }).rows[0];
    const rulesets = `${row?.['migrations']} ${row?.['revisions']}`;
    this.#intervalMs = row?.['moving'] === 1 || options.soon === true ? WAITED_FOR_POLL_MS : POLL_MS;
    const change = first ? undefined : rulesets === this.#rulesets ? 'other' : 'rulesets';
    this.#version = version;
    this.#rulesets = rulesets;
    if (!this.#stopped && !(options.onlyRulesets === true && change === 'other')) changed(change);
  }

  async #end(): Promise<void> {
    await this.#parts.connection.close();
    this.#parts.onEnd(this);
    this.#resolveEnded();
  }
}

const VERSION = { sql: 'PRAGMA data_version', values: [] };
