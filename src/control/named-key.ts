import type { KeySpec } from '../core/record-key.ts';
import type { KeyRef, Store } from '../core/store.ts';
import type { Key } from '../core/value.ts';

/**
 * Whether a store can be asked for a key. A scan may have met a record where one names none (a key field that is missing,
 * null, a list, a Timestamp): that the store does not find it says nothing.
 */
export function isNamed(keys: KeySpec, store: Store, ref: KeyRef): boolean {
  return store.check({ ...ref, stamp: null, value: null }) === null || isKey(keys, ref.key);
}

function isKey(keys: KeySpec, key: Key): boolean {
  try {
    keys.keyOf(key);
    return true;
  } catch {
    return false;
  }
}

const PAGE = 1_000;

/** The ids of all records that have no key to ask for: whether one is there still, only a scan of everything says. */
export async function unnamedIn(store: Store, keys: KeySpec, signal?: AbortSignal): Promise<ReadonlySet<string>> {
  const found = new Set<string>();
  for (const partition of await store.partitions(1)) {
    for await (const { entries } of store.scan(partition, {
      pageSize: PAGE,
      stampsOnly: true,
      recordsOnly: true,
      signal,
    })) {
      for (const { id, key, value } of entries) if (value !== null && !isKey(keys, key)) found.add(id);
    }
  }
  return found;
}
