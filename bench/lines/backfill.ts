import { NO_MONGODB, NO_POSTGRES } from '../fleet.ts';
import type { Line, NotMeasured } from '../line.ts';
import { type Contender, paired } from '../paired.ts';
import { type BenchPlace, mongodbBench, postgresBench, sqliteBench } from '../replay-places.ts';
import { openPlace, plainCopy, rate, readRate, timedReplay } from '../replay-runs.ts';

const RECORDS = 150_000;
/** Writes of a plain script that are under way at once. */
const IN_FLIGHT = 4;

/** Pairs of places, and what share of a plain copy's speed a backfill into nothing must reach. */
async function* places(): AsyncIterable<
  { readonly from: BenchPlace; readonly to: BenchPlace; readonly target: number | null } | NotMeasured
> {
  yield { from: sqliteBench(), to: sqliteBench(), target: null };
  const { CHANGEOVER_TEST_POSTGRES_URL: postgres, CHANGEOVER_TEST_MONGODB_URL: mongodb } = process.env;
  if (postgres === undefined || mongodb === undefined) {
    const because = postgres === undefined ? NO_POSTGRES : NO_MONGODB;
    for (const line of ['backfill, PostgreSQL to MongoDB', 'backfill, MongoDB to PostgreSQL']) yield { line, because };
    return;
  }
  yield { from: await postgresBench(postgres), to: await mongodbBench(mongodb), target: 0.95 };
  yield { from: await mongodbBench(mongodb), to: await postgresBench(postgres), target: 0.9 };
}

/** A backfill into an empty store beside a plain copy without guards and stamps, and one with nothing to do beside reading. */
export const backfillLine: Line = {
  name: 'backfill',
  async *measure({ rounds, scale }) {
    const records = Math.ceil(RECORDS * scale);
    for await (const pair of places()) {
      if ('because' in pair) {
        yield pair;
        continue;
      }
      const { from, to, target } = pair;
      await from.seed(records);
      const stores = { old: await openPlace(from, 'old'), new: await openPlace(to, 'new') };
      try {
        const ours: Contender = {
          name: 'a backfill',
          async run() {
            await to.clear();
            return rate(records, await timedReplay(stores, records, { first: true }));
          },
        };
        const plain: Contender = {
          name: 'a plain copy',
          async run() {
            await to.clear();
            return rate(records, await plainCopy(from.read(), (page) => to.write(page), IN_FLIGHT));
          },
        };
        const pairing = await paired(ours, plain, Math.min(rounds, 5));
        yield {
          line: `backfill, ${from.name} to ${to.name}`,
          compared: `${records} records of 400 bytes into nothing, the census of all of them included, beside a script that reads pages and inserts them, ${IN_FLIGHT} at once, into a table with the same indexes`,
          unit: 'records/s',
          pairing,
          target:
            target === null
              ? null
              : { text: `at least ${target} of the script`, reached: pairing.ratio.median >= target },
        };
        await ours.run();
        const again: Contender = {
          name: 'a second backfill',
          run: async () => rate(records, await timedReplay(stores, records, { first: false })),
        };
        const raw: Contender = {
          name: 'reading',
          run: async () => Math.min(await readRate(from), await readRate(to)),
        };
        const second = await paired(again, raw, Math.min(rounds, 5));
        yield {
          line: `second backfill, ${from.name} to ${to.name}`,
          compared: `${records} records that are there already, beside reading all of the store that reads more slowly, in pages`,
          unit: 'records/s',
          pairing: second,
          target: { text: 'at least 0.7 of the read', reached: second.ratio.median >= 0.7 },
        };
      } finally {
        await stores.old.close();
        await stores.new.close();
        await from.drop();
        await to.drop();
      }
    }
  },
};
