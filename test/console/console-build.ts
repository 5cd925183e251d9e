import { existsSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'vite';

const ROOT = join(import.meta.dirname, '../..');
export const BUILT = join(ROOT, 'dist/console');

const newest = (folder: string): number =>
  Math.max(...readdirSync(folder, { recursive: true }).map((name) => statSync(join(folder, String(name))).mtimeMs));

/** The console as `npm ci` has built it; built again only where its source has changed since. */
export async function builtConsole(): Promise<string> {
  const page = join(BUILT, 'index.html');
  if (existsSync(page) && statSync(page).mtimeMs > newest(join(ROOT, 'src/console'))) return BUILT;
  // Whole or not at all: a server may be reading from it.
  const fresh = `${BUILT}-${process.pid}`;
  await build({
    root: join(ROOT, 'src/console'),
    configFile: join(ROOT, 'vite.config.ts'),
    build: { outDir: fresh },
    logLevel: 'error',
  });
  rmSync(BUILT, { recursive: true, force: true });
  renameSync(fresh, BUILT);
  return BUILT;
}
