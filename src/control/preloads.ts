import { NOBODY, WHOLE_LINE } from '../core/dial.ts';
import { GatesRefused, type GateVerdict, MigrationFinished } from '../core/errors.ts';
import { factsOf } from './facts.ts';
import { type CallerEvidence, preloadGates } from './gates.ts';
import { beginReplay, type ReplayRequest, type ReplayWork, runningReplay } from './replays.ts';
import type { Transaction } from './storage.ts';

export interface PreloadRequest extends Omit<ReplayRequest, 'kind' | 'target' | 'positions' | 'shared'> {
  readonly evidence: CallerEvidence;
  readonly dryRun: boolean;
}

/** What became of a wish to preload; `stamping`: it must be brought on first, then ask again. */
export interface PreloadAnswer {
  readonly gates: readonly GateVerdict[];
  readonly next: 'stamping' | 'work' | 'nothing';
  readonly work: ReplayWork | null;
}

/**
 * Begins a preload of the new store, or goes on with the one that is under way (R20).
 * @throws GatesRefused when somebody else may write to the new store, or has what the old one lacks
 */
export async function beginPreload(tx: Transaction, request: PreloadRequest, now: number): Promise<PreloadAnswer> {
  const { evidence, dryRun, ...rest } = request;
  const { migration } = request;
  const facts = await factsOf(tx, migration, now);
  if (facts.document.finished) throw new MigrationFinished(`${migration} is finished; nothing is preloaded any more`);
  const gates = preloadGates(facts, evidence);
  const stamped = facts.document.stamping === 'on';
  if (dryRun) return { gates, next: stamped ? 'nothing' : 'stamping', work: null };
  if (gates.some(({ passed }) => !passed)) {
    const mirrored = facts.document.dials.dualWrite !== NOBODY;
    throw new GatesRefused(`the preload of ${migration} was refused by its gates; nothing changed`, gates, {
      ...(mirrored ? { expected: 'dual-write 0; with the mirror on, a backfill without --preload does it' } : {}),
    });
  }
  if (!stamped) return { gates, next: 'stamping', work: null };
  const work = await beginReplay(
    tx,
    { ...rest, kind: 'preload', target: 'new', positions: WHOLE_LINE, shared: false },
    now,
  );
  // Dirt is for the replay that makes coverage to clear.
  await tx.update('replays', { id: work.replay.id }, { dirtUpTo: 0 });
  return { gates, next: 'work', work: { ...work, replay: { ...work.replay, dirtUpTo: 0 } } };
}

/**
 * A preload's runner says that of its own puts none will arrive after `looseUntil` (the new store's time; 0: all are
 * definite); what it took over was loose until `before`. Nothing changes where somebody else has taken over or cancelled.
 */
export async function settlePreload(
  tx: Transaction,
  replay: number,
  runner: string,
  before: number,
  looseUntil: number,
): Promise<boolean> {
  const patch = { looseUntil: Math.max(before, looseUntil) };
  return (await tx.update('replays', { id: replay, kind: 'preload', state: 'running', runner }, patch)) === 1;
}

/** The preload that is under way, if there is one. */
export const runningPreload = (tx: Transaction, migration: string) => runningReplay(tx, migration, 'preload', 'new');
