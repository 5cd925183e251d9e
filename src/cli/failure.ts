import { ChangeoverError, GatesRefused } from '../core/errors.ts';
import { EXIT, EXIT_OF_CODE, type ExitCode } from './exit-code.ts';
import type { Terminal } from './terminal.ts';
import { printable } from './wording.ts';

const DEBUG = 'CHANGEOVER_DEBUG';

/** What a failed command prints with `--json`: `gates` is always there, empty where no gate refused. */
function failureData(error: unknown): Record<string, unknown> {
  if (error instanceof ChangeoverError) return { error: { ...error.toJSON(), gates: gatesOf(error) } };
  return { error: { code: 'INTERNAL', message: messageOf(error), gates: [] } };
}

const gatesOf = (error: unknown): readonly unknown[] => (error instanceof GatesRefused ? error.gates : []);

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** Says what went wrong, what was expected and what to do; returns the exit code. Stacks only for our own mistakes. */
export function reportFailure(error: unknown, terminal: Terminal): ExitCode {
  if (terminal.json) terminal.document(failureData(error));
  const red = terminal.noteStyle('red', 'error');
  const message = messageOf(error).split('\n').map(printable).join('\n  ');
  if (error instanceof ChangeoverError) {
    terminal.note(`${red}: ${message} [${error.code}]`);
    if (error.expected !== undefined && error.expected !== '')
      terminal.note(`  expected: ${printable(error.expected)}`);
    if (error.remedy !== undefined) terminal.note(`  to do:    ${printable(error.remedy)}`);
    if (process.env[DEBUG] === '1') terminal.note(stackOf(error));
    return EXIT_OF_CODE[error.code] ?? EXIT.refused;
  }
  terminal.note(`${red}: ${message}`);
  terminal.note('  this is a bug of changeover, or of code that the configuration brings along');
  terminal.note(process.env[DEBUG] === '1' ? stackOf(error) : `  to do:    ${DEBUG}=1 shows where it happened`);
  return EXIT.bug;
}

function stackOf(error: unknown): string {
  if (!(error instanceof Error)) return '';
  const cause = error.cause === undefined ? '' : `\ncaused by ${stackOf(error.cause)}`;
  return `${error.stack ?? error.message}${cause}`;
}
