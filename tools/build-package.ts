import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

/**
 * Builds what is installed elsewhere: JavaScript, declarations, the console and the documents, in the tree that a clone
 * has. Node strips no types below node_modules, so the TypeScript itself stays behind, and with it tests and bench.
 *
 *     node tools/build-package.ts [folder]        (dist/package)
 */
const root = resolve(import.meta.dirname, '..');
const out = resolve(process.argv[2] ?? join(root, 'dist', 'package'));
const at = (...path: readonly string[]): string => join(out, ...path);

interface Manifest {
  readonly exports: Readonly<Record<string, string>>;
  readonly [field: string]: unknown;
}
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as Manifest;

rmSync(out, { recursive: true, force: true });
mkdirSync(out, { recursive: true });
compile();
declarationsImportJavaScript();
// It lives on what only a clone installs.
rmSync(at('src', 'cli', 'demo'), { recursive: true });
for (const name of ['bin', 'docs', 'README.md', 'CHANGELOG.md', 'LICENSE'])
  cpSync(join(root, name), at(name), { recursive: true });
const built = join(root, 'dist', 'console');
if (!existsSync(built)) await import('./build-console.ts');
cpSync(built, at('dist', 'console'), { recursive: true });
writeFileSync(at('package.json'), `${JSON.stringify(published(), null, 2)}\n`);

function compile(): void {
  const project = at('tsconfig.json');
  const files = [...Object.values(manifest.exports), 'src/cli/main.ts', ...startedByPath()];
  const settings = {
    extends: join(root, 'tsconfig.json'),
    compilerOptions: {
      noEmit: false,
      declaration: true,
      rootDir: root,
      outDir: out,
      typeRoots: [join(root, 'node_modules', '@types')],
    },
    include: [],
    files: files.map((file) => resolve(root, file)),
  };
  writeFileSync(project, JSON.stringify(settings));
  const compiler = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
  const { status } = spawnSync(process.execPath, [compiler, '-p', project], { stdio: 'inherit' });
  rmSync(project);
  if (status !== 0) throw new Error('the types do not hold: npm run types says where');
}

/** What nothing imports: threads, which are started by their file's name. */
function startedByPath(): readonly string[] {
  return readdirSync(join(root, 'src', 'control'))
    .filter((name) => name.endsWith('-worker.ts'))
    .map((name) => join('src', 'control', name));
}

/** The compiler renames what JavaScript imports, and leaves declarations alone. */
function declarationsImportJavaScript(): void {
  for (const path of readdirSync(out, { recursive: true, encoding: 'utf8' })) {
    if (!path.endsWith('.d.ts')) continue;
    const text = readFileSync(at(path), 'utf8');
    writeFileSync(at(path), text.replace(/((?:from|import\()\s*'\.{1,2}\/[^']*)\.ts'/g, "$1.js'"));
  }
}

/** The manifest without what only a clone needs. */
function published(): Readonly<Record<string, unknown>> {
  const { private: _, workspaces, scripts, devDependencies, allowScripts, ...kept } = manifest;
  const entries = Object.entries(manifest.exports).map(([name, path]) => {
    const stem = path.replace(/\.ts$/, '');
    return [name, { types: `${stem}.d.ts`, default: `${stem}.js` }];
  });
  return { ...kept, exports: Object.fromEntries(entries) };
}
