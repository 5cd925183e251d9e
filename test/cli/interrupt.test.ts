import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { interruptSignal } from '../../src/cli/interrupt.ts';

const exit = vi.fn();

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['performance'] });
  vi.spyOn(process, 'exit').mockImplementation(exit as never);
  vi.spyOn(process.stderr, 'write').mockReturnValue(true);
});
afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
  exit.mockReset();
});

test('a signal that comes twice at once, as under npm, ends a command in good order; a later one ends it at once', () => {
  const { signal, release } = interruptSignal();
  try {
    process.emit('SIGINT', 'SIGINT');
    process.emit('SIGINT', 'SIGINT');
    vi.advanceTimersByTime(400);
    process.emit('SIGTERM', 'SIGTERM');
    expect(signal.aborted).toBe(true);
    expect(process.stderr.write).toHaveBeenCalledTimes(1);
    expect(exit).not.toHaveBeenCalled();
    vi.advanceTimersByTime(200);
    process.emit('SIGINT', 'SIGINT');
    expect(exit).toHaveBeenCalledExactlyOnceWith(130);
  } finally {
    release();
  }
});
