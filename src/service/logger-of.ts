import { InvalidArgument } from '../core/errors.ts';
import { type Logger, silentLogger } from '../core/telemetry.ts';
import type { LogLevel } from '../telemetry/logger.ts';

/** The logger that somebody asked for by level, or gave. @throws InvalidArgument for a level that there is not */
export async function loggerOf(wanted: Logger | LogLevel | undefined): Promise<Logger> {
  if (wanted === undefined) return silentLogger;
  if (typeof wanted !== 'string') return wanted;
  const { createLogger, LOG_LEVELS } = await import('../telemetry/logger.ts');
  if (LOG_LEVELS.includes(wanted)) return createLogger(wanted);
  throw new InvalidArgument(`there is no log level "${wanted}"`, { expected: LOG_LEVELS.join(', ') });
}
