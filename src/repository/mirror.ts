import PQueue from 'p-queue';
import { StoreFault } from '../core/errors.ts';
import type { Settings } from '../core/settings.ts';
import type { Side } from '../core/stage.ts';
import type { PutOutcome, Store } from '../core/store.ts';
import { Breaker } from './breaker.ts';
import type { DeadlineSweep } from './deadline-sweep.ts';
import type { LeadWrite } from './lead-write.ts';
import type { MigrationSession } from './migration-session.ts';

const FIRST_BACKOFF_MS = 25;
const LONGEST_BACKOFF_MS = 500;
const BREAKER_OPEN = 'the follower keeps failing; its breaker is open';

/**
 * Puts what the authority has applied to the follower: same entry, same stamp, in the background (R5). Whatever does
 * not surely arrive becomes dirty. It never throws and never changes what the caller is told.
 */
export class Mirror {
  readonly #session: MigrationSession;
  readonly #stores: Readonly<Record<Side, Store>>;
  readonly #sweep: DeadlineSweep;
  readonly #lanes: Readonly<Record<Side, { readonly queue: PQueue; readonly breaker: Breaker }>>;

  constructor(session: MigrationSession, stores: Readonly<Record<Side, Store>>, sweep: DeadlineSweep) {
    this.#session = session;
    this.#stores = stores;
    this.#sweep = sweep;
    const lane = () => ({ queue: new PQueue(), breaker: new Breaker(session.fleet.clock) });
    this.#lanes = { old: lane(), new: lane() };
  }

  /** Takes over an applied write. The promise resolves when the mirror put has ended or is dirty. */
  submit(write: LeadWrite): Promise<void> {
    const { settings } = write.epoch.ruleset;
    const { queue, breaker } = this.#lanes[write.follower];
    const ended = new Promise<void>((resolve) => write.beginMirror(resolve));
    if (breaker.refuses()) {
      write.markDirty(BREAKER_OPEN);
      return ended;
    }
    // What is under way does not wait: a limit of 0 still lets the concurrency work.
    if (queue.pending >= settings.mirrorConcurrency && queue.size >= settings.mirrorQueueLimit) {
      this.#session.shed += 1;
      write.markDirty('shed: the mirror queue is full');
      return ended;
    }
    if (queue.concurrency !== settings.mirrorConcurrency) queue.concurrency = settings.mirrorConcurrency;
    this.#session.mirrorPending += 1;
    void queue
      .add(() => this.#put(write, settings, breaker))
      .finally(() => {
        this.#session.mirrorPending -= 1;
      });
    return ended;
  }

  async #put(write: LeadWrite, settings: Settings, breaker: Breaker): Promise<void> {
    const { clock, random } = this.#session.fleet;
    const store = this.#stores[write.follower];
    // A write that became dirty while it waited is a replay's business now.
    if (write.settled) return;
    if (!breaker.admits()) {
      write.markDirty(BREAKER_OPEN);
      return;
    }
    const until = clock.monotonic() + settings.mirrorTimeoutMs;
    for (let attempt = 0; ; attempt += 1) {
      const outcome = await this.#putOnce(store, write, until - clock.monotonic());
      if (!(outcome instanceof StoreFault) && outcome.kind !== 'expired') {
        breaker.succeeded();
        if (outcome.kind === 'rejected') write.markDirty(`${outcome.reason}: ${outcome.message}`, 'rejected');
        else write.end();
        return;
      }
      const pauseMs = Math.min(FIRST_BACKOFF_MS * 2 ** attempt, LONGEST_BACKOFF_MS) * (0.5 + random());
      if (clock.monotonic() + pauseMs >= until || breaker.open) {
        breaker.failed(settings.breakerFailures, settings.breakerResetMs);
        write.markDirty(outcome instanceof StoreFault ? `mirror failed: ${outcome.message}` : 'mirror too late');
        return;
      }
      breaker.failed(settings.breakerFailures, settings.breakerResetMs);
      await new Promise<void>((resolve) => clock.after(pauseMs, resolve));
      if (write.settled) return;
    }
  }

  async #putOnce(store: Store, write: LeadWrite, ms: number): Promise<PutOutcome | StoreFault> {
    try {
      const deadline = Math.min(Math.floor(store.now() + ms), write.deadlineLimit);
      return await this.#sweep.bound(store.putIfNewer(write.entry, deadline), ms, store.label);
    } catch (error) {
      if (error instanceof StoreFault) return error;
      this.#session.fleet.logger.error(
        { err: error, store: store.label },
        'a store threw what no adapter should throw',
      );
      return new StoreFault(`${store.label} failed`, { outcome: 'unknown', cause: error });
    }
  }
}
