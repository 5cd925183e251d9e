import { execFile } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { STAGE_TABLE, STAGES } from '../src/core/stage.ts';

const ROOT = join(import.meta.dirname, '..');
const run = promisify(execFile);
const readme = readFileSync(join(ROOT, 'README.md'), 'utf8');
const example = /```ts\n([\s\S]*?)```/.exec(readme)?.[1] ?? '';
const manifest = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
  readonly scripts: Readonly<Record<string, string>>;
  readonly exports: Readonly<Record<string, string>>;
};

describe('the example of the README', () => {
  /** Below the root, so that `changeover` names this package, as it does for its users. */
  let folder = '';

  beforeAll(async () => {
    folder = await mkdtemp(join(ROOT, '.readme-'));
    await writeFile(join(folder, 'example.ts'), `${example}\nexport {};\n`);
    await writeFile(
      join(folder, 'tsconfig.json'),
      JSON.stringify({
        extends: '../tsconfig.json',
        compilerOptions: { typeRoots: ['../node_modules/@types'] },
        include: ['example.ts'],
      }),
    );
  });

  afterAll(() => rm(folder, { recursive: true, force: true }));

  test('has about ten lines', () => {
    const lines = example.split('\n').filter((line) => line.trim() !== '');
    expect(lines.length).toBeGreaterThanOrEqual(8);
    expect(lines.length).toBeLessThanOrEqual(12);
  });

  test('runs, and prints what it says', async () => {
    const { stdout } = await run(process.execPath, ['example.ts'], { cwd: folder });
    const promised = /console\.log\(.*\/\/ (.*)$/m.exec(example)?.[1];
    expect(stdout.trim()).toBe(promised);
  });

  test('compiles', async () => {
    const tsc = join(ROOT, 'node_modules', 'typescript', 'bin', 'tsc');
    const answer = await run(process.execPath, [tsc, '--noEmit', '-p', folder]).catch(
      (error: { stdout: string }) => error,
    );
    expect(answer.stdout).toBe('');
  });
});

describe('the README', () => {
  test('tells the stage table as the code has it', () => {
    for (const stage of STAGES) {
      const { authority, mirror, compare } = STAGE_TABLE[stage];
      const other = authority === 'old' ? 'new' : 'old';
      const reads = compare ? `${authority}, compared with ${other}` : authority;
      const writes = mirror ? `${authority}, then ${other}` : authority;
      expect(readme).toContain(`| ${stage} | ${reads} | ${writes} |`);
    }
  });

  test('names commands and entry points that there are', () => {
    for (const [, script] of readme.matchAll(/npm ci && npm (\w+)/g))
      expect(manifest.scripts).toHaveProperty([script as string]);
    for (const [, entry] of readme.matchAll(/`changeover\/(\w+)`/g))
      expect(manifest.exports).toHaveProperty([`./${entry}`]);
  });
});

const documents = [
  'README.md',
  'CHANGELOG.md',
  ...readdirSync(join(ROOT, 'docs'))
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`),
  'docker/README.md',
  ...readdirSync(join(ROOT, 'examples')).map((name) => `examples/${name}/README.md`),
];

/** The places of a document that a link can name, as GitHub makes them of its headings. */
const anchorsOf = (path: string): readonly string[] =>
  [...readFileSync(path, 'utf8').matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replace(/[^\w\- ]/g, '')
      .replaceAll(' ', '-'),
  );

describe.each(documents)('%s', (path) => {
  const text = readFileSync(join(ROOT, path), 'utf8');

  test('links to files that there are', () => {
    const links = [...text.matchAll(/\]\(([^)#]+)(?:#[^)]*)?\)/g)].map(([, link]) => link as string);
    const missing = links.filter((link) => !/^https?:/.test(link) && !existsSync(join(ROOT, dirname(path), link)));
    expect(missing).toStrictEqual([]);
  });

  test('links to headings that there are', () => {
    const links = [...text.matchAll(/\]\(((?!https?:)[^)#]*)#([^)]*)\)/g)] as unknown as [string, string, string][];
    const missing = links.filter(
      ([, file, anchor]) =>
        !anchorsOf(file === '' ? join(ROOT, path) : join(ROOT, dirname(path), file)).includes(anchor),
    );
    expect(missing.map(([link]) => link)).toStrictEqual([]);
  });
});

test('the changelog has a place for what is not released yet', () => {
  expect(readFileSync(join(ROOT, 'CHANGELOG.md'), 'utf8')).toMatch(/^## Unreleased$/m);
});
