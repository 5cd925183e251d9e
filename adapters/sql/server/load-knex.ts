import { loadOptional } from '../../../src/core/optional-packages.ts';
import type { KnexPool } from './server-pool.ts';

/** knex warns on the console; what it would say there reaches callers as faults. */
const SILENT = Object.freeze({ warn() {}, error() {}, deprecate() {}, debug() {} });

/** What knex is given besides a silent logger. */
export interface KnexSettings {
  readonly client: string;
  readonly connection: unknown;
  readonly pool: Readonly<Record<string, unknown>>;
}

/**
 * Makes a Knex whose driver `importDriver` loads (a literal `import('pg')`). Connects to nothing.
 * @throws InvalidConfiguration when they are not installed
 */
export async function loadKnex<C>(
  driver: string,
  importDriver: () => Promise<unknown>,
  settings: KnexSettings,
): Promise<KnexPool<C>> {
  return loadOptional(`sql({ client: '${settings.client}', … })`, ['knex', driver], async () => {
    await importDriver();
    const { default: knex } = await import('knex');
    return knex({ ...settings, log: SILENT } as Parameters<typeof knex>[0]) as unknown as KnexPool<C>;
  });
}
