import { NotFound } from '../core/errors.ts';
import { type Authorship, remember } from './publish.ts';
import type { Transaction, VerificationRow } from './storage.ts';

/** How many reports of a migration are kept; verdicts are kept for good. */
export const KEPT_REPORTS = 20;
/** A verdict that is younger or older than this when it comes is of a machine whose clock is wrong. */
const MOST_SKEW_MS = 60_000;

/** A verdict, and whether its report can still be looked at. */
export type VerificationLine = VerificationRow & { readonly reportKept: boolean };

/** Remembers a verdict for the gates and, where it has one, its report for people; older reports make room. */
export async function recordVerification(
  tx: Transaction,
  row: VerificationRow,
  document: unknown,
  authorship: Authorship,
  now: number,
): Promise<number> {
  const { migration } = row;
  const verification = await tx.insert('verifications', byOwnClock(row, now));
  if (document !== undefined) {
    await tx.insert('verification_reports', { id: 0, migration, verification, document });
    await tx.remove('verification_reports', { migration, verification: { lt: await oldestKept(tx, migration) } });
  }
  await remember(tx, migration, { ...authorship, kind: 'verification', summary: `verified: ${row.verdict}` }, now);
  return verification;
}

/** A verdict holds as long as it should, however wrong the clock of the machine is that came to it. */
function byOwnClock(row: VerificationRow, now: number): VerificationRow {
  const wrongMs = now - row.finishedAt;
  if (Math.abs(wrongMs) < MOST_SKEW_MS) return row;
  const { startedAt, finishedAt, expiresAt } = row;
  return { ...row, startedAt: startedAt + wrongMs, finishedAt: finishedAt + wrongMs, expiresAt: expiresAt + wrongMs };
}

/** Newest first. */
export async function verificationLines(
  tx: Transaction,
  migration: string,
  { before, limit }: { readonly before?: number; readonly limit: number },
): Promise<readonly VerificationLine[]> {
  const rows = await tx.select(
    'verifications',
    { migration, ...(before === undefined ? {} : { id: { lt: before } }) },
    { orderBy: 'id', descending: true, limit },
  );
  const oldest = await oldestKept(tx, migration);
  const lines: VerificationLine[] = [];
  for (const row of rows) {
    const kept = row.id >= oldest && (await tx.count('verification_reports', { migration, verification: row.id })) > 0;
    lines.push({ ...row, reportKept: kept });
  }
  return lines;
}

/** Verdicts before this one have no report any more. */
async function oldestKept(tx: Transaction, migration: string): Promise<number> {
  const newest = await tx.select(
    'verifications',
    { migration },
    { orderBy: 'id', descending: true, limit: KEPT_REPORTS },
  );
  return newest.at(-1)?.id ?? 0;
}

/** The report of a verification, as `verify/reports` writes it. @throws NotFound when it is not kept (any more) */
export async function verificationReport(tx: Transaction, migration: string, verification: number): Promise<unknown> {
  const [row] = await tx.select('verification_reports', { migration, verification });
  if (row !== undefined) return row.document;
  throw new NotFound(`there is no report of a verification ${verification} of ${migration}`, {
    expected: `one of the last ${KEPT_REPORTS}`,
    remedy: `changeover verify ${migration}`,
  });
}
