import { type ChangeoverError, FleetTimeout, HandoverInProgress } from '../core/errors.ts';
import type { FleetMember } from './facts.ts';
import type { HandoverProgress } from './handovers.ts';

/** A handover that is not through by then is cancelled: writes wait meanwhile. */
export const HANDOVER_BUDGET_MS = 1_000;
/** How long a process may take to acknowledge before the command names it and gives up. */
export const ACKNOWLEDGE_BUDGET_MS = 10_000;

/** It was cancelled, and everything is where it was before. */
export const handoverUndone = (migration: string): ChangeoverError =>
  new HandoverInProgress(`the handover of ${migration} did not get through and was undone`, {
    expected: `all processes acknowledge and nothing is dirty within ${HANDOVER_BUDGET_MS} ms`,
    remedy: `changeover fleet ${migration}; changeover repair ${migration}; then again; if the new store does not answer: changeover rollback ${migration} --emergency`,
  });

/** It could not even be cancelled. */
export function handoverStuck(migration: string, { waitingFor, document }: HandoverProgress): ChangeoverError {
  if (waitingFor.length > 0) return fleetTimeout(migration, waitingFor, document.revision);
  return new HandoverInProgress(`the handover of ${migration} waits for dirt that cannot be replayed`, {
    remedy: `changeover status ${migration} names it; see to the store that refuses or does not answer`,
  });
}

/** Names those that did not acknowledge. */
export function fleetTimeout(migration: string, late: readonly FleetMember[], revision: number): FleetTimeout {
  const names = late.map((member) => member.name).join(', ');
  return new FleetTimeout(`revision ${revision} of ${migration} is published, but not acknowledged by: ${names}`, {
    expected: `every process acknowledges within ${ACKNOWLEDGE_BUDGET_MS / 1_000} s`,
    remedy: `changeover fleet ${migration}; end the processes named or wait for them`,
    details: { revision, behind: late.map((member) => member.incarnation) },
  });
}
