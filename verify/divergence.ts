import { InvalidRecord } from '../src/core/errors.ts';
import type { Stamp } from '../src/core/stamp.ts';
import { STAMP_MIN, stampMs } from '../src/core/stamp.ts';
import type { Entry } from '../src/core/store.ts';
import { type CompareRules, compareRecords, type FieldDifference } from './compare.ts';

/**
 * How the follower departs from the authority. What a reader sees comes first: `missing` and `extra` say that only one
 * of them shows a record (the other has none, or a tombstone); `stale` that the follower's version is older,
 * `different` that it is not older and yet another one.
 */
export type DivergenceKind = 'missing' | 'extra' | 'different' | 'stale';

/** Why, where it is known. */
export type DivergenceCause =
  /** The follower has nothing, or an older version, and no backfill of the key's position has ended: due, not lost. */
  | 'not backfilled'
  /** The authority's version never came to the follower, and no put of it can still be on its way. */
  | 'lost mirror'
  /** It stands in a range whose mirror writes are known to be missing: a repair is due. */
  | 'dirty range'
  /** The follower refused the entry. */
  | 'rejected'
  /** The same version has another value: it was changed on its way into the follower or out of it. */
  | 'lossy codec'
  /** Somebody wrote past the repository. */
  | 'written outside'
  /** The authority never had a record under this key, or lost it physically: nothing of ours leaves such a one. */
  | 'orphan'
  /** The follower should have had the authority's version by now; its put may still be on its way. */
  | 'in flight for too long';

/** What a store holds under a key. */
export type EntryState = 'absent' | 'tombstone' | 'record';

/** How the follower's version stands to the authority's: absent < without a stamp < stamps. */
export type StampRelation = 'older' | 'same' | 'newer';

export interface ClassifyContext {
  /** Which store is the authority of the key's unit. */
  readonly authority: 'old' | 'new';
  /** The wall time of the reads. */
  readonly now: number;
  /** A difference younger than this may be a mirror write on its way. */
  readonly youngMs: number;
  /** For how long both sides were seen as they are now; 0 for a first look. */
  readonly unchangedMs: number;
  /** A follower that is behind for longer lost its mirror write; until then it may be in flight. */
  readonly lostAfterMs: number;
  /** What the control plane knows about this key. */
  readonly knownCause?: DivergenceCause | undefined;
  /** Whether the follower is complete at the key's position (R11). @default nobody knows */
  readonly covered?: boolean;
  /** Whether the follower would give another value back for the authority's entry; undefined where nobody asked. */
  readonly lossy?: ((authority: Entry) => boolean) | undefined;
}

export type Classification =
  | { readonly word: 'equal' }
  | {
      /** `pending` and `ahead` may pass by themselves: look again. Everything else is a divergence. */
      readonly word: 'pending' | 'ahead' | DivergenceKind;
      /** What it is, or will be if it stays. */
      readonly kind: DivergenceKind;
      readonly cause: DivergenceCause | null;
      readonly fields: readonly FieldDifference[];
      /** How long ago the newer of the two was written; null when it has no stamp. */
      readonly ageMs: number | null;
      /** Both sides hold the very same version, so that time will not mend it. */
      readonly certain: boolean;
    };

type Cell = Readonly<Record<StampRelation, 'equal' | DivergenceKind>>;

const always = (word: 'equal' | DivergenceKind): Cell => Object.freeze({ older: word, same: word, newer: word });

/**
 * authority × follower × how the follower's stamp stands: total, so that the compiler demands every cell. The cell of
 * two records is for records whose values differ; with equal values they are equal whatever their stamps say.
 */
export const DIVERGENCE_TABLE: Readonly<Record<EntryState, Readonly<Record<EntryState, Cell>>>> = Object.freeze({
  absent: Object.freeze({ absent: always('equal'), tombstone: always('equal'), record: always('extra') }),
  tombstone: Object.freeze({ absent: always('equal'), tombstone: always('equal'), record: always('extra') }),
  record: Object.freeze({
    absent: always('missing'),
    tombstone: always('missing'),
    record: Object.freeze({ older: 'stale', same: 'different', newer: 'different' }),
  }),
});

export function stateOf(entry: Entry | undefined): EntryState {
  if (entry === undefined) return 'absent';
  return entry.value === null ? 'tombstone' : 'record';
}

/** What a replay puts for a plain record has the lowest stamp: it is the same version. */
const plain = (stamp: Stamp | null): boolean => stamp === null || stamp === STAMP_MIN;

function rank(entry: Entry | undefined): string {
  if (entry === undefined) return '';
  return plain(entry.stamp) ? '-' : (entry.stamp as string);
}

/** How the follower's version stands to the authority's. */
export function relationOf(authority: Entry | undefined, follower: Entry | undefined): StampRelation {
  const a = rank(authority);
  const f = rank(follower);
  if (a === f) return 'same';
  return f < a ? 'older' : 'newer';
}

/**
 * What one look at both stores says about a key. Pure. Stamps come first: they tell what is on its way from what is
 * wrong.
 *
 * @throws InvalidConfiguration when a custom rule returns no boolean.
 */
export function classify(
  authority: Entry | undefined,
  follower: Entry | undefined,
  rules: CompareRules,
  context: ClassifyContext,
): Classification {
  const state = stateOf(authority);
  const other = stateOf(follower);
  const relation = relationOf(authority, follower);
  const kind = DIVERGENCE_TABLE[state][other][relation];
  if (kind === 'equal') return EQUAL;
  let fields: readonly FieldDifference[] = [];
  if (state === 'record' && other === 'record') {
    const [old, fresh] = context.authority === 'old' ? [authority, follower] : [follower, authority];
    const unread = old?.unreadable ?? fresh?.unreadable;
    const differences = unread === undefined ? differencesOf(old?.value, fresh?.value, rules) : null;
    if (differences?.length === 0) return EQUAL;
    fields = differences ?? [];
  }
  const newest = relation === 'newer' ? follower?.stamp : authority?.stamp;
  const ageMs = newest == null || newest === STAMP_MIN ? null : Math.max(0, context.now - stampMs(newest));
  const cause = context.knownCause ?? causeOf(authority, follower, relation, ageMs, context);
  const certain = relation === 'same' && newest != null && newest !== STAMP_MIN;
  return { word: wordOf(kind, relation, ageMs, context), kind, cause, fields, ageMs, certain };
}

/** Null where one holds what is no value of records: that it differs is all that can be said. */
function differencesOf(old: unknown, fresh: unknown, rules: CompareRules): readonly FieldDifference[] | null {
  try {
    return compareRecords(old, fresh, rules);
  } catch (error) {
    if (error instanceof InvalidRecord) return null;
    throw error;
  }
}

const EQUAL: Classification = Object.freeze({ word: 'equal' });

function wordOf(
  kind: DivergenceKind,
  relation: StampRelation,
  ageMs: number | null,
  { youngMs, unchangedMs }: ClassifyContext,
): 'pending' | 'ahead' | DivergenceKind {
  if (unchangedMs >= youngMs) return kind; // whatever the clocks of the writers said
  if (relation === 'newer') return 'ahead';
  return relation === 'older' && ageMs !== null && ageMs < youngMs ? 'pending' : kind;
}

function causeOf(
  authority: Entry | undefined,
  follower: Entry | undefined,
  relation: StampRelation,
  ageMs: number | null,
  { unchangedMs, lostAfterMs, covered, lossy }: ClassifyContext,
): DivergenceCause | null {
  // No replay puts what cannot be read.
  if (authority?.unreadable !== undefined) return 'rejected';
  // Mirrors and replays always stamp, so a plain record on the follower is not ours.
  if (follower !== undefined && follower.stamp === null) return 'written outside';
  if (authority === undefined) return 'orphan';
  if (relation === 'same') {
    if (stateOf(authority) !== 'record' || stateOf(follower) !== 'record') return 'written outside';
    return lossy === undefined || lossy(authority) ? 'lossy codec' : 'written outside';
  }
  if (relation === 'newer') return 'written outside';
  // However young: it may have been written where nothing is mirrored (R18), and the backfill brings it in any case.
  if (covered === false) return 'not backfilled';
  // Plain on the authority: where everything was replayed since, somebody wrote it, or removed it from the follower, after.
  if (ageMs === null) return covered === true ? 'written outside' : null;
  return Math.max(ageMs, unchangedMs) < lostAfterMs ? 'in flight for too long' : 'lost mirror';
}

/** The stamps of both sides, for reports. */
export interface StampPair {
  readonly old: Stamp | null;
  readonly new: Stamp | null;
}
