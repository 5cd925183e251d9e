import type { Command } from 'commander';
import type { ExitCode } from './exit-code.ts';
import type { Outcome, Session } from './session.ts';

/** Wraps what a command does into an action that opens, reports and closes. */
export type Run = <A extends unknown[]>(
  handler: (session: Session, ...args: A) => Promise<Outcome>,
  /** The exit code where it is refused. */
  refused?: ExitCode,
) => (...args: A) => Promise<void>;

/** Adds one command to the program. */
export type Registration = (program: Command, run: Run) => void;

/** The examples below a command's help. */
export const examples = (...lines: readonly string[]): string =>
  `\nExample${lines.length === 1 ? '' : 's'}:\n${lines.map((line) => `  $ ${line}`).join('\n')}`;

export const REASON = ['--reason <text>', 'why, for the history'] as const;
export const DRY_RUN = ['--dry-run', 'say what would happen, change nothing'] as const;
