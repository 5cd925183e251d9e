import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { expectFailure } from './expect-failure.ts';
import { CONFIG, Project } from './project.ts';

describe('a configuration', () => {
  const STORE = `sql({ client: 'better-sqlite3', connection: 'old.db', table: 'events', document: 'body' })`;
  const NEW = STORE.replace('old.db', 'new.db');
  const of = (body: string): string =>
    `import { defineConfig, migration } from 'changeover';\nimport { sql } from 'changeover/sql';\n${body}\n`;
  const withKeys = (keys: string): string =>
    of(
      `export default defineConfig({ control: 'sqlite:c.db', migrations: { events: migration<any>({ ${keys}, old: ${STORE}, new: ${NEW} }) } });`,
    );

  test.each<[what: string, text: string, says: RegExp]>([
    ['that does not parse', of('export default defineConfig({ control: ;'), /changeover\.config\.ts:3 does not parse/],
    ['with TypeScript that cannot be stripped', of('enum A { B }\nexport default {};'), /does not parse/],
    ['without a default export', of('export const config = 1;'), /has no default export/],
    ['whose default export is none', of('export default 7;'), /exports a number by default/],
    ['that names no control plane', of('export default { migrations: {} };'), /names no control plane/],
    [
      'that has no migrations',
      of("export default defineConfig({ control: 'memory', migrations: {} });"),
      /no migrations/,
    ],
    [
      'that is not told in the migration',
      of("export default { control: 'memory', migrations: { a: {} } };"),
      /"a" is not described/,
    ],
    [
      'with a unit that is not part of the key',
      withKeys("key: ['userKey', 'id'], unit: 'tenant'"),
      /ts:3: the unit field "tenant" is not part of the key/,
    ],
    ['with a key of no fields', withKeys("key: [], unit: 'tenant'"), /the key has no fields/],
    [
      'that imports what is not there',
      of("import { x } from 'not-there';\nexport default x;"),
      /imports what is not there: Cannot find package 'not-there'/,
    ],
    ['whose code fails', of('export default nothing;'), /could not be run: ReferenceError: nothing is not defined/],
    [
      'with a control plane that nobody supports',
      of(
        `export default defineConfig({ control: 'redis://user:secret@host', migrations: { events: migration<any>({ key: 'id', unit: 'id', old: ${STORE}, new: ${NEW} }) } });`,
      ),
      /redis:… is not supported/,
    ],
    ['that maps a key field to no column', withKeys("key: ['userKey', 'nr'], unit: 'userKey'"), /nr/],
  ])('%s is a short error', async (_, text, says) => {
    await using project = Project.create(text);
    const call = await project.run('route', 'events', 'ada');
    const stores = call.code === 0 ? await project.run('set', 'events', 'dual-write', '1', '--reason', 'x') : call;
    expectFailure(stores, 3, 'INVALID_CONFIGURATION');
    expect(stores.stderr).toMatch(says);
    expect(stores.stderr).not.toContain('secret');
  });

  test('is found above the folder, by --config, and without an installed package', async () => {
    await using project = Project.create(CONFIG, { installed: false });
    mkdirSync(join(project.folder, 'deep/er'), { recursive: true });
    const here = await project.status();
    expect((await project.runIn(join(project.folder, 'deep/er'), 'status', '--json')).stdout).toBe(here);
    const named = await project.runIn(
      '/',
      'status',
      '--json',
      '--config',
      join(project.folder, 'changeover.config.ts'),
    );
    expect(named).toMatchObject({ code: 0, stdout: here, stderr: '' });
    const wrong = await project.run('status', '--config', 'elsewhere.ts');
    expectFailure(wrong, 3, 'INVALID_CONFIGURATION');
  });

  test('may be JavaScript, and may be missing with a word on init', async () => {
    await using project = Project.create(null);
    const missing = await project.run('status');
    expectFailure(missing, 3, 'INVALID_CONFIGURATION');
    expect(missing.stderr).toContain('changeover init');
    project.write(
      'changeover.config.mjs',
      CONFIG.replace(/interface .*/g, '').replace(/<Event>|<Order>|: string/g, ''),
    );
    expect((await project.run('status')).code).toBe(0);
  });

  test('that init writes is one, for every pair of stores, and is never written over', async () => {
    for (const [old, fresh] of [
      ['sql', 'dynamodb'],
      ['memory', 'memory'],
      ['dynamodb', 'sqlite'],
      ['mongodb', 'dynamodb'],
      ['postgres', 'mysql'],
      // Of one kind, and two places all the same.
      ['postgres', 'postgres'],
      ['mongodb', 'mongodb'],
      ['dynamodb', 'dynamodb'],
    ] as const) {
      await using project = Project.create(null, { installed: false });
      expect((await project.run('init', '--old', old, '--new', fresh, '--dry-run')).code).toBe(0);
      expect((await project.run('init', '--old', old, '--new', fresh)).code).toBe(0);
      expect(await project.run('status')).toMatchObject({
        code: 0,
        stdout: expect.stringContaining('events  off, revision 1'),
      });
      expect((await project.run('init')).code).toBe(3);
    }
  });

  test('that init writes is read as an ES module where the package is CommonJS', async () => {
    await using project = Project.create(null, { installed: false });
    project.write('package.json', '{ "type": "commonjs" }');
    const { path } = (await project.json<{ readonly path: string }>('init')).data;
    expect(path.endsWith('changeover.config.mts')).toBe(true);
    expect(await project.run('status')).toMatchObject({ code: 0, stderr: '' });
  });
});
