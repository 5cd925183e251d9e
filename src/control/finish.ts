import { NOBODY } from '../core/dial.ts';
import { InvalidArgument, MigrationFinished } from '../core/errors.ts';
import { NOTHING } from '../core/intervals.ts';
import type { RulesetDocument } from '../core/ruleset.ts';
import type { Side } from '../core/stage.ts';
import { behind, type FleetMember, factsOf, migrationRow } from './facts.ts';
import { type Authorship, publish, remember } from './publish.ts';
import type { Transaction } from './storage.ts';

/** A step towards the end of a migration, and who has not acknowledged it. */
export interface FinishStep {
  readonly document: RulesetDocument;
  readonly waitingFor: readonly FleetMember[];
  readonly step: 'settle' | 'starting' | 'off' | 'finished';
  /** No put of a replay or of a dead process has a later deadline, on either store. */
  readonly deadlineLimit: number;
  /** No put of a process that acknowledged was given longer, ms; what that means in a store's time the caller knows. */
  readonly longestPutMs: number;
}

/**
 * The next step of R13 and R16 back: stamping `starting`, then `off` with the migration finished; each after all have
 * acknowledged the one before. The controller waits for deadlines between them and cleans the stores afterwards:
 * `settled` is the revision of `starting` for which the caller itself has done so, after all had acknowledged it. One
 * that goes on where another one stopped has not.
 * @throws InvalidArgument when the dials stand neither at retire-old nor at off; MigrationFinished once all is cleaned
 */
export async function advanceFinish(
  tx: Transaction,
  name: string,
  authorship: Authorship,
  settled: number | null,
  now: number,
): Promise<FinishStep> {
  const facts = await factsOf(tx, name, now);
  const { document, row } = facts;
  const { dials } = document;
  // What the stores hold from then on is somebody else's.
  if (document.finished && (await isCleaned(tx, name))) {
    throw new MigrationFinished(`${name} is finished, and its stores are cleaned`, {
      remedy: `take ${name} out of the configuration`,
    });
  }
  const over = dials.retireOld || (dials.dualWrite === NOBODY && dials.cutover === NOBODY);
  if (!over || document.handover !== null) {
    throw new InvalidArgument(`${name} cannot be finished while both stores are in use`, {
      expected: 'retire-old yes (the new store stays) or all dials at 0 (the old store stays)',
      remedy: `changeover status ${name}`,
    });
  }
  if (facts.runningReplays > 0) {
    throw new InvalidArgument(`a replay of ${name} is running`, { remedy: 'let it end or cancel it' });
  }
  const kept: Side = dials.retireOld ? 'new' : 'old';
  if (!document.finished && facts.dirt.some(({ target }) => target === kept)) {
    throw new InvalidArgument(`the ${kept} store, which stays, may miss writes that only the other one has`, {
      expected: `nothing dirty towards the ${kept} store`,
      remedy: `changeover repair ${name} --reason "…"`,
    });
  }
  const replayLimits = (await tx.select('replays', { migration: name })).map((replay) => replay.deadlineLimit);
  const dead = (await tx.select('nodes', { state: 'dead' })).map((node) => node.deadlineLimit);
  const deadlineLimit = Math.max(0, ...replayLimits, ...dead);
  const longestPutMs = await longestPut(tx, document);
  const waitingFor = behind(facts.fleet, row.revision);
  const answer = (step: FinishStep['step'], after = document, waiting = waitingFor) => ({
    document: after,
    waitingFor: waiting,
    step,
    deadlineLimit,
    longestPutMs,
  });
  if (waitingFor.length > 0) return answer('settle');
  const kind = 'finish';
  if (document.finished) return answer('finished');
  if (!document.drainReads) {
    const after = await publish(
      tx,
      row,
      { drainReads: true },
      { ...authorship, kind, summary: 'finish: reads drain' },
      now,
    );
    return answer('settle', after, facts.fleet);
  }
  if (document.stamping === 'on') {
    const after = await publish(
      tx,
      row,
      { stamping: 'starting' },
      { ...authorship, kind, summary: 'finish: stamping ends' },
      now,
    );
    return answer('starting', after, facts.fleet);
  }
  if (document.stamping === 'starting' && settled !== row.revision) return answer('starting');
  const after = await publish(
    tx,
    row,
    { stamping: 'off', finished: true },
    { ...authorship, kind, summary: 'finished: plain writes from here on' },
    now,
  );
  await tx.update('migrations', { name }, { coverageOld: dials.retireOld ? NOTHING : row.coverageOld });
  return answer('off', after, facts.fleet);
}

const CLEANED = 'cleaned';

/** Both stores of a finished migration have nothing of it any more. */
export async function recordCleaned(tx: Transaction, name: string, authorship: Authorship, now: number): Promise<void> {
  const { document } = await migrationRow(tx, name);
  if (!document.finished || (await isCleaned(tx, name))) return;
  await remember(tx, name, { ...authorship, kind: CLEANED, summary: 'stamps and tombstones are gone' }, now);
}

export async function isCleaned(tx: Transaction, name: string): Promise<boolean> {
  return (await tx.count('history', { migration: name, kind: CLEANED })) > 0;
}

/** The longest that any put of the migration may have had, under whatever settings there were. */
async function longestPut(tx: Transaction, present: RulesetDocument): Promise<number> {
  const changes = await tx.select('history', { migration: present.migration, kind: 'settings' });
  const documents = [present, ...changes.flatMap(({ before, after }) => [before ?? present, after ?? present])];
  return Math.max(...documents.map(({ settings }) => Math.max(settings.putTimeoutMs, settings.mirrorTimeoutMs)));
}
