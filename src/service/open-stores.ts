import type { Clock } from '../core/clock.ts';
import type { Side } from '../core/stage.ts';
import type { Store } from '../core/store.ts';
import { type Logger, silentLogger } from '../core/telemetry.ts';
import type { MigrationDefinition } from './config.ts';

export type StorePair = Readonly<Record<Side, Store>>;

/** Makes one store of a migration without connecting it. */
export function makeStore(
  name: string,
  definition: MigrationDefinition,
  side: Side,
  clock: Clock,
  logger: Logger = silentLogger,
): Promise<Store> {
  const { stores, keys, codecs } = definition;
  return stores[side].create({ migration: name, side, keys, codec: codecs[side], clock, logger });
}

/** Makes both stores of a migration without connecting them. */
export async function makeStores(
  name: string,
  definition: MigrationDefinition,
  clock: Clock,
  logger?: Logger,
): Promise<StorePair> {
  const make = (side: Side): Promise<Store> => makeStore(name, definition, side, clock, logger);
  const old = await make('old');
  try {
    return { old, new: await make('new') };
  } catch (error) {
    await old.close();
    throw error;
  }
}

/** Makes and connects both stores of a migration; what is open is closed again when one fails. */
export async function openStores(
  name: string,
  definition: MigrationDefinition,
  clock: Clock,
  logger?: Logger,
): Promise<StorePair> {
  const stores = await makeStores(name, definition, clock, logger);
  try {
    await stores.old.open();
    await stores.new.open();
    return stores;
  } catch (error) {
    await closeStores(stores);
    throw error;
  }
}

export const closeStores = async (stores: StorePair): Promise<void> => {
  await Promise.allSettled([stores.new.close(), stores.old.close()]);
};
