import { equalValues } from '../core/canonical.ts';
import { ChangeoverError, InvalidConfiguration, OutcomeUnknown, StoreFault } from '../core/errors.ts';
import type { KeySpec } from '../core/record-key.ts';
import { otherSide, type Side } from '../core/stage.ts';
import { cloneValue } from '../core/value.ts';
import type { CallMeter } from './call-meter.ts';
import type { DeadlineSweep } from './deadline-sweep.ts';
import type { InFlightWrite } from './epoch.ts';
import type { MigrationSession } from './migration-session.ts';

/** One function for each store, doing the same. */
export interface FunctionPair<I, O> {
  readonly old: (input: I) => Promise<O> | O;
  readonly new: (input: I) => Promise<O> | O;
}

/** What `changeover.operation` routes; see {@link Operation}. */
export interface OperationDefinition<RI, RO, WI, WO> {
  readonly read?: FunctionPair<RI, RO>;
  readonly write?: FunctionPair<WI, WO>;
  /** True when two answers of `read` agree; synchronous. By default equality of values. */
  readonly compare?: (old: RO, fresh: RO) => boolean;
}

/**
 * Any pair of functions behind the dials of a migration: searches, aggregates, other people's APIs. Authority, order
 * and failures are those of the stage table; each side gets its own deep copy of the input. There are no stamps and no
 * replay: its gate is the rate of divergences and the operator's word.
 *
 * @example
 * const search = changeover.operation('events', { read: { old: searchMongo, new: searchDynamo } });
 * await search.read('ada', { text: 'invoice' });
 */
export class Operation<RI, RO, WI, WO> {
  readonly #session: MigrationSession;
  readonly #keys: KeySpec;
  readonly #sweep: DeadlineSweep;
  readonly #definition: OperationDefinition<RI, RO, WI, WO>;
  #comparing = 0;

  /** @throws InvalidConfiguration when a function of a pair is missing. */
  constructor(
    session: MigrationSession,
    keys: KeySpec,
    sweep: DeadlineSweep,
    definition: OperationDefinition<RI, RO, WI, WO>,
  ) {
    for (const kind of ['read', 'write'] as const) {
      const pair = definition[kind];
      if (pair !== undefined && (typeof pair.old !== 'function' || typeof pair.new !== 'function')) {
        throw new InvalidConfiguration(`the ${kind} of an operation is no pair of functions`, {
          expected: '{ old: function, new: function }',
        });
      }
    }
    this.#session = session;
    this.#keys = keys;
    this.#sweep = sweep;
    this.#definition = definition;
  }

  /** The authority's answer; the follower's is compared where shadow reads are on, and never awaited. */
  async read(unit: unknown, input: RI): Promise<RO> {
    const pair = this.#pair('read', this.#definition.read);
    const text = this.#keys.unit(this.#keys.unitKeyOf(unit));
    const held = this.#session.admit(text, false);
    if (held !== undefined) await held;
    const epoch = this.#session.enterRead();
    try {
      const { ruleset } = epoch;
      const route = ruleset.route(text);
      const compared =
        route.compare &&
        this.#comparing < ruleset.settings.shadowConcurrency &&
        (ruleset.settings.shadowSample >= 1 || this.#session.fleet.random() < ruleset.settings.shadowSample);
      // One copy each: the caller's own object is nobody's to change, and never two functions' at once.
      const copy = cloneValue(input);
      const answer = await metered(this.#session.traffic[route.authority].read, () =>
        pair[route.authority](cloneValue(input)),
      );
      if (compared) this.#compare(pair, route.authority, copy, answer, ruleset.settings.operationTimeoutMs);
      return answer;
    } finally {
      this.#session.leaveRead(epoch);
    }
  }

  /**
   * Runs the authority's function, then (where mirrored) the follower's with its own copy.
   * @throws OutcomeUnknown when the authority does not answer in time; it is never called again. Its own errors pass.
   */
  async write(unit: unknown, input: WI): Promise<WO> {
    const pair = this.#pair('write', this.#definition.write);
    const text = this.#keys.unit(this.#keys.unitKeyOf(unit));
    for (let held = this.#session.admit(text, true); held !== undefined; held = this.#session.admit(text, true)) {
      await held;
    }
    void this.#session.membership;
    const { ruleset } = this.#session.epoch;
    const route = ruleset.route(text);
    const { settings } = ruleset;
    const copy = cloneValue(input);
    let over = false;
    let abandon: (error: unknown) => void = () => {};
    const settle = (): void => {
      over = true;
      this.#session.leave(epoch, write);
    };
    const write: InFlightWrite = {
      unit: text,
      abandon: () => {
        settle();
        abandon(new OutcomeUnknown('an emergency roll-back began before the function answered'));
      },
      markMirror: () => {
        if (mirroring) settle();
      },
    };
    let mirroring = false;
    const epoch = this.#session.enter(write);
    try {
      const answer = await this.#lead(
        pair[route.authority](cloneValue(input)),
        settings.operationTimeoutMs,
        (fail) => {
          abandon = fail;
        },
        this.#session.traffic[route.authority].write,
      );
      if (!route.mirror || over) return answer;
      mirroring = true;
      const follower = otherSide(route.authority);
      const mirrored = this.#mirror(pair[follower], copy, settings.mirrorTimeoutMs, follower).finally(settle);
      const policy = follower === 'new' ? settings.mirrorToNew : settings.mirrorToOld;
      if (policy === 'wait') await mirrored;
      return answer;
    } finally {
      if (!mirroring) settle();
    }
  }

  async #lead(
    call: Promise<WO> | WO,
    ms: number,
    abandonable: (fail: (error: unknown) => void) => void,
    meter: CallMeter,
  ): Promise<WO> {
    const answer = Promise.resolve(call);
    const abandoned = new Promise<never>((_, reject) => abandonable(reject));
    try {
      return await Promise.race([this.#sweep.bound(answer, ms, 'the authority', meter), abandoned]);
    } catch (error) {
      // Our own bound, not an error of theirs, which passes as it is.
      if (error instanceof StoreFault && error.outcome === 'unknown') {
        throw new OutcomeUnknown(`the function did not answer within ${ms} ms; it may still have its effect`, {
          cause: error,
        });
      }
      throw error;
    }
  }

  async #mirror(run: (input: WI) => Promise<WO> | WO, input: WI, ms: number, side: Side): Promise<void> {
    try {
      await this.#sweep.bound(called(run, input), ms, 'the follower', this.#session.traffic[side].write);
    } catch (error) {
      this.#session.fleet.logger.warn(
        { err: error, migration: this.#session.name },
        'the mirror of an operation failed',
      );
    }
  }

  /** Never throws and is never awaited. */
  #compare(pair: FunctionPair<RI, RO>, authority: Side, input: RI, answer: RO, ms: number): void {
    let seen: RO;
    try {
      // The caller may change what it got while the comparison goes on.
      seen = cloneValue(answer);
    } catch (error) {
      this.#impossible(error);
      return;
    }
    this.#comparing += 1;
    void this.#compareLater(pair, authority, input, seen, ms).finally(() => {
      this.#comparing -= 1;
    });
  }

  async #compareLater(pair: FunctionPair<RI, RO>, authority: Side, input: RI, seen: RO, ms: number): Promise<void> {
    try {
      const follower = otherSide(authority);
      const meter = this.#session.traffic[follower].read;
      const other = await this.#sweep.bound(called(pair[follower], input), ms, 'the follower', meter);
      const [old, fresh] = authority === 'old' ? [seen, other] : [other, seen];
      const equal: unknown = (this.#definition.compare ?? equalValues)(old, fresh);
      if (typeof equal === 'boolean') {
        this.#session.countComparison(null, !equal);
        return;
      }
      // A promise is not "equal", and nobody waits for it.
      Promise.resolve(equal).catch(() => {});
      throw new InvalidConfiguration('the compare function of an operation returned no boolean', {
        expected: 'true or false, synchronously',
      });
    } catch (error) {
      this.#impossible(error);
      if (error instanceof ChangeoverError && !(error instanceof StoreFault)) this.#session.countComparison(null, true);
    }
  }

  #impossible(error: unknown): void {
    this.#session.fleet.logger.warn({ err: error, migration: this.#session.name }, 'a comparison was not possible');
  }

  #pair<I, O>(kind: string, pair: FunctionPair<I, O> | undefined): FunctionPair<I, O> {
    if (pair !== undefined) return pair;
    throw new InvalidConfiguration(`this operation has no ${kind}`, { expected: `${kind}: { old, new }` });
  }
}

/** Counts a call that nobody gives up. */
async function metered<O>(meter: CallMeter, run: () => Promise<O> | O): Promise<O> {
  const begun = meter.begin();
  let failed = true;
  try {
    const answer = await run();
    failed = false;
    return answer;
  } finally {
    meter.end(begun, failed);
  }
}

/** A function's answer as a promise, also when it throws at once. */
const called = async <I, O>(run: (input: I) => Promise<O> | O, input: I): Promise<O> => run(input);
