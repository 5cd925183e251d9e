import { Interrupted } from '../core/errors.ts';

/** The exit code of a process that a signal ended, as shells write it. */
const SIGNAL_EXIT = 130;

/**
 * Lets the first SIGINT or SIGTERM end a command in good order, with its checkpoints written and its handover undone;
 * the second ends the process.
 */
export function interruptSignal(): { readonly signal: AbortSignal; readonly release: () => void } {
  const controller = new AbortController();
  const stop = (name: NodeJS.Signals): void => {
    if (controller.signal.aborted) process.exit(SIGNAL_EXIT);
    process.stderr.write(`\n${name}: stopping in good order; once more to leave at once\n`);
    controller.abort(
      new Interrupted('interrupted', { remedy: 'the same command goes on from where this one stopped' }),
    );
  };
  process.on('SIGINT', stop);
  process.on('SIGTERM', stop);
  return {
    signal: controller.signal,
    release: () => {
      process.off('SIGINT', stop);
      process.off('SIGTERM', stop);
    },
  };
}
