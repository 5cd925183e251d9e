import type { ReplayProgress } from '../control/backfill.ts';
import type { ReplayRow } from '../control/replay-row.ts';
import { LEASE_MS } from '../control/shared-replay.ts';
import { Busy } from '../core/errors.ts';
import type { Side } from '../core/stage.ts';
import { ProgressMeter } from './progress.ts';
import type { Session } from './session.ts';
import { count, duration, printable, replayCommand } from './wording.ts';

const LOOK_MS = 200;
/** The clock that a lease is held by is the control plane's, and nobody holds one for longer. */
const PATIENCE_MS = LEASE_MS + 5_000;
/** Between two tries where this machine's clock says that the lease has ended, and the control plane's does not. */
const RETRY_MS = 1_000;

/**
 * Runs a replay with its progress shown. One that a dead process holds is taken over as soon as its lease ends; one
 * that somebody renews is left alone.
 *
 * @throws Busy while another process runs it
 */
export async function runReplay<T>(
  session: Session,
  migration: string,
  kind: ReplayRow['kind'],
  targets: readonly Side[],
  replay: (onProgress: (progress: ReplayProgress) => void) => Promise<T>,
): Promise<T> {
  const meter = new ProgressMeter(session.terminal, `${kind} ${migration}`);
  const onProgress = (progress: ReplayProgress): void => {
    const { scanned, applied, skipped, rejected, estimate, paused, eased } = progress;
    const held = paused
      ? `; paused, ${replayCommand(migration, kind, targets[0])} --resume lets it go on`
      : eased === null
        ? ''
        : `; eased: ${printable(eased)}`;
    meter.update({
      done: scanned,
      all: estimate,
      detail: `${count(applied)} applied, ${count(skipped)} there already, ${count(rejected)} rejected${held}`,
    });
  };
  const begun = performance.now();
  try {
    for (let first = true; ; first = false) {
      try {
        return await replay(onProgress);
      } catch (error) {
        const patient = first || performance.now() - begun < PATIENCE_MS;
        if (!(error instanceof Busy) || !patient) throw error;
        if (!(await leaseEnds(session, migration, kind, targets, error))) throw error;
      }
    }
  } finally {
    meter.end();
  }
}

/** Waits for the lease of a runner that has gone; false when there is none. @throws the Busy when it is alive */
async function leaseEnds(
  session: Session,
  migration: string,
  kind: ReplayRow['kind'],
  targets: readonly Side[],
  busy: Busy,
): Promise<boolean> {
  const { terminal, signal } = session;
  const { plane } = await session.operations();
  let waited = false;
  for (const target of targets) {
    const first = await plane.runningReplay(migration, kind, target);
    if (first === null) continue;
    const told = first.leaseUntil - Date.now();
    const left = told > 0 ? Math.min(told, LEASE_MS) : RETRY_MS;
    const until = performance.now() + left;
    if (told > 0)
      terminal.note(
        `a ${kind} is under way already; if its process has ended, this one goes on with it in ${duration(left)}`,
      );
    while (performance.now() <= until) {
      signal.throwIfAborted();
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
      const now = await plane.runningReplay(migration, kind, target);
      if (now === null) return true;
      if (now.leaseUntil !== first.leaseUntil || now.runner !== first.runner) throw busy;
    }
    waited = true;
  }
  return waited;
}
