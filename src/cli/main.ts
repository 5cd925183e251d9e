import { resolveOwnPackage } from './own-package.ts';
import { runProgram } from './program.ts';

/** A driver or a client of the configuration may keep a socket open; nobody waits for it longer than this. */
const LINGER_MS = 1_000;

/** Notes of Node that say nothing about the migration: how it reads TypeScript, and that it had to look at a file. */
const NOT_OURS = new Set(['ExperimentalWarning', 'MODULE_TYPELESS_PACKAGE_JSON']);

process.removeAllListeners('warning');
process.on('warning', (warning) => {
  const code = 'code' in warning ? String(warning.code) : '';
  if (!NOT_OURS.has(warning.name) && !NOT_OURS.has(code)) process.stderr.write(`${warning.name}: ${warning.message}\n`);
});
// `changeover history events | head` closes the pipe early. What was begun goes on to its end all the same: a move that
// stops half-way holds writes, and a verdict must not become a success because nobody reads it.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
  });
}

resolveOwnPackage();
process.exitCode = await runProgram(process.argv.slice(2));
setTimeout(() => {
  if (process.env['CHANGEOVER_DEBUG'] === '1') {
    process.stderr.write(`still open: ${process.getActiveResourcesInfo().join(', ')}\n`);
  }
  process.exit();
}, LINGER_MS).unref();
