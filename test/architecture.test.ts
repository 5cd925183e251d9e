import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { type FolderRule, RULES, type SourceTree, shortestCircle, violationsOf } from './support/architecture.ts';
import { scanSource } from './support/source-scan.ts';

const ROOT = join(import.meta.dirname, '..');
const FOLDERS = ['src', 'adapters', 'verify', 'migrations', 'examples', 'bench', 'bin'].filter((folder) =>
  existsSync(join(ROOT, folder)),
);

function readTree(): SourceTree {
  const tree = new Map<string, string>();
  const read = (folder: string): void => {
    for (const entry of readdirSync(join(ROOT, folder), { withFileTypes: true })) {
      // Installed packages are not ours, and hidden files are the machine's.
      if (entry.name === 'node_modules' || entry.name.startsWith('.')) continue;
      const path = `${folder}/${entry.name}`;
      if (entry.isDirectory()) read(path);
      else if (entry.isFile()) tree.set(path, readFileSync(join(ROOT, path), 'utf8'));
    }
  };
  for (const folder of FOLDERS) read(folder);
  return tree;
}

const tree = readTree();

describe('the source tree', () => {
  test('keeps to the table of who may import whom, without circles, odd names, long files or escapes', () => {
    expect(violationsOf(tree)).toStrictEqual([]);
  });

  test('is seen: every folder of the design that exists has files, and their imports are found', () => {
    expect(tree.size).toBeGreaterThan(100);
    const edges = [...tree.values()].flatMap((text) => scanSource(text).imports);
    expect(edges.length).toBeGreaterThan(400);
    expect(new Set(edges.map(({ kind }) => kind))).toContain('dynamic import');
  });

  test('is named by the table: no folder stands there twice or in the wrong order of precedence', () => {
    for (const place of Object.keys(RULES)) expect(place).toMatch(/^(?:[a-z-]+\/)*(?:[a-z-]+\/|[a-z-]+\.ts)$/);
  });
});

/** Small trees, as the checker must see them. */
const check = (
  files: Readonly<Record<string, string>>,
  rules: Readonly<Record<string, FolderRule>> = RULES,
): string[] => violationsOf(new Map(Object.entries(files)), rules, {});

describe('the checker', () => {
  const store = { 'src/core/store.ts': 'export const a = 1;\n' };

  test('passes a tree in order', () => {
    expect(
      check({
        ...store,
        'adapters/memory/index.ts': "import { a } from '../../src/core/store.ts';\nexport { a };\n",
        'src/repository/mirror.ts': "import PQueue from 'p-queue';\nimport { hash } from 'node:crypto';\n",
      }),
    ).toStrictEqual([]);
  });

  test.each([
    ['a static import', "import { a } from '../../src/control/x.ts';", 'import of src/control/x.ts'],
    ['one over several lines', "import {\n  a,\n  b,\n} from '../../src/control/x.ts';", 'import of src/control/x.ts'],
    ['one for its effects', "import '../../src/control/x.ts';", 'import of src/control/x.ts'],
    [
      'a type import, and says so',
      "import type { A } from '../../src/control/x.ts';",
      'type import of src/control/x.ts',
    ],
    [
      'inline type imports',
      "import { type A, type B } from '../../src/control/x.ts';",
      'type import of src/control/x.ts',
    ],
    ['a mixed import', "import { type A, b } from '../../src/control/x.ts';", 'import of src/control/x.ts'],
    ['a re-export', "export { a } from '../../src/control/x.ts';", 'import of src/control/x.ts'],
    ['a re-export of everything', "export * from '../../src/control/x.ts';", 'import of src/control/x.ts'],
    ['a dynamic import', "const x = await import('../../src/control/x.ts');", 'dynamic import of src/control/x.ts'],
    ['a worker', "new Worker(new URL('../../src/control/x.ts', import.meta.url));", 'worker of src/control/x.ts'],
    [
      'an import between the parts of a template',
      'const t = `$' + "{await import('../../src/control/x.ts')}`;",
      'dynamic import of src/control/x.ts',
    ],
    [
      'an import after a regular expression with a quote',
      "const r = /['`]/;\nimport { a } from '../../src/control/x.ts';",
      'import of src/control/x.ts',
    ],
    ['a type of a module', "let x: typeof import('../../src/control/x.ts');", 'type import of src/control/x.ts'],
    ['another adapter', "import { a } from '../sql/index.ts';", 'import of adapters/sql/index.ts'],
  ])('refuses %s', (_, code, expected) => {
    const found = check({
      'src/control/x.ts': 'export const a = 1;\n',
      'adapters/sql/index.ts': 'export const a = 1;\n',
      'adapters/memory/index.ts': `${code}\n`,
    });
    expect(found).toStrictEqual([`adapters/memory/index.ts: ${expected} is not allowed`]);
  });

  test.each([
    ['a package', "import knex from 'knex';", 'import of the package knex is not allowed'],
    [
      'a path within a scoped package',
      "import x from '@aws-sdk/client-dynamodb/dist';",
      'import of the package @aws-sdk/client-dynamodb/dist is not allowed',
    ],
    ['a built-in without its prefix', "import fs from 'fs';", 'import of fs lacks its node: prefix'],
    ['a file that is not there', "import { b } from './gone.ts';", 'import of src/core/gone.ts, which does not exist'],
    ['a computed import', 'const b = await import(name);', 'dynamic import of a computed name'],
  ])('refuses %s', (_, code, expected) => {
    expect(check({ 'src/core/a.ts': `${code}\n` })).toStrictEqual([`src/core/a.ts: ${expected}`]);
  });

  test('is not fooled by comments, strings and templates', () => {
    const code = [
      "// import { a } from '../control/x.ts';",
      "/** @example import { a } from '../control/x.ts'; const b: any = process.env.X; */",
      'const s = "import { a } from \'../control/x.ts\'";',
      "const t = `import('../control/x.ts') process.exit(1) $" + '{1} : any`;',
      "const u = 'it: any @ts-ignore console.log';",
      'const company = { any: 1 }; AbortSignal.any([]);',
      'const half = 4 / 2; const other = "a/b"; // console.log',
    ].join('\n');
    expect(check({ 'src/core/a.ts': code, 'src/control/x.ts': '' })).toStrictEqual([]);
  });

  test('gives the repository nothing of verify but its compare', () => {
    const files = { 'verify/compare.ts': '', 'verify/full-scan.ts': '' };
    expect(check({ ...files, 'src/repository/a.ts': "import { c } from '../../verify/compare.ts';\n" })).toStrictEqual(
      [],
    );
    expect(check({ ...files, 'src/repository/a.ts': "import { c } from '../../verify/full-scan.ts';\n" })).toHaveLength(
      1,
    );
  });

  test('wants a line of the table for every folder', () => {
    expect(check({ 'src/surprise/a.ts': '' })).toStrictEqual([
      'src/surprise/a.ts: no line of the table names its folder',
    ]);
  });

  test('takes the longest line that names a file', () => {
    const files = {
      'src/control/a.ts': '',
      'src/server/http-control-client.ts': "import { a } from '../control/a.ts';\n",
    };
    expect(check(files)).toStrictEqual([
      'src/server/http-control-client.ts: import of src/control/a.ts is not allowed',
    ]);
  });

  test('finds circles, and reports the shortest', () => {
    const to = (...names: readonly string[]): string =>
      names.map((name) => `import { x } from './${name}.ts';\n`).join('');
    const files = {
      'src/core/a.ts': to('b'),
      'src/core/b.ts': to('c'),
      'src/core/c.ts': to('d', 'b'),
      'src/core/d.ts': to('a'),
    };
    expect(check(files)).toStrictEqual(['an import circle: src/core/b.ts → src/core/c.ts → src/core/b.ts']);
    expect(check({ 'src/core/a.ts': to('a') })).toStrictEqual(['an import circle: src/core/a.ts → src/core/a.ts']);
  });

  test('counts dynamic imports and exports into a circle', () => {
    const files = { 'src/core/a.ts': "export * from './b.ts';\n", 'src/core/b.ts': "await import('./a.ts');\n" };
    expect(check(files)).toHaveLength(1);
    expect(check(files)[0]).toContain('(dynamic import)');
  });

  test('forgives a circle closed by a type only between files of one folder', () => {
    const here = {
      'src/core/a.ts': "import { b } from './b.ts';\n",
      'src/core/b.ts': "import type { A } from './a.ts';\n",
    };
    expect(check(here)).toStrictEqual([]);
    const rules = { 'src/': { files: [], packages: [] } };
    const apart = {
      'src/core/a.ts': "import { b } from '../control/b.ts';\n",
      'src/control/b.ts': "import type { A } from '../core/a.ts';\n",
    };
    expect(check(apart, rules)[0]).toContain('(type import)');
  });

  test('knows that a tree without circles has none', () => {
    const edge = (to: string) => ({ to, kind: 'import' as const });
    expect(
      shortestCircle(
        new Map([
          ['a', [edge('b'), edge('c')]],
          ['b', [edge('c')]],
          ['c', []],
        ]),
      ),
    ).toBeNull();
  });

  test.each([
    ['src/core/StampClock.ts', 'the name is not in kebab-case'],
    ['src/core/stamp_clock.ts', 'the name is not in kebab-case'],
    ['adapters/memory/Inner/a.ts', 'the folder Inner is not in kebab-case'],
    ['src/core/utils.ts', 'the name names no concept'],
    ['src/core/utils/a.ts', 'the folder utils names no concept'],
    ['src/core/a/b.ts', 'lies 3 folders deep'],
    ['adapters/sql/sqlite/inner/a.ts', 'lies 4 folders deep'],
  ])('refuses the path %s', (path, expected) => {
    expect(check({ [path]: '' })).toContain(`${path}: ${expected}`);
  });

  test('lets the demo and an adapter have one folder more', () => {
    expect(check({ 'src/cli/demo/main.ts': '', 'adapters/sql/sqlite/a.ts': '' })).toStrictEqual([]);
  });

  test.each([
    ['let a: any;', 'the type any'],
    ['let a = b as any;', 'the type any'],
    ['let a: Promise<any>;', 'the type any'],
    ['let a: any[] = [];', 'the type any'],
    ['let a: string | any = 1;', 'the type any'],
    ['function f(a: any): void {}', 'the type any'],
    ['// @ts-ignore\n', 'a silenced type error'],
    ['/* @ts-expect-error */', 'a silenced type error'],
    ['export enum Side { Old }', 'an enum'],
    ['export default 1;', 'a default export'],
    ['const a = process.env.HOME;', 'process.env outside of the command line'],
    ['process.exit(1);', 'process.exit outside of the command line'],
    ['process.exitCode = 1;', 'process.exit outside of the command line'],
    ["console.log('a');", 'console outside of the command line'],
  ])('refuses %j', (code, expected) => {
    for (const path of ['src/core/a.ts', 'adapters/memory/a.ts', 'verify/a.ts']) {
      expect(check({ [path]: code })).toStrictEqual([`${path}:1: ${expected}`]);
    }
  });

  test('lets the command line have its environment, its exit and its terminal, but no any', () => {
    const code = 'process.env.X; process.exit(0); console.log(1);\n';
    expect(check({ 'src/cli/main.ts': code })).toStrictEqual([]);
    expect(check({ 'src/cli/main.ts': 'let a: any;\n' })).toHaveLength(1);
    expect(check({ 'src/service/a.ts': code })).toHaveLength(3);
  });

  test('wants a reason for every file above 400 lines, and no reason for others', () => {
    const long = new Map([['src/core/a.ts', 'a;\n'.repeat(401)]]);
    expect(violationsOf(long, RULES, {})).toStrictEqual(['src/core/a.ts: 401 lines, and no reason is listed']);
    expect(violationsOf(long, RULES, { 'src/core/a.ts': 'because' })).toStrictEqual([]);
    const short = new Map([['src/core/a.ts', 'a;\n'.repeat(400)]]);
    expect(violationsOf(short, RULES, {})).toStrictEqual([]);
    expect(violationsOf(short, RULES, { 'src/core/a.ts': 'because', 'src/core/b.ts': 'gone' })).toStrictEqual([
      'src/core/a.ts: listed as long, but has only 400 lines',
      'src/core/b.ts: listed as long, but does not exist',
    ]);
  });
});
