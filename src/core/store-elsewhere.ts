import { identityCodec, type StoreContext } from './store.ts';
import { isPlainObject } from './value.ts';

/**
 * How another thread of this process makes a store like one of this thread: plain data, to be sent to it. It may hold a
 * password, so it is never logged and never leaves the process.
 */
export interface StoreElsewhere {
  /** The adapter's module by its URL, and the function in it that makes a definition of options. */
  readonly module: string;
  readonly make: string;
  readonly options: unknown;
  readonly migration: string;
  readonly side: 'old' | 'new';
  readonly keyFields: readonly string[];
  readonly unitFields: readonly string[];
}

/** Whether a value arrives in another thread as what it is. */
function isSendable(value: unknown): boolean {
  if (typeof value === 'function' || typeof value === 'symbol') return false;
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return true;
  if (Array.isArray(value)) return value.every(isSendable);
  return isPlainObject(value) && Object.values(value).every(isSendable);
}

/** What another thread needs; undefined where functions belong to it (a codec, a client), which cannot be sent. */
export function elsewhere(
  module: string,
  make: string,
  options: unknown,
  { migration, side, keys, codec }: StoreContext,
): StoreElsewhere | undefined {
  if (codec !== identityCodec || !isSendable(options)) return undefined;
  return { module, make, options, migration, side, keyFields: keys.fields, unitFields: keys.unitFields };
}
