import { type ChildProcess, execFile, fork } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { Cache } from './support/servers/cache.ts';
import { findEngine } from './support/servers/engine.ts';
import { because, requiredServers } from './support/servers/names.ts';
import { serversNeededBy } from './support/servers/needed.ts';
import { makeRunFolder } from './support/servers/run-folder.ts';
import { ServerFinder } from './support/servers/server-finder.ts';

const ROOT = join(import.meta.dirname, '..');
const folder = mkdtempSync(join(tmpdir(), 'changeover-test-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const alive = (pid: number): boolean => existsSync(`/proc/${pid}`);

/** The test's own time-out ends it. */
async function until(what: () => boolean): Promise<void> {
  while (!what()) await pause(20);
}

describe('the servers that a run looks for', () => {
  const file = (name: string, text: string): string => {
    const path = join(folder, 'tests', name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
    return path;
  };

  test('are those that its files name, by themselves or by what they import', () => {
    const files = [
      file('one.ts', "import { a } from './support/stores.ts';\nfreshDatabase('mysql');\n"),
      file('two.ts', "const text = \"testServer('mongodb')\"; // testServer('postgres')\n"),
      file('three.ts', 'for (const name of names) testServer(name);\n'),
      file('four.ts', "import type { A } from './support/stores.ts';\nexport function testServer(name) {}\n"),
    ];
    file('support/stores.ts', "import './deeper.ts';\n");
    file('support/deeper.ts', "import './stores.ts';\ntestServer('dynamodb');\n");
    expect(Object.values(serversNeededBy(files, join(folder, 'tests')))).toEqual([
      ['dynamodb', 'mysql'],
      [],
      ['mongodb', 'dynamodb', 'postgres', 'mysql'],
      [],
    ]);
  });

  test('may be demanded by name, and by no other name', () => {
    expect(requiredServers({})).toEqual([]);
    expect(requiredServers({ CHANGEOVER_TEST_REQUIRE: ' mysql,mongodb,' })).toEqual(['mysql', 'mongodb']);
    expect(() => requiredServers({ CHANGEOVER_TEST_REQUIRE: 'mariadb' })).toThrow('names "mariadb"; there are mongodb');
  });

  test('are spoken of without their passwords', () => {
    expect(because(new Error('cannot reach http://ada:pass@host:1/x'))).toBe('cannot reach http://host:1/x');
  });
});

describe('the cache', () => {
  const cache = new Cache({ CHANGEOVER_TEST_CACHE: join(folder, 'cache') });

  test('holds what the first of two runs has fetched, whole, and fetches it no third time', async () => {
    const fill = (text: string) => async (place: string) => {
      writeFileSync(join(place, 'a'), text);
      await pause(Math.random() * 30);
      writeFileSync(join(place, 'b'), text);
    };
    const both = await Promise.all([cache.get('thing-1', fill('x')), cache.get('thing-1', fill('y'))]);
    expect(new Set(both.map((each) => each.folder)).size).toBe(1);
    const content = readdirSync(both[0].folder).sort();
    expect(content).toEqual(['a', 'b']);
    const again = await cache.get('thing-1', () => Promise.reject(new Error('fetched again')));
    expect(again.fetchedMs).toBeNull();
  });

  test('fetches once more where fetching failed, and keeps nothing that is not whole', async () => {
    let tries = 0;
    const flaky = await cache.get('thing-2', async (place) => {
      tries += 1;
      writeFileSync(join(place, `try ${tries}`), '');
      if (tries === 1) throw new Error('a lost connection');
    });
    expect(readdirSync(flaky.folder)).toEqual(['try 2']);
    await expect(cache.get('thing-3', () => Promise.reject(new Error('not there')))).rejects.toThrow('not there');
    expect(readdirSync(cache.folder).sort()).toEqual(['thing-1', 'thing-2']);
  });
});

describe('the order in which a server is found', () => {
  test('begins with the one that the environment names, which has to answer', async () => {
    const url = 'postgres://ada:pass@127.0.0.1:1/x';
    const finder = new ServerFinder({ CHANGEOVER_TEST_POSTGRES_URL: url }, { namedMs: 100 });
    const { problem, server } = await finder.find('postgres');
    expect(problem).toMatch(/^no postgres server: CHANGEOVER_TEST_POSTGRES_URL is set, but it did not answer/);
    expect(problem).not.toContain('pass');
    expect(server).toEqual({ missing: problem });
    await finder.stop();
  });

  test('asks an engine only where one answers', async () => {
    const socket = join(folder, 'engine.sock');
    const engine = createServer((request, response) => response.end(request.url === '/_ping' ? 'OK' : '{}'));
    engine.listen(socket);
    await once(engine, 'listening');
    const host = `unix://${socket}`;
    expect(await findEngine({ DOCKER_HOST: host })).toEqual({ host, address: { socketPath: socket } });
    engine.close();
    await once(engine, 'close');
    expect(await findEngine({ DOCKER_HOST: host })).toMatchObject({ missing: expect.stringContaining('no Docker') });
    expect(await findEngine({ DOCKER_HOST: 'ssh://a@b' })).toMatchObject({
      missing: expect.stringContaining('unix://'),
    });
  });
});

describe.skipIf(process.platform !== 'linux')('servers that a run has started', () => {
  interface Run {
    readonly folder: string;
    readonly keeper: number;
    readonly pids: readonly number[];
  }
  let child: ChildProcess;
  let run: Run;

  afterEach(() => {
    for (const pid of [child.pid ?? 0, run.keeper, ...run.pids])
      if (pid > 0 && alive(pid)) process.kill(pid, 'SIGKILL');
  });

  async function begin(): Promise<void> {
    child = fork(join(import.meta.dirname, 'support/servers/killed-run.ts'), {
      env: { ...process.env, TMPDIR: folder },
      execArgv: ['--disable-warning=ExperimentalWarning'],
    });
    [run] = (await once(child, 'message')) as [Run];
    expect(run.pids.every(alive)).toBe(true);
  }

  test('end with it when it is killed, and their folder goes', async () => {
    await begin();
    child.kill('SIGKILL');
    await until(() => ![run.keeper, ...run.pids].some(alive));
    expect(existsSync(run.folder)).toBe(false);
  });

  test('end with it on Ctrl-C', async () => {
    await begin();
    child.kill('SIGINT');
    await until(() => ![run.keeper, ...run.pids].some(alive));
    expect(existsSync(run.folder)).toBe(false);
  });

  test('are ended by the next run where the keeper was killed too', async () => {
    await begin();
    process.kill(run.keeper, 'SIGKILL');
    child.kill('SIGKILL');
    await until(() => !alive(run.keeper));
    expect(run.pids.every(alive)).toBe(true);
    const next = makeRunFolder(dirname(run.folder));
    await until(() => !run.pids.some(alive));
    expect(existsSync(run.folder)).toBe(false);
    rmSync(next, { recursive: true });
  });
});

describe('a run for which a server is not to be had', () => {
  /** Nothing but Node: no package registry's client, no Docker. */
  const bare = (more: Readonly<Record<string, string>> = {}): Promise<{ code: number; lines: string[]; all: string }> =>
    new Promise((resolve) => {
      const env: Record<string, string> = {
        PATH: dirname(process.execPath),
        HOME: folder,
        CHANGEOVER_TEST_CACHE: join(folder, 'empty'),
        DOCKER_HOST: `unix://${join(folder, 'none.sock')}`,
        NO_COLOR: '1',
        ...more,
      };
      const script = ['node_modules/vitest/vitest.mjs', 'run', '--config', 'test/support/servers/fixture.config.ts'];
      execFile(process.execPath, script, { cwd: ROOT, env }, (error, stdout, stderr) => {
        const code = error === null ? 0 : Number(error.code);
        resolve({ code, lines: stdout.trimEnd().split('\n').slice(-2), all: stdout + stderr });
      });
    });

  test('names it in the closing line, with the tests that it cost', async () => {
    const { code, lines } = await bare();
    expect(lines).toEqual([
      expect.stringMatching(
        /^skipped 2 for want of it: no mongodb server: no Docker engine.*; python3 is not installed/,
      ),
      '1 passed, 0 failed, 2 skipped (no mongodb server)',
    ]);
    expect(code).toBe(0);
  });

  test('fails by its name where it is demanded', async () => {
    const { code, lines, all } = await bare({ CHANGEOVER_TEST_REQUIRE: 'mongodb' });
    expect(lines.at(-1)).toBe('0 passed, 1 failed');
    expect(all).toContain('CHANGEOVER_TEST_REQUIRE: no mongodb server: ');
    expect(code).toBe(1);
  });
});
