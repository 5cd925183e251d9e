import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ControlDatabase } from '../support/control-database.ts';
import { freshDatabase, testServer } from '../support/servers.ts';
import { type Call, CONFIG, Project } from './project.ts';

const WHY = ['--reason', 'OPS-1'] as const;
const { missing } = testServer('postgres');

describe.skipIf(missing !== undefined)('the command line over a control plane on PostgreSQL', () => {
  let database: ControlDatabase;
  beforeAll(async () => {
    database = await ControlDatabase.create(await freshDatabase('postgres'));
  });
  afterAll(() => database?.drop());

  test('moves a migration to the new store and back, while two processes write', { timeout: 240_000 }, async () => {
    const url = new URL(database.newUrl());
    // A server that trusts its network takes any.
    url.password ||= 'pa55-w0rd-of-nobody';
    const control = `control: ${JSON.stringify(url.href)}`;
    await using project = Project.create(CONFIG.replace("control: 'sqlite:.changeover/control.db'", control));
    project.seed(200);
    const said: string[] = [];
    const done = async (...args: readonly string[]): Promise<Call> => {
      const call = await project.move(...args);
      said.push(call.stdout, call.stderr);
      expect(call, args.join(' ')).toMatchObject({ code: 0 });
      return call;
    };

    await done('prepare', 'events');
    const services = [await project.service('one'), await project.service('two')];
    await done('set', 'events', 'no-outside-writers', 'yes', ...WHY);
    await done('set', 'events', 'dual-write', 'all', ...WHY);
    await done('backfill', 'events', ...WHY);
    await done('doctor', 'events');
    expect(await project.json('verify', 'events')).toMatchObject({ code: 0, data: { verdict: 'consistent' } });
    const moved = await project.moved<{ pauseMs: number }>('set', 'events', 'cutover', '50', '--force', ...WHY);
    expect(moved).toMatchObject({ code: 0, data: { from: 0, to: 50, changed: true } });
    expect(await project.json('status', 'events')).toMatchObject({
      code: 0,
      data: { dials: { cutover: 50 }, coverage: { old: 100, new: 100 }, fleet: { nodes: 2, acknowledged: 2 } },
    });
    const back = await project.moved('rollback', 'events');
    expect(back).toMatchObject({ code: 0, data: { changed: true } });
    await done('status');
    await done('fleet', 'events');
    const history = await project.json<{ actor: string }[]>('history', 'events', '--limit', '3');
    expect(history.data.map(({ actor }) => actor)).toEqual(['ada', 'ada', 'ada']);

    for (const service of services) {
      const { written, failures } = await service.stop();
      expect(failures).toEqual([]);
      expect(Object.keys(written).length).toBeGreaterThan(0);
    }
    expect(await project.json('fleet', 'events')).toMatchObject({ code: 0 });
    expect(said.join()).not.toContain(url.password);
    // Nothing is left of anybody.
    await expect.poll(() => database.connections(url.href)).toEqual([]);

    url.port = '1';
    project.write('away.config.ts', CONFIG.replace("'sqlite:.changeover/control.db'", JSON.stringify(url.href)));
    const away = await project.run('status', 'events', '--config', 'away.config.ts');
    expect(away.code).toBe(4);
    expect(away.stderr).toContain('CONTROL_UNAVAILABLE');
    expect(away.stderr).not.toContain(url.password);
  });
});
