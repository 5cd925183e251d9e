import { type FaultOutcome, StoreFault } from '../../../src/core/errors.ts';
import type { Rejection } from '../../../src/core/store.ts';

/** What an error of the driver means. */
export type Failure =
  /** A unique index holds another row with the same values. */
  | { readonly kind: 'duplicate'; readonly rejection: Rejection }
  /** The statement's own fault: this write is refused, others need not be. */
  | { readonly kind: 'rejected'; readonly rejection: Rejection }
  /** Another transaction was in the way; nothing is left of this one, once it is rolled back. */
  | { readonly kind: 'locked' }
  /** An assertion of ours failed; in a statement that asserts nothing, an expression of the table's own. */
  | { readonly kind: 'asserted'; readonly rejection: Rejection }
  | { readonly kind: 'no table' }
  /** The connection is gone, and with it the answer. */
  | { readonly kind: 'lost' }
  /** The server answered that it is going to end the connection. */
  | { readonly kind: 'ending' }
  /** The server's. */
  | { readonly kind: 'fault'; readonly pressure: boolean };

const CONSTRAINTS: Readonly<Record<number, string>> = {
  1048: 'NOT NULL',
  1216: 'a foreign key',
  1217: 'a foreign key',
  1364: 'NOT NULL',
  1369: 'a CHECK OPTION',
  1451: 'a foreign key',
  1452: 'a foreign key',
  1557: 'a foreign key',
  1643: 'a trigger',
  1644: 'a trigger',
  1761: 'a foreign key',
  1762: 'a foreign key',
  3819: 'a CHECK',
  4025: 'a CHECK',
};
const DUPLICATE = new Set([1022, 1062, 1169, 1586]);
const LIMITS: Readonly<Record<number, string>> = {
  1118: 'the record is larger than a row may be',
  1153: 'the record is larger than a packet may be (max_allowed_packet)',
  1197: 'the record is larger than the cache of the binary log',
  1264: 'a value is out of the range of its column',
  1265: 'a value does not fit its column',
  1292: 'a value does not have the type of its column',
  1301: 'a value is larger than a packet may be (max_allowed_packet)',
  1366: 'a value does not have the type or the characters of its column',
  1406: 'a value is longer than its column',
  1411: 'a value does not have the type of its column',
  1713: 'the record is larger than the log of changes takes',
  3140: 'a value is no JSON',
  3150: 'a JSON value is larger than a JSON column may be',
  3156: 'a JSON value does not have the type of its column',
  3157: 'a JSON value is nested deeper than a JSON column may be',
};
/** Lock waits that were too long, deadlocks, and what else lost against another transaction and was rolled back. */
const LOCKED = new Set([1020, 1205, 1213, 1412, 1614, 3058, 3101, 3572]);
/** Out of connections, memory, threads, disk, or what the account may use. */
const PRESSURE = new Set([1021, 1037, 1038, 1040, 1041, 1114, 1135, 1203, 1206, 1226, 3168]);
/** The server says good-bye. */
const ENDING = new Set([1053, 1077, 1079, 1080, 1152, 1184, 1927, 4031]);
/** Classes of SQLSTATEs: what a trigger that SIGNALs a number of its own says of a row, and errors newer than these lists. */
const CLASSES: Readonly<Record<string, Rejection['reason']>> = { 22: 'limit', 23: 'constraint', 44: 'constraint' };
const ASSERTED = 1690;
const NO_TABLE = 1146;

/** The number of an error of the server; null for any other. */
export function errnoOf(error: unknown): number | null {
  if (!(error instanceof Error) || !('errno' in error) || !('sqlState' in error)) return null;
  return typeof error.errno === 'number' && error.errno > 0 ? error.errno : null;
}

/** From here on a number is one thing to MySQL and another to MariaDB, and the driver knows the names of the former. */
const FIRST_AMBIGUOUS = 4_000;

/** A short name of an error without values: `ER_DUP_ENTRY (1062)`, `error 4025`, `ECONNREFUSED`. */
export function errorName(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown error';
  const errno = errnoOf(error);
  if (errno !== null && errno >= FIRST_AMBIGUOUS) return `error ${errno}`;
  const code = 'code' in error && typeof error.code === 'string' ? error.code : error.name;
  return errno === null ? code : `${code} (${errno})`;
}

/** Classifies an error by its number, never by its words. */
export function classify(error: unknown): Failure {
  const errno = errnoOf(error);
  if (errno === null) return { kind: 'lost' };
  if (ENDING.has(errno)) return { kind: 'ending' };
  const rejected = (reason: Rejection['reason'], message: string): Rejection => ({
    kind: 'rejected',
    reason,
    message: `${message}: ${errorName(error)}`,
  });
  if (DUPLICATE.has(errno)) {
    return { kind: 'duplicate', rejection: rejected('constraint', 'a unique index of the table is violated') };
  }
  const state = error instanceof Error && 'sqlState' in error ? String(error.sqlState) : '';
  const constraint = CONSTRAINTS[errno] ?? (state === '45000' ? 'a trigger' : undefined);
  if (constraint !== undefined) {
    return { kind: 'rejected', rejection: rejected('constraint', `${constraint} of the table is violated`) };
  }
  const limit = LIMITS[errno];
  if (limit !== undefined) return { kind: 'rejected', rejection: rejected('limit', limit) };
  if (LOCKED.has(errno)) return { kind: 'locked' };
  if (errno === ASSERTED) {
    return { kind: 'asserted', rejection: rejected('constraint', 'an expression of the table is out of range') };
  }
  if (errno === NO_TABLE) return { kind: 'no table' };
  const reason = PRESSURE.has(errno) ? undefined : CLASSES[state.slice(0, 2)];
  if (reason !== undefined)
    return { kind: 'rejected', rejection: rejected(reason, 'the table does not take the record') };
  return { kind: 'fault', pressure: PRESSURE.has(errno) };
}

/** The fault to throw for an error, whatever it is. */
export function storeFault(label: string, error: unknown, outcome: FaultOutcome): StoreFault {
  if (error instanceof StoreFault) return error;
  const failure = classify(error);
  const pressure = failure.kind === 'locked' || (failure.kind === 'fault' && failure.pressure);
  return new StoreFault(`${label}: ${errorName(error)}`, { outcome, pressure, cause: error });
}
