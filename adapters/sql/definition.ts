import { InvalidConfiguration } from '../../src/core/errors.ts';
import type { StoreContext, StoreDefinition } from '../../src/core/store.ts';
import type { Dialect } from './dialect.ts';
import { resolveSqlOptions, type SqlOptions } from './options.ts';
import { SqlStore } from './sql-store.ts';
import { sqlite } from './sqlite/dialect.ts';

const DIALECTS: readonly Dialect[] = [sqlite];

/**
 * A table of an SQL database as one side of a migration.
 *
 * The table is the service's own and gets no column: stamps and tombstones are in `<table>_changeover`. Every field is
 * held in a column, exactly or not at all; see {@link SqlOptions}.
 *
 * @throws InvalidConfiguration names the option that makes no sense.
 * @example
 * sql({ client: 'better-sqlite3', connection: 'sqlite:events.db', table: 'events', document: 'body' });
 */
export function sql(options: SqlOptions): StoreDefinition {
  const resolved = resolveSqlOptions(options);
  const dialect = DIALECTS.find(({ client }) => client === resolved.client);
  if (dialect === undefined) {
    throw new InvalidConfiguration('sql: `client` is not supported', {
      expected: `one of ${DIALECTS.map(({ client }) => client).join(', ')}`,
    });
  }
  const { client, table, columns, document, nulls, stampTable } = resolved;
  return {
    adapter: 'sql',
    mapping: Object.freeze({ adapter: 'sql', client, table, columns, document, nulls, stampTable }),
    async create({ keys, codec, clock }: StoreContext): Promise<SqlStore> {
      const session = await dialect.load(resolved, clock);
      return new SqlStore({ dialect, session, options: resolved, keys, codec, clock });
    },
  };
}
