import type { Stamp } from '../../src/core/stamp.ts';
import type { Entry, LoadAnswer, PutFault, PutOutcome } from '../../src/core/store.ts';
import type { Item } from './attribute.ts';
import { faultOf, type Verdict } from './faults.ts';
import type { ItemLayout } from './item-layout.ts';
import { type NativeKey, wireId } from './key-layout.ts';
import { isRejection } from './rejection.ts';
import { pooled, type Wire } from './wire.ts';

/** So many puts are taken in one request, of either kind. */
const PUTS_A_REQUEST = 25;

export type Outcome = PutOutcome | PutFault;

/** An entry of a batch, ready to be sent. */
export interface Part {
  /** Its place in the batch. */
  readonly i: number;
  /** {@link wireId}: no two parts of a request have one item. */
  readonly id: string;
  readonly item: Item;
}

/**
 * What a request did with one of its parts: `look` is for a put under a condition, `again` for another try at once, a
 * passing verdict for one after a while.
 */
export type PartAnswer = 'applied' | 'look' | 'again' | Verdict;

export interface RequestAnswer {
  /** In the order of the parts. */
  readonly parts: readonly PartAnswer[];
  /** A copy of the request may still arrive. */
  readonly loose: boolean;
}

/** A way to put many items with one request. */
export interface BatchRequest {
  readonly operation: string;
  /** Whether an item can be put so. */
  takes(item: Item, key: NativeKey): boolean;
  /** Puts what a request did not take, or did not do, looking at what is there. */
  guard(entries: readonly Entry[], deadline: number): Promise<Outcome[]>;
  /** Sends one copy; null: it is too late for that. */
  send(parts: readonly Part[], deadline: number): Promise<RequestAnswer | null>;
}

/** What became of the puts of a batch. */
export interface BatchAnswer extends LoadAnswer {
  readonly outcomes: Outcome[];
  /** How many were guarded. */
  readonly guarded: number;
}

const APPLIED: PutOutcome = Object.freeze({ kind: 'applied', previous: 'absent' });
const EXPIRED: PutOutcome = Object.freeze({ kind: 'expired' });

/** Puts entries in requests of many, as fast as the server takes them, until nothing of a request is open. */
export class Batches {
  readonly #wire: Wire;
  readonly #layout: ItemLayout;

  constructor(wire: Wire, layout: ItemLayout) {
    this.#wire = wire;
    this.#layout = layout;
  }

  async put(entries: readonly Entry[], request: BatchRequest, deadline: number): Promise<BatchAnswer> {
    const outcomes: Outcome[] = new Array(entries.length);
    const guarded: number[] = [];
    const all = this.#parts(entries, request, outcomes, guarded);
    const chunks = Array.from({ length: Math.ceil(all.length / PUTS_A_REQUEST) }, (_, n) =>
      all.slice(n * PUTS_A_REQUEST, (n + 1) * PUTS_A_REQUEST),
    );
    const loose = await pooled(chunks, this.#wire.maxInFlight, (chunk) =>
      this.#chunk(chunk, request, outcomes, guarded, deadline),
    );
    await guard(guarded, entries, request, outcomes, deadline);
    return { outcomes, guarded: guarded.length, loose: loose.includes(true) };
  }

  /** What goes into requests; what is rejected, or is nothing for them, is noted. */
  #parts(entries: readonly Entry[], request: BatchRequest, outcomes: Outcome[], guarded: number[]): readonly Part[] {
    const parts = new Map<string, Part>();
    for (const [i, entry] of entries.entries()) {
      const key = this.#layout.keys.encode(entry.key);
      const item = isRejection(key) ? key : this.#layout.encode(entry);
      if (isRejection(item)) outcomes[i] = item;
      else if (isRejection(key) || !request.takes(item, key)) guarded.push(i);
      else {
        const id = wireId(key.attributes);
        const other = parts.get(id);
        const wins = other === undefined || (entry.stamp as Stamp) > (entries[other.i]?.stamp as Stamp);
        if (wins) parts.set(id, { i, id, item });
        // After the batch: it then meets the winner there.
        if (other !== undefined) guarded.push(wins ? other.i : i);
      }
    }
    return [...parts.values()];
  }

  /** Sends a chunk until nothing of it is open. True: a copy of a part may still arrive. */
  async #chunk(
    chunk: readonly Part[],
    request: BatchRequest,
    outcomes: Outcome[],
    guarded: number[],
    deadline: number,
  ): Promise<boolean> {
    let open = chunk;
    let failed: Verdict | null = null;
    let loose = false;
    for (let attempt = 1; ; attempt += 1) {
      const answer = await request.send(open, deadline);
      if (answer === null) break;
      loose ||= answer.loose;
      const left: Part[] = [];
      let waits = false;
      for (const [n, part] of open.entries()) {
        const did = answer.parts[n] as PartAnswer;
        if (did === 'applied') outcomes[part.i] = APPLIED;
        else if (did === 'look') guarded.push(part.i);
        else if (did === 'again') left.push(part);
        else if (did.passing && did.outcome === 'nothing-written') {
          left.push(part);
          failed = did;
          waits = true;
        } else outcomes[part.i] = this.#fault(request, did);
      }
      if (left.length === 0) return loose;
      if (left.length < open.length) attempt = 1;
      open = left;
      if (!waits) {
        // Nothing failed: it is no attempt.
        attempt = 0;
        continue;
      }
      if (attempt >= this.#wire.maxAttempts) break;
      await this.#wire.pause(attempt);
    }
    for (const { i } of open) outcomes[i] = failed === null ? EXPIRED : this.#fault(request, failed);
    return loose;
  }

  #fault({ operation }: BatchRequest, verdict: Verdict): PutFault {
    const { outcome, message, pressure } = faultOf(this.#wire.label, operation, verdict, false);
    return { kind: 'fault', outcome, message, pressure };
  }
}

async function guard(
  places: readonly number[],
  entries: readonly Entry[],
  request: BatchRequest,
  outcomes: Outcome[],
  deadline: number,
): Promise<void> {
  if (places.length === 0) return;
  const found = await request.guard(
    places.map((i) => entries[i] as Entry),
    deadline,
  );
  for (const [n, i] of places.entries()) outcomes[i] = found[n] as Outcome;
}
