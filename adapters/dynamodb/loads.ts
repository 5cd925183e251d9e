import type { Entry, LoadAnswer } from '../../src/core/store.ts';
import type { Item } from './attribute.ts';
import type { Batches, BatchRequest, Outcome, Part, PartAnswer, RequestAnswer } from './batches.ts';
import type { Verdict } from './faults.ts';
import type { Inserts } from './inserts.ts';
import type { ItemLayout } from './item-layout.ts';
import { type NativeKey, wireId } from './key-layout.ts';
import type { Wire } from './wire.ts';

/** How often a request was sent that failed in the end: of the copies before, nobody knows. */
const copiesOf = (error: unknown): number =>
  Number((error as { readonly $metadata?: { readonly attempts?: unknown } } | null)?.$metadata?.attempts ?? 1);

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
export class Loads implements BatchRequest {
  readonly operation = 'BatchWriteItem';
  readonly #wire: Wire;
  readonly #layout: ItemLayout;
  readonly #batches: Batches;
  readonly #inserts: Inserts;

  constructor(wire: Wire, layout: ItemLayout, batches: Batches, inserts: Inserts) {
    this.#wire = wire;
    this.#layout = layout;
    this.#batches = batches;
    this.#inserts = inserts;
  }

  async load(entries: readonly Entry[], deadline: number): Promise<LoadAnswer> {
    const { outcomes, loose } = await this.#batches.put(entries, this, deadline);
    return { outcomes, loose };
  }

  /** By inserts, which look. */
  guard(entries: readonly Entry[], deadline: number): Promise<Outcome[]> {
    return this.#inserts.putManyIfNewer(entries, deadline);
  }

  takes(_item: Item, { ambiguous }: NativeKey): boolean {
    return !ambiguous;
  }

  async send(parts: readonly Part[], deadline: number): Promise<RequestAnswer | null> {
    const { sdk, client, table } = this.#wire;
    const requests = parts.map(({ item }) => ({ PutRequest: { Item: item } }));
    const command = () => new sdk.BatchWriteItemCommand({ RequestItems: { [table]: requests } });
    const answer = await this.#wire.writeOnce((abortSignal) => client.send(command(), { abortSignal }), deadline);
    if (answer.kind === 'expired') return null;
    if (answer.kind === 'failed') {
      const { verdict, error } = answer;
      // One item that is no good for the table leaves the others none the wiser: each by itself.
      const each: PartAnswer = verdict.kind === 'invalid' ? 'look' : verdict;
      return { parts: parts.map(() => each), loose: verdict.outcome === 'unknown' || copiesOf(error) > 1 };
    }
    const { UnprocessedItems, $metadata } = answer.output;
    const left = Object.values(UnprocessedItems ?? {}).flat();
    if (left.length > 0) this.#wire.leftUndone();
    const undone = new Set(
      left.flatMap(({ PutRequest }) => (PutRequest?.Item === undefined ? [] : [this.#idOf(PutRequest.Item as Item)])),
    );
    return {
      parts: parts.map(({ id }) => (undone.has(id) ? UNPROCESSED : 'applied')),
      // A client that was handed to us may have sent more than one copy of what it was asked to send.
      loose: ($metadata?.attempts ?? 1) > 1,
    };
  }

  #idOf(item: Item): string {
    return wireId(Object.fromEntries(this.#layout.keys.attributes.map((name) => [name, item[name] ?? { NULL: true }])));
  }
}
