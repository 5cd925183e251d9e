import { MongoClient } from 'mongodb';
import { expect, onTestFinished, test } from 'vitest';
import { mongodb } from '../../adapters/mongodb/index.ts';
import { systemClock } from '../../src/core/clock.ts';
import { StoreFault } from '../../src/core/errors.ts';
import { KeySpec } from '../../src/core/record-key.ts';
import { identityCodec } from '../../src/core/store.ts';
import { OwnReplicaSet } from '../support/own-replica-set.ts';

const READERS = 8;
const STEP_DOWNS = 2;

test('a primary that steps down is told as what it is to those who read, and the next one is found', {
  timeout: 240_000,
}, async () => {
  await using set = await OwnReplicaSet.create();
  await using client = await new MongoClient(set.url).connect();
  const keys = new KeySpec(['id'], ['id']);
  const definition = mongodb({ url: set.url, database: 'app', collection: 'things', id: 'id' });
  const context = { migration: 'm', side: 'new', keys, codec: identityCodec, clock: systemClock } as const;
  const store = await definition.create(context);
  onTestFinished(() => store.close());
  await store.open();
  const ids = Array.from({ length: 1_000 }, (_, n) => `t${n}`);
  const documents = client.db('app').collection<{ _id: string }>('things');
  await documents.insertMany(
    ids.map((_id) => ({ _id })),
    { writeConcern: { w: 'majority' } },
  );
  const refs = ids.map((id) => ({ id: keys.id({ id }), key: { id } }));

  const faults = new Set<string>();
  let done = false;
  let reads = 0;
  const reader = async (): Promise<void> => {
    while (!done) {
      try {
        expect((await store.getMany(refs)).filter((entry) => entry !== undefined)).toHaveLength(ids.length);
        await store.partitions(4);
        reads += 1;
      } catch (error) {
        if (!(error instanceof StoreFault)) throw error;
        faults.add(error.message);
      }
    }
  };
  const readers = Promise.all(Array.from({ length: READERS }, reader));
  const readOn = async (): Promise<void> => {
    const before = reads;
    while (reads < before + READERS) await Promise.race([readers, new Promise((resolve) => setTimeout(resolve, 25))]);
  };
  for (let n = 0; n < STEP_DOWNS; n += 1) {
    await readOn();
    await client.db('admin').command({ replSetStepDown: 2, force: true });
  }
  await readOn();
  done = true;
  await readers;
  expect([...faults].filter((fault) => fault.includes('TypeError'))).toEqual([]);
});
