import { type FaultOutcome, StoreFault } from '../../src/core/errors.ts';
import type { Rejection } from '../../src/core/store.ts';
import { EXPIRED_CODE } from './guards.ts';
import { constraint, limit } from './rejection.ts';

/** What a failed command, or a failed statement of one, means. */
export interface Verdict {
  /**
   * `expired`: it came after its deadline. `duplicate-id`: somebody inserted the same `_id` meanwhile. `refused`: the
   * document itself. `unable`: the server does not know or allow the command.
   */
  readonly kind: 'expired' | 'duplicate-id' | 'refused' | 'unable' | 'fault';
  readonly rejection?: Rejection;
  /** The paths of the unique index that refused it. */
  readonly index?: readonly string[];
  /** The collection's validator refused it. */
  readonly invalid?: true;
  readonly outcome: FaultOutcome;
  readonly pressure: boolean;
  /** A passing state of the server: the same command may succeed in a moment. */
  readonly passing: boolean;
  /** The error's name and code; never its text, which may hold values. */
  readonly name: string;
}

const DUPLICATE = new Set([11000, 11001, 12582]);
const TOO_LARGE = new Set([10334, 17419, 17420, 10003, 15, 17280]);
const BAD_NAMES = new Set([52, 55, 56, 57, 53]);
/** Bytes that are not what their type says, such as a Binary of subtype 7 that is no compressed column. */
const MALFORMED = new Set([22, 378]);
/** An index cannot hold it: two arrays side by side, no place on earth, a language that no text index knows, and so on. */
const UNINDEXABLE = new Set([171, 201, 13026, 13027, 13067, 13068, 16746, 16755, 16766, 16804, 17261, 17262]);
/** Refused before anything was done: not the primary, or not any more. */
const NOT_PRIMARY = new Set([10107, 13435, 10058, 10054]);
/** Waited for too long for a lock or a conflict; nothing was done. */
const CONFLICTED = new Set([112, 24, 46, 225]);
const NOT_ALLOWED = new Set([13, 18, 33, 8000, 20, 166]);
/** The server does not know the command, stage or operator, or not in this place. */
const NOT_KNOWN = new Set([59, 40324, 168, 303, 51, 72, 2]);
/** Killed by its time limit, a step-down or a shutdown: perhaps only while it waited for the majority. */
const INTERRUPTED = new Set([6, 7, 50, 64, 89, 91, 100, 189, 262, 9001, 11600, 11601, 11602]);
const VALIDATION = 121;
/** The states of a server, or of a connection, for which drivers repeat a read once (retryable reads). */
const REPEATABLE = new Set([6, 7, 89, 91, 134, 189, 262, 9001, 10107, 11600, 11602, 13435, 13436]);
const BROKEN: ReadonlySet<string> = new Set(['MongoNetworkError', 'MongoNetworkTimeoutError', 'MongoPoolClearedError']);

/** Errors of the driver that come before a command leaves. */
const NOT_SENT: ReadonlySet<string> = new Set([
  'MongoServerSelectionError',
  'MongoPoolClearedError',
  'MongoPoolClosedError',
  'MongoWaitQueueTimeoutError',
  'MongoNotConnectedError',
  'MongoTopologyClosedError',
  'MongoServerClosedError',
  'MongoMissingCredentialsError',
  'MongoParseError',
  'MongoInvalidArgumentError',
]);

interface Seen {
  readonly name?: unknown;
  readonly code?: unknown;
  readonly codeName?: unknown;
  readonly keyPattern?: unknown;
  readonly beforeHandshake?: unknown;
  readonly errorResponse?: { readonly ok?: unknown; readonly keyPattern?: unknown };
  readonly writeConcernError?: unknown;
}

/** Reads an error of the driver, or a write error in an answer, by its class and code. */
export function classify(error: unknown): Verdict {
  const seen = (typeof error === 'object' && error !== null ? error : {}) as Seen;
  const className = typeof seen.name === 'string' ? seen.name : '';
  const code = typeof seen.code === 'number' ? seen.code : 0;
  const codeName = typeof seen.codeName === 'string' ? seen.codeName : '';
  const name = code !== 0 ? `${codeName === '' ? 'code' : codeName} ${code}` : className || 'unknown error';
  const nothing = { name, outcome: 'nothing-written', pressure: false, passing: false } as const;
  if (className === 'MongoWriteConcernError') return { ...nothing, kind: 'fault', outcome: 'unknown' };
  if (className === 'BSONError' || className === 'BSONVersionError') {
    return { ...nothing, kind: 'refused', rejection: limit(`the driver cannot write the document (${className})`) };
  }
  if (NOT_SENT.has(className) || seen.beforeHandshake === true) {
    return { ...nothing, kind: 'fault', passing: true, pressure: className === 'MongoWaitQueueTimeoutError' };
  }
  if (code === 0) return { ...nothing, kind: 'fault', outcome: 'unknown' };
  if (code === EXPIRED_CODE) return { ...nothing, kind: 'expired' };
  if (DUPLICATE.has(code)) return duplicate(seen, nothing);
  if (code === VALIDATION) {
    const rejection = constraint("the collection's validator refuses the document");
    return { ...nothing, kind: 'refused', rejection, invalid: true };
  }
  if (TOO_LARGE.has(code) || BAD_NAMES.has(code) || MALFORMED.has(code)) {
    return { ...nothing, kind: 'refused', rejection: limit(`MongoDB refuses the document (${name})`) };
  }
  if (UNINDEXABLE.has(code)) {
    const rejection = constraint(`an index of the collection does not hold the document (${name})`);
    return { ...nothing, kind: 'refused', rejection };
  }
  if (NOT_PRIMARY.has(code) || CONFLICTED.has(code)) {
    return { ...nothing, kind: 'fault', passing: true, pressure: CONFLICTED.has(code) };
  }
  if (NOT_ALLOWED.has(code) || NOT_KNOWN.has(code)) return { ...nothing, kind: 'unable' };
  return { ...nothing, kind: INTERRUPTED.has(code) ? 'fault' : 'unable', outcome: 'unknown' };
}

/** Whether a read that failed so is worth repeating at once. */
export function isRepeatable(error: unknown): boolean {
  const { name, code } = (typeof error === 'object' && error !== null ? error : {}) as Seen;
  return typeof code === 'number' ? REPEATABLE.has(code) : typeof name === 'string' && BROKEN.has(name);
}

function duplicate(seen: Seen, nothing: Omit<Verdict, 'kind'>): Verdict {
  const pattern = seen.keyPattern ?? seen.errorResponse?.keyPattern;
  const index = Object.keys(typeof pattern === 'object' && pattern !== null ? pattern : {});
  if (index.length === 1 && index[0] === '_id') return { ...nothing, kind: 'duplicate-id' };
  const rejection = constraint(`another document has the same unique ${index.join(', ') || 'value'}`);
  return { ...nothing, kind: 'refused', rejection, index };
}

/** The fault that callers see. The driver's own error is no cause of it: its text may hold values and addresses. */
export function faultOf(label: string, operation: string, verdict: Verdict): StoreFault {
  return new StoreFault(`${label}: ${operation} failed (${verdict.name})`, {
    outcome: verdict.outcome,
    pressure: verdict.pressure,
  });
}
