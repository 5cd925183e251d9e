import type { Knex } from 'knex';
import type { Clock, TimerHandle } from '../core/clock.ts';
import type { ChangeWatch } from './control-dialect.ts';

const POLL_MS = 20;
/** While authority is on its way every step waits for the fleet to see the one before. */
const HANDOVER_POLL_MS = 5;

/**
 * Sees the commits of every process by `PRAGMA data_version`, a counter of this connection that moves when another
 * one has committed. Owns its connection: one that writes does not count its own commits.
 */
export class SqliteWatch implements ChangeWatch {
  /** Resolves when the connection is closed. */
  readonly ended: Promise<void>;
  readonly #knex: Knex;
  readonly #clock: Clock;
  readonly #changed: () => void;
  readonly #onEnd: (self: SqliteWatch) => void;
  readonly #resolveEnded: () => void;
  #version = -1;
  #intervalMs = POLL_MS;
  #timer: TimerHandle | null = null;
  #looking = false;
  #lookAgain = false;
  #stopped = false;

  constructor(knex: Knex, clock: Clock, changed: () => void, onEnd: (self: SqliteWatch) => void) {
    this.#knex = knex;
    this.#clock = clock;
    this.#changed = changed;
    this.#onEnd = onEnd;
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
    do {
      this.#lookAgain = false;
      try {
        const [row] = (await this.#knex.raw('PRAGMA data_version')) as { data_version: number }[];
        const version = row?.data_version ?? -1;
        // The first look counts as a change: whatever came between the subscriber's last read and now is in it.
        if (version !== this.#version) {
          this.#version = version;
          if (!this.#stopped) this.#changed();
          this.#intervalMs = (await this.#handoverGoesOn()) ? HANDOVER_POLL_MS : POLL_MS;
        }
      } catch {
        // A database that cannot be read says so to whoever calls it; watching goes on for when it is back.
        this.#version = -1;
      }
    } while (this.#lookAgain && !this.#stopped);
    this.#looking = false;
    if (this.#stopped) await this.#end();
    else this.#timer = this.#clock.after(this.#intervalMs, () => this.nudge(), true);
  }

  async #handoverGoesOn(): Promise<boolean> {
    const rows = (await this.#knex.raw(
      `select 1 from migrations where json_extract(document, '$.handover') is not null limit 1`,
    )) as unknown[];
    return rows.length > 0;
  }

  async #end(): Promise<void> {
    await this.#knex.destroy();
    this.#onEnd(this);
    this.#resolveEnded();
  }
}
