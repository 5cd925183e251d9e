import { below, between, describeDial, describePositions, NOBODY, type Threshold } from '../core/dial.ts';
import { Busy, GatesRefused, type GateVerdict } from '../core/errors.ts';
import { covers, type Intervals, includes, intersect, intervals, subtract, union } from '../core/intervals.ts';
import type { Cohort, Handover, RulesetDocument } from '../core/ruleset.ts';
import { type Side, STAGE_TABLE, stageAt } from '../core/stage.ts';
import { parseStamp } from '../core/stamp.ts';
import { copyDirt, type DirtSummary, dirtIn } from './dirt.ts';
import { behind, coverageOf, type FleetMember, type StepFacts, stepFactsOf } from './facts.ts';
import { stampCeiling } from './fleet-desk.ts';
import { furthest, handoverGates } from './gates.ts';
import { type Authorship, COHORT_CHANGE, publish, uncover, unitPosition } from './publish.ts';
import type { Transaction } from './storage.ts';

/** Where a handover stands after a step, and what the next one waits for. */
export interface HandoverProgress {
  readonly state: /** None is going on. */
    | 'none'
    /** A revision was published; go on at once. */
    | 'stepped'
    | 'waiting';
  readonly step: 'hold' | 'drain' | 'move' | 'release' | 'done';
  readonly document: RulesetDocument;
  /** Processes whose acknowledgement is missing. */
  readonly waitingFor: readonly FleetMember[];
  /** The sides that dirt is to be replayed to before authority may move. */
  readonly dirty: readonly Side[];
}

const authorityAt = (document: RulesetDocument, position: number): Side =>
  STAGE_TABLE[stageAt(document.dials, position)].authority;

/** R12 step 1: HOLD, if its gates let it. */
export async function beginCutover(
  tx: Transaction,
  facts: StepFacts,
  to: Threshold,
  authorship: Authorship,
  gates: readonly GateVerdict[],
): Promise<RulesetDocument> {
  const { document, row } = facts;
  const from = document.dials.cutover;
  const handover: Handover = {
    kind: 'fenced',
    positions: between(from, to),
    units: null,
    cohort: null,
    from,
    to,
    holdSince: row.revision + 1,
    movedAt: null,
    cancelled: false,
    startedAt: facts.now,
    ...authorship,
  };
  const summary = `cutover ${describeDial(from)} → ${describeDial(to)}: handover begins`;
  return publish(tx, row, { handover }, { ...authorship, kind: 'handover', summary, gates }, facts.now);
}

/** What a unit's change of cohort needs, and does to coverage (R18). A unit that is there already changes nothing. */
export async function changeCohort(
  tx: Transaction,
  facts: StepFacts,
  unit: string,
  to: Cohort | null,
  authorship: Authorship,
): Promise<RulesetDocument> {
  const { document, row } = facts;
  const now = cohortIn(document, unit);
  if (now === to) return document;
  const after = { ...document, cohorts: cohortsWith(document, unit, to) };
  const oldPosition = unitPosition(document, unit);
  const newPosition = unitPosition(after, unit);
  const target = authorityAt(document, newPosition);
  const summary = `a unit moves from ${now ?? 'its bucket'} to ${to ?? 'its bucket'}`;
  if (authorityAt(document, oldPosition) === target) {
    await movePosition(tx, facts, oldPosition, newPosition);
    return publish(
      tx,
      await fresh(tx, facts),
      { cohorts: after.cohorts },
      { ...authorship, kind: COHORT_CHANGE, summary },
      facts.now,
    );
  }
  const positions = intervals([[oldPosition, oldPosition + 1]]);
  const gates = handoverGates({ ...facts, dirt: await dirtIn(tx, row.name, positions) }, positions, target);
  refuse(`the unit cannot change its store yet`, gates);
  const handover: Handover = {
    kind: 'fenced',
    positions,
    units: [unit],
    cohort: { unit, from: now, to },
    from: document.dials.cutover,
    to: document.dials.cutover,
    holdSince: row.revision + 1,
    movedAt: null,
    cancelled: false,
    startedAt: facts.now,
    ...authorship,
  };
  return publish(tx, row, { handover }, { ...authorship, kind: 'handover', summary, gates }, facts.now);
}

/** The cohort that a unit is in. */
export function cohortIn({ cohorts }: RulesetDocument, unit: string): Cohort | null {
  return cohorts.canary.includes(unit) ? 'canary' : cohorts.keptBack.includes(unit) ? 'kept-back' : null;
}

/** The store that begins to lead a unit when it moves, and so has to answer; null where the same one goes on. */
export function newLeader(document: RulesetDocument, unit: string, to: Cohort | null): Side | null {
  const after = { ...document, cohorts: cohortsWith(document, unit, to) };
  const leader = authorityAt(document, unitPosition(after, unit));
  return leader === authorityAt(document, unitPosition(document, unit)) ? null : leader;
}

function cohortsWith(document: RulesetDocument, unit: string, to: Cohort | null): RulesetDocument['cohorts'] {
  const canary = document.cohorts.canary.filter((other) => other !== unit);
  const keptBack = document.cohorts.keptBack.filter((other) => other !== unit);
  if (to === 'canary') canary.push(unit);
  if (to === 'kept-back') keptBack.push(unit);
  return { canary, keptBack };
}

const fresh = async (tx: Transaction, facts: StepFacts) =>
  (await tx.select('migrations', { name: facts.row.name }))[0]!;

/** R18: the new position is as covered as both were, and as dirty as either. */
async function movePosition(tx: Transaction, facts: StepFacts, from: number, to: number): Promise<void> {
  const { row } = facts;
  const point = intervals([[to, to + 1]]);
  for (const side of ['old', 'new'] as const) {
    const coverage = coverageOf(row, side);
    if (includes(coverage, to) && !includes(coverage, from)) {
      const left = subtract(coverage, point);
      await tx.update('migrations', { name: row.name }, side === 'old' ? { coverageOld: left } : { coverageNew: left });
    }
    // A replay under way may have passed the unit while it stood elsewhere.
    await uncover(tx, row.name, side, point);
  }
  await copyDirt(tx, row.name, from, to);
}

/** @throws GatesRefused unless all gates that are not advice pass. */
export function refuse(what: string, gates: readonly GateVerdict[], force = true, offer?: string): void {
  const failed = gates.filter((gate) => !gate.passed && !(gate.advice && force));
  if (failed.length === 0) return;
  throw new GatesRefused(`${what}: ${failed.map((gate) => gate.gate).join(', ')}; nothing changed`, gates, {
    ...(offer === undefined ? {} : { remedy: offer }),
  });
}

/**
 * Does the next step of whatever handover is going on, if what it waits for is there. Any controller may call it at any
 * time, again and again, whoever began the handover (R12, R17).
 */
export async function stepHandover(tx: Transaction, name: string, now: number): Promise<HandoverProgress> {
  const facts = await stepFactsOf(tx, name, now);
  const { document, row, fleet } = facts;
  const { handover } = document;
  const progress = (
    state: HandoverProgress['state'],
    step: HandoverProgress['step'],
    more: Partial<HandoverProgress> = {},
  ): HandoverProgress => ({ state, step, document, waitingFor: [], dirty: [], ...more });
  if (handover === null) return progress('none', 'done');
  const authorship = { actor: handover.actor, reason: handover.reason };

  if (handover.kind === 'emergency') {
    const waitingFor = behind(fleet, handover.holdSince);
    if (waitingFor.length > 0) return progress('waiting', 'hold', { waitingFor });
    const stampFloor = parseStamp(await stampCeiling(tx));
    const dials = { ...document.dials, cutover: handover.to };
    const summary = `emergency: the old store leads again above ${describeDial(handover.to)}`;
    const after = await publish(
      tx,
      row,
      { dials, handover: null, stampFloor },
      { ...authorship, kind: 'emergency', summary },
      now,
    );
    return progress('stepped', 'done', { document: after });
  }

  if (handover.movedAt === null) {
    const waitingFor = behind(fleet, handover.holdSince);
    if (waitingFor.length > 0) return progress('waiting', 'hold', { waitingFor });
    return moveAuthority(tx, facts, handover, progress);
  }

  const waitingFor = behind(fleet, handover.movedAt);
  if (waitingFor.length > 0) return progress('waiting', 'move', { waitingFor });
  const summary = handover.cancelled
    ? 'handover undone, authority is back'
    : handover.cohort !== null
      ? 'the unit has moved'
      : `cutover ${describeDial(handover.from)} → ${describeDial(handover.to)}: done`;
  const after = await publish(tx, row, { handover: null }, { ...authorship, kind: 'handover', summary }, now);
  return progress('stepped', 'done', { document: after });
}

type Progress = (
  state: HandoverProgress['state'],
  step: HandoverProgress['step'],
  more?: Partial<HandoverProgress>,
) => HandoverProgress;

/** R12 step 3, also backwards: authority moves once nothing is dirty, in either direction. */
async function moveAuthority(
  tx: Transaction,
  facts: StepFacts,
  handover: Handover,
  progress: Progress,
): Promise<HandoverProgress> {
  const { row, document, now } = facts;
  const dirty = dirtySides(await dirtIn(tx, row.name, handover.positions));
  if (dirty.length > 0) return progress('waiting', 'drain', { dirty });
  const authorship = { actor: handover.actor, reason: handover.reason };
  const next: Handover = { ...handover, movedAt: row.revision + 1 };
  if (handover.cohort !== null) {
    const { unit, to } = handover.cohort;
    const cohorts = cohortsWith(document, unit, to);
    const from = unitPosition(document, unit);
    const position = unitPosition({ ...document, cohorts }, unit);
    if (!includes(coverageOf(row, authorityAt(document, position)), from)) return progress('waiting', 'drain');
    await movePosition(tx, facts, from, position);
    const after = await publish(
      tx,
      await fresh(tx, facts),
      { cohorts, handover: { ...next, positions: union(handover.positions, [[position, position + 1]]) } },
      { ...authorship, kind: COHORT_CHANGE, summary: 'authority of the unit moves' },
      now,
    );
    return progress('stepped', 'move', { document: after });
  }
  const side: Side = handover.to > document.dials.cutover ? 'new' : 'old';
  if (!covers(coverageOf(row, side), handover.positions)) return progress('waiting', 'drain');
  const after = await publish(
    tx,
    row,
    { dials: { ...document.dials, cutover: handover.to }, handover: next },
    {
      ...authorship,
      kind: 'handover',
      summary: `authority of ${describePositions(handover.positions)} moves to the ${side} store`,
    },
    now,
  );
  return progress('stepped', 'move', { document: after });
}

const dirtySides = (dirt: readonly DirtSummary[]): readonly Side[] =>
  (['old', 'new'] as const).filter((side) => dirt.some(({ target }) => target === side));

/**
 * Turns a handover round: before authority moved it just ends; afterwards authority goes back under the same hold, with
 * the same gates. An emergency is not cancelled.
 */
export async function cancelHandover(
  tx: Transaction,
  name: string,
  authorship: Authorship,
  now: number,
): Promise<HandoverProgress> {
  const facts = await stepFactsOf(tx, name, now);
  const { document, row } = facts;
  const { handover } = document;
  if (handover === null || handover.cancelled || handover.kind === 'emergency') return stepHandover(tx, name, now);
  if (handover.movedAt === null) {
    const summary = 'handover cancelled before anything moved';
    const after = await publish(tx, row, { handover: null }, { ...authorship, kind: 'handover', summary }, now);
    return { state: 'stepped', step: 'done', document: after, waitingFor: [], dirty: [] };
  }
  // Authority changes back under the hold; all have acknowledged it since its start, so the gates are R12's again.
  const cohort =
    handover.cohort === null
      ? null
      : { unit: handover.cohort.unit, from: handover.cohort.to, to: handover.cohort.from };
  const back: Handover = {
    ...handover,
    from: handover.to,
    to: handover.from,
    cohort,
    cancelled: true,
    movedAt: null,
  };
  const reversed: StepFacts = { ...facts, document: { ...document, handover: back } };
  return moveAuthority(tx, reversed, back, (state, step, more = {}) => ({
    state,
    step,
    document,
    waitingFor: [],
    dirty: [],
    ...more,
  }));
}

/** What an emergency roll-back would take back, and how far; or the gate that is in its way. Pure. @throws Busy */
export function planEmergency(
  facts: StepFacts,
): { readonly positions: Intervals; readonly to: Threshold } | GateVerdict {
  const { document, row } = facts;
  const { dials, migration } = document;
  const coverageGate = (evidence: string, remedy: string): GateVerdict => ({
    gate: 'coverage',
    passed: false,
    advice: false,
    evidence,
    remedy,
  });
  const top = Math.max(dials.cutover, document.handover?.from ?? NOBODY, document.handover?.to ?? NOBODY);
  if (dials.retireOld || document.finished) {
    return coverageGate(
      'the old store is retired: it gets no writes any more',
      `changeover set ${migration} retire-old no, then changeover backfill ${migration} --to old`,
    );
  }
  if (top === NOBODY && document.handover === null) throw new Busy('the old store leads everything already');
  const positions = union(below(top), document.handover?.positions ?? []);
  const missing = subtract(intersect(positions, below(dials.cutover)), row.coverageOld);
  const to = missing.length === 0 ? NOBODY : furthest({ ...facts, dirt: [] }, dials.cutover, NOBODY);
  if (to === null) {
    return coverageGate(
      `the old store is not known to be complete in ${describePositions(missing)}`,
      `changeover backfill ${migration} --to old`,
    );
  }
  return { positions: subtract(positions, below(to)), to };
}

/** R17 step 1. What only the new store has acknowledged stays behind as dirt. */
export async function beginEmergency(
  tx: Transaction,
  name: string,
  authorship: Authorship,
  now: number,
): Promise<RulesetDocument> {
  const facts = await stepFactsOf(tx, name, now);
  const { document, row } = facts;
  const { dials } = document;
  if (document.handover?.kind === 'emergency') return document;
  const plan = planEmergency(facts);
  if ('gate' in plan) {
    const why = dials.retireOld || document.finished ? 'is retired' : 'does not have everything';
    throw new GatesRefused(`the old store ${why}; nothing changed`, [plan]);
  }
  const handover: Handover = {
    kind: 'emergency',
    positions: plan.positions,
    units: null,
    cohort: null,
    from: dials.cutover,
    to: plan.to,
    holdSince: row.revision + 1,
    movedAt: null,
    cancelled: false,
    startedAt: now,
    ...authorship,
  };
  const summary = `emergency roll-back from cutover ${describeDial(dials.cutover)} begins`;
  return publish(tx, row, { handover }, { ...authorship, kind: 'emergency', summary }, now);
}
