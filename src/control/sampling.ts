import { NO_TRAFFIC } from '../core/traffic.ts';
import { readingOf, type SampleGauges, type SampleTotals } from './sample.ts';
import type { Transaction } from './storage.ts';
import { allTraffic, entryOf } from './traffic-desk.ts';

/** Samples are taken so often, and kept for so long. */
export const SAMPLE_STEPS = [
  { step: 5_000, keptMs: 3_600_000 },
  { step: 60_000, keptMs: 86_400_000 },
] as const;

/** Over more missed slots than these no rate is told: it would be about another time. */
const MOST_MISSED = 3;

export interface Observation {
  readonly at: number;
  readonly migrations: readonly {
    readonly name: string;
    readonly totals: SampleTotals;
    readonly gauges: SampleGauges;
  }[];
}

const slotOf = (now: number, step: number): number => Math.floor(now / step) * step;

/** Whether anything is to be sampled now: a slot began of which nobody has a sample. */
export async function samplesDue(tx: Transaction, now: number): Promise<boolean> {
  const rows = await tx.select('sampler', {});
  return SAMPLE_STEPS.some(({ step }) => isDue(rows.find((row) => row.step === step)?.slot, slotOf(now, step), step));
}

/** A sampler that is ahead of everybody's time is one whose clock was wrong: it is begun anew. */
const isDue = (last: number | undefined, slot: number, step: number): boolean =>
  last === undefined || last < slot || last > slot + step;

/** Everything that is sampled, of all migrations, in a few statements. */
export async function observe(tx: Transaction, now: number): Promise<Observation> {
  const traffic = await allTraffic(tx);
  const nodes = new Map((await tx.select('nodes', { state: 'alive' })).map((node) => [node.id, node]));
  const acknowledgements = await tx.select('acknowledgements', { node: { in: [...nodes.keys()] } });
  const replays = await tx.select('replays', { state: 'running' });
  const partitions = await tx.select('replay_partitions', { replay: { in: replays.map(({ id }) => id) } });
  const migrations = [];
  for (const row of await tx.select('migrations', {})) {
    const { name } = row;
    const fleet = acknowledgements.filter(({ migration }) => migration === name);
    const replay = replays.find(({ migration }) => migration === name);
    const scanned = partitions
      .filter((partition) => partition.replay === replay?.id)
      .reduce((sum, partition) => sum + partition.scanned, 0);
    const health = fleet.map(({ node }) => nodes.get(node)?.health ?? null);
    const sum = (of: (each: NonNullable<(typeof health)[number]>) => number): number =>
      health.reduce((total, each) => total + (each === null ? 0 : of(each)), 0);
    migrations.push({
      name,
      totals: {
        traffic: entryOf(traffic, name) ?? NO_TRAFFIC,
        since: row.shadowSince,
        compared: row.shadowCompared,
        divergent: row.shadowDivergent,
        replay: replay === undefined ? null : { id: replay.id, scanned },
      },
      gauges: {
        mirrorQueue: sum(({ mirrorQueues }) => entryOf(mirrorQueues, name) ?? 0),
        memoryBytes: sum(({ memoryBytes }) => memoryBytes),
        dirty: await tx.count('dirt', { migration: name }),
        divergences: await tx.count('divergences', { migration: name }),
        nodes: fleet.length,
        acknowledged: fleet.filter(({ revision }) => revision >= row.revision).length,
        replay: replay === undefined ? null : { kind: replay.kind, scanned, estimate: replay.estimate },
      },
    });
  }
  return { at: now, migrations };
}

/** Writes down what was observed, for each step whose slot nobody has sampled yet. @returns whether there was one */
export async function keepSamples(tx: Transaction, { at, migrations }: Observation): Promise<boolean> {
  let kept = false;
  for (const { step, keptMs } of SAMPLE_STEPS) {
    const slot = slotOf(at, step);
    const [last] = await tx.select('sampler', { step });
    if (!isDue(last?.slot, slot, step)) continue;
    kept = true;
    const ms = last === undefined ? 0 : at - last.at;
    const follows = last !== undefined && ms > 0 && ms <= step * (1 + MOST_MISSED);
    const totals = Object.fromEntries(migrations.map((each) => [each.name, each.totals]));
    if (last === undefined) await tx.insert('sampler', { id: 0, step, slot, at, totals });
    else await tx.update('sampler', { id: last.id }, { slot, at, totals });
    await tx.remove('samples', { step, slot: { lte: at - keptMs } });
    // A clock that was ahead may have left some behind.
    await tx.remove('samples', { step, slot: { gte: slot } });
    await tx.insertMany(
      'samples',
      migrations.map((each) => ({
        id: 0,
        migration: each.name,
        step,
        slot,
        reading: readingOf(each.gauges, each.totals, follows ? (entryOf(last.totals, each.name) ?? null) : null, ms),
      })),
    );
  }
  return kept;
}
