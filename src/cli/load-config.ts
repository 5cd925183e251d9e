import { existsSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { ChangeoverError, InvalidConfiguration } from '../core/errors.ts';
import { type Config, defineConfig } from '../service/config.ts';

/** The names that a configuration may have, the first that is found counts. */
export const CONFIG_NAMES = [
  'changeover.config.ts',
  'changeover.config.mts',
  'changeover.config.js',
  'changeover.config.mjs',
] as const;

const EXPECTED = 'export default defineConfig({ control, migrations })';

/** The configuration's file: the named one, or the nearest in a folder or above. @throws InvalidConfiguration */
export function findConfig(folder: string, named: string | undefined): string {
  if (named !== undefined) {
    const path = resolve(folder, named);
    if (existsSync(path)) return path;
    throw new InvalidConfiguration(`there is no file ${path}`, { expected: 'the configuration that --config names' });
  }
  for (let at = folder; ; at = dirname(at)) {
    for (const name of CONFIG_NAMES) {
      const path = join(at, name);
      if (existsSync(path)) return path;
    }
    if (dirname(at) === at) break;
  }
  throw new InvalidConfiguration(`there is no configuration in ${folder} or above it`, {
    expected: CONFIG_NAMES.join(' or '),
    remedy: 'changeover init writes one; --config names one',
  });
}

/**
 * Imports a configuration as Node does, types stripped. Relative paths in it count from its own folder, so that every
 * command means the same files wherever it is called.
 *
 * @throws InvalidConfiguration says where it does not parse, what is missing, or what its own code threw
 */
export async function loadConfig(path: string): Promise<Config> {
  process.chdir(dirname(path));
  let exported: unknown;
  try {
    exported = ((await import(pathToFileURL(path).href)) as { readonly default?: unknown }).default;
  } catch (error) {
    throw loadFailure(path, error);
  }
  if (typeof exported !== 'object' || exported === null) {
    const what = exported === undefined ? 'has no default export' : `exports a ${typeof exported} by default`;
    throw new InvalidConfiguration(`${basename(path)} ${what}`, { expected: EXPECTED });
  }
  // Again for what was not made by defineConfig: the checks are the same, and cheap.
  return defineConfig(exported as Config);
}

function loadFailure(path: string, error: unknown): Error {
  const name = basename(path);
  const line = lineOf(path, error);
  const where = `${name}${line === null ? '' : `:${line}`}`;
  if (error instanceof ChangeoverError) {
    return new InvalidConfiguration(`${where}: ${error.message}`, {
      ...(error.expected === undefined ? {} : { expected: error.expected }),
      ...(error.remedy === undefined ? {} : { remedy: error.remedy }),
      cause: error,
    });
  }
  const message = (error instanceof Error ? error.message : String(error))
    .split('\n')
    .find((text) => text.trim() !== '');
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  if (code === 'ERR_MODULE_NOT_FOUND') {
    return new InvalidConfiguration(
      `${where} imports what is not there: ${message?.replace(/ imported from .*/, '')}`,
      {
        expected: 'packages that are installed beside it, and files with their endings',
        cause: error,
      },
    );
  }
  if (
    error instanceof SyntaxError ||
    code === 'ERR_INVALID_TYPESCRIPT_SYNTAX' ||
    code.startsWith('ERR_UNSUPPORTED_TYPESCRIPT')
  ) {
    const commonjs = message?.startsWith('Cannot use import statement') === true;
    return new InvalidConfiguration(`${where} does not parse: ${message}`, {
      expected: 'an ES module in TypeScript without enum, namespace and parameter properties, or in JavaScript',
      remedy: commonjs ? `name it changeover.config.mts: its package.json says "type": "commonjs"` : `mend ${where}`,
      cause: error,
    });
  }
  const kind = error instanceof Error ? error.name : typeof error;
  return new InvalidConfiguration(`${where} could not be run: ${kind}: ${message}`, {
    expected: EXPECTED,
    remedy: `node ${name} shows more`,
    cause: error,
  });
}

/** The line of the configuration that an error came from; only its stack knows. */
function lineOf(path: string, error: unknown): number | null {
  if (!(error instanceof Error) || error.stack === undefined) return null;
  for (const text of error.stack.split('\n')) {
    for (const place of [pathToFileURL(path).href, path]) {
      const at = text.indexOf(`${place}:`);
      const digits = at < 0 ? null : /^\d+/.exec(text.slice(at + place.length + 1));
      if (digits !== null) return Number(digits[0]);
    }
  }
  return null;
}
