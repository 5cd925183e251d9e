import { systemClock } from '../../src/core/clock.ts';
import { KeySpec } from '../../src/core/record-key.ts';
import { DEFAULT_SETTINGS } from '../../src/core/settings.ts';
import { identityCodec, type Store } from '../../src/core/store.ts';
import { replay } from '../../src/replay/replay.ts';
import type { Line } from '../line.ts';
import { type Contender, paired } from '../paired.ts';
import { type BenchPlace, mongodbBench, postgresBench, sqliteBench } from '../replay-places.ts';

const RECORDS = 50_000;
/** Writes of a plain script that are under way at once. */
const IN_FLIGHT = 4;
const KEYS = new KeySpec(['user_key', 'id'], ['user_key']);

/** Pairs of places, and what share of a plain copy's speed a backfill into nothing must reach. */
async function* places(): AsyncIterable<{
  readonly from: BenchPlace;
  readonly to: BenchPlace;
  readonly target: number | null;
}> {
  yield { from: sqliteBench(), to: sqliteBench(), target: null };
  const { CHANGEOVER_TEST_POSTGRES_URL: postgres, CHANGEOVER_TEST_MONGODB_URL: mongodb } = process.env;
  if (postgres === undefined || mongodb === undefined) return;
  yield { from: await postgresBench(postgres), to: await mongodbBench(mongodb), target: 0.95 };
  yield { from: await mongodbBench(mongodb), to: await postgresBench(postgres), target: 0.9 };
}

async function open({ store }: BenchPlace, side: 'old' | 'new'): Promise<Store> {
  const opened = await store.create({ migration: 'bench', side, keys: KEYS, codec: identityCodec, clock: systemClock });
  await opened.open();
  await opened.prepare();
  return opened;
}

const rate = (records: number, ms: number): number => (records * 1_000) / ms;

async function backfill(source: Store, target: Store, records: number): Promise<number> {
  const shares = (await source.partitions(16)).map((partition, id) => ({
    id,
    partition,
    cursor: null,
    done: false,
    scanned: 0,
    applied: 0,
    skipped: 0,
    rejected: 0,
  }));
  const begun = performance.now();
  await replay({
    source,
    target,
    shares,
    includes: () => true,
    journal: { checkpoint: async () => ({ yours: true, settings: DEFAULT_SETTINGS }) },
    settings: DEFAULT_SETTINGS,
    clock: systemClock,
    random: Math.random,
    onRejected: async () => {},
  });
  const ms = performance.now() - begun;
  const seen = shares.reduce((sum, share) => sum + share.applied + share.skipped, 0);
  if (seen !== records) throw new Error(`${seen} of ${records} records arrived`);
  return rate(records, ms);
}

async function plainCopy(from: BenchPlace, to: BenchPlace, records: number): Promise<number> {
  const begun = performance.now();
  const writing = new Set<Promise<void>>();
  for await (const page of from.read()) {
    const write = to.write(page).finally(() => writing.delete(write));
    writing.add(write);
    if (writing.size >= IN_FLIGHT) await Promise.race(writing);
  }
  await Promise.all(writing);
  return rate(records, performance.now() - begun);
}

/** A backfill into an empty store beside a plain copy without guards and stamps, and one with nothing to do beside reading. */
export const backfillLine: Line = {
  name: 'backfill',
  async *measure({ rounds, scale }) {
    const records = Math.ceil(RECORDS * scale);
    for await (const { from, to, target } of places()) {
      await from.seed(records);
      const [source, sink] = [await open(from, 'old'), await open(to, 'new')];
      try {
        const ours: Contender = {
          name: 'a backfill',
          async run() {
            await to.clear();
            return backfill(source, sink, records);
          },
        };
        const plain: Contender = {
          name: 'a plain copy',
          async run() {
            await to.clear();
            return plainCopy(from, to, records);
          },
        };
        const pairing = await paired(ours, plain, Math.min(rounds, 5));
        yield {
          line: `backfill, ${from.name} to ${to.name}`,
          compared: `${records} records of 400 bytes into nothing, beside a script that reads pages and inserts them, ${IN_FLIGHT} at once`,
          unit: 'records/s',
          pairing,
          target:
            target === null
              ? null
              : { text: `at least ${target} of the script`, reached: pairing.ratio.median >= target },
        };
        const raw: Contender = {
          name: 'reading',
          async run() {
            const begun = performance.now();
            let seen = 0;
            for await (const page of from.read()) seen += page.length;
            return rate(seen, performance.now() - begun);
          },
        };
        await ours.run();
        const again: Contender = { name: 'a second backfill', run: () => backfill(source, sink, records) };
        const second = await paired(again, raw, Math.min(rounds, 5));
        yield {
          line: `second backfill, ${from.name} to ${to.name}`,
          compared: `${records} records that are there already, beside reading all of the source`,
          unit: 'records/s',
          pairing: second,
          target: { text: 'at least 0.7 of the read', reached: second.ratio.median >= 0.7 },
        };
      } finally {
        await source.close();
        await sink.close();
        await from.drop();
        await to.drop();
      }
    }
  },
};
