import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { runReplay } from '../../src/cli/replay-run.ts';
import type { Session } from '../../src/cli/session.ts';
import { Terminal } from '../../src/cli/terminal.ts';
import { LEASE_MS } from '../../src/control/shared-replay.ts';
import { Busy } from '../../src/core/errors.ts';

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance', 'Date'] });
});
afterEach(() => {
  vi.useRealTimers();
});

/** A preload whose process was killed a second ago, or lives, in a control plane whose clock is not this machine's. */
function rig({ planeAheadMs, alive }: { readonly planeAheadMs: number; readonly alive: boolean }) {
  const planeNow = (): number => Date.now() + planeAheadMs;
  const killedAt = planeNow() - 1_000;
  const lease = (): number => (alive ? planeNow() : killedAt) + LEASE_MS;
  const plane = { runningReplay: async () => ({ leaseUntil: lease(), runner: 'another' }) };
  const session = {
    terminal: new Terminal(true),
    signal: new AbortController().signal,
    operations: async () => ({ plane }),
  } as unknown as Session;
  const replay = async (): Promise<string> => {
    if (lease() > planeNow()) throw new Busy('another process runs it');
    return 'done';
  };
  return runReplay(session, 'events', 'preload', ['new'], replay).catch((error: unknown) => error);
}

const HOUR = 3_600_000;

test.each([
  ['as ours', 0],
  ['an hour ahead', HOUR],
  ['an hour behind', -HOUR],
  ['four seconds ahead', 4_000],
  ['four seconds behind', -4_000],
])('takes over what a dead process holds when its lease ends by a clock that is %s', async (_name, planeAheadMs) => {
  const end = rig({ planeAheadMs, alive: false });
  const begun = performance.now();
  let tookMs = 0;
  end.then(() => {
    tookMs = performance.now() - begun;
  });
  await vi.advanceTimersByTimeAsync(2 * LEASE_MS);
  expect(await end).toBe('done');
  expect(tookMs).toBeLessThan(1.5 * LEASE_MS);
});

test.each([
  ['an hour ahead', HOUR],
  ['an hour behind', -HOUR],
])('leaves alone what somebody else runs, by a clock that is %s', async (_name, planeAheadMs) => {
  const end = rig({ planeAheadMs, alive: true });
  await vi.advanceTimersByTimeAsync(2 * LEASE_MS);
  expect(await end).toBeInstanceOf(Busy);
});
