import { describePositions } from '../core/dial.ts';
import { GatesRefused, type GateVerdict, InvalidArgument } from '../core/errors.ts';
import { mirroredTo, type RulesetDocument } from '../core/ruleset.ts';
import { otherSide, type Side } from '../core/stage.ts';
import { EXIT } from './exit-code.ts';
import { sayGates } from './gate-text.ts';
import { DRY_RUN, examples, REASON, type Registration } from './registration.ts';
import { runReplay } from './replay-run.ts';
import { authorship, type Outcome, type ReasonOptions, type Session } from './session.ts';
import { changeSetting } from './setting-change.ts';
import { parseSetting } from './setting-value.ts';
import { count, duration, plural } from './wording.ts';

interface BackfillCall extends ReasonOptions {
  readonly to: string;
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
    .option('--rate <n>', 'records a second, or none; changes the setting replay-rate, which stays')
    .option('--concurrency <n>', 'records put at once; changes the setting replay-concurrency, which stays')
    .option('--cancel', 'end the one that is under way and forget how far it was')
    .option(...REASON)
    .option(...DRY_RUN)
    .addHelpText(
      'after',
      examples(
        'changeover backfill events --reason OPS-2291',
        'changeover backfill events --rate 2000 --reason "peak hours"',
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
        const why = authorship(options);
        const document = await session.moving(migration);
        const dryRun = options.dryRun === true;
        if (options.cancel === true) return cancel(session, migration, options.to, why, dryRun);
        requireMirror(session, document, options.to);
        if (dryRun) return preview(session, document, options.to);
        for (const [name, text] of settings) {
          if (text !== undefined)
            await changeSetting(session, migration, name, text, { ...why, dryRun, ifRevision: null });
        }
        return backfill(session, migration, options.to, why);
      }),
    );
};

/** @throws GatesRefused when the target follows nowhere */
function requireMirror({ terminal }: Session, document: RulesetDocument, target: Side): void {
  const { migration, dials } = document;
  if (mirroredTo(document, target).length > 0) return;
  const remedy = dials.retireOld
    ? `changeover set ${migration} retire-old no --reason …`
    : target === 'old'
      ? `changeover backfill ${migration} fills the new one; the old one leads everything`
      : `changeover set ${migration} dual-write 100 --reason …`;
  const gates: GateVerdict[] = [
    { gate: 'mirror', passed: false, advice: false, evidence: `nothing is mirrored to the ${target} store`, remedy },
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
  why: { readonly actor: string; readonly reason: string },
): Promise<Outcome> {
  const { terminal, signal } = session;
  const controller = await session.controller(migration);
  const begun = performance.now();
  const summary = await runReplay(session, migration, 'backfill', [target], (onProgress) =>
    controller.backfill({ ...why, target, signal, onProgress }),
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
  if (clearedDirt > 0) terminal.say(`  ${plural(clearedDirt, 'dirty entry', 'dirty entries')} cleared`);
  if (rejected > 0) terminal.say(`  changeover status ${migration} names the rejected keys`);
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
    tookMs: Math.round(tookMs),
  };
  return { code: EXIT.done, data };
}

async function cancel(
  session: Session,
  migration: string,
  target: Side,
  why: { readonly actor: string; readonly reason: string },
  dryRun: boolean,
): Promise<Outcome> {
  const plane = await session.plane(migration);
  const running = (await plane.runningReplay(migration, 'backfill', target)) !== null;
  const changed = dryRun ? false : await plane.cancelReplay(migration, 'backfill', target, why);
  const words = !running
    ? 'no backfill is under way'
    : dryRun
      ? 'dry run: the backfill would be cancelled'
      : 'the backfill is cancelled';
  session.terminal.say(`${migration}: ${words}`);
  return { code: EXIT.done, data: { migration, target, dryRun, changed } };
}

async function preview(session: Session, document: RulesetDocument, target: Side): Promise<Outcome> {
  const { terminal } = session;
  const { migration, settings } = document;
  const plane = await session.plane(migration);
  const running = await plane.runningReplay(migration, 'backfill', target);
  const stores = await (await session.operations()).stores(migration);
  const estimate = running?.estimate ?? (await stores[otherSide(target)].estimate());
  const size = estimate === null ? '' : `, about ${plural(estimate, 'record')}`;
  const positions = describePositions(mirroredTo(document, target));
  const speed =
    settings.replayRate === null ? 'as fast as the stores allow' : `at most ${count(settings.replayRate)} a second`;
  terminal.say(
    `dry run: ${running === null ? 'would replay' : 'would go on with the replay of'} ${positions} to the ${target} store${size}, ${settings.replayConcurrency} at once, ${speed}`,
  );
  return { code: EXIT.done, data: { migration, target, dryRun: true, resumed: running !== null, estimate } };
}
