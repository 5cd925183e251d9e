import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { command } from './command.ts';

/** What every Debian system has, and what must match its own C library. */
const OF_THE_SYSTEM: ReadonlySet<string> = new Set(['libc6', 'libgcc-s1', 'libstdc++6', 'libelogind0', 'libsystemd0']);

/** The release whose packages these are, as a part of a folder's name: `debian-12-x64`. */
export function release(): string {
  const text = readFileSync('/etc/os-release', 'utf8');
  const value = (key: string): string => new RegExp(`^${key}="?([\\w.-]+)`, 'm').exec(text)?.[1] ?? 'unknown';
  return `${value('ID')}-${value('VERSION_ID')}-${process.arch}`;
}

export interface UnpackOptions {
  /** Also the libraries of libraries, where the system may have none of them. @default false */
  readonly deep?: boolean;
}

/**
 * Unpacks packages of the system's own sources, and the libraries that they depend on, into a folder: nothing is
 * installed, no service starts, and nobody has to be root. apt checks what it fetches against the signed lists.
 */
export async function unpackPackages(
  packages: readonly string[],
  folder: string,
  { deep = false }: UnpackOptions = {},
): Promise<void> {
  const fetched = join(folder, 'fetched');
  mkdirSync(join(fetched, 'lists/partial'), { recursive: true });
  mkdirSync(join(fetched, 'archives/partial'), { recursive: true });
  const own = ['-o', `Dir::State::lists=${join(fetched, 'lists')}`, '-o', `Dir::Cache=${fetched}`];
  try {
    await download([], packages, fetched, deep);
  } catch {
    // The lists are missing or too old: fetch fresh ones, for ourselves.
    await command('apt-get', [...own, ...UNPRIVILEGED, '-qq', 'update']);
    await download(own, packages, fetched, deep);
  }
  for (const file of readdirSync(fetched).filter((name) => name.endsWith('.deb'))) {
    await command('dpkg-deb', ['-x', join(fetched, file), folder]);
  }
  rmSync(fetched, { recursive: true });
}

const UNPRIVILEGED = ['-o', 'APT::Sandbox::User='] as const;

async function download(
  own: readonly string[],
  packages: readonly string[],
  folder: string,
  deep: boolean,
): Promise<void> {
  const listed = await command('apt-cache', [
    ...own,
    'depends',
    '--no-recommends',
    '--no-suggests',
    '--no-conflicts',
    '--no-breaks',
    '--no-replaces',
    '--no-enhances',
    ...(deep ? ['--recurse'] : []),
    ...packages,
  ]);
  const libraries = [...listed.matchAll(/^ *\|?Depends: (lib[\w.+-]+)$/gm)].map(([, name]) => name as string);
  const wanted = [...new Set([...packages, ...libraries.filter((name) => !OF_THE_SYSTEM.has(name))])];
  await command('apt-get', [...own, ...UNPRIVILEGED, '-qq', 'download', ...wanted], { cwd: folder });
}

/** Where unpacked libraries lie, for the loader: also those that others look for in a folder of their own. */
export const libraryPath = (folder: string): string => {
  const triplet = process.arch === 'arm64' ? 'aarch64-linux-gnu' : 'x86_64-linux-gnu';
  const roots = [join(folder, 'usr/lib', triplet), join(folder, 'lib', triplet)];
  return [...roots, ...roots.flatMap(foldersOfLibraries)].join(':');
};

const foldersOfLibraries = (root: string): readonly string[] =>
  !existsSync(root)
    ? []
    : readdirSync(root, { withFileTypes: true })
        .filter((entry) => entry.isDirectory())
        .map(({ name }) => join(root, name))
        .filter((place) => readdirSync(place).some((name) => /^lib.*\.so/.test(name)));
