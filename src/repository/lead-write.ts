import { DeadlineExceeded, NotRegistered, OutcomeUnknown, StoreFault, StoreUnavailable } from '../core/errors.ts';
import { keyToJson } from '../core/key-json.ts';
import type { Route } from '../core/ruleset.ts';
import { otherSide, type Side } from '../core/stage.ts';
import { type CasOutcome, type Entry, type Expected, type Store, settledAt } from '../core/store.ts';
import type { DeadlineSweep } from './deadline-sweep.ts';
import type { Epoch, InFlightWrite } from './epoch.ts';
import type { Membership } from './fleet-session.ts';
import type { MigrationSession } from './migration-session.ts';

/** How often a put that surely wrote nothing is tried again before the caller hears of it. */
const SURE_RETRIES = 3;
const FIRST_BACKOFF_MS = 25;
const LONGEST_BACKOFF_MS = 1_000;
/** How much longer than its deadline an answer may take on its way back. */
const ANSWER_SLACK_MS = 250;

const ignore = (): void => {};

/** What leaves it open what became of a copy, or says that it came too late. */
type Indefinite = StoreFault | { readonly kind: 'expired' };

/** What a lead put came to for its caller. */
export type LeadAnswer = Exclude<CasOutcome, { readonly kind: 'expired' }>;

/**
 * One lead put or compare-and-set from its first sending until it is settled (R3, R4, R6, R17). It is in flight from
 * `begin` on, under the ruleset of that moment; who owns it calls `end` once its mirror put has ended or is dirty.
 */
export class LeadWrite implements InFlightWrite {
  before: InFlightWrite | null | undefined = undefined;
  after: InFlightWrite | null | undefined = undefined;
  readonly unit: string;
  readonly entry: Entry;
  readonly epoch: Epoch;
  readonly route: Route;
  readonly lead: Store;
  readonly follower: Side;
  readonly #session: MigrationSession;
  readonly #membership: Membership;
  readonly #expected: Expected | null;
  readonly #sweep: DeadlineSweep;
  /** Runs when the write turns out applied after its caller was told that the outcome is unknown. */
  readonly #appliedLate: (write: LeadWrite) => void;
  #phase: 'lead' | 'mirror' | 'settled' = 'lead';
  #mirrorEnded: (() => void) | undefined;
  #resolve: (answer: LeadAnswer) => void = ignore;
  #reject: (error: unknown) => void = ignore;
  #callerGone = false;
  #begun = 0;
  #lastDeadline = 0;
  /** A copy was sent and nobody knows what became of it. */
  #unknown = false;

  private constructor(parts: LeadWriteParts) {
    this.unit = parts.unit;
    this.entry = parts.entry;
    this.route = parts.route;
    this.lead = parts.lead;
    this.follower = otherSide(parts.route.authority);
    this.#session = parts.session;
    this.#membership = parts.membership;
    this.#expected = parts.expected;
    this.#sweep = parts.sweep;
    this.#appliedLate = parts.appliedLate;
    this.epoch = parts.session.enter(this);
  }

  /** Enters the write in flight; the route must be the one in force, in the same turn. */
  static begin(parts: LeadWriteParts): LeadWrite {
    return new LeadWrite(parts);
  }

  /**
   * Sends until the answer is definite. Afterwards the write is settled, unless the answer is `applied`.
   * @throws OutcomeUnknown, DeadlineExceeded, StoreUnavailable, NotRegistered
   */
  send(): Promise<LeadAnswer> {
    return new Promise<LeadAnswer>((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
      // The first copy needs no promise of its own: nearly always it is the only one.
      const { settings } = this.epoch.ruleset;
      try {
        const call = this.#call(this.#nextDeadline(settings.putTimeoutMs));
        const ms = settings.putTimeoutMs + ANSWER_SLACK_MS;
        this.#sweep.watch(call, ms, this.lead.label, this.#answered, this.#failed);
        this.#begun = this.#sweep.lastStep;
      } catch (error) {
        this.#begun = this.#session.fleet.clock.monotonic();
        if (error instanceof NotRegistered) this.#refuse(error);
        else this.#failed(error);
      }
    });
  }

  readonly #answered = (outcome: CasOutcome): void => {
    if (this.#phase !== 'lead') this.#refuse(this.#unknownError('the write was abandoned'));
    else if (outcome.kind === 'expired') this.#goOn(outcome);
    else this.#answer(outcome);
  };

  readonly #failed = (error: unknown): void => this.#goOn(this.#faultOf(error));

  #answer(answer: LeadAnswer): void {
    if (answer.kind !== 'applied') this.end();
    else if (this.#callerGone) this.#appliedLate(this);
    this.#resolve(answer);
  }

  #refuse(error: unknown): void {
    this.end();
    this.#reject(error);
  }

  /** The first copy has no answer that ends the write. */
  #goOn(first: Indefinite): void {
    this.#run(first).then(
      (answer) => this.#answer(answer),
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
    this.#session.leave(this.epoch, this);
    this.#mirrorEnded?.();
  }

  /** Marks the key as perhaps missing on the follower, and settles the write. */
  markDirty(cause: string, kind: 'lost' | 'rejected' = 'lost', notBefore: number | null = null): void {
    if (this.#phase === 'settled') return;
    this.#session.markDirty({
      migration: this.#session.name,
      target: this.follower,
      kind,
      position: this.epoch.ruleset.position(this.unit),
      key: keyToJson(this.entry.key),
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
    this.#leaveCaller('an emergency roll-back began before the store answered');
  }

  markMirror(): void {
    if (this.#phase === 'mirror') this.markDirty('mirror slower than a ruleset change');
  }

  /** The caller is told that the outcome is unknown; the write goes on without it. */
  #leaveCaller(why: string): void {
    this.#callerGone = true;
    this.#reject(this.#unknownError(why));
  }

  /** @throws NotRegistered when this process may not write as late as that. */
  #nextDeadline(putTimeoutMs: number): number {
    const deadline = Math.floor(this.lead.now()) + putTimeoutMs;
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
    const { clock, random } = this.#session.fleet;
    const settings = this.epoch.ruleset.settings;
    const resend = this.route.stamping === 'on';
    let outcome: CasOutcome | StoreFault = first;
    for (let attempt = 0; ; attempt += 1) {
      const waited = clock.monotonic() - this.#begun;
      if (this.#phase !== 'lead') throw this.#unknownError('the write was abandoned'); // nobody listens any more
      if (outcome instanceof StoreFault) {
        if (outcome.outcome === 'unknown') this.#unknown = true;
        else if (!this.#unknown && (attempt >= SURE_RETRIES || waited >= settings.operationTimeoutMs)) {
          throw new StoreUnavailable(`${this.lead.label} cannot be written: ${outcome.message}`, { cause: outcome });
        }
      } else if (outcome.kind === 'applied') {
        return outcome;
      } else if (outcome.kind === 'expired') {
        if (!this.#unknown && waited >= settings.operationTimeoutMs) {
          throw new DeadlineExceeded(`${this.lead.label} got the write after its deadline and left all as it was`);
        }
      } else if (!this.#unknown) {
        return outcome;
      } else if (outcome.kind === 'superseded' || (outcome.kind === 'conflict' && this.#expected?.kind === 'version')) {
        // An earlier copy may have been applied and overwritten; none can be applied now: stamps never come back.
        return this.#undecided('somebody else wrote the key before the outcome was known');
      } else {
        // What is refused, or taken, may be free again when an earlier copy arrives: only its deadline ends that.
        return this.#giveUp();
      }
      if (!this.#unknown || resend) {
        await this.#pause(Math.min(FIRST_BACKOFF_MS * 2 ** attempt, LONGEST_BACKOFF_MS) * (0.5 + random()));
        if (this.#phase !== 'lead') throw this.#unknownError('the write was abandoned');
      }
      if (this.#unknown) {
        const late = clock.monotonic() - this.#begun;
        if (late >= settings.operationTimeoutMs) {
          this.#leaveCaller(`the store did not answer within ${settings.operationTimeoutMs} ms`);
        }
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
      if (this.#unknown) return null;
      throw error;
    }
  }

  #call(deadline: number): Promise<CasOutcome> {
    const { lead, entry } = this;
    if (this.#expected !== null) return lead.compareAndSet(entry, this.#expected, deadline);
    return entry.stamp === null ? lead.putPlain(entry, deadline) : lead.putIfNewer(entry, deadline);
  }

  async #sendOnce(deadline: number, timeoutMs: number): Promise<CasOutcome | StoreFault> {
    try {
      return await this.#sweep.bound(this.#call(deadline), timeoutMs + ANSWER_SLACK_MS, this.lead.label);
    } catch (error) {
      return this.#faultOf(error);
    }
  }

  #faultOf(error: unknown): StoreFault {
    if (error instanceof StoreFault) return error;
    const { label } = this.lead;
    this.#session.fleet.logger.error({ err: error, store: label }, 'a store threw what no adapter should throw');
    return new StoreFault(`${label} failed`, { outcome: 'unknown', cause: error });
  }

  /** Nothing is sent any more: in flight until every copy's deadline has passed at the store (R4). */
  async #giveUp(): Promise<never> {
    this.#leaveCaller('the store did not answer');
    const until = settledAt(this.lead, this.#lastDeadline);
    while (this.#phase === 'lead' && this.lead.now() <= until) {
      await this.#pause(Math.min(Math.max(until - this.lead.now() + 1, 1), LONGEST_BACKOFF_MS));
    }
    return this.#undecided('the store did not answer');
  }

  #undecided(why: string): never {
    if (this.route.mirror) this.markDirty('outcome unknown');
    throw this.#unknownError(why);
  }

  #unknownError(why: string): OutcomeUnknown {
    return new OutcomeUnknown(`the write may or may not have been applied: ${why}`, {
      remedy: 'read the key before you write it again',
      details: { store: this.lead.label },
    });
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => this.#session.fleet.clock.after(ms, resolve));
  }
}

export interface LeadWriteParts {
  readonly session: MigrationSession;
  readonly membership: Membership;
  readonly unit: string;
  readonly entry: Entry;
  readonly expected: Expected | null;
  readonly route: Route;
  readonly lead: Store;
  readonly sweep: DeadlineSweep;
  readonly appliedLate: (write: LeadWrite) => void;
}
