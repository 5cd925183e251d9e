import type { Stamp } from '../../src/core/stamp.ts';
import type { Entry, LoadAnswer, PutFault, PutOutcome } from '../../src/core/store.ts';
import type { Item } from './attribute.ts';
import { faultOf, type Verdict } from './faults.ts';
import type { ItemLayout } from './item-layout.ts';
import { isRejection } from './rejection.ts';
import { pooled, type Wire } from './wire.ts';
import type { Writes } from './writes.ts';

/** BatchWriteItem takes so many puts. */
const PUTS_A_REQUEST = 25;

type Outcome = PutOutcome | PutFault;

/** How often a request was sent that failed in the end: of the copies before, nobody knows. */
const copiesOf = (error: unknown): number =>
  Number((error as { readonly $metadata?: { readonly attempts?: unknown } } | null)?.$metadata?.attempts ?? 1);

interface Part {
  readonly i: number;
  readonly id: string;
  readonly item: Item;
}

/** What is still open of a chunk, and why; null: nothing was wrong so far. */
interface Progress {
  readonly left: readonly Part[];
  readonly failed: Verdict | null;
  readonly cause?: unknown;
}

const APPLIED: PutOutcome = Object.freeze({ kind: 'applied', previous: 'absent' });
const EXPIRED: PutOutcome = Object.freeze({ kind: 'expired' });
const UNPROCESSED: Verdict = {
  kind: 'fault',
  outcome: 'nothing-written',
  pressure: true,
  passing: true,
  name: 'unprocessed for too long',
};

/**
 * Puts that look at nothing: BatchWriteItem, which takes no conditions and is several times as fast as single puts.
 * What must look (a key that reads like one of another kind, a second entry of a key) is put under a condition.
 */
export class Loads {
  readonly #wire: Wire;
  readonly #layout: ItemLayout;
  readonly #writes: Writes;

  constructor(wire: Wire, layout: ItemLayout, writes: Writes) {
    this.#wire = wire;
    this.#layout = layout;
    this.#writes = writes;
  }

  async load(entries: readonly Entry[], deadline: number): Promise<LoadAnswer> {
    const outcomes: Outcome[] = new Array(entries.length);
    const parts = new Map<string, Part>();
    const guarded: number[] = [];
    for (const [i, entry] of entries.entries()) {
      const key = this.#layout.keys.encode(entry.key);
      const item = isRejection(key) ? key : this.#layout.encode(entry);
      if (isRejection(item)) outcomes[i] = item;
      else if (isRejection(key) || key.ambiguous) guarded.push(i);
      else {
        const other = parts.get(entry.id);
        const wins = other === undefined || (entry.stamp as Stamp) > (entries[other.i]?.stamp as Stamp);
        if (wins) parts.set(entry.id, { i, id: entry.id, item });
        // After the batch: it then meets the winner there.
        if (other !== undefined) guarded.push(wins ? other.i : i);
      }
    }
    const all = [...parts.values()];
    const chunks = Array.from({ length: Math.ceil(all.length / PUTS_A_REQUEST) }, (_, n) =>
      all.slice(n * PUTS_A_REQUEST, (n + 1) * PUTS_A_REQUEST),
    );
    const loose = await pooled(chunks, this.#wire.maxInFlight, (chunk) =>
      this.#chunk(chunk, entries, outcomes, deadline),
    );
    await this.#guarded(guarded, entries, outcomes, deadline);
    return { outcomes, loose: loose.includes(true) };
  }

  async #guarded(
    places: readonly number[],
    entries: readonly Entry[],
    outcomes: Outcome[],
    deadline: number,
  ): Promise<void> {
    if (places.length === 0) return;
    const found = await this.#writes.putManyIfNewer(
      places.map((i) => entries[i] as Entry),
      deadline,
    );
    for (const [n, i] of places.entries()) outcomes[i] = found[n] as Outcome;
  }

  /** Sends a chunk until nothing of it is open. True: a copy of a part may still arrive. */
  async #chunk(
    chunk: readonly Part[],
    entries: readonly Entry[],
    outcomes: Outcome[],
    deadline: number,
  ): Promise<boolean> {
    let progress: Progress = { left: chunk, failed: null };
    let loose = false;
    for (let attempt = 1; ; attempt += 1) {
      const sent = progress.left;
      const answer = await this.#send(sent, deadline);
      if (answer.kind === 'done') {
        const { unprocessed, copies } = answer;
        // A client that was handed to us may have sent more than one copy of what it was asked to send.
        loose ||= copies > 1;
        const open = sent.filter(({ id }) => unprocessed.has(id));
        for (const { i, id } of sent) if (!unprocessed.has(id)) outcomes[i] = APPLIED;
        if (open.length === 0) return loose;
        this.#wire.leftUndone();
        if (open.length < sent.length) attempt = 1;
        progress = { left: open, failed: UNPROCESSED };
      } else if (answer.kind === 'failed') {
        const { verdict, error } = answer;
        loose ||= copiesOf(error) > 1;
        progress = { left: sent, failed: verdict, cause: error };
        if (verdict.kind === 'invalid') {
          // One item is no good for the table, and the others are none the wiser: each by itself.
          await this.#guarded(
            sent.map(({ i }) => i),
            entries,
            outcomes,
            deadline,
          );
          return loose;
        }
        if (verdict.outcome === 'unknown') return this.#fault(progress, outcomes);
      }
      const over = answer.kind === 'expired' || !(progress.failed?.passing ?? true);
      if (over || attempt >= this.#wire.maxAttempts) {
        if (progress.failed === null) for (const { i } of progress.left) outcomes[i] = EXPIRED;
        else this.#fault(progress, outcomes);
        return loose;
      }
      await this.#wire.pause(attempt);
    }
  }

  /** Says of all that is open what failed; true if it may still arrive. */
  #fault({ left, failed, cause }: Progress, outcomes: Outcome[]): boolean {
    const { outcome, message, pressure } = faultOf(
      this.#wire.label,
      'BatchWriteItem',
      failed ?? UNPROCESSED,
      false,
      cause,
    );
    for (const { i } of left) outcomes[i] = { kind: 'fault', outcome, message, pressure };
    return outcome === 'unknown';
  }

  async #send(parts: readonly Part[], deadline: number) {
    const { sdk, client, table } = this.#wire;
    const requests = parts.map(({ item }) => ({ PutRequest: { Item: item } }));
    const command = () => new sdk.BatchWriteItemCommand({ RequestItems: { [table]: requests } });
    const answer = await this.#wire.writeOnce((abortSignal) => client.send(command(), { abortSignal }), deadline);
    if (answer.kind !== 'done') return answer;
    const { UnprocessedItems, $metadata } = answer.output;
    const unprocessed = new Set(
      Object.values(UnprocessedItems ?? {})
        .flat()
        .flatMap(({ PutRequest }) => (PutRequest?.Item === undefined ? [] : [this.#idOf(PutRequest.Item as Item)])),
    );
    return { kind: 'done', unprocessed, copies: $metadata?.attempts ?? 1 } as const;
  }

  #idOf(item: Item): string {
    return this.#layout.decode(item, true).id;
  }
}
