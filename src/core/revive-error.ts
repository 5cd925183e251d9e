import * as errors from './errors.ts';

/** An error as plain JSON: what crosses a worker's port or the HTTP API. */
export interface ErrorJson {
  /** A code of changeover, or the code of a system error; absent otherwise. */
  readonly code?: string;
  /** The class's name where there is no code of changeover. */
  readonly name?: string;
  readonly message: string;
  readonly expected?: string;
  readonly remedy?: string;
  readonly retryable?: boolean;
  readonly details?: Readonly<Record<string, unknown>>;
  readonly gates?: readonly errors.GateVerdict[];
  readonly outcome?: errors.FaultOutcome;
  readonly pressure?: boolean;
  readonly cause?: { readonly name: string; readonly message: string; readonly code?: string };
}

type Revive = (json: ErrorJson, details: errors.ErrorDetails) => errors.ChangeoverError;
type PlainClass = new (message: string, details?: errors.ErrorDetails) => errors.ChangeoverError;

/** The classes that are made of a message and details alone. */
const PLAIN: readonly PlainClass[] = [
  errors.AlreadyExists,
  errors.VersionConflict,
  errors.OutcomeUnknown,
  errors.HandoverInProgress,
  errors.DeadlineExceeded,
  errors.StoreUnavailable,
  errors.StoreRejected,
  errors.InvalidRecord,
  errors.CursorExpired,
  errors.NotSupported,
  errors.NotRegistered,
  errors.Closed,
  errors.StampExhausted,
  errors.RevisionConflict,
  errors.FleetTimeout,
  errors.Busy,
  errors.UnknownMigration,
  errors.MigrationFinished,
  errors.InvalidArgument,
  errors.InvalidConfiguration,
  errors.NotPrepared,
  errors.ControlUnavailable,
  errors.Interrupted,
  errors.Unauthenticated,
  errors.Forbidden,
  errors.NotFound,
  errors.RateLimited,
  errors.SignInUnavailable,
];

const REGISTRY: ReadonlyMap<string, Revive> = new Map<string, Revive>([
  ...PLAIN.map((Type): [string, Revive] => [new Type('').code, ({ message }, details) => new Type(message, details)]),
  ['GATES_REFUSED', ({ message, gates }, details) => new errors.GatesRefused(message, gates ?? [], details)],
  [
    'STORE_FAULT',
    ({ message, outcome, pressure }, details) =>
      new errors.StoreFault(message, { ...details, outcome: outcome ?? 'unknown', pressure: pressure ?? false }),
  ],
]);

const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null;

const textOf = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined);

/** Only what JSON can hold, so that the answer is the same whatever carries it. */
function plain(value: unknown): unknown {
  const text = JSON.stringify(value, (_, item: unknown) => (typeof item === 'bigint' ? item.toString() : item));
  return text === undefined ? null : JSON.parse(text);
}

/** An error, or whatever else was thrown, as plain JSON. Stacks stay where they are. */
export function errorToJson(error: unknown): ErrorJson {
  if (!(error instanceof Error)) return { name: 'Error', message: typeof error === 'string' ? error : 'not an error' };
  const { cause } = error;
  const causeJson =
    cause instanceof Error
      ? { cause: { name: cause.name, message: cause.message, ...codeOf(cause) } }
      : typeof cause === 'string'
        ? { cause: { name: 'Error', message: cause } }
        : {};
  if (!(error instanceof errors.ChangeoverError)) {
    return { name: error.name, message: error.message, ...codeOf(error), ...causeJson };
  }
  const fault = error instanceof errors.StoreFault ? { outcome: error.outcome, pressure: error.pressure } : {};
  return { ...(plain(error) as ErrorJson), ...fault, ...causeJson };
}

function codeOf(error: Error): { code?: string } {
  const code = 'code' in error ? textOf(error.code) : undefined;
  return code === undefined ? {} : { code };
}

/** True for the codes of failed system calls (`ECONNRESET`, `EIO`), not for Node's own mistakes (`ERR_…`). */
const isSystemCode = (code: string): boolean => /^E[A-Z0-9]+$/.test(code);

/**
 * The error that {@link errorToJson} wrote: of the same class, so that `instanceof` and `code` go on working. What is
 * no error of changeover becomes `ControlUnavailable` if it was a failed system call, and a plain `Error` otherwise.
 */
export function errorFromJson(input: unknown): Error {
  const json: Record<string, unknown> = isRecord(input) ? input : {};
  const message = textOf(json['message']) ?? 'an error that could not be read';
  const code = textOf(json['code']);
  const cause = isRecord(json['cause']) ? reviveCause(json['cause']) : undefined;
  const expected = textOf(json['expected']);
  const remedy = textOf(json['remedy']);
  const details: errors.ErrorDetails = {
    ...(expected === undefined ? {} : { expected }),
    ...(remedy === undefined ? {} : { remedy }),
    ...(isRecord(json['details']) ? { details: json['details'] } : {}),
    ...(cause === undefined ? {} : { cause }),
  };
  const revive = code === undefined ? undefined : REGISTRY.get(code);
  // The form is checked where it decides anything; gates and outcomes come from a peer of the same version.
  if (revive !== undefined) return revive({ ...(json as Partial<ErrorJson>), message }, details);
  if (code !== undefined && isSystemCode(code)) {
    const original = Object.assign(new Error(message), { code });
    return new errors.ControlUnavailable(`the control plane failed with ${code}`, { ...details, cause: original });
  }
  const error = new Error(message, cause === undefined ? undefined : { cause });
  error.name = textOf(json['name']) ?? 'Error';
  return code === undefined ? error : Object.assign(error, { code });
}

function reviveCause(json: Record<string, unknown>): Error {
  const error = new Error(textOf(json['message']) ?? '');
  error.name = textOf(json['name']) ?? 'Error';
  const code = textOf(json['code']);
  return code === undefined ? error : Object.assign(error, { code });
}
