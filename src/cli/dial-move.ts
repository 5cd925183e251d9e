import type { Controller, MoveResult } from '../control/controller.ts';
import { type DialName, type DialValue, describeDial, dialValue } from '../core/dial.ts';
import { GatesRefused, RevisionConflict } from '../core/errors.ts';
import type { RulesetDocument } from '../core/ruleset.ts';
import { type DialMove, standingOf } from '../core/stage.ts';
import { EXIT } from './exit-code.ts';
import { allows, sayGates } from './gate-text.ts';
import { moving } from './moving.ts';
import type { Outcome, Session } from './session.ts';
import { duration, percent, plural } from './wording.ts';

/** What `--json` prints of a move; `allowed` says what a dry run came to. */
export interface MoveData {
  readonly migration: string;
  readonly dial: DialName;
  readonly from: DialValue | boolean;
  readonly to: DialValue | boolean;
  readonly allowed: boolean;
  readonly changed: boolean;
  readonly dryRun: boolean;
  readonly revision: number;
  readonly gates: MoveResult['gates'];
  readonly tookMs: number | null;
  readonly pauseMs: number | null;
}

/** How a move is to be made. */
export interface MoveCall {
  readonly actor: string;
  readonly reason: string;
  readonly force: boolean;
  readonly ifRevision: number | null;
}

const dialText = (value: DialValue | boolean): string =>
  typeof value === 'boolean' ? (value ? 'yes' : 'no') : percent(value);

/** `cutover 25 %`. */
export const describeMove = (move: DialMove): string =>
  `${move.dial} ${move.dial === 'retire-old' ? (move.to ? 'yes' : 'no') : describeDial(move.to)}`;

/**
 * Makes one move and prints its gates and what moved.
 * @throws GatesRefused after the gates are printed
 */
export async function makeMove(
  session: Session,
  controller: Controller,
  move: DialMove,
  call: MoveCall,
  act: () => Promise<MoveResult> = () => controller.set(move, { ...call, signal: session.signal }),
): Promise<MoveData> {
  const { terminal } = session;
  const name = controller.migration;
  let result: MoveResult;
  try {
    result = await moving(session, controller, call, act);
  } catch (error) {
    if (error instanceof GatesRefused) sayGates(terminal, error.gates, call.force);
    throw error;
  }
  const { before, document, gates, tookMs, pauseMs } = result;
  const from = standingOf(before, move.dial);
  const to = standingOf(document.dials, move.dial);
  if (from === to) {
    terminal.say(`${name} ${move.dial} stands at ${dialText(to)} already; nothing changed`);
  } else {
    sayGates(terminal, gates, call.force);
    const { nodes } = (await (await session.plane(name)).status(name)).fleet;
    const everywhere = nodes === 0 ? 'no process is running' : `in force in ${plural(nodes, 'process', 'processes')}`;
    terminal.say(
      `${terminal.style('bold', name)} ${move.dial} ${dialText(from)} → ${terminal.style('bold', dialText(to))}, revision ${document.revision}; ${everywhere} after ${duration(tookMs)}`,
    );
    if (pauseMs !== null) terminal.say(`handover: writes of what moved waited ${duration(pauseMs)} at most`);
  }
  return {
    migration: name,
    dial: move.dial,
    from,
    to,
    allowed: true,
    changed: from !== to,
    dryRun: false,
    revision: document.revision,
    gates,
    tookMs: Math.round(tookMs),
    pauseMs: pauseMs === null ? null : Math.round(pauseMs),
  };
}

/** Prints the gates of a move and what it would do; the exit code says whether it would be allowed. */
export async function previewMove(
  session: Session,
  controller: Controller,
  before: RulesetDocument,
  move: DialMove,
  call: MoveCall,
): Promise<Outcome & { readonly data: MoveData }> {
  const { terminal } = session;
  const name = controller.migration;
  const { revision } = before;
  if (call.ifRevision !== null && call.ifRevision !== revision) {
    throw new RevisionConflict(`${name} is at revision ${revision}, not ${call.ifRevision}`, {
      remedy: 'look again, then repeat',
    });
  }
  const { gates, next, document, before: dials } = await controller.preview(move, { force: call.force });
  const from = standingOf(dials, move.dial);
  const to = move.dial === 'retire-old' ? move.to : dialValue(move.to);
  const changed = document === null;
  const allowed = !changed || allows(gates, call.force);
  sayGates(terminal, gates, call.force);
  const how =
    next === 'handover'
      ? ', by a fenced handover: writes of what moves wait for some milliseconds'
      : next === 'stamping'
        ? ', after stamping was brought on in two revisions'
        : '';
  if (!changed) terminal.say(`${name} ${move.dial} stands at ${dialText(to)} already: nothing would change`);
  else if (allowed) terminal.say(`dry run: ${name} ${move.dial} would go ${dialText(from)} → ${dialText(to)}${how}`);
  else terminal.say(`dry run: ${name} ${move.dial} ${dialText(from)} → ${dialText(to)} would be refused`);
  const data: MoveData = {
    migration: name,
    dial: move.dial,
    from,
    to,
    allowed,
    changed,
    dryRun: true,
    revision,
    gates,
    tookMs: null,
    pauseMs: null,
  };
  return { code: allowed ? EXIT.done : EXIT.refused, data };
}
