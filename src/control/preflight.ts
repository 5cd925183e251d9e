import { Census, type CensusProgress, type CensusReport, type CensusRules, takeCensus } from '../../verify/census.ts';
import { Forbidden, InvalidArgument, StoreFault } from '../core/errors.ts';
import { type DialMove, type Dials, otherSide, type Side } from '../core/stage.ts';
import { type Finding, type Inspection, settledAt } from '../core/store.ts';
import { acceptanceOf, CENSUS, openLosses, standingCensus } from './acceptances.ts';
import type { ControlPlaneApi } from './control-plane.ts';
import { type ControllerParts, connected } from './controller-parts.ts';
import type { CallerEvidence } from './gates.ts';
import type { Authorship } from './publish.ts';
import type { ReplayRow } from './replay-row.ts';
import type { CensusRow } from './storage.ts';

export interface CensusRequest extends Authorship {
  /** How many records of the old store are looked at; null is all of them. @default 10000 */
  readonly sample?: number | null;
  /** Examples show values as they are, not only their types and lengths. What is recorded never does. @default false */
  readonly showValues?: boolean;
  /** Computes and records nothing. @default false */
  readonly dryRun?: boolean;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: CensusProgress) => void) | undefined;
}

export interface CensusResult extends CensusReport {
  /** Those of this census and of larger ones before it that nobody has accepted; cut-over waits for them. */
  readonly open: readonly string[];
  /** False of a dry run, where there is no control plane, and where the token may only look. */
  readonly recorded: boolean;
}

export interface AcceptOptions extends Authorship {
  /** The store that a finding is about. @default the one that has a finding of this name */
  readonly side?: Side | undefined;
  /** Takes an earlier acceptance back. @default false */
  readonly withdraw?: boolean;
  /** Checks and changes nothing. @default false */
  readonly dryRun?: boolean;
}

/** What an acceptance came to. */
export interface AcceptResult {
  readonly name: string;
  readonly side: Side;
  /** False where nothing changed: it was not there to be taken back, or it was a dry run. */
  readonly changed: boolean;
  /** Of a census: the losses that are accepted. */
  readonly covers: readonly string[];
}

const SAMPLE = 10_000;

/** What a store says of itself; null where it does not answer. */
async function findingsOf(parts: ControllerParts, side: Side): Promise<readonly Finding[] | null> {
  const store = parts.stores[side];
  try {
    return (await store.inspect()).findings;
  } catch (error) {
    if (error instanceof StoreFault) return null;
    throw error;
  }
}

/** The store that begins to follow by a move, somewhere; null where none does. */
function followerOf(dials: Dials, move: DialMove): Side | null {
  switch (move.dial) {
    case 'dual-write':
      return move.to > dials.dualWrite ? 'new' : null;
    case 'cutover':
      return move.to > dials.cutover ? 'old' : null;
    case 'retire-old':
      return move.to ? null : 'old';
    case 'shadow-read':
      return null;
  }
}

/** The store that begins to lead by a move, somewhere; null where none does. */
function leaderOf({ cutover }: Dials, { dial, to }: DialMove): Side | null {
  if (dial !== 'cutover' || to === cutover) return null;
  return to > cutover ? 'new' : 'old';
}

/** What the control plane cannot know of a move. @throws StoreFault where a store that it needs does not answer */
export async function evidenceFor(parts: ControllerParts, dials: Dials, move: DialMove): Promise<CallerEvidence> {
  const { stores, mapping } = parts;
  // Whether the stores are prepared matters only to moves that turn a mirror on, and what one says of itself only
  // where it begins to follow: to go back nothing is asked of a store that may be away.
  const asked = move.dial === 'retire-old' || (move.dial === 'dual-write' && move.to > dials.dualWrite);
  if (asked) await connected(parts);
  // Nobody is led to a store that does not answer.
  const leader = leaderOf(dials, move);
  if (leader !== null) await stores[leader].prepared();
  const follower = followerOf(dials, move);
  const [old, fresh, findings] = await Promise.all([
    asked ? stores.old.prepared() : true,
    asked ? stores.new.prepared() : true,
    follower === null ? null : findingsOf(parts, follower),
  ]);
  return {
    prepared: { old, new: fresh },
    findings: { old: follower === 'old' ? findings : null, new: follower === 'new' ? findings : null },
    mapping,
    // Not `now()` itself: what `settledAt` adds to a deadline.
    ...(asked ? { settledTo: stores.new.now() - settledAt(stores.new, 0) } : {}),
  };
}

/** What may get in the way of mirrored writes, by store. @throws StoreFault */
export async function inspectStores({ stores }: ControllerParts): Promise<Record<Side, Inspection>> {
  const [old, fresh] = await Promise.all([stores.old.inspect(), stores.new.inspect()]);
  return { old, new: fresh };
}

/**
 * Takes a census of the old store and records it, bound to the mapping, where there is a control plane.
 * @throws StoreFault, Interrupted
 */
export async function censusOf(parts: CensusParts, request: CensusRequest): Promise<CensusResult> {
  const { plane, migration, stores, keys, rules, clock, random, mapping } = parts;
  const { sample = SAMPLE, showValues = false, dryRun = false, signal, onProgress, actor, reason } = request;
  const taken = await takeCensus({ stores, keys, rules, clock, random, sample, signal, onProgress });
  const report = taken.census.report(taken.exhaustive, showValues);
  const row = censusRow(parts, taken.census.report(taken.exhaustive));
  if (plane === null) return { ...report, open: report.losses, recorded: false };
  const recorded = !dryRun && (await record(plane, row, { actor, reason }));
  const known = await plane.censuses(migration);
  const standing = standingCensus(recorded ? known : [{ ...row, id: Number.MAX_SAFE_INTEGER }, ...known], mapping);
  return {
    ...report,
    recorded,
    open: standing === null ? [] : openLosses(standing, await plane.acceptances(migration), mapping),
  };
}

/** False where the token may only look: what it sees is worth as much, and gates wait for what is recorded. */
async function record(plane: ControlPlaneApi, row: CensusRow, authorship: Authorship): Promise<boolean> {
  try {
    await plane.recordCensus(row, authorship);
    return true;
  } catch (error) {
    if (error instanceof Forbidden) return false;
    throw error;
  }
}

/** What a census is taken with. */
export type CensusParts = Pick<
  ControllerParts,
  'migration' | 'stores' | 'keys' | 'rules' | 'clock' | 'random' | 'mapping'
> & { readonly plane: ControllerParts['plane'] | null };

/** What takes the census of a replay: a backfill of the new store sees every record anyway. Null where none is taken. */
export const censusFor = (parts: CensusRules, { kind, target }: ReplayRow): Census | null =>
  kind !== 'repair' && target === 'new' ? new Census(parts) : null;

/** Whether a census of all records stands under this mapping. */
export const isCounted = async ({ plane, migration, mapping }: ControllerParts): Promise<boolean> =>
  (await plane.censuses(migration)).some((row) => row.exhaustive && row.mapping === mapping);

/** A census as it is recorded: totals, and the places that lose something. */
export function censusRow({ migration, mapping }: CensusParts, report: CensusReport): CensusRow {
  const short = ({ paths, ...matrix }: CensusReport['toNew']) => ({
    ...matrix,
    paths: paths.filter((path) => path.lost > 0 || path.changed.length + path.refused.length > 0).slice(0, MOST_PATHS),
  });
  const { sampled, exhaustive, unreadable, toNew, toOld, losses, startedAt, finishedAt } = report;
  return {
    id: 0,
    migration,
    mapping,
    sampled,
    exhaustive,
    losses: [...losses],
    report: { unreadable, toNew: short(toNew), toOld: short(toOld) },
    startedAt: Date.parse(startedAt),
    finishedAt: Date.parse(finishedAt),
  };
}

const MOST_PATHS = 200;

/**
 * Accepts a finding by its name, or the losses of the census, or takes that back.
 * @throws InvalidArgument where there is nothing of this name to accept
 */
export async function acceptByName(
  parts: ControllerParts,
  name: string,
  options: AcceptOptions,
): Promise<AcceptResult> {
  const { plane, migration, mapping } = parts;
  const { actor, reason, withdraw = false, dryRun = false } = options;
  const side = name === CENSUS ? 'new' : await sideOf(parts, name, options);
  const before = (await plane.acceptances(migration)).find((row) => row.name === name && row.side === side);
  if (dryRun) return { name, side, changed: false, covers: before?.covers ?? [] };
  const row = await plane.accept({
    migration,
    withdraw,
    actor,
    reason,
    ...(name === CENSUS ? { mapping } : { finding: name, side }),
  });
  return { name, side, changed: row !== null, covers: withdraw ? [] : (row?.covers ?? []) };
}

/** The store whose finding is meant. */
async function sideOf(parts: ControllerParts, name: string, { side, withdraw }: AcceptOptions): Promise<Side> {
  const { plane, migration } = parts;
  const candidates: readonly Side[] = side === undefined ? ['old', 'new'] : [side];
  if (withdraw === true) {
    const accepted = await plane.acceptances(migration);
    const found = candidates.filter((each) => acceptanceOf(accepted, each, name) !== null);
    return only(
      name,
      found,
      accepted.map((row) => `${row.name} (${row.side})`),
      'was accepted',
    );
  }
  const findings = await Promise.all(candidates.map((each) => findingsOf(parts, each)));
  const risks = candidates.flatMap((each, i) =>
    (findings[i] ?? []).filter(({ level }) => level !== 'info').map((finding) => ({ side: each, finding })),
  );
  const meant = risks.filter(({ finding }) => finding.name === name);
  const hopeless = meant.find(({ finding }) => finding.level === 'problem');
  if (hopeless !== undefined) {
    throw new InvalidArgument(`${name} of the ${hopeless.side} store cannot work, accepted or not`, {
      expected: hopeless.finding.message,
      remedy: hopeless.finding.remedy,
    });
  }
  const unreachable = candidates.filter((_, i) => findings[i] === null);
  const silent = unreachable.length === 0 ? '' : ` (the ${unreachable.join(' and ')} store does not answer)`;
  const known = risks.map((risk) => `${risk.finding.name} (${risk.side})`);
  return only(
    name,
    meant.map((risk) => risk.side),
    known,
    `is a risk at ${side === undefined ? 'a store' : `the ${side} store`}${silent}`,
  );
}

function only(name: string, sides: readonly Side[], known: readonly string[], what: string): Side {
  const [first, second] = sides;
  if (first !== undefined && second === undefined) return first;
  if (first !== undefined) {
    throw new InvalidArgument(`both stores have ${name}`, {
      expected: `--side ${first} or --side ${otherSide(first)}`,
    });
  }
  throw new InvalidArgument(`nothing called "${name}" ${what}`, {
    expected: known.join(', ') || 'a name that doctor prints; it has none',
  });
}
