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

/** The statements that a connection has been given a name for, by their text. */
const prepared = new WeakMap<PgClient, Map<string, string>>();
let names = 0;

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
  readonly #known: Map<string, string>;
  readonly #fresh: string[] = [];
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
    this.#known = prepared.get(client) ?? new Map();
    prepared.set(client, this.#known);
    this.#resolve = resolve;
    this.#reject = reject;
  }

  submit(connection: PgWire): Error | null {
    const { stream } = connection;
    stream.cork?.();
    try {
      for (const { sql, values, fresh = false } of this.#steps) {
        let name = fresh ? '' : this.#known.get(sql);
        if (name === undefined) {
          names += 1;
          name = `changeover_${names}`;
          this.#known.set(sql, name);
          this.#fresh.push(sql);
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
    // Those behind the failed step were never parsed; a name is used once, so that forgetting all of them is safe.
    for (const sql of this.#fresh) this.#known.delete(sql);
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

/** Forgets the statements of a connection, because what they read was changed. */
export const forgetStatements = (client: PgClient): void => {
  prepared.delete(client);
};
