import type { DirtReport, DivergenceReport, ShadowCounts } from '../core/control-client.ts';
import { HandoverInProgress, NotRegistered } from '../core/errors.ts';
import { keyToJson } from '../core/key-json.ts';
import { type Route, Ruleset, type RulesetDocument } from '../core/ruleset.ts';
import type { Stamp } from '../core/stamp.ts';
import type { MigrationMetrics } from '../core/telemetry.ts';
import type { Key } from '../core/value.ts';
import { TrafficMeter } from './call-meter.ts';
import { acknowledgeable, Epoch, type InFlightWrite } from './epoch.ts';
import type { FleetSession } from './fleet-session.ts';
import type { Membership } from './membership.ts';

/** What a trouble loses beyond the keys that are named is over when nothing was lost for so long. */
const CALM_MS = 60_000;
/** More than there are. */
const POSITIONS = 2 ** 18;

/** A write that the target may be missing, or that it refuses. */
export interface Lost extends Omit<DirtReport, 'migration' | 'key'> {
  readonly key: Key;
}

interface Held {
  readonly unit: string;
  readonly write: boolean;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** What a report took out of a migration's buffers; it goes back in when the report was not received. */
export interface Taken {
  readonly dirt: readonly DirtReport[];
  readonly divergences: readonly DivergenceReport[];
  readonly shadow: ShadowCounts;
  end(delivered: boolean): void;
}

/**
 * What a process knows and owes of one migration: the ruleset in force, the operations in flight by the revision they
 * began under, those that wait for a handover, and the dirt that is not yet durable.
 */
export class MigrationSession {
  readonly name: string;
  readonly fleet: FleetSession;
  readonly metrics: MigrationMetrics | null;
  /** The calls of its stores since the present membership began. */
  traffic: TrafficMeter;
  /** Mirror puts waiting or under way, for the health report. */
  mirrorPending = 0;
  /** Mirror puts dropped because the queue was full, since the start. */
  shed = 0;
  #epochs: Epoch[] = [];
  /** The last of them: every call asks for it, more than once. */
  #newest: Epoch | undefined;
  #membership: Membership | undefined;
  #held = new Set<Held>();
  /** Lines not yet handed over, each once. */
  #dirt = new Map<string | number, DirtReport>();
  #named = 0;
  #lostAt = Number.NEGATIVE_INFINITY;
  #divergences: DivergenceReport[] = [];
  #compared = 0;
  #divergent = 0;
  #reported = 0;
  #idle: (() => void)[] = [];
  #closed = false;
  readonly #unobserve: (() => void) | undefined;

  constructor(name: string, fleet: FleetSession) {
    this.name = name;
    this.fleet = fleet;
    this.metrics = fleet.metrics?.migration(name) ?? null;
    this.traffic = new TrafficMeter(fleet.clock);
    this.#unobserve = this.metrics?.observe(() => ({
      mirrorQueue: this.mirrorPending,
      shed: this.shed,
      unreported: this.#dirt.size,
      revision: this.revision,
    }));
  }

  /** The epoch in force. @throws NotRegistered before the first ruleset. */
  get epoch(): Epoch {
    const epoch = this.#newest;
    if (epoch === undefined) {
      throw new NotRegistered(`the control plane knows no migration ${this.name}`, {
        remedy: '`changeover prepare` creates it',
      });
    }
    return epoch;
  }

  /** The membership that this migration's present epochs belong to. */
  get membership(): Membership {
    return this.fleet.membership();
  }

  /** A stamp greater than all issued or observed. @throws NotRegistered at the durable limit. */
  nextStamp(membership: Membership): Stamp {
    const stamp = membership.stamps.next();
    if (!membership.alive || membership.stamps.ms >= membership.stampLimitMs) {
      this.fleet.reportSoon();
      throw new NotRegistered('stamps have run past what this process promised the fleet', {
        remedy: 'the control plane must be reachable so that the promise is renewed',
      });
    }
    return stamp;
  }

  /** The revision in force; 0 before there is one. */
  get revision(): number {
    return this.#newest?.revision ?? 0;
  }

  /** Begins a membership with its first ruleset; whatever an earlier membership had in flight no longer counts. */
  join(document: RulesetDocument, membership: Membership): void {
    this.#membership = membership;
    if (document.stampFloor !== null) membership.stamps.observe(document.stampFloor);
    // The fleet keeps what an earlier membership reported.
    this.traffic = new TrafficMeter(this.fleet.clock);
    this.#newest = new Epoch(new Ruleset(document));
    this.#epochs = [this.#newest];
    this.#reported = document.revision;
    this.#release();
  }

  /** Brings a newer ruleset into force. */
  apply(document: RulesetDocument): void {
    const membership = this.#membership;
    const before = this.#newest;
    if (this.#closed || membership === undefined || (before !== undefined && document.revision <= before.revision)) {
      return;
    }
    const epoch = new Epoch(new Ruleset(document));
    if (document.stampFloor !== null) membership.stamps.observe(document.stampFloor);
    this.#epochs.push(epoch);
    this.#newest = epoch;
    if (document.handover?.kind === 'emergency') this.#abandonHeld(epoch.ruleset);
    this.#release();
    this.#advance();
    this.#limitMirrors(epoch);
  }

  /**
   * Undefined when an operation on the unit may go on now, without making a promise; otherwise waits until a handover
   * lets it. @throws HandoverInProgress when that takes too long or too many wait.
   */
  admit(unit: string, write: boolean, route = this.epoch.ruleset.route(unit)): Promise<void> | undefined {
    if (!isHeld(route, write)) return undefined;
    return this.#wait(unit, write);
  }

  /** Enters a write in flight, under the epoch in force. */
  enter(write: InFlightWrite): Epoch {
    const epoch = this.epoch;
    epoch.writes.add(write);
    return epoch;
  }

  /** A write has a definite lead answer and its mirror put has ended or is dirty. */
  leave(epoch: Epoch, write: InFlightWrite): void {
    if (!epoch.writes.delete(write) || epoch.writes.size > 0) return;
    // With one ruleset only, nothing more can be acknowledged.
    if (this.#epochs.length > 1 || this.#idle.length > 0) this.#advance();
  }

  enterRead(): Epoch {
    const epoch = this.epoch;
    epoch.reads += 1;
    return epoch;
  }

  leaveRead(epoch: Epoch): void {
    epoch.reads -= 1;
    if (epoch.reads === 0 && this.#epochs.length > 1) this.#advance();
  }

  /**
   * Remembers a key whose write the target may be missing, until the control plane has it. While a trouble lasts only so
   * many keys are named, and of the others the position: what is known of it stays bounded, however long it lasts.
   */
  markDirty(lost: Lost): void {
    const { target, kind, position, key, revision, notBefore } = lost;
    const counts = kind === 'lost' && notBefore === null;
    const named = !counts || this.#namesMore();
    // What is dirty under the same revision already, and not yet handed over, needs no second line.
    const place = named
      ? JSON.stringify([target, kind, position, keyToJson(key), revision, notBefore])
      : (revision * 2 + (target === 'old' ? 0 : 1)) * POSITIONS + position;
    if (this.#dirt.has(place)) return;
    // A key that is lost again and again counts once a report.
    if (counts && named) this.#named += 1;
    this.#dirt.set(place, { migration: this.name, ...lost, key: named ? keyToJson(key) : null });
    this.fleet.reportCollected();
  }

  #namesMore(): boolean {
    const now = this.fleet.clock.monotonic();
    if (now - this.#lostAt >= CALM_MS) this.#named = 0;
    this.#lostAt = now;
    return this.#named < this.fleet.namedKeys;
  }

  hasDirt(): boolean {
    return this.#dirt.size > 0;
  }

  /** Counts a finished comparison; one of records that diverged comes with its report. */
  countComparison(divergence: DivergenceReport | null, divergent = divergence !== null): void {
    this.#compared += 1;
    this.metrics?.comparison(divergent ? (divergence?.kind ?? 'different') : 'equal');
    if (!divergent) return;
    this.#divergent += 1;
    if (divergence === null) return;
    this.#divergences.push(divergence);
    this.fleet.reportCollected();
  }

  acknowledgeable(): number {
    return acknowledgeable(this.#epochs);
  }

  /** Takes up to `most` lines of dirt and divergences out, for a report. */
  take(most: number): Taken {
    // A loss from here on gets a line of its own: it may be newer than a replay that clears what is taken now.
    const taken = [...this.#dirt.entries().take(most)];
    for (const [place] of taken) this.#dirt.delete(place);
    const divergences = this.#divergences.splice(0, most);
    const shadow = { migration: this.name, compared: this.#compared, divergent: this.#divergent };
    this.#compared = 0;
    this.#divergent = 0;
    return {
      dirt: taken.map(([, line]) => line),
      divergences,
      shadow,
      end: (delivered) => {
        if (delivered) return;
        this.#dirt = new Map([...taken, ...this.#dirt]);
        this.#divergences.unshift(...divergences);
        this.#compared += shadow.compared;
        this.#divergent += shadow.divergent;
      },
    };
  }

  /** Resolves when no write is in flight. */
  settled(): Promise<void> {
    return new Promise((resolve) => {
      this.#idle.push(resolve);
      this.#advance();
    });
  }

  rejectHeld(error: unknown): void {
    for (const held of this.#held) held.reject(error);
    this.#held.clear();
  }

  /** The membership is over: what it has in flight ends by its deadlines, and counts for nobody any more. */
  orphan(error: unknown): void {
    this.rejectHeld(error);
    for (const epoch of this.#epochs) epoch.writes.clear();
    this.#dirt.clear();
  }

  close(): void {
    this.#closed = true;
    this.#unobserve?.();
  }

  #wait(unit: string, write: boolean): Promise<void> {
    const { holdTimeoutMs, holdQueueLimit } = this.epoch.ruleset.settings;
    const refusal = (why: string): HandoverInProgress =>
      new HandoverInProgress(`a handover of ${this.name} holds this ${write ? 'write' : 'read'} and ${why}`, {
        expected: 'handovers end within a second',
        remedy: 'try again; nothing was written',
      });
    if (this.#held.size >= holdQueueLimit) {
      return Promise.reject(refusal(`${holdQueueLimit} others wait already`));
    }
    return new Promise<void>((resolve, reject) => {
      const held: Held = {
        unit,
        write,
        resolve: () => {
          timer.cancel();
          resolve();
        },
        reject: (error) => {
          timer.cancel();
          reject(error);
        },
      };
      const timer = this.fleet.clock.after(holdTimeoutMs, () => {
        this.#held.delete(held);
        reject(refusal(`it waited ${holdTimeoutMs} ms`));
      });
      this.#held.add(held);
    });
  }

  #release(): void {
    const { ruleset } = this.epoch;
    for (const held of this.#held) {
      if (isHeld(ruleset.route(held.unit), held.write)) continue;
      this.#held.delete(held);
      held.resolve();
    }
  }

  #abandonHeld(ruleset: Ruleset): void {
    for (const epoch of this.#epochs) {
      for (const write of epoch.writes) {
        if (ruleset.route(write.unit).hold === 'everything') write.abandon();
      }
    }
  }

  /** Mirror puts of earlier revisions hold up the acknowledgement for a grace only, also those that begin late. */
  #limitMirrors(epoch: Epoch): void {
    if (this.#epochs[0] === epoch || this.#newest !== epoch || this.#closed) return;
    this.fleet.clock.after(Math.max(epoch.ruleset.settings.acknowledgeGraceMs, 10), () => {
      for (const earlier of this.#epochs) {
        if (earlier === epoch) break;
        for (const write of earlier.writes) write.markMirror();
      }
      this.#limitMirrors(epoch);
    });
  }

  #advance(): void {
    // Emptied epochs leave, oldest first, so that what is left is what still has something in flight.
    const revision = this.acknowledgeable();
    while (this.#epochs.length > 1 && isEmpty(this.#epochs[0] as Epoch)) this.#epochs.shift();
    if (revision > this.#reported) {
      this.#reported = revision;
      this.fleet.reportSoon();
    }
    if (this.#idle.length > 0 && this.#epochs.every((epoch) => epoch.writes.size === 0)) {
      for (const resolve of this.#idle.splice(0)) resolve();
    }
  }
}

const isEmpty = (epoch: Epoch): boolean => epoch.writes.size === 0 && epoch.reads === 0;

const isHeld = (route: Route, write: boolean): boolean =>
  route.hold === 'everything' || (write && route.hold === 'writes');
