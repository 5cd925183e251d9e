import type { Clock, Random, TimerHandle } from '../core/clock.ts';
import type { ControlClient, NodeInfo, NodeReport } from '../core/control-client.ts';
import { ChangeoverError, Closed, ControlUnavailable, NotRegistered } from '../core/errors.ts';
import type { RulesetDocument } from '../core/ruleset.ts';
import { StampClock, stampMs } from '../core/stamp.ts';
import type { Logger, Metrics } from '../core/telemetry.ts';
import type { FleetSessionOptions } from './fleet-session-options.ts';
import { floorOf, limitStamp, type Membership, raisedLimits } from './membership.ts';
import { MigrationSession, type Taken } from './migration-session.ts';
import { composeReport } from './node-report.ts';
import { residentMemory } from './resident-memory.ts';
import { RestoredControl } from './restored-control.ts';

const DEFAULT_HEARTBEAT_MS = 1_000;
const DEFAULT_LEASE_MS = 86_400_000;
const DEFAULT_NAMED_KEYS = 10_000;
const FAREWELLS = 4;
const FAREWELL_PAUSE_MS = 100;
/**
 * Dirt waits so long for company, and one ms more for each line of the report before, at most for the next heartbeat:
 * while a follower is away each report is a transaction that takes the processor from the callers. What an
 * acknowledgement carries does not wait, nor does the first of a while.
 */
const COLLECT_MS = 50;

/**
 * A process of the fleet: it registers before its first operation, holds the rulesets in memory, acknowledges each
 * revision when it is truly in force, and hands over what became dirty (R7, R8, R9).
 */
export class FleetSession {
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly metrics: Metrics | null;
  readonly namedKeys: number;
  readonly #control: ControlClient;
  readonly #node: NodeInfo;
  readonly #session: string;
  readonly #heartbeatMs: number;
  readonly #leaseMs: number;
  readonly #memoryBytes: () => number;
  readonly #migrations = new Map<string, MigrationSession>();
  readonly #restored = new RestoredControl();
  #membership: Membership | undefined;
  #unwatch: (() => void) | undefined;
  #timer: TimerHandle | undefined;
  #collecting: TimerHandle | undefined;
  #reportedAt = Number.NEGATIVE_INFINITY;
  #collectMs = COLLECT_MS;
  #reporting: Promise<void> | undefined;
  #again = false;
  #fetching = false;
  #fetchAgain = false;
  #failures = 0;
  #closing = false;
  #leaving = false;
  #closed = false;
  #attempt = 0;
  #operations = 0;
  #errors = 0;

  constructor(options: FleetSessionOptions) {
    this.clock = options.clock;
    this.random = options.random;
    this.logger = options.logger;
    this.metrics = options.metrics ?? null;
    this.namedKeys = options.namedKeys ?? DEFAULT_NAMED_KEYS;
    this.#control = options.control;
    this.#node = options.node;
    this.#session = options.session;
    this.#heartbeatMs = options.heartbeatMs ?? DEFAULT_HEARTBEAT_MS;
    this.#leaseMs = options.leaseMs ?? DEFAULT_LEASE_MS;
    this.#memoryBytes = options.memoryBytes ?? residentMemory(this.clock, this.#heartbeatMs);
    for (const name of options.migrations) this.#migrations.set(name, new MigrationSession(name, this));
  }

  /** Registers. @throws ControlUnavailable when the control plane does not answer; nothing may be written then. */
  async open(): Promise<void> {
    await this.#join();
    if (!this.#hasRoom()) await this.#makeRoom();
    this.#unwatch = this.#control.watch(
      (change) => {
        if (change !== 'other') void this.#fetch();
      },
      { onlyRulesets: true },
    );
    // A revision published between the join and the watch would be seen a heartbeat late otherwise.
    void this.#fetch();
    this.#schedule();
  }

  migration(name: string): MigrationSession {
    const session = this.#migrations.get(name);
    if (session === undefined) throw new NotRegistered(`this process did not open the migration ${name}`);
    return session;
  }

  /** The present membership. @throws NotRegistered when there is none: then nothing may be written. */
  membership(): Membership {
    const membership = this.#membership;
    if (this.#closed || this.#closing) throw new Closed('this changeover is closed');
    if (membership === undefined || !membership.alive) {
      throw new NotRegistered('this process is not registered with the control plane', {
        remedy: 'wait: it registers again by itself; `changeover fleet` shows it',
      });
    }
    return membership;
  }

  get incarnation(): number | undefined {
    return this.#membership?.incarnation;
  }

  countOperation(failed: boolean): void {
    this.#operations += 1;
    if (failed) this.#errors += 1;
  }

  /** Reports dirt and divergences soon, with what else becomes known in the next moment. */
  reportCollected(): void {
    if (this.#collecting !== undefined) return;
    // What is due already is not later than the next turn of the event loop.
    const ms = Math.max(0, this.#reportedAt + this.#collectMs - this.clock.monotonic());
    this.#collecting = this.clock.after(ms, () => {
      this.#collecting = undefined;
      this.reportSoon();
    });
  }

  /** Reports now, because an acknowledgement advanced or a promise must be renewed. */
  reportSoon(): void {
    if (this.#closed || this.#leaving || this.#membership === undefined) return;
    if (this.#reporting !== undefined) {
      this.#again = true;
      return;
    }
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#reportedAt = this.clock.monotonic();
    // Not in this very turn: dirt and the end of its write go into one report.
    this.#reporting = Promise.resolve()
      .then(() => this.#report())
      .finally(() => {
        this.#reporting = undefined;
        if (this.#again && this.#failures === 0) {
          this.#again = false;
          this.reportSoon();
        } else {
          this.#schedule();
        }
      });
  }

  /**
   * Settles what is in flight, hands over the last dirt and leaves the fleet. New operations fail at once. Where the
   * control plane is away or the fleet called this incarnation dead, it just stops: recovery treats it as a crash.
   */
  async close(): Promise<void> {
    if (this.#closed || this.#closing) return;
    this.#closing = true;
    for (const migration of this.#migrations.values()) migration.rejectHeld(new Closed('this changeover is closed'));
    await Promise.all([...this.#migrations.values()].map((migration) => migration.settled()));
    this.#timer?.cancel();
    this.#unwatch?.();
    // From here on only the farewell reports: dirt must not be on its way in another report when it is sent.
    this.#leaving = true;
    this.#collecting?.cancel();
    while (this.#reporting !== undefined) await this.#reporting;
    this.#timer?.cancel();
    const membership = this.#membership;
    try {
      if (membership?.alive) {
        await this.#farewell(membership);
      }
    } catch (error) {
      this.logger.warn({ err: error }, 'left without telling the control plane; recovery will treat it as a crash');
    } finally {
      this.#closed = true;
      for (const migration of this.#migrations.values()) migration.close();
    }
  }

  /** Stops at once and tells nobody, as a crash would. For tests of crashes. */
  abandon(): void {
    this.#closed = true;
    if (this.#membership !== undefined) this.#membership.alive = false;
    this.#timer?.cancel();
    this.#collecting?.cancel();
    this.#unwatch?.();
    for (const migration of this.#migrations.values()) {
      migration.rejectHeld(new Closed('this changeover is closed'));
      migration.close();
    }
  }

  async #join(): Promise<void> {
    const deadlineLimit = this.clock.now() + this.#leaseMs;
    this.#attempt += 1;
    const joined = await this.#control.join({
      session: this.#session,
      attempt: this.#attempt,
      node: this.#node,
      migrations: [...this.#migrations.keys()],
      deadlineLimit,
      stampLimit: limitStamp(deadlineLimit),
    });
    this.#membership = {
      incarnation: joined.incarnation,
      stamps: new StampClock(this.clock, joined.incarnation),
      deadlineLimit,
      stampLimitMs: stampMs(limitStamp(deadlineLimit)),
      floorMs: Math.max(0, ...joined.rulesets.map(floorOf)),
      alive: true,
    };
    if (joined.unlike !== undefined) {
      const unlike = joined.unlike.join('; ');
      this.logger.error({ unlike }, 'processes of this fleet are configured differently: what they write may get lost');
    }
    for (const document of joined.rulesets) this.#migrations.get(document.migration)?.join(document, this.#membership);
  }

  /** Tries a few times: a process that is not heard leaving blocks handovers until it is proven to have ended. */
  async #farewell(membership: Membership): Promise<void> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        while (this.#pendingDirt()) await this.#send(membership);
        await this.#control.leave(this.#makeReport(membership).report);
        return;
      } catch (error) {
        if (attempt >= FAREWELLS) throw error;
        await new Promise<void>((resolve) => this.clock.after(FAREWELL_PAUSE_MS * attempt, resolve));
      }
    }
  }

  #pendingDirt(): boolean {
    return [...this.#migrations.values()].some((migration) => migration.hasDirt());
  }

  #schedule(): void {
    if (this.#closed || this.#closing || this.#timer !== undefined) return;
    const backoff = this.#failures === 0 ? 1 : Math.min(2 ** this.#failures, 16);
    const jitter = 0.75 + this.random() * 0.5;
    this.#timer = this.clock.after(
      this.#heartbeatMs * jitter * (this.#failures === 0 ? 1 : backoff / 8),
      () => {
        this.#timer = undefined;
        this.reportSoon();
        void this.#fetch();
      },
      true,
    );
  }

  async #fetch(): Promise<void> {
    if (this.#fetching) {
      this.#fetchAgain = true;
      return;
    }
    this.#fetching = true;
    try {
      do {
        this.#fetchAgain = false;
        const documents = await this.#control.rulesets([...this.#migrations.keys()]);
        if (this.#closed || this.#membership?.alive !== true) return;
        if (this.#restored.seen(documents, (name) => this.#migrations.get(name)?.revision ?? 0)) {
          this.#expelled(this.#membership, 'the control plane is older than what this process has seen of it');
          this.reportSoon();
          return;
        }
        await this.#apply(documents);
      } while (this.#fetchAgain);
    } catch (error) {
      this.#logAway(error);
    } finally {
      this.#fetching = false;
    }
  }

  /**
   * Brings rulesets into force. Above the stamps that an emergency goes beyond, room is promised first: what it holds
   * would be refused for a moment.
   */
  async #apply(documents: readonly RulesetDocument[]): Promise<void> {
    const membership = this.#membership;
    const limitMs = membership?.stampLimitMs ?? Number.POSITIVE_INFINITY;
    const above = documents.filter((document) => floorOf(document) >= limitMs);
    for (const document of documents) if (!above.includes(document)) this.#applyOne(document);
    if (membership === undefined || above.length === 0) return;
    membership.floorMs = Math.max(membership.floorMs, ...above.map(floorOf));
    await this.#makeRoom();
    for (const document of above) this.#applyOne(document);
  }

  #applyOne(document: RulesetDocument): void {
    this.#migrations.get(document.migration)?.apply(document);
  }

  #hasRoom(): boolean {
    const membership = this.#membership;
    return membership === undefined || membership.floorMs < membership.stampLimitMs;
  }

  /** Reports until there is room above the floor; for a heartbeat at most, as reads wait too. */
  async #makeRoom(): Promise<void> {
    const late = Promise.withResolvers<void>();
    let over = false;
    const timer = this.clock.after(
      this.#heartbeatMs,
      () => {
        over = true;
        late.resolve();
      },
      true,
    );
    do {
      this.reportSoon();
      if (this.#reporting === undefined) break;
      await Promise.race([this.#reporting, late.promise]);
    } while (!this.#hasRoom() && !over && this.#failures === 0);
    timer.cancel();
  }

  async #report(): Promise<void> {
    const membership = this.#membership;
    if (membership === undefined) return;
    try {
      if (!membership.alive) {
        await this.#join();
        this.logger.warn({ incarnation: this.incarnation }, 'registered again as a new incarnation');
        if (!this.#hasRoom()) this.#again = true;
        return;
      }
      await this.#send(membership);
      this.#failures = 0;
    } catch (error) {
      this.#failures += 1;
      this.#again = false;
      this.#logAway(error);
    }
  }

  async #send(membership: Membership): Promise<void> {
    const { report, taken } = this.#makeReport(membership);
    let delivered = false;
    try {
      const receipt = await this.#control.report(report);
      delivered = true;
      if (receipt.standing === 'dead') {
        this.#expelled(membership, 'this process was declared dead by the fleet');
        return;
      }
      membership.deadlineLimit = Math.max(membership.deadlineLimit, report.deadlineLimit);
      membership.stampLimitMs = Math.max(membership.stampLimitMs, stampMs(report.stampLimit));
    } finally {
      for (const put of taken) put.end(delivered);
    }
  }

  /** Its writes stop here; the next report registers it anew. */
  #expelled(membership: Membership, why: string): void {
    membership.alive = false;
    this.#again = true;
    for (const migration of this.#migrations.values()) {
      migration.orphan(new NotRegistered(`${why}; it registers again`));
    }
    this.logger.error(
      { incarnation: membership.incarnation },
      `${why}; its writes stop here until it is registered again`,
    );
  }

  #makeReport(membership: Membership): { report: NodeReport; taken: readonly Taken[] } {
    const { report, taken, left } = composeReport(this.#migrations, {
      incarnation: membership.incarnation,
      session: this.#session,
      ...raisedLimits(membership, this.clock.now(), this.#leaseMs),
      health: {
        operations: this.#operations,
        errors: this.#errors,
        memoryBytes: this.#memoryBytes(),
        aheadMs: membership.stamps.aheadMs(),
        highWater: membership.stamps.highWater(),
      },
    });
    // What is left waits for no company.
    if (left) this.#again = true;
    this.#collectMs = Math.min(COLLECT_MS + report.dirt.length + report.divergences.length, this.#heartbeatMs);
    return { report, taken };
  }

  #logAway(error: unknown): void {
    if (this.#closed || this.#failures > 1) return;
    const known = error instanceof ChangeoverError;
    this.logger[known && error instanceof ControlUnavailable ? 'warn' : 'error'](
      { err: error },
      'the control plane did not answer; going on with the rulesets in memory',
    );
  }
}
