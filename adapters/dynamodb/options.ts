import type { DynamoDBClient, DynamoDBClientConfig } from '@aws-sdk/client-dynamodb';
import type { Random } from '../../src/core/clock.ts';
import { InvalidConfiguration } from '../../src/core/errors.ts';
import type { KeySpec } from '../../src/core/record-key.ts';
import type { KeyType } from './attribute.ts';

/** How `prepare` may make the table when it is missing. */
export interface CreateTableOptions {
  /** @default 'S' */
  readonly partitionKeyType?: KeyType;
  /** @default 'S' */
  readonly sortKeyType?: KeyType;
}

/** The kinds of request that insert many items. */
export type InsertRequests = 'statements' | 'transactions';

/** What {@link dynamodb} takes. */
export interface DynamoDbOptions {
  readonly table: string;
  /** The field of the key that is the table's partition key. */
  readonly partitionKey: string;
  /**
   * The field of the key that is the table's sort key, if the table has one. Needed for `list`, whose order is that of
   * the table: keep to one kind of value (text, numbers, Dates, ObjectIds, …) within a partition.
   */
  readonly sortKey?: string;
  /** A server of one's own (DynamoDB Local, dynalite). @default the region's endpoint */
  readonly endpoint?: string;
  /** @default what the SDK finds in the environment */
  readonly region?: string;
  /** @default what the SDK finds in the environment */
  readonly credentials?: NonNullable<DynamoDBClientConfig['credentials']>;
  /** Holds the stamp, 12 bytes. @default '_s' */
  readonly stampAttribute?: string;
  /** Marks tombstones. @default `${stampAttribute}_deleted` */
  readonly tombstoneAttribute?: string;
  /** Holds what natural attributes cannot tell (see {@link Tag}), only where needed. @default '_t' */
  readonly typesAttribute?: string;
  /** Attribute names where they differ from the field names: `{ userKey: 'PK' }`. @default {} */
  readonly attributes?: Readonly<Record<string, string>>;
  /**
   * How batches are put of which most are not there yet: `'statements'` (PartiQL inserts), or `'transactions'` of
   * conditional puts, which need no action but `dynamodb:PutItem`, take any names of attributes and tables, and cost
   * twice the write units. @default 'statements'
   */
  readonly inserts?: InsertRequests;
  /** How many requests of batches are under way at a time. More is faster until the table throttles. @default 64 */
  readonly maxInFlight?: number;
  /**
   * How long after its deadline a put is assumed to be still on its way at the most. DynamoDB conditions have no
   * clock, so this is an assumption; it delays only the repair after a crash and `finish`. @default 900_000
   */
  readonly lateBoundMs?: number;
  /** How long a read may take before it fails. @default 10_000 */
  readonly readTimeoutMs?: number;
  /** How often a request is sent while the server throttles it or fails. @default 5 */
  readonly maxAttempts?: number;
  /** A ready client. It is not closed by us; its own `maxAttempts` should be 1, retries are ours. */
  readonly client?: DynamoDBClient;
  /** Whether `prepare` creates the table (on-demand billing) when it is missing. @default false */
  readonly createTable?: boolean | CreateTableOptions;
  /** @default Math.random */
  readonly random?: Random;
}

/** The names of the attributes that are not fields of the record. */
export interface ReservedAttributes {
  readonly stamp: string;
  readonly tombstone: string;
  readonly types: string;
  /** Which numeric key fields are not what their number naturally is; only on such items. */
  readonly keyKinds: string;
  /** The nonce of a compare-and-set by value between its two steps. */
  readonly mark: string;
}

/** Options, checked, with every default in place. */
export interface ResolvedOptions {
  readonly table: string;
  readonly partitionKey: string;
  readonly sortKey: string | null;
  readonly reserved: ReservedAttributes;
  readonly attributes: Readonly<Record<string, string>>;
  readonly inserts: InsertRequests;
  readonly maxInFlight: number;
  readonly lateBoundMs: number;
  readonly readTimeoutMs: number;
  readonly maxAttempts: number;
  readonly createTable: Required<CreateTableOptions> | null;
  readonly random: Random;
  readonly client: DynamoDBClient | null;
  readonly clientConfig: DynamoDBClientConfig;
  /** For commands that people paste: where the table is, as configured. */
  readonly region: string | null;
  /** The same; without what a URL may carry besides its place. */
  readonly endpoint: string | null;
}

const TABLE_NAME = /^(?:[a-zA-Z0-9_.-]{3,255}|arn:[^\s]{1,1020})$/;

const INSERTS: ReadonlySet<string> = new Set<InsertRequests>(['statements', 'transactions']);

function wrong(what: string, expected: string): never {
  throw new InvalidConfiguration(`dynamodb: ${what}`, { expected });
}

function integer(name: string, value: number | undefined, fallback: number, min: number): number {
  const result = value ?? fallback;
  if (!Number.isInteger(result) || result < min) wrong(`"${name}" is ${String(result)}`, `an integer from ${min}`);
  return result;
}

function name(option: string, value: string): string {
  if (typeof value !== 'string' || value === '' || value === '__proto__' || Buffer.byteLength(value) > 255) {
    wrong(`"${option}" is no attribute name`, '1 to 255 bytes of text');
  }
  return value;
}

function originOf(endpoint: string): string {
  const url = URL.parse(endpoint);
  // The endpoint itself may carry a password, so that it is not named.
  if (url === null || url.origin === 'null') return wrong('"endpoint" is no URL', 'http://host:port or https://host');
  return url.origin;
}

/** @throws InvalidConfiguration */
export function resolveOptions(options: DynamoDbOptions): ResolvedOptions {
  if (typeof options.table !== 'string' || !TABLE_NAME.test(options.table)) {
    wrong('"table" is no table name', '3 to 255 letters, digits, _ . or -, or an ARN');
  }
  const partitionKey = name('partitionKey', options.partitionKey);
  const sortKey = options.sortKey === undefined ? null : name('sortKey', options.sortKey);
  const stamp = name('stampAttribute', options.stampAttribute ?? '_s');
  const reserved: ReservedAttributes = {
    stamp,
    tombstone: name('tombstoneAttribute', options.tombstoneAttribute ?? `${stamp}_deleted`),
    types: name('typesAttribute', options.typesAttribute ?? '_t'),
    keyKinds: `${stamp}_key`,
    mark: `${stamp}_mark`,
  };
  const attributes = { ...options.attributes };
  const targets = Object.values(attributes);
  for (const target of targets) name('attributes', target);
  const keys = [partitionKey, ...(sortKey === null ? [] : [sortKey])].map((field) => attributes[field] ?? field);
  const fixed = [...Object.values(reserved), ...new Set([...keys, ...targets])];
  if (new Set(fixed).size !== fixed.length || new Set(keys).size !== keys.length) {
    wrong('two attributes have the same name', 'different names for keys, fields and reserved attributes');
  }
  if (new Set(targets).size !== targets.length) wrong('"attributes" gives two fields one name', 'different names');
  const { inserts = 'statements' } = options;
  if (!INSERTS.has(inserts)) wrong(`"inserts" is ${JSON.stringify(inserts)}`, "'statements' or 'transactions'");
  const create = options.createTable ?? false;
  const types = typeof create === 'object' ? create : {};
  return Object.freeze({
    table: options.table,
    partitionKey,
    sortKey,
    reserved: Object.freeze(reserved),
    attributes: Object.freeze(attributes),
    inserts,
    maxInFlight: integer('maxInFlight', options.maxInFlight, 64, 1),
    lateBoundMs: integer('lateBoundMs', options.lateBoundMs, 900_000, 0),
    readTimeoutMs: integer('readTimeoutMs', options.readTimeoutMs, 10_000, 1),
    maxAttempts: integer('maxAttempts', options.maxAttempts, 5, 1),
    createTable:
      create === false
        ? null
        : Object.freeze({ partitionKeyType: types.partitionKeyType ?? 'S', sortKeyType: types.sortKeyType ?? 'S' }),
    random: options.random ?? Math.random,
    region: options.region ?? null,
    endpoint: options.endpoint === undefined ? null : originOf(options.endpoint),
    client: options.client ?? null,
    clientConfig: {
      ...(options.endpoint === undefined ? {} : { endpoint: options.endpoint }),
      ...(options.region === undefined ? {} : { region: options.region }),
      ...(options.credentials === undefined ? {} : { credentials: options.credentials }),
    },
  });
}

/** Checks that the table's key is made of exactly the key's fields. @throws InvalidConfiguration */
export function checkKeyFields(options: ResolvedOptions, keys: KeySpec): void {
  const own = [options.partitionKey, ...(options.sortKey === null ? [] : [options.sortKey])];
  if (own.length !== keys.fields.length || !own.every((field) => keys.fields.includes(field))) {
    wrong(
      `the key of the migration (${keys.fields.join(', ')}) is not the key of the table (${own.join(', ')})`,
      'partitionKey and sortKey to be exactly the fields of the key',
    );
  }
}
