import { between, describeDial, type Threshold } from '../core/dial.ts';
import { type GatesRefused, type GateVerdict, MigrationFinished, RevisionConflict } from '../core/errors.ts';
import type { Cohort, RulesetDocument } from '../core/ruleset.ts';
import { DEFAULT_SETTINGS, type Settings, settingName, settingText, validateSettings } from '../core/settings.ts';
import type { DialMove, Dials } from '../core/stage.ts';
import { lastDirtIn } from './dirt.ts';
import { behind, type Facts, type FleetMember, factsOf, migrationRow, stepFactsOf } from './facts.ts';
import { type CallerEvidence, furthest, gatesOf, moved } from './gates.ts';
import * as handovers from './handovers.ts';
import { type Authorship, publish, remember } from './publish.ts';
import * as ramps from './ramps.ts';
import type { Transaction } from './storage.ts';

export interface MoveRequest extends Authorship {
  readonly migration: string;
  readonly move: DialMove;
  readonly evidence: CallerEvidence;
  /** Overrides gates that are advice. */
  readonly force: boolean;
  /** Computes and publishes nothing. */
  readonly dryRun: boolean;
  /** The revision that the caller looked at, or null. */
  readonly ifRevision: number | null;
  /** Made for a ramp: only while its driver holds it. */
  readonly ramp?: ramps.RampHold;
}

/** What a move would do, or did. */
export interface MoveAnswer {
  /** Where the dials stood before. */
  readonly before: Dials;
  readonly gates: readonly GateVerdict[];
  readonly allowed: boolean;
  /** The next revision; null for a dry run and where stamping has to come first. */
  readonly document: RulesetDocument | null;
  /** Of a refused cutover's dry run: the furthest that coverage and dirt allow; null where they allow nothing. */
  readonly furthest?: Threshold | null;
  /** What the caller has to do next. */
  readonly next: 'done' | 'handover' | 'stamping';
}

/** A step towards stamping on, and who has not acknowledged it. */
export interface StampingStep {
  readonly document: RulesetDocument;
  readonly waitingFor: readonly FleetMember[];
}

export interface CohortChange {
  readonly document: RulesetDocument;
  readonly next: 'done' | 'handover';
}

/** Notes in the history that a move was refused, and by what. */
export function rememberRefusal(
  tx: Transaction,
  request: MoveRequest,
  { gates }: GatesRefused,
  now: number,
): Promise<void> {
  const { migration, move } = request;
  const to = move.dial === 'retire-old' ? (move.to ? 'yes' : 'no') : describeDial(move.to);
  const summary = `${move.dial} ${to} was refused by its gates; nothing changed`;
  return remember(tx, migration, { ...request, kind: 'refusal', summary, gates }, now);
}

export async function move(tx: Transaction, request: MoveRequest, now: number): Promise<MoveAnswer> {
  const { migration, move, evidence, force, dryRun, ifRevision, ramp } = request;
  if (ramp !== undefined) await ramps.demandHold(tx, ramp, now);
  const facts = await factsOf(tx, migration, now, move);
  const { document, row } = facts;
  if (document.finished) throw new MigrationFinished(`${migration} is finished; its dials do not move any more`);
  if (ifRevision !== null && ifRevision !== row.revision) {
    throw new RevisionConflict(`${migration} is at revision ${row.revision}, not ${ifRevision}`, {
      remedy: 'look again, then repeat',
    });
  }
  const gates = gatesOf(facts, move, evidence);
  const allowed = gates.every((gate) => gate.passed || (gate.advice && force));
  const dials = moved(document.dials, move);
  const still = JSON.stringify(dials) === JSON.stringify(document.dials);
  const stamped = document.stamping === 'on' || move.dial !== 'dual-write' || move.to <= document.dials.dualWrite;
  const handover = move.dial === 'cutover' && !still;
  const next = !stamped ? 'stamping' : handover ? 'handover' : 'done';
  const before = document.dials;
  if (still) return { before, gates, allowed: true, document, next: 'done' };
  const furthestValue =
    !allowed &&
    move.dial === 'cutover' &&
    gates.every((gate) => gate.passed || !['order', 'handover', 'fleet', 'configuration'].includes(gate.gate))
      ? furthest(await withLastDirt(tx, facts, move.to), document.dials.cutover, move.to)
      : null;
  if (dryRun) return { before, gates, allowed, document: null, next, furthest: furthestValue };
  if (!allowed) {
    const offer =
      furthestValue === null || furthestValue === (move.to as Threshold)
        ? undefined
        : `the furthest that coverage and dirt allow is ${describeDial(furthestValue)}`;
    handovers.refuse(`${migration} ${move.dial} was refused by its gates`, gates, force, offer);
  }
  if (!stamped) return { before, gates, allowed, document: null, next };
  if (move.dial === 'cutover') {
    return { before, gates, allowed, next, document: await handovers.beginCutover(tx, facts, move.to, request, gates) };
  }
  const summary =
    move.dial === 'retire-old'
      ? `retire-old ${move.to ? 'yes' : 'no'}`
      : `${move.dial} ${describeDial(document.dials[camel(move.dial)])} → ${describeDial(move.to)}`;
  const patch =
    move.dial === 'retire-old'
      ? // Only an end that was begun and given up can have left `starting`: everybody writes stamped.
        { dials, drainReads: dials.retireOld, stamping: dials.retireOld ? document.stamping : ('on' as const) }
      : { dials };
  return {
    before,
    gates,
    allowed,
    next,
    document: await publish(tx, row, patch, { ...request, kind: 'move', summary, gates }, now),
  };
}

/** How far back a cutover may go is known by what is dirty last, of however many lines. */
async function withLastDirt(tx: Transaction, facts: Facts, to: Threshold): Promise<Facts> {
  const last = await lastDirtIn(tx, facts.row.name, between(facts.document.dials.cutover, to));
  return { ...facts, dirt: [...facts.dirt, ...last] };
}

/**
 * The next step of R16 towards stamping on: `off` → `starting` → `on`, each only when all have acknowledged the one
 * before. Null when it is on; otherwise who is waited for.
 */
export async function advanceStamping(
  tx: Transaction,
  name: string,
  authorship: Authorship,
  now: number,
): Promise<StampingStep | null> {
  const facts = await stepFactsOf(tx, name, now);
  const { document, row } = facts;
  if (document.stamping === 'on') return null;
  const waitingFor = behind(facts.fleet, row.revision);
  if (waitingFor.length > 0) return { document, waitingFor };
  const stamping = document.stamping === 'off' ? 'starting' : 'on';
  const summary = `stamping ${stamping}`;
  const after = await publish(tx, row, { stamping }, { ...authorship, kind: 'stamping', summary }, now);
  return { document: after, waitingFor: stamping === 'on' ? [] : facts.fleet };
}

/** @throws InvalidArgument names the setting and what it may be. */
export async function changeSettings(
  tx: Transaction,
  name: string,
  change: Partial<Settings>,
  authorship: Authorship,
  now: number,
): Promise<RulesetDocument> {
  const row = await migrationRow(tx, name);
  if (row.document.finished) throw new MigrationFinished(`${name} is finished; its settings have no effect any more`);
  const settings: unknown = { ...DEFAULT_SETTINGS, ...row.document.settings, ...change };
  validateSettings(settings);
  const summary = (Object.keys(change) as (keyof Settings)[])
    .map((field) => `${settingName(field)} = ${settingText(change[field] as Settings[keyof Settings])}`)
    .join(', ');
  return publish(tx, row, { settings }, { ...authorship, kind: 'settings', summary }, now);
}

/** Moves a unit into a cohort, or back to its bucket (null); begins a handover where its authority changes (R18). */
export async function changeCohort(
  tx: Transaction,
  name: string,
  unit: string,
  to: Cohort | null,
  authorship: Authorship,
  now: number,
): Promise<CohortChange> {
  const facts = await stepFactsOf(tx, name, now);
  if (facts.document.finished) throw new MigrationFinished(`${name} is finished; its units do not move any more`);
  if (facts.document.handover !== null) {
    throw new RevisionConflict(`a handover of ${name} is going on`, { remedy: 'try again when it has ended' });
  }
  const document = await handovers.changeCohort(tx, facts, unit, to, authorship);
  return { document, next: document.handover === null ? 'done' : 'handover' };
}

const camel = (dial: 'dual-write' | 'shadow-read' | 'cutover'): 'dualWrite' | 'shadowRead' | 'cutover' =>
  dial === 'dual-write' ? 'dualWrite' : dial === 'shadow-read' ? 'shadowRead' : 'cutover';
