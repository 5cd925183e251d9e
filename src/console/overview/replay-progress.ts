import type { MigrationOverview, ReplayStatus } from '../../server/api-types.ts';

/** Percent; null where nobody has estimated how much there is. */
export function replayShare({ scanned, estimate, partitions }: ReplayStatus): number | null {
  if (estimate !== null && estimate > 0) return Math.min((scanned * 100) / estimate, 100);
  return partitions.all === 0 ? null : (partitions.done * 100) / partitions.all;
}

/** A replay for people: how it stands, in a word or two. */
export function replayStanding({ paused, runner, runners }: ReplayStatus): 'paused' | 'nobody runs it' | 'running' {
  if (paused) return 'paused';
  return runner === null && runners === 0 ? 'nobody runs it' : 'running';
}

export const replayName = ({ kind, target }: ReplayStatus): string =>
  `${kind.charAt(0).toUpperCase()}${kind.slice(1)} of the ${target} store`;

/**
 * Which store a backfill would fill: the one that it fills already, else the old one where it has missed something,
 * having been retired, and else the new one.
 */
export const backfillTarget = ({ replay, coverage }: Pick<MigrationOverview, 'replay' | 'coverage'>): 'old' | 'new' =>
  replay?.kind === 'backfill' ? replay.target : coverage.old < 100 ? 'old' : 'new';
