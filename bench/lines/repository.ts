import {
  createMigration,
  init,
  LDConcurrentExecution,
  LDMigrationStage,
  LDMigrationSuccess,
} from '@launchdarkly/node-server-sdk';
import { TestData } from '@launchdarkly/node-server-sdk/integrations';
import { experimentAsync } from 'tzientist';
import { control, type DialMove, defineConfig, migration, open } from '../../src/index.ts';
import { LeanStore } from '../lean-store.ts';
import { atMost, type Line, type Result } from '../line.ts';
import { asyncMicroseconds, type Contender, paired } from '../paired.ts';

interface Event {
  readonly userKey: string;
  readonly id: string;
  readonly n: number;
  readonly text: string;
}

const WHY = { reason: 'bench', actor: 'bench' };
const STAGES: readonly (readonly [name: string, move: DialMove | null])[] = [
  ['off', null],
  ['dualwrite', { dial: 'dual-write', to: 100_000 }],
  ['shadow', { dial: 'shadow-read', to: 100_000 }],
];

/** What a call through the repository costs beside the same call to the store; then what others cost. */
export const repository: Line = {
  name: 'repository',
  async *measure({ rounds, scale }) {
    const calls = Math.ceil(20_000 * scale);
    const events: Event[] = Array.from({ length: calls }, (_, i) => ({
      userKey: `user-${i % 500}`,
      id: `id-${i}`,
      n: i,
      text: 'hello world',
    }));
    const keys = events.map(({ userKey, id }) => ({ userKey, id }));
    const event = (i: number): Event => events[i] as Event;
    const key = (i: number): { readonly userKey: string; readonly id: string } => keys[i] as Event;

    const direct = new LeanStore();
    const get: Contender = { name: 'the store', run: () => asyncMicroseconds(calls, (i) => direct.get(key(i))) };
    const put: Contender = {
      name: 'the store',
      run: () => asyncMicroseconds(calls, (i) => direct.put(entryOf(event(i), key(i)))),
    };
    await put.run();

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
      for (const [stage, move] of STAGES) {
        if (move !== null) await controller.set(move, WHY);
        const ours = {
          get: () => asyncMicroseconds(calls, (i) => repository.get(key(i))),
          put: () => asyncMicroseconds(calls, (i) => repository.put(event(i))),
        };
        await ours.put();
        for (const [call, theirs] of [
          ['get', get],
          ['put', put],
        ] as const) {
          // biome-ignore format: pairs
          const pairing = await paired({ name: 'repository', run: ours[call] }, theirs, rounds);
          yield {
            line: `${call} at ${stage}, against the store itself`,
            compared: `repository.${call} and store.${call}, one after the other, over a Map`,
            unit: 'µs',
            pairing,
            target: atMost(pairing.difference.median, 1, 'adds under 1.0 µs'),
          } satisfies Result;
        }
      }
    } finally {
      await operator.close();
      await changeover.close();
    }
    yield* others({ rounds, calls, key, get, store: direct });
  },
};

const entryOf = (event: Event, key: Pick<Event, 'userKey' | 'id'>) =>
  ({ id: '', key, stamp: '0123456789abcdef01234567', value: { ...event } }) as never;

/** The same read in a shadowed migration of LaunchDarkly, and in an experiment of tzientist. */
async function* others({
  rounds,
  calls,
  key,
  get,
  store,
}: {
  readonly rounds: number;
  readonly calls: number;
  readonly key: (i: number) => { readonly userKey: string; readonly id: string };
  readonly get: Contender;
  readonly store: LeanStore;
}): AsyncGenerator<Result> {
  const nothing = (): void => {};
  const data = new TestData();
  await data.update(data.flag('mig').valueForAll('shadow'));
  const client = init('sdk-key', {
    updateProcessor: data.getFactory(),
    sendEvents: false,
    logger: { debug: nothing, info: nothing, warn: nothing, error: nothing },
  });
  await client.waitForInitialization({ timeout: 10 });
  const read = async (k?: { readonly userKey: string; readonly id: string }) =>
    LDMigrationSuccess(await store.get(k as never));
  const migration = createMigration(client, {
    execution: new LDConcurrentExecution(),
    latencyTracking: false,
    errorTracking: false,
    readOld: read,
    readNew: read,
    writeOld: read,
    writeNew: read,
  });
  const launchDarkly: Contender = {
    name: 'LaunchDarkly',
    run: () =>
      asyncMicroseconds(calls, (i) =>
        migration.read('mig', { kind: 'user', key: key(i).userKey }, LDMigrationStage.Off, key(i)),
      ),
  };
  const experiment = experimentAsync({
    name: 'mig',
    control: (k: { readonly userKey: string; readonly id: string }) => store.get(k),
    candidate: (k: { readonly userKey: string; readonly id: string }) => store.get(k),
    options: { publish: nothing },
  });
  const tzientist: Contender = { name: 'tzientist', run: () => asyncMicroseconds(calls, (i) => experiment(key(i))) };
  try {
    for (const theirs of [launchDarkly, tzientist]) {
      yield {
        line: `for comparison: a shadowed get through ${theirs.name}`,
        compared: 'two reads of a Map and their comparison, without events; against one read of the Map',
        unit: 'µs',
        pairing: await paired(theirs, get, rounds),
        target: null,
      };
    }
  } finally {
    client.close();
  }
}
