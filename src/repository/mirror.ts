import { StoreFault } from '../core/errors.ts';
import type { Side } from '../core/stage.ts';
import { isMoot, type PutOutcome, type Store } from '../core/store.ts';
import { Breaker } from './breaker.ts';
import type { DeadlineSweep } from './deadline-sweep.ts';
import type { LeadWrite, MirrorAnswers } from './lead-write.ts';
import type { MigrationSession } from './migration-session.ts';
import { RecentTime } from './recent-time.ts';

const FIRST_BACKOFF_MS = 25;
const LONGEST_BACKOFF_MS = 500;
/** So many places of the queue may be of writes that have left it. */
const DROP_AT = 1_000;
/** Of so many that wait, those that are given up are marked at once; callers come between. */
const MARKED_AT_ONCE = 200;
const BREAKER_OPEN = 'the follower keeps failing; its breaker is open';

/** The mirror puts to one store: a bounded queue and a breaker. */
interface Lane {
  readonly store: Store;
  readonly time: RecentTime;
  readonly breaker: Breaker;
  /** Those that wait, oldest first from `next` on. */
  waiting: LeadWrite[];
  next: number;
  underWay: number;
  /** The next step of emptying the queue is on its way. */
  emptying: boolean;
}

/**
 * Puts what the authority has applied to the follower: same entry, same stamp, in the background (R5). Whatever does
 * not surely arrive becomes dirty. It never throws and never changes what the caller is told.
 *
 * The queue is our own, as every mirrored write goes through it: a p-queue was measured to cost 1 µs a put.
 */
export class Mirror implements MirrorAnswers {
  readonly #session: MigrationSession;
  readonly #sweep: DeadlineSweep;
  readonly #lanes: Readonly<Record<Side, Lane>>;

  constructor(session: MigrationSession, stores: Readonly<Record<Side, Store>>, sweep: DeadlineSweep) {
    this.#session = session;
    this.#sweep = sweep;
    const lane = (store: Store): Lane => ({
      store,
      time: new RecentTime(store, sweep),
      breaker: new Breaker(session.fleet.clock),
      waiting: [],
      next: 0,
      underWay: 0,
      emptying: false,
    });
    this.#lanes = { old: lane(stores.old), new: lane(stores.new) };
  }

  /** Takes over an applied write; `ended` is called when the mirror put has ended or is dirty. */
  submit(write: LeadWrite, ended: (() => void) | undefined): void {
    const { settings } = write.epoch.ruleset;
    const lane = this.#lanes[write.follower];
    write.beginMirror(ended);
    if (lane.breaker.refuses()) {
      write.markDirty(BREAKER_OPEN);
    } else if (lane.underWay < settings.mirrorConcurrency) {
      this.#session.mirrorPending += 1;
      this.#begin(lane, write);
    } else if (lane.waiting.length - lane.next < settings.mirrorQueueLimit) {
      this.#session.mirrorPending += 1;
      lane.waiting.push(write);
    } else {
      // What is under way does not wait: a limit of 0 still lets the concurrency work.
      this.#session.shed += 1;
      write.markDirty('shed: the mirror queue is full');
    }
  }

  #begin(lane: Lane, write: LeadWrite): void {
    if (write.settled) {
      // A write that became dirty while it waited is a replay's business now.
      this.#session.mirrorPending -= 1;
    } else if (!lane.breaker.admits()) {
      this.#session.mirrorPending -= 1;
      write.markDirty(BREAKER_OPEN);
    } else {
      lane.underWay += 1;
      this.#put(lane, write);
    }
  }

  /** One put has ended: the next may begin. */
  #end(lane: Lane): void {
    lane.underWay -= 1;
    this.#session.mirrorPending -= 1;
    if (!lane.emptying) this.#beginNext(lane);
  }

  #beginNext(lane: Lane): void {
    let seen = 0;
    for (let write = lane.waiting[lane.next]; write !== undefined; write = lane.waiting[lane.next]) {
      if (lane.underWay >= write.epoch.ruleset.settings.mirrorConcurrency) return;
      // Those that begin are few; where the breaker is open, all that wait are marked.
      seen += 1;
      if (seen > MARKED_AT_ONCE) {
        this.#goOnLater(lane);
        return;
      }
      lane.next += 1;
      // What has left is dropped now and then: a queue that is never empty must not grow.
      if (lane.next >= DROP_AT && lane.next * 2 > lane.waiting.length) {
        lane.waiting = lane.waiting.slice(lane.next);
        lane.next = 0;
      }
      this.#begin(lane, write);
    }
    if (lane.next > 0) {
      lane.waiting = [];
      lane.next = 0;
    }
  }

  #goOnLater(lane: Lane): void {
    lane.emptying = true;
    this.#session.fleet.clock.after(0, () => {
      lane.emptying = false;
      this.#beginNext(lane);
    });
  }

  /** Sends the first copy, nearly always the only one. */
  #put(lane: Lane, write: LeadWrite): void {
    const { mirrorTimeoutMs } = write.epoch.ruleset.settings;
    try {
      const call = this.#call(lane, write, mirrorTimeoutMs);
      if (write.watchMirror(call, mirrorTimeoutMs, this.#session.traffic[write.follower].write)) return;
      this.#watch(lane, write, call, 0, mirrorTimeoutMs, this.#sweep.recent() + mirrorTimeoutMs);
    } catch (error) {
      this.#again(lane, write, 0, this.#sweep.recent() + mirrorTimeoutMs, this.#faultOf(lane.store, error));
    }
  }

  /** Sends another one; none later than `until`, on the monotonic clock. */
  #putAgain(lane: Lane, write: LeadWrite, attempt: number, until: number): void {
    const ms = until - this.#session.fleet.clock.monotonic();
    try {
      this.#watch(lane, write, this.#call(lane, write, ms), attempt, ms, until);
    } catch (error) {
      this.#again(lane, write, attempt, until, this.#faultOf(lane.store, error));
    }
  }

  #call({ store, time }: Lane, write: LeadWrite, ms: number): Promise<PutOutcome> {
    return store.putIfNewer(write.entry, Math.min(time.now() + Math.floor(ms), write.deadlineLimit));
  }

  #watch(lane: Lane, write: LeadWrite, call: Promise<PutOutcome>, attempt: number, ms: number, until: number): void {
    this.#sweep.watch(
      call,
      ms,
      lane.store.label,
      (outcome) => this.#ended(lane, write, attempt, until, outcome),
      (error) => this.#again(lane, write, attempt, until, this.#faultOf(lane.store, error)),
      this.#session.traffic[write.follower].write,
    );
  }

  /** What a first copy came to that the write itself waited for. */
  answered(write: LeadWrite, outcome: PutOutcome): void {
    this.#ended(this.#lanes[write.follower], write, 0, null, outcome);
  }

  failed(write: LeadWrite, error: unknown): void {
    const lane = this.#lanes[write.follower];
    this.#again(lane, write, 0, null, this.#faultOf(lane.store, error));
  }

  #ended(lane: Lane, write: LeadWrite, attempt: number, until: number | null, outcome: PutOutcome): void {
    if (outcome.kind === 'expired') {
      this.#again(lane, write, attempt, until, null);
      return;
    }
    lane.breaker.succeeded();
    if (outcome.kind === 'rejected' && !isMoot(lane.store, write.entry)) {
      write.markDirty(`${outcome.reason}: ${outcome.message}`, 'rejected');
    } else {
      write.end();
    }
    this.#end(lane);
  }

  /** After a put that surely or perhaps did not arrive (`fault` null: too late by the store's clock). */
  #again(lane: Lane, write: LeadWrite, attempt: number, limit: number | null, fault: StoreFault | null): void {
    const { settings } = write.epoch.ruleset;
    const { clock, random } = this.#session.fleet;
    const until = limit ?? write.mirroredAt + settings.mirrorTimeoutMs;
    const pauseMs = Math.min(FIRST_BACKOFF_MS * 2 ** attempt, LONGEST_BACKOFF_MS) * (0.5 + random());
    const over = clock.monotonic() + pauseMs >= until || lane.breaker.open;
    lane.breaker.failed(settings.breakerFailures, settings.breakerResetMs);
    if (over) {
      write.markDirty(fault === null ? 'mirror too late' : `mirror failed: ${fault.message}`);
      this.#end(lane);
      return;
    }
    clock.after(pauseMs, () => {
      if (write.settled) this.#end(lane);
      else this.#putAgain(lane, write, attempt + 1, until);
    });
  }

  #faultOf(store: Store, error: unknown): StoreFault {
    if (error instanceof StoreFault) return error;
    this.#session.fleet.logger.error({ err: error, store: store.label }, 'a store threw what no adapter should throw');
    return new StoreFault(`${store.label} failed`, { outcome: 'unknown', cause: error });
  }
}
