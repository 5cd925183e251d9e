import { StoreFault } from '../../src/core/errors.ts';

/** What a failed request means: what may have happened, and whether it is worth sending again. */
export interface Verdict {
  /** `invalid`: DynamoDB refuses the item itself. `unmet`: the condition was false. `missing`: no such table. */
  readonly kind: 'unmet' | 'invalid' | 'missing' | 'fault';
  readonly outcome: 'nothing-written' | 'unknown';
  readonly pressure: boolean;
  /** A passing state of the server: the same request may succeed in a moment. */
  readonly passing: boolean;
  /** The connection broke, often one that had been idle: what changes nothing may be sent again. */
  readonly broken?: boolean;
  /** The error's name or code; never its text. */
  readonly name: string;
}

const THROTTLED: ReadonlySet<string> = new Set([
  'ProvisionedThroughputExceededException',
  'ThrottlingException',
  'ThrottledException',
  'Throttling',
  'RequestLimitExceeded',
  'RequestThrottled',
  'RequestThrottledException',
  'TooManyRequestsException',
  'LimitExceededException',
]);

/** Refused before it was carried out, for a moment. */
const COLLIDED: ReadonlySet<string> = new Set(['TransactionConflictException', 'ReplicatedWriteConflictException']);

/** Refused because our clock was off; the SDK has learnt the server's and signs with it from now on. */
const clockCorrected = (metadata: { readonly clockSkewCorrected?: unknown } | undefined): boolean =>
  metadata?.clockSkewCorrected === true;

/** The connection was never made, so that no request can have left. */
const NOT_CONNECTED: ReadonlySet<string> = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENETDOWN',
  'EADDRNOTAVAIL',
  'CERT_HAS_EXPIRED',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
]);

const REFUSED = 400;
const INTERNAL = 500;

const BROKEN: ReadonlySet<string> = new Set(['ECONNRESET', 'EPIPE', 'ECONNABORTED']);

const DENIED: ReadonlySet<string> = new Set(['AccessDeniedException', 'AccessDenied']);
const UNSUPPORTED: ReadonlySet<string> = new Set(['UnknownOperationException', 'InvalidAction']);

/** Whether an error of this name says that the credentials may not do it. */
export const isDenied = (name: string): boolean => DENIED.has(name);

/** Whether it says that the server cannot do it. */
export const isUnsupported = (name: string): boolean => UNSUPPORTED.has(name);

/** What a statement of a batch failed with, by its code: the verdict of the single put with the same fault. */
const OF_STATEMENTS: Readonly<Record<string, string>> = {
  ProvisionedThroughputExceeded: 'ProvisionedThroughputExceededException',
  ThrottlingError: 'ThrottlingException',
  RequestLimitExceeded: 'RequestLimitExceeded',
  TransactionConflict: 'TransactionConflictException',
  ResourceNotFound: 'ResourceNotFoundException',
  ValidationError: 'ValidationException',
  ItemCollectionSizeLimitExceeded: 'ItemCollectionSizeLimitExceededException',
  DuplicateItem: 'ConditionalCheckFailedException',
  ConditionalCheckFailed: 'ConditionalCheckFailedException',
  AccessDenied: 'AccessDeniedException',
};

const text = (value: unknown): string => (typeof value === 'string' ? value : '');

/** Reads an error of the SDK by its name, code and HTTP status. */
export function classify(error: unknown): Verdict {
  const seen = (typeof error === 'object' && error !== null ? error : {}) as {
    readonly name?: unknown;
    readonly code?: unknown;
    readonly $metadata?: { readonly httpStatusCode?: unknown; readonly clockSkewCorrected?: unknown };
  };
  const status = Number(seen.$metadata?.httpStatusCode ?? 0);
  const code = text(seen.code);
  const name = text(seen.name) === 'Error' || text(seen.name) === 'AggregateError' ? code : text(seen.name) || code;
  const nothing = { name: name === '' ? 'unknown error' : name, outcome: 'nothing-written' } as const;
  const calm = { pressure: false, passing: false };
  if (name === 'ConditionalCheckFailedException') return { ...nothing, ...calm, kind: 'unmet' };
  if (name === 'ValidationException' || name === 'ItemCollectionSizeLimitExceededException') {
    return { ...nothing, ...calm, kind: 'invalid' };
  }
  if (name === 'ResourceNotFoundException') return { ...nothing, ...calm, kind: 'missing' };
  if (THROTTLED.has(name) || status === 429) return { ...nothing, kind: 'fault', pressure: true, passing: true };
  if (COLLIDED.has(name) || clockCorrected(seen.$metadata))
    return { ...nothing, kind: 'fault', pressure: false, passing: true };
  if (NOT_CONNECTED.has(code) || name === 'CredentialsProviderError') return { ...nothing, ...calm, kind: 'fault' };
  if (status >= INTERNAL)
    return { ...nothing, kind: 'fault', outcome: 'unknown', pressure: status === 503, passing: true };
  if (status >= REFUSED) return { ...nothing, ...calm, kind: 'fault' };
  return { ...nothing, ...calm, kind: 'fault', outcome: 'unknown', broken: BROKEN.has(code) };
}

/** Reads the code of a statement's error: it has a code where a whole request has a name and an HTTP status. */
export function ofStatement(code: string | undefined): Verdict {
  const name = OF_STATEMENTS[code ?? ''];
  return classify(
    name === undefined
      ? { name: code ?? 'unknown error', $metadata: { httpStatusCode: INTERNAL } }
      : { name, $metadata: { httpStatusCode: REFUSED } },
  );
}

/** Whether a request of many parts was refused for good, and before any of them was carried out. */
export function refusedAsAWhole(error: unknown, { kind, passing }: Verdict): boolean {
  const { $metadata } = (error ?? {}) as { readonly $metadata?: { readonly httpStatusCode?: unknown } };
  const status = Number($metadata?.httpStatusCode ?? 0);
  return kind === 'invalid' || (!passing && status >= REFUSED && status < INTERNAL);
}

/**
 * What may be told of a driver's error. The error itself holds on to its request, with keys and tokens in the headers,
 * and a server that finds a signature wrong repeats those in its message.
 */
class DriverError extends Error {
  override readonly name: string;
  readonly code: string | undefined;
  readonly $metadata: { readonly httpStatusCode: number | undefined; readonly requestId: string | undefined };

  constructor(error: unknown, name: string) {
    const { code, $metadata } = (error ?? {}) as { readonly code?: unknown; readonly $metadata?: unknown };
    const { httpStatusCode, requestId } = ($metadata ?? {}) as Readonly<Record<string, unknown>>;
    const status = typeof httpStatusCode === 'number' ? httpStatusCode : undefined;
    super(status === undefined ? 'no answer' : `HTTP status ${status}`);
    this.name = name;
    this.code = typeof code === 'string' ? code : undefined;
    this.$metadata = { httpStatusCode: status, requestId: typeof requestId === 'string' ? requestId : undefined };
  }
}

/** The fault that callers see. `mayBeWritten`: an earlier copy of the request had no answer. */
export function faultOf(
  label: string,
  operation: string,
  verdict: Verdict,
  mayBeWritten: boolean,
  cause?: unknown,
): StoreFault {
  // Our own limits end a request by aborting it.
  const why = verdict.name === 'AbortError' || verdict.name === 'TimeoutError' ? 'no answer in time' : verdict.name;
  return new StoreFault(`${label}: ${operation} failed (${why})`, {
    outcome: mayBeWritten ? 'unknown' : verdict.outcome,
    pressure: verdict.pressure,
    ...(cause === undefined ? {} : { cause: new DriverError(cause, verdict.name) }),
  });
}
