import { loadOptional } from '../../src/core/optional-packages.ts';
import { serversOf } from '../../src/core/server-place.ts';
import type { StoreDefinition } from '../../src/core/store.ts';
import { checkKeyFields, type MongoDbOptions, resolveOptions } from './options.ts';

export type { MongoDbOptions } from './options.ts';

/**
 * A MongoDB collection as one side of a migration: a replica set or a standalone server, 5.0 or later.
 *
 * Documents stay natural: beside the record's fields they hold a stamp (`_s`), and a deleted record is a document with
 * its key, its stamp and a flag. Writes wait for a majority, reads are those of a majority on the primary. Each put
 * is one command that compares the stamp and the server's own clock; one that comes too late makes the command fail
 * and leaves nothing behind.
 *
 * @example
 * old: mongodb({ url, collection: 'events', id: 'id' }),     // _id = id; other fields of the key beside it
 *
 * @throws InvalidConfiguration when an option is out of range or names collide.
 */
export function mongodb(options: MongoDbOptions): StoreDefinition {
  const resolved = resolveOptions(options);
  return Object.freeze({
    adapter: 'mongodb',
    mapping: Object.freeze({
      database: resolved.database,
      collection: resolved.collection,
      id: resolved.compoundId ? resolved.idFields : resolved.idFields[0],
      repeatId: resolved.repeatId,
      reserved: resolved.reserved,
      int64: resolved.int64,
    }),
    place: [
      'mongodb',
      resolved.client ?? serversOf(resolved.url ?? '', 27_017),
      resolved.database,
      resolved.collection,
    ],
    async create(context) {
      checkKeyFields(resolved, context.keys);
      const driver = await loadOptional('mongodb({ … })', ['mongodb'], () => import('mongodb'));
      const { MongoDbStore } = await import('./store.ts');
      return new MongoDbStore(driver, resolved, context);
    },
  } satisfies StoreDefinition);
}
