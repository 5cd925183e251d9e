/** An operator's process that backfills, and may be killed at it; a script. argv: the pair, as JSON. */
import { answer } from '../../src/cli/demo/child.ts';
import type { ReplaySummary } from '../../src/control/backfill.ts';
import { control } from '../../src/service/control.ts';
import { configOf, MIGRATION, type PairSpec } from './place-spec.ts';

async function operate(pair: PairSpec): Promise<Readonly<Record<string, () => unknown>>> {
  const controller = await (await control(configOf(pair))).migration(MIGRATION);
  let scanned = 0;
  const onProgress = (progress: Pick<ReplaySummary, 'scanned'>): void => {
    scanned = progress.scanned;
  };
  return {
    backfill: () => controller.backfill({ actor: 'test', reason: 'in a process of its own', onProgress }),
    scanned: () => scanned,
  };
}

answer(operate(JSON.parse(process.argv[2] ?? '{}') as PairSpec));
