#!/usr/bin/env node
import { existsSync } from 'node:fs';
import module from 'node:module';
import v8 from 'node:v8';

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
if (major < 22 || (major === 22 && minor < 18)) {
  process.stderr.write(`error: changeover needs Node 22.18 or later; this is ${process.version}\n`);
  process.exit(3);
}
// Long work makes much garbage, of which V8 would let some 200 MB lie before it clears up, and glibc some 20 MB more, as
// it keeps heaps for many threads. These limits are taken from a process's arguments and environment only, so this one
// begins anew with them: same id, nothing done yet. Windows cannot do that.
const LEAN = '--max-semi-space-size=8';
const LONG = ['backfill', 'repair', 'verify', 'worker', 'serve'];
if (process.argv.some((word) => LONG.includes(word))) {
  if (process.platform !== 'win32' && process.execve !== undefined && !process.execArgv.includes(LEAN)) {
    const args = [process.execPath, LEAN, ...process.execArgv, ...process.argv.slice(1)];
    process.execve(process.execPath, args, { MALLOC_ARENA_MAX: '1', ...process.env });
  }
  v8.setFlagsFromString('--heap-growing-percent=20');
}
// What was compiled once starts in half the time; where there is no place for it, nothing is lost. Threads, such as that
// of the control plane, know of it by the environment.
const { directory } = module.enableCompileCache();
if (directory !== undefined) process.env.NODE_COMPILE_CACHE ??= directory;
// A package that was built has its JavaScript; a clone runs its TypeScript as it is.
const built = new URL('../src/cli/main.js', import.meta.url);
await import(existsSync(built) ? built.href : new URL('../src/cli/main.ts', import.meta.url).href);
