import {
  accessSync,
  chmodSync,
  chownSync,
  constants,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

const PREFIX = 'changeover-servers-';
const KEEPER = 'keeper.pid';

/** Servers that refuse to be root run as this user, which every Unix has. */
const NOBODY = { uid: 65_534, gid: 65_534 } as const;

/** Whom a server that must not be root runs as; undefined where we are not root ourselves. */
export const unprivileged = (): { readonly uid: number; readonly gid: number } | undefined =>
  process.getuid?.() === 0 ? NOBODY : undefined;

/** Where temporary files go, if those whom servers run as may enter it. */
const usualPlace = (): string =>
  [tmpdir(), '/tmp'].find((path) => unprivileged() === undefined || openToAll(path)) ?? tmpdir();

/** A folder for what the servers of one run write. What earlier runs could not clean up goes. */
export function makeRunFolder(place = usualPlace()): string {
  dropOrphans(place);
  const folder = mkdtempSync(join(place, PREFIX));
  chmodSync(folder, 0o711);
  return folder;
}

/** A server's own folder below the run's. */
export function makeServerFolder(run: string, name: string): string {
  const folder = join(run, name);
  mkdirSync(folder, { mode: 0o700 });
  const owner = unprivileged();
  if (owner !== undefined) chownSync(folder, owner.uid, owner.gid);
  return folder;
}

/** Whether everybody may enter a folder and those above it. */
export function openToAll(path: string): boolean {
  const { mode } = statSync(path, { throwIfNoEntry: false }) ?? { mode: 0 };
  return (mode & constants.S_IXOTH) !== 0 && (path === dirname(path) || openToAll(dirname(path)));
}

export const keeperFile = (folder: string): string => join(folder, KEEPER);

/** What runs left whose keeper was killed too. */
function dropOrphans(place: string): void {
  for (const name of readdirSync(place).filter((each) => each.startsWith(PREFIX))) {
    const folder = join(place, name);
    if (!ours(folder)) continue;
    const pids = readdirSync(folder).filter((file) => file.endsWith('.pid'));
    // A run that is only beginning has no keeper yet.
    if (!pids.includes(KEEPER) || runs(keeperFile(folder), folder) !== null) continue;
    for (const file of pids) {
      const pid = runs(join(folder, file), folder);
      if (pid !== null) process.kill(-pid, 'SIGKILL');
    }
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  }
}

function ours(folder: string): boolean {
  try {
    accessSync(folder, constants.R_OK | constants.W_OK);
    return statSync(folder).uid === process.getuid?.();
  } catch {
    return false;
  }
}

/** The process that a file names, if it still is the one that was started for this folder. */
function runs(file: string, folder: string): number | null {
  try {
    const pid = Number(readFileSync(file, 'utf8'));
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(folder) ? pid : null;
  } catch {
    return null;
  }
}
