import { randomBytes } from 'node:crypto';
import type { TableDescription } from '@aws-sdk/client-dynamodb';
import { StoreFault } from '../../src/core/errors.ts';
import type { Inspection } from '../../src/core/store.ts';
import type { Attribute, Item } from './attribute.ts';
import { classify, isDenied, isUnsupported } from './faults.ts';
import { denied, findingsOf, missingTable, type Seen } from './findings.ts';
import type { InsertWay } from './insert-way.ts';
import { type ItemLayout, USES } from './item-layout.ts';
import type { ResolvedOptions } from './options.ts';
import { keySchemaOf, type Table } from './table.ts';
import { asItem, type Wire } from './wire.ts';

/** How many items are looked at for attributes that are not changeover's. */
const SAMPLE = 100;

/** What a request that is only tried comes to, where it is no fault. */
type Tried<T> =
  | { readonly kind: 'done'; readonly output: T }
  | { readonly kind: 'unmet'; readonly item: Item | null }
  | { readonly kind: 'denied' }
  | { readonly kind: 'unsupported' };

/**
 * Looks at a table before anything depends on it. Nothing is changed: writes are tried with a condition that nothing
 * can meet. (BatchWriteItem, which only `wipe` and a preload need, takes no condition and is not tried.)
 */
export class Preflight {
  readonly #wire: Wire;
  readonly #layout: ItemLayout;
  readonly #table: Table;
  readonly #way: InsertWay;
  readonly #options: ResolvedOptions;

  constructor(wire: Wire, layout: ItemLayout, table: Table, way: InsertWay, options: ResolvedOptions) {
    this.#wire = wire;
    this.#layout = layout;
    this.#table = table;
    this.#way = way;
    this.#options = options;
  }

  async inspect(): Promise<Inspection> {
    let table: TableDescription | null;
    try {
      table = await this.#table.describe();
    } catch (error) {
      if (!(error instanceof StoreFault) || !isDenied(classify(error.cause).name)) throw error;
      return { server: 'DynamoDB', findings: [denied('DescribeTable')] };
    }
    if (table === null) return { server: 'DynamoDB', findings: [missingTable(this.#options)] };
    const seen = await this.#look(table);
    return {
      server: serverOf(table, this.#options),
      findings: findingsOf(table, seen, this.#options, this.#layout.keys.attributes),
    };
  }

  async #look(table: TableDescription): Promise<Seen> {
    const key = probeKey(table);
    const [timeToLive, backups, sample, inserts, ...tried] = await Promise.all([
      this.#timeToLive(),
      this.#backups(),
      this.#sample(),
      this.#inserts(key),
      ...this.#attempts(key),
    ]);
    const { what, finding, permission } = this.#way;
    const items = sample.kind === 'done' ? sample.output : [];
    const uses = new Set(items.flatMap((item) => this.#layout.foreign(item) ?? []));
    const refused = tried.filter(({ outcome }) => outcome.kind === 'denied').map(({ operation }) => operation);
    return {
      timeToLive: timeToLive.kind === 'done' ? timeToLive.output : 'unknown',
      pointInTimeRecovery: backups.kind === 'done' ? backups.output : 'unknown',
      clockOffsetMs: this.#wire.offsetMs,
      foreign: [...uses].map((use) => ({ attribute: this.#options.reserved[use], option: USES[use].option })),
      denied: [
        ...(sample.kind === 'denied' ? ['Scan'] : []),
        ...refused,
        ...(timeToLive.kind === 'denied' ? ['DescribeTimeToLive'] : []),
      ],
      inserts: { what, finding, permission, are: inserts },
      tellsWhatItMet: await this.#tells(items[0]),
      attempts: this.#options.client === null ? 1 : await this.#wire.client.config.maxAttempts(),
    };
  }

  async #timeToLive() {
    const { sdk, client, table } = this.#wire;
    return this.#try('DescribeTimeToLive', async (abortSignal) => {
      const output = await client.send(new sdk.DescribeTimeToLiveCommand({ TableName: table }), { abortSignal });
      return output.TimeToLiveDescription ?? {};
    });
  }

  async #backups() {
    const { sdk, client, table } = this.#wire;
    return this.#try('DescribeContinuousBackups', async (abortSignal) => {
      const output = await client.send(new sdk.DescribeContinuousBackupsCommand({ TableName: table }), { abortSignal });
      const recovery = output.ContinuousBackupsDescription?.PointInTimeRecoveryDescription;
      return recovery?.PointInTimeRecoveryStatus === 'ENABLED';
    });
  }

  async #sample() {
    const { sdk, client, table } = this.#wire;
    return this.#try('Scan', async (abortSignal) => {
      const input = { TableName: table, Limit: SAMPLE, ConsistentRead: true };
      const output = await client.send(new sdk.ScanCommand(input), { abortSignal });
      return (output.Items ?? []) as Item[];
    });
  }

  /** Tried with a key of a type that no table has, which is refused after the credentials were looked at. */
  async #inserts(key: Item): Promise<Seen['inserts']['are']> {
    const item = Object.fromEntries(Object.keys(key).map((name) => [name, { BOOL: true }]));
    if (!this.#way.possible) return 'unsupported';
    const tried = await this.#try(this.#way.operation, async (abortSignal) => {
      try {
        const [answer] = await this.#way.send([item], abortSignal);
        return typeof answer === 'object' && isDenied(answer.name);
      } catch (error) {
        if (classify(error).kind !== 'invalid') throw error;
        return false;
      }
    });
    if (tried.kind === 'done') return tried.output ? 'denied' : 'allowed';
    return tried.kind === 'unmet' ? 'allowed' : tried.kind;
  }

  /** Every other operation that changeover needs, on a key that nobody has. */
  #attempts(key: Item): Promise<{ readonly operation: string; readonly outcome: Tried<unknown> }>[] {
    const { sdk, client, table } = this.#wire;
    const [[partition, value] = ['', { S: '' }]] = Object.entries(key);
    const names = { '#p': partition };
    const never = {
      TableName: table,
      ConditionExpression: 'attribute_exists(#p) AND attribute_not_exists(#p)',
      ExpressionAttributeNames: names,
    };
    const query = {
      TableName: table,
      KeyConditionExpression: '#p = :p',
      ExpressionAttributeNames: names,
      ExpressionAttributeValues: { ':p': value },
    };
    const attempt = async (operation: string, send: (signal: AbortSignal) => Promise<unknown>) => ({
      operation,
      outcome: await this.#try(operation, send),
    });
    return [
      attempt('GetItem', (abortSignal) =>
        client.send(new sdk.GetItemCommand({ TableName: table, Key: key }), { abortSignal }),
      ),
      attempt('BatchGetItem', (abortSignal) =>
        client.send(new sdk.BatchGetItemCommand({ RequestItems: { [table]: { Keys: [key] } } }), { abortSignal }),
      ),
      attempt('Query', (abortSignal) => client.send(new sdk.QueryCommand(query), { abortSignal })),
      attempt('PutItem', (abortSignal) =>
        client.send(new sdk.PutItemCommand({ ...never, Item: key }), { abortSignal }),
      ),
      attempt('UpdateItem', (abortSignal) =>
        client.send(new sdk.UpdateItemCommand({ ...never, Key: key }), { abortSignal }),
      ),
      attempt('DeleteItem', (abortSignal) =>
        client.send(new sdk.DeleteItemCommand({ ...never, Key: key }), { abortSignal }),
      ),
    ];
  }

  /** Whether the server says what a failed condition met, tried on an item that is there. */
  async #tells(item: Item | undefined): Promise<boolean | null> {
    if (item === undefined) return null;
    const { sdk, client, table } = this.#wire;
    const names = this.#layout.keys.attributes;
    if (names.some((name) => item[name] === undefined)) return null;
    const input = {
      TableName: table,
      Key: Object.fromEntries(names.map((name) => [name, item[name] as Attribute])),
      ConditionExpression: 'attribute_not_exists(#p)',
      ExpressionAttributeNames: { '#p': names[0] as string },
      ReturnValuesOnConditionCheckFailure: 'ALL_OLD',
    } as const;
    // An update without an expression would make the item if it went meanwhile; a delete of what is not there does nothing.
    const tried = await this.#try('DeleteItem', (abortSignal) =>
      client.send(new sdk.DeleteItemCommand(input), { abortSignal }),
    );
    return tried.kind === 'unmet' ? tried.item !== null : null;
  }

  #try<T>(operation: string, send: (signal: AbortSignal) => Promise<T>): Promise<Tried<T>> {
    return this.#wire.read<Tried<T>>(operation, async (signal) => {
      try {
        return { kind: 'done', output: await send(signal) };
      } catch (error) {
        const { kind, name } = classify(error);
        if (kind === 'unmet') {
          const met = error instanceof this.#wire.sdk.ConditionalCheckFailedException ? error.Item : undefined;
          return { kind, item: asItem(met) };
        }
        if (isDenied(name)) return { kind: 'denied' };
        if (isUnsupported(name)) return { kind: 'unsupported' };
        throw error;
      }
    });
  }
}

/** A key of the table's own types that nobody has. */
function probeKey(table: TableDescription): Item {
  const random = randomBytes(12);
  const parts: Readonly<Record<string, Attribute>> = {
    S: { S: `changeover-preflight-${random.toString('hex')}` },
    N: { N: `-${BigInt(`0x${random.toString('hex')}`)}` },
    B: { B: new Uint8Array(random) },
  };
  return Object.fromEntries(keySchemaOf(table).map(({ attribute, type }) => [attribute, parts[type] as Attribute]));
}

function serverOf({ TableArn: arn = '' }: TableDescription, { endpoint }: ResolvedOptions): string {
  const [, , , region = ''] = arn.split(':');
  if (region === 'ddblocal') return 'DynamoDB Local';
  const amazon = endpoint === null || /\.amazonaws\.com(?:\.cn)?(?::\d+)?$/.test(endpoint);
  return amazon ? `DynamoDB ${region}`.trim() : "a server with DynamoDB's interface";
}
