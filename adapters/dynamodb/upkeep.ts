import type { StepOptions } from '../../src/core/store.ts';
import type { Attribute, Item } from './attribute.ts';
import { classify } from './faults.ts';
import type { ItemLayout } from './item-layout.ts';
import type { ReservedAttributes } from './options.ts';
import type { Reads } from './reads.ts';
import type { Table } from './table.ts';
import { pooled, type Wire } from './wire.ts';

/** BatchWriteItem takes so many deletes. */
const DELETES_A_REQUEST = 25;
const PAGE = 500;
/** The contents of the table as a whole: counting, emptying, and taking stamps away. */
export class Upkeep {
  readonly #wire: Wire;
  readonly #layout: ItemLayout;
  readonly #reads: Reads;
  readonly #table: Table;
  readonly #reserved: ReservedAttributes;

  constructor(wire: Wire, layout: ItemLayout, reads: Reads, table: Table, reserved: ReservedAttributes) {
    this.#wire = wire;
    this.#layout = layout;
    this.#reads = reads;
    this.#table = table;
    this.#reserved = reserved;
  }

  async estimate(): Promise<number | null> {
    return (await this.#table.describe())?.ItemCount ?? null;
  }

  async wipe(options: StepOptions): Promise<void> {
    let done = 0;
    for await (const items of this.#pages(options)) {
      const keys = items.map((item) => this.#keyOf(item));
      const chunks = Array.from({ length: Math.ceil(keys.length / DELETES_A_REQUEST) }, (_, i) =>
        keys.slice(i * DELETES_A_REQUEST, (i + 1) * DELETES_A_REQUEST),
      );
      await pooled(chunks, this.#wire.maxInFlight, (chunk) => this.#delete(chunk, options.signal));
      done += keys.length;
      options.onProgress?.(done);
    }
  }

  async #delete(keys: readonly Item[], signal: AbortSignal | undefined): Promise<void> {
    const { sdk, client, table } = this.#wire;
    await this.#wire.drain(
      'BatchWriteItem',
      keys,
      async (left) => {
        const requests = left.map((key) => ({ DeleteRequest: { Key: key } }));
        const command = () => new sdk.BatchWriteItemCommand({ RequestItems: { [table]: requests } });
        const send = (abortSignal: AbortSignal) => client.send(command(), { abortSignal });
        const output = await this.#wire.read('BatchWriteItem', send, signal);
        return Object.values(output.UnprocessedItems ?? {})
          .flat()
          .flatMap(({ DeleteRequest }) => (DeleteRequest?.Key === undefined ? [] : [DeleteRequest.Key as Item]));
      },
      signal,
    );
  }

  async finish(options: StepOptions): Promise<void> {
    let done = 0;
    for await (const items of this.#pages(options)) {
      await pooled(items, this.#wire.maxInFlight, (item) => this.#release(item, options.signal));
      done += items.length;
      options.onProgress?.(done);
    }
  }

  /** Makes an item a plain one, or takes a tombstone away, if it is still the one that was seen. */
  async #release(item: Item, signal: AbortSignal | undefined): Promise<void> {
    const { sdk, client, table } = this.#wire;
    const { stamp, tombstone, mark } = this.#reserved;
    // What is not ours is left to whom it belongs.
    if (this.#layout.foreign(item) !== null) return;
    const held = item[stamp];
    const gone = this.#layout.isTombstone(item);
    if (held === undefined && item[mark] === undefined) return;
    const input = {
      TableName: table,
      Key: this.#keyOf(item),
      ConditionExpression: held === undefined ? 'attribute_not_exists(#s)' : '#s = :s',
      ...(held === undefined ? {} : { ExpressionAttributeValues: { ':s': held } }),
    };
    const send = async (abortSignal: AbortSignal): Promise<void> => {
      const names = { '#s': stamp };
      try {
        if (gone) {
          await client.send(new sdk.DeleteItemCommand({ ...input, ExpressionAttributeNames: names }), { abortSignal });
          return;
        }
        const update = {
          UpdateExpression: 'REMOVE #s, #d, #m',
          ExpressionAttributeNames: { ...names, '#d': tombstone, '#m': mark },
        };
        await client.send(new sdk.UpdateItemCommand({ ...input, ...update }), { abortSignal });
      } catch (error) {
        // It was changed, or deleted, since the scan saw it; the next run will see it.
        if (classify(error).kind !== 'unmet') throw error;
      }
    };
    await this.#wire.read(gone ? 'DeleteItem' : 'UpdateItem', send, signal);
  }

  /** The items of the table by pages, keys and reserved attributes only. */
  async *#pages({ signal }: StepOptions): AsyncIterable<Item[]> {
    let start: Item | null | undefined;
    while (start !== null) {
      const page = await this.#reads.page(start, {}, { pageSize: PAGE, signal, stampsOnly: true });
      start = page.next;
      if (page.items.length > 0) yield page.items;
    }
  }

  #keyOf(item: Item): Item {
    return Object.fromEntries(this.#layout.keys.attributes.map((name) => [name, item[name] as Attribute]));
  }
}
