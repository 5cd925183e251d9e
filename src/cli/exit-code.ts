/** What every command ends with. */
export const EXIT = {
  done: 0,
  /** Refused by a gate or a conflict, or divergent. Nothing changed. */
  refused: 1,
  /** Not finished, or not known: a verification that could not judge, an interrupted command, a late acknowledgement. */
  inconclusive: 2,
  /** Usage or configuration. */
  usage: 3,
  /** A store or the control plane cannot be reached. */
  unreachable: 4,
  /** A mistake of changeover itself. */
  bug: 70,
} as const;

export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

/** The exit code of every error code: the one place where they are decided. */
export const EXIT_OF_CODE: Readonly<Record<string, ExitCode>> = Object.freeze({
  GATES_REFUSED: EXIT.refused,
  REVISION_CONFLICT: EXIT.refused,
  VERSION_CONFLICT: EXIT.refused,
  ALREADY_EXISTS: EXIT.refused,
  BUSY: EXIT.refused,
  MIGRATION_FINISHED: EXIT.refused,
  HANDOVER_IN_PROGRESS: EXIT.refused,
  STORE_REJECTED: EXIT.refused,
  FORBIDDEN: EXIT.refused,
  FLEET_TIMEOUT: EXIT.inconclusive,
  INTERRUPTED: EXIT.inconclusive,
  OUTCOME_UNKNOWN: EXIT.inconclusive,
  DEADLINE_EXCEEDED: EXIT.inconclusive,
  UNKNOWN_MIGRATION: EXIT.usage,
  INVALID_ARGUMENT: EXIT.usage,
  INVALID_CONFIGURATION: EXIT.usage,
  INVALID_RECORD: EXIT.usage,
  NOT_SUPPORTED: EXIT.usage,
  NOT_PREPARED: EXIT.usage,
  CURSOR_EXPIRED: EXIT.usage,
  UNAUTHENTICATED: EXIT.usage,
  NOT_FOUND: EXIT.usage,
  STORE_FAULT: EXIT.unreachable,
  STORE_UNAVAILABLE: EXIT.unreachable,
  CONTROL_UNAVAILABLE: EXIT.unreachable,
  NOT_REGISTERED: EXIT.unreachable,
  RATE_LIMITED: EXIT.unreachable,
  SIGN_IN_UNAVAILABLE: EXIT.unreachable,
  CLOSED: EXIT.bug,
  STAMP_EXHAUSTED: EXIT.bug,
});
