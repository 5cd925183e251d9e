import { InvalidArgument } from '../core/errors.ts';
import type { JobRow, Transaction } from './storage.ts';

/** Ended jobs are listed for so long. */
const KEPT_MS = 30 * 86_400_000;

/** A job, and the one that went on with it. */
export interface JobView extends JobRow {
  readonly resumedBy: string | null;
}

/** Whose server does not say any more that it lives: it was interrupted. */
async function seen(tx: Transaction, rows: readonly JobRow[], now: number): Promise<readonly JobView[]> {
  const later = rows.length === 0 ? [] : await tx.select('jobs', { resumes: { in: rows.map(({ id }) => id) } });
  return rows.map((row) => ({
    ...row,
    ...(row.state === 'running' && row.aliveUntil < now ? { state: 'interrupted', finishedAt: row.aliveUntil } : {}),
    resumedBy: later.find(({ resumes }) => resumes === row.id)?.id ?? null,
  }));
}

/** @throws InvalidArgument where it goes on with a job that another one went on with: each is gone on with once */
export async function beginJob(tx: Transaction, row: JobRow, now: number): Promise<void> {
  await tx.remove('jobs', { migration: row.migration, finishedAt: { lt: now - KEPT_MS } });
  await tx.remove('jobs', { migration: row.migration, finishedAt: null, aliveUntil: { lt: now - KEPT_MS } });
  const [later] = row.resumes === null ? [] : await tx.select('jobs', { resumes: row.resumes }, { limit: 1 });
  if (later !== undefined) {
    throw new InvalidArgument(`the job ${row.resumes} was gone on with already, by the job ${later.id}`, {
      expected: 'the last one, if that ended too early as well',
    });
  }
  await tx.insert('jobs', row);
}

/** Says that a server lives and how far its jobs are. @returns those that somebody wants to be stopped */
export async function keepJobs(
  tx: Transaction,
  server: string,
  leaseMs: number,
  progress: Readonly<Record<string, unknown>>,
  now: number,
): Promise<readonly string[]> {
  await tx.update('jobs', { server, state: 'running' }, { aliveUntil: now + leaseMs });
  for (const [id, value] of Object.entries(progress)) {
    await tx.update('jobs', { id, server, state: 'running' }, { progress: value });
  }
  const unwanted = await tx.select('jobs', { server, state: 'running', cancelRequested: true });
  return unwanted.map(({ id }) => id);
}

export async function endJob(
  tx: Transaction,
  id: string,
  end: Pick<JobRow, 'state' | 'finishedAt' | 'progress' | 'result' | 'error'>,
): Promise<void> {
  await tx.update('jobs', { id }, end);
}

/** Newest first. */
export async function jobs(
  tx: Transaction,
  migrations: readonly string[] | null,
  limit: number,
  now: number,
): Promise<readonly JobView[]> {
  const where = migrations === null ? {} : { migration: { in: migrations } };
  const rows = await tx.select('jobs', where, { orderBy: 'startedAt', descending: true, limit });
  return seen(tx, rows, now);
}

export async function job(tx: Transaction, id: string, now: number): Promise<JobView | null> {
  const [view] = await seen(tx, await tx.select('jobs', { id }), now);
  return view ?? null;
}

/** Asks the server that runs it to stop it. @returns whether one does */
export async function cancelJob(tx: Transaction, id: string, now: number): Promise<boolean> {
  return (await tx.update('jobs', { id, state: 'running', aliveUntil: { gte: now } }, { cancelRequested: true })) > 0;
}
