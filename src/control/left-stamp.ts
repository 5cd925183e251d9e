import { STAMP_MIN } from '../core/stamp.ts';
import type { Store } from '../core/store.ts';

/** A store is looked into at so many places, and at so many entries in each. */
const LOOKED_AT = { places: 16, entries: 64 } as const;

/** Some stamp that somebody left in a store; what was never stamped has none, or the least. */
export async function leftStamp(store: Store, signal: AbortSignal | undefined): Promise<boolean> {
  // Without what stamps need there is none, and nothing to look into.
  if (!(await store.prepared())) return false;
  for (const partition of await store.partitions(LOOKED_AT.places)) {
    for await (const { entries } of store.scan(partition, { pageSize: LOOKED_AT.entries, stampsOnly: true, signal })) {
      if (entries.some(({ stamp }) => stamp !== null && stamp !== STAMP_MIN)) return true;
      break;
    }
  }
  return false;
}
