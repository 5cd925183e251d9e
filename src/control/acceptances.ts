import { InvalidArgument } from '../core/errors.ts';
import type { Side } from '../core/stage.ts';
import type { Finding } from '../core/store.ts';
import { migrationRow } from './facts.ts';
import { type Authorship, remember } from './publish.ts';
import type { AcceptanceRow, CensusRow, Transaction } from './storage.ts';

/** What an acceptance of a census is called. */
export const CENSUS = 'census';

/** What is accepted, or no longer: a finding by its name and side, or the losses of a mapping's censuses. */
export type AcceptRequest = Authorship & {
  readonly migration: string;
  readonly withdraw: boolean;
} & ({ readonly finding: string; readonly side: Side } | { readonly mapping: string });

/** What is lost as far as is known, by all censuses of a mapping that still count; null where there is none. Pure. */
export function standingCensus(censuses: readonly CensusRow[], mapping: string): StandingCensus | null {
  const own = censuses.filter((row) => row.mapping === mapping).toSorted((a, b) => b.id - a.id);
  const [latest] = own;
  if (latest === undefined) return null;
  const losses = new Set(own.flatMap((row) => row.losses));
  return { latest, sampled: Math.max(...own.map((row) => row.sampled)), losses: [...losses].sort() };
}

export interface StandingCensus {
  readonly latest: CensusRow;
  /** The most records that were looked at. */
  readonly sampled: number;
  readonly losses: readonly string[];
}

/** The losses that nobody accepted for this mapping. Pure. */
export function openLosses(
  standing: StandingCensus,
  acceptances: readonly AcceptanceRow[],
  mapping: string,
): readonly string[] {
  const accepted = acceptances.find((row) => row.name === CENSUS && row.mapping === mapping);
  return standing.losses.filter((loss) => accepted?.covers.includes(loss) !== true);
}

/** The findings about a store that stand in the way: risks that nobody accepted, and problems. Pure. */
export function openFindings(
  side: Side,
  findings: readonly Finding[],
  acceptances: readonly AcceptanceRow[],
): readonly Finding[] {
  return findings.filter(
    ({ level, name }) => level === 'problem' || (level === 'risk' && acceptanceOf(acceptances, side, name) === null),
  );
}

/** `1 record`, `2 records`. */
export const number = (count: number, what: string): string => `${count} ${what}${count === 1 ? '' : 's'}`;

export const acceptanceOf = (acceptances: readonly AcceptanceRow[], side: Side, name: string): AcceptanceRow | null =>
  acceptances.find((row) => row.side === side && row.name === name) ?? null;

/**
 * Keeps what a census found, and forgets those that it outdoes: it looked at as many records, or at all. A smaller sample
 * does not hide what a larger one found.
 */
export async function recordCensus(
  tx: Transaction,
  row: CensusRow,
  authorship: Authorship,
  now: number,
): Promise<number> {
  await migrationRow(tx, row.migration);
  const { migration, mapping, sampled, exhaustive } = row;
  await tx.remove('censuses', { migration, mapping, ...(exhaustive ? {} : { sampled: { lte: sampled } }) });
  const id = await tx.insert('censuses', row);
  const found = row.losses.length === 0 ? 'nothing is lost' : `${number(row.losses.length, 'kind')} of loss`;
  const summary = `census of ${exhaustive ? 'all ' : ''}${number(sampled, 'record')}: ${found}`;
  await remember(tx, migration, { ...authorship, kind: 'census', summary }, now);
  return id;
}

/** Makes or takes back an acceptance; what it came to, or null where there was nothing to take back. */
export async function accept(tx: Transaction, request: AcceptRequest, now: number): Promise<AcceptanceRow | null> {
  const { migration, withdraw, actor, reason } = request;
  await migrationRow(tx, migration);
  const side = 'mapping' in request ? 'new' : request.side;
  const name = 'mapping' in request ? CENSUS : request.finding;
  const what = name === CENSUS ? 'the losses of the census' : `${name} of the ${side} store`;
  const [known] = await tx.select('acceptances', { migration, side, name });
  if (withdraw && known === undefined) return null;
  const covers = 'mapping' in request && !withdraw ? await losses(tx, migration, request.mapping) : [];
  if (known !== undefined) await tx.remove('acceptances', { id: known.id });
  const summary = withdraw ? `no longer accepted: ${what}` : `accepted: ${what}${list(covers)}`;
  await remember(tx, migration, { actor, reason, kind: 'acceptance', summary }, now);
  if (withdraw) return known ?? null;
  const mapping = 'mapping' in request ? request.mapping : null;
  const row: AcceptanceRow = { id: 0, migration, side, name, mapping, covers, at: now, actor, reason };
  return { ...row, id: await tx.insert('acceptances', row) };
}

const list = (covers: readonly string[]): string =>
  covers.length === 0 ? '' : ` (${covers.slice(0, 3).join('; ')}${covers.length > 3 ? '; …' : ''})`;

async function losses(tx: Transaction, migration: string, mapping: string): Promise<string[]> {
  const standing = standingCensus(await tx.select('censuses', { migration, mapping }), mapping);
  if (standing === null) {
    throw new InvalidArgument(`no census of ${migration} was taken with this mapping`, {
      remedy: `changeover doctor ${migration} takes one`,
    });
  }
  if (standing.losses.length > 0) return [...standing.losses];
  throw new InvalidArgument(`the census of ${migration} found nothing that would be lost`, {
    expected: 'losses to accept',
  });
}
