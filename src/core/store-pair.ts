import type { KeyRef, Partition } from './store.ts';

/** The first records of a share, as two stores hold them. */
export interface PairedRecords {
  /** How many both hold alike, by any rules. */
  readonly equal: number;
  /** The others that either holds; null where these are so many that reading them all is cheaper. */
  readonly differing: readonly KeyRef[] | null;
  /** What was looked at. */
  readonly share: Partition;
  /** What lies behind it; null at the end. */
  readonly rest: Partition | null;
}

/** Entries that follow each other in a scan. */
export interface EntryRun {
  readonly entries: number;
  /** Resumes a scan of the first store behind them. */
  readonly cursor: string;
}

/**
 * Two stores that one database reads together, so that it can say itself what is alike. Each answer is of a moment of each
 * store, and of so many records that it does not take long. Everything may throw StoreFault.
 */
export interface StorePair {
  /** Compares the first records of a share of the first store; absent where equal bytes are not always equal values. */
  records?(share: Partition): Promise<PairedRecords>;
  /**
   * The next entries of a share, `most` records at most, if the second store has the stamps of all of them, or newer ones.
   * `end`: no more are known of.
   */
  stamped(share: Partition, cursor: string | null, most: number): Promise<EntryRun | 'lacking' | 'end'>;
  close(): Promise<void>;
}
