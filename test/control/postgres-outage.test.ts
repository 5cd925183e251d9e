import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { memory } from '../../adapters/memory/index.ts';
import { postgresStorage } from '../../src/control/postgres-control.ts';
import { type Control, control, defineConfig, migration, open } from '../../src/index.ts';
import { OwnPostgres } from '../support/own-postgres.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';

interface Item {
  readonly user: string;
  readonly id: string;
  readonly n: number;
}

const WHY = { actor: 'test', reason: 'an outage' };

describe('services whose control database goes away', () => {
  let server: OwnPostgres;
  beforeAll(async () => {
    server = await OwnPostgres.create();
  });
  afterAll(() => server?.[Symbol.asyncDispose]());

  const until = async (what: () => Promise<boolean>): Promise<void> => {
    while (!(await what().catch(() => false))) await new Promise((resolve) => setTimeout(resolve, 20));
  };
  const code = (call: Promise<unknown>): Promise<unknown> =>
    call.then(
      () => 'done',
      (error: { code?: unknown }) => error.code,
    );

  test.each([
    ['is stopped', 'SIGINT'],
    ['dies', 'SIGQUIT'],
  ] as const)(
    'go on with their rulesets when the server %s, and follow again when it is back',
    async (what, signal) => {
      const config = defineConfig({
        control: `${server.url}?schema=${signal.toLowerCase()}`,
        migrations: {
          items: migration<Item>({ key: ['user', 'id'], unit: 'user', old: memory(), new: memory() }),
        },
      });
      const changeover = await open(config, { name: what });
      onTestFinished(() => changeover.close());
      const operations: Control = await control(config);
      onTestFinished(() => operations.close());
      const items = changeover.repository('items');
      const controller = await operations.migration('items');
      const change = async (replayRate: number): Promise<number> => {
        const { revision } = await operations.plane.changeSettings('items', { replayRate }, WHY);
        await controller.waitAcknowledged(revision);
        return revision;
      };
      const before = await change(1_000);
      const [member] = await operations.plane.fleet('alive');

      await server.stop(signal);
      for (let n = 0; n < 50; n += 1) await items.put({ user: `u${n}`, id: '1', n });
      expect((await items.get({ user: 'u7', id: '1' }))?.n).toBe(7);
      expect(await code(operations.plane.status('items'))).toBe('CONTROL_UNAVAILABLE');
      expect(await code(operations.plane.changeSettings('items', { replayRate: 3_000 }, WHY))).toBe(
        'CONTROL_UNAVAILABLE',
      );
      expect(await code(open(config))).toBe('CONTROL_UNAVAILABLE');

      await server.start();
      await until(async () => (await operations.plane.ruleset('items')).revision === before);
      expect(await change(2_000)).toBe(before + 1);
      // The same incarnation: it never left.
      expect((await operations.plane.fleet('alive')).map(({ node }) => node.id)).toEqual([member?.node.id]);
      expect((await items.get({ user: 'u49', id: '1' }))?.n).toBe(49);
    },
  );

  test('say that it is a standby where its name leads to one for a while, and follow when it leads to the primary', async () => {
    const made = postgresStorage({ url: server.url }).storage;
    await made.prepare();
    await made.close();
    const standby = await server.replica();
    const { proxy, url } = await TcpProxy.create(server.url);
    onTestFinished(() => proxy[Symbol.asyncDispose]());
    const { storage } = postgresStorage({ url });
    onTestFinished(() => storage.close());
    await storage.read((tx) => tx.count('migrations', {}));
    proxy.leadTo(standby.url);
    const refused = { code: 'CONTROL_UNAVAILABLE', message: expect.stringMatching('is a standby, not the primary$') };
    const read = (): Promise<number> => storage.read((tx) => tx.count('migrations', {}));
    const write = (): Promise<unknown> => storage.transaction((tx) => tx.remove('dirt', {}));
    await expect(read()).rejects.toMatchObject(refused);
    await expect(write()).rejects.toMatchObject(refused);
    proxy.leadTo(server.url);
    expect(await write()).toBe(0);
    expect(await read()).toBe(0);
  });
});
