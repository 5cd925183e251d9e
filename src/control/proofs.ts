import type { NodeInfo } from '../core/control-client.ts';
import { migrationRow } from './facts.ts';
import type { ProofRow, Transaction } from './storage.ts';

/** Asks to be the one verification that plants records in a migration's stores, or to stay it. */
export interface ProofRequest {
  readonly migration: string;
  readonly runner: string;
  readonly process: NodeInfo;
  readonly actor: string;
  readonly leaseMs: number;
  /** A holder whose process has surely ended: its lease is not awaited. */
  readonly instead: string | null;
}

/** Null: it is yours, for as long as the lease says. Otherwise whose it is. */
export async function holdProof(tx: Transaction, request: ProofRequest, now: number): Promise<ProofRow | null> {
  const { migration, runner, process, actor, leaseMs, instead } = request;
  await migrationRow(tx, migration);
  const [holder] = await tx.select('proofs', { migration });
  const own = holder?.runner === runner;
  if (holder !== undefined && !own && holder.leaseUntil > now && holder.runner !== instead) return holder;
  const since = own ? holder.since : now;
  const row = { migration, runner, process, actor, since, leaseUntil: now + leaseMs };
  if (holder === undefined) await tx.insert('proofs', { id: 0, ...row });
  else await tx.update('proofs', { migration }, row);
  return null;
}

/** Nobody else's is released by that. */
export async function releaseProof(tx: Transaction, migration: string, runner: string): Promise<void> {
  await tx.remove('proofs', { migration, runner });
}
