/** What every error of changeover carries besides its message. */
export interface ErrorDetails {
  /** What was expected, when the message does not say so already. */
  readonly expected?: string;
  /** The command or change that mends it. */
  readonly remedy?: string;
  /** Facts for machines: names, limits, revisions. Never values of records, never secrets. */
  readonly details?: Readonly<Record<string, unknown>>;
  readonly cause?: unknown;
}

/**
 * The base of every error that changeover throws on purpose.
 *
 * Match on `code` (stable, listed in docs/errors.md) or with `instanceof`, never on the message.
 *
 * @example
 * try { await events.create(event); }
 * catch (error) { if (error instanceof AlreadyExists) return; throw error; }
 */
export abstract class ChangeoverError extends Error {
  abstract readonly code: string;
  /** True when nothing was written and the same call may succeed later. */
  readonly retryable: boolean = false;
  readonly expected: string | undefined;
  readonly remedy: string | undefined;
  readonly details: Readonly<Record<string, unknown>>;

  constructor(message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = new.target.name;
    this.expected = details.expected;
    this.remedy = details.remedy;
    this.details = details.details ?? {};
  }

  /** The shape that `--json` prints and the HTTP API answers. */
  toJSON(): Record<string, unknown> {
    return {
      code: this.code,
      message: this.message,
      ...(this.expected === undefined ? {} : { expected: this.expected }),
      ...(this.remedy === undefined ? {} : { remedy: this.remedy }),
      ...(this.retryable ? { retryable: true } : {}),
      ...(Object.keys(this.details).length === 0 ? {} : { details: this.details }),
    };
  }
}

// --- what a caller of the repository meets ------------------------------------------------------

/** `create` met a record under the same key. */
export class AlreadyExists extends ChangeoverError {
  override readonly code = 'ALREADY_EXISTS';
}
/** `replace` was given a version that is no longer the stored one, or an `update` lost too many races. */
export class VersionConflict extends ChangeoverError {
  override readonly code = 'VERSION_CONFLICT';
}
/** The store did not say whether the write was applied; it may be, now or a little later. Never sent again by us. */
export class OutcomeUnknown extends ChangeoverError {
  override readonly code = 'OUTCOME_UNKNOWN';
}
/** The write's range is changing its authority and the wait was over before the handover was. Nothing was written. */
export class HandoverInProgress extends ChangeoverError {
  override readonly code = 'HANDOVER_IN_PROGRESS';
  override readonly retryable = true;
}
/** The store saw the write after its deadline and left everything as it was. */
export class DeadlineExceeded extends ChangeoverError {
  override readonly code = 'DEADLINE_EXCEEDED';
  override readonly retryable = true;
}
/** The authority could not be reached or answered with a passing fault; nothing was written. */
export class StoreUnavailable extends ChangeoverError {
  override readonly code = 'STORE_UNAVAILABLE';
  override readonly retryable = true;
}
/** A constraint or limit of a store refuses the record; nothing was written. */
export class StoreRejected extends ChangeoverError {
  override readonly code = 'STORE_REJECTED';
}
/** The record, its key or its unit does not have the form that the migration's mapping asks for. */
export class InvalidRecord extends ChangeoverError {
  override readonly code = 'INVALID_RECORD';
}
/** The cursor was made by another store or another query and cannot be continued; start again. */
export class CursorExpired extends ChangeoverError {
  override readonly code = 'CURSOR_EXPIRED';
}
/** The store or the configuration has no such ability. */
export class NotSupported extends ChangeoverError {
  override readonly code = 'NOT_SUPPORTED';
}
/** This process is not (or no longer) registered with the control plane, so it may not write. */
export class NotRegistered extends ChangeoverError {
  override readonly code = 'NOT_REGISTERED';
  override readonly retryable = true;
}
/** The object was closed. */
export class Closed extends ChangeoverError {
  override readonly code = 'CLOSED';
}
/** Stamps cannot grow any further: a stored stamp stands at the end of time. */
export class StampExhausted extends ChangeoverError {
  override readonly code = 'STAMP_EXHAUSTED';
}

// --- what an operator meets ---------------------------------------------------------------------

/** One gate's verdict: did it pass, on what evidence, and what mends it. */
export interface GateVerdict {
  readonly gate: string;
  readonly passed: boolean;
  /** Advice can be overridden with `--force`; what would lose data cannot. */
  readonly advice: boolean;
  readonly evidence: string;
  readonly remedy: string | null;
}

/** A move was refused by its gates; nothing changed. */
export class GatesRefused extends ChangeoverError {
  override readonly code = 'GATES_REFUSED';
  readonly gates: readonly GateVerdict[];
  constructor(message: string, gates: readonly GateVerdict[], details: ErrorDetails = {}) {
    super(message, details);
    this.gates = gates;
  }
  override toJSON(): Record<string, unknown> {
    return { ...super.toJSON(), gates: this.gates };
  }
}
/** The ruleset was changed by somebody else since it was looked at. */
export class RevisionConflict extends ChangeoverError {
  override readonly code = 'REVISION_CONFLICT';
  override readonly retryable = true;
}
/** Processes did not acknowledge in time; they are named. */
export class FleetTimeout extends ChangeoverError {
  override readonly code = 'FLEET_TIMEOUT';
  override readonly retryable = true;
}
/** Another operation that excludes this one is going on. */
export class Busy extends ChangeoverError {
  override readonly code = 'BUSY';
  override readonly retryable = true;
}
export class UnknownMigration extends ChangeoverError {
  override readonly code = 'UNKNOWN_MIGRATION';
}
/** The migration is retired or finished and does not move any more. */
export class MigrationFinished extends ChangeoverError {
  override readonly code = 'MIGRATION_FINISHED';
}
export class InvalidArgument extends ChangeoverError {
  override readonly code = 'INVALID_ARGUMENT';
}
export class InvalidConfiguration extends ChangeoverError {
  override readonly code = 'INVALID_CONFIGURATION';
}
/** The control plane or a store lacks what `changeover prepare` makes. */
export class NotPrepared extends ChangeoverError {
  override readonly code = 'NOT_PREPARED';
}
/** The control plane cannot be reached. */
export class ControlUnavailable extends ChangeoverError {
  override readonly code = 'CONTROL_UNAVAILABLE';
  override readonly retryable = true;
}
/** The operation was interrupted; what it had done is kept and it can be resumed. */
export class Interrupted extends ChangeoverError {
  override readonly code = 'INTERRUPTED';
  override readonly retryable = true;
}

// --- what a client of the server meets -----------------------------------------------------------

/** The request carries no token, or one that is unknown, expired or revoked. */
export class Unauthenticated extends ChangeoverError {
  override readonly code = 'UNAUTHENTICATED';
}
/** The token's role or its migrations do not allow this. */
export class Forbidden extends ChangeoverError {
  override readonly code = 'FORBIDDEN';
}
/** The server has nothing under this address or id. */
export class NotFound extends ChangeoverError {
  override readonly code = 'NOT_FOUND';
}
/** The identity provider that people sign in with cannot be reached, or answers what it should not. */
export class SignInUnavailable extends ChangeoverError {
  override readonly code = 'SIGN_IN_UNAVAILABLE';
  override readonly retryable = true;
}
/** Too many requests by one token, or too many wrong tokens from one address. */
export class RateLimited extends ChangeoverError {
  override readonly code = 'RATE_LIMITED';
  override readonly retryable = true;
}

// --- what an adapter throws ---------------------------------------------------------------------

/** How much an adapter knows about a failed call. */
export type FaultOutcome = 'nothing-written' | 'unknown';

const STORE_REMEDY =
  'see that the store can be reached and lets this user do it (changeover doctor looks at both), then try again';

/**
 * A store call failed. Adapters classify their driver's errors into this one, so that nobody above reads messages.
 * `outcome` says whether a write may have been applied; `pressure` that the store asks for less load.
 */
export class StoreFault extends ChangeoverError {
  override readonly code = 'STORE_FAULT';
  readonly outcome: FaultOutcome;
  readonly pressure: boolean;
  constructor(
    message: string,
    options: ErrorDetails & { readonly outcome: FaultOutcome; readonly pressure?: boolean },
  ) {
    super(message, { remedy: STORE_REMEDY, ...options });
    this.outcome = options.outcome;
    this.pressure = options.pressure ?? false;
  }
}
