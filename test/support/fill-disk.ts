import { closeSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';

/** Fills a disk to the last block; the file that does. */
export function fill(disk: string): string {
  const path = join(disk, 'filler');
  const file = openSync(path, 'w');
  try {
    for (const block = Buffer.alloc(4_096, 1); ; ) writeSync(file, block);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
  } finally {
    closeSync(file);
  }
  return path;
}
