import type { Knex } from 'knex';
import type { Change, WatchOptions } from '../core/control-client.ts';
import type { Patience } from './patience.ts';
import type { Statement, StatementPlans } from './statement-plans.ts';

/**
 * Whether a control plane's schema is made, and upgraded, when it is opened. `fresh`: made where there is none, never
 * upgraded, as processes of the version before could then not start any more.
 */
export type Making = boolean | 'fresh';

/**
 * What a failed call means. `again`: nothing happened, a passing conflict. `unreachable`: the database is away, full
 * or broken. `unusable`: it is there and will not do. `other`: a mistake of ours.
 */
export type FailureKind = 'again' | 'unreachable' | 'unusable' | 'other';

/** What a statement came to. */
export interface Outcome {
  readonly rows: readonly Readonly<Record<string, unknown>>[];
  /** How many rows it changed; of a query nobody asks. */
  readonly met: number;
}

/** The connection of a transaction. */
export interface Session {
  /** Looks at the schema; runs on the same connection. */
  readonly knex: Knex;
  readonly plans: StatementPlans;
  run(statement: Statement): Promise<Outcome>;
}

/**
 * How a transaction goes. Of one that is `atOnce` the body asks everything in the turn in which it is called, so that
 * nothing in it waits for an answer: one round trip, and no lock is held for longer than the database works. It may run
 * again although it was applied.
 */
export interface TransactOptions {
  readonly mode: 'read' | 'write';
  readonly atOnce: boolean;
}

/** Everything in which one SQL database differs from another, for the control plane. */
export interface ControlDialect {
  /** For people; no secrets. */
  readonly label: string;
  /** The most rows that one INSERT should hold. */
  readonly insertBatch: number;
  /** Another text where another database stands now; null where there is surely none. Asks nothing of it. */
  place(): string | null;
  /**
   * Runs `body` in one serializable transaction, once. It waits for a lock itself; a conflict that only a new
   * transaction can end is thrown and classified as `again`. What `changed` says when the body is through is told to
   * whoever watches, if the transaction commits.
   */
  transact<T>(
    options: TransactOptions,
    patience: Patience,
    body: (session: Session) => Promise<T>,
    changed?: () => Change | null,
  ): Promise<T>;
  /** Runs `body` in one transaction that excludes every other preparation; the place is made if need be. */
  prepare(body: (knex: Knex) => Promise<void>): Promise<void>;
  /** As statements name it. */
  tableName(table: string): string;
  /** Texts as the database can hold them: none is lost, and their order stays. */
  encodeText(text: string): string;
  decodeText(text: string): string;
  /** Orders with null lowest. knex's own option for nulls replaces the column on SQLite (3.3.0) and is not used. */
  orderBy(query: Knex.QueryBuilder, column: string, direction: 'asc' | 'desc', nullable: boolean): void;
  /** A list as one value, of any length. */
  encodeList(values: readonly (string | number | boolean)[]): unknown;
  /** Whether a column is in such a list. */
  whereIn(query: Knex.QueryBuilder, column: string, list: Knex.Value): void;
  /** The larger of two values. */
  readonly larger: string;
  classify(error: unknown): FailureKind;
  /** Calls `changed` soon after any commit, those just before included. @returns what ends it, and what looks at once. */
  watch(changed: (change?: Change) => void, options: WatchOptions): ChangeWatch;
  /** Waits for what runs and releases everything. */
  close(): Promise<void>;
}

export interface ChangeWatch {
  /** Looks now: this process has just committed a change. */
  nudge(change: Change): void;
  stop(): void;
}

/** knex would write to the console; whatever it says is in the error that the caller gets. */
export const SILENT_LOG = Object.freeze({ warn() {}, error() {}, deprecate() {}, debug() {} });

/** The code of a driver's error, or the empty text. */
export function errorCode(error: unknown): string {
  if (typeof error !== 'object' || error === null || !('code' in error)) return '';
  return typeof error.code === 'string' ? error.code : '';
}

/** What to do about a failure of a full disk: SQLite's code, PostgreSQL's disk_full, the system's. */
export const roomFor = (code: string): { readonly remedy?: string } =>
  /^(SQLITE_FULL|53100|ENOSPC|EDQUOT)$/.test(code) ? { remedy: 'make room on its disk' } : {};
