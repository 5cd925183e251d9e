import { execFile, spawnSync } from 'node:child_process';
import { mkdtempSync, rmdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** A mount of its own for the process and nobody else; it is gone with it. */
const ALONE = ['--map-root-user', '--mount', 'sh', '-c', 'mount -t tmpfs -o size=2m tmpfs "$0" && exec "$@"'];

/** Runs one of the scripts beside this file with a disk of 2 MB, its only argument; what it prints as JSON. */
export async function onSmallDisk(script: string): Promise<unknown> {
  const disk = mkdtempSync(join(tmpdir(), 'changeover-disk-'));
  try {
    const path = new URL(`./${script}.ts`, import.meta.url).pathname;
    const { stdout } = await run('unshare', [...ALONE, disk, process.execPath, path, disk]);
    return JSON.parse(stdout);
  } finally {
    rmdirSync(disk);
  }
}

/** Whether this machine lets a process have a small disk. */
export const hasSmallDisk = spawnSync('unshare', [...ALONE, tmpdir(), 'true']).status === 0;
