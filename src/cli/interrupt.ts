import { Interrupted } from '../core/errors.ts';

/** The exit code of a process that a signal ended, as shells write it. */
const SIGNAL_EXIT = 130;
/** Ctrl-C under npm, or a signal to a whole group, comes twice at once: that is not somebody's second thought. */
const SAME_MS = 500;

/**
 * Lets the first SIGINT or SIGTERM end a command in good order, with its checkpoints written and its handover undone;
 * the second ends the process.
 */
export function interruptSignal(): { readonly signal: AbortSignal; readonly release: () => void } {
  const controller = new AbortController();
  let firstAt = 0;
  const stop = (name: NodeJS.Signals): void => {
    if (controller.signal.aborted) {
      if (performance.now() - firstAt >= SAME_MS) process.exit(SIGNAL_EXIT);
      return;
    }
    firstAt = performance.now();
    process.stderr.write(`\n${name}: stopping in good order; once more to leave at once\n`);
    controller.abort(
      new Interrupted('interrupted', {
        remedy: 'the same command goes on from where this one stopped; a verification begins anew',
      }),
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
