import { resolve } from 'node:path';
import { InvalidConfiguration } from '../../src/core/errors.ts';
import { serversOf } from '../../src/core/server-place.ts';
import type { StoreContext, StoreDefinition } from '../../src/core/store.ts';
import { loadBson } from '../load-bson.ts';
import type { Dialect } from './dialect.ts';
import { extendedJson } from './extended-json.ts';
import { PLAIN_JSON } from './json-text.ts';
import { type ResolvedSqlOptions, resolveSqlOptions, type SqlOptions } from './options.ts';
import { SqlStore } from './sql-store.ts';

/** A service loads those that it uses. */
const DIALECTS: ReadonlyMap<string, () => Promise<Dialect>> = new Map([
  ['better-sqlite3', async () => (await import('./sqlite/dialect.ts')).sqlite],
  ['mysql2', async () => (await import('./mysql/dialect.ts')).mysql],
  ['pg', async () => (await import('./postgres/dialect.ts')).postgres],
]);

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
  const load = DIALECTS.get(resolved.client);
  if (load === undefined) {
    throw new InvalidConfiguration('sql: `client` is not supported', {
      expected: `one of ${[...DIALECTS.keys()].join(', ')}`,
    });
  }
  const { client, table, columns, document, nulls, stampTable, json } = resolved;
  return {
    adapter: 'sql',
    mapping: Object.freeze({ adapter: 'sql', client, table, columns, document, nulls, stampTable, json }),
    place: placeOf(resolved),
    async create({ side, keys, codec, clock }: StoreContext): Promise<SqlStore> {
      const dialect = await load();
      const session = await dialect.load(resolved, clock);
      // Only where it is installed: values then have the classes that the service knows.
      const bson = loadBson();
      const forms = { json: json === 'extended' ? extendedJson(bson) : PLAIN_JSON, bson };
      return new SqlStore({ dialect, session, side, options: resolved, keys, codec, clock, forms });
    },
  };
}

const PORTS: Readonly<Record<string, number>> = { pg: 5_432, mysql2: 3_306 };

/**
 * A file's path, or the server, the database, and what else leads elsewhere (a socket, the schema that PostgreSQL's
 * options choose), beside the table; nothing that is secret.
 */
function placeOf({ client, connection, table }: ResolvedSqlOptions): readonly unknown[] {
  const settings: Readonly<Record<string, unknown>> = typeof connection === 'string' ? {} : connection;
  const port = PORTS[client];
  if (port === undefined) {
    const file = String(settings['filename'] ?? connection).replace(/^sqlite:(\/\/(?=\/))?/, '');
    return [client, resolve(file), table];
  }
  const { host = 'localhost', port: own = port, database = '' } = settings;
  const given = settings['connectionString'] ?? settings['uri'] ?? connection;
  const url = typeof given === 'string' ? given : `${client}://${host}:${own}/${database}`;
  const [, name, rest] = /^[^:]+:\/\/[^/]*\/([^?]*)(.*)$/.exec(url) ?? [];
  const query = new URLSearchParams(rest);
  const elsewhere = ['socketPath', 'options'].map((option) => query.get(option) ?? settings[option]);
  return [client, serversOf(url, port), name, query.get('host'), query.get('port'), ...elsewhere, table];
}
