import { NotPrepared, StoreFault } from '../../../src/core/errors.ts';
import type { CasOutcome, PutFault, Rejection } from '../../../src/core/store.ts';
import type { Held, Write } from '../dialect.ts';
import { putInBatches, Refused } from '../server/batches.ts';
import type { PgDatabase } from './database.ts';
import type { PgClient } from './driver.ts';
import { classify, codeOf, storeFault } from './faults.ts';
import { PipelineFailed, pipeline, type Rows } from './pipeline.ts';
import type { Plan } from './plan.ts';
import type { Reads } from './reads.ts';
import { LIMITS, NO_LOGARITHM } from './texts.ts';
import { applied, COPY_STEPS, type Many, type Sent, type Trip, Trips } from './trips.ts';

const BATCH_ROWS = 1_000;
/** How many batches are put under their guards after one of which something was there; twice as many each time it is so again. */
const GUARDED_BATCHES = 8;
const MOST_GUARDED_BATCHES = 512;
/** A delete that meets copies waits for those under way: where there are many, copies without stamps are tried seldom. */
const STAMPED_MS = 15_000;
const MOST_STAMPED_MS = 600_000;
/** How often a write is tried whose answer says that things have just changed. */
const TRIES = 8;
type Outcome = CasOutcome | PutFault;

/** What a trip came to if not an outcome: look at what is stored, or do it again otherwise. */
type Turn = 'look' | 'again';

/** Parsed anew each time: what is named may be unknown to the session that a pooler has lent for the transaction. */
const ROLLBACK: Sent = { steps: [{ sql: 'ROLLBACK', values: [], fresh: true }] };

/** The connection cannot be asked to end its transaction. */
const isLost = (error: unknown): boolean => error instanceof PipelineFailed && classify(error).kind === 'lost';

/** Writes to one table: most in one trip, guarded by what the statements themselves say. */
export class Writes {
  readonly #database: PgDatabase;
  readonly #plan: Plan;
  readonly #reads: Reads;
  readonly #trips: Trips;
  /** Batches that are not tried as inserts from now on, and how many it will be when one fails next. */
  #guarded = 0;
  #nextGuarded = GUARDED_BATCHES;
  /** Copies get stamps until then, as tombstones are written beside them; and for how long when that is seen next. */
  #stampedUntil = 0;
  #stampedMs = STAMPED_MS;

  constructor(database: PgDatabase, plan: Plan, reads: Reads) {
    this.#database = database;
    this.#plan = plan;
    this.#reads = reads;
    this.#trips = new Trips(plan, reads);
  }

  async write(writes: readonly Write[]): Promise<Outcome[]> {
    const [only] = writes;
    if (only !== undefined && writes.length === 1) return [await this.#settled(only)];
    return this.#many(writes);
  }

  /** One write; a fault is its outcome, everything else that is wrong is thrown. */
  async #settled(write: Write): Promise<Outcome> {
    try {
      return await this.#one(write);
    } catch (error) {
      if (!(error instanceof StoreFault)) throw error;
      return { kind: 'fault', outcome: error.outcome, message: error.message, pressure: error.pressure };
    }
  }

  async #one(write: Write): Promise<CasOutcome> {
    for (let tries = 0; tries < TRIES; tries += 1) {
      if (this.#database.now() >= write.deadline) return { kind: 'expired' };
      if (write.stamp !== null && !this.#reads.stamped) await this.#mustBePrepared();
      const trip = write.rejection === null ? this.#trips.of(write) : null;
      const turn =
        trip === null
          ? write.rejection === null
            ? await this.#judged(write)
            : 'look'
          : await this.#inOneTrip(write, trip);
      if (turn === 'again') continue;
      if (turn !== 'look') return turn;
      const verdict = await this.#verdict(write);
      if (verdict !== null) return verdict;
      if (this.#plan.shared && tries > 0) {
        return this.#refused('another record has the part of the key that is unique by itself');
      }
    }
    throw new StoreFault(`${this.#database.label}: others changed the record again and again`, {
      outcome: 'nothing-written',
      pressure: true,
    });
  }

  #refused(message: string): Rejection {
    return { kind: 'rejected', reason: 'constraint', message };
  }

  async #mustBePrepared(): Promise<void> {
    if (await this.#reads.lookForStamps()) return;
    throw new NotPrepared(`${this.#database.label}: the stamp table "${this.#plan.layout.stampTable}" is missing`, {
      remedy: '`changeover prepare`',
    });
  }

  /** What the stored version says to a write; null if it would be applied. */
  async #verdict(write: Write): Promise<CasOutcome | null> {
    const [held] = await this.#reads.read([write.key], !write.looksAtRow);
    return write.judge(held);
  }

  // --- one trip ----------------------------------------------------------------------------------

  async #inOneTrip(write: Write, trip: Trip): Promise<CasOutcome | Turn> {
    const { steps } = trip;
    try {
      const answers = await this.#database.use(write.deadline, (client) => pipeline(client, steps));
      return trip.outcome(answers) ?? 'look';
    } catch (error) {
      return this.#failed(write, error, trip);
    }
  }

  /** What a failed trip means for a write. @throws StoreFault */
  async #failed(write: Write, error: unknown, sent: Sent): Promise<CasOutcome | Turn> {
    if (!(error instanceof PipelineFailed)) throw error;
    const failure = classify(error);
    if (failure.kind === 'rejected') {
      if (error.step === sent.inTime || sent.steps[error.step]?.sql === LIMITS) return { kind: 'expired' };
      if (error.step === sent.mustOwn) return 'look';
      if (error.step === sent.noTable) {
        await this.#reads.lookForStamps();
        return 'again';
      }
      const kept = error.step === sent.both && codeOf(error) === NO_LOGARITHM;
      // When in doubt, the stored stamp decides: what is refused must be what would have been applied.
      return (
        (await this.#verdict(write)) ??
        (kept ? this.#refused('a trigger of the table keeps the record from being written') : failure.rejection)
      );
    }
    if (failure.kind === 'waited' && this.#database.overdue(write.deadline)) return { kind: 'expired' };
    if (failure.kind === 'stale') return 'again';
    if (failure.kind === 'no-table') {
      if (!(await this.#reads.lookForStamps()) && write.stamp !== null) await this.#mustBePrepared();
      return 'again';
    }
    throw storeFault(this.#database.label, error, true);
  }

  // --- two trips ---------------------------------------------------------------------------------

  /** Locks the key, looks, judges, writes: what no statement can say, a value above all. */
  async #judged(write: Write): Promise<CasOutcome | Turn> {
    let sent: Sent = { steps: [] };
    const send = (client: PgClient, next: Sent): Promise<readonly Rows[]> => {
      sent = next;
      return pipeline(client, next.steps);
    };
    try {
      return await this.#database.use(write.deadline, async (client) => {
        try {
          const first = this.#trips.locking(write);
          const held = first.held(await send(client, first));
          const verdict = write.judge(held);
          if (verdict !== null) {
            await send(client, ROLLBACK);
            return verdict;
          }
          const there = held !== undefined && held.row !== null;
          await send(client, this.#trips.changing(write, there));
          return applied(there);
        } catch (error) {
          // The connection goes back without a transaction, or not at all.
          if (!isLost(error)) await pipeline(client, ROLLBACK.steps);
          throw error;
        }
      });
    } catch (error) {
      return this.#failed(write, error, sent);
    }
  }

  // --- many --------------------------------------------------------------------------------------

  #many(writes: readonly Write[]): Promise<Outcome[]> {
    return putInBatches(writes, BATCH_ROWS, (batch) => this.#batch(batch));
  }

  /**
   * Puts rows with different keys. Where nothing is there, as in most of a backfill, an insert costs the server half of
   * what a guarded put does, and fails as a whole where something is.
   */
  async #put(writes: readonly Write[]): Promise<Outcome[]> {
    if (writes.length > 1 && this.#guarded === 0) {
      const inserted = await this.#inserted(writes);
      if (inserted !== null) return inserted;
    }
    this.#guarded = Math.max(0, this.#guarded - 1);
    return this.#together(writes, 'put');
  }

  /**
   * Puts copies that need no stamps: those that are not there. What somebody else may have put there is gone over, under
   * a stamp; so is everything while tombstones are written, as neither shall wait for the other.
   */
  async #copied(writes: readonly Write[]): Promise<Outcome[]> {
    if (this.#database.now() < this.#stampedUntil || writes.length === 1) return this.#put(writes);
    const deadline = Math.min(...writes.map((write) => write.deadline));
    for (const kind of ['insertBare', 'bare'] as const) {
      const steps = this.#trips.many(writes, kind, deadline);
      try {
        const answers = await this.#database.use(deadline, (client) => pipeline(client, steps));
        const inserted = applied(false);
        if (kind === 'insertBare') return writes.map(() => inserted);
        return await this.#completed(writes, new Set((answers[COPY_STEPS.answer] ?? []).map(([n]) => Number(n) - 1)));
      } catch (error) {
        if (!(error instanceof PipelineFailed) || isLost(error)) return writes.map(() => this.#fault(error));
        if (error.step >= COPY_STEPS.first && error.step <= COPY_STEPS.last) {
          const now = this.#database.now();
          // Others that were under way say the same once more.
          if (now >= this.#stampedUntil) {
            this.#stampedUntil = now + this.#stampedMs;
            this.#stampedMs = Math.min(2 * this.#stampedMs, MOST_STAMPED_MS);
          }
          break;
        }
      }
    }
    return this.#put(writes);
  }

  /** Puts what a batch has left, under stamps. */
  async #completed(writes: readonly Write[], written: ReadonlySet<number>): Promise<Outcome[]> {
    const left = writes.filter((_, i) => !written.has(i));
    const found = left.length === 0 ? [] : await this.#together(left, 'put');
    const inserted = applied(false);
    let next = 0;
    return writes.map((_, i) => {
      if (written.has(i)) return inserted;
      next += 1;
      return found[next - 1] as Outcome;
    });
  }

  /** Null: nothing was inserted, as something is there, is refused, or came too late. */
  async #inserted(writes: readonly Write[]): Promise<Outcome[] | null> {
    const deadline = Math.min(...writes.map((write) => write.deadline));
    const steps = this.#trips.many(writes, 'insert', deadline);
    try {
      await this.#database.use(deadline, (client) => pipeline(client, steps));
      this.#nextGuarded = GUARDED_BATCHES;
      const inserted = applied(false);
      return writes.map(() => inserted);
    } catch (error) {
      if (!(error instanceof PipelineFailed) || isLost(error)) return writes.map(() => this.#fault(error));
      // Others that were under way say the same once more.
      if (this.#guarded === 0) {
        this.#guarded = this.#nextGuarded;
        this.#nextGuarded = Math.min(2 * this.#nextGuarded, MOST_GUARDED_BATCHES);
      }
      return null;
    }
  }

  async #batch(batch: readonly Write[]): Promise<Outcome[]> {
    if (this.#plan.shared) return Promise.all(batch.map((write) => this.#settled(write)));
    if (!this.#reads.stamped) await this.#mustBePrepared();
    const { bare } = this.#reads;
    const kindOf = ({ rejection, row, stamp }: Write): Many | 'refused' =>
      rejection !== null ? 'refused' : row === null ? 'buried' : stamp === bare ? 'bare' : 'put';
    const first = kindOf(batch[0] as Write);
    if (batch.every((write) => kindOf(write) === first)) return this.#alike(batch, first);
    const outcomes: Outcome[] = new Array(batch.length);
    for (const [kind, places] of Map.groupBy(batch.keys(), (i) => kindOf(batch[i] as Write))) {
      const part = places.map((i) => batch[i] as Write);
      for (const [n, outcome] of (await this.#alike(part, kind)).entries()) outcomes[places[n] as number] = outcome;
    }
    return outcomes;
  }

  #alike(writes: readonly Write[], kind: Many | 'refused'): Promise<Outcome[]> {
    if (kind === 'refused') return this.#looked(writes);
    if (kind === 'buried') return this.#together(writes, kind);
    return kind === 'bare' ? this.#copied(writes) : this.#put(writes);
  }

  /** Answers by what is stored; writes one by one what would be applied after all. */
  async #looked(writes: readonly Write[]): Promise<Outcome[]> {
    let found: readonly (Held | undefined)[];
    try {
      found = await this.#reads.read(
        writes.map(({ key }) => key),
        true,
      );
    } catch (error) {
      return writes.map(() => this.#fault(error));
    }
    return Promise.all(writes.map((write, i) => write.judge(found[i]) ?? this.#settled(write)));
  }

  #fault(error: unknown): PutFault {
    const { outcome, message, pressure } = storeFault(this.#database.label, error, true);
    return { kind: 'fault', outcome, message, pressure };
  }

  /** Writes with different keys in one transaction, all of the same kind. @throws Refused when a row breaks a rule */
  async #together(writes: readonly Write[], kind: 'put' | 'buried'): Promise<Outcome[]> {
    const [first] = writes;
    if (first === undefined || writes.length === 1) return Promise.all(writes.map((write) => this.#settled(write)));
    const deadline = Math.min(...writes.map((write) => write.deadline));
    const expired = (): Outcome[] => writes.map(() => ({ kind: 'expired' }));
    if (this.#database.now() >= deadline) return expired();
    const steps = this.#trips.many(writes, kind, deadline);
    let answers: readonly Rows[];
    try {
      answers = await this.#database.use(deadline, (client) => pipeline(client, steps));
    } catch (error) {
      if (!(error instanceof PipelineFailed)) return writes.map(() => this.#fault(error));
      const failure = classify(error);
      if (failure.kind === 'rejected') {
        if (error.step === 0 || error.step === steps.length - 1) return expired();
        throw new Refused(failure.rejection);
      }
      if (failure.kind === 'waited' && this.#database.overdue(deadline)) return expired();
      if (failure.kind === 'waited' || failure.kind === 'stale' || failure.kind === 'no-table') {
        // One by one: whoever waits for a lock keeps nobody else.
        return Promise.all(writes.map((write) => this.#settled(write)));
      }
      return writes.map(() => this.#fault(error));
    }
    // Tombstones have a step more, which locks.
    const [won = [], removed = []] = answers.slice(kind === 'put' ? 1 : 2);
    const outcomes: (Outcome | undefined)[] = new Array(writes.length);
    const gone = new Set(removed.map(([n]) => n));
    for (const [n = null, fresh = null] of won) {
      if (n === '0') continue;
      outcomes[Number(n) - 1] = applied(kind === 'put' ? fresh !== 't' : gone.has(n));
    }
    const left = writes.flatMap((_, i) => (outcomes[i] === undefined ? [i] : []));
    const looked = await this.#looked(left.map((i) => writes[i] as Write));
    for (const [n, i] of left.entries()) outcomes[i] = looked[n];
    return outcomes as Outcome[];
  }
}
