import { setTimeout as pause } from 'node:timers/promises';
import { type Control, control } from '../../src/index.ts';
import { controlPlace, NO_MONGODB, NO_POSTGRES, WHY } from '../fleet.ts';
import { atLeast, type Line } from '../line.ts';
import { type Contender, paired, spread } from '../paired.ts';
import { type BenchPlace, mongodbBench, postgresBench } from '../replay-places.ts';
import { rate } from '../replay-runs.ts';
import { Distance, MachineLoad, MIGRATIONS, type WorkerPlaces, WorkerProcess, workersConfig } from '../worker-fleet.ts';

const RECORDS = 12_000;
const MOST_ROUNDS = 5;
/** To the stores, each way. */
const DISTANCE_MS = 50;
/** What the operator lets a process have on its way at once; the stores bear far more. */
const CONCURRENCY = 200;
const LOOK_MS = 20;
const TARGET = 1.7;

type Migration = (typeof MIGRATIONS)[number];

/** Everything is mirrored, and every process is held to the operator's limit. */
async function mirrored(operator: Control, name: Migration): Promise<void> {
  await operator.prepare(name);
  await operator.plane.changeSettings(name, { noOutsideWriters: true, replayConcurrency: CONCURRENCY }, WHY);
  const controller = await operator.migration(name);
  await controller.set({ dial: 'dual-write', to: 100_000 }, WHY);
}

/** A backfill that is left to the workers; how long it took, ms. @throws when not every record arrived */
async function timedBackfill(operator: Control, name: Migration, sink: BenchPlace, records: number): Promise<number> {
  const controller = await operator.migration(name);
  const begun = performance.now();
  await controller.backfill({ ...WHY, detach: true });
  while ((await operator.plane.status(name)).replay !== null) await pause(LOOK_MS);
  const ms = performance.now() - begun;
  let arrived = 0;
  for await (const page of sink.read()) arrived += page.length;
  if (arrived !== records) throw new Error(`${arrived} of ${records} records arrived`);
  return ms;
}

/** A backfill by two workers, beside one, of stores that are far away and have time for both. */
export const workersLine: Line = {
  name: 'workers',
  async *measure({ rounds, scale }) {
    const line = 'backfill by two workers, MongoDB to PostgreSQL';
    const { CHANGEOVER_TEST_POSTGRES_URL: postgres, CHANGEOVER_TEST_MONGODB_URL: mongo } = process.env;
    const plane = await controlPlace('PostgreSQL');
    if (postgres === undefined || mongo === undefined || plane === null) {
      yield { line, because: mongo === undefined ? NO_MONGODB : NO_POSTGRES };
      return;
    }
    const records = Math.ceil(RECORDS * scale);
    await using stack = new AsyncDisposableStack();
    stack.defer(() => plane.drop());
    const sources = await Promise.all(MIGRATIONS.map(() => mongodbBench(mongo)));
    const sinks = await Promise.all(MIGRATIONS.map(() => postgresBench(postgres)));
    for (const place of [...sources, ...sinks]) stack.defer(() => place.drop());
    for (const source of sources) await source.seed(records);
    const [toMongo, toPostgres] = [await Distance.from(mongo, DISTANCE_MS), await Distance.from(postgres, DISTANCE_MS)];
    for (const distance of [toMongo, toPostgres]) stack.defer(() => distance.end());
    const mongodb = new URL(toMongo.url(mongo));
    // Members of a replica set are found by names that lead past the distance.
    mongodb.searchParams.delete('replicaSet');
    mongodb.searchParams.set('directConnection', 'true');
    const places: WorkerPlaces = {
      control: plane.url,
      mongodb: mongodb.href,
      postgres: toPostgres.url(postgres),
      databases: sources.map(({ place }) => place),
      schemas: sinks.map(({ place }) => place),
    };
    const operator = await control(workersConfig(places));
    stack.defer(() => operator.close());
    for (const name of MIGRATIONS) await mirrored(operator, name);
    // Both live all the time: what is compared is the work, not how long a process takes to start.
    for (const migrations of [[...MIGRATIONS], ['shared']]) {
      const worker = await WorkerProcess.start(places, migrations);
      stack.defer(() => worker.end());
    }
    const load = new MachineLoad();
    const busy: Record<Migration, number[]> = { alone: [], shared: [] };
    const contender = (name: Migration, sink: BenchPlace | undefined): Contender => ({
      name,
      async run() {
        await sink?.clear();
        load.share();
        const ms = await timedBackfill(operator, name, sink as BenchPlace, records);
        busy[name].push(load.share());
        return rate(records, ms);
      },
    });
    const pairing = await paired(
      contender('shared', sinks[1]),
      contender('alone', sinks[0]),
      Math.min(rounds, MOST_ROUNDS),
    );
    const percent = (name: Migration): string => `${Math.round(spread(busy[name]).median * 100)} %`;
    yield {
      line,
      compared: `${records} records by two workers, beside one; stores ${DISTANCE_MS} ms away each way, replay-concurrency ${CONCURRENCY}; all cores busy ${percent('shared')} with two, ${percent('alone')} with one`,
      unit: 'records/s',
      pairing,
      target: atLeast(pairing.ratio.median, TARGET, `at least ${TARGET} of one worker`),
    };
  },
};
