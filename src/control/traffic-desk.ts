import type { Side } from '../core/stage.ts';
import { type CallKind, type CallTotals, LATENCY_BUCKETS, NO_TRAFFIC, type Traffic } from '../core/traffic.ts';
import type { Transaction } from './storage.ts';

/** The row in which everybody who is gone is added up. */
const GONE = 0;

type Totals = Record<string, Traffic>;

/** What a record holds of a migration; its name may be one that every object has something under. */
export const entryOf = <T>(all: Readonly<Record<string, T>> | undefined, migration: string): T | undefined =>
  all !== undefined && Object.hasOwn(all, migration) ? all[migration] : undefined;

const callsOf = (totals: Totals): number =>
  Object.values(totals)
    .flatMap((traffic): CallTotals[] => [traffic.old.read, traffic.old.write, traffic.new.read, traffic.new.write])
    .reduce((sum, { count }) => sum + count, 0);

/** Keeps the totals of a process that has reported some before; false where there are none, or greater ones. */
export async function keepKnownTraffic(
  tx: Transaction,
  node: number,
  migrations: Totals | undefined,
): Promise<boolean> {
  const calls = migrations === undefined ? 0 : callsOf(migrations);
  if (migrations === undefined || calls === 0) return true;
  return (await tx.update('traffic', { node, calls: { lte: calls } }, { calls, migrations })) > 0;
}

/** Keeps the totals that a process reports; those of a report that was overtaken are lower, and change nothing. */
export async function keepTraffic(tx: Transaction, node: number, migrations: Totals | undefined): Promise<void> {
  if (migrations === undefined || (await keepKnownTraffic(tx, node, migrations))) return;
  const calls = callsOf(migrations);
  if ((await tx.count('traffic', { node })) > 0) return;
  await tx.insert('traffic', { id: 0, node, calls, migrations });
}

/** Adds the totals of a process that is gone to those of all who are: the fleet's never go back. */
export async function foldTraffic(tx: Transaction, node: number): Promise<void> {
  const [row] = await tx.select('traffic', { node });
  if (row === undefined) return;
  await tx.remove('traffic', { node });
  const [gone] = await tx.select('traffic', { node: GONE });
  const migrations = sum([gone?.migrations ?? {}, row.migrations]);
  const calls = callsOf(migrations);
  if (gone === undefined) await tx.insert('traffic', { id: 0, node: GONE, calls, migrations });
  else await tx.update('traffic', { node: GONE }, { calls, migrations });
}

/** All calls of the fleet there ever were, by migration. */
export async function allTraffic(tx: Transaction): Promise<Totals> {
  const rows = await tx.select('traffic', {});
  return sum(rows.map(({ migrations }) => migrations));
}

export async function trafficOf(tx: Transaction, migration: string): Promise<Traffic> {
  const rows = await tx.select('traffic', {});
  const its = rows.flatMap(({ migrations }) => {
    const traffic = entryOf(migrations, migration);
    return traffic === undefined ? [] : [{ [migration]: traffic }];
  });
  return entryOf(sum(its), migration) ?? NO_TRAFFIC;
}

const SIDES = ['old', 'new'] as const;
const KINDS = ['read', 'write'] as const;

/** One kind of call, added up in place: a fleet has very many histograms. */
class Sum {
  #count = 0;
  #errors = 0;
  readonly #latency = new Float64Array(LATENCY_BUCKETS);

  add({ count, errors, latency }: CallTotals): void {
    this.#count += count;
    this.#errors += errors;
    for (const [bucket, calls] of latency) {
      const at = Math.min(bucket, LATENCY_BUCKETS - 1);
      this.#latency[at] = (this.#latency[at] as number) + calls;
    }
  }

  total(): CallTotals {
    const latency: [number, number][] = [];
    this.#latency.forEach((calls, bucket) => {
      if (calls > 0) latency.push([bucket, calls]);
    });
    return { count: this.#count, errors: this.#errors, latency };
  }
}

function sum(parts: readonly Totals[]): Totals {
  const sums = new Map<string, Record<Side, Record<CallKind, Sum>>>();
  const side = () => ({ read: new Sum(), write: new Sum() });
  for (const part of parts) {
    for (const [name, traffic] of Object.entries(part)) {
      let known = sums.get(name);
      if (known === undefined) {
        known = { old: side(), new: side() };
        sums.set(name, known);
      }
      for (const of of SIDES) for (const kind of KINDS) known[of][kind].add(traffic[of][kind]);
    }
  }
  const totals = ({ read, write }: Record<CallKind, Sum>) => ({ read: read.total(), write: write.total() });
  return Object.fromEntries([...sums].map(([name, of]) => [name, { old: totals(of.old), new: totals(of.new) }]));
}
