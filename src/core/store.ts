import type { Clock } from './clock.ts';
import type { Digests } from './digests.ts';
import { InvalidRecord } from './errors.ts';
import type { KeySpec } from './record-key.ts';
import type { Stamp } from './stamp.ts';
import type { StorePair } from './store-pair.ts';
import type { Logger } from './telemetry.ts';
import type { Key, StoredRecord } from './value.ts';

/**
 * One version of one record.
 *
 * `stamp` is null for what was written plainly (before stamping, or by others): it is older than every stamp.
 * `value` is null for a tombstone, and then `stamp` is not. Entries are immutable: an adapter that hands `value` to
 * code of others (a codec) hands a copy.
 */
export interface Entry {
  /** {@link KeySpec.id} of `key`. */
  readonly id: string;
  readonly key: Key;
  readonly stamp: Stamp | null;
  /** The whole record, its key fields included. */
  readonly value: StoredRecord | null;
  /**
   * Why the value cannot be read exactly: `value` is then what can, with an `Unreadable` for what cannot. No caller is given
   * it, no replay puts it, and a verification tells it from every other.
   */
  readonly unreadable?: InvalidRecord;
}

/** An entry for a caller. @throws InvalidRecord where it cannot be read exactly */
export function readable<E extends Entry | undefined>(entry: E): E {
  if (entry?.unreadable !== undefined) throw entry.unreadable;
  return entry;
}

/** A stored record as the application has it; as it is stored where its codec says that it cannot tell. */
export function decoded(codec: Codec, record: StoredRecord): Pick<Entry, 'value' | 'unreadable'> {
  try {
    return { value: codec.decode(record) };
  } catch (error) {
    if (error instanceof InvalidRecord) return { value: record, unreadable: error };
    throw error;
  }
}

/** Why a store will not hold an entry. */
export interface Rejection {
  readonly kind: 'rejected';
  /** `constraint`: a rule of the schema (unique, check, foreign key). `limit`: the store cannot represent it. */
  readonly reason: 'constraint' | 'limit';
  /** For people; names fields and limits, never values. */
  readonly message: string;
}

/**
 * Whether a refused entry leaves nothing undone: the tombstone of a key that the store cannot hold, under which there
 * is no record and never will be one.
 */
export const isMoot = (store: Pick<Store, 'check'>, entry: Entry): boolean =>
  entry.value === null && store.check(entry) !== null;

/** What became of a put. Anything else (no answer, refused connection) is a thrown `StoreFault`. */
export type PutOutcome =
  /**
   * Applied, or it had been: the stored stamp is this one. `previous` says what it replaced; `same` that a copy of
   * this very put was there already.
   */
  | { readonly kind: 'applied'; readonly previous: 'absent' | 'record' | 'same' }
  /** An equal or newer version is stored; `stamp` is its stamp. Nothing changed. */
  | { readonly kind: 'superseded'; readonly stamp: Stamp }
  | Rejection
  /** It reached the store after its deadline. Nothing changed. */
  | { readonly kind: 'expired' };

/** What a compare-and-set expects to find. */
export type Expected =
  /** No record: nothing, or a tombstone. */
  | { readonly kind: 'absent' }
  /**
   * Exactly this version. With `value`, the stored record must also equal it (R16: plain writers leave no stamp).
   * `stamp: null` is a plain record.
   */
  | { readonly kind: 'version'; readonly stamp: Stamp | null; readonly value?: StoredRecord | null };

export type CasOutcome =
  | PutOutcome
  /** The stored version is another one (`superseded` says: expectation met, but the stored tombstone is newer). */
  | { readonly kind: 'conflict' };

/** A share of a store's records that is scanned by itself; plain JSON. */
export interface Partition {
  readonly id: string;
  readonly [detail: string]: string | number | boolean | null;
}

export interface ScanOptions {
  /** Where an earlier scan of the same partition stood; undefined begins. */
  readonly cursor?: string | undefined;
  readonly pageSize: number;
  readonly signal?: AbortSignal | undefined;
  /** Only stamps and keys are needed: values may be anything. */
  readonly stampsOnly?: boolean;
  /** Tombstones are not needed: they may be left out. */
  readonly recordsOnly?: boolean;
}

export interface ScanPage {
  /** Records and tombstones, each key once a scan. */
  readonly entries: readonly Entry[];
  /** Resumes after this page. */
  readonly cursor: string;
}

/** What a store can do. Ask for these, never for its name. */
export interface Capabilities {
  /**
   * How long after its deadline (in the store's time) a put might still be applied, in ms: 0 where the store checks
   * the deadline itself, an assumption where it cannot.
   */
  readonly lateBoundMs: number;
  /** How far `now()` may be off the store's own clock, in ms. */
  readonly clockErrorMs: number;
  /** `list` works: the records of a unit can be paged in key order. */
  readonly list: boolean;
  /** The most entries that one batch call handles well. */
  readonly batchSize: number;
  /** So many scans at once are as fast as any more; absent where nobody knows. */
  readonly scans?: number;
}

/** What `prepare` did, or would do. */
export interface PrepareReport {
  /** One line a statement or request, in order; empty when all is in place. */
  readonly actions: readonly string[];
}

/** Something that a preflight found at a store. */
export interface Finding {
  /** Stable and unique at the store: `unique:events_email_key`, `trigger:audit`; what an operator accepts by name. */
  readonly name: string;
  readonly kind:
    | 'version'
    | 'topology'
    | 'permission'
    | 'missing'
    | 'stamps'
    | 'unique'
    | 'foreign-key'
    | 'check'
    | 'trigger'
    | 'cascade'
    | 'ttl'
    | 'index'
    | 'capacity'
    | 'clock';
  /**
   * `info`: good to know. `risk`: as a follower, the store may refuse or change an entry because of it, so dual-write
   * waits until it is dropped, deferred or accepted by name. `problem`: it cannot work; no acceptance helps.
   */
  readonly level: 'info' | 'risk' | 'problem';
  /** For people: what it is and what it can do; no values, no secrets. */
  readonly message: string;
  /** What to do about it: a command or statement that can be pasted, where there is one; '' for `info`. */
  readonly remedy: string;
}

/** What a preflight found out about one store. */
export interface Inspection {
  /** The server as it names itself: `PostgreSQL 18.4`. */
  readonly server: string;
  /** Empty: nothing to say. */
  readonly findings: readonly Finding[];
}

/** What a store would give back for an entry that it was given. */
export type RoundTrip =
  /** As `get` would read it. Equal to what went in, unless the codec or the store makes something else of it. */
  { readonly kind: 'held'; readonly value: StoredRecord } | Rejection;

/** One page of a `list` or a named query. */
export interface NativePage {
  readonly entries: readonly Entry[];
  /** The store's own place to go on from, or null at the end. */
  readonly cursor: string | null;
}

/**
 * One side of a migration: a database seen as versioned entries. Everything that changeover does to a database goes
 * through here; the conformance kit holds every implementation to the words below.
 *
 * Deadlines are in the store's own time ({@link Store.now}), in ms since 1970. All calls may throw `StoreFault`.
 * Concurrent calls are allowed.
 */
export interface Store {
  /** For people: `sqlite events`, `dynamodb events`. No secrets. */
  readonly label: string;
  readonly capabilities: Capabilities;
  /** The native handle that named queries get (a Knex, a client). */
  readonly native: unknown;

  /** What the server itself can say of its records, once the store is open; absent where it cannot. */
  readonly digests?: Digests | undefined;

  /** Reads another open store together with this one, to be closed; null where its database cannot. */
  pair?(other: Store): Promise<StorePair | null>;

  /**
   * How often the store has asked for less load (throttling, requests left unprocessed), also where sending again then
   * succeeded; it only grows. Absent where a store never says so.
   */
  readonly pressure?: number;

  /**
   * How far the slowest of the replicas that others read is behind, ms: asked every few seconds while a replay writes,
   * the answer rests on what earlier answers saw. Null where there is none, or where the user may not know. Absent
   * where the database has no replicas, or does not tell.
   */
  replicaLag?(): Promise<number | null>;

  /** Not connected: its clock is not measured, and nothing can be written. Absent where a store is at hand only once it is open. */
  readonly away?: boolean;

  /** Connects and measures the clock. Idempotent. @throws NotPrepared when the records' own place is missing. */
  open(): Promise<void>;
  /** Releases everything; idempotent. */
  close(): Promise<void>;

  /** An estimate of the store's clock, synchronous, within `capabilities.clockErrorMs`. */
  now(): number;

  /** Creates what stamped writing needs (side tables, never columns in a user's table). Idempotent. */
  prepare(options?: { readonly dryRun?: boolean }): Promise<PrepareReport>;

  /** Whether stamped writing would work now. */
  prepared(): Promise<boolean>;

  /** Looks at the server and at everything that may get in the way of mirrored writes; changes nothing. */
  inspect(): Promise<Inspection>;

  /** Why this entry would be rejected whatever is stored (size, number range, empty key), or null. No I/O. */
  check(entry: Entry): Rejection | null;

  /**
   * What this store would give back for a live entry: its codec and layout there and back, without I/O; the very record
   * where it is known to be. A rejection is that of {@link Store.check}. May throw what the codec throws.
   */
  roundTrip(entry: Entry): RoundTrip;

  /** The current entry, tombstones included, as strong as the store can; undefined when there never was one. */
  get(id: string, key: Key): Promise<Entry | undefined>;

  /** The same for many, in their order. `stampsOnly`: values may be anything but null where there is a record. */
  getMany(keys: readonly KeyRef[], options?: { readonly stampsOnly?: boolean }): Promise<(Entry | undefined)[]>;

  /**
   * The stored stamps of many keys, in their order; null where there is none, with or without a record. Absent where
   * that costs as much as `getMany`.
   */
  stamps?(keys: readonly KeyRef[]): Promise<readonly (Stamp | null)[]>;

  /**
   * The one write primitive: applied only if the stored stamp is lower and the deadline has not passed by the store's
   * own clock, both decided in one atomic command. `entry.stamp` is never null. Deletes (value null) leave a
   * tombstone.
   */
  putIfNewer(entry: Entry, deadline: number): Promise<PutOutcome>;

  /**
   * `putIfNewer` for each entry, unordered and never atomic together; outcomes in the order of `entries`. Where a key
   * occurs more than once, the highest stamp wins and the others are superseded. A fault of a part is that part's
   * outcome, never the batch's.
   */
  putManyIfNewer(entries: readonly Entry[], deadline: number): Promise<(PutOutcome | PutFault)[]>;

  /**
   * Puts entries, tombstones included, each with its own stamp, **whatever is there**: only for a preload (R20), whose
   * caller knows that nothing newer is there and that nobody else writes. Unordered and never atomic together; outcomes
   * as those of `putManyIfNewer`, in the order of `entries`; where a key occurs more than once, the highest stamp wins.
   * A store may look all the same, and then says superseded. Absent where looking costs a store next to nothing: then
   * `putManyIfNewer` is what a preload uses.
   */
  load?(entries: readonly Entry[], deadline: number): Promise<LoadAnswer>;

  /** Writes `entry` if what is stored is `expected` and (for stamped entries) its stamp is lower. Atomic. */
  compareAndSet(entry: Entry, expected: Expected, deadline: number): Promise<CasOutcome>;

  /**
   * A plain write (`entry.stamp` is null) while stamping is off: replaces or physically deletes. Never re-sent.
   * Must work on a store that was never prepared.
   */
  putPlain(entry: Entry, deadline: number): Promise<PutOutcome>;

  /** Splits the store into about `count` shares, which together hold every entry (stamped tombstones included). */
  partitions(count: number): Promise<readonly Partition[]>;

  /** A fuzzy scan: an entry that is there from beginning to end is seen once; one changed meanwhile may be either. */
  scan(partition: Partition, options: ScanOptions): AsyncIterable<ScanPage>;

  /** Live records of one unit in key order (`compareKeys`), after the key `after`. Only if `capabilities.list`. */
  list(unit: Key, after: Key | null, limit: number): Promise<readonly Entry[]>;

  /** Reads a native row or item as an entry, for named queries. Stamps may be null. */
  decode(row: unknown): Entry;

  /** An estimate of the number of records, for progress bars; null when it would cost a scan. */
  estimate(): Promise<number | null>;

  /** Deletes every record, stamp and tombstone, in bounded steps. */
  wipe(options: StepOptions): Promise<void>;

  /** Removes stamps and tombstones, leaving plain records, in bounded steps; may be repeated. */
  finish(options: StepOptions): Promise<void>;
}

export interface KeyRef {
  readonly id: string;
  readonly key: Key;
}

export interface StepOptions {
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((done: number) => void) | undefined;
}

/** What became of a {@link Store.load}. */
export interface LoadAnswer {
  readonly outcomes: readonly (PutOutcome | PutFault)[];
  /**
   * A copy of a part may still arrive, and then replaces whatever is there: until {@link settledAt} of the deadline. Never
   * so where the store looks before it puts; else for every `unknown`, and where a copy without an answer was sent again.
   */
  readonly loose: boolean;
}

/** A part of a batch that failed: `unknown` may have been applied. */
export interface PutFault {
  readonly kind: 'fault';
  readonly outcome: 'nothing-written' | 'unknown';
  readonly message: string;
  /** The store asked for less load. */
  readonly pressure: boolean;
}

/** Turns records into what one store holds and back. Pure and synchronous; the default is the identity. */
export interface Codec {
  /** The record as this store shall hold it. May throw `InvalidRecord`. */
  encode(record: StoredRecord): StoredRecord;
  /** The record as the application has it. May throw `InvalidRecord`: who reads it is told, and a replay rejects it. */
  decode(stored: StoredRecord): StoredRecord;
  /**
   * Names what the codec does: change it when that changes. Replays and verdicts are bound to it. Without it they are
   * bound to the text of the two functions, which differs between a build and its source.
   */
  readonly version?: string;
}

/** What a store is told about the migration it serves. */
export interface StoreContext {
  readonly migration: string;
  readonly side: 'old' | 'new';
  readonly keys: KeySpec;
  readonly codec: Codec;
  readonly clock: Clock;
  /** For what no call tells: that a store goes on in a slower way, say. @default none */
  readonly logger?: Logger;
}

/**
 * A store as a configuration names it: `sql({...})`, `dynamodb({...})`. Describing a store connects to nothing and
 * loads no driver.
 */
export interface StoreDefinition {
  /** The adapter, for `init` and messages. */
  readonly adapter: string;
  /** What decides how records are held, without secrets; goes into the mapping's hash that binds verdicts. */
  readonly mapping: Readonly<Record<string, unknown>>;
  /**
   * Where the data set is, as far as the configuration tells, without secrets: a migration from a place to itself is
   * refused. Compared part by part with `===`.
   */
  readonly place?: readonly unknown[];
  /**
   * Whose data set of that place it is, where a place has several; two of them may be one's all the same, as an account
   * has several access keys. @default nobody's in particular
   */
  readonly account?: unknown;
  /** Loads the driver and makes the store; does not connect. @throws InvalidConfiguration */
  create(context: StoreContext): Promise<Store>;
}

export const identityCodec: Codec = Object.freeze({
  encode: (record: StoredRecord) => record,
  decode: (stored: StoredRecord) => stored,
});

/** The store time after which no put with this deadline can still be applied. */
export function settledAt(store: Store, deadline: number): number {
  return deadline + store.capabilities.lateBoundMs + store.capabilities.clockErrorMs;
}
