import type { Clock } from '../core/clock.ts';
import type { Side } from '../core/stage.ts';
import type { Store } from '../core/store.ts';
import type { MigrationDefinition } from './config.ts';

export type StorePair = Readonly<Record<Side, Store>>;

/** Makes and connects both stores of a migration; what is open is closed again when one fails. */
export async function openStores(name: string, definition: MigrationDefinition, clock: Clock): Promise<StorePair> {
  const opened: Store[] = [];
  const openOne = async (side: Side): Promise<Store> => {
    const store = await definition.stores[side].create({
      migration: name,
      side,
      keys: definition.keys,
      codec: definition.codecs[side],
      clock,
    });
    opened.push(store);
    await store.open();
    return store;
  };
  try {
    return { old: await openOne('old'), new: await openOne('new') };
  } catch (error) {
    await Promise.allSettled(opened.map((store) => store.close()));
    throw error;
  }
}

export const closeStores = async (stores: StorePair): Promise<void> => {
  await Promise.allSettled([stores.new.close(), stores.old.close()]);
};
