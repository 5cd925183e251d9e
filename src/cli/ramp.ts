import { randomUUID } from 'node:crypto';
import type { ControlPlaneApi } from '../control/control-plane.ts';
import { RampDriver } from '../control/ramp-driver.ts';
import type { RampRow } from '../control/ramp-row.ts';
import { sleep, systemClock } from '../core/clock.ts';
import { describeDial, parseDialValue, type Threshold } from '../core/dial.ts';
import { InvalidArgument } from '../core/errors.ts';
import {
  DEFAULT_BUDGETS,
  type RampBudgets,
  type RampDial,
  type RampPlan,
  rampSteps,
  shareDial,
  validateRampPlan,
} from '../core/ramp.ts';
import { parseDuration, parseFactor, parsePercent, parseShare } from './amount.ts';
import { EXIT } from './exit-code.ts';
import { DRY_RUN, examples, REASON, type Registration } from './registration.ts';
import { authorship, type Outcome, type ReasonOptions, type Session } from './session.ts';
import { ago, duration, printable } from './wording.ts';

interface RampCall extends ReasonOptions {
  readonly to?: string;
  readonly steps?: string;
  readonly hold?: string;
  readonly maxErrors?: string;
  readonly maxP99?: string;
  readonly maxDivergence?: string;
  readonly provenBelow?: string;
  readonly force?: true;
  readonly detach?: true;
  readonly pause?: true;
  readonly resume?: true;
  readonly stop?: true;
}

const RAMP_DIALS = ['dual-write', 'shadow-read', 'cutover'] as const satisfies readonly RampDial[];
/** Between two looks at a ramp that somebody else drives. */
const LOOK_MS = 500;
const SHOWN = 5;
const USUAL_HOLD = '10m';

/** `changeover ramp <migration> [dial]`: a dial step by step, and back by itself when a budget is broken. */
export const rampCommand: Registration = (program, run) => {
  program
    .command('ramp')
    .description(
      'turn a dial up step by step, each with its gates and a clean hold; it goes back by itself when the new store breaks a budget',
    )
    .argument('<migration>')
    .argument('[dial]', `${RAMP_DIALS.join(', ')}; without it, shows the ramps there were`)
    .option('--to <value>', 'where it ends (default: 100)')
    .option('--steps <list>', 'where it stops on the way (default: canary,1,5,25,50,100)')
    .option('--hold <time>', `how long each step must be clean (default: ${USUAL_HOLD})`)
    .option('--max-errors <percent>', 'how much more often the new store may fail than the old one (default: 1%)')
    .option('--max-p99 <factor>', 'how many times slower it may be, above 50 ms (default: 3x)')
    .option('--max-divergence <percent>', 'shadow reads that may differ (default: 0%)')
    .option('--proven-below <percent>', 'hold until fewer differ than this with 95 % confidence')
    .option('--force', 'override gates that are advice, never those that would lose data')
    .option('--detach', 'only begin it: a running `changeover serve` drives it')
    .option('--pause', 'stay at the step it is at')
    .option('--resume', 'go on, with a fresh hold')
    .option('--stop', 'end it where it is')
    .option(...REASON)
    .option(...DRY_RUN)
    .addHelpText(
      'after',
      examples(
        'changeover ramp events cutover --to 100 --steps 1,5,25,50,100 --hold 10m --reason OPS-2291',
        'changeover ramp events --pause --reason "peak hours"',
        'changeover ramp events',
      ),
    )
    .action(
      run(async (session, migration: string, dial: string | undefined, options: RampCall) => {
        await session.definition(migration);
        const how = steeredBy(dial, options);
        if (how !== null) return steer(session, migration, how, options);
        if (dial !== undefined) return begin(session, migration, parseDial(dial), options);
        return show(session, migration);
      }),
    );
};

const STEERING = ['pause', 'resume', 'stop'] as const;
const PLANNING = ['to', 'steps', 'hold', 'maxErrors', 'maxP99', 'maxDivergence', 'provenBelow', 'force'] as const;
type Steering = (typeof STEERING)[number];

/** What is to become of the ramp that is under way. @throws InvalidArgument where that, or what to begin, is not clear */
function steeredBy(dial: string | undefined, options: RampCall): Steering | null {
  const asked = STEERING.filter((name) => options[name] === true);
  const planned = PLANNING.filter((name) => options[name] !== undefined);
  const wrong = [...asked, ...planned].map((name) => `--${dashed(name)}`);
  const [how = null] = asked;
  if (asked.length + planned.length > 1 && how !== null) {
    throw new InvalidArgument(`${wrong.join(' and ')} do not go together`, {
      expected: 'one of --pause, --resume and --stop, by itself',
    });
  }
  if (how === null && dial === undefined && planned.length > 0) {
    throw new InvalidArgument(`${wrong.join(' and ')}: which dial is to ramp?`, {
      expected: `one of ${RAMP_DIALS.join(', ')}, behind the migration`,
    });
  }
  if (how !== null && dial !== undefined) parseDial(dial);
  return how;
}

const dashed = (name: string): string => name.replace(/[A-Z]/g, (part) => `-${part.toLowerCase()}`);

/** @throws InvalidArgument */
function parseDial(text: string | undefined): RampDial {
  const dial = RAMP_DIALS.find((known) => known === text);
  if (dial !== undefined) return dial;
  throw new InvalidArgument(`"${text}" is no dial that a ramp turns`, { expected: RAMP_DIALS.join(', ') });
}

/** @throws InvalidArgument */
function parsePlan(dial: RampDial, present: Threshold, options: RampCall): RampPlan {
  const steps = options.steps?.split(',').map((step) => parseDialValue(step.trim()));
  const to = parseDialValue(options.to ?? '100');
  const above = steps?.find((step) => step > to);
  if (above !== undefined) {
    throw new InvalidArgument(`the step ${describeDial(above)} lies beyond --to ${describeDial(to)}`, {
      expected: 'steps up to where the ramp ends',
    });
  }
  const budget = (option: string, text: string | undefined, parse: typeof parsePercent, usual: number): number =>
    text === undefined ? usual : parse(option, text);
  const budgets: RampBudgets = {
    errorRate: budget('--max-errors', options.maxErrors, parsePercent, DEFAULT_BUDGETS.errorRate),
    p99Ratio: budget('--max-p99', options.maxP99, parseFactor, DEFAULT_BUDGETS.p99Ratio),
    p99FloorMs: DEFAULT_BUDGETS.p99FloorMs,
    divergence: budget('--max-divergence', options.maxDivergence, parsePercent, DEFAULT_BUDGETS.divergence),
    divergenceBound: options.provenBelow === undefined ? null : parseShare('--proven-below', options.provenBelow),
  };
  const plan = {
    dial,
    steps: rampSteps(present, to, steps),
    holdMs: parseDuration('--hold', options.hold ?? USUAL_HOLD),
    budgets,
    force: options.force === true,
  };
  validateRampPlan(plan, present);
  return plan;
}

async function begin(session: Session, migration: string, dial: RampDial, options: RampCall): Promise<Outcome> {
  const { terminal } = session;
  const { dials } = await session.moving(migration);
  const plan = parsePlan(dial, dials[shareDial(dial)], options);
  const why = authorship(options);
  const steps = plan.steps.map(describeDial).join(', ');
  const words = `${dial} ${describeDial(dials[shareDial(dial)])} → ${steps}, each clean for ${duration(plan.holdMs)}`;
  if (options.dryRun === true) {
    terminal.say(`dry run: ${migration} would ramp ${words}`);
    return { code: EXIT.done, data: { migration, dryRun: true, plan } };
  }
  const plane = await session.plane(migration);
  const row = await plane.startRamp({ migration, plan, ...why });
  terminal.say(`${terminal.style('bold', migration)} ramps ${words}`);
  if (options.detach === true) {
    terminal.say(`ramp ${row.id} is begun; a running \`changeover serve\` drives it: changeover ramp ${migration}`);
    return { code: EXIT.done, data: documentOf(row) };
  }
  return follow(session, plane, row);
}

async function steer(session: Session, migration: string, how: Steering, options: RampCall): Promise<Outcome> {
  const plane = await session.plane(migration);
  const why = authorship(options);
  if (options.dryRun === true) {
    const [present] = (await plane.ramps(migration, 1)).filter(({ finishedAt }) => finishedAt === null);
    session.terminal.say(
      present === undefined
        ? `dry run: ${migration} has no ramp under way`
        : `dry run: would ${how} ${lineOf(present)}`,
    );
    return {
      code: EXIT.done,
      data: { migration, dryRun: true, ramp: present === undefined ? null : documentOf(present) },
    };
  }
  const row = await plane.steerRamp(migration, how, why);
  session.terminal.say(lineOf(row));
  return how === 'resume' && options.detach !== true
    ? follow(session, plane, row)
    : { code: EXIT.done, data: documentOf(row) };
}

/** Drives the ramp, or watches whoever does, until it ends. */
async function follow(session: Session, plane: ControlPlaneApi, begun: RampRow): Promise<Outcome> {
  const { terminal, signal } = session;
  const { migration, id } = begun;
  // Through a server nobody drives but the server.
  const through = /^https?:/.test((await session.config()).control);
  let said = '';
  const onChange = (row: RampRow): void => {
    const line = lineOf(row);
    if (line !== said) terminal.note(line);
    said = line;
  };
  const runner = `${process.pid}-${randomUUID()}`;
  const driver = new RampDriver({
    plane,
    clock: systemClock,
    runner,
    signal,
    onChange,
    controller: () => session.controller(migration),
  });
  for (;;) {
    if (!through) await driver.drive(id);
    const row = (await plane.ramps(migration, 1_000)).find((known) => known.id === id) ?? begun;
    onChange(row);
    if (row.finishedAt !== null) {
      terminal.say(`${terminal.style('bold', migration)} ${row.note ?? row.state}`);
      return { code: row.state === 'done' ? EXIT.done : EXIT.refused, data: documentOf(row) };
    }
    if (row.state === 'paused') return { code: EXIT.inconclusive, data: documentOf(row) };
    await sleep(systemClock, LOOK_MS, signal);
  }
}

async function show(session: Session, migration: string): Promise<Outcome> {
  const rows = await (await session.plane(migration)).ramps(migration, SHOWN);
  const { terminal } = session;
  if (rows.length === 0) terminal.say(`${migration} has had no ramp`);
  for (const row of rows) {
    terminal.say(lineOf(row));
    for (const { check, state, evidence } of row.checks)
      terminal.say(`  ${MARKS[state]} ${check.padEnd(11)} ${evidence}`);
    terminal.say(`  ${printable(row.actor)}, ${ago(row.startedAt)}: ${printable(row.reason)}`);
  }
  return { code: EXIT.done, data: { migration, ramps: rows.map(documentOf) } };
}

const MARKS = { kept: '✓', broken: '✗', open: '·' } as const;

/** A ramp in one line. */
function lineOf({ id, state, plan, step, stepSince, start, note }: RampRow): string {
  const at = describeDial(plan.steps[step] as Threshold);
  const where =
    state === 'done'
      ? `done at ${at}`
      : state === 'returned'
        ? `back at ${describeDial(start)}`
        : state === 'returning'
          ? `going back to ${describeDial(start)}`
          : `${state === 'running' ? '' : `${state} `}${stepSince === null ? 'on its way to' : 'at'} ${at}, step ${step + 1} of ${plan.steps.length}`;
  return `ramp ${id}: ${plan.dial} ${where}${note === null ? '' : `; ${printable(note)}`}`;
}

/** What `--json` prints of a ramp. */
export const documentOf = (row: RampRow): object => ({
  id: row.id,
  migration: row.migration,
  dial: row.plan.dial,
  state: row.state,
  steps: row.plan.steps.map(describeDial),
  step: row.step + 1,
  inForceSince: row.stepSince,
  holdMs: row.plan.holdMs,
  budgets: row.plan.budgets,
  checks: row.checks,
  note: row.note,
  actor: row.actor,
  reason: row.reason,
  startedAt: row.startedAt,
  finishedAt: row.finishedAt,
});
