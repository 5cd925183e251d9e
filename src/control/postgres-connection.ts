import { Socket } from 'node:net';
import pg from 'pg';
import type { Outcome } from './control-dialect.ts';
import { connectFailure, standbyFailure } from './postgres-faults.ts';
import type { PostgresPlace } from './postgres-place.ts';
import type { Statement } from './statement-plans.ts';

const CONNECT_MS = 5_000;
/** A farewell that the server does not answer is cut short. */
const FAREWELL_MS = 1_000;

/** What a statement came to; one of these for each statement of a text. */
export interface Answer {
  readonly command: string;
  readonly rows: readonly Readonly<Record<string, unknown>>[];
}

/** One connection to PostgreSQL, until it is closed or lost. */
export class PostgresConnection {
  readonly client: pg.Client;
  /** Resolves when it is over, whoever ended it. */
  readonly ended: Promise<void>;
  readonly #socket: Socket;
  readonly #resolveEnded: () => void;
  #lost = false;

  private constructor(client: pg.Client, socket: Socket) {
    this.client = client;
    this.#socket = socket;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.ended = promise;
    this.#resolveEnded = resolve;
    client.on('error', () => this.#end());
    client.on('end', () => this.#end());
  }

  /** @throws ControlUnavailable, InvalidConfiguration */
  static async open(place: PostgresPlace, signal?: AbortSignal): Promise<PostgresConnection> {
    // Our own, so that it can be cut: the driver's farewell waits for an answer.
    const socket = new Socket();
    const cut = (): void => void socket.destroy();
    signal?.addEventListener('abort', cut);
    try {
      const client = new pg.Client({
        connectionString: place.connectionString,
        fallback_application_name: 'changeover',
        connectionTimeoutMillis: CONNECT_MS,
        keepAlive: true,
        // What is asked together goes together.
        pipeline: true,
        stream: () => socket,
      });
      const connection = new PostgresConnection(client, socket);
      await client.connect();
      if (await connection.#isStandby()) throw standbyFailure(place.label);
      return connection;
    } catch (error) {
      socket.destroy();
      throw connectFailure(place.label, error);
    } finally {
      signal?.removeEventListener('abort', cut);
    }
  }

  /** True as soon as nothing more can be asked. */
  get lost(): boolean {
    return this.#lost;
  }

  /** Runs statements without parameters in one round trip; the first that fails ends them. */
  async query(statements: string): Promise<readonly Answer[]> {
    const answers: unknown = await this.client.query(statements);
    return (Array.isArray(answers) ? answers : [answers]) as readonly Answer[];
  }

  /** Whatever `ask` asks goes to the server in one piece, and wakes it once. */
  together<T>(ask: () => T): T {
    this.#socket.cork();
    try {
      return ask();
    } finally {
      this.#socket.uncork();
    }
  }

  /** Runs one statement; those that are asked in one turn are one round trip. */
  async run({ sql, values }: Statement): Promise<Outcome> {
    const { rows, rowCount } = await this.client.query<Record<string, unknown>>(sql, [...values]);
    return { rows, met: rowCount ?? 0 };
  }

  async #isStandby(): Promise<boolean> {
    const cut = setTimeout(() => this.destroy(), CONNECT_MS);
    try {
      const [answer] = await this.query('SELECT pg_is_in_recovery() AS standby');
      return answer?.rows[0]?.['standby'] === true;
    } finally {
      clearTimeout(cut);
    }
  }

  /** Ends it at once; what was asked is not answered any more. */
  destroy(): void {
    this.#end();
    this.#socket.destroy();
  }

  async close(): Promise<void> {
    const cut = setTimeout(() => this.destroy(), FAREWELL_MS);
    try {
      if (!this.#lost) await this.client.end();
    } catch {
      // It is over either way.
    } finally {
      clearTimeout(cut);
      this.destroy();
    }
  }

  #end(): void {
    this.#lost = true;
    this.#resolveEnded();
  }
}
