import type { Tables } from './storage.ts';

type Base<V> = [V] extends [number]
  ? 'number'
  : [V] extends [boolean]
    ? 'boolean'
    : [V] extends [string]
      ? 'text'
      : 'json';

/** How a column is kept; `?` where it may be null. Follows from the row's type, so the compiler demands each one. */
export type ColumnKind<V = unknown> = unknown extends V
  ? 'json?'
  : `${Base<NonNullable<V>>}${null extends V ? '?' : ''}`;

export type AnyColumnKind = `${'number' | 'boolean' | 'text' | 'json'}${'' | '?'}`;

export type TableName = keyof Tables;

/** Every column of every table. */
export const COLUMNS: { readonly [T in TableName]: { readonly [C in keyof Tables[T]]-?: ColumnKind<Tables[T][C]> } } = {
  migrations: {
    name: 'text',
    revision: 'number',
    document: 'json',
    coverageOld: 'json',
    coverageNew: 'json',
    mirrorOnRevision: 'number',
    shadowCompared: 'number',
    shadowDivergent: 'number',
    shadowSince: 'number',
    createdAt: 'number',
  },
  history: {
    id: 'number',
    migration: 'text',
    revision: 'number?',
    at: 'number',
    actor: 'text',
    reason: 'text',
    kind: 'text',
    summary: 'text',
    before: 'json?',
    after: 'json?',
    gates: 'json',
    cohortMoves: 'json?',
  },
  nodes: {
    id: 'number',
    state: 'text',
    info: 'json',
    session: 'text',
    attempt: 'number',
    joinedAt: 'number',
    seenAt: 'number',
    deadlineLimit: 'number',
    stampLimit: 'text',
    highWater: 'text',
    health: 'json?',
  },
  acknowledgements: {
    id: 'number',
    node: 'number',
    migration: 'text',
    joinedRevision: 'number',
    revision: 'number',
  },
  dirt: {
    id: 'number',
    migration: 'text',
    target: 'text',
    kind: 'text',
    fromPosition: 'number',
    toPosition: 'number',
    keyId: 'text?',
    key: 'json?',
    cause: 'text',
    at: 'number',
    revision: 'number',
    notBefore: 'number?',
  },
  divergences: {
    id: 'number',
    migration: 'text',
    keyId: 'text',
    key: 'json',
    position: 'number',
    kind: 'text',
    cause: 'text?',
    fields: 'json',
    firstSeen: 'number',
    lastSeen: 'number',
    seen: 'number',
  },
  replays: {
    id: 'number',
    migration: 'text',
    kind: 'text',
    target: 'text',
    state: 'text',
    positions: 'json',
    coverable: 'json',
    dirtUpTo: 'number',
    mapping: 'text',
    revision: 'number',
    actor: 'text',
    reason: 'text',
    startedAt: 'number',
    finishedAt: 'number?',
    runner: 'text?',
    leaseUntil: 'number',
    estimate: 'number?',
    sourceTime: 'number',
    deadlineLimit: 'number',
    looseUntil: 'number',
    shared: 'boolean',
    paused: 'boolean',
    cleared: 'number',
    rate: 'number?',
    rateAt: 'number',
    rateScanned: 'number',
  },
  replay_partitions: {
    id: 'number',
    replay: 'number',
    partition: 'json',
    cursor: 'text?',
    done: 'boolean',
    scanned: 'number',
    applied: 'number',
    skipped: 'number',
    rejected: 'number',
    runner: 'text?',
    process: 'json?',
    leaseUntil: 'number',
    fence: 'number',
    failures: 'number',
    failure: 'text?',
    retryAt: 'number',
    census: 'json?',
    eased: 'text?',
  },
  verifications: {
    id: 'number',
    migration: 'text',
    verdict: 'text',
    positions: 'json',
    revision: 'number',
    mapping: 'text',
    startedAt: 'number',
    finishedAt: 'number',
    expiresAt: 'number',
    report: 'json?',
  },
  verification_reports: {
    id: 'number',
    migration: 'text',
    verification: 'number',
    document: 'json?',
  },
  censuses: {
    id: 'number',
    migration: 'text',
    mapping: 'text',
    sampled: 'number',
    exhaustive: 'boolean',
    losses: 'json',
    report: 'json?',
    startedAt: 'number',
    finishedAt: 'number',
  },
  acceptances: {
    id: 'number',
    migration: 'text',
    side: 'text',
    name: 'text',
    mapping: 'text?',
    covers: 'json',
    at: 'number',
    actor: 'text',
    reason: 'text',
  },
  tokens: {
    id: 'number',
    name: 'text',
    kind: 'text',
    parent: 'number?',
    hash: 'text',
    role: 'text',
    migrations: 'json?',
    createdAt: 'number',
    createdBy: 'text',
    expiresAt: 'number?',
    revokedAt: 'number?',
    usedAt: 'number?',
    usedFrom: 'text?',
  },
  traffic: {
    id: 'number',
    node: 'number',
    calls: 'number',
    migrations: 'json',
  },
  notices: {
    id: 'number',
    hook: 'text',
    migration: 'text',
    upTo: 'number',
    divergences: 'number',
    stuck: 'json',
    runner: 'text?',
    leaseUntil: 'number',
  },
  proofs: {
    id: 'number',
    migration: 'text',
    runner: 'text',
    process: 'json',
    actor: 'text',
    since: 'number',
    leaseUntil: 'number',
  },
  ramps: {
    id: 'number',
    migration: 'text',
    state: 'text',
    plan: 'json',
    start: 'number',
    step: 'number',
    stepSince: 'number?',
    marks: 'json',
    checks: 'json',
    note: 'text?',
    actor: 'text',
    reason: 'text',
    startedAt: 'number',
    finishedAt: 'number?',
    runner: 'text?',
    leaseUntil: 'number',
  },
  samples: {
    id: 'number',
    migration: 'text',
    step: 'number',
    slot: 'number',
    reading: 'json',
  },
  jobs: {
    id: 'text',
    kind: 'text',
    migration: 'text',
    actor: 'text',
    reason: 'text',
    state: 'text',
    startedAt: 'number',
    finishedAt: 'number?',
    progress: 'json?',
    result: 'json?',
    error: 'json?',
    again: 'json?',
    resumes: 'text?',
    server: 'text',
    aliveUntil: 'number',
    cancelRequested: 'boolean',
  },
  sampler: {
    id: 'number',
    step: 'number',
    slot: 'number',
    at: 'number',
    totals: 'json',
  },
};

/** What is true of a table beside its columns. `unique` is enforced by every storage. */
export interface TableRules {
  readonly primary: string;
  /** The storage counts the primary key up. */
  readonly given: boolean;
  readonly unique: readonly string[] | null;
  /** The column by which rows are most often looked up. */
  readonly lookup: string | null;
}

const given = (lookup: string | null, unique: readonly string[] | null = null): TableRules => ({
  primary: 'id',
  given: true,
  unique,
  lookup,
});

export const RULES: Readonly<Record<TableName, TableRules>> = {
  migrations: { primary: 'name', given: false, unique: null, lookup: null },
  history: given('migration'),
  nodes: given(null),
  acknowledgements: given('migration', ['node', 'migration']),
  dirt: given('migration'),
  divergences: given('migration', ['migration', 'keyId']),
  replays: given('migration'),
  replay_partitions: given('replay'),
  verifications: given('migration'),
  verification_reports: given('migration'),
  censuses: given('migration'),
  acceptances: given('migration', ['migration', 'side', 'name']),
  tokens: given('kind'),
  traffic: given('node', ['node']),
  ramps: given('migration'),
  notices: given('migration', ['hook', 'migration']),
  proofs: given('migration', ['migration']),
  samples: given('migration', ['migration', 'step', 'slot']),
  jobs: { primary: 'id', given: false, unique: null, lookup: 'migration' },
  sampler: given('step', ['step']),
};

export const TABLE_NAMES = Object.keys(COLUMNS) as readonly TableName[];

const KINDS = new Map(
  TABLE_NAMES.map((table) => [table, new Map<string, AnyColumnKind>(Object.entries(COLUMNS[table]))]),
);

/** The kinds of a table's columns by name, in the order of declaration. */
export function kindsOf(table: TableName): ReadonlyMap<string, AnyColumnKind> {
  return KINDS.get(table) as ReadonlyMap<string, AnyColumnKind>;
}

/** @throws Error for a column that the table does not have: a mistake in the caller. */
export function kindOf(table: TableName, column: string): AnyColumnKind {
  const kind = kindsOf(table).get(column);
  if (kind === undefined) throw new Error(`${table} has no column ${column}`);
  return kind;
}

/** @throws Error when a value cannot stand in its column, so that every storage refuses the same rows. */
export function checkCell(table: TableName, column: string, value: unknown): void {
  const kind = kindOf(table, column);
  if (value === null ? !kind.endsWith('?') : value === undefined) {
    throw new Error(`${table}.${column} cannot be ${String(value)}`);
  }
}

/** The columns that a patch changes. @throws Error for the primary key and for what cannot stand in a column. */
export function checkPatch(table: TableName, patch: object): [column: string, value: unknown][] {
  const cells = Object.entries(patch);
  for (const [column, value] of cells) {
    if (column === RULES[table].primary) throw new Error(`${table}.${column} does not change`);
    checkCell(table, column, value);
  }
  return cells;
}

/** The columns that only rise. @throws Error for those that a patch sets too, and for what has no order of its own. */
export function checkRaise(table: TableName, patch: object, raise: object): [column: string, value: unknown][] {
  const cells = checkPatch(table, raise);
  for (const [column, value] of cells) {
    const kind = kindOf(table, column);
    if (Object.hasOwn(patch, column) || value === null || !/^(number|text)$/.test(kind)) {
      throw new Error(`${table}.${column} cannot be raised to that`);
    }
  }
  return cells;
}
