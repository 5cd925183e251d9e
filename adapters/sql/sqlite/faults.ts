import { type FaultOutcome, StoreFault } from '../../../src/core/errors.ts';
import type { Rejection } from '../../../src/core/store.ts';

/** What an error of the driver means. */
export type Failure =
  /** Another connection has the lock; nothing happened. */
  | { readonly kind: 'busy' }
  /** The statement's own fault: this write is refused, others need not be. */
  | { readonly kind: 'rejected'; readonly rejection: Rejection }
  /** The database's. */
  | { readonly kind: 'fault'; readonly code: string }
  /** No error of SQLite at all. */
  | { readonly kind: 'other' };

/** Thrown out of a statement whose values the driver refuses to bind. */
export class UnboundValue extends RangeError {}

/** SQLite's (extended) result code of an error, if it is one of SQLite's. */
export function sqliteCode(error: unknown): string | null {
  if (!(error instanceof Error) || !('code' in error)) return null;
  return typeof error.code === 'string' && error.code.startsWith('SQLITE_') ? error.code : null;
}

const CONSTRAINTS: Readonly<Record<string, string>> = {
  SQLITE_CONSTRAINT_UNIQUE: 'a unique constraint',
  SQLITE_CONSTRAINT_PRIMARYKEY: 'a primary key',
  SQLITE_CONSTRAINT_ROWID: 'a primary key',
  SQLITE_CONSTRAINT_NOTNULL: 'NOT NULL',
  SQLITE_CONSTRAINT_CHECK: 'a CHECK',
  SQLITE_CONSTRAINT_FOREIGNKEY: 'a foreign key',
  SQLITE_CONSTRAINT_TRIGGER: 'a trigger',
};

/** Classifies an error by its code, never by its words. */
export function classify(error: unknown): Failure {
  const rejected = (reason: Rejection['reason'], message: string): Failure => ({
    kind: 'rejected',
    rejection: { kind: 'rejected', reason, message },
  });
  if (error instanceof UnboundValue) return rejected('limit', 'a value is larger than SQLite holds');
  const code = sqliteCode(error);
  if (code === null) return { kind: 'other' };
  if (code.startsWith('SQLITE_BUSY') || code.startsWith('SQLITE_LOCKED')) return { kind: 'busy' };
  if (code === 'SQLITE_TOOBIG') return rejected('limit', 'the record is larger than SQLite holds (SQLITE_TOOBIG)');
  if (code === 'SQLITE_MISMATCH' || code === 'SQLITE_CONSTRAINT_DATATYPE') {
    return rejected('limit', `a value does not have the type of its column (${code})`);
  }
  if (code.startsWith('SQLITE_CONSTRAINT')) {
    return rejected('constraint', `${CONSTRAINTS[code] ?? 'a constraint'} of the table is violated (${code})`);
  }
  return { kind: 'fault', code };
}

/** The fault to throw for an error, whatever it is. */
export function storeFault(label: string, error: unknown, outcome: FaultOutcome): StoreFault {
  if (error instanceof StoreFault) return error;
  const failure = classify(error);
  const code = sqliteCode(error) ?? (error instanceof Error ? error.name : 'unknown error');
  return new StoreFault(`${label}: ${code}`, { outcome, pressure: failure.kind === 'busy', cause: error });
}
