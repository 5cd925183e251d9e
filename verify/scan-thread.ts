import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import { systemClock } from '../src/core/clock.ts';
import { KeySpec } from '../src/core/record-key.ts';
import { type ErrorJson, errorToJson } from '../src/core/revive-error.ts';
import type { Side } from '../src/core/stage.ts';
import { identityCodec, type Partition, type Store, type StoreDefinition } from '../src/core/store.ts';
import type { StoreElsewhere } from '../src/core/store-elsewhere.ts';
import type { CompareRules } from './compare.ts';
import { RecordDigests } from './record-digest.ts';
import { inSample, type ScanPlan, scanInChunks } from './scan-share.ts';

/** What a thread is told when it starts. */
export interface ThreadOrder {
  readonly stores: Readonly<Record<Side, StoreElsewhere>>;
  readonly rules: CompareRules;
  readonly plan: ScanPlan;
}

/** What a thread is told then; it scans as many partitions at once as it is given. */
export type ThreadRequest =
  | { readonly kind: 'scan'; readonly scan: number; readonly side: Side; readonly partition: Partition }
  /** A chunk was taken over. */
  | { readonly kind: 'taken'; readonly scan: number }
  | { readonly kind: 'close' };

export type ThreadResponse =
  /** Both stores are open. */
  | { readonly kind: 'ready' }
  | {
      readonly kind: 'chunk';
      readonly scan: number;
      readonly data: Uint8Array;
      readonly records: number;
      /** Ids of planted records of other runs. */
      readonly leftovers: readonly string[];
      readonly done: boolean;
    }
  | { readonly kind: 'failed'; readonly error: ErrorJson };

type Adapter = Readonly<Record<string, (options: unknown) => StoreDefinition>>;

/** Makes, in this thread, a store like one of the main thread; the caller opens and closes it. */
async function storeHere({
  module,
  make,
  options,
  migration,
  side,
  keyFields,
  unitFields,
}: StoreElsewhere): Promise<Store> {
  const adapter = (await import(module)) as Adapter;
  const keys = new KeySpec(keyFields, unitFields);
  const context = { migration, side, keys, codec: identityCodec, clock: systemClock };
  return (adapter[make] as Adapter[string])(options).create(context);
}

/** Scans partitions for the main thread until it is told to close. */
async function serve(port: MessagePort, { stores, rules, plan }: ThreadOrder): Promise<void> {
  const send = (response: ThreadResponse, transfer: readonly ArrayBuffer[] = []): void =>
    port.postMessage(response, transfer);
  const opened = new Map<Side, Store>();
  const keys = new KeySpec(stores.old.keyFields, stores.old.unitFields);
  const { sample } = plan;
  const includes = sample === null ? null : (unit: string): boolean => inSample(unit, sample);
  const taken = new Map<number, () => void>();
  const never = new AbortController().signal;

  const scan = async (number: number, side: Side, partition: Partition): Promise<void> => {
    // One chunk is on its way while the next is made.
    let before: Promise<void> = Promise.resolve();
    await scanInChunks(
      {
        store: opened.get(side) as Store,
        keys,
        includes,
        digests: new RecordDigests(rules, plan.seed),
        plan,
        pageSize: plan.pageSize,
        clock: systemClock,
        random: Math.random,
        signal: never,
      },
      partition,
      null,
      async ({ data, records, leftovers, done }) => {
        await before;
        before = new Promise((resolve) => taken.set(number, resolve));
        const copy = new Uint8Array(data);
        const ids = leftovers.map(({ id }) => id);
        send({ kind: 'chunk', scan: number, data: copy, records, leftovers: ids, done }, [copy.buffer]);
      },
    );
  };

  const fail = (error: unknown): void => send({ kind: 'failed', error: errorToJson(error) });
  port.on('message', (request: ThreadRequest) => {
    if (request.kind === 'scan') scan(request.scan, request.side, request.partition).catch(fail);
    else if (request.kind === 'taken') taken.get(request.scan)?.();
    else {
      void Promise.allSettled([...opened.values()].map((store) => store.close())).then(() => port.close());
    }
  });
  try {
    for (const side of ['old', 'new'] as const) {
      const store = await storeHere(stores[side]);
      opened.set(side, store);
      await store.open();
    }
    send({ kind: 'ready' });
  } catch (error) {
    fail(error);
  }
}

// The entry of the threads that scan-threads.ts starts.
if (parentPort !== null) await serve(parentPort, workerData as ThreadOrder);
