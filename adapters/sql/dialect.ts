import type { Clock } from '../../src/core/clock.ts';
import type { RangeDigest, RangeKeys, RangeSeed } from '../../src/core/digests.ts';
import type { Side } from '../../src/core/stage.ts';
import type { Stamp } from '../../src/core/stamp.ts';
import type { CasOutcome, Expected, Inspection, PutFault, Rejection } from '../../src/core/store.ts';
import type { Bound, ColumnCodec, ValueForms } from './column-codec.ts';
import type { Layout } from './layout.ts';
import type { FieldType, ResolvedSqlOptions } from './options.ts';

/**
 * A database as this adapter sees it. All that differs between databases (their types, statements, locks, clocks and
 * error codes) is behind this; the shared code never asks which one it is. A new database is a new file with one.
 */
export interface Dialect {
  /** For labels: `sqlite`. */
  readonly name: string;
  /** See `Capabilities`. */
  readonly lateBoundMs: number;
  readonly clockErrorMs: number;
  readonly batchSize: number;
  readonly scans?: number;
  /** Loads the driver; connects to nothing. @throws InvalidConfiguration for a connection that makes no sense. */
  load(options: ResolvedSqlOptions, clock: Clock): Promise<Session>;
}

/** One connection pool and its clock. */
export interface Session {
  /** The Knex of named queries. */
  readonly native: unknown;
  /** Connects and measures the clock; idempotent. @throws NotPrepared where the database itself is missing. */
  open(): Promise<void>;
  close(): Promise<void>;
  /** See `Store.now`. */
  now(): number;
  /** The table as the database knows it, or undefined. */
  describe(table: string): Promise<TableDescription | undefined>;
  /** The type that a column's declaration stands for; null when it stands for none. */
  fieldType(column: ColumnDescription): FieldType | null;
  /** How a column holds a type; a phrase saying why not when it cannot hold it exactly. */
  codec(type: FieldType, column: ColumnDescription, forms: ValueForms): ColumnCodec | string;
  /** Reads and writes one table. */
  table(layout: Layout): TableAccess;
  /**
   * Looks at the server, and at the table if it is there and its records could be held (`layout`), for what may get in
   * the way of mirrored writes. Changes nothing.
   */
  inspect(layout: Layout | null): Promise<Inspection>;
  /** See `Store.replicaLag`. */
  replicaLag?(): Promise<number | null>;
}

/** A column as the database declares it. */
export interface ColumnDescription {
  readonly name: string;
  /** The declaration, for copying into the stamp table. */
  readonly declared: string;
  readonly nullable: boolean;
  /** The database gives a value of its own in place of NULL (SQLite's rowid). */
  readonly filledIn: boolean;
  /** Computed by the database: cannot be written. */
  readonly generated: boolean;
}

/** A table as the database declares it. */
export interface TableDescription {
  readonly columns: readonly ColumnDescription[];
  /** The sets of columns that are unique, whatever the rows. */
  readonly unique: readonly (readonly string[])[];
  /** Text columns whose own collation is known to be the order of bytes. */
  readonly binary: ReadonlySet<string>;
}

/** What is stored under a key. */
export interface Held {
  readonly stamp: Stamp | null;
  /** The record's columns in the order of {@link Layout.names}; null where there is no record. */
  readonly row: readonly unknown[] | null;
}

/** What a scan or list meets: {@link Held} with the values of the key columns. */
export interface HeldAt extends Held {
  readonly key: readonly unknown[];
}

/** One guarded write, ready to be bound. */
export interface Write {
  readonly key: readonly Bound[];
  /** The new columns in the order of {@link Layout.names}; null deletes. */
  readonly row: readonly Bound[] | null;
  /** Null writes plainly. */
  readonly stamp: Stamp | null;
  readonly deadline: number;
  /** What must be stored; null is put-if-newer, or for a plain write no condition at all. */
  readonly expected: Expected | null;
  /** Why it is refused if it would be applied: then all there is to do is to look and judge. */
  readonly rejection: Rejection | null;
  /** Whether {@link Write.judge} looks at the stored columns, or only at whether there are any. */
  readonly looksAtRow: boolean;
  /**
   * Decides under the key's lock: null to write, or what to answer instead. Pure; may be asked again. Databases that can
   * say the same of `stamp` and `expected` in a statement need not ask.
   */
  judge(held: Held | undefined): CasOutcome | null;
}

/** The half-open share of the key space `after < key <= upTo`; null is without end. */
export interface KeyRange {
  readonly after: readonly Bound[] | null;
  readonly upTo: readonly Bound[] | null;
}

/** What a server can say of its records without handing them out; see `Digests`. */
export interface RangeAccess {
  readonly form: string;
  /**
   * The first `count` ranges of `size` records of a range, in scan order, and the cells of their last keys. Only the last
   * may have fewer, or none: it reaches to the end.
   */
  cut(
    range: KeyRange,
    size: number,
    count: number,
    seed: RangeSeed,
  ): Promise<readonly (RangeDigest & { key(): readonly unknown[] })[]>;
  /** In the order of `ranges`. */
  of(ranges: readonly KeyRange[], most: number, seed: RangeSeed): Promise<readonly RangeDigest[]>;
  /** Of each range the first `most + 1` records, with the cells of their keys; see `RangeKeys`. */
  keys(
    ranges: readonly KeyRange[],
    most: number,
    seed: RangeSeed,
  ): Promise<readonly (Omit<RangeKeys, 'key'> & { key(place: number): readonly unknown[] })[]>;
}

/** Two tables that one connection reads; see `StorePair`. Everything may throw StoreFault. */
export interface TablePair {
  /**
   * Compares the first records of a range; `end` is the last key that was looked at, null where that is the range's end.
   * Absent where the same cells are not always the same values.
   */
  records?(range: KeyRange): Promise<{
    readonly equal: number;
    /** The keys of the others; null where these are too many. */
    readonly differing: readonly (readonly unknown[])[] | null;
    readonly end: readonly unknown[] | null;
  }>;
  /** The next records and tombstones of a range, if the other table has stamps of all of them that are no older; see `StorePair`. */
  stamped(
    range: KeyRange,
    most: number,
  ): Promise<{ readonly entries: number; readonly end: readonly unknown[] } | 'lacking' | 'end'>;
  close(): Promise<void>;
}

/** One table and its stamp table. Everything may throw StoreFault. */
export interface TableAccess {
  /** Absent where the server cannot make digests. */
  readonly ranges?: RangeAccess | undefined;
  /** Makes the stamp table, for this side of a migration, and says how. */
  prepare(dryRun: boolean, side: Side): Promise<readonly string[]>;
  prepared(): Promise<boolean>;
  /** The current versions, each record and its stamp of one moment. */
  read(keys: readonly (readonly Bound[])[], stampsOnly: boolean): Promise<(Held | undefined)[]>;
  /** The stamps alone, null where there is none. Absent where `read` is as cheap. */
  stamps?(keys: readonly (readonly Bound[])[]): Promise<(Stamp | null)[]>;
  /**
   * Judges and writes each, in this order and each by itself: under a lock of the key, the deadline looked at by the
   * database's clock while it is held, stamp and record together or not at all. @throws NotPrepared
   */
  write(writes: readonly Write[]): Promise<(CasOutcome | PutFault)[]>;
  /** The first `limit` records and tombstones of a range in key order; `recordsOnly` may leave tombstones out. */
  page(range: KeyRange, limit: number, stampsOnly: boolean, recordsOnly: boolean): Promise<HeldAt[]>;
  /** The first `limit` records whose `unit` columns have these values, after a key, in key order. */
  list(unit: readonly Bound[], after: readonly Bound[] | null, limit: number): Promise<HeldAt[]>;
  /** At most `count` keys in order, which divide the records into about equal shares. */
  divide(count: number): Promise<(readonly unknown[])[]>;
  estimate(): Promise<number | null>;
  /** Reads another table together with this one; null where it cannot. Absent where it never can. */
  pair?(other: TableAccess): Promise<TablePair | null>;
  /** Deletes up to `limit` records; how many it were. */
  deleteRecords(limit: number): Promise<number>;
  /** Deletes up to `limit` stamps; how many it were. */
  deleteStamps(limit: number): Promise<number>;
  /** Drops the stamp table if it is there and empty. */
  dropStampTable(): Promise<void>;
}
