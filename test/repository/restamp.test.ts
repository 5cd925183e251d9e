import { expect, onTestFinished, test } from 'vitest';
import { memory } from '../../adapters/memory/index.ts';
import { control, defineConfig, migration, open, parseDialValue } from '../../src/index.ts';

interface Note {
  readonly id: string;
  readonly text: string;
}

const why = { actor: 'test', reason: 'test' };

async function dualWriting(slowGet: () => boolean) {
  const old = memory({
    faults: ({ op, side }) =>
      op === 'get' && side === 'old' && slowGet() ? { kind: 'slow', answerMs: 100 } : undefined,
  });
  const fresh = memory();
  const config = defineConfig({
    control: 'memory',
    migrations: { notes: migration<Note>({ key: ['id'], unit: 'id', old, new: fresh }) },
  });
  const operations = await control(config);
  const service = await open(config);
  onTestFinished(async () => {
    await service.close();
    await operations.close();
  });
  await operations.prepare('notes');
  await operations.plane.changeSettings('notes', { noOutsideWriters: true, mirrorToNew: 'wait' }, why);
  const controller = await operations.migration('notes');
  await controller.set({ dial: 'dual-write', to: parseDialValue(100) }, why);
  return { notes: service.repository('notes'), old, fresh };
}

test('a record that is created while its absence is being restamped stays', async () => {
  let slow = false;
  const { notes, old, fresh } = await dualWriting(() => slow);
  slow = true;
  const restamped = notes.restamp({ id: 'a' });
  slow = false;
  // The absence has been read, and its answer is on the way.
  await expect.poll(() => old.database.calls('get')).toBeGreaterThan(0);
  await notes.create({ id: 'a', text: 'acknowledged' });
  await restamped;
  expect(await notes.get({ id: 'a' })).toEqual({ id: 'a', text: 'acknowledged' });
  expect(fresh.database.snapshot()).toMatchObject([{ value: { text: 'acknowledged' } }]);
});

test('an absence that is restamped removes what only the follower holds', async () => {
  const { notes, old, fresh } = await dualWriting(() => false);
  await notes.put({ id: 'a', text: 'gone from the old store' });
  const [entry] = fresh.database.snapshot();
  await notes.delete({ id: 'a' });
  fresh.database.load([entry!]);
  await notes.restamp({ id: 'a' });
  expect(fresh.database.snapshot()).toMatchObject([{ value: null }]);
  expect(old.database.snapshot()[0]?.stamp).toBe(fresh.database.snapshot()[0]?.stamp);
});
