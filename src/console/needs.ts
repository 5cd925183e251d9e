import type { MigrationOverview } from '../server/api-types.ts';
import type { IconName } from './parts/icon.tsx';
import { count, plural } from './wording.ts';

/** Something that waits for somebody. */
export interface Need {
  readonly icon: IconName;
  readonly tone: 'warn' | 'bad';
  readonly what: string;
  readonly note: string;
  /** The tab where it is dealt with. */
  readonly tab: '' | '/divergences' | '/fleet' | '/verifications';
}

/** What of a migration needs somebody, the worst first. */
export function needsOf(status: MigrationOverview): readonly Need[] {
  const { handover, fleet, dirty, divergences, replay, ramp, verification, finished } = status;
  if (finished) return [];
  const needs: Need[] = [];
  if (handover?.kind === 'emergency') {
    needs.push({
      icon: 'back',
      tone: 'bad',
      what: 'an emergency roll-back is going on',
      note: `begun by ${handover.actor}: ${handover.reason}`,
      tab: '',
    });
  }
  if (ramp?.state === 'returning') {
    needs.push({
      icon: 'back',
      tone: 'bad',
      what: `the ramp of ${ramp.dial} goes back by itself`,
      note: 'A budget was broken.',
      tab: '',
    });
  }
  if (fleet.acknowledged < fleet.nodes && handover === null) {
    needs.push({
      icon: 'warn',
      tone: 'warn',
      what: `${plural(fleet.nodes - fleet.acknowledged, 'process', 'processes')} behind the ruleset`,
      note: 'No dial is known to be in force everywhere before they acknowledge.',
      tab: '/fleet',
    });
  }
  if (dirty.rejected > 0) {
    needs.push({
      icon: 'cross',
      tone: 'bad',
      what: `${plural(dirty.rejected, 'record')} rejected by a store`,
      note: 'They block their range from moving until the store accepts them.',
      tab: '',
    });
  }
  if (dirty.ranges > 0 && replay === null) {
    needs.push({
      icon: 'warn',
      tone: 'warn',
      what: `${plural(dirty.ranges, 'dirty entry', 'dirty entries')}, and no replay is running`,
      note: 'Nothing is lost; a repair replays them.',
      tab: '',
    });
  }
  if (divergences > 0) {
    needs.push({
      icon: 'warn',
      tone: 'warn',
      what: `${count(divergences)} open ${divergences === 1 ? 'divergence' : 'divergences'}`,
      note: 'The stores differ there; cutover does not pass them.',
      tab: '/divergences',
    });
  }
  if (replay !== null && !replay.paused && replay.runner === null && replay.runners === 0) {
    needs.push({
      icon: 'replay',
      tone: 'warn',
      what: `a ${replay.kind} stands still: nobody runs it`,
      note: 'It goes on from its checkpoints when somebody starts it again.',
      tab: '',
    });
  }
  if (verification?.verdict === 'divergent') {
    needs.push({
      icon: 'cross',
      tone: 'bad',
      what: 'the last verification found divergences',
      note: 'Repair and verify again.',
      tab: '/verifications',
    });
  }
  return needs;
}
