import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Controller, MoveResult } from '../control/controller.ts';
import type { MoveShare } from '../control/outlook.ts';
import { between, type DialName, type DialValue, dialValue, parseDialValue, type Threshold } from '../core/dial.ts';
import { type GateVerdict, InvalidArgument, RevisionConflict } from '../core/errors.ts';
import type { Cohort } from '../core/ruleset.ts';
import { Ruleset, type RulesetDocument } from '../core/ruleset.ts';
import type { Settings } from '../core/settings.ts';
import { type DialMove, type Stage, standingOf } from '../core/stage.ts';
import { type Action, addAction } from './action.ts';
import { addRoute, authorshipOf, type ServerParts } from './routing.ts';
import {
  BOOLEAN,
  COHORT,
  DIAL,
  DIAL_VALUE,
  NAME,
  nullable,
  object,
  REASON,
  REVISION,
  type Schema,
  SETTINGS,
  STAGE,
} from './schemas.ts';
import { UNIT, unitOf } from './unit-json.ts';

/** What a move came to. */
export interface MoveOutcome {
  readonly migration: string;
  readonly dial: DialName;
  readonly from: DialValue | boolean;
  readonly to: DialValue | boolean;
  readonly changed: boolean;
  readonly revision: number;
  readonly gates: readonly GateVerdict[];
  readonly tookMs: number;
  /** How long writes waited at most, where authority moved. */
  readonly pauseMs: number | null;
}

/** What a move would do; nothing has changed. */
export interface MovePreview {
  readonly migration: string;
  readonly dial: DialName;
  readonly from: DialValue | boolean;
  readonly to: DialValue | boolean;
  readonly changed: boolean;
  readonly allowed: boolean;
  readonly revision: number;
  readonly gates: readonly GateVerdict[];
  /** How it would be done. */
  readonly next: 'done' | 'handover' | 'stamping';
  /** Of a cutover that is not allowed: the furthest that coverage and dirt allow. */
  readonly furthest: DialValue | null;
  /** What it concerns; null of retire-old, which concerns everything. */
  readonly moves: MoveShare | null;
}

const ANSWER: Schema = { type: 'object', additionalProperties: true };

const thresholdOf = ({ dials }: RulesetDocument, dial: Exclude<DialName, 'retire-old'>): Threshold =>
  ({ 'dual-write': dials.dualWrite, 'shadow-read': dials.shadowRead, cutover: dials.cutover })[dial];

/** @throws InvalidArgument */
export function moveOf(dial: DialName, to: DialValue | boolean): DialMove {
  if (dial !== 'retire-old') return { dial, to: parseDialValue(to) };
  if (typeof to === 'boolean') return { dial, to };
  throw new InvalidArgument('retire-old is a switch', { expected: 'true or false' });
}

interface DialBody {
  readonly dial: DialName;
  readonly to: DialValue | boolean;
  readonly force?: boolean;
  readonly ifRevision?: number | null;
}

const DIAL_BODY: Readonly<Record<string, Schema>> = {
  dial: DIAL,
  to: DIAL_VALUE,
  'force?': { ...BOOLEAN, description: 'overrides gates that are advice' },
  'ifRevision?': { ...nullable(REVISION), description: 'only if the migration is at this revision' },
};

function outcomeOf(dial: DialName, result: MoveResult): MoveOutcome {
  const { before, document, gates, tookMs, pauseMs } = result;
  const from = standingOf(before, dial);
  const to = standingOf(document.dials, dial);
  const { migration, revision } = document;
  return { migration, dial, from, to, changed: from !== to, revision, gates, tookMs, pauseMs };
}

/** Moving dials, units and settings. */
export function moveRoutes(app: FastifyInstance, parts: ServerParts): void {
  const { operations } = parts;
  const { plane } = operations;
  const add = <Body>(action: Omit<Action<Body>, 'role'> & { readonly role?: 'admin' }): void =>
    addAction<Body>(app, parts, { role: 'operator', ...action });

  const preview = async (controller: Controller, move: DialMove, force: boolean): Promise<MovePreview> => {
    const before = await plane.ruleset(controller.migration);
    const answer = await controller.preview(move, { force });
    const { gates, document, next, allowed, furthest = null } = answer;
    const moves =
      move.dial === 'retire-old'
        ? null
        : await plane.moveShare(controller.migration, between(thresholdOf(before, move.dial), move.to));
    return {
      migration: controller.migration,
      dial: move.dial,
      from: standingOf(answer.before, move.dial),
      to: move.dial === 'retire-old' ? move.to : dialValue(move.to),
      changed: document === null,
      allowed,
      revision: before.revision,
      gates,
      next,
      furthest: furthest === null ? null : dialValue(furthest),
      moves,
    };
  };

  addRoute(app, {
    method: 'POST',
    url: '/migrations/:name/preview',
    access: 'viewer',
    id: 'previewMove',
    summary: 'What a move of a dial would need; changes nothing',
    tag: 'actions',
    params: { name: NAME },
    body: object(DIAL_BODY),
    answers: { 200: ANSWER },
    handle: async (request: FastifyRequest) => {
      const { name } = request.params as { readonly name: string };
      const { dial, to, force = false, ifRevision = null } = request.body as DialBody;
      const move = moveOf(dial, to);
      const { revision } = await plane.ruleset(name);
      if (ifRevision !== null && ifRevision !== revision) {
        throw new RevisionConflict(`${name} is at revision ${revision}, not ${ifRevision}`, { remedy: 'look again' });
      }
      return preview(await operations.migration(name), move, force);
    },
  });

  add<DialBody>({
    url: '/dials',
    id: 'moveDial',
    summary: 'Moves one dial, if its gates allow it, and waits until that is in force everywhere',
    kind: 'move',
    body: DIAL_BODY,
    waits: true,
    begin: async (name, { dial, to, force = false, ifRevision = null }, who) => {
      const move = moveOf(dial, to);
      await plane.ruleset(name);
      const controller = await operations.migration(name);
      return async (signal) => outcomeOf(dial, await controller.set(move, { ...who, force, ifRevision, signal }));
    },
  });

  add<{ readonly stage: Stage; readonly force?: boolean; readonly dryRun?: boolean }>({
    url: '/stage',
    id: 'moveStage',
    summary: 'Makes the moves that lead to a stage, one revision each; stops at the first gate',
    kind: 'stage',
    body: { stage: STAGE, 'force?': BOOLEAN, 'dryRun?': BOOLEAN },
    waits: true,
    begin: async (name, { stage, force = false, dryRun = false }, who) => {
      await plane.ruleset(name);
      const controller = await operations.migration(name);
      return async (signal, progress) => {
        const plan = await controller.planStage(stage);
        const [first] = plan;
        if (dryRun)
          return { plan, moves: [], preview: first === undefined ? null : await preview(controller, first, force) };
        const moves: MoveOutcome[] = [];
        for (const move of plan) {
          signal.throwIfAborted();
          moves.push(outcomeOf(move.dial, await controller.set(move, { ...who, force, signal })));
          progress({ plan, moves });
        }
        return { plan, moves };
      };
    },
  });

  add<{ readonly unit: unknown; readonly cohort: Cohort | null }>({
    url: '/cohorts',
    id: 'moveUnit',
    summary: 'Moves one unit before all others, behind all, or back to its bucket (null)',
    kind: 'cohort',
    body: { unit: UNIT, cohort: nullable(COHORT) },
    waits: true,
    begin: async (name, { unit, cohort }, who) => {
      const { unit: text } = await operations.route(name, unitOf(unit));
      const controller = await operations.migration(name);
      return async (signal) => {
        const ruleset = new Ruleset(await controller.cohort(unitOf(unit), cohort, { ...who, signal }));
        return {
          ...ruleset.route(text),
          unit: text,
          cohort,
          position: ruleset.position(text),
          revision: ruleset.revision,
        };
      };
    },
  });

  add({
    url: '/rollback',
    id: 'rollBack',
    summary: 'The old store leads everything again: fenced, nothing lost',
    kind: 'rollback',
    body: {},
    waits: true,
    begin: async (name, _, who) => {
      await plane.ruleset(name);
      const controller = await operations.migration(name);
      return async (signal) => outcomeOf('cutover', await controller.rollback({ ...who, force: true, signal }));
    },
  });

  add<{ readonly force?: boolean }>({
    url: '/emergency',
    id: 'rollBackAtOnce',
    summary: 'For a new store that hangs or died: the old one leads at once; what only the new one has is dirty',
    kind: 'emergency',
    body: { 'force?': { ...BOOLEAN, description: 'also while a process is silent that may have ended' } },
    waits: true,
    begin: async (name, { force = false }, who) => {
      await plane.ruleset(name);
      const controller = await operations.migration(name);
      return async () => {
        const outcome = outcomeOf('cutover', await controller.emergency({ ...who, force }));
        return { ...outcome, dirty: (await plane.status(name)).dirty };
      };
    },
  });

  add({
    url: '/handover/finish',
    id: 'finishHandover',
    summary: 'Goes on with a handover that nobody drives; undoes it when it does not get through',
    kind: 'handover',
    body: {},
    waits: true,
    begin: async (name, _, who) => {
      await plane.ruleset(name);
      const controller = await operations.migration(name);
      return async (signal) => ({ revision: (await controller.finishHandover({ ...who, signal })).revision });
    },
  });

  add({
    url: '/handover/cancel',
    id: 'cancelHandover',
    summary: 'Undoes the handover that is going on',
    kind: 'handover',
    body: {},
    waits: true,
    begin: async (name, _, who) => {
      await plane.ruleset(name);
      const controller = await operations.migration(name);
      return async (signal) => {
        await plane.cancelHandover(name, who);
        return { revision: (await controller.finishHandover({ ...who, signal })).revision };
      };
    },
  });

  addRoute(app, {
    method: 'PATCH',
    url: '/migrations/:name/settings',
    access: 'operator',
    id: 'changeSettingsOf',
    summary: 'Changes settings; in force in every process within a moment',
    tag: 'actions',
    params: { name: NAME },
    body: object({ settings: SETTINGS, reason: REASON }),
    answers: { 200: ANSWER },
    handle: async (request: FastifyRequest) => {
      const { name } = request.params as { readonly name: string };
      const { settings } = request.body as { readonly settings: Partial<Settings> };
      const document = await plane.changeSettings(name, settings, authorshipOf(request));
      parts.feed.poke();
      return { revision: document.revision, settings: document.settings };
    },
  });
}
