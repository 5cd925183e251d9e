import { destination, pino } from 'pino';
import { ChangeoverError } from '../core/errors.ts';
import type { Logger } from '../core/telemetry.ts';

export const LOG_LEVELS = ['debug', 'info', 'warn', 'error'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** What a log says of an error: drivers put addresses and passwords into their messages, so only ours are quoted. */
function describe(error: unknown): object {
  if (error instanceof ChangeoverError) {
    const { code, message, cause } = error;
    return { code, message, ...(cause === undefined ? {} : { cause: describe(cause) }) };
  }
  if (!(error instanceof Error)) return { type: typeof error };
  const { code } = error as { code?: unknown };
  return { type: error.name, ...(typeof code === 'string' || typeof code === 'number' ? { code } : {}) };
}

/**
 * A pino logger that writes JSON lines to standard error.
 *
 * @example
 * const changeover = await open(config, { logger: createLogger('info') });
 */
export function createLogger(level: LogLevel): Logger {
  return pino(
    { level, base: { pid: process.pid }, serializers: { err: describe } },
    destination({ fd: 2, sync: false }),
  );
}
