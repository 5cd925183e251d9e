import { DeadlineExceeded, NotRegistered, OutcomeUnknown, StoreFault, StoreUnavailable } from '../core/errors.ts';
import type { Route } from '../core/ruleset.ts';
import { otherSide, type Side } from '../core/stage.ts';
import { type CasOutcome, type Entry, type Expected, type PutOutcome, type Store, settledAt } from '../core/store.ts';
import type { CallMeter } from './call-meter.ts';
import { type DeadlineSweep, type Latest, noAnswer, type Watched } from './deadline-sweep.ts';
import type { Epoch, InFlightWrite } from './epoch.ts';
import type { Membership } from './membership.ts';
import type { MigrationSession } from './migration-session.ts';
import type { RecentTime } from './recent-time.ts';

/** How often a put that surely wrote nothing is tried again before the caller hears of it. */
const SURE_RETRIES = 3;
const FIRST_BACKOFF_MS = 25;
const LONGEST_BACKOFF_MS = 1_000;
/** How much longer than its deadline an answer may take on its way back. */
const ANSWER_SLACK_MS = 250;

/** What leaves it open what became of a copy, or says that it came too late. */
type Indefinite = StoreFault | { readonly kind: 'expired' };

/** What a lead put came to for its caller. */
export type LeadAnswer = Exclude<CasOutcome, { readonly kind: 'expired' }>;

/** What a caller wants to be written, and how it hears of it. */
export interface Asked {
  /** Null is a blind put. */
  readonly expected: Expected | null;
  /** What a superseded write does: it is sent again with a larger stamp, or its caller is told and reads again. */
  readonly superseded: 'again' | 'told';
  /** Whether the caller wants to hear what was replaced. */
  readonly told: boolean;
}

/** What the lead writes of a repository share. */
export interface LeadWrites extends Latest<LeadWrite> {
  readonly session: MigrationSession;
  readonly stores: Readonly<Record<Side, Store>>;
  readonly times: Readonly<Record<Side, RecentTime>>;
  readonly sweep: DeadlineSweep;
  /** What the caller's promise becomes once the answer is definite. @throws what the caller is told instead */
  concluded(write: LeadWrite, answer: LeadAnswer): unknown;
  /** Runs when the write turns out applied after its caller was told that the outcome is unknown. */
  appliedLate(write: LeadWrite): void;
  /** What became of a mirror put that {@link LeadWrite.watchMirror} waits for. */
  readonly mirror: MirrorAnswers;
}

export interface MirrorAnswers {
  answered(write: LeadWrite, outcome: PutOutcome): void;
  failed(write: LeadWrite, error: unknown): void;
}

/**
 * One lead put or compare-and-set from its first sending until it is settled (R3, R4, R6, R17). It is in flight from
 * its making on, under the ruleset of that moment; who owns it calls `end` once its mirror put has ended or is dirty.
 * It settles its caller's promise itself and is its own link of the lists it stands in: every put makes one.
 */
export class LeadWrite implements Watched, InFlightWrite {
  at = 0;
  newer: Watched | null = null;
  older: Watched | null = null;
  watching = false;
  meter: CallMeter | null = null;
  begun = -1;
  before: InFlightWrite | null | undefined = undefined;
  after: InFlightWrite | null | undefined = undefined;
  readonly unit: string;
  readonly entry: Entry;
  readonly epoch: Epoch;
  readonly route: Route;
  readonly asked: Asked;
  /** How often the caller's write was superseded before. */
  readonly round: number;
  readonly #shared: LeadWrites;
  readonly #membership: Membership;
  readonly #resolve: (answer: never) => void;
  readonly #reject: (error: unknown) => void;
  #phase: 'lead' | 'mirror' | 'settled' = 'lead';
  #mirrorEnded: (() => void) | undefined = undefined;
  #callerGone = false;
  /** When it was first sent to the store that is at work on it, on the monotonic clock. */
  #sentAt = 0;
  #lastDeadline = 0;
  /** Why nobody knows what became of a copy that was sent; null where all is known. */
  #unknown: StoreFault | null = null;
  /** What it waits for as a link: its first lead copy; then, if that was answered, the first copy of its mirror put. */
  #awaits: 'lead' | 'late lead' | 'mirror' = 'lead';

  /** Enters the write in flight; the route must be the one in force, in the same turn. */
  constructor(
    shared: LeadWrites,
    membership: Membership,
    route: Route,
    unit: string,
    entry: Entry,
    asked: Asked,
    round: number,
    resolve: (answer: never) => void,
    reject: (error: unknown) => void,
  ) {
    this.unit = unit;
    this.entry = entry;
    this.route = route;
    this.asked = asked;
    this.round = round;
    this.#shared = shared;
    this.#membership = membership;
    this.#resolve = resolve;
    this.#reject = reject;
    this.epoch = shared.session.enter(this);
    shared.latest = this;
  }

  get lead(): Store {
    return this.#shared.stores[this.route.authority];
  }

  get follower(): Side {
    return otherSide(this.route.authority);
  }

  /**
   * Sends until the answer is definite and tells the caller. Afterwards the write is settled, unless it was applied.
   * The caller hears OutcomeUnknown, DeadlineExceeded, StoreUnavailable or NotRegistered where there is no answer.
   */
  send(): void {
    // The first copy needs no promise of its own: nearly always it is the only one.
    const { settings } = this.epoch.ruleset;
    const { session, sweep } = this.#shared;
    try {
      const call = this.#call(this.#nextDeadline(settings.putTimeoutMs));
      sweep.begin(this, settings.putTimeoutMs + ANSWER_SLACK_MS, session.traffic[this.route.authority].write);
      this.#sentAt = sweep.recent();
      call.then(this.#answered, this.#failed);
    } catch (error) {
      this.#sentAt = session.fleet.clock.monotonic();
      if (error instanceof NotRegistered) this.#refuse(error);
      else this.#goOn(this.#faultOf(error));
    }
  }

  readonly #answered = (outcome: CasOutcome): void => {
    if (!this.#shared.sweep.end(this, false)) return;
    if (this.#awaits === 'mirror') this.#shared.mirror.answered(this, outcome as PutOutcome);
    else if (this.#phase !== 'lead') this.#refuse(this.#unknownError('the write was abandoned'));
    else if (outcome.kind === 'expired') this.#goOn(outcome);
    else this.conclude(outcome);
  };

  readonly #failed = (error: unknown): void => {
    if (!this.#shared.sweep.end(this, true)) return;
    if (this.#awaits === 'mirror') this.#shared.mirror.failed(this, error);
    else this.#goOn(this.#faultOf(error));
  };

  /** The first copy was not answered in time. */
  giveUp(): void {
    const { stores, mirror } = this.#shared;
    const { settings } = this.epoch.ruleset;
    if (this.#awaits === 'mirror') {
      mirror.failed(this, noAnswer(stores[this.follower].label, settings.mirrorTimeoutMs));
    } else {
      this.#awaits = 'late lead';
      this.#goOn(noAnswer(this.lead.label, settings.putTimeoutMs + ANSWER_SLACK_MS));
    }
  }

  /** The answer is definite. */
  conclude(answer: LeadAnswer): void {
    if (answer.kind !== 'applied') this.end();
    else if (this.#callerGone) this.#shared.appliedLate(this);
    if (this.#callerGone) return;
    try {
      this.#resolve(this.#shared.concluded(this, answer) as never);
    } catch (error) {
      this.#leaveCaller(error);
    }
  }

  #refuse(error: unknown): void {
    this.end();
    this.#leaveCaller(error);
  }

  /** The first copy has no answer that ends the write. */
  #goOn(first: Indefinite): void {
    this.#run(first).then(
      (answer) => this.conclude(answer),
      (error: unknown) => this.#refuse(error),
    );
  }

  /** The lead put applied and the mirror put begins; `ended` is called when the write is settled. */
  beginMirror(ended: (() => void) | undefined): void {
    if (this.#phase !== 'lead') {
      // An emergency was quicker: the write is settled, and nobody may wait for it.
      ended?.();
      return;
    }
    this.#phase = 'mirror';
    this.#mirrorEnded = ended;
  }

  /**
   * Waits for the first copy of its mirror put as it did for that of its lead put: a mirrored write is one object and two
   * functions. False where the lead put's own answer may still come to them; then nothing was done.
   */
  watchMirror(call: Promise<PutOutcome>, ms: number, meter: CallMeter): boolean {
    if (this.#awaits !== 'lead') return false;
    this.#awaits = 'mirror';
    const { sweep } = this.#shared;
    sweep.begin(this, ms, meter);
    this.#sentAt = sweep.recent();
    call.then(this.#answered, this.#failed);
    return true;
  }

  /** When that copy was sent, on the monotonic clock. */
  get mirroredAt(): number {
    return this.#sentAt;
  }

  /** No copy of it, mirror put included, may have a later deadline (R9). */
  get deadlineLimit(): number {
    return this.#membership.deadlineLimit;
  }

  /** True when nobody waits for the mirror put any more. */
  get settled(): boolean {
    return this.#phase === 'settled';
  }

  /** The write is settled: it leaves what acknowledgements wait for. */
  end(): void {
    if (this.#phase === 'settled') return;
    this.#phase = 'settled';
    this.#shared.session.leave(this.epoch, this);
    this.#mirrorEnded?.();
  }

  /** Marks the key as perhaps missing on the follower, and settles the write. */
  markDirty(cause: string, kind: 'lost' | 'rejected' = 'lost', notBefore: number | null = null): void {
    if (this.#phase === 'settled') return;
    this.#shared.session.markDirty({
      target: this.follower,
      kind,
      position: this.epoch.ruleset.position(this.unit),
      key: this.entry.key,
      revision: this.epoch.revision,
      cause,
      notBefore,
    });
    this.end();
  }

  abandon(): void {
    if (this.#phase === 'mirror') {
      this.markMirror();
      return;
    }
    if (this.#phase !== 'lead') return;
    this.markDirty('no answer before an emergency', 'lost', settledAt(this.lead, this.#lastDeadline));
    this.#leaveCaller(this.#unknownError('an emergency roll-back began before the store answered'));
  }

  markMirror(): void {
    if (this.#phase === 'mirror') this.markDirty('mirror slower than a ruleset change');
  }

  /** The caller is told that it failed, if it has not been told before; the write may go on without it. */
  #leaveCaller(error: unknown): void {
    if (this.#callerGone) return;
    this.#callerGone = true;
    this.#shared.session.fleet.countOperation(true);
    this.#reject(error);
  }

  /** @throws NotRegistered when this process may not write as late as that. */
  #nextDeadline(putTimeoutMs: number): number {
    const deadline = this.#shared.times[this.route.authority].now() + putTimeoutMs;
    if (!this.#membership.alive || deadline > this.#membership.deadlineLimit) {
      throw new NotRegistered('this process may not write as late as this write would need', {
        remedy: 'the control plane must be reachable so that the promise is renewed',
      });
    }
    if (deadline > this.#lastDeadline) this.#lastDeadline = deadline;
    return deadline;
  }

  /** What follows a first copy without an answer that ends the write. */
  async #run(first: Indefinite): Promise<LeadAnswer> {
    const { clock, random } = this.#shared.session.fleet;
    const settings = this.epoch.ruleset.settings;
    const resend = this.route.stamping === 'on';
    let outcome: CasOutcome | StoreFault = first;
    for (let attempt = 0; ; attempt += 1) {
      const waited = clock.monotonic() - this.#sentAt;
      if (this.#phase !== 'lead') throw this.#unknownError('the write was abandoned'); // nobody listens any more
      if (outcome instanceof StoreFault) {
        if (outcome.outcome === 'unknown') this.#unknown = outcome;
        else if (this.#unknown === null && (attempt >= SURE_RETRIES || waited >= settings.operationTimeoutMs)) {
          throw new StoreUnavailable(`${this.lead.label} cannot be written: ${outcome.message}`, { cause: outcome });
        }
      } else if (outcome.kind === 'applied') {
        return outcome;
      } else if (outcome.kind === 'expired') {
        if (this.#unknown === null && waited >= settings.operationTimeoutMs) {
          throw new DeadlineExceeded(`${this.lead.label} got the write after its deadline and left all as it was`);
        }
      } else if (this.#unknown === null) {
        return outcome;
      } else if (
        outcome.kind === 'superseded' ||
        (outcome.kind === 'conflict' && this.asked.expected?.kind === 'version')
      ) {
        // An earlier copy may have been applied and overwritten; none can be applied now: stamps never come back.
        return this.#undecided('somebody else wrote the key before the outcome was known');
      } else {
        // What is refused, or taken, may be free again when an earlier copy arrives: only its deadline ends that.
        return this.#giveUp();
      }
      if (this.#unknown === null || resend) {
        await this.#pause(Math.min(FIRST_BACKOFF_MS * 2 ** attempt, LONGEST_BACKOFF_MS) * (0.5 + random()));
        if (this.#phase !== 'lead') throw this.#unknownError('the write was abandoned');
      }
      if (this.#unknown !== null) {
        const late = clock.monotonic() - this.#sentAt;
        if (late >= settings.operationTimeoutMs) this.#leaveCaller(this.#unknownError(this.#unknown.message));
        if (!resend || late >= 2 * settings.operationTimeoutMs) return this.#giveUp();
      }
      const deadline = this.#deadlineOrNull(settings.putTimeoutMs);
      if (deadline === null) return this.#giveUp();
      outcome = await this.#sendOnce(deadline, settings.putTimeoutMs);
    }
  }

  /** Null when no copy may be sent any more but earlier ones may still arrive. @throws NotRegistered */
  #deadlineOrNull(putTimeoutMs: number): number | null {
    try {
      return this.#nextDeadline(putTimeoutMs);
    } catch (error) {
      if (this.#unknown !== null) return null;
      throw error;
    }
  }

  #call(deadline: number): Promise<CasOutcome> {
    const { lead, entry } = this;
    const { expected } = this.asked;
    if (expected !== null) return lead.compareAndSet(entry, expected, deadline);
    return entry.stamp === null ? lead.putPlain(entry, deadline) : lead.putIfNewer(entry, deadline);
  }

  async #sendOnce(deadline: number, timeoutMs: number): Promise<CasOutcome | StoreFault> {
    try {
      const meter = this.#shared.session.traffic[this.route.authority].write;
      return await this.#shared.sweep.bound(this.#call(deadline), timeoutMs + ANSWER_SLACK_MS, this.lead.label, meter);
    } catch (error) {
      return this.#faultOf(error);
    }
  }

  #faultOf(error: unknown): StoreFault {
    if (error instanceof StoreFault) return error;
    const { label } = this.lead;
    this.#shared.session.fleet.logger.error({ err: error, store: label }, 'a store threw what no adapter should throw');
    return new StoreFault(`${label} failed`, { outcome: 'unknown', cause: error });
  }

  /** Nothing is sent any more: in flight until every copy's deadline has passed at the store (R4). */
  async #giveUp(): Promise<never> {
    const why = this.#unknown?.message ?? 'the store did not answer';
    this.#leaveCaller(this.#unknownError(why));
    const until = settledAt(this.lead, this.#lastDeadline);
    while (this.#phase === 'lead' && this.lead.now() <= until) {
      await this.#pause(Math.min(Math.max(until - this.lead.now() + 1, 1), LONGEST_BACKOFF_MS));
    }
    return this.#undecided(why);
  }

  #undecided(why: string): never {
    if (this.route.mirror) this.markDirty('outcome unknown');
    throw this.#unknownError(why);
  }

  #unknownError(why: string): OutcomeUnknown {
    return new OutcomeUnknown(`the write may or may not have been applied: ${why}`, {
      remedy: 'read the key before you write it again',
      details: { store: this.lead.label },
      cause: this.#unknown ?? undefined,
    });
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => this.#shared.session.fleet.clock.after(ms, resolve));
  }
}
