import { control, type DialMove, defineConfig, migration, open } from '../../src/index.ts';
import { LeanStore } from '../lean-store.ts';
import { atMost, type BenchOptions, type Line, type Result } from '../line.ts';
import { asyncMicroseconds, type Contender, paired, pairedOver } from '../paired.ts';
import { experimentOf, migrationOf } from '../wrappers.ts';

interface Event {
  readonly userKey: string;
  readonly id: string;
  readonly n: number;
  readonly text: string;
}

type EventKey = Pick<Event, 'userKey' | 'id'>;

const WHY = { reason: 'bench', actor: 'bench' };
const STAGES: readonly (readonly [name: 'off' | 'dualwrite' | 'shadow', move: DialMove | null])[] = [
  ['off', null],
  ['dualwrite', { dial: 'dual-write', to: 100_000 }],
  ['shadow', { dial: 'shadow-read', to: 100_000 }],
];

/** So many records only: what 5,000 in two stores take is no longer near the processor, and measures the memory. */
const RECORDS = 500;
const events: readonly Event[] = Array.from({ length: RECORDS }, (_, i) => ({
  userKey: `user-${i % 500}`,
  id: `id-${i}`,
  n: i,
  text: 'hello world',
}));
const keys: readonly EventKey[] = events.map(({ userKey, id }) => ({ userKey, id }));
const event = (i: number): Event => events[i % RECORDS] as Event;
const key = (i: number): EventKey => keys[i % RECORDS] as EventKey;
/** What an adapter would be given, made by hand. */
const entryOf = (i: number) =>
  ({ id: '', key: key(i), stamp: '0123456789abcdef01234567', value: { ...event(i) } }) as never;

/** Runs that nobody counts: a service that has just begun is another matter, what is measured has been compiled. */
async function warm(...contenders: readonly Contender[]): Promise<void> {
  for (let run = 0; run < 5; run += 1) for (const one of contenders) await one.run();
}

const ignore = (): void => {};

/** What the same store calls cost that a stage makes, without anything that makes them. */
function byHand(stage: 'off' | 'dualwrite' | 'shadow', calls: number): Record<'get' | 'put', Contender> {
  const [old, fresh] = [new LeanStore(), new LeanStore()];
  for (let i = 0; i < RECORDS; i += 1) for (const store of [old, fresh]) void store.put(entryOf(i));
  const get = async (i: number): Promise<unknown> => {
    const entry = await old.get(key(i));
    if (stage === 'shadow') fresh.get(key(i)).then(ignore, ignore);
    return entry;
  };
  const put = async (i: number): Promise<void> => {
    const entry = entryOf(i);
    await old.put(entry);
    if (stage !== 'off') fresh.put(entry).then(ignore, ignore);
  };
  return {
    get: { name: 'the stores', run: () => asyncMicroseconds(calls, get) },
    put: { name: 'the stores', run: () => asyncMicroseconds(calls, put) },
  };
}

const MADE = {
  off: 'one call of a Map',
  dualwrite: { get: 'one call of a Map', put: 'a put of a Map, and one of another that nobody awaits' },
  shadow: {
    get: 'a read of a Map, and one of another that nobody awaits',
    put: 'a put of a Map, and one of another that nobody awaits',
  },
} as const;

/** What a call through the repository costs beside the same calls of the stores, and beside what others cost. */
async function* measured(call: 'get' | 'put', { rounds, scale }: BenchOptions): AsyncGenerator<Result> {
  // Fewer would be over before the system has counted their time.
  const calls = Math.max(4_000, Math.ceil(20_000 * scale));
  const stores = { old: new LeanStore(), new: new LeanStore() };
  const config = defineConfig({
    control: 'memory',
    migrations: {
      events: migration<Event>({
        key: ['userKey', 'id'],
        unit: 'userKey',
        old: stores.old.definition,
        new: stores.new.definition,
      }),
    },
  });
  const changeover = await open(config, { logger: 'error' });
  const operator = await control(config);
  try {
    await operator.prepare('events');
    await operator.plane.changeSettings('events', { noOutsideWriters: true }, WHY);
    const repository = changeover.repository('events');
    const controller = await operator.migration('events');
    const ours: Contender = {
      name: 'repository',
      run: () =>
        asyncMicroseconds(calls, call === 'get' ? (i) => repository.get(key(i)) : (i) => repository.put(event(i))),
    };
    for (const [stage, move] of STAGES) {
      if (move !== null) await controller.set(move, WHY);
      for (let i = 0; i < RECORDS; i += 1) await repository.put(event(i));
      const hand = byHand(stage, calls)[call];
      await warm(ours, hand);
      const made = MADE[stage];
      const pairing = await paired(ours, hand, rounds);
      yield {
        line: `${call} at ${stage}`,
        compared: `repository.${call} with its deadline armed, beside the store calls that it makes: ${typeof made === 'string' ? made : made[call]}`,
        unit: 'µs',
        pairing,
        target: atMost(pairing.difference.median, 1, 'adds under 1.0 µs'),
      };
      yield* others(call, stage, calls, rounds, ours, hand);
    }
  } finally {
    await operator.close();
    await changeover.close();
  }
}

/** What the repository adds beside what others add to the same store calls in the same stage. */
async function* others(
  call: 'get' | 'put',
  stage: 'off' | 'dualwrite' | 'shadow',
  calls: number,
  rounds: number,
  ours: Contender,
  hand: Contender,
): AsyncGenerator<Result> {
  const [old, fresh] = [new LeanStore(), new LeanStore()];
  for (let i = 0; i < RECORDS; i += 1) for (const store of [old, fresh]) void store.put(entryOf(i));
  const access = {
    get: { old: (i: number) => old.get(key(i)), new: (i: number) => fresh.get(key(i)) },
    put: { old: (i: number) => old.put(entryOf(i)), new: (i: number) => fresh.put(entryOf(i)) },
  };
  for (const events of [false, true]) {
    const launchDarkly = await migrationOf(stage, events, access.get, access.put);
    try {
      const theirs: Contender = {
        name: 'LaunchDarkly',
        run: () => asyncMicroseconds(calls, (i) => launchDarkly[call](key(i).userKey, i)),
      };
      await warm(theirs);
      const pairing = await pairedOver(hand, ours, theirs, rounds);
      yield {
        line: `what a ${call} at ${stage} adds, beside LaunchDarkly's createMigration ${events ? 'with' : 'without'} events`,
        compared: 'each less the store calls by hand; the same stage, serial where it can be chosen',
        unit: 'µs',
        pairing,
        target: atMost(pairing.ratio.median, 1 / 8, 'at most an eighth'),
      };
    } finally {
      launchDarkly.close();
    }
  }
  // An experiment always calls both: there is none of the stages that call one store only.
  if (stage === 'off' || (stage === 'dualwrite' && call === 'get')) return;
  const experiment = experimentOf(access[call]);
  const theirs: Contender = { name: 'tzientist', run: () => asyncMicroseconds(calls, experiment) };
  await warm(theirs);
  const pairing = await pairedOver(hand, ours, theirs, rounds);
  yield {
    line: `what a ${call} at ${stage} adds, beside an experiment of tzientist`,
    compared: 'each less the store calls by hand; the same calls of both stores as control and candidate, at once',
    unit: 'µs',
    pairing,
    target: atMost(pairing.ratio.median, 1, 'no more than tzientist'),
  };
}

export const get: Line = { name: 'get', measure: (options) => measured('get', options) };
export const put: Line = { name: 'put', measure: (options) => measured('put', options) };
