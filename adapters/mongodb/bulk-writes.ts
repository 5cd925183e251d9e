import type { Document } from 'mongodb';
import { StoreFault } from '../../src/core/errors.ts';
import type { Stamp } from '../../src/core/stamp.ts';
import type { Entry, PutFault, PutOutcome } from '../../src/core/store.ts';
import type { DocumentLayout, Held, NativeEntry } from './document-layout.ts';
import { classify, faultOf } from './faults.ts';
import type { Guards } from './guards.ts';
import { isRejection } from './rejection.ts';
import type { Upkeep } from './upkeep.ts';
import { pooled, type Wire } from './wire.ts';
import type { Writes } from './writes.ts';

/** A command takes 16 MB and its own words; documents go into it twice at the most. */
const CHUNK_BYTES = 6 * 1024 * 1024;
const CHUNK_ENTRIES = 2_000;
/** So few are sent one by one, which says most about each. */
const FEW = 3;

type Outcome = PutOutcome | PutFault;

interface Part {
  readonly i: number;
  readonly entry: Entry;
  readonly native: NativeEntry;
}

/** What is stored, by the id of the key. */
type Stamps = ReadonlyMap<string, Held>;

const asFault = ({ message, outcome, pressure }: StoreFault): PutFault => ({
  kind: 'fault',
  outcome,
  message,
  pressure,
});

/**
 * Batches. All are first inserted, which is about twice as fast as guarded upserts; only where the server says that
 * some exist (or are refused) their stamps are read, and those that are older are replaced under guard.
 */
export class BulkWrites {
  readonly #wire: Wire;
  readonly #layout: DocumentLayout;
  readonly #guards: Guards;
  readonly #upkeep: Upkeep;
  readonly #writes: Writes;
  /** Before 6.0 the server has no documents stage; then everything is put under guard. */
  #inserts = true;

  constructor(wire: Wire, layout: DocumentLayout, guards: Guards, upkeep: Upkeep, writes: Writes) {
    this.#wire = wire;
    this.#layout = layout;
    this.#guards = guards;
    this.#upkeep = upkeep;
    this.#writes = writes;
  }

  async putManyIfNewer(entries: readonly Entry[], deadline: number): Promise<Outcome[]> {
    const outcomes: Outcome[] = new Array(entries.length);
    const parts: Part[] = [];
    for (let i = 0; i < entries.length; i += 1) this.#encode(entries[i] as Entry, i, parts, outcomes);
    if (parts.length === entries.length && areInOrder(parts)) await this.#put(parts, outcomes, deadline);
    else await this.#putNewest(entries, parts, outcomes, deadline);
    return outcomes;
  }

  #encode(entry: Entry, i: number, parts: Part[], outcomes: Outcome[]): void {
    const native = this.#layout.encode(entry);
    if (isRejection(native)) outcomes[i] = native;
    else parts.push({ i, entry, native });
  }

  async #put(parts: readonly Part[], outcomes: Outcome[], deadline: number): Promise<void> {
    const width = Math.max(1, Math.floor(this.#wire.maxInFlight / 4));
    await pooled(chunksOf(parts), width, (chunk) => this.#chunk(chunk, outcomes, deadline));
  }

  /** Where a key may occur more than once: of each the newest entry, and what that means for the others. */
  async #putNewest(
    entries: readonly Entry[],
    parts: readonly Part[],
    outcomes: Outcome[],
    deadline: number,
  ): Promise<void> {
    const winners = new Map<string, number>();
    entries.forEach((entry, i) => {
      const best = winners.get(entry.id);
      if (best === undefined || (entry.stamp as Stamp) > (entries[best]?.stamp as Stamp)) winners.set(entry.id, i);
    });
    await this.#put(
      parts.filter(({ i, entry }) => winners.get(entry.id) === i),
      outcomes,
      deadline,
    );
    if (winners.size === entries.length) return;
    for (const [i, entry] of entries.entries()) {
      const winner = winners.get(entry.id) as number;
      if (winner !== i)
        outcomes[i] = await this.#loser(entry, entries[winner] as Entry, outcomes[winner] as Outcome, deadline);
    }
  }

  /** What became of an entry of which the batch held a newer one, or the same again. */
  async #loser(entry: Entry, winner: Entry, outcome: Outcome, deadline: number): Promise<Outcome> {
    if (outcome.kind === 'applied') {
      if (entry.stamp === winner.stamp) return { kind: 'applied', previous: 'same' };
      return { kind: 'superseded', stamp: winner.stamp as Stamp };
    }
    // A newer entry that the store rejects supersedes nothing.
    return outcome.kind === 'rejected' && entry.stamp !== winner.stamp ? this.#single(entry, deadline) : outcome;
  }

  async #single(entry: Entry, deadline: number): Promise<Outcome> {
    try {
      return await this.#writes.putIfNewer(entry, deadline);
    } catch (error) {
      if (!(error instanceof StoreFault)) throw error;
      return asFault(error);
    }
  }

  async #chunk(chunk: readonly Part[], outcomes: Outcome[], deadline: number): Promise<void> {
    try {
      let left: readonly Part[] = chunk;
      let stamps: Stamps | null = null;
      if (left.length > FEW && this.#inserts) {
        stamps = await this.#insert(left, outcomes, deadline);
        left = open(left, outcomes);
      }
      if (left.length > FEW) {
        await this.#replace(left, outcomes, stamps ?? (await this.#stamps(left)), deadline);
        left = open(left, outcomes);
      }
      await pooled(left, this.#wire.maxInFlight, async ({ i, entry }) => {
        outcomes[i] = await this.#single(entry, deadline);
      });
    } catch (error) {
      if (!(error instanceof StoreFault)) throw error;
      for (const { i } of chunk) outcomes[i] ??= asFault(error);
    }
  }

  /**
   * Inserts the whole chunk in one command that fails at the first duplicate, and as a whole when it comes too late: an
   * insert command has no condition, a merge of given documents has. They are given as a variable, because the server
   * copies what stands in a stage several times over. Where it failed, returns what is stored.
   */
  async #insert(chunk: readonly Part[], outcomes: Outcome[], deadline: number): Promise<Stamps | null> {
    const documents = chunk.map(({ native }) => native.document);
    const answer = await this.#wire.write(
      (latest) => ({
        aggregate: 1,
        pipeline: [
          { $documents: [{}] },
          { $match: { $expr: this.#guards.inTime(latest) } },
          { $project: { given: '$$given' } },
          { $unwind: '$given' },
          { $replaceRoot: { newRoot: '$given' } },
          {
            $merge: {
              into: this.#wire.collection.collectionName,
              on: '_id',
              whenMatched: 'fail',
              whenNotMatched: 'insert',
            },
          },
        ],
        let: { given: { $literal: documents } },
        cursor: {},
        ...this.#upkeep.validation(chunk.map(({ entry }) => entry)),
      }),
      deadline,
    );
    if (answer.kind !== 'failed') {
      for (const { i } of chunk) {
        outcomes[i] = answer.kind === 'done' ? { kind: 'applied', previous: 'absent' } : { kind: 'expired' };
      }
      return null;
    }
    const { verdict } = answer;
    if (verdict.kind === 'fault') throw faultOf(this.#wire.label, 'aggregate', verdict);
    if (verdict.kind === 'unable' && verdict.outcome === 'nothing-written') this.#inserts = false;
    const stamps = await this.#stamps(chunk);
    settle(chunk, outcomes, stamps, null);
    return stamps;
  }

  /** Puts each under its own guard, all in one command; `before` is what was stored. */
  async #replace(chunk: readonly Part[], outcomes: Outcome[], before: Stamps, deadline: number): Promise<void> {
    const answer = await this.#wire.write(
      (latest) => ({
        update: this.#wire.collection.collectionName,
        ordered: false,
        updates: chunk.map(({ entry, native: { key, document } }) => ({
          q: { _id: { $eq: key._id } },
          u: this.#guards.replaceIf(
            [this.#guards.inTime(latest), ...this.#guards.ofKey(key), this.#guards.older(entry.stamp as Stamp)],
            document,
          ),
          upsert: true,
        })),
        ...this.#upkeep.validation(chunk.map(({ entry }) => entry)),
      }),
      deadline,
    );
    if (answer.kind === 'expired') {
      for (const { i } of chunk) outcomes[i] = { kind: 'expired' };
    } else if (answer.kind === 'done') {
      const failed = this.#writeErrors(chunk, outcomes, answer.reply);
      const done = chunk.filter((part) => !failed.has(part));
      settle(done, outcomes, await this.#stamps(done), before);
    } else if (answer.verdict.kind === 'fault') {
      throw faultOf(this.#wire.label, 'update', answer.verdict);
    }
  }

  /** Gives what failed for good its outcome; returns all that failed. */
  #writeErrors(chunk: readonly Part[], outcomes: Outcome[], reply: Document): ReadonlySet<Part> {
    const failed = new Set<Part>();
    for (const error of (reply['writeErrors'] ?? []) as readonly Document[]) {
      const part = chunk[Number(error['index'])];
      if (part === undefined) continue;
      failed.add(part);
      const verdict = classify(error);
      if (verdict.kind === 'expired') outcomes[part.i] = { kind: 'expired' };
      // The others, a tombstone that an unknown index refuses among them, are put once more by themselves.
      else if (verdict.rejection !== undefined && part.entry.value !== null) outcomes[part.i] = verdict.rejection;
    }
    return failed;
  }

  /** What is stored under the keys of a chunk, by the id of its key. */
  async #stamps(chunk: readonly Part[]): Promise<Stamps> {
    const found = await this.#wire.find(
      { _id: { $in: chunk.map(({ native }) => native.key._id) } },
      { projection: this.#layout.stampFields, batchSize: chunk.length + 1 },
    );
    const stamps = new Map<string, Held>();
    for (const raw of found) {
      const held = this.#layout.held(this.#layout.reader.record(raw));
      if (held.id !== null) stamps.set(held.id, held);
    }
    return stamps;
  }
}

/**
 * Puts parts in the order of their `_id`, as its index is faster to fill in that order. False where they have none, or
 * where one occurs twice.
 */
function areInOrder(parts: Part[]): boolean {
  const idOf = ({ native }: Part): unknown => native.key._id;
  if (!parts.every((part) => typeof idOf(part) === 'string')) return false;
  parts.sort((a, b) => ((idOf(a) as string) < (idOf(b) as string) ? -1 : 1));
  return parts.every((part, i) => i === 0 || idOf(part) !== idOf(parts[i - 1] as Part));
}

const open = (chunk: readonly Part[], outcomes: readonly Outcome[]): readonly Part[] =>
  chunk.filter(({ i }) => outcomes[i] === undefined);

/**
 * Gives their outcome to those that what is stored settles: it has their stamp, or a greater one. `before` is what was
 * stored before a replacement; null: nothing was replaced.
 */
function settle(chunk: readonly Part[], outcomes: Outcome[], stamps: Stamps, before: Stamps | null): void {
  for (const { i, entry } of chunk) {
    const held = stamps.get(entry.id);
    if (held === undefined || held.stamp === null) continue;
    if (held.stamp > (entry.stamp as Stamp)) outcomes[i] = { kind: 'superseded', stamp: held.stamp };
    else if (held.stamp === entry.stamp)
      outcomes[i] = { kind: 'applied', previous: previousOf(before?.get(entry.id), entry) };
  }
}

function previousOf(before: Held | undefined, { stamp }: Entry): 'absent' | 'record' | 'same' {
  if (before === undefined) return 'absent';
  if (before.stamp === stamp) return 'same';
  return before.tombstone ? 'absent' : 'record';
}

function chunksOf(parts: readonly Part[]): readonly (readonly Part[])[] {
  const chunks: Part[][] = [];
  let bytes = CHUNK_BYTES;
  for (const part of parts) {
    const chunk = chunks.at(-1);
    if (chunk === undefined || bytes + part.native.size > CHUNK_BYTES || chunk.length >= CHUNK_ENTRIES) {
      chunks.push([part]);
      bytes = part.native.size;
    } else {
      chunk.push(part);
      bytes += part.native.size;
    }
  }
  return chunks;
}
