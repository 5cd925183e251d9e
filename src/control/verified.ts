import type { VerifyReport } from '../../verify/verify-report.ts';
import { describePositions } from '../core/dial.ts';
import { type Intervals, includes, overlaps, subtract } from '../core/intervals.ts';
import type { Facts } from './facts.ts';
import { along } from './publish.ts';
import type { VerificationRow } from './storage.ts';

/** What is remembered of a report beside the verdict. */
export type RememberedReport = Pick<VerifyReport, 'counts' | 'reasons' | 'truncated' | 'unit' | 'sample' | 'proof'>;

/**
 * What the verdicts say about some positions: of each position the newest that counts. One that found a difference
 * always counts; one that looked at less than is asked for, or proved less, decides nothing.
 */
export function verifiedAs(facts: Facts, positions: Intervals, mapping: string): readonly [boolean, string] {
  let open = positions;
  let newest: VerificationRow | null = null;
  let why: string | null = null;
  for (const verdict of facts.verifications) {
    const reason = holdsNoMore(facts, verdict, mapping);
    const positions = standsFor(facts, verdict);
    if (reason === null && !overlaps(positions, open)) continue;
    const short = reason ?? fallsShort(facts, verdict);
    const text = `${verdict.verdict} at revision ${verdict.revision}`;
    if (reason === null && verdict.verdict !== 'consistent' && (short === null || verdict.verdict === 'divergent')) {
      return [false, text];
    }
    if (short !== null) {
      why ??= short;
      continue;
    }
    newest ??= verdict;
    open = subtract(open, positions);
    if (open.length === 0) return [true, `consistent at revision ${newest.revision}`];
  }
  // Some of the positions have a verdict that counts: it is the others that lack one.
  if (why !== null) return [false, newest === null ? why : `${describePositions(open)}: ${why}`];
  if (facts.verifications.length === 0) return [false, 'never verified'];
  if (open.length === 0) return [false, 'the new store leads nothing that could be verified'];
  return [false, `the last verdict is about other positions than ${describePositions(open)}`];
}

/** Whether the newest verifications that say which records of these positions differ could not list them all. */
export function moreDivergeIn(facts: Facts, positions: Intervals): boolean {
  let open = positions;
  for (const verdict of facts.verifications) {
    const { truncated, unit, sample } = (verdict.report ?? {}) as Partial<RememberedReport>;
    const about = standsFor(facts, verdict);
    if (!overlaps(about, open)) continue;
    if (truncated === true) return true;
    if (verdict.verdict !== 'inconclusive' && unit === undefined && sample === undefined) open = subtract(open, about);
  }
  return false;
}

/**
 * The positions that a verdict is about today (R18): a unit that has come to one of them is only known to agree if it
 * was compared where it stood before; a difference goes along with its unit.
 */
function standsFor({ cohortMoves }: Facts, { verdict, positions, revision }: VerificationRow): Intervals {
  const later = cohortMoves.filter((move) => move.revision > revision);
  if (verdict === 'divergent') return along(positions, later);
  let left = positions;
  for (const { from, to } of later) if (!includes(left, from)) left = subtract(left, [[to, to + 1]]);
  return left;
}

/** What two mappings differ in; behind the dot stands the schema's. */
export const otherThan = (a: string, b: string): 'schema' | 'mapping' =>
  a.split('.')[0] === b.split('.')[0] ? 'schema' : 'mapping';

function holdsNoMore({ row, now }: Facts, verdict: VerificationRow, mapping: string): string | null {
  if (verdict.mapping !== mapping) return `the last verdict is about another ${otherThan(verdict.mapping, mapping)}`;
  if (verdict.revision < row.mirrorOnRevision) return 'dual-write was raised since the last verdict';
  return verdict.expiresAt <= now ? 'the last verdict has expired' : null;
}

function fallsShort({ document }: Facts, { report }: VerificationRow): string | null {
  const { unit, sample, proof } = (report ?? {}) as Partial<RememberedReport>;
  const asked = document.settings.verification;
  if (unit !== undefined) return 'the last verdict is about one unit';
  if (sample !== undefined && asked !== 'sample') return 'the last verdict is about a sample';
  if (asked !== 'proven') return null;
  const proven = proof !== undefined && proof.planted > 0 && proof.refused === null && proof.missed.length === 0;
  return proven ? null : 'the last verdict is of a verification that did not prove itself by planted records';
}
