import type { KeyRef, Partition, Store } from './store.ts';

/** What a server says of some of its records without handing them out. */
export interface RangeDigest {
  readonly records: number;
  readonly digest: string;
}

/** Two numbers of 64 bits that nobody outside knows: digests of different seeds cannot be compared. */
export type RangeSeed = readonly [bigint, bigint];

/**
 * Digests of records, tombstones left out, that a store's server makes by itself: what two stores hold equally need not
 * be read. Two ranges have equal digests only if their records are equal, but for one pair in 2^128; unequal ones say
 * nothing, as the server knows only how it writes a value, not what is equal.
 */
export interface Digests {
  /** All that digests depend on besides records and seed: those of two stores can be compared if this is the same. */
  readonly form: string;
  /**
   * The first `count` ranges of `size` records in a share of the store, and their digests. The last of a share reaches to
   * its end, and `rest` is then null; else it is what lies behind. A range is a share as {@link Store.partitions} gives
   * them.
   */
  cut(partition: Partition, size: number, count: number, seed: RangeSeed): Promise<CutRanges>;
  /** Digests of ranges that a store of this form has cut. One that holds more than `most` records says `most + 1`. */
  of(ranges: readonly Partition[], most: number, seed: RangeSeed): Promise<readonly RangeDigest[]>;
  /** The records of such ranges one by one; at most `most + 1` of each. */
  keys(ranges: readonly Partition[], most: number, seed: RangeSeed): Promise<readonly RangeKeys[]>;
}

export interface CutRanges {
  readonly ranges: readonly Partition[];
  /** In the order of `ranges`. */
  readonly digests: readonly RangeDigest[];
  readonly rest: Partition | null;
}

/** The records of a range in scan order. */
export interface RangeKeys {
  readonly records: number;
  /** A digest of each, all of one length, one behind the other. */
  readonly digests: string;
  /** The key of the record at a place. */
  key(place: number): KeyRef;
}
