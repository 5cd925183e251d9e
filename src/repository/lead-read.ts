import { StoreFault, StoreUnavailable } from '../core/errors.ts';
import type { Target } from '../core/record-key.ts';
import type { Route } from '../core/ruleset.ts';
import type { Side } from '../core/stage.ts';
import type { Entry, Store } from '../core/store.ts';
import { type DeadlineSweep, type Latest, noAnswer, Watched } from './deadline-sweep.ts';
import type { Epoch } from './epoch.ts';
import type { MigrationSession } from './migration-session.ts';
import type { ShadowReads } from './shadow-reads.ts';

/** What the reads of a repository share. */
export interface LeadReads extends Latest<LeadRead> {
  readonly session: MigrationSession;
  readonly stores: Readonly<Record<Side, Store>>;
  readonly sweep: DeadlineSweep;
  readonly shadow: ShadowReads;
}

/** One read of the authority, in flight from its making on. It settles its caller's promise itself: every get makes one. */
export class LeadRead extends Watched {
  readonly #shared: LeadReads;
  readonly #epoch: Epoch;
  readonly #route: Route;
  readonly #target: Target;
  readonly #shape: (entry: Entry) => unknown;
  readonly #resolve: (answer: never) => void;
  readonly #reject: (error: unknown) => void;

  /** `shape` makes of a record's entry what the caller gets; the route must be the one in force, in the same turn. */
  constructor(
    shared: LeadReads,
    route: Route,
    target: Target,
    shape: (entry: Entry) => unknown,
    resolve: (answer: never) => void,
    reject: (error: unknown) => void,
  ) {
    super();
    this.#shared = shared;
    this.#route = route;
    this.#target = target;
    this.#shape = shape;
    this.#resolve = resolve;
    this.#reject = reject;
    this.#epoch = shared.session.enterRead();
    shared.latest = this;
  }

  send(): void {
    const { authority } = this.#route;
    const { session, stores, sweep } = this.#shared;
    try {
      const call = stores[authority].get(this.#target.id, this.#target.key);
      sweep.begin(this, this.#epoch.ruleset.settings.operationTimeoutMs, session.traffic[authority].read);
      call.then(this.#answered, this.#failed);
    } catch (error) {
      this.#fail(error);
    }
  }

  override giveUp(): void {
    this.#fail(noAnswer(this.#store.label, this.#epoch.ruleset.settings.operationTimeoutMs));
  }

  get #store(): Store {
    return this.#shared.stores[this.#route.authority];
  }

  readonly #answered = (entry: Entry | undefined): void => {
    const { session, sweep, shadow } = this.#shared;
    if (!sweep.end(this, false)) return;
    session.leaveRead(this.#epoch);
    session.fleet.countOperation(false);
    if (this.#route.compare) {
      const { unit, id, key } = this.#target;
      shadow.begin(this.#epoch.ruleset, this.#route, unit, id, key, entry);
    }
    try {
      this.#resolve((entry === undefined || entry.value === null ? undefined : this.#shape(entry)) as never);
    } catch (error) {
      this.#reject(error);
    }
  };

  readonly #failed = (error: unknown): void => {
    if (this.#shared.sweep.end(this, true)) this.#fail(error);
  };

  #fail(error: unknown): void {
    this.#shared.session.leaveRead(this.#epoch);
    this.#shared.session.fleet.countOperation(true);
    this.#reject(unavailable(this.#store, error));
  }
}

/** What a caller is told of a store that cannot be read. */
export function unavailable(store: Store, error: unknown): unknown {
  if (!(error instanceof StoreFault)) return error;
  return new StoreUnavailable(`${store.label} cannot be read: ${error.message}`, { cause: error });
}
