import type { KeySpec } from '../../src/core/record-key.ts';
import type { Stamp } from '../../src/core/stamp.ts';
import type { Codec, Store } from '../../src/core/store.ts';
import type { StoredRecord } from '../../src/core/value.ts';
import type { UnusualKey, UnusualValue } from './unusual.ts';

/** How a test wants its data set. */
export interface OpenOptions {
  /** Stands between records and what the store holds; the identity by default. */
  readonly codec?: Codec | undefined;
}

/**
 * What an adapter brings to the conformance kit. Use one clock ({@link systemClock} for real databases) for all
 * stores of a harness.
 *
 * @example
 * describeStore('memory', async () => new MemoryHarness());
 */
export interface Harness {
  /** The fields of the key and the unit. At least one field of the key should be text outside the unit. */
  readonly keys: KeySpec;

  /**
   * Names of fields, not part of the key, that records may carry and may also lack: `number` holds integers below
   * 2^31, `text` holds ASCII text of up to 200 characters, `any` holds whatever the store can (null: no such field).
   */
  readonly fields: { readonly number: string; readonly text: string; readonly any: string | null };

  /**
   * A client, opened, on a fresh, empty and prepared data set, which is from now on the current one; the earlier one may
   * go.
   */
  open(options?: OpenOptions): Promise<Store>;

  /** Another client, opened, on the current data set, with the codec of the last `open`: as from another process. */
  second(): Promise<Store>;

  /**
   * A client, opened, on a fresh and empty data set that was never prepared (from now on the current one), or null
   * where stamped writing needs no preparation at all.
   */
  unprepared(): Promise<Store | null>;

  /**
   * A record that the store accepts, with the key number `n` (0 … 100 000); equal `n`, equal key. Give neighbouring
   * `n` the same unit where keys have more fields than units. `extra` are fields named by {@link Harness.fields}.
   */
  record(n: number, extra?: StoredRecord): StoredRecord;

  /** A record whose key contains `text` in a field outside the unit where there is one; null: no field of the key is text. */
  recordNamed: ((text: string, extra?: StoredRecord) => StoredRecord) | null;

  /** The unusual values that this store must hold in `fields.any`; what is not named may be refused, but not changed. */
  readonly holdsValues: 'all' | readonly UnusualValue[];
  /** The same for text in keys. */
  readonly holdsKeys: 'all' | readonly UnusualKey[];

  /** A record with key `n` that breaks a rule of the schema by itself (check, foreign key), or null. */
  readonly breaksConstraint: ((n: number) => StoredRecord) | null;
  /** A record with key `n` that takes what must be unique from `other`, made by `record`; null: nothing is unique. */
  readonly breaksUnique: ((n: number, other: StoredRecord) => StoredRecord) | null;
  /** A record with key `n` that the store cannot represent (too large, number out of range), or null. */
  readonly breaksLimit: ((n: number) => StoredRecord) | null;

  /**
   * A client on the current data set whose next `putManyIfNewer` fails for these ids, and for these only (throttled,
   * unprocessed, a lost connection), or null where that cannot be forced.
   */
  readonly failingFor: ((ids: readonly string[]) => Promise<Store>) | null;

  /**
   * The stamp with which a prepared store reads a record that was written plainly: null, unless a store knows that
   * records without one are copies of what never had one. @default null
   */
  readonly plainStamp?: Stamp | null | undefined;

  /** Every live record of the current data set as a native row or item, as a named query would return it. */
  readonly nativeRows?: ((store: Store) => Promise<readonly unknown[]>) | undefined;

  /** Releases everything, the stores that it handed out included. */
  close(): Promise<void>;
}

/** How thoroughly the kit works; the defaults suit a store on this machine. */
export interface KitOptions {
  /** Skips everything, and says why: the database is not to be had here. */
  readonly skip?: string | undefined;
  /** Multiplies the number of writers, rounds and entries. @default 1 */
  readonly scale?: number | undefined;
  /** Seeds everything random; printed with failures. @default 20260101 */
  readonly seed?: number | undefined;
}
