import type { FleetLine } from '../server/api-types.ts';

/** A process that has said nothing for this long is looked at; it reports every second. */
const SILENT_MS = 5_000;

export type Standing = 'behind' | 'silent' | 'shed' | 'acknowledged';

export function standingOf(line: FleetLine, migration: string, revision: number, now: number): Standing {
  if ((line.acknowledged[migration] ?? 0) < revision) return 'behind';
  if (now - line.seenAt > SILENT_MS) return 'silent';
  return (line.health?.shed ?? 0) > 0 ? 'shed' : 'acknowledged';
}
