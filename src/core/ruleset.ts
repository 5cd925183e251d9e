import { bucketOf } from './bucket.ts';
import { ALL, below, CANARY_POSITION, KEPT_BACK_POSITION, NOBODY, type Threshold } from './dial.ts';
import { InvalidArgument } from './errors.ts';
import { type Intervals, includes, intersect, NOTHING, type Range, subtract } from './intervals.ts';
import { DEFAULT_SETTINGS, type Settings, validateSettings } from './settings.ts';
import { DIALS_OFF, type Dials, dialsConflict, type Side, STAGE_TABLE, type Stage, stageAt } from './stage.ts';
import { parseStamp, type Stamp } from './stamp.ts';

/** R16: plain writes, stamped writes beside plain writers, stamped writes only. */
export type Stamping = 'off' | 'starting' | 'on';

export type Cohort = 'canary' | 'kept-back';

/** The units out of the ordinary line. */
export interface Cohorts {
  readonly canary: readonly string[];
  readonly keptBack: readonly string[];
}

/** A fenced handover or an emergency that is going on (R12, R17). */
export interface Handover {
  readonly kind: 'fenced' | 'emergency';
  /** The positions whose writes (in an emergency: whose reads too) wait. */
  readonly positions: Intervals;
  /** Only these units of the positions, where a unit changes its cohort; null is all. */
  readonly units: readonly string[] | null;
  /** The unit's move, where it is one. */
  readonly cohort: { readonly unit: string; readonly from: Cohort | null; readonly to: Cohort | null } | null;
  /** The cutover thresholds between which authority moves. */
  readonly from: Threshold;
  readonly to: Threshold;
  /** The revision that began the present unbroken hold. */
  readonly holdSince: number;
  /** The revision that last changed authority under this hold, or null. */
  readonly movedAt: number | null;
  /** Being undone: authority is on its way back, or was never moved. */
  readonly cancelled: boolean;
  readonly startedAt: number;
  readonly actor: string;
  readonly reason: string;
}

/** The revisioned document of a migration; plain JSON. Every process holds it and evaluates it with no I/O. */
export interface RulesetDocument {
  readonly format: 1;
  readonly migration: string;
  readonly revision: number;
  readonly dials: Dials;
  readonly stamping: Stamping;
  readonly cohorts: Cohorts;
  readonly handover: Handover | null;
  readonly settings: Settings;
  /** Every stamp issued under this revision is greater (R17). */
  readonly stampFloor: Stamp | null;
  /** The acknowledgement of this revision also waits for reads (R7: before a store is retired, wiped or finished). */
  readonly drainReads: boolean;
  /** Stamps and tombstones were removed; the authority is written plainly. */
  readonly finished: boolean;
}

/** The first revision of a migration: everything off. */
export function initialRuleset(migration: string, settings: Partial<Settings> = {}): RulesetDocument {
  return Object.freeze({
    format: 1,
    migration,
    revision: 1,
    dials: DIALS_OFF,
    stamping: 'off',
    cohorts: { canary: [], keptBack: [] },
    handover: null,
    settings: Object.freeze({ ...DEFAULT_SETTINGS, ...settings }),
    stampFloor: null,
    drainReads: false,
    finished: false,
  });
}

/** What is done with the operations of one unit, and why. */
export interface Route {
  readonly stage: Stage;
  readonly authority: Side;
  /** Writes go to the follower too. */
  readonly mirror: boolean;
  /** Reads are compared with the follower's answer. */
  readonly compare: boolean;
  /** What waits for a handover. */
  readonly hold: 'nothing' | 'writes' | 'everything';
  readonly stamping: Stamping;
  /** For people: `below dual-write 40 % and shadow-read 10 %`. */
  readonly reason: string;
}

/** A ruleset compiled for evaluation: no I/O, no allocation beyond the hash. Immutable. */
export class Ruleset {
  readonly document: RulesetDocument;
  readonly revision: number;
  readonly settings: Settings;
  readonly #cohorts: ReadonlyMap<string, number> | null;
  readonly #bounds: readonly number[];
  readonly #routes: readonly Route[];
  /** The route of all units, where it is one: as before a migration, at its end, and with dials at 100 %. */
  readonly #everywhere: Route | null;
  readonly #heldUnits: ReadonlyMap<string, Route> | null;

  /** @throws InvalidArgument when the document is none. */
  constructor(document: unknown) {
    const valid = validateRuleset(document);
    this.document = valid;
    this.revision = valid.revision;
    this.settings = valid.settings;
    const cohorts = new Map<string, number>();
    for (const unit of valid.cohorts.canary) cohorts.set(unit, CANARY_POSITION);
    for (const unit of valid.cohorts.keptBack) cohorts.set(unit, KEPT_BACK_POSITION);
    this.#cohorts = cohorts.size === 0 ? null : cohorts;

    const { dials, handover } = valid;
    const wholeHold = handover !== null && handover.units === null ? handover.positions : NOTHING;
    const edges = [dials.dualWrite, dials.shadowRead, dials.cutover, ...wholeHold.flat(), ALL];
    this.#bounds = [...new Set(edges.filter((edge) => edge > NOBODY))].sort((a, b) => a - b);
    let from = CANARY_POSITION;
    this.#routes = this.#bounds.map((to) => {
      const route = makeRoute(valid, from, includes(wholeHold, from));
      from = to;
      return route;
    });
    const last = valid.cohorts.keptBack.length > 0 ? KEPT_BACK_POSITION : KEPT_BACK_POSITION - 1;
    this.#everywhere = (this.#bounds[0] as number) > last ? (this.#routes[0] as Route) : null;
    this.#heldUnits =
      handover === null || handover.units === null
        ? null
        : new Map(handover.units.map((unit) => [unit, makeRoute(valid, this.position(unit), true)]));
  }

  /** Where a unit stands on the line: −1, its bucket, or 100 000. */
  position(unit: string): number {
    return this.#cohorts?.get(unit) ?? bucketOf(this.document.migration, unit);
  }

  /** What is done with a unit's operations. */
  route(unit: string): Route {
    return this.#heldUnits?.get(unit) ?? this.#everywhere ?? this.routeAt(this.position(unit));
  }

  /** The same for a position, single held units left out. */
  routeAt(position: number): Route {
    const bounds = this.#bounds;
    let i = 0;
    while (position >= (bounds[i] as number)) i += 1;
    return this.#routes[i] as Route;
  }
}

function makeRoute(document: RulesetDocument, position: number, held: boolean): Route {
  const { dials, handover, finished } = document;
  const stage = stageAt(dials, position);
  const rule = STAGE_TABLE[stage];
  const hold = !held ? 'nothing' : handover?.kind === 'emergency' ? 'everything' : 'writes';
  const side = (dial: string, threshold: number): string => `${position < threshold ? 'below' : 'not below'} ${dial}`;
  const reason = finished
    ? 'the migration is finished'
    : dials.retireOld
      ? 'the old store is retired'
      : [
          side('dual-write', dials.dualWrite),
          side('shadow-read', dials.shadowRead),
          side('cutover', dials.cutover),
        ].join(', ');
  return Object.freeze({
    stage,
    authority: rule.authority,
    mirror: rule.mirror && !finished,
    compare: rule.compare && !finished,
    hold,
    stamping: document.stamping,
    reason: hold === 'nothing' ? reason : `${reason}; ${handover?.kind} handover holds ${hold}`,
  });
}

/** The positions that a ruleset mirrors to a side: those whose follower it is. */
export function mirroredTo(document: RulesetDocument, target: Side): Intervals {
  const { dials, finished } = document;
  if (dials.retireOld || finished) return NOTHING;
  return target === 'old'
    ? intersect(below(dials.cutover), below(dials.dualWrite))
    : subtract(below(dials.dualWrite), below(dials.cutover));
}

const isRange = (value: unknown): value is Range =>
  Array.isArray(value) && value.length === 2 && value.every(Number.isInteger);

/**
 * Checks a document from outside and returns it frozen at its top level.
 * @throws InvalidArgument says what is wrong and what was expected.
 */
export function validateRuleset(input: unknown): RulesetDocument {
  const fail = (what: string, expected: string): never => {
    throw new InvalidArgument(`a ruleset ${what}`, { expected });
  };
  if (typeof input !== 'object' || input === null) fail('is not an object', 'a ruleset document');
  const document = input as RulesetDocument;
  if (document.format !== 1) fail(`has format ${String(document.format)}`, 'format 1: this version reads no other');
  if (typeof document.migration !== 'string' || document.migration === '') fail('names no migration', 'a name');
  if (!Number.isInteger(document.revision) || document.revision < 1) fail('has no revision', 'a whole number from 1');
  const { dials, cohorts, handover } = document;
  for (const dial of ['dualWrite', 'shadowRead', 'cutover'] as const) {
    const threshold = dials?.[dial];
    if (!Number.isInteger(threshold) || threshold < NOBODY || threshold > ALL) {
      fail(`has no valid ${dial}`, `a whole number from ${NOBODY} to ${ALL}`);
    }
  }
  if (typeof dials.retireOld !== 'boolean') fail('has no valid retireOld', 'true or false');
  const conflict = dialsConflict(dials);
  if (conflict !== null)
    fail(`has dials that do not fit: ${conflict}`, 'cutover and shadow-read at or below dual-write');
  if (!['off', 'starting', 'on'].includes(document.stamping)) fail('has no valid stamping', 'off, starting or on');
  for (const list of [cohorts?.canary, cohorts?.keptBack]) {
    if (!Array.isArray(list) || list.some((unit) => typeof unit !== 'string'))
      fail('has no valid cohorts', 'lists of units');
  }
  const twice = cohorts.canary.find((unit) => cohorts.keptBack.includes(unit));
  if (twice !== undefined) fail(`has a unit in both cohorts`, 'each unit in one cohort at most');
  if (handover !== null) {
    if (typeof handover !== 'object' || !Array.isArray(handover.positions) || !handover.positions.every(isRange)) {
      fail('has no valid handover', 'null, or a handover with its positions');
    }
  }
  if (document.stampFloor !== null) parseStamp(document.stampFloor);
  // A document of an earlier version knows nothing of a setting that came later.
  const settings =
    typeof document.settings === 'object' ? { ...DEFAULT_SETTINGS, ...document.settings } : document.settings;
  validateSettings(settings);
  return Object.freeze({ ...document, settings });
}
