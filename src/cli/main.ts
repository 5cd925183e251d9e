import { EXIT } from './exit-code.ts';
import { resolveOwnPackage } from './own-package.ts';
import { runProgram } from './program.ts';

/** A driver or a client of the configuration may keep a socket open; nobody waits for it longer than this. */
const LINGER_MS = 1_000;

/** Notes of Node that say nothing about the migration: how it reads TypeScript, and that it had to look at a file. */
const NOT_OURS = new Set(['ExperimentalWarning', 'MODULE_TYPELESS_PACKAGE_JSON']);

/** The disk of a redirected output is full or broken, or a limit is reached. */
const NO_ROOM: ReadonlySet<string> = new Set(['ENOSPC', 'EDQUOT', 'EFBIG', 'EIO']);

process.removeAllListeners('warning');
process.on('warning', (warning) => {
  const code = 'code' in warning ? String(warning.code) : '';
  if (!NOT_OURS.has(warning.name) && !NOT_OURS.has(code)) process.stderr.write(`${warning.name}: ${warning.message}\n`);
});
// `changeover history events | head` closes the pipe early, and a log fills its disk. What was begun goes on to its end
// all the same: a move that stops half-way holds writes, and a verdict must not become another because nobody reads it.
let lost: string | null = null;
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    const { code = '' } = error;
    if (!NO_ROOM.has(code) && code !== 'EPIPE') throw error;
    if (stream === process.stdout && code !== 'EPIPE') lost = code;
  });
}
process.on('exit', (code) => {
  if (lost === null) return;
  process.stderr.write(`stdout cannot be written: ${lost}; the command went on to its end, but its output is lost\n`);
  if (code === EXIT.done) process.exitCode = EXIT.usage;
});

resolveOwnPackage();
process.exitCode = await runProgram(process.argv.slice(2));
setTimeout(() => {
  if (process.env['CHANGEOVER_DEBUG'] === '1') {
    process.stderr.write(`still open: ${process.getActiveResourcesInfo().join(', ')}\n`);
  }
  process.exit();
}, LINGER_MS).unref();
