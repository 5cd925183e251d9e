import { StoreFault, StoreUnavailable } from '../core/errors.ts';
import type { Target } from '../core/record-key.ts';
import type { Route, Ruleset } from '../core/ruleset.ts';
import { otherSide, type Side } from '../core/stage.ts';
import type { Stamp } from '../core/stamp.ts';
import { type Entry, readable, type Store } from '../core/store.ts';
import type { StoredRecord } from '../core/value.ts';
import type { CallMeter } from './call-meter.ts';
import { type DeadlineSweep, type Latest, noAnswer, type Watched } from './deadline-sweep.ts';
import type { Epoch } from './epoch.ts';
import type { MigrationSession } from './migration-session.ts';
import type { Compared, ShadowReads } from './shadow-reads.ts';

/** What the reads of a repository share. */
export interface LeadReads extends Latest<LeadRead> {
  readonly session: MigrationSession;
  readonly stores: Readonly<Record<Side, Store>>;
  readonly sweep: DeadlineSweep;
  readonly shadow: ShadowReads;
}

/**
 * One read of the authority, in flight from its making on, and of the follower after it where the two are compared. It
 * settles its caller's promise itself and is its own link of the list of calls that are waited for: every get makes one.
 */
export class LeadRead implements Watched, Compared {
  at = 0;
  newer: Watched | null = null;
  older: Watched | null = null;
  watching = false;
  meter: CallMeter | null = null;
  begun = -1;
  readonly route: Route;
  readonly target: Target;
  stamp: Stamp | null = null;
  value: StoredRecord | null = null;
  readonly #shared: LeadReads;
  readonly #epoch: Epoch;
  readonly #shape: (entry: Entry) => unknown;
  readonly #resolve: (answer: never) => void;
  readonly #reject: (error: unknown) => void;
  /** The caller has its answer, and it is the follower's that is waited for. */
  #comparing = false;

  /** `shape` makes of a record's entry what the caller gets; the route must be the one in force, in the same turn. */
  constructor(
    shared: LeadReads,
    route: Route,
    target: Target,
    shape: (entry: Entry) => unknown,
    resolve: (answer: never) => void,
    reject: (error: unknown) => void,
  ) {
    this.route = route;
    this.target = target;
    this.#shared = shared;
    this.#shape = shape;
    this.#resolve = resolve;
    this.#reject = reject;
    this.#epoch = shared.session.enterRead();
    shared.latest = this;
  }

  get ruleset(): Ruleset {
    return this.#epoch.ruleset;
  }

  send(): void {
    const { authority } = this.route;
    const { session, stores, sweep } = this.#shared;
    try {
      const call = stores[authority].get(this.target.id, this.target.key);
      sweep.begin(this, this.ruleset.settings.operationTimeoutMs, session.traffic[authority].read);
      call.then(this.#answered, this.#failed);
    } catch (error) {
      this.#fail(error);
    }
  }

  watch(call: Promise<Entry | undefined>, ms: number, meter: CallMeter): void {
    this.#comparing = true;
    this.#shared.sweep.begin(this, ms, meter);
    call.then(this.#answered, this.#failed);
  }

  giveUp(): void {
    const { stores, shadow } = this.#shared;
    const { authority } = this.route;
    const { label } = stores[this.#comparing ? otherSide(authority) : authority];
    const error = noAnswer(label, this.ruleset.settings.operationTimeoutMs);
    if (this.#comparing) shadow.failed(error);
    else this.#fail(error);
  }

  readonly #answered = (entry: Entry | undefined): void => {
    const { session, sweep, shadow } = this.#shared;
    if (!sweep.end(this, false)) return;
    if (this.#comparing) {
      shadow.answered(this, entry);
      return;
    }
    session.leaveRead(this.#epoch);
    session.fleet.countOperation(false);
    if (this.route.compare && entry?.unreadable === undefined) shadow.begin(this, entry);
    try {
      readable(entry);
      this.#resolve((entry === undefined || entry.value === null ? undefined : this.#shape(entry)) as never);
    } catch (error) {
      this.#reject(error);
    }
  };

  readonly #failed = (error: unknown): void => {
    if (!this.#shared.sweep.end(this, true)) return;
    if (this.#comparing) this.#shared.shadow.failed(error);
    else this.#fail(error);
  };

  #fail(error: unknown): void {
    const { session, stores } = this.#shared;
    session.leaveRead(this.#epoch);
    session.fleet.countOperation(true);
    this.#reject(unavailable(stores[this.route.authority], error));
  }
}

/** What a caller is told of a store that cannot be read. */
export function unavailable(store: Store, error: unknown): unknown {
  if (!(error instanceof StoreFault)) return error;
  return new StoreUnavailable(`${store.label} cannot be read: ${error.message}`, { cause: error });
}
