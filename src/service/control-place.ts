import { constants } from 'node:fs';
import { access, readFile, realpath } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { networkMount } from '../core/network-mount.ts';
import type { Finding } from '../core/store.ts';

/** The file of a control plane on SQLite; null for any other. */
export function controlFile(control: string): string | null {
  if (!control.startsWith('sqlite:')) return null;
  return resolve(control.slice('sqlite:'.length).replace(/^\/\/(?=\/)/, ''));
}

/** The nearest place on the way to a path that is there, its links resolved. */
async function existing(path: string): Promise<string> {
  try {
    return await realpath(path);
  } catch {
    return path === dirname(path) ? path : existing(dirname(path));
  }
}

/** What may be wrong with where the control plane's file lies; found without opening it. */
export async function controlPlaceFindings(control: string): Promise<readonly Finding[]> {
  const file = controlFile(control);
  if (file === null) return [];
  const place = await existing(file);
  const mounts = await readFile('/proc/self/mounts', 'utf8').catch(() => '');
  const type = networkMount(place, mounts);
  const found: Finding[] = [];
  if (type !== null) {
    found.push({
      name: 'topology:network-file-system',
      kind: 'topology',
      level: 'problem',
      message: `the control plane's file lies on a network file system (${type}), where its locks cannot be trusted`,
      remedy: "a path on a local disk in `control: 'sqlite:…'`",
    });
  }
  const writable = await access(place, constants.R_OK | constants.W_OK).then(
    () => true,
    () => false,
  );
  if (!writable) {
    found.push({
      name: 'permission:control',
      kind: 'permission',
      level: 'problem',
      message: 'this process may not read and write where the control plane is',
      remedy: 'let the user of this process read and write there',
    });
  }
  return found;
}
