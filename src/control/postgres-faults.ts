import { ChangeoverError, ControlUnavailable, InvalidConfiguration } from '../core/errors.ts';
import { errorCode, type FailureKind } from './control-dialect.ts';

/** The connection ended before COMMIT was sent, so the server has undone whatever the transaction did. */
export class ConnectionLost extends Error {
  readonly code = 'CONNECTION_LOST';

  constructor(cause?: unknown) {
    super('the connection ended within a transaction', { cause });
    this.name = new.target.name;
  }
}

/** Serialization failure, deadlock, a lock that was not free in time. */
const CONFLICT = /^(40001|40P01|55P03)$/;
/** Login, database, privileges: no waiting mends them. */
const REFUSED = /^(28|3D|42501)/;
/** Connection, resources, read-only (a standby), shutdown or time-out, system, internal. */
const AWAY = /^(08|53|25006|57|58|F0|XX)/;
/** After these the server closes the connection. */
const FAREWELL = /^(08|57P01|57P02|57P03|57P05|25P03|25P04)/;
/** After these a COMMIT has surely done nothing; 40003 is the one that does not know. */
const UNDONE = /^(40(?!003)|23|25006|25P02)/;
const READ_ONLY = '25006';

export function classifyPostgres(error: unknown): FailureKind {
  if (error instanceof ConnectionLost) return 'again';
  const code = errorCode(error);
  if (CONFLICT.test(code)) return 'again';
  if (REFUSED.test(code)) return 'unusable';
  return AWAY.test(code) || /^E[A-Z]+$/.test(code) ? 'unreachable' : 'other';
}

/** Whether the server said goodbye with it. */
export const endsConnection = (error: unknown): boolean => FAREWELL.test(errorCode(error));

/** Whether the connection takes no writes: a pooler may have led it to a standby. Another one may take them. */
export const takesNoWrites = (error: unknown): boolean => errorCode(error) === READ_ONLY;

/** Whether a COMMIT that was answered with it has surely changed nothing. */
export const isUndone = (error: unknown): boolean => UNDONE.test(errorCode(error));

/** The standby's rows are of some time ago: who went by them could take a move for one that never was. */
export const standbyFailure = (label: string): ControlUnavailable =>
  new ControlUnavailable(`${label} is a standby, not the primary`, {
    expected: 'the primary',
    remedy: 'let the URL name a host that leads to the primary only (the driver heeds no `target_session_attrs`)',
  });

/** Why no connection came about: whatever has no code is a time-out or a broken line. */
export function connectFailure(label: string, cause: unknown): Error {
  if (cause instanceof ChangeoverError) return cause;
  const code = errorCode(cause);
  if (REFUSED.test(code)) {
    return new InvalidConfiguration(`${label} refuses this process: ${code}`, {
      expected: 'a database that exists and a user who may connect to it',
      remedy: 'see to the user, password and database of `control`',
      cause,
    });
  }
  return new ControlUnavailable(`${label} cannot be reached${code === '' ? '' : `: ${code}`}`, {
    remedy: 'see that its server runs and can be reached from here, then try again',
    cause,
  });
}
