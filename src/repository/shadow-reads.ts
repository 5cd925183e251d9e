import { type CompareRules, compareRecords, type FieldDifference } from '../../verify/compare.ts';
import type { DivergenceReport } from '../core/control-client.ts';
import { Closed, StoreFault } from '../core/errors.ts';
import { keyToJson } from '../core/key-json.ts';
import type { Target } from '../core/record-key.ts';
import type { Route, Ruleset } from '../core/ruleset.ts';
import { otherSide, type Side } from '../core/stage.ts';
import { STAMP_MIN, type Stamp } from '../core/stamp.ts';
import type { Entry, Store } from '../core/store.ts';
import { cloneValue, type StoredRecord } from '../core/value.ts';
import type { CallMeter } from './call-meter.ts';
import type { DeadlineSweep } from './deadline-sweep.ts';
import type { MigrationSession } from './migration-session.ts';

/** What a comparison is about. */
type Version = Pick<Entry, 'stamp' | 'value' | 'unreadable'>;

/** The stamps that matter for a comparison: a record without one is as old as can be. */
const age = (version: Version | undefined): Stamp => version?.stamp ?? STAMP_MIN;

/** How a difference is written into reports: masked, or as it is where the configuration says so. Plain JSON. */
export type ShowField = (field: FieldDifference) => {
  readonly path: string;
  readonly old: unknown;
  readonly new: unknown;
};

type Difference = Pick<DivergenceReport, 'kind' | 'cause' | 'fields'>;

/** A version that a caller got, for the comparison with the follower's. */
export interface Compared extends Version {
  readonly ruleset: Ruleset;
  readonly route: Route;
  readonly target: Target;
  stamp: Stamp | null;
  value: StoredRecord | null;

  /** Waits for the follower's answer, and tells {@link ShadowReads.answered} or `failed`. */
  watch(call: Promise<Entry | undefined>, ms: number, meter: CallMeter): void;
}

/**
 * Reads the follower behind the caller's back and compares. A difference counts only if it outlives its rechecks,
 * which read both stores anew: writes in flight look like corruption otherwise.
 */
export class ShadowReads {
  readonly #session: MigrationSession;
  readonly #stores: Readonly<Record<Side, Store>>;
  readonly #sweep: DeadlineSweep;
  readonly #rules: CompareRules;
  readonly #show: ShowField;
  #running = 0;

  constructor(
    session: MigrationSession,
    stores: Readonly<Record<Side, Store>>,
    sweep: DeadlineSweep,
    rules: CompareRules,
    show: ShowField,
  ) {
    this.#session = session;
    this.#stores = stores;
    this.#sweep = sweep;
    this.#rules = rules;
    this.#show = show;
  }

  /** Begins a comparison of what `getMany` read. */
  beginOf(ruleset: Ruleset, route: Route, target: Target, authority: Entry | undefined): void {
    const read: Compared = {
      ruleset,
      route,
      target,
      stamp: null,
      value: null,
      watch: (call, ms, meter) => {
        const { label } = this.#stores[otherSide(route.authority)];
        const answered = (follower: Entry | undefined): void => this.answered(read, follower);
        this.#sweep.watch(call, ms, label, answered, (error) => this.failed(error), meter);
      },
    };
    this.begin(read, authority);
  }

  /** Begins a comparison, unless sampling or the limit of those under way say no. Never throws, never waits. */
  begin(read: Compared, authority: Entry | undefined): void {
    const { settings } = read.ruleset;
    const { random, logger } = this.#session.fleet;
    if (this.#running >= settings.shadowConcurrency) return;
    if (settings.shadowSample < 1 && random() >= settings.shadowSample) return;
    try {
      // The caller may change what it got while the comparison goes on.
      read.value = authority === undefined ? null : cloneValue(authority.value);
      read.stamp = authority?.stamp ?? null;
    } catch (error) {
      // A codec can make what nobody can copy: the read itself has not failed.
      logger.error({ err: error }, 'a shadow read failed');
      return;
    }
    this.#running += 1;
    const side = otherSide(read.route.authority);
    try {
      const call = this.#stores[side].get(read.target.id, read.target.key);
      read.watch(call, settings.operationTimeoutMs, this.#session.traffic[side].read);
    } catch (error) {
      this.failed(error);
    }
  }

  /** The follower's answer; its difference counts only if it outlives the rechecks. */
  answered(read: Compared, follower: Entry | undefined): void {
    try {
      const difference = this.#difference(read.route.authority, read, follower);
      if (difference === null) {
        this.#session.countComparison(null);
        this.#running -= 1;
      } else {
        this.#recheck(read, difference).then(
          () => {
            this.#running -= 1;
          },
          (error: unknown) => this.failed(error),
        );
      }
    } catch (error) {
      this.failed(error);
    }
  }

  /** A comparison ends without an answer. */
  failed(error: unknown): void {
    this.#running -= 1;
    // A follower that cannot be read proves nothing; the mirror's health shows it. A closed one had its time.
    if (error instanceof StoreFault || error instanceof Closed) return;
    this.#session.fleet.logger.error({ err: error }, 'a shadow read failed');
  }

  async #recheck({ ruleset, route, target }: Compared, first: Difference): Promise<void> {
    const { id, key, unit } = target;
    const { clock } = this.#session.fleet;
    const { shadowRecheckMs, operationTimeoutMs } = ruleset.settings;
    const read = (side: Side): Promise<Entry | undefined> =>
      this.#sweep.bound(
        this.#stores[side].get(id, key),
        operationTimeoutMs,
        this.#stores[side].label,
        this.#session.traffic[side].read,
      );
    let difference = first;
    for (const pauseMs of shadowRecheckMs) {
      await new Promise<void>((resolve) => clock.after(pauseMs, resolve));
      // Authority moved meanwhile: what was the follower may be ahead now, so there is nothing to tell.
      if (this.#session.epoch.ruleset.route(unit).authority !== route.authority) return;
      const lead = await read(route.authority);
      const again = this.#difference(route.authority, lead, await read(otherSide(route.authority)));
      if (again === null) {
        this.#session.countComparison(null);
        return;
      }
      difference = again;
    }
    this.#session.countComparison({
      migration: this.#session.name,
      key: keyToJson(key),
      position: ruleset.position(unit),
      ...difference,
      at: clock.now(),
    });
  }

  #difference(authority: Side, lead: Version | undefined, follower: Version | undefined): Difference | null {
    const ours = lead?.value ?? null;
    const theirs = follower?.value ?? null;
    if (ours === null && theirs === null) return null;
    if (ours !== null && theirs !== null) {
      if ((lead?.unreadable ?? follower?.unreadable) !== undefined) {
        return { kind: 'different', cause: null, fields: [] };
      }
      const [left, right] = authority === 'old' ? [ours, theirs] : [theirs, ours];
      const fields = compareRecords(left, right, this.#rules);
      if (fields.length === 0) return null;
      const same = age(lead) === age(follower);
      return {
        kind: age(follower) < age(lead) ? 'stale' : 'different',
        cause: same ? 'lossy codec' : age(follower) < age(lead) ? 'lost mirror' : null,
        fields: fields.map(this.#show),
      };
    }
    return { kind: ours === null ? 'extra' : 'missing', cause: null, fields: [] };
  }
}
