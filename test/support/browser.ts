import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { type Browser, chromium } from 'playwright-core';
import { libraryPath, release, unpackPackages } from './servers/apt.ts';
import { Cache } from './servers/cache.ts';
import { BROWSER, because, demandsBrowser, NO_BROWSER } from './servers/names.ts';

/** A Chromium to drive, or why there is none. */
export type FoundBrowser =
  | { readonly program: string; readonly libraries: string | null; readonly missing?: never }
  | { readonly program?: never; readonly missing: string };

const VARIABLE = 'CHANGEOVER_TEST_CHROMIUM';

const USUAL = [
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome-stable',
  '/usr/bin/google-chrome',
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
];

/** Debian's build without windows: a third of the libraries. */
const PACKAGE = 'chromium-headless-shell';
/** Has what it reads when it starts. */
const DATA = 'chromium-common';
const PROGRAM = `usr/lib/chromium/${PACKAGE}`;

/** Answers its version, and is no wrapper of something that is not there (a snap). */
function works(program: string, libraries: string | null): boolean {
  try {
    const env = { ...process.env, ...(libraries === null ? {} : { LD_LIBRARY_PATH: libraries }) };
    return /\d+\.\d+/.test(
      execFileSync(program, ['--version'], {
        encoding: 'utf8',
        env,
        stdio: ['ignore', 'pipe', 'ignore'],
        timeout: 30_000,
      }),
    );
  } catch {
    return false;
  }
}

/**
 * Finds a Chromium: the one that `CHANGEOVER_TEST_CHROMIUM` names, one that is installed, or one out of the system's own
 * packages, unpacked into the cache of the test servers. @throws where one is demanded or named and is not to be had
 */
export async function findBrowser(environment = process.env): Promise<FoundBrowser> {
  const named = environment[VARIABLE];
  if (named !== undefined && named !== '') {
    if (existsSync(named)) return { program: named, libraries: null };
    throw new Error(`${NO_BROWSER}: ${VARIABLE} names ${named}, which does not exist`);
  }
  const usual = USUAL.find((path) => existsSync(path) && works(path, null));
  if (usual !== undefined) return { program: usual, libraries: null };
  try {
    return await fetchBrowser(new Cache(environment));
  } catch (error) {
    const missing = `${NO_BROWSER}: ${because(error)}. Install ${BROWSER}, or set ${VARIABLE}`;
    if (demandsBrowser(environment)) throw new Error(missing);
    return { missing };
  }
}

export async function fetchBrowser(cache: Cache): Promise<FoundBrowser> {
  if (process.platform !== 'linux') throw new Error('on this system there is nothing to fall back to');
  const { folder } = await cache.get(`chromium-${release()}`, (place) =>
    unpackPackages([PACKAGE, DATA], place, { deep: true }),
  );
  const program = join(folder, PROGRAM);
  const libraries = libraryPath(folder);
  if (!works(program, libraries)) throw new Error(`${program} does not start`);
  return { program, libraries };
}

const FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--disable-dev-shm-usage',
];

/** A browser of a test's own. */
export function launch(found: FoundBrowser): Promise<Browser> {
  if (found.missing !== undefined) throw new Error(found.missing);
  const { program, libraries } = found;
  const env = { ...process.env, ...(libraries === null ? {} : { LD_LIBRARY_PATH: libraries }) } as Record<
    string,
    string
  >;
  return chromium.launch({ executablePath: program, args: FLAGS, env, timeout: 60_000 });
}
