import { StoreFault } from '../../../src/core/errors.ts';
import type { Rejection } from '../../../src/core/store.ts';
import { PipelineFailed } from './pipeline.ts';

/** What a failed pipeline means. */
export type Failure =
  /** A rule of the table or a limit: this write (or one of these) is refused. */
  | { readonly kind: 'rejected'; readonly rejection: Rejection }
  /** A lock was not to be had, or the time was up. Nothing happened. */
  | { readonly kind: 'waited' }
  /** A table is not there (any more). Nothing happened. */
  | { readonly kind: 'no-table' }
  /** What is named is not what was sent under the name: it fits no longer, is gone, or there already. Nothing happened. */
  | { readonly kind: 'stale' }
  /** The server refuses or fails, nothing happened. */
  | { readonly kind: 'failed'; readonly code: string; readonly pressure: boolean }
  /** The connection is gone, and with it what became of a write. */
  | { readonly kind: 'lost'; readonly code: string; readonly pressure: boolean };

interface DatabaseError {
  readonly code: string;
  readonly severity: string;
  readonly constraint?: string;
  readonly column?: string;
}

const text = (value: unknown): string => (typeof value === 'string' ? value : '');

/** An error of the server itself, by its SQLSTATE; null for one of the connection. */
function databaseError(error: unknown): DatabaseError | null {
  if (typeof error !== 'object' || error === null) return null;
  const { code, severity } = error as { readonly code?: unknown; readonly severity?: unknown };
  return /^[0-9A-Z]{5}$/.test(text(code)) && typeof severity === 'string' ? (error as DatabaseError) : null;
}

/** The code that names an error, never its words. */
export function codeOf(error: unknown): string {
  if (error instanceof PipelineFailed) return codeOf(error.cause);
  const code = text((error as { readonly code?: unknown } | null)?.code);
  return code === '' ? 'connection lost' : code;
}

const CONSTRAINTS: Readonly<Record<string, string>> = {
  '23001': 'the foreign key',
  '23502': 'NOT NULL',
  '23503': 'the foreign key',
  '23505': 'the unique constraint',
  '23514': 'the check',
  '23P01': 'the exclusion constraint',
  '44000': 'the check option of the view',
};

const rejected = (reason: Rejection['reason'], message: string): Failure => ({
  kind: 'rejected',
  rejection: { kind: 'rejected', reason, message },
});

/** Connection, resources, shutdown, time-outs of sessions, system, internal: what ends connections. */
const GONE = /^(08|25P0[34]|53|57P|58|F0|XX)/;

/**
 * A plan whose tables were changed; a statement that is not there, or is there although this connection never sent it:
 * a pooler gives each transaction another session of the server, which others have used.
 */
const STALE = /^(0A000|26000|42P05)$/;

/** The server, or the session, takes no writes. */
const READ_ONLY = '25006';

/** An invalid text at this point is that of an enum: all other values were looked at before. */
const INVALID_TEXT = '22P02';

/** Classifies an error by its SQLSTATE, never by its words. */
export function classify(failed: unknown): Failure {
  const cause = failed instanceof PipelineFailed ? failed.cause : failed;
  const error = databaseError(cause);
  if (error === null) return { kind: 'lost', code: codeOf(cause), pressure: false };
  const { code, severity, constraint, column } = error;
  const kind = code.slice(0, 2);
  if (severity === 'FATAL' || severity === 'PANIC') return { kind: 'lost', code, pressure: kind === '53' };
  if (kind === '23' || kind === '44') {
    const name = constraint === undefined ? (column === undefined ? '' : ` of "${column}"`) : ` "${constraint}"`;
    return rejected('constraint', `${CONSTRAINTS[code] ?? 'a constraint'}${name} of the table is violated (${code})`);
  }
  if (code === INVALID_TEXT) return rejected('constraint', `a value is none that its column knows (${code})`);
  if (kind === '22') return rejected('limit', `a value is beyond what its column holds (${code})`);
  if (kind === '54') return rejected('limit', `the record is larger than PostgreSQL holds (${code})`);
  if (kind === 'P0' || kind === '09' || kind === '27') {
    return rejected('constraint', `a trigger of the table refuses the record (${code})`);
  }
  // In other languages the severity is another word; after these the connection, or the server, may well be gone.
  if (severity !== 'ERROR' && GONE.test(code)) return { kind: 'lost', code, pressure: kind === '53' };
  if (code === '55P03' || code === '57014') return { kind: 'waited' };
  if (code === '42P01') return { kind: 'no-table' };
  if (STALE.test(code)) return { kind: 'stale' };
  return { kind: 'failed', code, pressure: kind === '53' };
}

/**
 * Whether a connection may not be used again. One that reads only has surely written nothing, but would go on so: a
 * pooler may have led it to a standby, or the database was opened for writing since.
 */
export const breaksConnection = (failed: PipelineFailed): boolean =>
  classify(failed).kind === 'lost' || codeOf(failed) === READ_ONLY;

/** The fault of a call that is not a write, or of a write that is not otherwise answered. */
export function storeFault(label: string, error: unknown, write: boolean): StoreFault {
  if (error instanceof StoreFault) return error;
  const failure = classify(error);
  const waited = failure.kind === 'waited';
  return new StoreFault(`${label}: ${waited ? 'a lock was not free in time' : codeOf(error)}`, {
    outcome: write && failure.kind === 'lost' ? 'unknown' : 'nothing-written',
    pressure: waited || ('pressure' in failure && failure.pressure),
    cause: error,
  });
}
