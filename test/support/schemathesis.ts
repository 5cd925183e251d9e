import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Cache } from './servers/cache.ts';
import { command } from './servers/command.ts';
import { because, NO_SCHEMATHESIS } from './servers/names.ts';

/** The packages of schemathesis, or why they are not there. */
export type FoundSchemathesis =
  | { readonly packages: string; readonly missing?: never }
  | { readonly packages?: never; readonly missing: string };

const VERSION = '4.32.5';

/** Everything that it stands on: what it finds must not change from one day to the next. */
const PINNED = [
  `schemathesis==${VERSION}`,
  'anyio==4.16.0',
  'certifi==2026.10.18',
  'charset-normalizer==3.5.2',
  'click==8.5.1',
  'graphql-core==3.3.2',
  'harfile==0.6.0',
  'hypothesis==6.170.15',
  'hypothesis-graphql==0.13.5',
  'idna==3.20',
  'iniconfig==2.3.1',
  'jsonschema_rs==0.60.3',
  'markdown-it-py==4.3.0',
  'MarkupSafe==3.0.4',
  'mdurl==0.1.2',
  'packaging==26.3',
  'pluggy==1.7.0',
  'Pygments==2.21.0',
  'pyrate-limiter==4.5.1',
  'pytest==9.2.0',
  'PyYAML==6.0.3',
  'requests==2.34.2',
  'rich==15.0.0',
  'sortedcontainers==2.4.0',
  'typing_extensions==4.16.0',
  'urllib3==2.8.0',
  'Werkzeug==3.1.9',
];

/** Fetches it from PyPI into the cache of the test servers, for the Python that there is. Nothing is installed. */
export async function findSchemathesis(environment = process.env): Promise<FoundSchemathesis> {
  try {
    const python = (await command('python3', ['-c', TAG])).trim();
    const { folder } = await new Cache(environment).get(`schemathesis-${VERSION}-${python}`, async (place) => {
      const pinned = join(place, 'requirements.txt');
      writeFileSync(pinned, `${PINNED.join('\n')}\n`);
      await command('python3', [
        ...['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '--no-deps', '--only-binary=:all:'],
        ...['--requirement', pinned, '--target', join(place, 'packages')],
      ]);
    });
    return { packages: join(folder, 'packages') };
  } catch (error) {
    return { missing: `${NO_SCHEMATHESIS}: ${because(error)}` };
  }
}

const TAG =
  'import platform, sys; print(f"py{sys.version_info[0]}.{sys.version_info[1]}-{sys.platform}-{platform.machine()}")';

/** Runs it in a folder, which may hold a schemathesis.toml. @returns what it says, whether or not it found something */
export function schemathesis(
  { packages = '' }: FoundSchemathesis,
  folder: string,
  args: readonly string[],
): Promise<string> {
  const env = { ...process.env, PYTHONPATH: packages, NO_COLOR: '1', PYTHONDONTWRITEBYTECODE: '1' };
  const limits = { timeout: 420_000, maxBuffer: 64 * 2 ** 20 };
  return new Promise((resolve) => {
    execFile('python3', ['-m', 'schemathesis.cli', 'run', ...args], { cwd: folder, env, ...limits }, (_, out, err) =>
      // What it sent may be as long as it likes.
      resolve(`${out}${err}`.replace(/\S{300,}/g, (long) => `${long.slice(0, 300)}…`)),
    );
  });
}
