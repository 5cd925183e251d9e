import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { RampRow } from '../control/ramp-row.ts';
import { type DialValue, dialValue, parseDialValue, type Threshold } from '../core/dial.ts';
import { DEFAULT_BUDGETS, type RampBudgets, type RampDial, rampSteps, shareDial } from '../core/ramp.ts';
import { BUDGETS, HOLD_MS, RAMP_DIAL } from './ramp-schemas.ts';
import { addRoute, authorshipOf, type ServerParts } from './routing.ts';
import { array, BOOLEAN, DIAL_VALUE, NAME, object, oneOf, REASON, type Schema, whole } from './schemas.ts';

/** A ramp as the API tells it. */
export interface RampView {
  readonly id: number;
  readonly migration: string;
  readonly dial: RampDial;
  readonly state: RampRow['state'];
  readonly start: DialValue;
  readonly steps: readonly DialValue[];
  /** The index of the step that is on. */
  readonly step: number;
  /** Since when it is in force everywhere; null while it is not. */
  readonly stepSince: number | null;
  readonly holdMs: number;
  readonly budgets: RampBudgets;
  readonly checks: RampRow['checks'];
  readonly note: string | null;
  readonly actor: string;
  readonly reason: string;
  readonly startedAt: number;
  readonly finishedAt: number | null;
}

const viewOf = ({ plan, start, ...row }: RampRow): RampView => ({
  id: row.id,
  migration: row.migration,
  dial: plan.dial,
  state: row.state,
  start: dialValue(start),
  steps: plan.steps.map(dialValue),
  step: row.step,
  stepSince: row.stepSince,
  holdMs: plan.holdMs,
  budgets: plan.budgets,
  checks: row.checks,
  note: row.note,
  actor: row.actor,
  reason: row.reason,
  startedAt: row.startedAt,
  finishedAt: row.finishedAt,
});

interface RampBody {
  readonly dial: RampDial;
  readonly to: DialValue;
  readonly steps?: readonly DialValue[];
  readonly holdMs: number;
  readonly budgets?: Partial<RampBudgets>;
  readonly force?: boolean;
  readonly reason: string;
}

const ANSWER: Schema = { type: 'object', additionalProperties: true };
const optional = (schemas: Readonly<Record<string, Schema>>): Record<string, Schema> =>
  Object.fromEntries(Object.entries(schemas).map(([name, schema]) => [`${name}?`, schema]));

/** Ramps: this server drives them, or another one does. */
export function rampRoutes(app: FastifyInstance, { operations, feed }: ServerParts): void {
  const { plane } = operations;
  const nameOf = (request: FastifyRequest): string => (request.params as { readonly name: string }).name;

  addRoute(app, {
    method: 'GET',
    url: '/migrations/:name/ramps',
    access: 'viewer',
    id: 'listRamps',
    summary: 'The ramps there were, newest first, and how the one under way does',
    tag: 'migrations',
    params: { name: NAME },
    query: { 'limit?': { ...whole(1, 100), default: 20 } },
    answers: { 200: array(ANSWER) },
    handle: async (request) => {
      const name = nameOf(request);
      await plane.ruleset(name);
      return (await plane.ramps(name, (request.query as { readonly limit: number }).limit)).map(viewOf);
    },
  });

  addRoute(app, {
    method: 'POST',
    url: '/migrations/:name/ramps',
    access: 'operator',
    id: 'startRamp',
    summary:
      'Turns a dial up step by step, each with its gates and a clean hold; back by itself when a budget is broken',
    tag: 'actions',
    params: { name: NAME },
    body: object({
      dial: RAMP_DIAL,
      to: DIAL_VALUE,
      'steps?': { ...array(DIAL_VALUE, 100), description: 'where it stops on the way' },
      holdMs: HOLD_MS,
      'budgets?': object(optional(BUDGETS)),
      'force?': { ...BOOLEAN, description: 'overrides gates that are advice' },
      reason: REASON,
    }),
    answers: { 201: ANSWER },
    handle: async (request, reply) => {
      const name = nameOf(request);
      const { dial, to, steps, holdMs, budgets, force = false } = request.body as RampBody;
      const { dials } = await plane.ruleset(name);
      const wanted: readonly Threshold[] | undefined = steps?.map(parseDialValue);
      const plan = {
        dial,
        steps: rampSteps(dials[shareDial(dial)], parseDialValue(to), wanted),
        holdMs,
        budgets: { ...DEFAULT_BUDGETS, ...budgets },
        force,
      };
      const row = await plane.startRamp({ migration: name, plan, ...authorshipOf(request) });
      feed.poke();
      reply.code(201);
      return viewOf(row);
    },
  });

  addRoute(app, {
    method: 'POST',
    url: '/migrations/:name/ramps/:how',
    access: 'operator',
    id: 'steerRamp',
    summary: 'The ramp under way stays where it is, goes on with a fresh hold, or ends there',
    tag: 'actions',
    params: { name: NAME, how: oneOf('pause', 'resume', 'stop') },
    body: object({ reason: REASON }),
    answers: { 200: ANSWER },
    handle: async (request) => {
      const { how } = request.params as { readonly how: 'pause' | 'resume' | 'stop' };
      const row = await plane.steerRamp(nameOf(request), how, authorshipOf(request));
      feed.poke();
      return viewOf(row);
    },
  });
}
