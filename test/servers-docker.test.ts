import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Cache } from './support/servers/cache.ts';
import { type Engine, findEngine } from './support/servers/engine.ts';
import { engineRequest } from './support/servers/engine-request.ts';
import { KeeperLink } from './support/servers/keeper-link.ts';
import { because, imageVariable, SERVER_NAMES } from './support/servers/names.ts';
import { startPrivateEngine, whyNoPrivateEngine } from './support/servers/private-engine.ts';
import { ServerFinder } from './support/servers/server-finder.ts';
import { buildTestImage } from './support/servers/test-images.ts';
import { useServer } from './support/servers/use-server.ts';

describe('servers in Docker', () => {
  const workplace = mkdtempSync(join(tmpdir(), 'changeover-test-'));
  const cache = new Cache(process.env);
  let keeper: KeeperLink | undefined;
  let finder: ServerFinder | undefined;
  let engine: Engine | undefined;
  let missing: string | undefined;

  beforeAll(async () => {
    const found = await findEngine(process.env);
    if ('host' in found) {
      engine = found;
      return;
    }
    missing = whyNoPrivateEngine() ?? undefined;
    if (missing === undefined) {
      try {
        keeper = await KeeperLink.begin();
        engine = await startPrivateEngine(cache, keeper);
        // It publishes ports here, wherever it looks from its bridge.
        process.env['TESTCONTAINERS_HOST_OVERRIDE'] = '127.0.0.1';
      } catch (error) {
        missing = because(error);
      }
    }
    if (missing !== undefined) missing = `no Docker engine: none answers, and ${missing}`;
  });

  afterAll(async () => {
    await finder?.stop();
    await keeper?.stop();
    rmSync(workplace, { recursive: true, force: true });
  });

  test('come up by testcontainers from an image, do their work, and are gone when the run ends', {
    timeout: 240_000,
  }, async ({ skip }) => {
    if (engine === undefined) return skip(missing);
    process.env['DOCKER_HOST'] = engine.host;
    process.env['TESTCONTAINERS_RYUK_DISABLED'] = 'true';
    const images: Record<string, string> = {};
    for (const name of SERVER_NAMES) images[imageVariable(name)] = await buildTestImage(name, cache, workplace);
    finder = new ServerFinder({ DOCKER_HOST: engine.host, ...images });
    for (const name of SERVER_NAMES) {
      const { origin, server, line } = await finder.find(name);
      expect(origin, line).toBe('docker');
      const text = `text of ${name} ${Math.random()}`;
      expect(await useServer(name, server.url as string, text)).toBe(text);
    }
    const containers = async (): Promise<{ Image: string }[]> => {
      const { body } = await engineRequest((engine as Engine).address, 'GET', '/containers/json?all=1', 5_000);
      return (JSON.parse(body) as { Image: string }[]).filter(({ Image }) => Object.values(images).includes(Image));
    };
    expect(await containers()).toHaveLength(SERVER_NAMES.length);
    await finder.stop();
    expect(await containers()).toEqual([]);
  });

  test('give way to what this machine has where an image cannot be had', { timeout: 240_000 }, async ({ skip }) => {
    if (engine === undefined) return skip(missing);
    const environment = { DOCKER_HOST: engine.host, [imageVariable('postgres')]: 'localhost:1/no/such-image:1' };
    const second = new ServerFinder(environment);
    const { server, line } = await second.find('postgres');
    expect(server.url ?? server.missing).toBeDefined();
    expect(line).toContain('Docker: ');
    await second.stop();
  });
});
