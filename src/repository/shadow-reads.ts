import { type CompareRules, compareRecords, type FieldDifference } from '../../verify/compare.ts';
import type { DivergenceReport } from '../core/control-client.ts';
import { Closed, StoreFault } from '../core/errors.ts';
import { keyToJson } from '../core/key-json.ts';
import type { Route, Ruleset } from '../core/ruleset.ts';
import { otherSide, type Side } from '../core/stage.ts';
import { STAMP_MIN, type Stamp } from '../core/stamp.ts';
import type { Entry, Store } from '../core/store.ts';
import { cloneValue, type Key } from '../core/value.ts';
import type { DeadlineSweep } from './deadline-sweep.ts';
import type { MigrationSession } from './migration-session.ts';

/** The stamps that matter for a comparison: a record without one is as old as can be. */
const age = (entry: Entry | undefined): Stamp => entry?.stamp ?? STAMP_MIN;

/** How a difference is written into reports: masked, or as it is where the configuration says so. Plain JSON. */
export type ShowField = (field: FieldDifference) => {
  readonly path: string;
  readonly old: unknown;
  readonly new: unknown;
};

type Difference = Pick<DivergenceReport, 'kind' | 'cause' | 'fields'>;

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

  /** Begins a comparison, unless sampling or the limit of those under way say no. Never throws, never waits. */
  begin(ruleset: Ruleset, route: Route, unit: string, id: string, key: Key, authority: Entry | undefined): void {
    const { settings } = ruleset;
    const { random, logger } = this.#session.fleet;
    if (this.#running >= settings.shadowConcurrency) return;
    if (settings.shadowSample < 1 && random() >= settings.shadowSample) return;
    let first: Entry | undefined;
    try {
      // The caller may change what it got while the comparison goes on.
      first = authority === undefined ? undefined : { ...authority, value: cloneValue(authority.value) };
    } catch (error) {
      // A codec can make what nobody can copy: the read itself has not failed.
      logger.error({ err: error }, 'a shadow read failed');
      return;
    }
    this.#running += 1;
    void this.#compare(ruleset, route, unit, id, key, first);
  }

  /** Never rejects. */
  async #compare(
    ruleset: Ruleset,
    route: Route,
    unit: string,
    id: string,
    key: Key,
    first: Entry | undefined,
  ): Promise<void> {
    try {
      await this.#compareUntilSure(ruleset, route, unit, id, key, first);
    } catch (error) {
      // A follower that cannot be read proves nothing; the mirror's health shows it. A closed one had its time.
      if (!(error instanceof StoreFault || error instanceof Closed)) {
        this.#session.fleet.logger.error({ err: error }, 'a shadow read failed');
      }
    } finally {
      this.#running -= 1;
    }
  }

  async #compareUntilSure(
    ruleset: Ruleset,
    route: Route,
    unit: string,
    id: string,
    key: Key,
    first: Entry | undefined,
  ): Promise<void> {
    const { clock } = this.#session.fleet;
    const { shadowRecheckMs, operationTimeoutMs } = ruleset.settings;
    const read = (side: Side): Promise<Entry | undefined> =>
      this.#sweep.bound(
        this.#stores[side].get(id, key),
        operationTimeoutMs,
        this.#stores[side].label,
        this.#session.traffic[side].read,
      );
    let lead = first;
    for (let round = 0; ; round += 1) {
      const follower = await read(otherSide(route.authority));
      const difference = this.#difference(route.authority, lead, follower);
      if (difference === null) {
        this.#session.countComparison(null);
        return;
      }
      const pauseMs = shadowRecheckMs[round];
      if (pauseMs === undefined) {
        const position = ruleset.position(unit);
        const { name } = this.#session;
        this.#session.countComparison({
          migration: name,
          key: keyToJson(key),
          position,
          ...difference,
          at: clock.now(),
        });
        return;
      }
      await new Promise<void>((resolve) => clock.after(pauseMs, resolve));
      // Authority moved meanwhile: what was the follower may be ahead now, so there is nothing to tell.
      if (this.#session.epoch.ruleset.route(unit).authority !== route.authority) return;
      lead = await read(route.authority);
    }
  }

  #difference(authority: Side, lead: Entry | undefined, follower: Entry | undefined): Difference | null {
    const ours = lead?.value ?? null;
    const theirs = follower?.value ?? null;
    if (ours === null && theirs === null) return null;
    if (ours !== null && theirs !== null) {
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
