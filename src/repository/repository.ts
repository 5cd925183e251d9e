import { AlreadyExists, InvalidRecord, StoreRejected, VersionConflict } from '../core/errors.ts';
import type { KeySpec, Target } from '../core/record-key.ts';
import type { Route, Ruleset } from '../core/ruleset.ts';
import { otherSide, type Side } from '../core/stage.ts';
import { type Entry, type Expected, type PutOutcome, type Rejection, readable, type Store } from '../core/store.ts';
import { cloneValue, type Key, type StoredRecord } from '../core/value.ts';
import type { DeadlineSweep } from './deadline-sweep.ts';
import { LeadRead, type LeadReads, unavailable } from './lead-read.ts';
import { type Asked, type LeadAnswer, LeadWrite, type LeadWrites } from './lead-write.ts';
import type { MigrationSession } from './migration-session.ts';
import type { Mirror } from './mirror.ts';
import { type Listing, listRecords, type QueryDefinition, queryRecords } from './paging.ts';
import { RecentTime } from './recent-time.ts';
import { type StandardSchema, validateRecord } from './schema.ts';
import type { ShadowReads } from './shadow-reads.ts';
import { expectedOf, parseVersion, type Versioned, versionOf } from './versions.ts';

/** What became of one of several keys. */
export type PutManyOutcome =
  | { readonly key: Key; readonly ok: true }
  | { readonly key: Key; readonly ok: false; readonly error: unknown };

export interface RepositoryParts {
  readonly session: MigrationSession;
  readonly keys: KeySpec;
  readonly stores: Readonly<Record<Side, Store>>;
  readonly sweep: DeadlineSweep;
  readonly mirror: Mirror;
  readonly shadow: ShadowReads;
  readonly schema: StandardSchema | null;
  readonly queries: Readonly<Record<string, QueryDefinition>>;
}

/** An `update` that loses this many races in a row gives up. */
const MOST_RACES = 100;
const PUT_MANY_IN_FLIGHT = 64;
const PUT: Asked = Object.freeze({ expected: null, superseded: 'again', told: false });
const DELETE: Asked = Object.freeze({ expected: null, superseded: 'again', told: true });
const CREATE: Asked = Object.freeze({ expected: Object.freeze({ kind: 'absent' }), superseded: 'again', told: true });

const recordOf = (entry: Entry): unknown => entry.value;
const versionedOf = (entry: Entry): unknown => ({ record: entry.value, version: versionOf(entry) });

type Applied = Extract<PutOutcome, { readonly kind: 'applied' }>;

/**
 * A team's data access: the records of one migration, wherever their unit stands. All calls route by the ruleset in
 * memory and do no I/O but on the stores.
 *
 * Errors that any write may throw: {@link InvalidRecord}, StoreRejected, StoreUnavailable and DeadlineExceeded (nothing
 * was written), HandoverInProgress and NotRegistered (the same, try again), OutcomeUnknown (read before you write).
 *
 * @example
 * const events = changeover.repository('events');
 * await events.create({ userKey: 'ada', id: '7', n: 1 });
 * await events.update({ userKey: 'ada', id: '7' }, (e) => e && { ...e, n: e.n + 1 });
 */
export class Repository<R extends object = StoredRecord> {
  readonly #parts: RepositoryParts;
  readonly #session: MigrationSession;
  readonly #keys: KeySpec;
  readonly #reads: LeadReads;
  readonly #writes: LeadWrites;
  /** Whether anybody wants to hear where each operation goes; asked once a step of the sweep. */
  #heard = false;
  #heardAt = Number.NaN;

  constructor(parts: RepositoryParts) {
    const { session, keys, stores, sweep, shadow } = parts;
    this.#parts = parts;
    this.#session = session;
    this.#keys = keys;
    this.#reads = { latest: null, session, stores, sweep, shadow };
    this.#writes = {
      latest: null,
      session,
      stores,
      times: { old: new RecentTime(stores.old, sweep), new: new RecentTime(stores.new, sweep) },
      sweep,
      concluded: (write, answer) => this.#concluded(write, answer),
      appliedLate: (write) => void this.#afterApplied(write),
      mirror: parts.mirror,
    };
  }

  /** Writes a record that must not exist. @throws AlreadyExists when the key is taken. */
  async create(record: R): Promise<void> {
    const value = this.#snapshot(record);
    const answer = await this.#write(this.#target(value), value, CREATE);
    if (answer === 'conflict') throw new AlreadyExists(`a record is stored under this key of ${this.#session.name}`);
  }

  /** Writes a record whether or not one is there. */
  put(record: R): Promise<void> {
    return new Promise((resolve, reject) => {
      const value = this.#snapshot(record);
      this.#send(this.#target(value), value, PUT, 0, resolve, reject);
    });
  }

  /**
   * The record, or undefined; with `version: true` also the version that `replace` takes.
   * @throws InvalidRecord, StoreUnavailable, HandoverInProgress (during an emergency)
   */
  get(key: object): Promise<R | undefined>;
  get(key: object, options: { readonly version: true }): Promise<Versioned<R> | undefined>;
  get(key: object, options?: { readonly version?: boolean }): Promise<R | Versioned<R> | undefined> {
    return new Promise((resolve, reject) => {
      const target = this.#target(key);
      const shape = options?.version === true ? versionedOf : recordOf;
      const { unit } = target;
      const route = this.#session.epoch.ruleset.route(unit);
      const held = this.#session.admit(unit, false, route);
      if (held === undefined) this.#read(route, target, shape, resolve, reject);
      else this.#readAfter(held, target, shape, resolve, reject);
    });
  }

  /** Overwrites exactly the version that was read. @throws VersionConflict when another one is stored, or none. */
  async replace(key: object, record: R, options: { readonly ifVersion: string }): Promise<void> {
    const target = this.#target(key);
    const value = this.#snapshotFor(target, record);
    const { ifVersion } = options ?? {};
    const conflict = (): VersionConflict =>
      new VersionConflict(`the record of ${this.#session.name} is no longer at this version`, {
        remedy: 'get it again with { version: true }',
      });
    const stamp = parseVersion(ifVersion);
    let read: Entry | undefined;
    const answer = await this.#change(
      target,
      async (route) => {
        read = undefined;
        if (stamp === null || route.stamping !== 'on') read = await this.#readLead(route, target);
      },
      (route) => {
        if (stamp !== null && route.stamping === 'on') return { value, expected: { kind: 'version', stamp } };
        if (read?.value == null || versionOf(read) !== ifVersion) throw conflict();
        return { value, expected: expectedOf(read, route) };
      },
    );
    if (answer === 'conflict') throw conflict();
  }

  /**
   * Reads, changes and writes back, again if another write came between. `change` is synchronous and pure and may run
   * several times: undefined in means absent, undefined out leaves everything as it is.
   * @returns what is stored afterwards
   * @throws InvalidRecord when `change` returns a promise or another key; VersionConflict after very many lost races
   */
  async update(key: object, change: (record: R | undefined) => R | undefined): Promise<R | undefined> {
    const target = this.#target(key);
    for (let race = 0; race < MOST_RACES; race += 1) {
      let entry: Entry | undefined;
      let value: StoredRecord | null = null;
      let left: { readonly record: R | undefined } | null = null;
      const answer = await this.#change(
        target,
        async (route) => {
          entry = await this.#readLead(route, target);
          // A compare-and-set needs a larger stamp: a slow clock would find out only by being refused.
          if (entry?.stamp != null) this.#session.membership.stamps.observe(entry.stamp);
          const current = entry?.value == null ? undefined : (cloneValue(entry.value) as R);
          const next: unknown = change(current);
          if (next === undefined) {
            left = { record: entry?.value == null ? undefined : (entry.value as R) };
          } else {
            left = null;
            value = this.#snapshotFor(target, next as R);
          }
        },
        (route) => (left !== null ? null : { value, expected: expectedOf(entry, route) }),
      );
      if (answer === 'left') return (left as { readonly record: R | undefined } | null)?.record;
      if (answer !== 'conflict') return value === null ? undefined : (cloneValue(value) as R);
      await this.#pause(race);
    }
    throw new VersionConflict(`the record was changed by others ${MOST_RACES} times in a row`, {
      remedy: 'spread the writes over more records',
    });
  }

  /** Deletes; true if a record was there (also after an answer was lost on its way). */
  async delete(key: object): Promise<boolean> {
    const answer = await this.#write(this.#target(key), null, DELETE);
    return typeof answer === 'object' && answer.previous !== 'absent';
  }

  /** The records of several keys, in their order; undefined where there is none. Not one moment's picture. */
  async getMany(keys: readonly object[]): Promise<(R | undefined)[]> {
    const targets = keys.map((key) => this.#target(key));
    await Promise.all(targets.map(({ unit }) => this.#session.admit(unit, false)));
    const epoch = this.#session.enterRead();
    try {
      const groups: Record<Side, number[]> = { old: [], new: [] };
      targets.forEach(({ unit }, i) => {
        groups[epoch.ruleset.route(unit).authority].push(i);
      });
      const result = new Array<R | undefined>(keys.length).fill(undefined);
      await Promise.all(
        (['old', 'new'] as const).map(async (side) => {
          const indexes = groups[side];
          if (indexes.length === 0) return;
          const store = this.#parts.stores[side];
          const refs = indexes.map((i) => targets[i] as Target);
          const entries = await this.#bounded(store.getMany(refs), side, epoch.ruleset);
          entries.forEach((entry, n) => {
            readable(entry);
            const i = indexes[n] as number;
            const target = targets[i] as Target;
            const route = epoch.ruleset.route(target.unit);
            if (route.compare) this.#parts.shadow.beginOf(epoch.ruleset, route, target, entry);
            result[i] = (entry?.value ?? undefined) as R | undefined;
          });
        }),
      );
      return result;
    } finally {
      this.#session.leaveRead(epoch);
    }
  }

  /** `put` for each record, never atomic together: an outcome for each key, in their order. Never throws for one. */
  async putMany(records: readonly R[]): Promise<PutManyOutcome[]> {
    const outcomes = new Array<PutManyOutcome>(records.length);
    let next = 0;
    const lane = async (): Promise<void> => {
      for (let i = next++; i < records.length; i = next++) {
        const record = records[i] as R;
        let key: Key = {};
        try {
          key = this.#keys.keyOf(record);
          await this.put(record);
          outcomes[i] = { key, ok: true };
        } catch (error) {
          outcomes[i] = { key, ok: false, error };
        }
      }
    };
    await Promise.all(Array.from({ length: Math.min(PUT_MANY_IN_FLIGHT, records.length) }, lane));
    return outcomes;
  }

  /** The records of one unit in key order. Iterate records, or `.pages()` for cursors that go on later or elsewhere. */
  list(unit: unknown, options: { readonly cursor?: string; readonly pageSize?: number } = {}): Listing<R> {
    return listRecords<R>(this.#parts, this.#keys.unitKeyOf(unit), options);
  }

  /** The records of a query that the configuration names, tombstones hidden. */
  query(
    name: string,
    args?: unknown,
    options: { readonly cursor?: string; readonly pageSize?: number } = {},
  ): Listing<R> {
    return queryRecords<R>(this.#parts, name, args, options);
  }

  /** Where operations on a unit go now, and why. */
  route(unit: unknown): Route & { readonly position: number; readonly revision: number } {
    const text = this.#keys.unit(this.#keys.unitKeyOf(unit));
    const { ruleset } = this.#session.epoch;
    return { ...ruleset.route(text), position: ruleset.position(text), revision: ruleset.revision };
  }

  /**
   * Gives the record under a key a fresh stamp on the authority, so that its mirror replaces whatever the follower
   * holds; where the authority has none, a tombstone does the same (R14: how a divergence is repaired).
   */
  async restamp(key: Key): Promise<void> {
    const present = await this.update(key, (record) => record);
    if (present !== undefined) return;
    // Only where there still is none: whoever created it meanwhile has been told so, and mirrors it.
    await this.#write(this.#target(key), null, CREATE);
  }

  #target(source: object): Target {
    return this.#keys.target(source);
  }

  #snapshot(record: R): StoredRecord {
    return cloneValue(validateRecord(this.#parts.schema, record)) as unknown as StoredRecord;
  }

  #snapshotFor(target: Target, record: R): StoredRecord {
    if (typeof (record as { then?: unknown } | null)?.then === 'function') {
      // Nobody waits for it; its failure must not end the process.
      Promise.resolve(record).catch(() => {});
      throw new InvalidRecord('the change of an update returned a promise', {
        expected: 'a synchronous function that returns a record or undefined',
      });
    }
    const value = this.#snapshot(record);
    if (this.#keys.id(this.#keys.keyOf(value)) !== target.id) {
      throw new InvalidRecord('the record has another key than the one it is written under', {
        expected: `the same ${this.#keys.fields.join(', ')}`,
      });
    }
    return value;
  }

  // Apart, as what waits in a handover makes a function: its variables would be made for every call.
  #readAfter(
    held: Promise<void>,
    target: Target,
    shape: (entry: Entry) => unknown,
    resolve: (answer: never) => void,
    reject: (error: unknown) => void,
  ): void {
    const released = (): void =>
      this.#read(this.#session.epoch.ruleset.route(target.unit), target, shape, resolve, reject);
    held.then(released).catch(reject);
  }

  #read(
    route: Route,
    target: Target,
    shape: (entry: Entry) => unknown,
    resolve: (answer: never) => void,
    reject: (error: unknown) => void,
  ): void {
    this.#tell('read', route, target.unit);
    new LeadRead(this.#reads, route, target, shape, resolve, reject).send();
  }

  /** Where an operation went and why, for whoever asks "why did this read go to Mongo?". */
  #tell(operation: 'read' | 'write', route: Route, unit: string): void {
    const { logger } = this.#session.fleet;
    const step = this.#parts.sweep.recent();
    if (step !== this.#heardAt) {
      this.#heardAt = step;
      this.#heard = logger.isLevelEnabled('debug');
    }
    if (!this.#heard) return;
    const { ruleset } = this.#session.epoch;
    const { stage, authority, mirror, compare, reason } = route;
    const where = { stage, authority, mirror, compare, reason, position: ruleset.position(unit) };
    logger.debug({ migration: this.#session.name, operation, ...where, revision: ruleset.revision }, 'routed');
  }

  async #readLead(route: Route, target: Target): Promise<Entry | undefined> {
    const { authority } = route;
    const call = this.#parts.stores[authority].get(target.id, target.key);
    return readable(await this.#bounded(call, authority, this.#session.epoch.ruleset));
  }

  async #bounded<T>(call: Promise<T>, side: Side, ruleset: Ruleset): Promise<T> {
    const store = this.#parts.stores[side];
    const meter = this.#session.traffic[side].read;
    try {
      return await this.#parts.sweep.bound(call, ruleset.settings.operationTimeoutMs, store.label, meter);
    } catch (error) {
      throw unavailable(store, error);
    }
  }

  /** Runs a write that depends on nothing that was read to its end (R3, R4, R6). */
  #write(target: Target, value: StoredRecord | null, asked: Asked): Promise<Applied | 'conflict'> {
    return new Promise((resolve, reject) => this.#send(target, value, asked, 0, resolve, reject));
  }

  /** The same for a promise that is there already. */
  #send(
    target: Target,
    value: StoredRecord | null,
    asked: Asked,
    round: number,
    resolve: (answer: never) => void,
    reject: (error: unknown) => void,
  ): void {
    const session = this.#session;
    try {
      const route = session.epoch.ruleset.route(target.unit);
      const held = session.admit(target.unit, true, route);
      if (held === undefined) this.#begin(target, route, value, asked, round, resolve, reject);
      else this.#sendAfter(held, target, value, asked, round, resolve, reject);
    } catch (error) {
      this.#refuse(error, reject);
    }
  }

  #sendAfter(
    held: Promise<void>,
    target: Target,
    value: StoredRecord | null,
    asked: Asked,
    round: number,
    resolve: (answer: never) => void,
    reject: (error: unknown) => void,
  ): void {
    const again = (): void => this.#send(target, value, asked, round, resolve, reject);
    held.then(again, (error: unknown) => this.#refuse(error, reject));
  }

  /**
   * Runs a write that depends on what `read` reads, under a ruleset that must still be in force when the write is sent
   * (R6); `plan` then says what to write, or null to write nothing.
   */
  async #change(
    target: Target,
    read: (route: Route) => Promise<void>,
    plan: (route: Route) => { readonly value: StoredRecord | null; readonly expected: Expected } | null,
  ): Promise<Applied | 'conflict' | 'left'> {
    const session = this.#session;
    for (let round = 0; ; ) {
      let sent: Promise<Applied | 'conflict' | 'again'>;
      try {
        // Reads go on under a fenced hold; only an emergency stops them.
        const heldRead = session.admit(target.unit, false);
        if (heldRead !== undefined) await heldRead;
        const { revision, ruleset } = session.epoch;
        await read(ruleset.route(target.unit));
        const heldWrite = session.admit(target.unit, true);
        if (heldWrite !== undefined) await heldWrite;
        // What was read under an earlier ruleset is read again before anything is sent.
        if (session.epoch.revision !== revision) continue;
        const route = session.epoch.ruleset.route(target.unit);
        const planned = plan(route);
        if (planned === null) return 'left';
        const asked: Asked = { expected: planned.expected, superseded: 'told', told: true };
        sent = new Promise((resolve, reject) =>
          this.#begin(target, route, planned.value, asked, round, resolve, reject),
        );
      } catch (error) {
        session.fleet.countOperation(true);
        throw error;
      }
      const answer = await sent;
      if (answer !== 'again') return answer;
      round += 1;
    }
  }

  /** Enters a write in flight, under the ruleset in force that `route` is of, and sends it. */
  #begin(
    target: Target,
    route: Route,
    value: StoredRecord | null,
    asked: Asked,
    round: number,
    resolve: (answer: never) => void,
    reject: (error: unknown) => void,
  ): void {
    const session = this.#session;
    try {
      const { membership } = session;
      this.#tell('write', route, target.unit);
      const stamp = route.stamping === 'off' ? null : session.nextStamp(membership);
      const entry: Entry = { id: target.id, key: target.key, stamp, value };
      this.#refuseFollowerLimits(route, entry);
      new LeadWrite(this.#writes, membership, route, target.unit, entry, asked, round, resolve, reject).send();
    } catch (error) {
      this.#refuse(error, reject);
    }
  }

  /** A write ends before anything is sent. */
  #refuse(error: unknown, reject: (error: unknown) => void): void {
    this.#session.fleet.countOperation(true);
    reject(error);
  }

  /** What the caller of a write hears of its answer. @throws StoreRejected, VersionConflict */
  #concluded(write: LeadWrite, answer: LeadAnswer): unknown {
    const session = this.#session;
    const { asked, round } = write;
    if (answer.kind === 'applied') {
      session.fleet.countOperation(false);
      const mirrored = this.#afterApplied(write);
      const told = asked.told ? answer : undefined;
      return mirrored === undefined ? told : mirrored.then(() => told);
    }
    if (answer.kind === 'rejected') throw rejected(session.name, 'the authority', answer);
    if (answer.kind === 'conflict') return 'conflict';
    // Superseded: definitely without effect, so a larger stamp is a new write (R3).
    session.membership.stamps.observe(answer.stamp);
    if (round >= MOST_RACES) {
      throw new VersionConflict(`the record was overwritten by others ${MOST_RACES} times in a row`);
    }
    if (asked.superseded === 'told') return 'again';
    const { id, key, value } = write.entry;
    const target = { id, key, unit: write.unit };
    return new Promise((resolve, reject) => this.#send(target, value, asked, round + 1, resolve, reject));
  }

  /** The promise to wait for, where the caller waits for the mirror. */
  #afterApplied(write: LeadWrite): Promise<void> | undefined {
    if (!write.route.mirror) {
      write.end();
      return undefined;
    }
    const { settings } = write.epoch.ruleset;
    const policy = write.follower === 'new' ? settings.mirrorToNew : settings.mirrorToOld;
    if (policy === 'wait') return new Promise((resolve) => this.#parts.mirror.submit(write, resolve));
    this.#parts.mirror.submit(write, undefined);
    return undefined;
  }

  #refuseFollowerLimits(route: Route, entry: Entry): void {
    if (!route.mirror || this.#session.epoch.ruleset.settings.followerLimits !== 'refuse') return;
    const refusal = this.#parts.stores[otherSide(route.authority)].check(entry);
    // A delete of what the follower cannot hold, and so does not, hurts nobody.
    if (refusal !== null && entry.value !== null) throw rejected(this.#session.name, 'the follower', refusal);
  }

  #pause(race: number): Promise<void> {
    const { clock, random } = this.#session.fleet;
    const ms = Math.min(2 ** race, 64) * random();
    return ms < 1 ? Promise.resolve() : new Promise((resolve) => clock.after(ms, resolve));
  }
}

function rejected(migration: string, who: string, rejection: Rejection): StoreRejected {
  return new StoreRejected(`${who} of ${migration} does not take the record: ${rejection.message}`, {
    details: { reason: rejection.reason },
  });
}
