import { describeDial, describePositions, NOBODY } from '../core/dial.ts';
import { GatesRefused } from '../core/errors.ts';
import { makeMove, previewMove } from './dial-move.ts';
import { EXIT } from './exit-code.ts';
import { sayGates } from './gate-text.ts';
import { DRY_RUN, examples, REASON, type Registration } from './registration.ts';
import { authorship, type Outcome, type ReasonOptions, type Session } from './session.ts';
import { duration, plural } from './wording.ts';

interface RollbackOptions extends ReasonOptions {
  readonly emergency?: true;
  readonly force?: true;
}

/** `changeover rollback <migration>`: the old store leads again. Asks nothing. */
export const rollbackCommand: Registration = (program, run) => {
  program
    .command('rollback')
    .description('the old store leads everything again: fenced, nothing lost, in about a second')
    .argument('<migration>')
    .option(
      '--emergency',
      'the new store hangs or is dead: at once; what only it acknowledged comes back after a repair',
    )
    .option(
      '--force',
      'with --emergency: also while a process is silent of which nobody knows whether it has ended; reads and writes wait until it is heard, or `changeover fleet --ended` says that it is gone',
    )
    .option(REASON[0], 'why, for the history (default: "roll back")')
    .option(...DRY_RUN)
    .addHelpText('after', examples('changeover rollback events', 'changeover rollback events --emergency'))
    .action(
      run(async (session, migration: string, options: RollbackOptions) => {
        await session.definition(migration);
        return options.emergency === true
          ? emergency(session, migration, options)
          : fenced(session, migration, options);
      }),
    );
};

async function fenced(session: Session, migration: string, options: RollbackOptions): Promise<Outcome> {
  const call = { ...authorship(options, 'roll back'), force: true, ifRevision: null };
  const move = { dial: 'cutover', to: NOBODY } as const;
  const before = await session.moving(migration);
  const controller = await session.controller(migration);
  if (options.dryRun === true) return previewMove(session, controller, before, move, call);
  const begun = performance.now();
  const data = await makeMove(session, controller, move, call, () =>
    controller.rollback({ ...call, signal: session.signal }),
  );
  const tookMs = performance.now() - begun;
  if (data.changed)
    session.terminal.say(`rolled back in ${duration(tookMs)}: the old store leads everything, nothing is lost`);
  return { code: EXIT.done, data: { ...data, tookMs: Math.round(tookMs) } };
}

async function emergency(session: Session, migration: string, options: RollbackOptions): Promise<Outcome> {
  const { terminal, signal } = session;
  const why = authorship(options, 'emergency roll-back');
  const before = await session.moving(migration);
  const plane = await session.plane(migration);
  const from = describeDial(before.dials.cutover);
  if (options.dryRun === true) {
    const { coverage } = await plane.status(migration);
    terminal.say(
      `dry run: reads and writes of cutover ${from} would wait until every process has let go of the new store, then the old one (complete in ${coverage.old} %) would lead`,
    );
    return { code: EXIT.done, data: { migration, dryRun: true, changed: false, revision: before.revision } };
  }
  const controller = await session.controller(migration);
  // Not to be interrupted half-way: reads wait.
  signal.throwIfAborted();
  const result = await controller.emergency({ ...why, force: options.force === true }).catch((error: unknown) => {
    if (error instanceof GatesRefused) sayGates(terminal, error.gates);
    throw error;
  });
  const { dirty } = await plane.status(migration);
  const { dials, revision } = result.document;
  const leads = dials.cutover === NOBODY ? 'everything' : `all above ${describeDial(dials.cutover)}`;
  terminal.say(
    `${terminal.style('bold', migration)} cutover ${from} → ${terminal.style('bold', describeDial(dials.cutover))}, revision ${revision}; the old store leads ${leads} after ${duration(result.tookMs)}`,
  );
  const missing = (await plane.dirt(migration, 'old', 4)).map(
    ({ fromPosition, toPosition }) => [fromPosition, toPosition] as const,
  );
  if (dirty.ranges + dirty.rejected > 0) {
    terminal.say(
      `${plural(dirty.ranges + dirty.rejected, 'entry', 'entries')} may differ${missing.length === 0 ? '' : `; the old store may miss writes at ${describePositions(missing.slice(0, 3))}${missing.length > 3 ? ', …' : ''}`}`,
    );
  }
  terminal.say(`when the new store is back: changeover repair ${migration} --reason …`);
  return {
    code: EXIT.done,
    data: {
      migration,
      dryRun: false,
      changed: true,
      revision,
      tookMs: Math.round(result.tookMs),
      pauseMs: result.pauseMs === null ? null : Math.round(result.pauseMs),
      dirty,
    },
  };
}
