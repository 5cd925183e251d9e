import { NotPrepared } from '../core/errors.ts';
import type { RulesetDocument } from '../core/ruleset.ts';
import { otherSide, type Side } from '../core/stage.ts';
import type { ControllerParts } from './controller-parts.ts';
import { deadlinesPassed } from './deadlines-passed.ts';
import { leftStamp } from './left-stamp.ts';
import type { Authorship } from './publish.ts';

/** What a change of stamping waits with until all have acknowledged a revision. */
export type Wait = (revision: number, signal?: AbortSignal) => Promise<void>;

export interface StampingOptions extends Authorship {
  readonly signal?: AbortSignal | undefined;
}

/** Brings stamping on, each step when all have acknowledged the one before (R16). @throws NotPrepared, FleetTimeout */
export async function bringStampingOn(parts: ControllerParts, wait: Wait, options: StampingOptions): Promise<void> {
  const { plane, stores, migration } = parts;
  for (const side of ['old', 'new'] as const) {
    if (!(await stores[side].prepared())) {
      throw new NotPrepared(`${stores[side].label} is not prepared for stamped writes`, {
        remedy: 'changeover prepare',
      });
    }
  }
  const { actor, reason, signal } = options;
  if ((await plane.ruleset(migration)).stamping === 'off' && (await leftStamp(stores.new, signal))) {
    throw new NotPrepared(`${stores.new.label} holds stamps of another migration`, {
      expected:
        'records without stamps, or none: plain writes are older than any stamp, so a replay would pass them by',
      remedy: 'finish the other migration (changeover finish takes its stamps away), or empty this store',
    });
  }
  for (;;) {
    const step = await plane.advanceStamping(migration, { actor, reason });
    if (step === null) return;
    await wait(step.document.revision, signal);
  }
}

/** Ends stamping and cleans the stores, each step when all have acknowledged the one before and its deadlines passed (R13). */
export async function endStamping(
  parts: ControllerParts,
  wait: Wait,
  options: StampingOptions & { readonly onStep?: (step: string) => void },
): Promise<RulesetDocument> {
  const { plane, stores, clock, migration } = parts;
  // Not the options: what calls back cannot be sent to a control plane in another thread.
  const { actor, reason, signal } = options;
  let settled: number | null = null;
  for (;;) {
    signal?.throwIfAborted();
    const answer = await plane.advanceFinish(migration, { actor, reason }, settled);
    options.onStep?.(answer.step);
    await wait(answer.document.revision, signal);
    if (answer.step === 'settle') continue;
    await deadlinesPassed(stores, clock, answer, signal);
    settled = answer.document.revision;
    if (answer.step === 'starting') continue;
    const kept: Side = answer.document.dials.retireOld ? 'new' : 'old';
    options.onStep?.(`cleaning the ${kept} store`);
    await stores[kept].finish({ signal });
    if (kept === 'old') await stores.new.wipe({ signal });
    // Stamps that stayed behind would be newer than what is written plainly from here on, should it ever follow again; and
    // what a table was prepared for would be taken for true of what is put into it since.
    await stores[otherSide(kept)].finish({ signal });
    await plane.recordCleaned(migration, { actor, reason });
    return answer.document;
  }
}
