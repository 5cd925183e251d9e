import type { MigrationStatus } from '../control/status.ts';
import { below, type DialValue, describePositions, parseDialValue, WHOLE_LINE } from '../core/dial.ts';
import { covers, subtract } from '../core/intervals.ts';
import type { RulesetDocument } from '../core/ruleset.ts';
import { percent, plural, replayCommand } from './wording.ts';

/** Steps that have served well: small at first, then larger. */
const STEPS: readonly DialValue[] = ['canary', 1, 10, 25, 50, 100];

const REASON = '--reason …';

/** The next value of a dial on its way up, or null at the top. */
function stepAfter(now: DialValue, top: DialValue): DialValue | null {
  const reached = parseDialValue(now);
  if (reached >= parseDialValue(top)) return null;
  const next = STEPS.find((step) => parseDialValue(step) > reached) ?? 'all';
  return parseDialValue(next) > parseDialValue(top) ? top : next;
}

/** What an operator does next, one line: what is in the way first, then the usual order. Pure. */
export function nextStep(status: MigrationStatus, document: RulesetDocument, now: number = Date.now()): string {
  const { migration, dials, dirty, fleet, verification, covered } = status;
  const set = (dial: string, value: DialValue | 'yes'): string =>
    `changeover set ${migration} ${dial} ${value} ${REASON}`;
  if (status.finished) {
    return status.cleaned
      ? 'nothing; stamps and tombstones are gone, the store is used plainly'
      : `changeover finish ${migration} --yes ${REASON}: stamps and tombstones are still to be taken away`;
  }
  if (status.handover !== null) {
    return `the handover ends within a second, or the next command goes on with it; else changeover fleet ${migration} says who is waited for`;
  }
  if (fleet.acknowledged < fleet.nodes) {
    return `changeover fleet ${migration}: ${plural(fleet.nodes - fleet.acknowledged, 'process has', 'processes have')} not acknowledged`;
  }
  if (dirty.rejected > 0)
    return `mend the rejected records or the constraint, then changeover repair ${migration} ${REASON}`;
  if (dirty.ranges > 0) return `changeover repair ${migration} ${REASON}`;
  if (status.divergences > 0) return `mend the cause of the divergences, then changeover repair ${migration} ${REASON}`;
  if (status.replay !== null) {
    const { kind, target, paused } = status.replay;
    const command = replayCommand(migration, kind, target);
    if (paused && kind !== 'repair') return `${command} --resume ${REASON}, when the ${kind} shall go on`;
    return `let the ${kind} end; if nobody runs it, ${command} ${REASON} goes on with it`;
  }
  if (dials.retireOld) return `changeover finish ${migration} --yes ${REASON}, when nothing shall ever go back`;
  if (dials.dualWrite === 0 && !document.settings.noOutsideWriters) {
    return `changeover prepare ${migration}, unless that is done; when all writers go through the repository: ${set('no-outside-writers', 'yes')}`;
  }
  const mirror = stepAfter(dials.dualWrite, 100);
  if (mirror !== null) return set('dual-write', mirror);
  if (!covers(covered.old, WHOLE_LINE))
    return `changeover backfill ${migration} --to old ${REASON}, to be able to go back`;
  const lacking = subtract(below(parseDialValue(dials.dualWrite)), covered.new);
  if (lacking.length > 0) {
    return `changeover backfill ${migration} ${REASON}: the new store is not complete in ${describePositions(lacking)}`;
  }
  if (dials.cutover === 'all') return `${set('retire-old', 'yes')}, when nobody needs the old store any more`;
  if (verification === null || verification.outdated || verification.expiresAt <= now)
    return `changeover verify ${migration}`;
  if (verification.verdict !== 'consistent')
    return `changeover verify ${migration}: the last verdict was ${verification.verdict}`;
  if (
    parseDialValue(dials.shadowRead) < parseDialValue(dials.dualWrite) &&
    parseDialValue(dials.cutover) < parseDialValue(100)
  ) {
    return set('shadow-read', dials.dualWrite);
  }
  const forward = stepAfter(dials.cutover, dials.dualWrite);
  if (forward !== null) return set('cutover', forward);
  return `${set('dual-write', 'all')}: the kept-back units are still at ${percent(dials.dualWrite)}`;
}
