import { StoreFault } from '../core/errors.ts';
import type { Side } from '../core/stage.ts';
import { isMoot, type PutOutcome, type Store } from '../core/store.ts';
import { Breaker } from './breaker.ts';
import type { CallMeter } from './call-meter.ts';
import { type DeadlineSweep, type Latest, noAnswer, Watched } from './deadline-sweep.ts';
import type { LeadWrite } from './lead-write.ts';
import type { MigrationSession } from './migration-session.ts';
import { RecentTime } from './recent-time.ts';

const FIRST_BACKOFF_MS = 25;
const LONGEST_BACKOFF_MS = 500;
/** So many places of the queue may be of writes that have left it. */
const DROP_AT = 1_000;
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
}

/** What the copies of mirror puts share. */
interface MirrorPuts extends Latest<MirrorPut> {
  readonly sweep: DeadlineSweep;
  answered(put: MirrorPut, outcome: PutOutcome): void;
  failed(put: MirrorPut, error: unknown): void;
}

/** One copy of a mirror put, which is its own link of the list of calls that are waited for. */
class MirrorPut extends Watched {
  readonly lane: Lane;
  readonly write: LeadWrite;
  readonly attempt: number;
  /** No copy is sent later than this, on the monotonic clock. */
  readonly until: number;
  readonly #puts: MirrorPuts;

  constructor(puts: MirrorPuts, lane: Lane, write: LeadWrite, attempt: number, until: number) {
    super();
    this.#puts = puts;
    this.lane = lane;
    this.write = write;
    this.attempt = attempt;
    this.until = until;
    puts.latest = this;
  }

  send(call: Promise<PutOutcome>, ms: number, meter: CallMeter): void {
    this.#puts.sweep.begin(this, ms, meter);
    call.then(this.#answered, this.#failed);
  }

  override giveUp(): void {
    this.#puts.failed(this, noAnswer(this.lane.store.label, this.write.epoch.ruleset.settings.mirrorTimeoutMs));
  }

  readonly #answered = (outcome: PutOutcome): void => {
    if (this.#puts.sweep.end(this, false)) this.#puts.answered(this, outcome);
  };

  readonly #failed = (error: unknown): void => {
    if (this.#puts.sweep.end(this, true)) this.#puts.failed(this, error);
  };
}

/**
 * Puts what the authority has applied to the follower: same entry, same stamp, in the background (R5). Whatever does
 * not surely arrive becomes dirty. It never throws and never changes what the caller is told.
 *
 * The queue is our own, as every mirrored write goes through it: a p-queue was measured to cost 1 µs a put.
 */
export class Mirror {
  readonly #session: MigrationSession;
  readonly #sweep: DeadlineSweep;
  readonly #lanes: Readonly<Record<Side, Lane>>;
  readonly #puts: MirrorPuts;

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
    });
    this.#lanes = { old: lane(stores.old), new: lane(stores.new) };
    this.#puts = {
      latest: null,
      sweep,
      answered: (put, outcome) => this.#answered(put, outcome),
      failed: (put, error) => this.#again(put, this.#faultOf(put.lane.store, error)),
    };
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
      this.#put(lane, write, 0, this.#sweep.recent() + write.epoch.ruleset.settings.mirrorTimeoutMs);
    }
  }

  /** One put has ended: the next may begin. */
  #end(lane: Lane): void {
    lane.underWay -= 1;
    this.#session.mirrorPending -= 1;
    for (let write = lane.waiting[lane.next]; write !== undefined; write = lane.waiting[lane.next]) {
      if (lane.underWay >= write.epoch.ruleset.settings.mirrorConcurrency) return;
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

  #put(lane: Lane, write: LeadWrite, attempt: number, until: number): void {
    const { store } = lane;
    const put = new MirrorPut(this.#puts, lane, write, attempt, until);
    try {
      const ms =
        attempt === 0 ? write.epoch.ruleset.settings.mirrorTimeoutMs : until - this.#session.fleet.clock.monotonic();
      const deadline = Math.min(lane.time.now() + Math.floor(ms), write.deadlineLimit);
      put.send(store.putIfNewer(write.entry, deadline), ms, this.#session.traffic[write.follower].write);
    } catch (error) {
      this.#puts.failed(put, error);
    }
  }

  #answered(put: MirrorPut, outcome: PutOutcome): void {
    if (outcome.kind === 'expired') {
      this.#again(put, null);
      return;
    }
    const { lane, write } = put;
    lane.breaker.succeeded();
    if (outcome.kind === 'rejected' && !isMoot(lane.store, write.entry)) {
      write.markDirty(`${outcome.reason}: ${outcome.message}`, 'rejected');
    } else {
      write.end();
    }
    this.#end(lane);
  }

  /** After a put that surely or perhaps did not arrive (`fault` null: too late by the store's clock). */
  #again({ lane, write, attempt, until }: MirrorPut, fault: StoreFault | null): void {
    const { settings } = write.epoch.ruleset;
    const { clock, random } = this.#session.fleet;
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
      else this.#put(lane, write, attempt + 1, until);
    });
  }

  #faultOf(store: Store, error: unknown): StoreFault {
    if (error instanceof StoreFault) return error;
    this.#session.fleet.logger.error({ err: error, store: store.label }, 'a store threw what no adapter should throw');
    return new StoreFault(`${store.label} failed`, { outcome: 'unknown', cause: error });
  }
}
