import { LoadingStore } from '../../src/replay/loading-store.ts';
import { type DynamoDbBench, dynamodbBench, MOST_ITEMS } from '../dynamodb-place.ts';
import { atLeast, type Line, type Result } from '../line.ts';
import { type Contender, paired } from '../paired.ts';
import { type BenchPlace, type BenchRecord, mongodbBench } from '../replay-places.ts';
import { openPlace, plainCopy, rate, timedReplay } from '../replay-runs.ts';

const RECORDS = 6_000;
const MOST_ROUNDS = 5;
/** Single puts of a plain script that are under way at once, and requests of batches. */
const PUTS_IN_FLIGHT = 64;
const BATCHES_IN_FLIGHT = 8;
const CONDITIONAL = 0.9;
const UNCONDITIONAL = 0.55;

async function* inParts(
  pages: AsyncIterable<readonly BenchRecord[]>,
  size: number,
): AsyncIterable<readonly BenchRecord[]> {
  for await (const page of pages) {
    for (let at = 0; at < page.length; at += size) yield page.slice(at, at + size);
  }
}

async function* each(pages: AsyncIterable<readonly BenchRecord[]>): AsyncIterable<BenchRecord> {
  for await (const page of pages) yield* page;
}

/** The ways of a plain script that leave what is there, or those that do not; its figure is that of the fastest. */
function script(
  from: BenchPlace,
  to: DynamoDbBench,
  records: number,
  ways: 'conditional' | 'unconditional',
): Contender {
  const copies: readonly (() => Promise<number>)[] =
    ways === 'unconditional'
      ? [() => plainCopy(inParts(from.read(), MOST_ITEMS), to.replaceMany, BATCHES_IN_FLIGHT)]
      : [
          () => plainCopy(each(from.read()), to.putNew, PUTS_IN_FLIGHT),
          () => plainCopy(inParts(from.read(), MOST_ITEMS), to.insertMany, BATCHES_IN_FLIGHT),
          () => plainCopy(inParts(from.read(), MOST_ITEMS), to.insertTogether, BATCHES_IN_FLIGHT),
        ];
  return {
    name: 'a plain copy',
    async run() {
      let best = 0;
      for (const copy of copies) {
        await to.clear();
        best = Math.max(best, rate(records, await copy()));
      }
      return best;
    },
  };
}

/** A backfill of MongoDB into an empty table of DynamoDB, with a preload before it and without. */
export const dynamodbLine: Line = {
  name: 'dynamodb',
  async *measure({ rounds, scale }) {
    const { CHANGEOVER_TEST_DYNAMODB_URL: endpoint, CHANGEOVER_TEST_MONGODB_URL: mongodb } = process.env;
    if (endpoint === undefined || mongodb === undefined) {
      yield { line: 'backfill, MongoDB to DynamoDB', because: 'no server of both is named' };
      return;
    }
    const records = Math.ceil(RECORDS * scale);
    const from = await mongodbBench(mongodb);
    const to = await dynamodbBench(endpoint);
    await from.seed(records);
    const stores = { old: await openPlace(from, 'old'), new: await openPlace(to, 'new') };
    const timed = (copy: () => Promise<number>): Contender => ({
      name: 'a backfill',
      async run() {
        await to.clear();
        return rate(records, await copy());
      },
    });
    const most = Math.min(rounds, MOST_ROUNDS);
    const result = (line: string, compared: string, least: number, pairing: Result['pairing']): Result => ({
      line,
      compared: `${records} records of 400 bytes into nothing, beside ${compared}`,
      unit: 'records/s',
      pairing,
      target: atLeast(pairing.ratio.median, least, `at least ${least} of the script`),
    });
    try {
      const backfill = timed(() => timedReplay(stores, records, { first: true }));
      yield result(
        'backfill, MongoDB to DynamoDB',
        `the fastest of three scripts: single conditional puts, ${PUTS_IN_FLIGHT} at once; PartiQL inserts, and transactions of conditional puts, ${BATCHES_IN_FLIGHT} of ${MOST_ITEMS} at once`,
        CONDITIONAL,
        await paired(backfill, script(from, to, records, 'conditional'), most),
      );
      const both = timed(async () => {
        const target = new LoadingStore(stores.new).store;
        const preload = await timedReplay(stores, records, { first: true, target });
        return preload + (await timedReplay(stores, records, { first: false }));
      });
      yield result(
        'preload and backfill, MongoDB to DynamoDB',
        `a script that replaces whatever is there, ${BATCHES_IN_FLIGHT} batches of ${MOST_ITEMS} at once`,
        UNCONDITIONAL,
        await paired(both, script(from, to, records, 'unconditional'), most),
      );
    } finally {
      await stores.old.close();
      await stores.new.close();
      await from.drop();
      await to.drop();
    }
  },
};
