import { InvalidConfiguration, NotPrepared } from '../../src/core/errors.ts';
import type { PrepareReport, StepOptions } from '../../src/core/store.ts';
import type { Attribute, Item, KeyType } from './attribute.ts';
import { classify } from './faults.ts';
import type { ItemLayout } from './item-layout.ts';
import type { ResolvedOptions } from './options.ts';
import type { Reads } from './reads.ts';
import { pooled, type Wire } from './wire.ts';

/** BatchWriteItem takes so many deletes. */
const DELETES_A_REQUEST = 25;
const PAGE = 500;
/** How often a table that is being made is asked for; about two minutes. */
const CREATE_POLLS = 240;
const CREATE_POLL_MS = 500;

interface Table {
  readonly status: string;
  readonly items: number | null;
  readonly keys: readonly { readonly attribute: string; readonly type: KeyType }[];
}

/** The table itself: looking at it, making it, emptying it. */
export class Upkeep {
  readonly #wire: Wire;
  readonly #layout: ItemLayout;
  readonly #reads: Reads;
  readonly #options: ResolvedOptions;

  constructor(wire: Wire, layout: ItemLayout, reads: Reads, options: ResolvedOptions) {
    this.#wire = wire;
    this.#layout = layout;
    this.#reads = reads;
    this.#options = options;
  }

  /** The table, or null when there is none; learns the server's clock by the way. */
  async #describe(): Promise<Table | null> {
    const { sdk, client, table, clock } = this.#wire;
    const send = async (abortSignal: AbortSignal) => {
      const command = new sdk.DescribeTableCommand({ TableName: table });
      const sentAt = clock.now();
      command.middlewareStack.add(
        (next) => async (args) => {
          const result = await next(args);
          const { headers } = result.response as { readonly headers?: Record<string, string> };
          this.#wire.learnClock(headers?.['date'], sentAt, clock.now());
          return result;
        },
        { step: 'deserialize', name: 'changeoverLearnClock' },
      );
      try {
        return await client.send(command, { abortSignal });
      } catch (error) {
        if (classify(error).kind === 'missing') return null;
        throw error;
      }
    };
    const found = (await this.#wire.read('DescribeTable', send))?.Table;
    if (found === undefined) return null;
    const types = new Map(found.AttributeDefinitions?.map((one) => [one.AttributeName, one.AttributeType]));
    return {
      status: found.TableStatus ?? '',
      items: found.ItemCount ?? null,
      // The partition key comes first in every schema.
      keys: (found.KeySchema ?? []).map(({ AttributeName: attribute = '' }) => ({
        attribute,
        type: (types.get(attribute) ?? 'S') as KeyType,
      })),
    };
  }

  /** @throws NotPrepared when there is no table and none may be made @throws InvalidConfiguration for another key */
  async look(): Promise<Table | null> {
    const table = await this.#describe();
    if (table === null) {
      if (this.#options.createTable === null) {
        throw new NotPrepared(`${this.#wire.label}: there is no such table`, {
          remedy: 'create it, or set "createTable" and run `changeover prepare`',
        });
      }
      return null;
    }
    const names = table.keys.map(({ attribute }) => attribute);
    if (names.join('\n') !== this.#layout.keyAttributes.join('\n')) {
      throw new InvalidConfiguration(`${this.#wire.label}: the key of the table is ${names.join(', ')}`, {
        expected: `the configured key, ${this.#layout.keyAttributes.join(', ')}`,
      });
    }
    this.#layout.useKeyTypes(new Map(table.keys.map(({ attribute, type }) => [attribute, type])));
    return table;
  }

  async prepared(): Promise<boolean> {
    const table = await this.look();
    return table !== null && (table.status === 'ACTIVE' || table.status === 'UPDATING');
  }

  async prepare(dryRun: boolean): Promise<PrepareReport> {
    if (await this.prepared()) return { actions: [] };
    const create = this.#options.createTable;
    const missing = (await this.look()) === null;
    const [partition = '', sort] = this.#layout.keyAttributes;
    const actions = [
      `CreateTable ${this.#wire.table} (partition key ${partition}${sort === undefined ? '' : `, sort key ${sort}`}, on demand)`,
    ];
    if (create !== null && !dryRun) {
      if (missing) await this.#create(partition, create.partitionKeyType, sort, create.sortKeyType);
      for (let poll = 0; !(await this.prepared()); poll += 1) {
        if (poll >= CREATE_POLLS) throw new NotPrepared(`${this.#wire.label}: the table is not active yet`);
        await this.#wire.wait(CREATE_POLL_MS);
      }
    }
    return { actions: missing ? actions : [] };
  }

  async #create(partition: string, partitionType: KeyType, sort: string | undefined, sortType: KeyType): Promise<void> {
    const { sdk, client, table } = this.#wire;
    const command = () =>
      new sdk.CreateTableCommand({
        TableName: table,
        BillingMode: 'PAY_PER_REQUEST',
        KeySchema: [
          { AttributeName: partition, KeyType: 'HASH' },
          ...(sort === undefined ? [] : [{ AttributeName: sort, KeyType: 'RANGE' } as const]),
        ],
        AttributeDefinitions: [
          { AttributeName: partition, AttributeType: partitionType },
          ...(sort === undefined ? [] : [{ AttributeName: sort, AttributeType: sortType }]),
        ],
      });
    await this.#wire.read('CreateTable', async (abortSignal) => {
      try {
        await client.send(command(), { abortSignal });
      } catch (error) {
        // Somebody else was faster.
        if (!(error instanceof sdk.ResourceInUseException)) throw error;
      }
    });
  }

  async estimate(): Promise<number | null> {
    return (await this.#describe())?.items ?? null;
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
    const { stamp, tombstone, mark } = this.#options.reserved;
    const held = item[stamp];
    const gone = this.#layout.isTombstone(item);
    if (held === undefined && item[mark] === undefined && !gone) return;
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
    return Object.fromEntries(this.#layout.keyAttributes.map((name) => [name, item[name] as Attribute]));
  }
}
