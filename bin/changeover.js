#!/usr/bin/env node
import { existsSync } from 'node:fs';
import module from 'node:module';

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
if (major < 22 || (major === 22 && minor < 18)) {
  process.stderr.write(`error: changeover needs Node 22.18 or later; this is ${process.version}\n`);
  process.exit(3);
}
// What was compiled once starts in half the time; where there is no place for it, nothing is lost.
module.enableCompileCache();
// A package that was built has its JavaScript; a clone runs its TypeScript as it is.
const built = new URL('../dist/src/cli/main.js', import.meta.url);
await import(existsSync(built) ? built.href : new URL('../src/cli/main.ts', import.meta.url).href);
