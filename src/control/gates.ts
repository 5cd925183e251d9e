import {
  below,
  between,
  describeDial,
  describePositions,
  dialValue,
  EVERY_BUCKET,
  NOBODY,
  type Threshold,
} from '../core/dial.ts';
import type { GateVerdict } from '../core/errors.ts';
import { covers, type Intervals, includes, intervals, overlaps, subtract } from '../core/intervals.ts';
import { shellWord } from '../core/shell-word.ts';
import { type DialMove, type Dials, dialsConflict, type Side } from '../core/stage.ts';
import type { Finding } from '../core/store.ts';
import { number, openFindings, openLosses, standingCensus } from './acceptances.ts';
import type { DirtSummary } from './dirt.ts';
import { coverageOf, type Facts, MOST_ROWS } from './facts.ts';
import { configurationGates, fleetGate } from './fleet-gates.ts';
import { origins } from './publish.ts';
import { moreDivergeIn, verifiedAs } from './verified.ts';

/** What only the caller knows: it has the stores, the control plane has not. */
export interface CallerEvidence {
  /** Whether stamped writing works on both stores; null where it was not asked. */
  readonly prepared: Readonly<Record<Side, boolean>> | null;
  /** What an inspection of each store found; null where it was not asked or did not answer. */
  readonly findings: Readonly<Record<Side, readonly Finding[] | null>>;
  /** Binds verdicts: a verdict about another mapping does not count. */
  readonly mapping: string;
  /** No put to the new store with a deadline up to this can be applied any more; absent where it was not asked. */
  readonly settledTo?: number;
}

const gate = (name: string, passed: boolean, evidence: string, remedy: string, advice = false): GateVerdict => ({
  gate: name,
  passed,
  advice,
  evidence,
  remedy: passed ? null : remedy,
});

/** The dials after a move. */
export function moved(dials: Dials, move: DialMove): Dials {
  switch (move.dial) {
    case 'dual-write':
      return { ...dials, dualWrite: move.to };
    case 'shadow-read':
      return { ...dials, shadowRead: move.to };
    case 'cutover':
      return { ...dials, cutover: move.to };
    case 'retire-old':
      return { ...dials, retireOld: move.to };
  }
}

/** All gates of a move, each with its evidence, in the order in which people should mend them. Pure. */
export function gatesOf(facts: Facts, move: DialMove, evidence: CallerEvidence): readonly GateVerdict[] {
  const { document } = facts;
  const { dials } = document;
  const name = document.migration;
  const gates: GateVerdict[] = [];
  const conflict = dialsConflict(moved(dials, move));
  gates.push(
    gate(
      'order',
      conflict === null,
      conflict ??
        `retire-old ${dials.retireOld ? 'yes' : 'no'}, cutover ${describeDial(dials.cutover)}, shadow-read ${describeDial(dials.shadowRead)}, dual-write ${describeDial(dials.dualWrite)}`,
      orderRemedy(name, dials, move),
    ),
  );
  gates.push(
    gate(
      'handover',
      document.handover === null,
      document.handover === null ? 'none going on' : `a ${document.handover.kind} handover is going on`,
      `changeover status ${name}`,
    ),
  );
  switch (move.dial) {
    case 'dual-write':
      // Downwards `order` is enough: the old store leads there and keeps everything.
      if (move.to > dials.dualWrite) {
        gates.push(
          ...preloadGate(facts, evidence),
          ...mirrorOnGates(facts, evidence, 'new'),
          ...configurationGates(facts),
        );
      }
      break;
    case 'shadow-read':
      break;
    case 'cutover':
      gates.push(...authorityGates(facts, dials.cutover, move.to, evidence));
      break;
    case 'retire-old':
      gates.push(...(move.to ? retireGates(facts, evidence) : mirrorOnGates(facts, evidence, 'old')));
      break;
  }
  return gates;
}

/** The gates of giving positions to a side: what must be true of its data (R12: enter). Pure. */
export function handoverGates(
  facts: Pick<Facts, 'row' | 'document' | 'dirt'>,
  positions: Intervals,
  to: Side,
): readonly GateVerdict[] {
  const name = facts.document.migration;
  const missing = subtract(positions, coverageOf(facts.row, to));
  const dirt = facts.dirt.filter(({ range }) => overlaps([range], positions));
  const lost = dirt.filter(({ kind }) => kind === 'lost');
  const rejected = dirt.filter(({ kind }) => kind === 'rejected');
  return [
    gate(
      'coverage',
      missing.length === 0,
      missing.length === 0
        ? `the ${to} store is complete in ${describePositions(positions)}`
        : `the ${to} store is not known to be complete in ${describePositions(missing)}`,
      `changeover backfill ${name}${to === 'old' ? ' --to old' : ''} ${REASON}`,
    ),
    gate('dirty', lost.length === 0, describeDirt(lost), `changeover repair ${name} ${REASON}`),
    gate(
      'rejected',
      rejected.length === 0,
      rejected.length === 0 ? 'no record is refused by a store' : describeDirt(rejected),
      `changeover repair ${name} ${REASON}`,
    ),
  ];
}

function orderRemedy(name: string, dials: Dials, move: DialMove): string {
  if (dials.retireOld)
    return `${command(name, 'retire-old', 'no')}, then changeover backfill ${name} --to old ${REASON}`;
  if (move.dial === 'retire-old') return command(name, 'cutover', 'all');
  if (move.dial === 'dual-write') {
    return command(name, dials.cutover > move.to ? 'cutover' : 'shadow-read', argument(move.to));
  }
  return command(name, 'dual-write', argument(move.to));
}

const REASON = '--reason "…"';
const argument = (threshold: Threshold): string => String(dialValue(threshold));
/** A remedy that can be pasted. */
const command = (name: string, what: string, to: string): string => `changeover set ${name} ${what} ${to} ${REASON}`;

function describeDirt(dirt: readonly DirtSummary[]): string {
  if (dirt.length === 0) return 'nothing is dirty';
  const positions = intervals(dirt.map(({ range }) => range));
  const causes = [...new Set(dirt.map(({ cause }) => cause))].slice(0, 3).join('; ');
  const lines = dirt.reduce((sum, each) => sum + each.lines, 0);
  return `${lines} dirty entr${lines === 1 ? 'y' : 'ies'} at ${describePositions(positions.slice(0, 3))}${positions.length > 3 ? ', …' : ''}: ${causes}`;
}

function preparedGate(evidence: CallerEvidence): GateVerdict {
  const { prepared } = evidence;
  const missing = prepared === null ? [] : (['old', 'new'] as const).filter((side) => !prepared[side]);
  return gate(
    'prepared',
    prepared !== null && missing.length === 0,
    prepared === null
      ? 'the stores were not asked'
      : missing.length === 0
        ? 'both stores are prepared for stamped writes'
        : `the ${missing.join(' and the ')} store is not prepared`,
    'changeover prepare',
  );
}

/** What may keep a store from following: nobody may find out by a mirrored write that was refused or changed. */
function constraintsGate({ acceptances, document }: Facts, { findings }: CallerEvidence, side: Side): GateVerdict {
  const { migration } = document;
  const found = findings[side];
  if (found === null) {
    const remedy = `changeover doctor ${migration}`;
    return gate('constraints', false, `the ${side} store could not be inspected`, remedy);
  }
  const open = openFindings(side, found, acceptances);
  const risks = open.filter(({ level }) => level === 'risk');
  const accepted = found.filter(({ level }) => level === 'risk').length - risks.length;
  const evidence =
    open.length > 0
      ? `the ${side} store has ${open.map(({ name }) => name).join(', ')}; changeover doctor ${migration} says what they do`
      : `nothing in the way at the ${side} store${accepted === 0 ? '' : `, ${accepted} accepted by name`}`;
  const commands = risks.map(
    ({ name }) => `changeover accept ${migration} ${shellWord(name)} --side ${side} ${REASON}`,
  );
  // What cannot be accepted comes first, and says how it is mended.
  const remedies = open.filter(({ level }) => level === 'problem').map(({ remedy }) => remedy);
  return gate('constraints', open.length === 0, evidence, [...remedies, ...commands].join(' && '));
}

/** What a round trip through the new store, and back to the old one, would lose. */
function censusGate({ censuses, acceptances, document }: Facts, { mapping }: CallerEvidence): GateVerdict {
  const { migration } = document;
  const standing = standingCensus(censuses, mapping);
  if (standing === null) {
    const why = censuses.length === 0 ? 'no census was taken' : 'the last census is about another mapping';
    return gate('census', false, why, `changeover doctor ${migration}`);
  }
  const { sampled, latest, losses } = standing;
  const open = openLosses(standing, acceptances, mapping);
  const scope = `${latest.exhaustive ? 'all ' : ''}${number(sampled, 'record')}`;
  const evidence =
    open.length > 0
      ? `of ${scope}: ${open.slice(0, 5).join('; ')}${open.length > 5 ? `; and ${open.length - 5} more` : ''}`
      : losses.length === 0
        ? `${scope}: all come back from both stores as they were`
        : `${number(losses.length, 'kind')} of loss in ${scope}, accepted`;
  const remedy = `mend the codec and run changeover doctor ${migration}, or: changeover accept ${migration} census ${REASON}`;
  return gate('census', open.length === 0, evidence, remedy);
}

/** R20: what looks at nothing must have arrived, or can no more, before anybody else writes to the new store. */
function preloadGate({ preload, document }: Facts, { settledTo }: CallerEvidence): readonly GateVerdict[] {
  if (preload === null || document.dials.dualWrite !== NOBODY) return [];
  const { migration } = document;
  const { running, looseUntil } = preload;
  if (running) {
    const remedy = `let it end, or: changeover backfill ${migration} --preload --cancel ${REASON}`;
    return [gate('preload', false, 'a preload of the new store is under way', remedy)];
  }
  const leftMs = looseUntil === 0 ? 0 : settledTo === undefined ? null : Math.max(0, looseUntil + 1 - settledTo);
  const evidence =
    leftMs === null
      ? 'a batch of the preload had no answer, and the new store was not asked for its time'
      : leftMs === 0
        ? 'every batch of the preload is settled'
        : `a batch of the preload had no answer and may arrive for another ${Math.ceil(leftMs / 1_000)} s`;
  const remedy = leftMs === null ? `changeover doctor ${migration}` : `wait ${Math.ceil(leftMs / 1_000)} s, then again`;
  return [gate('preload', leftMs === 0, evidence, remedy)];
}

/** What a preload needs: that nobody else writes to the new store, and that nothing there is newer (R20). Pure. */
export function preloadGates(facts: Facts, evidence: CallerEvidence): readonly GateVerdict[] {
  const { document } = facts;
  const name = document.migration;
  const { dualWrite } = document.dials;
  const back = facts.dirt.filter(({ target }) => target === 'old');
  return [
    gate(
      'mirror-off',
      dualWrite === NOBODY,
      dualWrite === NOBODY ? 'nothing is mirrored' : `dual-write stands at ${describeDial(dualWrite)}`,
      `changeover backfill ${name} ${REASON}`,
    ),
    gate(
      'handover',
      document.handover === null,
      document.handover === null ? 'none going on' : `a ${document.handover.kind} handover is going on`,
      `changeover status ${name}`,
    ),
    // After an emergency the new store may be the only one to have what is dirty towards the old one.
    gate('dirty', back.length === 0, describeDirt(back), `changeover repair ${name} ${REASON}`),
    ...mirrorOnGates(facts, evidence, 'new'),
    fleetGate(facts, facts.row.revision, `revision ${facts.row.revision}`),
    ...configurationGates(facts),
  ];
}

function mirrorOnGates(facts: Facts, evidence: CallerEvidence, follower: Side): readonly GateVerdict[] {
  const { settings, migration } = facts.document;
  return [
    preparedGate(evidence),
    constraintsGate(facts, evidence, follower),
    gate(
      'outside-writers',
      settings.noOutsideWriters,
      settings.noOutsideWriters
        ? 'confirmed: nobody writes but through the repository'
        : 'nobody confirmed that all writers go through the repository; writes of others would be lost silently',
      command(migration, 'no-outside-writers', 'yes'),
    ),
  ];
}

function authorityGates(
  facts: Facts,
  from: Threshold,
  to: Threshold,
  evidence: CallerEvidence,
): readonly GateVerdict[] {
  const positions = between(from, to);
  const up = to > from;
  const gates = [
    ...handoverGates(facts, positions, up ? 'new' : 'old'),
    fleetGate(facts, facts.row.revision, `revision ${facts.row.revision}`),
  ];
  if (!up) return gates;
  return [
    ...gates,
    ...configurationGates(facts),
    // The old store begins to follow here. On the way back nothing is asked: it must always be open.
    constraintsGate(facts, evidence, 'old'),
    censusGate(facts, evidence),
    divergenceGate(facts, positions),
    shadowGate(facts, to),
    verificationGate(facts, positions, evidence),
  ];
}

function divergenceGate(facts: Facts, positions: Intervals): GateVerdict {
  const meant = origins(positions, facts.cohortMoves);
  const open = facts.openDivergences.filter(({ position }) => includes(meant, position));
  const name = facts.document.migration;
  const repair = `changeover repair ${name} ${REASON}`;
  if (open.length === 0 && moreDivergeIn(facts, positions)) {
    const evidence = `the last verification of ${describePositions(positions)} found more divergent records than it lists, and those that it lists are mended`;
    return gate(
      'divergences',
      false,
      evidence,
      `changeover verify ${name}; then ${repair}, in turn until it lists all`,
    );
  }
  const many = open.length >= MOST_ROWS ? `${MOST_ROWS} records or more` : `${open.length} records`;
  return gate(
    'divergences',
    open.length === 0,
    open.length === 0
      ? `none open in ${describePositions(positions)}`
      : `${open.length === 1 ? '1 record differs' : `${many} differ`} in ${describePositions(positions)}`,
    repair,
  );
}

function shadowGate(facts: Facts, to: Threshold): GateVerdict {
  const { shadowCompared: n, shadowDivergent: bad } = facts.row;
  const { migration, dials } = facts.document;
  const read = dials.shadowRead >= Math.min(to, EVERY_BUCKET);
  const bound = n > 3 ? ` (which bounds the rate by ${Number((300 / n).toPrecision(2))} % at 95 %)` : '';
  return gate(
    'shadow-reads',
    read && n > 0 && bad === 0,
    !read
      ? `shadow-read stands at ${describeDial(dials.shadowRead)}`
      : n === 0
        ? 'no read was compared since the last change: the services made none, or the store that follows answered none'
        : `${bad} divergent in ${n} comparison${n === 1 ? '' : 's'} since the last change${bad === 0 ? bound : ''}`,
    !read
      ? command(migration, 'shadow-read', argument(to))
      : bad > 0
        ? `changeover repair ${migration} ${REASON}`
        : `changeover status ${migration}`,
    true,
  );
}

function verificationGate(facts: Facts, positions: Intervals, evidence: CallerEvidence): GateVerdict {
  const { migration, settings } = facts.document;
  const [passed, text] = verifiedAs(facts, positions, evidence.mapping);
  const remedy = `changeover verify ${migration}${settings.verification === 'proven' ? ' --prove' : ''}`;
  return gate('verification', passed, text, remedy, true);
}

function retireGates(facts: Facts, evidence: CallerEvidence): readonly GateVerdict[] {
  const everything = below(facts.document.dials.cutover);
  const toNew = facts.dirt.filter(({ target }) => target === 'new');
  return [
    gate(
      'coverage',
      covers(facts.row.coverageNew, everything),
      `the new store is ${covers(facts.row.coverageNew, everything) ? '' : 'not known to be '}complete`,
      'changeover backfill',
    ),
    gate('dirty', toNew.length === 0, describeDirt(toNew), `changeover repair ${facts.document.migration} ${REASON}`),
    gate(
      'replays',
      facts.runningReplays === 0,
      facts.runningReplays === 0 ? 'none is running' : `${facts.runningReplays} running`,
      `changeover status ${facts.document.migration}`,
    ),
    fleetGate(facts, facts.row.revision, `revision ${facts.row.revision}`),
    ...configurationGates(facts),
    verificationGate(facts, everything, evidence),
  ];
}

/** The furthest value a dial may take towards `to` by coverage alone, for a refusal to offer; null is none. */
export function furthest(facts: Pick<Facts, 'row' | 'dirt'>, from: Threshold, to: Threshold): Threshold | null {
  const side: Side = to > from ? 'new' : 'old';
  const blocked = [
    ...subtract(between(from, to), coverageOf(facts.row, side)),
    ...facts.dirt.map(({ range }) => range).filter((range) => overlaps([range], between(from, to))),
  ];
  if (blocked.length === 0) return to;
  const bound =
    to > from
      ? Math.min(...blocked.map(([start]) => Math.max(start, from)))
      : Math.max(...blocked.map(([, end]) => Math.min(end, from)));
  return bound === from || bound < NOBODY ? null : bound;
}
