import { expect, onTestFinished, test } from 'vitest';
import { memory } from '../../adapters/memory/index.ts';
import { control, defineConfig, migration, open } from '../../src/index.ts';

test('a process says in the fleet what it was built from, where its service knows', async () => {
  const config = defineConfig({
    control: 'memory',
    migrations: { notes: migration<{ id: string }>({ key: ['id'], unit: 'id', old: memory(), new: memory() }) },
  });
  const operations = await control(config);
  onTestFinished(() => operations.close());
  for (const commit of ['0bcc666', undefined]) {
    const service = await open(config, { name: `built from ${commit}`, commit });
    onTestFinished(() => service.close());
  }
  const infos = (await operations.plane.fleet('alive')).map(({ node }) => [node.info.name, node.info.commit]);
  expect(infos).toEqual([
    ['built from 0bcc666', '0bcc666'],
    ['built from undefined', undefined],
  ]);
});
