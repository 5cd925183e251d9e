import { type MemoryDatabase, memory } from '../../adapters/memory/index.ts';
import type { Clock } from '../../src/core/clock.ts';
import { KeySpec } from '../../src/core/record-key.ts';
import { makeStamp, type Stamp } from '../../src/core/stamp.ts';
import { type Entry, identityCodec, type Store } from '../../src/core/store.ts';
import type { StoredRecord } from '../../src/core/value.ts';
import type { VerifyOptions } from '../../verify/full-scan.ts';

export const KEYS = new KeySpec(['user', 'id'], ['user']);

/** A stamp `secondsAgo` before the clock's present. */
export const stampAgo = (clock: Clock, secondsAgo: number, counter = 0): Stamp =>
  makeStamp(clock.now() - secondsAgo * 1_000, counter, 7);

/** A record's entry; its key fields are added to `fields`. */
export function entryOf(user: string, id: number | string, stamp: Stamp | null, fields: StoredRecord | null): Entry {
  const key = { user, id };
  return { id: KEYS.id(key), key, stamp, value: fields === null ? null : { ...key, ...fields } };
}

/** Two open, prepared and empty stores, and the data sets behind them, into which anything can be planted. */
export interface TwoStores {
  readonly old: Store;
  readonly new: Store;
  readonly data: { readonly old: MemoryDatabase; readonly new: MemoryDatabase };
}

export async function twoStores(clock: Clock, batchSize = 100): Promise<TwoStores> {
  const definitions = { old: memory({ capabilities: { batchSize } }), new: memory({ capabilities: { batchSize } }) };
  const create = async (side: 'old' | 'new'): Promise<Store> => {
    const store = await definitions[side].create({
      migration: 'events',
      side,
      keys: KEYS,
      codec: identityCodec,
      clock,
    });
    await store.open();
    await store.prepare();
    return store;
  };
  return {
    old: await create('old'),
    new: await create('new'),
    data: { old: definitions.old.database, new: definitions.new.database },
  };
}

/** A store with some of its methods replaced. */
export function withMethods(store: Store, methods: Partial<Store>): Store {
  return new Proxy(store, {
    get(target, name) {
      const own: unknown = Reflect.get(methods, name);
      if (own !== undefined) return own;
      const value: unknown = Reflect.get(target, name);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

/** Options that most tests share. */
export function optionsFor(clock: Clock, stores: { readonly old: Store; readonly new: Store }): VerifyOptions {
  return {
    old: stores.old,
    new: stores.new,
    migration: 'events',
    keys: KEYS,
    clock,
    authority: () => 'old',
    includes: () => true,
    rules: {},
    revision: 7,
    mappingHash: 'abc',
    ttlMs: 60_000,
    dirty: { ranges: 0, rejected: 0 },
    recheckMs: [10, 20],
  };
}
