import type { Clock, Random, TimerHandle } from '../core/clock.ts';
import { sleep } from '../core/clock.ts';
import type { Change } from '../core/control-client.ts';
import type { ChangeWatch } from './control-dialect.ts';
import type { PostgresConnection } from './postgres-connection.ts';

/** How late a change is seen at most when its announcement is lost. */
const POLL_MS = 1_000;
/** A subscriber that has just read may have missed what came while it did: it looks once more soon, if anything came. */
const FIRST_LOOK_MS = 5;
const RECENT_MS = 100;
/** A connection that does not answer for so long is given up: a broken line says nothing by itself. */
const ANSWER_MS = 5_000;
const FIRST_WAIT_MS = 50;
const LONGEST_WAIT_MS = 5_000;

interface Watcher {
  readonly changed: (change?: Change) => void;
}

/**
 * Hears of the commits of every process by NOTIFY on a connection of its own, and tells each subscriber once a second
 * anyway: an announcement that is lost (a broken line, a pooler that passes none on) costs time, never a change.
 */
export class PostgresListener {
  readonly #open: (signal: AbortSignal) => Promise<PostgresConnection>;
  readonly #channel: string;
  readonly #instance: string;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #watchers = new Set<Watcher>();
  readonly #closed = new AbortController();
  #connection: PostgresConnection | null = null;
  #asking = false;
  #heardAt = Number.NEGATIVE_INFINITY;
  #listening: Promise<void> | null = null;
  #poll: TimerHandle | null = null;

  constructor(
    open: (signal: AbortSignal) => Promise<PostgresConnection>,
    channel: string,
    instance: string,
    clock: Clock,
    random: Random,
  ) {
    this.#open = open;
    this.#channel = channel;
    this.#instance = instance;
    this.#clock = clock;
    this.#random = random;
  }

  /** Goes on listening when the last subscriber has left: the next one comes soon, where moves are waited for. */
  subscribe(changed: (change?: Change) => void): ChangeWatch {
    const watcher: Watcher = { changed };
    this.#watchers.add(watcher);
    this.#listening ??= this.#listen();
    if (this.#poll === null) this.#schedulePoll();
    const recent = this.#clock.monotonic() - this.#heardAt < RECENT_MS;
    const first = recent ? this.#clock.after(FIRST_LOOK_MS, () => this.#tell(watcher), true) : null;
    return {
      nudge: (change) => {
        this.#heardAt = this.#clock.monotonic();
        queueMicrotask(() => this.#tell(watcher, change));
      },
      stop: () => {
        first?.cancel();
        this.#watchers.delete(watcher);
      },
    };
  }

  async close(): Promise<void> {
    this.#watchers.clear();
    this.#closed.abort();
    this.#poll?.cancel();
    await this.#connection?.close();
    await this.#listening;
  }

  async #listen(): Promise<void> {
    const { signal } = this.#closed;
    for (let failures = 0; !signal.aborted; failures += 1) {
      try {
        const connection = await this.#open(signal);
        this.#connection = connection;
        signal.throwIfAborted();
        connection.client.on('notification', ({ payload }) => this.#hear(payload ?? ''));
        await this.#ask(connection, `LISTEN ${this.#channel}`);
        failures = 0;
        // Whatever came while nobody listened.
        this.#tellAll();
        await connection.ended;
      } catch {
        // Whoever needs the database says that it is away; listening goes on for when it is back.
      }
      this.#connection?.destroy();
      this.#connection = null;
      const wait = Math.min(FIRST_WAIT_MS * 2 ** Math.min(failures, 10), LONGEST_WAIT_MS);
      await sleep(this.#clock, wait * (0.5 + this.#random() / 2), signal).catch(() => {});
    }
  }

  #schedulePoll(): void {
    if (this.#closed.signal.aborted) return;
    const look = (): void => {
      this.#tellAll();
      if (this.#connection !== null && !this.#asking) void this.#ask(this.#connection, 'SELECT').catch(() => {});
      this.#schedulePoll();
    };
    this.#poll = this.#clock.after(POLL_MS, look, true);
  }

  /** A connection that gives no answer, dead without having said so, is ended; another one takes its place. */
  async #ask(connection: PostgresConnection, statement: string): Promise<void> {
    this.#asking = true;
    const cut = this.#clock.after(ANSWER_MS, () => connection.destroy(), true);
    try {
      await connection.query(statement);
    } catch (error) {
      connection.destroy();
      throw error;
    } finally {
      cut.cancel();
      this.#asking = false;
    }
  }

  #hear(payload: string): void {
    this.#heardAt = this.#clock.monotonic();
    const [change, instance] = payload.split(' ');
    // What this process has committed itself, its storage has told already.
    if (instance === this.#instance) return;
    this.#tellAll(change === 'rulesets' || change === 'other' ? change : undefined);
  }

  #tellAll(change?: Change): void {
    for (const watcher of [...this.#watchers]) this.#tell(watcher, change);
  }

  #tell(watcher: Watcher, change?: Change): void {
    if (this.#watchers.has(watcher)) watcher.changed(change);
  }
}
