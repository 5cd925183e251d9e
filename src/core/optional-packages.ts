import { InvalidConfiguration } from './errors.ts';

/**
 * Loads what only some configurations need; `load` imports it, by literal names.
 *
 * @param what what needs the packages, such as `dynamodb({ … })`
 * @throws InvalidConfiguration where one of them is not installed
 */
export async function loadOptional<T>(
  what: string,
  packages: readonly string[],
  load: () => T | Promise<T>,
): Promise<T> {
  try {
    return await load();
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ERR_MODULE_NOT_FOUND')) throw error;
    const several = packages.length > 1;
    throw new InvalidConfiguration(
      `${what} needs ${packages.join(' and ')}, and ${several ? 'not both are' : 'it is not'} installed`,
      { remedy: `npm install ${packages.join(' ')}`, cause: error },
    );
  }
}
