import type { ControlPlaneApi } from '../control/control-plane.ts';
import type { MigrationStatus } from '../control/status.ts';
import type { Clock, TimerHandle } from '../core/clock.ts';
import type { RulesetDocument } from '../core/ruleset.ts';
import type { Logger } from '../core/telemetry.ts';

/** The revision that a follower has of each migration. */
export type Seen = ReadonlyMap<string, number>;

/** Where a follower's words go. */
export interface FollowerStream {
  write(text: string): void;
  /** What it has not taken yet, bytes. */
  readonly pending: number;
  end(): void;
  /** Whether it may still listen. */
  valid(): Promise<boolean>;
}

export interface FollowOptions {
  readonly migrations: readonly string[];
  readonly seen: Seen;
  /** Also hear that anything changed at all: dirt, acknowledgements, progress. */
  readonly changes: boolean;
  /** Also hear the status of these whenever it has changed, and of all of them at once; null: of none. */
  readonly statuses?: ((migration: string) => boolean) | null;
}

interface Follower {
  readonly stream: FollowerStream;
  readonly migrations: ReadonlySet<string>;
  readonly seen: Map<string, number>;
  readonly changes: boolean;
  readonly statuses: ((migration: string) => boolean) | null;
  /** The status of each migration as it was told last. */
  readonly told: Map<string, string>;
}

/** Nobody hears nothing for longer than this. */
export const HEARTBEAT_MS = 5_000;
const CHANGES_MS = 250;
const RETRY_MS = 1_000;
/** Statuses are read no more often than this, and for no more than a tenth of the time, however much goes on. */
const STATUS_MS = 500;
const STATUS_SHARE = 10;
/** Who does not read is let go: it comes back and catches up. */
const MOST_PENDING = 8 * 1024 * 1024;

/** `events=12;users=3`: enough to go on from, with whichever server. */
export const seenText = (seen: Seen): string => [...seen].map(([name, revision]) => `${name}=${revision}`).join(';');

/** What cannot be read counts as not seen. */
export function parseSeen(text: string | undefined): Map<string, number> {
  const seen = new Map<string, number>();
  for (const part of (text ?? '').split(';')) {
    const [, name, revision] = /^([A-Za-z0-9_.-]{1,100})=(\d{1,15})$/.exec(part) ?? [];
    if (name !== undefined) seen.set(name, Number(revision));
  }
  return seen;
}

/**
 * Tells followers of every new revision, as server-sent events. A follower that comes back says what it has seen and
 * hears what it missed: the present rulesets are all that counts, so nothing has to be kept for it.
 */
export class RulesetFeed {
  readonly #plane: ControlPlaneApi;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #followers = new Set<Follower>();
  readonly #encoded = new Map<string, { readonly revision: number; readonly text: string }>();
  readonly #unwatch: () => void;
  #looking = false;
  #again = false;
  #closed = false;
  #heartbeat: TimerHandle | undefined;
  #changed: TimerHandle | undefined;
  #status: TimerHandle | undefined;
  #statusLooking = false;
  #statusAgain = false;
  #retry: TimerHandle | undefined;

  constructor(plane: ControlPlaneApi, clock: Clock, logger: Logger) {
    this.#plane = plane;
    this.#clock = clock;
    this.#logger = logger;
    this.#unwatch = plane.watch((change) => {
      if (change !== 'other') void this.#look();
      this.#tellChange();
      this.#lookAtStatuses();
    });
    this.#beat();
  }

  get followers(): number {
    return this.#followers.size;
  }

  /** Sends what the follower has not seen, `ready`, and everything from then on; until the returned function is called. */
  async follow(stream: FollowerStream, options: FollowOptions): Promise<() => void> {
    const migrations = new Set(options.migrations);
    const seen = new Map([...options.seen].filter(([name]) => migrations.has(name)));
    const { changes, statuses = null } = options;
    const follower: Follower = { stream, migrations, seen, changes, statuses, told: new Map() };
    stream.write(`retry: ${RETRY_MS}\n\n`);
    const present = await this.#plane.rulesets(options.migrations);
    this.#tell(follower, present);
    if (statuses !== null) tellStatuses([follower], await this.#plane.statuses());
    stream.write(`event: ready\ndata: {"heartbeatMs":${HEARTBEAT_MS}}\n\n`);
    if (this.#closed) stream.end();
    else this.#followers.add(follower);
    // What was published between the reading and the adding.
    void this.#look();
    this.#lookAtStatuses();
    return () => this.#followers.delete(follower);
  }

  /** Looks now: this server has just published. */
  poke(): void {
    void this.#look();
  }

  /** Ends every stream. */
  close(): void {
    this.#closed = true;
    this.#unwatch();
    this.#heartbeat?.cancel();
    this.#changed?.cancel();
    this.#status?.cancel();
    this.#retry?.cancel();
    for (const { stream } of this.#followers) stream.end();
    this.#followers.clear();
  }

  async #look(): Promise<void> {
    if (this.#looking) {
      this.#again = true;
      return;
    }
    this.#looking = true;
    try {
      do {
        this.#again = false;
        const names = new Set([...this.#followers].flatMap(({ migrations }) => [...migrations]));
        if (names.size === 0 || this.#closed) return;
        const documents = await this.#plane.rulesets([...names]);
        for (const follower of [...this.#followers]) this.#tell(follower, documents);
      } while (this.#again);
    } catch (error) {
      if (this.#closed) return;
      this.#logger.warn({ err: error }, 'the control plane did not answer; followers wait');
      this.#retry?.cancel();
      this.#retry = this.#clock.after(RETRY_MS, () => void this.#look(), true);
    } finally {
      this.#looking = false;
    }
  }

  #tell(follower: Follower, documents: readonly RulesetDocument[]): void {
    const { stream, migrations, seen } = follower;
    for (const document of documents) {
      const { migration, revision } = document;
      // Another revision than the one seen, be it lower: the control database was restored from a copy.
      if (!migrations.has(migration) || seen.get(migration) === revision) continue;
      seen.set(migration, revision);
      stream.write(`id: ${seenText(seen)}\n${this.#encode(document)}`);
    }
    if (stream.pending > MOST_PENDING) this.#drop(follower);
  }

  /** Once a revision, not once a follower. */
  #encode(document: RulesetDocument): string {
    const { migration, revision } = document;
    const known = this.#encoded.get(migration);
    if (known?.revision === revision) return known.text;
    const text = `event: ruleset\ndata: ${JSON.stringify(document)}\n\n`;
    this.#encoded.set(migration, { revision, text });
    return text;
  }

  /** At most once a while, and again where something changed meanwhile: the last change is always told. */
  #lookAtStatuses(): void {
    if (this.#closed) return;
    this.#statusAgain = true;
    if (this.#status !== undefined || this.#statusLooking) return;
    const followers = [...this.#followers].filter(({ statuses }) => statuses !== null);
    if (followers.length === 0) return;
    this.#statusAgain = false;
    this.#statusLooking = true;
    const begun = this.#clock.monotonic();
    this.#plane
      .statuses()
      .then(
        (all) => tellStatuses(followers, all),
        (error: unknown) => {
          if (this.#closed) return;
          this.#statusAgain = true;
          this.#logger.warn({ err: error }, 'the control plane did not answer; pages wait');
        },
      )
      .finally(() => {
        this.#statusLooking = false;
        if (this.#closed) return;
        this.#status = this.#clock.after(
          Math.max(STATUS_MS, (this.#clock.monotonic() - begun) * STATUS_SHARE),
          () => {
            this.#status = undefined;
            if (this.#statusAgain) this.#lookAtStatuses();
          },
          true,
        );
      });
  }

  #tellChange(): void {
    if (this.#changed !== undefined || this.#closed) return;
    this.#changed = this.#clock.after(
      CHANGES_MS,
      () => {
        this.#changed = undefined;
        for (const { stream, changes } of this.#followers) if (changes) stream.write('event: change\ndata: {}\n\n');
      },
      true,
    );
  }

  /** Lets followers know that the connection lives, and ends those that may not listen any more. */
  #beat(): void {
    this.#heartbeat = this.#clock.after(
      HEARTBEAT_MS,
      () => {
        for (const follower of [...this.#followers]) {
          follower.stream.write(': alive\n\n');
          if (follower.stream.pending > MOST_PENDING) this.#drop(follower);
          follower.stream.valid().then(
            (valid) => {
              if (!valid) this.#drop(follower);
            },
            // The control plane is away: nobody is sent away for that.
            () => {},
          );
        }
        if (!this.#closed) this.#beat();
      },
      true,
    );
  }

  #drop(follower: Follower): void {
    if (this.#followers.delete(follower)) follower.stream.end();
  }
}

/** Tells each follower the statuses that it has not been told. */
function tellStatuses(followers: readonly Follower[], statuses: readonly MigrationStatus[]): void {
  for (const status of statuses) {
    const text = `event: status\ndata: ${JSON.stringify(status)}\n\n`;
    for (const { stream, statuses: wanted, told } of followers) {
      if (wanted?.(status.migration) !== true || told.get(status.migration) === text) continue;
      told.set(status.migration, text);
      stream.write(text);
    }
  }
}
