import { expect, test } from 'vitest';
import { ServedProject } from './served-project.ts';

interface Named {
  readonly migration: string;
}

test('a command line whose token is for some migrations shows those, and a viewer may look at everything', {
  timeout: 240_000,
}, async () => {
  await using served = await ServedProject.create();
  const { project } = served;
  project.seed(20);
  for (const name of ['events', 'orders']) expect((await project.run('prepare', name)).code).toBe(0);
  const config = project.read('changeover.config.ts');
  const lookAs = async (who: string, ...flags: readonly string[]): Promise<void> => {
    project.write('changeover.config.ts', config);
    const { data } = await project.json<{ token: string }>('token', 'create', who, '--role', 'viewer', ...flags);
    project.write('changeover.config.ts', config.replace(/token: '[^']+'/, `token: '${data.token}'`));
  };

  await lookAs('ada', '--migrations', 'events');
  const status = await project.run('status', '--json');
  expect([status.code, JSON.parse(status.stdout).map(({ migration }: Named) => migration)]).toEqual([0, ['events']]);
  expect(status.stderr).toContain('not for this token: orders');
  expect(await project.run('fleet')).toMatchObject({ code: 0, stderr: expect.stringContaining('orders') });
  const refused = await project.run('status', 'orders');
  expect(refused.code).not.toBe(0);
  expect(refused.stderr).toContain('FORBIDDEN');

  await lookAs('bob');
  expect((await project.json<readonly Named[]>('status')).data).toHaveLength(2);
  const lines = async (): Promise<number> => (await project.json<readonly unknown[]>('history', 'events')).data.length;
  const before = await lines();
  const doctor = await project.run('doctor', 'events');
  expect(doctor.stdout).toContain('census');
  expect(doctor.stdout).toContain('not recorded');
  expect([0, 1], doctor.stdout + doctor.stderr).toContain(doctor.code);
  expect(await lines()).toBe(before);
});
