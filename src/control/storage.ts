import type { Change, DirtReport, NodeHealth, NodeInfo, WatchOptions } from '../core/control-client.ts';
import type { GateVerdict } from '../core/errors.ts';
import type { Intervals } from '../core/intervals.ts';
import type { KeyJson } from '../core/key-json.ts';
import type { RulesetDocument } from '../core/ruleset.ts';
import type { Side } from '../core/stage.ts';
import type { Stamp } from '../core/stamp.ts';
import type { Traffic } from '../core/traffic.ts';
import type { RampRow } from './ramp-row.ts';
import type { ReplayPartitionRow, ReplayRow } from './replay-row.ts';
import type { SampleReading, SampleTotals } from './sample.ts';

/** The rows that the control plane is made of. Every field is plain JSON; times are ms since 1970. */
export interface Tables {
  migrations: MigrationRow;
  history: HistoryRow;
  nodes: NodeRow;
  acknowledgements: AcknowledgementRow;
  dirt: DirtRow;
  divergences: DivergenceRow;
  replays: ReplayRow;
  replay_partitions: ReplayPartitionRow;
  verifications: VerificationRow;
  verification_reports: VerificationReportRow;
  censuses: CensusRow;
  acceptances: AcceptanceRow;
  tokens: TokenRow;
  traffic: TrafficRow;
  ramps: RampRow;
  notices: NoticeRow;
  proofs: ProofRow;
  samples: SampleRow;
  sampler: SamplerRow;
  jobs: JobRow;
}

export interface MigrationRow {
  /** Primary key. */
  name: string;
  revision: number;
  document: RulesetDocument;
  /** For each store, the positions in which it is known to be complete. */
  coverageOld: Intervals;
  coverageNew: Intervals;
  /** The latest revision that turned a mirror on anywhere, in either direction (R11). */
  mirrorOnRevision: number;
  /** Comparisons since `shadowSince`, when a dial moved or a repair mended something last. */
  shadowCompared: number;
  shadowDivergent: number;
  shadowSince: number;
  createdAt: number;
}

export interface HistoryRow {
  /** Given by the storage, ascending. */
  id: number;
  migration: string;
  /** The revision that it made, or null where it made none (a refusal, a replay's end). */
  revision: number | null;
  at: number;
  actor: string;
  reason: string;
  kind: string;
  /** One line for people. */
  summary: string;
  before: RulesetDocument | null;
  after: RulesetDocument | null;
  gates: GateVerdict[];
  /** Of a change of cohorts: the positions that units left and took. Null elsewhere, and in rows of older versions. */
  cohortMoves: (readonly [from: number, to: number])[] | null;
}

export interface NodeRow {
  /** The incarnation; primary key. */
  id: number;
  state: 'alive' | 'left' | 'dead';
  info: NodeInfo;
  session: string;
  attempt: number;
  joinedAt: number;
  seenAt: number;
  deadlineLimit: number;
  stampLimit: Stamp;
  /** It has issued no greater stamp before what it has acknowledged (R17). */
  highWater: Stamp;
  health: NodeHealth | null;
}

export interface AcknowledgementRow {
  /** Given by the storage. */
  id: number;
  node: number;
  migration: string;
  joinedRevision: number;
  revision: number;
}

export interface DirtRow {
  /** Given by the storage, ascending, never reused. */
  id: number;
  migration: string;
  target: Side;
  kind: DirtReport['kind'];
  /** Positions from … to (exclusive). */
  fromPosition: number;
  toPosition: number;
  /** The record key's text, or null for the whole range. */
  keyId: string | null;
  key: KeyJson | null;
  cause: string;
  at: number;
  revision: number;
  notBefore: number | null;
}

export interface DivergenceRow {
  /** Given by the storage. */
  id: number;
  migration: string;
  keyId: string;
  key: KeyJson;
  position: number;
  kind: 'missing' | 'extra' | 'different' | 'stale';
  cause: string | null;
  fields: { path: string; old: unknown; new: unknown }[];
  firstSeen: number;
  lastSeen: number;
  seen: number;
}

export interface VerificationRow {
  /** Given by the storage. */
  id: number;
  migration: string;
  verdict: 'consistent' | 'divergent' | 'inconclusive';
  positions: Intervals;
  revision: number;
  mapping: string;
  startedAt: number;
  finishedAt: number;
  expiresAt: number;
  report: unknown;
}

/** What people see of a verification; only the newest are kept. */
export interface VerificationReportRow {
  /** Given by the storage. */
  id: number;
  migration: string;
  verification: number;
  /** A report of `verify/reports`, values masked. */
  document: unknown;
}

/** What a round-trip census found. */
export interface CensusRow {
  /** Given by the storage, ascending. */
  id: number;
  migration: string;
  /** It says nothing about another mapping. */
  mapping: string;
  /** How many records were looked at. */
  sampled: number;
  /** They were all that there were. */
  exhaustive: boolean;
  /** What is lost, changed or refused: one text a place and kind, without values. */
  losses: string[];
  /** The places that lose something, for people. */
  report: unknown;
  startedAt: number;
  finishedAt: number;
}

/** What an operator takes the responsibility for, by name. */
export interface AcceptanceRow {
  /** Given by the storage. */
  id: number;
  migration: string;
  /** The store that it is about; `new` for a census. */
  side: Side;
  /** A finding's name, or `census`. */
  name: string;
  /** Of a census: the mapping that it was taken of; null otherwise. */
  mapping: string | null;
  /** Of a census: the losses that were accepted; others are not. */
  covers: string[];
  at: number;
  actor: string;
  reason: string;
}

/** What lets somebody in at the server. The secret itself is nowhere: only its SHA-256. */
export interface TokenRow {
  /** Given by the storage; part of the token's text. */
  id: number;
  /** Whose it is; the actor in the history. */
  name: string;
  kind: 'token' | 'session';
  /** Of a session: the token that signed in. It ends with that one. */
  parent: number | null;
  /** SHA-256 of the secret, hex. */
  hash: string;
  role: Role;
  /** Only these migrations; null is all. */
  migrations: string[] | null;
  createdAt: number;
  createdBy: string;
  expiresAt: number | null;
  revokedAt: number | null;
  usedAt: number | null;
  usedFrom: string | null;
}

/** How far a webhook has been told what happens to a migration. */
export interface ProofRow {
  /** Given by the storage. */
  id: number;
  migration: string;
  /** The verification, and the process that it runs in. */
  runner: string;
  process: NodeInfo;
  actor: string;
  since: number;
  leaseUntil: number;
}

export interface NoticeRow {
  /** Given by the storage. */
  id: number;
  /** Digest of its address. */
  hook: string;
  migration: string;
  /** Of the history. */
  upTo: number;
  /** How many there were when it was told last. */
  divergences: number;
  /** Replays of which it was told that nobody works at them. */
  stuck: number[];
  runner: string | null;
  leaseUntil: number;
}

/** All calls of the stores that a process has counted since it joined. */
export interface TrafficRow {
  /** Given by the storage. */
  id: number;
  /** Its incarnation; 0 for all who are gone, added up. */
  node: number;
  /** The sum of all counts: a report that was overtaken is one with a lower sum. */
  calls: number;
  migrations: Record<string, Traffic>;
}

/** What the fleet did with one migration in a slot of time. */
export interface SampleRow {
  /** Given by the storage. */
  id: number;
  migration: string;
  /** The length of the slot, ms. */
  step: number;
  /** Its end, a multiple of its length. */
  slot: number;
  reading: SampleReading;
}

/** Where the samples of one step stand: the totals that the next one is the difference to. */
export interface SamplerRow {
  /** Given by the storage. */
  id: number;
  step: number;
  slot: number;
  at: number;
  totals: Record<string, SampleTotals>;
}

/** Something that takes longer than a request to the server that began it. */
export interface JobRow {
  /** Primary key; random. */
  id: string;
  kind: string;
  migration: string;
  actor: string;
  reason: string;
  state: 'running' | 'done' | 'failed' | 'cancelled' | 'interrupted';
  startedAt: number;
  finishedAt: number | null;
  progress: unknown;
  result: unknown;
  error: unknown;
  /** What makes the same job again, or null. */
  again: { action: string; body: unknown } | null;
  /** The job that it goes on with. */
  resumes: string | null;
  /** Which run of which server has it, and until when it is believed to live. */
  server: string;
  aliveUntil: number;
  cancelRequested: boolean;
}

/** Each may do what those before it may. */
export const ROLES = ['viewer', 'service', 'operator', 'admin'] as const;
export type Role = (typeof ROLES)[number];

/** A column's condition: equal to a value, one of several, or compared. */
export type Condition<T> =
  | T
  | { readonly in: readonly T[] }
  | { readonly lt?: T; readonly lte?: T; readonly gt?: T; readonly gte?: T; readonly not?: T };

export type Where<R> = { readonly [C in keyof R]?: Condition<R[C]> };

export interface Page<R, C extends keyof R = keyof R> {
  readonly orderBy?: keyof R & string;
  readonly descending?: boolean;
  readonly limit?: number;
  /** Where there are many rows and little of each is wanted. @default all columns */
  readonly columns?: readonly (C & string)[];
}

export interface UpdateOptions<R> {
  /** Columns that only rise: each becomes the larger of what it is and what is given. None that may be null. */
  readonly raise?: Partial<R>;
  /** Meets nothing unless there is such a row, of any table. */
  readonly provided?: Proviso;
}

export type Proviso = {
  readonly [T in keyof Tables]: { readonly table: T; readonly where: Where<Tables[T]> };
}[keyof Tables];

/** One serializable transaction. Rows are copies: changing one changes nothing. */
export interface Transaction {
  /** Inserts a row and returns its `id` where the storage gives one (`id` of `row` is then ignored). */
  insert<T extends keyof Tables>(table: T, row: Tables[T]): Promise<number>;
  insertMany<T extends keyof Tables>(table: T, rows: readonly Tables[T][]): Promise<void>;
  /** In order of `orderBy`, by default the primary key. */
  select<T extends keyof Tables, C extends keyof Tables[T] = keyof Tables[T]>(
    table: T,
    where: Where<Tables[T]>,
    page?: Page<Tables[T], C>,
  ): Promise<Pick<Tables[T], C>[]>;
  count<T extends keyof Tables>(table: T, where: Where<Tables[T]>): Promise<number>;
  /** Changes the named columns and returns how many rows it met. */
  update<T extends keyof Tables>(
    table: T,
    where: Where<Tables[T]>,
    patch: Partial<Tables[T]>,
    options?: UpdateOptions<Tables[T]>,
  ): Promise<number>;
  remove<T extends keyof Tables>(table: T, where: Where<Tables[T]>): Promise<number>;
}

/**
 * Where the control plane keeps its rows. Transactions are serializable and run their body once or, after a passing
 * conflict, again from its beginning: bodies have no effects but through the transaction.
 */
export interface ControlStorage {
  /** Throws `ControlUnavailable` when the storage cannot be reached, and whatever `body` throws after rolling back. */
  transaction<T>(body: (tx: Transaction) => Promise<T>): Promise<T>;
  /** The same without writes; sees one state. */
  read<T>(body: (tx: Transaction) => Promise<T>): Promise<T>;
  /**
   * Both for a body that asks everything in the turn in which it is called, and awaits it together: one round trip where
   * there are any, and locks are held no longer than the database works. A write may be applied twice, so it says what
   * shall be, not what shall be added.
   */
  transactionAtOnce<T>(body: (tx: Transaction) => Promise<T>): Promise<T>;
  readAtOnce<T>(body: (tx: Transaction) => Promise<T>): Promise<T>;
  /** Calls `changed` soon after any commit, by anyone, with what changed where that is known; until the returned function is called. */
  watch(changed: (change?: Change) => void, options?: WatchOptions): () => void;
  /** Creates or upgrades the schema; idempotent, safe with several processes at once. */
  prepare(making?: 'fresh' | true): Promise<void>;
  close(): Promise<void>;
}

/** Given ids: tables whose `id` the storage counts up. `nodes` too: incarnations are never reused. */
export const GIVEN_IDS = [
  'history',
  'nodes',
  'acknowledgements',
  'dirt',
  'divergences',
  'replays',
  'replay_partitions',
  'verifications',
  'verification_reports',
  'censuses',
  'acceptances',
  'tokens',
  'traffic',
  'ramps',
  'notices',
  'proofs',
  'samples',
  'sampler',
] as const satisfies readonly (keyof Tables)[];
