import { refuseOther } from '../control/replays.ts';
import { noWorkers } from '../control/shared-replay.ts';
import { describePositions, parsePositions, WHOLE_LINE } from '../core/dial.ts';
import { GatesRefused, type GateVerdict, InvalidArgument } from '../core/errors.ts';
import { covers, type Intervals, intersect, overlaps, subtract } from '../core/intervals.ts';
import { mirroredTo, type RulesetDocument } from '../core/ruleset.ts';
import { otherSide, type Side } from '../core/stage.ts';
import { EXIT } from './exit-code.ts';
import { allows, sayGates } from './gate-text.ts';
import { preload, previewPreload } from './preload.ts';
import { DRY_RUN, examples, REASON, type Registration } from './registration.ts';
import { runReplay } from './replay-run.ts';
import { authorship, type Outcome, type ReasonOptions, type Session } from './session.ts';
import { changeSetting } from './setting-change.ts';
import { parseSetting } from './setting-value.ts';
import { count, duration, plural, replayCommand } from './wording.ts';

interface BackfillCall extends ReasonOptions {
  readonly to: string;
  readonly positions?: string;
  readonly preload?: true;
  readonly detach?: true;
  readonly pause?: true;
  readonly resume?: true;
  readonly cancel?: true;
  readonly rate?: string;
  readonly concurrency?: string;
}

/** `changeover backfill <migration>`: copies everything that the follower may lack. */
export const backfillCommand: Registration = (program, run) => {
  program
    .command('backfill')
    .description('copy everything from the leading store to the one that follows; goes on where an earlier one stopped')
    .argument('<migration>')
    .option('--to <side>', 'the store that is filled: new or old', 'new')
    .option('--positions <list>', 'only these: canary, kept-back, shares of the line as 0-5 (percent); with commas')
    .option('--preload', 'fill the new store before dual-write, faster; the backfill after it skips what is there')
    .option('--rate <n>', 'records a second, or none; changes the setting replay-rate, which stays')
    .option('--concurrency <n>', 'records put at once; changes the setting replay-concurrency, which stays')
    .option('--detach', 'only begin it, and leave the work to changeover worker on whatever machines it runs')
    .option('--pause', 'hold the one that is under way, whoever runs it; it keeps its place')
    .option('--resume', 'let it go on')
    .option('--cancel', 'end the one that is under way and forget how far it was')
    .option(...REASON)
    .option(...DRY_RUN)
    .addHelpText(
      'after',
      examples(
        'changeover backfill events --reason OPS-2291',
        'changeover backfill events --preload --reason "most of it before dual-write"',
        'changeover backfill events --rate 2000 --reason "peak hours"',
        'changeover backfill events --positions canary,0-5 --reason "a few tenants end to end"',
        'changeover backfill events --pause --reason "the sale begins"',
      ),
    )
    .action(
      run(async (session, migration: string, options: BackfillCall) => {
        await session.definition(migration);
        if (options.to !== 'new' && options.to !== 'old') {
          throw new InvalidArgument(`--to cannot be "${options.to}"`, { expected: 'new or old' });
        }
        const settings = [
          ['replay-rate', options.rate],
          ['replay-concurrency', options.concurrency],
        ] as const;
        for (const [name, text] of settings) if (text !== undefined) parseSetting(name, text);
        const positions = options.positions === undefined ? null : parsePositions(options.positions);
        const change = onlyOne(options);
        const kind = options.preload === true ? 'preload' : 'backfill';
        if (kind === 'preload') refuseBesidePreload(options);
        const why = authorship(options);
        const document = await session.moving(migration);
        const dryRun = options.dryRun === true;
        if (change === 'cancel') return cancel(session, migration, kind, options.to, why, dryRun);
        if (change !== null) return hold(session, migration, kind, options.to, change === 'pause', why, dryRun);
        if (kind === 'preload' && dryRun) return previewPreload(session, migration, why);
        if (kind === 'backfill') requireMirror(session, document, options.to, positions ?? WHOLE_LINE);
        if (dryRun) return preview(session, document, options.to, positions);
        const changes = settings.filter(([, text]) => text !== undefined);
        if (changes.length > 0) await refuseFirst(session, migration, kind, positions, options, why);
        for (const [name, text] of changes) {
          if (text !== undefined)
            await changeSetting(session, migration, name, text, { ...why, dryRun, ifRevision: null });
        }
        if (kind === 'preload') return preload(session, migration, why);
        if (options.detach === true) return detach(session, migration, options.to, positions, why);
        return backfill(session, migration, options.to, positions, why);
      }),
    );
};

/** @throws InvalidArgument for what a preload has no use for */
function refuseBesidePreload({ to, positions, detach }: BackfillCall): void {
  const wrong = to !== 'new' ? '--to old' : positions !== undefined ? '--positions' : detach ? '--detach' : null;
  if (wrong === null) return;
  throw new InvalidArgument(`--preload and ${wrong} do not go together`, {
    expected: 'a preload of the new store, all of it, by this process',
  });
}

/** A setting is not changed for what would be refused. @throws what the replay itself would */
async function refuseFirst(
  session: Session,
  migration: string,
  kind: 'backfill' | 'preload',
  positions: Intervals | null,
  { to, detach }: BackfillCall,
  why: { readonly actor: string; readonly reason: string },
): Promise<void> {
  const plane = await session.plane(migration);
  const running = await plane.runningReplay(migration, kind, to as Side);
  const { mapping } = await session.definition(migration);
  if (running !== null) refuseOther(running, { mapping, positions });
  if (detach === true && !(await session.operations()).hasWorkers) throw noWorkers();
  if (kind !== 'preload') return;
  const { gates } = await (await session.controller(migration)).previewPreload(why);
  if (allows(gates, false)) return;
  sayGates(session.terminal, gates);
  throw new GatesRefused(`the preload of ${migration} is refused by its gates; nothing changed`, gates);
}

/** What is to become of a backfill that is under way. @throws InvalidArgument when that is said in two ways */
function onlyOne(options: BackfillCall): 'pause' | 'resume' | 'cancel' | null {
  const asked = (['pause', 'resume', 'cancel'] as const).filter((name) => options[name] === true);
  const beside =
    asked.length === 0
      ? []
      : (['positions', 'rate', 'concurrency', 'detach'] as const).filter((name) => options[name] !== undefined);
  if (asked.length + beside.length > 1) {
    throw new InvalidArgument(`${[...asked, ...beside].map((name) => `--${name}`).join(' and ')} do not go together`, {
      expected:
        'one of --pause, --resume and --cancel, by itself; --rate and --concurrency are settings: changeover set',
    });
  }
  return asked[0] ?? null;
}

/** @throws GatesRefused when the target follows nowhere */
function requireMirror({ terminal }: Session, document: RulesetDocument, target: Side, positions: Intervals): void {
  const { migration, dials } = document;
  if (overlaps(mirroredTo(document, target), positions)) return;
  const whole = covers(positions, WHOLE_LINE);
  const what = whole ? 'nothing' : `nothing of ${describePositions(positions)}`;
  const remedy = dials.retireOld
    ? `changeover set ${migration} retire-old no --reason …`
    : target === 'old'
      ? `changeover backfill ${migration} fills the new one; the old one leads ${whole ? 'everything' : 'there'}`
      : overlaps(mirroredTo(document, 'old'), positions)
        ? `changeover backfill ${migration} --to old fills the old one; the new one leads ${whole ? 'everything' : 'there'}`
        : `changeover set ${migration} dual-write 100 --reason …`;
  const gates: GateVerdict[] = [
    { gate: 'mirror', passed: false, advice: false, evidence: `${what} is mirrored to the ${target} store`, remedy },
  ];
  sayGates(terminal, gates);
  throw new GatesRefused(
    `the backfill of ${migration} to the ${target} store has nothing to do; nothing changed`,
    gates,
  );
}

async function backfill(
  session: Session,
  migration: string,
  target: Side,
  positions: Intervals | null,
  why: { readonly actor: string; readonly reason: string },
): Promise<Outcome> {
  const { terminal, signal } = session;
  const controller = await session.controller(migration);
  const begun = performance.now();
  const summary = await runReplay(session, migration, 'backfill', [target], (onProgress) =>
    controller.backfill({ ...why, target, positions, signal, onProgress }),
  );
  const tookMs = performance.now() - begun;
  const { scanned, applied, skipped, rejected, covered, resumed, clearedDirt } = summary;
  terminal.say(
    `${terminal.style('bold', migration)} backfill to the ${target} store done in ${duration(tookMs)}${resumed ? ', gone on from its checkpoint' : ''}`,
  );
  terminal.say(
    `  ${count(scanned)} scanned: ${count(applied)} applied, ${count(skipped)} there already, ${count(rejected)} rejected`,
  );
  terminal.say(`  the ${target} store is complete in ${describePositions(covered)} because of it`);
  const left = await stillToFill(session, migration, target, positions);
  if (left.length > 0) {
    terminal.say(
      `  still to be filled: ${describePositions(left)}, by the same command (this one went on with an earlier one, or units or dials moved)`,
    );
  }
  if (clearedDirt > 0) terminal.say(`  ${plural(clearedDirt, 'dirty entry', 'dirty entries')} cleared`);
  if (rejected > 0) terminal.say(`  changeover status ${migration} --rejected names the rejected keys`);
  const data = {
    migration,
    target,
    dryRun: false,
    resumed,
    scanned,
    applied,
    skipped,
    rejected,
    clearedDirt,
    covered,
    left,
    tookMs: Math.round(tookMs),
  };
  return { code: EXIT.done, data };
}

/** What was asked for and is mirrored to a side, and not complete there. */
async function stillToFill(
  session: Session,
  migration: string,
  target: Side,
  positions: Intervals | null,
): Promise<Intervals> {
  const plane = await session.plane(migration);
  const [document, { covered }] = await Promise.all([plane.ruleset(migration), plane.status(migration)]);
  return subtract(intersect(mirroredTo(document, target), positions ?? WHOLE_LINE), covered[target]);
}

/** @throws InvalidArgument where there can be no workers */
async function detach(
  session: Session,
  migration: string,
  target: Side,
  positions: Intervals | null,
  why: { readonly actor: string; readonly reason: string },
): Promise<Outcome> {
  const { terminal, signal } = session;
  const controller = await session.controller(migration);
  const { resumed, scanned, estimate } = await controller.backfill({ ...why, target, positions, signal, detach: true });
  const words = resumed ? 'is under way already' : 'is begun';
  terminal.say(`${terminal.style('bold', migration)} backfill to the ${target} store ${words}; it is for the workers`);
  terminal.say(`  changeover status ${migration} shows how far it is`);
  const data = { migration, target, dryRun: false, detached: true, resumed, scanned, estimate };
  return { code: EXIT.done, data };
}

async function cancel(
  session: Session,
  migration: string,
  kind: 'backfill' | 'preload',
  target: Side,
  why: { readonly actor: string; readonly reason: string },
  dryRun: boolean,
): Promise<Outcome> {
  const plane = await session.plane(migration);
  const running = (await plane.runningReplay(migration, kind, target)) !== null;
  const changed = dryRun ? false : await plane.cancelReplay(migration, kind, target, why);
  const words = !running
    ? `no ${kind} is under way`
    : dryRun
      ? `dry run: the ${kind} would be cancelled`
      : `the ${kind} is cancelled`;
  session.terminal.say(`${migration}: ${words}`);
  return { code: EXIT.done, data: { migration, target, dryRun, changed } };
}

/** Holds the backfill that is under way, or lets it go on: the process that runs it sees it within a second. */
async function hold(
  session: Session,
  migration: string,
  kind: 'backfill' | 'preload',
  target: Side,
  paused: boolean,
  why: { readonly actor: string; readonly reason: string },
  dryRun: boolean,
): Promise<Outcome> {
  const plane = await session.plane(migration);
  const running = await plane.runningReplay(migration, kind, target);
  const answer = dryRun || running === null ? null : await plane.pauseReplay(migration, kind, target, paused, why);
  const state = paused ? 'paused' : 'going on';
  const words =
    running === null
      ? `no ${kind} is under way`
      : dryRun
        ? `dry run: the ${kind} would be ${state}`
        : answer?.changed === true
          ? `the ${kind} is ${state}`
          : `the ${kind} is ${state} already; nothing changed`;
  session.terminal.say(`${migration}: ${words}`);
  if (!paused && running !== null && running.leaseUntil <= Date.now()) {
    session.terminal.say(`  nobody runs it: ${replayCommand(migration, kind, target)} goes on with it`);
  }
  return { code: EXIT.done, data: { migration, target, dryRun, changed: answer?.changed ?? false } };
}

/** @throws InvalidArgument where one is under way that could not be gone on with like this */
async function preview(
  session: Session,
  document: RulesetDocument,
  target: Side,
  asked: Intervals | null,
): Promise<Outcome> {
  const { terminal } = session;
  const { migration, settings } = document;
  const plane = await session.plane(migration);
  const running = await plane.runningReplay(migration, 'backfill', target);
  const { mapping } = await session.definition(migration);
  if (running !== null) refuseOther(running, { mapping, positions: asked });
  const stores = await (await session.operations()).stores(migration);
  const estimate = running?.estimate ?? (await stores[otherSide(target)].estimate());
  const size = estimate === null ? '' : `, about ${plural(estimate, 'record')}`;
  const positions = describePositions(
    running?.positions ?? intersect(mirroredTo(document, target), asked ?? WHOLE_LINE),
  );
  const speed =
    settings.replayRate === null ? 'as fast as the stores allow' : `at most ${count(settings.replayRate)} a second`;
  terminal.say(
    `dry run: ${running === null ? 'would replay' : 'would go on with the replay of'} ${positions} to the ${target} store${size}, at most ${count(settings.replayConcurrency)} at once, ${speed}`,
  );
  return { code: EXIT.done, data: { migration, target, dryRun: true, resumed: running !== null, estimate } };
}
