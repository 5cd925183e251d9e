import { loadOptional } from '../../src/core/optional-packages.ts';
import type { StoreDefinition } from '../../src/core/store.ts';
import { loadBson } from '../load-bson.ts';
import { checkKeyFields, type DynamoDbOptions, type ResolvedOptions, resolveOptions } from './options.ts';

export type { CreateTableOptions, DynamoDbOptions, InsertRequests } from './options.ts';

/**
 * A DynamoDB table as one side of a migration.
 *
 * Items stay natural: every field is an attribute that anybody can read, beside them a stamp (`_s`), on deleted
 * records a flag, and where a value is more than its attribute can tell (a Date, a small bigint, an ObjectId, an empty
 * set, …) one attribute `_t` that says so. Numbers of more than 38 digits or outside 1e-130 … 9.9e125, items over
 * 400 KB, and what a key or an index cannot hold are refused by name before anything is sent. Reads are strongly consistent. DynamoDB's conditions have no clock: a deadline is
 * checked before each request leaves, and `lateBoundMs` is assumed for what is on its way.
 *
 * @example
 * new: dynamodb({ table: 'events', partitionKey: 'userKey', sortKey: 'id' }),
 *
 * @throws InvalidConfiguration when an option is out of range or attribute names collide.
 */
export function dynamodb(options: DynamoDbOptions): StoreDefinition {
  const resolved = resolveOptions(options);
  return Object.freeze({
    adapter: 'dynamodb',
    mapping: Object.freeze({
      table: resolved.table,
      partitionKey: resolved.partitionKey,
      sortKey: resolved.sortKey,
      attributes: resolved.attributes,
      reserved: resolved.reserved,
    }),
    ...placeOf(resolved),
    async create(context) {
      checkKeyFields(resolved, context.keys);
      const name = '@aws-sdk/client-dynamodb';
      const sdk = await loadOptional('dynamodb({ … })', [name], () => import('@aws-sdk/client-dynamodb'));
      const { DynamoDbStore } = await import('./store.ts');
      return new DynamoDbStore(sdk, resolved, context, loadBson());
    },
  } satisfies StoreDefinition);
}

/** Where the table is, and whose key it is asked with: another account has other tables of that name. */
function placeOf({ client, endpoint, region, clientConfig, table }: ResolvedOptions) {
  const { credentials } = clientConfig;
  const account = typeof credentials === 'object' ? credentials.accessKeyId : credentials;
  return { place: ['dynamodb', client ?? endpoint, region, table], account };
}
