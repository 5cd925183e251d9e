import { expect, onTestFinished, test } from 'vitest';
import { memory } from '../../adapters/memory/index.ts';
import { control, defineConfig, GatesRefused, migration, open, parseDialValue } from '../../src/index.ts';

const why = { actor: 'test', reason: 'test' };

test('what was compared before a repair mended something says nothing afterwards', async () => {
  const fresh = memory();
  const config = defineConfig({
    control: 'memory',
    migrations: { notes: migration<{ id: string; n: number }>({ key: ['id'], unit: 'id', old: memory(), new: fresh }) },
  });
  const operations = await control(config);
  onTestFinished(() => operations.close());
  const service = await open(config);
  onTestFinished(() => service.close());
  const notes = service.repository('notes');
  await operations.prepare('notes');
  const settings = { noOutsideWriters: true, shadowRecheckMs: [] };
  await operations.plane.changeSettings('notes', settings, why);
  const controller = await operations.migration('notes');
  await controller.set({ dial: 'dual-write', to: parseDialValue(100) }, why);
  await controller.backfill(why);
  const remedy = async (): Promise<string | null | undefined> => {
    const error: unknown = await controller.set({ dial: 'cutover', to: parseDialValue(100) }, why).catch((e) => e);
    return error instanceof GatesRefused ? error.gates.find(({ gate }) => gate === 'shadow-reads')?.remedy : undefined;
  };
  expect(await remedy()).toMatch(/^changeover set notes shadow-read 100 /);
  await controller.set({ dial: 'shadow-read', to: parseDialValue(100) }, why);
  // Nothing more can be set: reads must come.
  expect(await remedy()).toBe('changeover status notes');
  await notes.put({ id: 'a', n: 1 });
  await expect.poll(() => fresh.database.snapshot().length).toBe(1);
  const [entry] = fresh.database.snapshot();
  fresh.database.load([{ ...entry!, value: { id: 'a', n: 2 } }]);
  await notes.get({ id: 'a' });
  const shadow = async () => (await operations.plane.status('notes')).shadow;
  await expect.poll(shadow).toMatchObject({ divergent: 1 });

  expect(await remedy()).toMatch(/^changeover repair notes /);
  // A repair that finds nothing to mend forgets nothing; this one mends the record.
  await controller.repair(why);
  expect(await shadow()).toEqual({ compared: 0, divergent: 0 });
  await notes.get({ id: 'a' });
  await expect.poll(async () => (await shadow()).compared, { timeout: 60_000 }).toBeGreaterThan(0);
  const { compared } = await shadow();
  await controller.repair(why);
  expect(await shadow()).toEqual({ compared, divergent: 0 });
});
