import { execFile } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { mkdir, mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

const ROOT = join(import.meta.dirname, '..');
const run = promisify(execFile);
const tsc = join(ROOT, 'node_modules', 'typescript', 'bin', 'tsc');
const PATIENCE_MS = 120_000;

interface Manifest {
  readonly exports: Readonly<Record<string, string>>;
  readonly dependencies: Readonly<Record<string, string>>;
  readonly peerDependencies: Readonly<Record<string, string>>;
}
const manifest = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as Manifest;
const entries = Object.keys(manifest.exports).map((name) => name.replace('.', 'changeover'));

/** What the package that is installed needs, and what that needs: no tools, and no optional driver. */
function required(): ReadonlySet<string> {
  const found = new Set<string>();
  const visit = (name: string): void => {
    const path = join(ROOT, 'node_modules', name, 'package.json');
    if (found.has(name) || !existsSync(path)) return;
    found.add(name);
    const { dependencies = {} } = JSON.parse(readFileSync(path, 'utf8')) as Partial<Manifest>;
    for (const other of Object.keys(dependencies)) visit(other);
  };
  for (const name of Object.keys(manifest.dependencies)) visit(name);
  return found;
}

describe('the package', () => {
  /** A project of somebody else, with nothing but this package and what it depends on. */
  let project = '';
  let packed: readonly { readonly path: string }[] = [];

  const write = (name: string, text: string): Promise<void> => writeFile(join(project, name), text);
  const node = async (...args: readonly string[]): Promise<string> =>
    (await run(process.execPath, args, { cwd: project })).stdout.trim();
  const link = async (name: string): Promise<void> => {
    const path = join(project, 'node_modules', name);
    await mkdir(dirname(path), { recursive: true });
    await symlink(join(ROOT, 'node_modules', name), path, 'junction');
  };

  beforeAll(async () => {
    project = await mkdtemp(join(tmpdir(), 'changeover-package-'));
    const built = join(project, 'built');
    await run(process.execPath, [join(ROOT, 'tools', 'build-package.ts'), built]);
    const { stdout } = await run('npm', ['pack', '--dry-run', '--json'], { cwd: built });
    packed = (JSON.parse(stdout) as [{ readonly files: typeof packed }])[0].files;
    for (const name of required()) await link(name);
    await rename(built, join(project, 'node_modules', 'changeover'));
    await write('package.json', '{ "private": true }');
  }, PATIENCE_MS);

  afterAll(() => rm(project, { recursive: true, force: true }));

  test('holds what runs, what declares it, the console and the documents, and nothing else', () => {
    const paths = packed.map(({ path }) => path);
    const places = /^(?:adapters|bin|dist\/console|docs|migrations|src|verify)\/|^[^/]+$/;
    expect(paths.filter((path) => !places.test(path))).toEqual([]);
    expect(paths.filter((path) => /\.ts$/.test(path) && !path.endsWith('.d.ts'))).toEqual([]);
    expect(paths.filter((path) => /conformance|demo\/|test|\.db$/.test(path))).toEqual([]);
    expect(paths).toEqual(
      expect.arrayContaining(['LICENSE', 'README.md', 'dist/console/index.html', 'docs/errors.md']),
    );
  });

  test('is imported, and required, without any optional driver', async () => {
    const imports = entries.map((entry) => `import '${entry}';`).join('\n');
    await write('all.mjs', `${imports}\nconsole.log('imported');`);
    expect(await node('all.mjs')).toBe('imported');
    const example = (load: string): string => `${load}
      const config = defineConfig({ control: 'memory', migrations: {
        events: migration({ key: ['userKey', 'id'], unit: 'userKey', old: memory(), new: memory() }),
      } });
      (async () => {
        const changeover = await open(config);
        const events = changeover.repository('events');
        await events.create({ userKey: 'ada', id: '7', n: 1 });
        console.log((await events.get({ userKey: 'ada', id: '7' })).n);
        await changeover.close();
      })();`;
    await write(
      'example.mjs',
      example(`import { defineConfig, migration, open } from 'changeover';
      import { memory } from 'changeover/memory';`),
    );
    await write(
      'example.cjs',
      example(`const { defineConfig, migration, open } = require('changeover');
      const { memory } = require('changeover/memory');`),
    );
    expect(await node('example.mjs')).toBe('1');
    expect(await node('example.cjs')).toBe('1');
  });

  test.each([
    ['sqlite control', "'sqlite:control.db'", 'memory()', 'knex better-sqlite3'],
    ['postgres control', "'postgres://u@127.0.0.1:1/x'", 'memory()', 'knex pg'],
    [
      'sqlite',
      "'memory'",
      "sql({ client: 'better-sqlite3', connection: 'x.db', table: 't', columns })",
      'knex better-sqlite3',
    ],
    [
      'postgres',
      "'memory'",
      "sql({ client: 'pg', connection: 'postgres://127.0.0.1:1/x', table: 't', columns })",
      'knex pg',
    ],
    [
      'mysql',
      "'memory'",
      "sql({ client: 'mysql2', connection: 'mysql://127.0.0.1:1/x', table: 't', columns })",
      'knex mysql2',
    ],
    [
      'mongodb',
      "'memory'",
      "mongodb({ url: 'mongodb://127.0.0.1:1', database: 'd', collection: 'c', id: 'id' })",
      'mongodb',
    ],
    ['dynamodb', "'memory'", "dynamodb({ table: 'ttt', partitionKey: 'id' })", '@aws-sdk/client-dynamodb'],
  ])('says what to install for %s', async (_, control, store, packages) => {
    await write(
      'missing.mjs',
      `import { defineConfig, migration, open } from 'changeover';
      import { dynamodb } from 'changeover/dynamodb';
      import { memory } from 'changeover/memory';
      import { mongodb } from 'changeover/mongodb';
      import { sql } from 'changeover/sql';
      const columns = { id: 'id' };
      const events = migration({ key: 'id', unit: 'id', old: memory(), new: ${store} });
      try {
        await open(defineConfig({ control: ${control}, migrations: { events } }));
      } catch ({ code, remedy }) {
        console.log(code, remedy);
      }`,
    );
    expect(await node('missing.mjs')).toBe(`INVALID_CONFIGURATION npm install ${packages}`);
  });

  test('has a command line', async () => {
    const cli = join(project, 'node_modules', 'changeover', 'bin', 'changeover.js');
    expect(await node(cli, '--version')).toMatch(/^\d+\.\d+\.\d+$/);
    expect(JSON.parse(await node(cli, 'init', '--json'))).toMatchObject({ dryRun: false });
    await expect(node(cli, 'demo')).rejects.toMatchObject({ code: 3, stderr: expect.stringContaining('in a clone') });
  });

  describe('its types', () => {
    beforeAll(async () => {
      for (const name of ['@types/node', 'undici-types', ...Object.keys(manifest.peerDependencies)]) {
        if (existsSync(join(ROOT, 'node_modules', name))) await link(name);
      }
      await write(
        'typed.mts',
        `${entries.map((entry, n) => `import type * as entry${n} from '${entry}';`).join('\n')}
        import { defineConfig, migration, open } from 'changeover';
        import { memory } from 'changeover/memory';
        type Event = { userKey: string; id: string; n: number };
        const events = migration<Event>({ key: ['userKey', 'id'], unit: 'userKey', old: memory(), new: memory() });
        const changeover = await open(defineConfig({ control: 'memory', migrations: { events } }));
        const repository = changeover.repository('events');
        const event: Event | undefined = await repository.get({ userKey: 'ada', id: '7' });
        // @ts-expect-error a migration that there is not
        changeover.repository('evnets');
        // @ts-expect-error a record without its n
        await repository.put({ userKey: 'ada', id: '7' });
        export type { ${entries.map((_, n) => `entry${n}`).join(', ')} };
        export { event };`,
      );
    });

    test.each([
      ['nodenext', 'nodenext'],
      ['node16', 'node16'],
      ['esnext', 'bundler'],
    ])('hold under module %s, resolution %s', async (module, resolution) => {
      const settings = ['--strict', '--exactOptionalPropertyTypes', '--noUncheckedIndexedAccess', '--types', 'node'];
      const target = ['--noEmit', '--target', 'es2022', '--module', module, '--moduleResolution', resolution];
      const answer = await run(process.execPath, [tsc, ...target, ...settings, '--skipLibCheck', 'typed.mts'], {
        cwd: project,
      }).catch((error: { readonly stdout: string }) => error);
      expect(answer.stdout).toBe('');
    });
  });
});
