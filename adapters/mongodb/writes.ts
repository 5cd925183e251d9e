import type { Document } from 'mongodb';
import { equalValues } from '../../src/core/canonical.ts';
import { StoreFault } from '../../src/core/errors.ts';
import type { Stamp } from '../../src/core/stamp.ts';
import type { CasOutcome, Entry, Expected, PutOutcome, Rejection } from '../../src/core/store.ts';
import type { RawDocument } from './bson-reader.ts';
import type { DocumentLayout, Held, NativeEntry } from './document-layout.ts';
import { faultOf, type Verdict } from './faults.ts';
import type { Expression, Guards } from './guards.ts';
import { constraint, isRejection } from './rejection.ts';
import type { Upkeep } from './upkeep.ts';
import type { Wire, WriteAnswer } from './wire.ts';

/** How often a write is tried whose guard was not met, though what is stored would meet it. */
const ROUNDS = 8;

const CONFLICT: CasOutcome = Object.freeze({ kind: 'conflict' });
const SAME: PutOutcome = Object.freeze({ kind: 'applied', previous: 'same' });
const EXPIRED: PutOutcome = Object.freeze({ kind: 'expired' });

type Version = Extract<Expected, { kind: 'version' }>;

/** The document of the key's `_id` belongs to another key. */
export const OTHER_KEY: Rejection = constraint(
  'the document of this _id belongs to a record with another key (its other key fields, or a number of another kind)',
);

/** Single writes: one command each; a compare-and-set that compares the value reads first. */
export class Writes {
  readonly #wire: Wire;
  readonly #layout: DocumentLayout;
  readonly #guards: Guards;
  readonly #upkeep: Upkeep;

  constructor(wire: Wire, layout: DocumentLayout, guards: Guards, upkeep: Upkeep) {
    this.#wire = wire;
    this.#layout = layout;
    this.#guards = guards;
    this.#upkeep = upkeep;
  }

  async putIfNewer(entry: Entry, deadline: number): Promise<PutOutcome> {
    const stamp = entry.stamp as Stamp;
    return this.#upsert(entry, [this.#guards.older(stamp)], deadline);
  }

  async putPlain(entry: Entry, deadline: number): Promise<PutOutcome> {
    if (entry.value !== null) return this.#upsert(entry, [], deadline);
    const native = this.#layout.encode(entry);
    if (isRejection(native)) return native;
    const answer = await this.#remove(native, this.#guards.ofKey(native.key), deadline);
    if (answer.kind !== 'done') return this.#failed('findAndModify', answer);
    const before = this.#held(answer.reply);
    return { kind: 'applied', previous: before === null || before.tombstone ? 'absent' : 'record' };
  }

  /** Replaces the document of the key if the terms hold, and makes it if there is none. */
  async #upsert(entry: Entry, terms: readonly Expression[], deadline: number): Promise<PutOutcome> {
    for (let round = 1; ; round += 1) {
      const { knowledge } = this.#upkeep;
      const native = this.#layout.encode(entry);
      if (isRejection(native)) return native;
      const { key, document } = native;
      const answer = await this.#modify(
        native,
        { upsert: true },
        (inTime) => this.#guards.replaceIf([inTime, ...this.#guards.ofKey(key), ...terms], document),
        deadline,
      );
      if (answer.kind === 'failed' && round < ROUNDS) {
        if (await this.#mayBecomeGood(entry, answer.verdict, knowledge)) continue;
      }
      if (answer.kind !== 'done') return this.#failed('findAndModify', answer);
      const before = this.#held(answer.reply);
      if (before === null) return { kind: 'applied', previous: 'absent' };
      if (before.id !== null && before.id !== entry.id) return OTHER_KEY;
      return outcomeOver(before, entry.stamp);
    }
  }

  async #mayBecomeGood(entry: Entry, verdict: Verdict, knowledge: number): Promise<boolean> {
    // Two upserts of one key at once: the other has inserted it.
    if (verdict.kind === 'duplicate-id') return true;
    return entry.value === null && this.#upkeep.mayAccept(verdict, knowledge);
  }

  async compareAndSet(entry: Entry, expected: Expected, deadline: number): Promise<CasOutcome> {
    const absent = expected.kind === 'absent' || (expected.stamp === null && expected.value === null);
    for (let round = 1; round <= ROUNDS; round += 1) {
      const native = this.#layout.encode(entry);
      if (isRejection(native)) return native;
      const outcome = absent
        ? await this.#create(entry, native, deadline)
        : await this.#replace(entry, native, expected as Version, deadline);
      if (outcome !== null) return outcome;
      await this.#wire.pause(round);
    }
    throw new StoreFault(`${this.#wire.label}: too many writers compare and set one record`, {
      outcome: 'nothing-written',
      pressure: true,
    });
  }

  /**
   * Asks for a tombstone; where there is none the server makes the document of the question's own fields, a
   * tombstone without a stamp, and hands that to the pipeline. A record makes that insert a duplicate.
   * Null: what was met is gone again, so that another try may succeed.
   */
  async #create(entry: Entry, native: NativeEntry, deadline: number): Promise<CasOutcome | null> {
    const { knowledge } = this.#upkeep;
    const { key, document } = native;
    const older = entry.stamp === null ? [] : [this.#guards.older(entry.stamp)];
    const plainDelete = entry.stamp === null && entry.value === null;
    const answer = plainDelete
      ? await this.#remove(native, [this.#guards.isTombstone(), ...this.#guards.ofKey(key)], deadline)
      : await this.#modify(
          native,
          { upsert: true, query: this.#guards.tombstoneQuery },
          (inTime) => this.#guards.replaceIf([inTime, this.#seedOr(native), ...older], document),
          deadline,
        );
    if (answer.kind === 'expired') return EXPIRED;
    if (answer.kind === 'failed' && answer.verdict.rejection === undefined && answer.verdict.kind !== 'duplicate-id') {
      return (await this.#mayBecomeGood(entry, answer.verdict, knowledge))
        ? null
        : this.#failed('findAndModify', answer);
    }
    const before = answer.kind === 'done' ? this.#held(answer.reply) : null;
    if (before !== null) return before.id !== entry.id ? OTHER_KEY : outcomeOver(before, entry.stamp);
    if (answer.kind === 'done' && !plainDelete) return { kind: 'applied', previous: 'absent' };
    const found = await this.#look(native);
    const standing = found === undefined ? null : this.#layout.held(this.#layout.reader.record(found));
    if (standing !== null && standing.id !== entry.id) return OTHER_KEY;
    if (standing !== null && entry.stamp !== null && standing.stamp === entry.stamp) return SAME;
    if (standing !== null && !standing.tombstone) return CONFLICT;
    // What was refused might have met a record that is gone again; what stands here now does not refuse it.
    if (answer.kind === 'failed' && answer.verdict.rejection !== undefined) {
      return (await this.#mayBecomeGood(entry, answer.verdict, knowledge)) ? null : answer.verdict.rejection;
    }
    return standing === null && plainDelete ? { kind: 'applied', previous: 'absent' } : null;
  }

  /** The key is this one, or the document is only the question itself. */
  #seedOr(native: NativeEntry): Expression {
    const seed = { $and: [this.#guards.unstamped(), this.#guards.isTombstone()] };
    return { $or: [seed, { $and: this.#guards.ofKey(native.key) }] };
  }

  async #replace(entry: Entry, native: NativeEntry, expected: Version, deadline: number): Promise<CasOutcome | null> {
    const { knowledge } = this.#upkeep;
    const { key, document } = native;
    const terms = [...this.#guards.ofKey(key)];
    terms.push(expected.stamp === null ? this.#guards.unstamped() : this.#guards.stampIs(expected.stamp));
    if (entry.stamp !== null) terms.push(this.#guards.older(entry.stamp));
    if (expected.value !== undefined) {
      const found = await this.#look(native);
      const judged = this.#judge(entry, expected, found);
      if (judged !== null || found === undefined) return judged ?? CONFLICT;
      terms.push(this.#guards.documentIs(this.#layout.reader.exact(found)));
    }
    const answer =
      entry.stamp === null && entry.value === null
        ? await this.#remove(native, terms, deadline)
        : await this.#modify(native, { terms }, () => this.#guards.replace(document), deadline);
    if (answer.kind === 'failed' && (await this.#mayBecomeGood(entry, answer.verdict, knowledge))) return null;
    if (answer.kind !== 'done') return this.#failed('findAndModify', answer);
    const before = this.#held(answer.reply);
    if (before !== null) return { kind: 'applied', previous: before.tombstone ? 'absent' : 'record' };
    return this.#judge(entry, expected, await this.#look(native));
  }

  /** Why a versioned write would be refused; null when what is stored is what was expected. */
  #judge(entry: Entry, expected: Version, raw: RawDocument | undefined): CasOutcome | null {
    if (raw === undefined) return CONFLICT;
    const found = this.#layout.decode(raw);
    if (found.id !== entry.id) return CONFLICT;
    if (entry.stamp !== null && found.stamp === entry.stamp) return SAME;
    if (found.stamp !== expected.stamp) return CONFLICT;
    if (expected.value !== undefined) {
      if (found.unreadable !== undefined || !equalValues(found.value, expected.value)) return CONFLICT;
    }
    if (found.stamp !== null && entry.stamp !== null && found.stamp > entry.stamp) {
      return { kind: 'superseded', stamp: found.stamp };
    }
    return null;
  }

  #look({ key }: NativeEntry): Promise<RawDocument | undefined> {
    return this.#wire.findOne({ _id: { $eq: key._id } });
  }

  #modify(
    { key, entry }: NativeEntry,
    how: { readonly upsert?: boolean; readonly query?: Document; readonly terms?: readonly Expression[] },
    pipeline: (inTime: Expression) => object[],
    deadline: number,
  ): Promise<WriteAnswer> {
    return this.#wire.write((latest) => {
      const inTime = this.#guards.inTime(latest);
      const guarded = how.terms === undefined ? {} : { $expr: { $and: [inTime, ...how.terms] } };
      return {
        findAndModify: this.#wire.collection.collectionName,
        query: { _id: { $eq: key._id }, ...how.query, ...guarded },
        update: pipeline(inTime),
        upsert: how.upsert ?? false,
        fields: this.#layout.stampFields,
        ...this.#upkeep.validation([entry]),
      };
    }, deadline);
  }

  /** Deletes the document of the key if the terms hold. */
  #remove({ key }: NativeEntry, terms: readonly Expression[], deadline: number): Promise<WriteAnswer> {
    return this.#wire.write(
      (latest) => ({
        findAndModify: this.#wire.collection.collectionName,
        query: { _id: { $eq: key._id }, $expr: { $and: [this.#guards.inTime(latest), ...terms] } },
        remove: true,
        fields: this.#layout.stampFields,
      }),
      deadline,
    );
  }

  #held(reply: Document): Held | null {
    const before = reply['value'] as Document | null | undefined;
    return before === null || before === undefined ? null : this.#layout.held(this.#layout.reader.revived(before));
  }

  #failed(operation: string, answer: Exclude<WriteAnswer, { kind: 'done' }>): PutOutcome {
    if (answer.kind === 'expired') return EXPIRED;
    if (answer.verdict.rejection !== undefined) return answer.verdict.rejection;
    throw faultOf(this.#wire.label, operation, answer.verdict);
  }
}

/** What became of a guarded replacement of a document of the right key. */
export function outcomeOver(before: Held, stamp: Stamp | null): PutOutcome {
  if (stamp !== null && before.stamp === stamp) return SAME;
  if (stamp !== null && before.stamp !== null && before.stamp > stamp)
    return { kind: 'superseded', stamp: before.stamp };
  return { kind: 'applied', previous: before.tombstone ? 'absent' : 'record' };
}
