import { spawn } from 'node:child_process';
import { stripVTControlCharacters } from 'node:util';

export interface CommandOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly input?: string;
  readonly uid?: number | undefined;
  readonly gid?: number | undefined;
  readonly timeoutMs?: number;
}

const TIMEOUT_MS = 180_000;
const MOST_LINES = 3;

/** Runs a program to its end. @returns what it wrote @throws with the end of what it complained about */
export async function command(program: string, args: readonly string[], options: CommandOptions = {}): Promise<string> {
  const { cwd, env, input, uid, gid, timeoutMs = TIMEOUT_MS } = options;
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      cwd,
      env: { ...process.env, ...env },
      ...(uid === undefined ? {} : { uid }),
      ...(gid === undefined ? {} : { gid }),
    });
    // Not spawn's own time-out, which outlives a program that could not be started.
    const late = setTimeout(() => child.kill('SIGKILL'), timeoutMs);
    let output = '';
    let complaints = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      complaints += text;
    });
    child.on('error', (error: NodeJS.ErrnoException) => {
      clearTimeout(late);
      reject(error.code === 'ENOENT' ? new Error(`${program} is not installed`) : error);
    });
    child.on('close', (code, signal) => {
      clearTimeout(late);
      if (code === 0) {
        resolve(output);
        return;
      }
      reject(new Error(`${program} ended with ${signal ?? code}: ${complaint(complaints, output)}`));
    });
    child.stdin.on('error', () => undefined);
    child.stdin.end(input ?? '');
  });
}

/** What went wrong, in a few lines: those that speak of an error (Maven's are on its output), or else the last. */
function complaint(complaints: string, output: string): string {
  const lines = stripVTControlCharacters(`${output}\n${complaints}`)
    .split('\n')
    .filter((line) => line.trim() !== '');
  const errors = lines.filter((line) => /\berror\b/i.test(line));
  return (errors.length > 0 ? errors.slice(0, MOST_LINES) : lines.slice(-MOST_LINES)).join('\n');
}
