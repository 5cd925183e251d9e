import { LoadingStore } from '../../src/replay/loading-store.ts';
import { type DynamoDbBench, dynamodbBench, MOST_ITEMS } from '../dynamodb-place.ts';
import { atLeast, type Line, type Result } from '../line.ts';
import { type Contender, paired } from '../paired.ts';
import { type BenchPlace, type BenchRecord, mongodbBench } from '../replay-places.ts';
import { openPlace, plainCopy, rate, timedReplay } from '../replay-runs.ts';

const RECORDS = 10_000;
const MOST_ROUNDS = 5;
/** Single puts of a plain script that are under way at once, and requests of batches. */
const PUTS_IN_FLIGHT = 64;
const BATCHES_IN_FLIGHT = 8;
const BATCHES = `${BATCHES_IN_FLIGHT} of ${MOST_ITEMS} at once`;
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

type Script = () => Promise<number>;

/** The ways of a plain script that leave what is there. */
const conditional = (
  from: BenchPlace,
  to: DynamoDbBench,
): Readonly<Record<'puts' | 'inserts' | 'transactions', Script>> => ({
  puts: () => plainCopy(each(from.read()), to.putNew, PUTS_IN_FLIGHT),
  inserts: () => plainCopy(inParts(from.read(), MOST_ITEMS), to.insertMany, BATCHES_IN_FLIGHT),
  transactions: () => plainCopy(inParts(from.read(), MOST_ITEMS), to.insertTogether, BATCHES_IN_FLIGHT),
});

/** Its figure is that of the fastest in that round. */
const plainScript = (to: DynamoDbBench, records: number, scripts: readonly Script[]): Contender => ({
  name: 'a plain copy',
  async run() {
    let best = 0;
    for (const copy of scripts) {
      await to.clear();
      best = Math.max(best, rate(records, await copy()));
    }
    return best;
  },
});

/** Two stores, of which the new one is made anew before each run. */
interface Filling {
  readonly from: BenchPlace;
  readonly to: DynamoDbBench;
  readonly stores: Parameters<typeof timedReplay>[0];
  readonly records: number;
  readonly rounds: number;
}

const timed = ({ to, records }: Filling, copy: Script): Contender => ({
  name: 'a backfill',
  async run() {
    await to.clear();
    return rate(records, await copy());
  },
});

const result = (
  { records }: Filling,
  line: string,
  compared: string,
  least: number,
  pairing: Result['pairing'],
): Result => ({
  line,
  compared: `${records} records of 400 bytes into nothing, beside ${compared}`,
  unit: 'records/s',
  pairing,
  target: atLeast(pairing.ratio.median, least, `at least ${least} of the script`),
});

async function* byStatements(filling: Filling): AsyncGenerator<Result> {
  const { from, to, stores, records, rounds } = filling;
  const backfill = timed(filling, () => timedReplay(stores, records, { first: true }));
  yield result(
    filling,
    'backfill, MongoDB to DynamoDB',
    `a script of PartiQL inserts, ${BATCHES}`,
    CONDITIONAL,
    await paired(backfill, plainScript(to, records, [conditional(from, to).inserts]), rounds),
  );
  const both = timed(filling, async () => {
    const target = new LoadingStore(stores.new).store;
    const preload = await timedReplay(stores, records, { first: true, target });
    return preload + (await timedReplay(stores, records, { first: false }));
  });
  const replacing = () => plainCopy(inParts(from.read(), MOST_ITEMS), to.replaceMany, BATCHES_IN_FLIGHT);
  yield result(
    filling,
    'preload and backfill, MongoDB to DynamoDB',
    `a script that replaces whatever is there, batches, ${BATCHES}`,
    UNCONDITIONAL,
    await paired(both, plainScript(to, records, [replacing]), rounds),
  );
}

async function* byTransactions(filling: Filling): AsyncGenerator<Result> {
  const { from, to, stores, records, rounds } = filling;
  const backfill = timed(filling, () => timedReplay(stores, records, { first: true }));
  yield result(
    filling,
    'backfill in transactions, MongoDB to DynamoDB',
    `the fastest of three scripts: single conditional puts, ${PUTS_IN_FLIGHT} at once; PartiQL inserts, and transactions of conditional puts, ${BATCHES}`,
    CONDITIONAL,
    await paired(backfill, plainScript(to, records, Object.values(conditional(from, to))), rounds),
  );
}

/** A backfill of MongoDB into an empty table of DynamoDB: in either kind of batches, and after a preload. */
export const dynamodbLine: Line = {
  name: 'dynamodb',
  async *measure({ rounds: asked, scale }) {
    const { CHANGEOVER_TEST_DYNAMODB_URL: endpoint, CHANGEOVER_TEST_MONGODB_URL: mongodb } = process.env;
    if (endpoint === undefined || mongodb === undefined) {
      yield { line: 'backfill, MongoDB to DynamoDB', because: 'no server of both is named' };
      return;
    }
    const records = Math.ceil(RECORDS * scale);
    const rounds = Math.min(asked, MOST_ROUNDS);
    const from = await mongodbBench(mongodb);
    try {
      await from.seed(records);
      for (const [inserts, measure] of [
        ['statements', byStatements],
        ['transactions', byTransactions],
      ] as const) {
        const to = await dynamodbBench(endpoint, { inserts });
        const stores = { old: await openPlace(from, 'old'), new: await openPlace(to, 'new') };
        try {
          yield* measure({ from, to, stores, records, rounds });
        } finally {
          await stores.old.close();
          await stores.new.close();
          await to.drop();
        }
      }
    } finally {
      await from.drop();
    }
  },
};
