import { hash } from 'node:crypto';
import { connectionUrl, ENCODE_CREDENTIALS } from '../core/connection-url.ts';
import type { Change } from '../core/control-client.ts';
import { InvalidConfiguration } from '../core/errors.ts';

/** The schema that holds the tables: their names are plain words that another application may use too. */
export const DEFAULT_SCHEMA = 'changeover';

/** Where a control plane on PostgreSQL is. */
export interface PostgresPlace {
  /** What the driver is given; may hold a password. */
  readonly connectionString: string;
  readonly schema: string;
  /** For people; no secrets. */
  readonly label: string;
  /** What tells the control planes of one database apart, for locks. */
  readonly lockId: number;
  /** The channel on which commits are announced; see {@link channelOf}. */
  readonly channel: string;
}

/**
 * The channel of a kind of commit. A fleet reports all the time, each process again and again: who only follows the
 * rulesets must not be woken by every other process for it.
 */
export const channelOf = (place: PostgresPlace, change: Change): string => `${place.channel}_${change}`;

const EXPECTED = 'postgres://user:password@host:5432/database?schema=changeover';
const SCHEMA = /^[a-z_][a-z0-9_]{0,62}$/;

/**
 * Takes a URL apart: `schema` is ours, everything else is the driver's (`sslmode`, `host` for a socket, and so on).
 * @throws InvalidConfiguration, without the URL: it may hold a password
 */
export function postgresPlace(text: string): PostgresPlace {
  const url = connectionUrl(text);
  if (url === null) {
    throw new InvalidConfiguration('the URL of the control database cannot be read', {
      expected: EXPECTED,
      remedy: ENCODE_CREDENTIALS,
    });
  }
  const schema = url.searchParams.get('schema') ?? DEFAULT_SCHEMA;
  if (!SCHEMA.test(schema) || schema.startsWith('pg_')) {
    throw new InvalidConfiguration('the schema of the control database cannot have that name', {
      expected: 'lower-case letters, digits and "_", beginning with a letter, not "pg_"',
    });
  }
  url.searchParams.delete('schema');
  const database = decoded(url.pathname.slice(1)) || 'of its user';
  const host = url.searchParams.get('host') ?? (url.host || 'this host');
  const digest = hash('sha256', `changeover ${schema}`, 'buffer');
  return Object.freeze({
    connectionString: url.href,
    schema,
    label: `the control database ${database} on ${host}${schema === DEFAULT_SCHEMA ? '' : ` (schema ${schema})`}`,
    lockId: digest.readInt32BE(0),
    channel: `changeover_${digest.toString('hex', 0, 8)}`,
  });
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
