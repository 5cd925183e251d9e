import { InvalidConfiguration, StoreFault } from '../../../src/core/errors.ts';
import type { ResolvedSqlOptions } from '../options.ts';
import { loadKnex } from '../server/load-knex.ts';
import type { KnexPool } from '../server/server-pool.ts';
import { wholeUrl } from '../server/whole-url.ts';
import { nativeReader } from './cell.ts';
import { IS_STANDBY, STANDBY, TO_THE_PRIMARY } from './standby.ts';

/** The messages of the protocol that are used, as pg's connection sends them. */
export interface PgWire {
  parse(statement: { readonly name: string; readonly text: string }): void;
  bind(values: { readonly statement: string; readonly values: readonly (string | Buffer | null)[] }): void;
  execute(): void;
  close(statement: { readonly type: 'S'; readonly name: string }): void;
  sync(): void;
  readonly stream: { cork?(): void; uncork?(): void; destroy(): void };
}

/** What pg asks of a query of one's own, as pg-cursor is one. */
export interface PgQuery {
  submit(connection: PgWire): Error | null;
  handleRowDescription(): void;
  handleDataRow(message: { readonly fields: readonly (string | null)[] }): void;
  handleCommandComplete(): void;
  handleEmptyQuery(): void;
  handlePortalSuspended(): void;
  handleError(error: unknown): void;
  handleReadyForQuery(): void;
}

/** The part of a client of pg that is used. */
export interface PgClient {
  query(query: PgQuery): unknown;
  readonly connection: PgWire;
}

/** A client that nobody has been lent yet, as the driver itself has it. */
interface NewClient {
  query(
    text: string,
    done: (error: unknown, answers?: readonly { readonly rows: readonly { readonly standby?: string }[] }[]) => void,
  ): void;
  end(): Promise<void>;
}

interface PgModule {
  readonly types: { getTypeParser(oid: number, format?: string): (text: string) => unknown };
}

const CONNECT_MS = 10_000;

/** What a value must be printed like to be read exactly; nothing that would change what a service sees. */
const PRINTED =
  "SET DateStyle = 'ISO, YMD'; SET extra_float_digits = 1; SET bytea_output = 'hex'; " +
  // Each statement of a pipeline must see what was committed before it, whatever the role's own default is.
  "SET default_transaction_isolation = 'read committed'";

/**
 * Has the server look now and then whether its client is still there: a statement that waits for a lock would stay for
 * as long as the lock does, its client long gone. Since PostgreSQL 14, and only where its system can tell.
 */
const ENDS_WITH_US =
  "SELECT set_config(name, '5s', false) FROM pg_settings " +
  "WHERE name = 'client_connection_check_interval' AND setting = '0' AND version() LIKE '%linux%'";

/** What knex is given for a connection option. @throws InvalidConfiguration */
function connectionSettings({ connection }: ResolvedSqlOptions): Readonly<Record<string, unknown>> {
  if (typeof connection === 'string') {
    if (/^postgres(?:ql)?:\/\//.test(connection)) return { connectionString: wholeUrl(connection) };
    throw new InvalidConfiguration('sql: `connection` is no PostgreSQL URL', {
      expected: 'postgres://user@host/database, or the settings of pg',
    });
  }
  if (connection['pipeline'] === true) {
    throw new InvalidConfiguration('sql: `connection.pipeline` is not supported', {
      expected: 'pg without it: statements that belong together are sent together anyway',
    });
  }
  return connection;
}

const standbyFault = ({ table }: ResolvedSqlOptions): StoreFault =>
  new StoreFault(`postgres ${table}: topology:replica: ${STANDBY}`, {
    outcome: 'nothing-written',
    expected: 'the primary',
    remedy: TO_THE_PRIMARY,
  });

/** Loads knex and pg. @throws InvalidConfiguration when they are not installed */
export async function loadPostgres(options: ResolvedSqlOptions): Promise<KnexPool<PgClient>> {
  const settings = connectionSettings(options);
  let pg: PgModule | undefined;
  return loadKnex<PgClient>(
    'pg',
    async () => {
      const { default: module } = await import('pg');
      pg = module as unknown as PgModule;
    },
    {
      client: 'pg',
      connection: {
        application_name: 'changeover',
        connectionTimeoutMillis: CONNECT_MS,
        keepAlive: true,
        ...settings,
        // Rows of named queries: what pg makes of microseconds, numerics and JSON by itself is not exact.
        types: {
          getTypeParser: (oid: number, format?: string) =>
            (format === 'binary' ? undefined : nativeReader(oid)) ?? pg?.types.getTypeParser(oid, format),
        },
      },
      pool: {
        min: 0,
        max: options.pool,
        afterCreate(client: NewClient, ready: (error: unknown, client: unknown) => void) {
          client.query(`${PRINTED}; ${ENDS_WITH_US}; ${IS_STANDBY}`, (error, answers) => {
            const refused = error ?? (answers?.at(-1)?.rows[0]?.standby === 'true' ? standbyFault(options) : null);
            // Knex forgets a connection that is refused, but does not end it.
            if (refused !== null) void client.end().catch(() => {});
            ready(refused, client);
          });
        },
      },
    },
  );
}
