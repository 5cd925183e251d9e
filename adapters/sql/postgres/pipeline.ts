import { hash } from 'node:crypto';
import type { Bound } from '../column-codec.ts';
import type { PgClient, PgQuery, PgWire } from './driver.ts';

/** One statement of a pipeline. */
export interface Step {
  readonly sql: string;
  readonly values: readonly Value[];
  /** Planned anew for its values each time, instead of once a connection. */
  readonly fresh?: boolean;
}

/** A parameter: a value, or one of each row for `unnest`. */
export type Value = Bound | readonly Bound[];

/** Rows as text, as PostgreSQL prints their cells. */
export type Rows = readonly (readonly (string | null)[])[];

/** A pipeline that failed; nothing that it did stays, unless `lost`. */
export class PipelineFailed extends Error {
  /** The step that failed, or their number: the commit. */
  readonly step: number;
  /** What the steps before it answered. */
  readonly answers: readonly Rows[];
  constructor(step: number, answers: readonly Rows[], cause: unknown) {
    super('a pipeline failed', { cause });
    this.step = step;
    this.answers = answers;
  }
}

/** The names of the statements of a connection, by their text. */
interface Prepared {
  readonly known: Map<string, string>;
  /** Those that the server may hold, but that are to be parsed again: closed first, as it never forgets one by itself. */
  readonly doubtful: Map<string, string>;
}

const prepared = new WeakMap<PgClient, Prepared>();

/** Named by its text, so that a pooler which mixes up connections cannot make one statement run as another. */
const nameOf = (sql: string): string => `changeover_${hash('sha256', sql, 'hex').slice(0, 32)}`;

const hex = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex');

function element(value: Bound): string {
  if (value === null) return 'NULL';
  if (value instanceof Uint8Array) return `"\\\\x${hex(value)}"`;
  return typeof value === 'string' ? `"${value.replace(/["\\]/g, '\\$&')}"` : String(value);
}

/** A parameter as it goes over the wire. */
function wire(value: Value): string | Buffer | null {
  if (value === null || typeof value === 'string') return value;
  if (value instanceof Uint8Array) return Buffer.from(value.buffer, value.byteOffset, value.byteLength);
  return typeof value === 'object' ? `{${value.map(element).join(',')}}` : String(value);
}

/**
 * Statements sent together and answered together, in one trip and (without BEGIN and COMMIT among them) in one
 * transaction: the first that fails ends it, and the Sync at the end commits it. Each statement sees what was committed
 * when its own turn came, as R2-SQL asks for.
 */
class Pipeline implements PgQuery {
  readonly #steps: readonly Step[];
  readonly #prepared: Prepared;
  /** What was parsed for the first time, with the place of its step. */
  readonly #first = new Map<string, number>();
  readonly #resolve: (answers: readonly Rows[]) => void;
  readonly #reject: (error: unknown) => void;
  readonly #answers: Rows[] = [];
  #rows: (readonly (string | null)[])[] = [];

  constructor(
    client: PgClient,
    steps: readonly Step[],
    resolve: (answers: readonly Rows[]) => void,
    reject: (error: unknown) => void,
  ) {
    this.#steps = steps;
    this.#prepared = prepared.get(client) ?? { known: new Map(), doubtful: new Map() };
    prepared.set(client, this.#prepared);
    this.#resolve = resolve;
    this.#reject = reject;
  }

  submit(connection: PgWire): Error | null {
    const { stream } = connection;
    const { known, doubtful } = this.#prepared;
    stream.cork?.();
    try {
      for (const [step, { sql, values, fresh = false }] of this.#steps.entries()) {
        let name = fresh ? '' : known.get(sql);
        if (name === undefined) {
          name = doubtful.get(sql);
          if (name === undefined) {
            name = nameOf(sql);
          } else {
            doubtful.delete(sql);
            connection.close({ type: 'S', name });
          }
          known.set(sql, name);
          this.#first.set(sql, step);
          connection.parse({ name, text: sql });
        } else if (fresh) {
          connection.parse({ name, text: sql });
        }
        connection.bind({ statement: name, values: values.map(wire) });
        connection.execute();
      }
      connection.sync();
    } finally {
      stream.uncork?.();
    }
    return null;
  }

  handleRowDescription(): void {}

  handleDataRow({ fields }: { readonly fields: readonly (string | null)[] }): void {
    this.#rows.push(fields);
  }

  handleCommandComplete(): void {
    this.#answers.push(this.#rows);
    this.#rows = [];
  }

  handleEmptyQuery(): void {
    this.handleCommandComplete();
  }

  handlePortalSuspended(): void {}

  handleError(error: unknown): void {
    // Those before the failed step are parsed, those behind it are not, and of itself nobody knows.
    for (const [sql, step] of this.#first) {
      if (step >= this.#answers.length) doubt(this.#prepared, sql);
    }
    this.#reject(new PipelineFailed(this.#answers.length, this.#answers, error));
  }

  handleReadyForQuery(): void {
    this.#resolve(this.#answers);
  }
}

/** Sends statements in one trip; their rows, by statement. @throws PipelineFailed */
export function pipeline(client: PgClient, steps: readonly Step[]): Promise<readonly Rows[]> {
  return new Promise((resolve, reject) => {
    client.query(new Pipeline(client, steps, resolve, reject));
  });
}

function doubt({ known, doubtful }: Prepared, sql: string): void {
  const name = known.get(sql);
  known.delete(sql);
  if (name !== undefined) doubtful.set(sql, name);
}

/** Forgets the statements of a connection, because what they read was changed. */
export function forgetStatements(client: PgClient): void {
  const statements = prepared.get(client);
  if (statements === undefined) return;
  for (const sql of [...statements.known.keys()]) doubt(statements, sql);
}
