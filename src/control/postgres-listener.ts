import type { Clock, Random, TimerHandle } from '../core/clock.ts';
import { sleep } from '../core/clock.ts';
import type { Change, WatchOptions } from '../core/control-client.ts';
import type { ChangeWatch } from './control-dialect.ts';
import type { PostgresConnection } from './postgres-connection.ts';
import { channelOf, type PostgresPlace } from './postgres-place.ts';

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
  readonly onlyRulesets: boolean;
}

export interface ListenerParts {
  readonly open: (signal: AbortSignal) => Promise<PostgresConnection>;
  readonly place: PostgresPlace;
  /** Tells one's own announcements from others'. */
  readonly instance: string;
  readonly clock: Clock;
  readonly random: Random;
}

/**
 * Hears of the commits of every process by NOTIFY on a connection of its own, and tells each subscriber once a second
 * anyway: an announcement that is lost (a broken line, a pooler that passes none on) costs time, never a change.
 */
export class PostgresListener {
  readonly #parts: ListenerParts;
  readonly #watchers = new Set<Watcher>();
  readonly #closed = new AbortController();
  readonly #listensTo = new Set<Change>();
  #connection: PostgresConnection | null = null;
  #asking = 0;
  #heardAt = Number.NEGATIVE_INFINITY;
  #listening: Promise<void> | null = null;
  #poll: TimerHandle | null = null;

  constructor(parts: ListenerParts) {
    this.#parts = parts;
  }

  /** Goes on listening when the last subscriber has left: the next one comes soon, where moves are waited for. */
  subscribe(changed: (change?: Change) => void, { onlyRulesets = false }: WatchOptions = {}): ChangeWatch {
    const { clock } = this.#parts;
    const watcher: Watcher = { changed, onlyRulesets };
    this.#watchers.add(watcher);
    this.#listening ??= this.#listen();
    if (this.#poll === null) this.#schedulePoll();
    if (!onlyRulesets) this.#hearEverything();
    const recent = clock.monotonic() - this.#heardAt < RECENT_MS;
    const first = recent ? clock.after(FIRST_LOOK_MS, () => this.#tell(watcher), true) : null;
    return {
      nudge: (change) => {
        this.#heardAt = clock.monotonic();
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
        const connection = await this.#parts.open(signal);
        this.#connection = connection;
        signal.throwIfAborted();
        connection.client.on('notification', ({ payload }) => this.#hear(payload ?? ''));
        this.#listensTo.clear();
        await this.#listenTo(connection, 'rulesets');
        failures = 0;
        // Whatever came while nobody listened.
        this.#tellAll();
        if ([...this.#watchers].some(({ onlyRulesets }) => !onlyRulesets)) this.#hearEverything();
        await connection.ended;
      } catch {
        // Whoever needs the database says that it is away; listening goes on for when it is back.
      }
      this.#connection?.destroy();
      this.#connection = null;
      const wait = Math.min(FIRST_WAIT_MS * 2 ** Math.min(failures, 10), LONGEST_WAIT_MS);
      await sleep(this.#parts.clock, wait * (0.5 + this.#parts.random() / 2), signal).catch(() => {});
    }
  }

  /** From the first one on who wants to; there are soon others, where moves are waited for. */
  #hearEverything(): void {
    const connection = this.#connection;
    // One that is still being made will be asked for it then.
    if (connection === null || !this.#listensTo.has('rulesets') || this.#listensTo.has('other')) return;
    void this.#listenTo(connection, 'other').then(
      () => this.#tellAll(),
      () => {},
    );
  }

  #listenTo(connection: PostgresConnection, change: Change): Promise<void> {
    this.#listensTo.add(change);
    return this.#ask(connection, `LISTEN ${channelOf(this.#parts.place, change)}`);
  }

  #schedulePoll(): void {
    if (this.#closed.signal.aborted) return;
    const look = (): void => {
      this.#tellAll();
      if (this.#connection !== null && this.#asking === 0) void this.#ask(this.#connection, 'SELECT').catch(() => {});
      this.#schedulePoll();
    };
    this.#poll = this.#parts.clock.after(POLL_MS, look, true);
  }

  /** A connection that gives no answer, dead without having said so, is ended; another one takes its place. */
  async #ask(connection: PostgresConnection, statement: string): Promise<void> {
    this.#asking += 1;
    const cut = this.#parts.clock.after(ANSWER_MS, () => connection.destroy(), true);
    try {
      await connection.query(statement);
    } catch (error) {
      connection.destroy();
      throw error;
    } finally {
      cut.cancel();
      this.#asking -= 1;
    }
  }

  #hear(payload: string): void {
    this.#heardAt = this.#parts.clock.monotonic();
    const [change, instance] = payload.split(' ');
    // What this process has committed itself, its storage has told already.
    if (instance === this.#parts.instance) return;
    this.#tellAll(change === 'rulesets' || change === 'other' ? change : undefined);
  }

  #tellAll(change?: Change): void {
    for (const watcher of [...this.#watchers]) this.#tell(watcher, change);
  }

  #tell(watcher: Watcher, change?: Change): void {
    if (!this.#watchers.has(watcher) || (watcher.onlyRulesets && change === 'other')) return;
    watcher.changed(change);
  }
}
