import type { ReplayProgress } from '../control/backfill.ts';
import type { ReplayRow } from '../control/replay-row.ts';
import { Busy } from '../core/errors.ts';
import type { Side } from '../core/stage.ts';
import { ProgressMeter } from './progress.ts';
import type { Session } from './session.ts';
import { count, duration, printable, replayCommand } from './wording.ts';

const LOOK_MS = 200;

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
  try {
    return await replay(onProgress);
  } catch (error) {
    if (!(error instanceof Busy) || !(await leaseEnds(session, migration, kind, targets, error))) throw error;
    return await replay(onProgress);
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
    const left = first.leaseUntil - Date.now();
    if (left > 0)
      terminal.note(
        `a ${kind} is under way already; if its process has ended, this one goes on with it in ${duration(left)}`,
      );
    while (Date.now() <= first.leaseUntil) {
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
