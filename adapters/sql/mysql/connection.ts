import type { FaultOutcome } from '../../../src/core/errors.ts';
import { classify, type Failure } from './faults.ts';

/** What the server says of a statement: rows, or how many it changed. */
export type Result = { readonly affectedRows: number } | readonly (readonly unknown[])[];

/** The part of mysql2's connection that is used. */
export interface MysqlConnection {
  query(
    options: { readonly sql: string; readonly rowsAsArray: true },
    done: (error: unknown, results?: unknown) => void,
  ): { on(event: 'fields', listener: () => void): unknown };
  readonly stream: { destroy(error?: Error): unknown };
}

/** One statement of a packet failed; those behind it were not begun. */
export class StatementFailed extends Error {
  /** Which one; means nothing once the connection is lost. */
  readonly index: number;
  constructor(index: number, cause: unknown) {
    super('a statement failed', { cause });
    this.index = index;
  }
}

/** Whether a connection may not be used again after this error. */
export function breaks(error: unknown): boolean {
  if (!(error instanceof StatementFailed)) return false;
  if (error instanceof Broken) return true;
  const { kind } = classify(error.cause);
  return kind === 'lost' || kind === 'ending';
}

/**
 * Sends statements in one packet, one round trip for all of them; the server goes through them by itself, up to the
 * first that fails. @throws StatementFailed
 */
export function run(connection: MysqlConnection, statements: readonly string[]): Promise<readonly Result[]> {
  return new Promise((resolve, reject) => {
    let answered = 0;
    const query = connection.query({ sql: statements.join(';\n'), rowsAsArray: true }, (error, results) => {
      if (error !== null && error !== undefined) reject(new StatementFailed(answered, withoutText(error)));
      else resolve((statements.length === 1 ? [results] : results) as readonly Result[]);
    });
    query.on('fields', () => {
      answered += 1;
    });
  });
}

/** The driver adds the text that it sent, with all values; it is nothing for logs. */
function withoutText(error: unknown): unknown {
  if (error instanceof Error && 'sql' in error) delete error.sql;
  return error;
}

/** The rows of a result. */
export function rowsOf(result: Result | undefined): readonly (readonly unknown[])[] {
  return Array.isArray(result) ? (result as readonly (readonly unknown[])[]) : [];
}

/** How many rows a statement found (not: changed). */
export const affected = (result: Result | undefined): number =>
  result !== undefined && 'affectedRows' in result ? result.affectedRows : 0;

/** All rows of one statement. @throws StatementFailed */
export async function select(connection: MysqlConnection, sql: string): Promise<readonly (readonly unknown[])[]> {
  const [result] = await run(connection, [sql]);
  return rowsOf(result);
}

/** A statement and what it is for. */
export type Step = readonly [name: string, sql: string];

/** What became of a packet of steps. */
export type Answer =
  | { readonly results: Readonly<Record<string, Result>>; readonly failure?: never }
  | { readonly failure: Failure; readonly failed: string; readonly error: unknown };

/** A packet after which the connection is of no use; whatever was not committed is rolled back by that. */
export class Broken extends StatementFailed {
  readonly outcome: FaultOutcome;
  constructor(failed: StatementFailed, outcome: FaultOutcome) {
    super(failed.index, failed.cause);
    this.outcome = outcome;
  }
}

const COMMIT = 'COMMIT';
/** The step that ends a transaction. */
export const COMMITS: Step = ['commit', COMMIT];

/** Sends steps in one packet; what the server refuses is an answer. @throws Broken */
export async function send(connection: MysqlConnection, steps: readonly Step[]): Promise<Answer> {
  try {
    const results = await run(
      connection,
      steps.map(([, sql]) => sql),
    );
    return { results: Object.fromEntries(steps.map(([name], i) => [name, results[i] as Result])) };
  } catch (error) {
    if (!(error instanceof StatementFailed)) throw error;
    const failure = classify(error.cause);
    const [failed, sql] = steps[error.index] ?? ['', ''];
    const commits = steps.some((step) => step === COMMITS);
    if (failure.kind === 'lost') throw new Broken(error, commits ? 'unknown' : 'nothing-written');
    // A COMMIT that lost a race with another server of a cluster was rolled back; of any other nobody knows.
    if (sql === COMMIT && failure.kind !== 'locked') throw new Broken(error, 'unknown');
    if (failure.kind === 'ending') throw new Broken(error, 'nothing-written');
    return { failure, failed, error: error.cause };
  }
}

/** What the lock wait of a connection was set to last, in seconds. */
const lockWaits = new WeakMap<MysqlConnection, number>();
const LONGEST_LOCK_WAIT_S = 3_600;

/** Lets statements wait for locks no longer than they may; nothing to send where it is so already. */
export function lockWait(connection: MysqlConnection, withinMs: number): readonly Step[] {
  const seconds = Math.min(Math.max(1, Math.floor(withinMs / 1_000)), LONGEST_LOCK_WAIT_S);
  if (lockWaits.get(connection) === seconds) return [];
  lockWaits.set(connection, seconds);
  return [['wait', `SET SESSION innodb_lock_wait_timeout = ${seconds}`]];
}

/** Ends a transaction of which nothing shall stay. @throws Broken, for a connection that may still be in it */
export async function undo(connection: MysqlConnection): Promise<void> {
  try {
    await run(connection, ['ROLLBACK']);
  } catch (error) {
    throw error instanceof StatementFailed ? new Broken(error, 'nothing-written') : error;
  }
}
