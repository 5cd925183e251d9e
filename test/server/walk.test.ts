import { describe, expect, test } from 'vitest';
import type { Service } from '../cli/project.ts';
import { ServedProject } from './served-project.ts';

interface Status {
  readonly stage: string;
  readonly dials: { readonly dualWrite: unknown; readonly cutover: unknown };
  readonly dirty: { readonly ranges: number; readonly rejected: number };
  readonly fleet: { readonly nodes: number; readonly acknowledged: number };
}

interface HistoryLine {
  readonly actor: string;
  readonly reason: string;
  readonly kind: string;
}

const why = (reason: string): readonly string[] => ['--reason', reason];

describe('a fleet and a command line that work through a server', () => {
  test('walk a migration to its cutover, with the server killed and started again on the way', {
    timeout: 900_000,
  }, async () => {
    await using served = await ServedProject.create();
    const { project } = served;
    project.seed(500);
    const ok = async (...args: readonly string[]): Promise<void> => {
      const call = await project.move(...args);
      expect(call.code, `${args.join(' ')}: ${call.stdout}${call.stderr}`).toBe(0);
    };
    const status = async (): Promise<Status> => (await project.json<Status>('status', 'events')).data;

    await ok('prepare', 'events');
    const services: readonly Service[] = [await project.service('one'), await project.service('two')];
    expect((await status()).fleet).toMatchObject({ nodes: 2 });

    await ok('set', 'events', 'no-outside-writers', 'yes', ...why('all are wrapped'));
    await ok('set', 'events', 'dual-write', '40', ...why('first step'));
    expect(await served.kill('SIGKILL')).toBe(null);

    // Nobody can move anything, and the services go on: their reports below name every failed call.
    const away = await project.run('set', 'events', 'dual-write', '60', ...why('while it is away'));
    expect(away.code).toBe(4);
    expect(away.stderr).toContain('CONTROL_UNAVAILABLE');

    await served.restart();
    expect(served.server.firstToken).toBe(null);
    expect((await status()).dials.dualWrite).toBe(40);

    await ok('set', 'events', 'dual-write', '100', ...why('second step'));
    await ok('backfill', 'events', ...why('fill the new store'));
    await ok('verify', 'events', ...why('look'));
    await ok('set', 'events', 'shadow-read', '100', ...why('compare'));
    await ok('set', 'events', 'cutover', '100', ...why('move'), '--force');
    expect(await status()).toMatchObject({ stage: 'live', dials: { cutover: 100 } });
    await ok('rollback', 'events');
    expect(await status()).toMatchObject({ stage: 'shadow', dials: { cutover: 0 } });

    const written: Record<string, number> = {};
    for (const service of services) {
      const report = await service.stop();
      expect(report.failures).toEqual([]);
      Object.assign(written, report.written);
    }
    expect((await status()).fleet.nodes).toBe(0);

    for (const side of ['old', 'new'] as const) {
      const database = project.database(side);
      const rows = database.prepare('SELECT userKey, id, body FROM events').all() as Record<string, string>[];
      database.close();
      const found = new Map(rows.map(({ userKey, id, body }) => [`${userKey} ${id}`, JSON.parse(body as string).n]));
      for (const [key, n] of Object.entries(written)) expect([side, key, found.get(key)]).toEqual([side, key, n]);
    }

    const { data: history } = await project.json<readonly HistoryLine[]>('history', 'events', '--limit', '100');
    const step = history.find(({ reason }) => reason === 'second step');
    expect(step?.actor).toBe('walker for ada (127.0.0.1)');
    expect(await served.kill('SIGTERM')).toBe(0);
  });
});
