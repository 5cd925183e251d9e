import type { TableDescription } from '@aws-sdk/client-dynamodb';
import { InvalidConfiguration, NotPrepared } from '../../src/core/errors.ts';
import type { PrepareReport } from '../../src/core/store.ts';
import type { KeyType } from './attribute.ts';
import { createTable } from './aws-command.ts';
import { classify } from './faults.ts';
import type { IndexKey, ItemLayout } from './item-layout.ts';
import { MAX_PARTITION_KEY_BYTES, MAX_SORT_KEY_BYTES } from './key-layout.ts';
import type { ResolvedOptions } from './options.ts';
import type { Wire } from './wire.ts';

/** How often a table that is being made is asked for; about two minutes. */
const CREATE_POLLS = 240;
const CREATE_POLL_MS = 500;

/** The states in which a table is read and written. */
export const USABLE: ReadonlySet<string> = new Set(['ACTIVE', 'UPDATING']);
/** The one state that a table leaves by itself and soon. */
const COMING = 'CREATING';

/** The attributes of the table's key with their types, partition key first. */
export function keySchemaOf(
  table: TableDescription,
): readonly { readonly attribute: string; readonly type: KeyType }[] {
  const types = typesOf(table);
  // The partition key comes first in every schema.
  return (table.KeySchema ?? []).map(({ AttributeName: attribute = '' }) => ({
    attribute,
    type: types.get(attribute) ?? 'S',
  }));
}

/** What the indexes of a table ask of the attributes that are their keys. */
export function indexKeysOf(table: TableDescription): readonly IndexKey[] {
  const types = typesOf(table);
  const indexes = [...(table.GlobalSecondaryIndexes ?? []), ...(table.LocalSecondaryIndexes ?? [])];
  return indexes.flatMap(({ IndexName: index = '', KeySchema = [] }) =>
    KeySchema.map(({ AttributeName: attribute = '', KeyType: role }) => ({
      index,
      attribute,
      type: types.get(attribute) ?? 'S',
      maxBytes: role === 'HASH' ? MAX_PARTITION_KEY_BYTES : MAX_SORT_KEY_BYTES,
    })),
  );
}

const typesOf = (table: TableDescription): ReadonlyMap<string, KeyType> =>
  new Map(
    table.AttributeDefinitions?.map(({ AttributeName = '', AttributeType = 'S' }) => [
      AttributeName,
      AttributeType as KeyType,
    ]),
  );

/** The table itself: looking at it and making it. */
export class Table {
  readonly #wire: Wire;
  readonly #layout: ItemLayout;
  readonly #options: ResolvedOptions;

  constructor(wire: Wire, layout: ItemLayout, options: ResolvedOptions) {
    this.#wire = wire;
    this.#layout = layout;
    this.#options = options;
  }

  /** The table, or null when there is none; learns the server's clock by the way. */
  async describe(): Promise<TableDescription | null> {
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
    return (await this.#wire.read('DescribeTable', send))?.Table ?? null;
  }

  /** Takes over the schema of a table that has the configured key. @returns false when its key is another one */
  use(table: TableDescription): boolean {
    const keys = keySchemaOf(table);
    if (keys.map(({ attribute }) => attribute).join('\n') !== this.#layout.keys.attributes.join('\n')) return false;
    this.#layout.useSchema(new Map(keys.map(({ attribute, type }) => [attribute, type])), indexKeysOf(table));
    return true;
  }

  /** @throws NotPrepared when there is no table and none may be made @throws InvalidConfiguration for another key */
  async look(): Promise<TableDescription | null> {
    const table = await this.#seen();
    if (table === null && this.#options.createTable === null) throw this.#missing();
    return table;
  }

  /** Without one the SDK fails each request, and says why in its text alone. @throws InvalidConfiguration */
  async #requireRegion(): Promise<void> {
    try {
      await this.#wire.client.config.region();
    } catch (error) {
      throw new InvalidConfiguration(`${this.#wire.label}: no region is configured`, {
        expected: "a region: dynamodb({ region: 'eu-central-1', … }), AWS_REGION, or one of the AWS profile",
        cause: error,
      });
    }
  }

  async #seen(): Promise<TableDescription | null> {
    await this.#requireRegion();
    const table = await this.describe();
    if (table === null || this.use(table)) return table;
    const names = keySchemaOf(table).map(({ attribute }) => attribute);
    throw new InvalidConfiguration(`${this.#wire.label}: the key of the table is ${names.join(', ')}`, {
      expected: `the configured key, ${this.#layout.keys.attributes.join(', ')}`,
    });
  }

  #missing(): NotPrepared {
    return new NotPrepared(`${this.#wire.label}: there is no such table`, {
      remedy: `set "createTable" and run \`changeover prepare\`, or create it: ${createTable(this.#options)}`,
    });
  }

  async prepared(): Promise<boolean> {
    const table = await this.#seen();
    return table !== null && USABLE.has(table.TableStatus ?? '');
  }

  /** Makes the table where that is allowed, and waits until it can be used. */
  async prepare(dryRun: boolean): Promise<PrepareReport> {
    const before = await this.look();
    const actions: string[] = [];
    if (before === null) {
      const [partition, sort] = this.#layout.keys.attributes;
      const key = `partition key ${partition}${sort === undefined ? '' : `, sort key ${sort}`}`;
      actions.push(`CreateTable ${this.#wire.table} (${key}, on demand)`);
    }
    if (dryRun) return { actions };
    if (before === null) await this.#create();
    await this.#untilUsable();
    return { actions };
  }

  async #untilUsable(): Promise<void> {
    for (let poll = 0; ; poll += 1) {
      const status = (await this.look())?.TableStatus ?? COMING;
      if (USABLE.has(status)) return;
      if (poll >= CREATE_POLLS || status !== COMING) {
        throw new NotPrepared(`${this.#wire.label}: the table is ${status}`, { expected: [...USABLE].join(' or ') });
      }
      await this.#wire.wait(CREATE_POLL_MS);
    }
  }

  async #create(): Promise<void> {
    const { sdk, client, table } = this.#wire;
    const types = this.#options.createTable;
    const keys = this.#layout.keys.attributes.map((AttributeName, i) => ({
      AttributeName,
      AttributeType: i === 0 ? types?.partitionKeyType : types?.sortKeyType,
      KeyType: i === 0 ? ('HASH' as const) : ('RANGE' as const),
    }));
    const command = () =>
      new sdk.CreateTableCommand({
        TableName: table,
        BillingMode: 'PAY_PER_REQUEST',
        KeySchema: keys.map(({ AttributeName, KeyType }) => ({ AttributeName, KeyType })),
        AttributeDefinitions: keys.map(({ AttributeName, AttributeType }) => ({ AttributeName, AttributeType })),
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
}
