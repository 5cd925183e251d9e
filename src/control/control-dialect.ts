import type { Knex } from 'knex';
import type { Change } from '../core/control-client.ts';
import type { Patience } from './patience.ts';

/**
 * What a failed call means. `again`: nothing happened, a passing conflict. `unreachable`: the database is away, full
 * or broken. `unusable`: it is there and will not do. `other`: a mistake of ours.
 */
export type FailureKind = 'again' | 'unreachable' | 'unusable' | 'other';

/** Everything in which one SQL database differs from another, for the control plane. */
export interface ControlDialect {
  /** For people; no secrets. */
  readonly label: string;
  /** The most rows that one INSERT should hold. */
  readonly insertBatch: number;
  /** False when there is surely no database yet; asks nothing of it. */
  exists(): boolean;
  /**
   * Runs `body` in one serializable transaction, once. It waits for a lock itself; a conflict that only a new
   * transaction can end is thrown and classified as `again`. What `changed` says when the body is through is told to
   * whoever watches, if the transaction commits.
   */
  transact<T>(
    mode: 'read' | 'write',
    patience: Patience,
    body: (knex: Knex) => Promise<T>,
    changed?: () => Change | null,
  ): Promise<T>;
  /** Runs `body` in one transaction that excludes every other preparation; the place is made if need be. */
  prepare(body: (knex: Knex) => Promise<void>): Promise<void>;
  /** Texts as the database can hold them: none is lost, and their order stays. */
  encodeText(text: string): string;
  decodeText(text: string): string;
  /** Orders with null lowest. knex's own option for nulls replaces the column on SQLite (3.3.0) and is not used. */
  orderBy(query: Knex.QueryBuilder, column: string, direction: 'asc' | 'desc', nullable: boolean): void;
  /** A condition that stays cheap and legal for lists of any length. */
  whereIn(query: Knex.QueryBuilder, column: string, values: readonly (string | number | boolean)[]): void;
  classify(error: unknown): FailureKind;
  /** Calls `changed` soon after any commit, those just before included. @returns what ends it, and what looks at once. */
  watch(changed: (change?: Change) => void): ChangeWatch;
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
