import { InvalidArgument } from '../core/errors.ts';
import { STAGES, type Stage } from '../core/stage.ts';
import { describeMove, type MoveData, makeMove, previewMove } from './dial-move.ts';
import { EXIT, type ExitCode } from './exit-code.ts';
import { didYouMean } from './nearest.ts';
import { DRY_RUN, examples, REASON, type Registration } from './registration.ts';
import { authorship, type ReasonOptions } from './session.ts';

interface StageOptions extends ReasonOptions {
  readonly force?: true;
}

/** @throws InvalidArgument */
function parseStage(text: string): Stage {
  const stage = STAGES.find((known) => known === text);
  if (stage !== undefined) return stage;
  throw new InvalidArgument(`there is no stage "${text}"`, {
    expected: STAGES.join(', '),
    ...didYouMean(text, STAGES),
  });
}

/** `changeover stage <migration> <stage>`: the moves that lead there, one revision each. */
export const stageCommand: Registration = (program, run) => {
  program
    .command('stage')
    .description('make the moves that lead to a stage, one revision each; stops at the first gate')
    .argument('<migration>')
    .argument('<stage>', STAGES.join(', '))
    .option(...REASON)
    .option('--force', 'override gates that are advice, never those that would lose data')
    .option(...DRY_RUN)
    .addHelpText(
      'after',
      examples('changeover stage events shadow --reason OPS-2291', 'changeover stage events live --dry-run'),
    )
    .action(
      run(async (session, migration: string, text: string, options: StageOptions) => {
        const { terminal } = session;
        await session.definition(migration);
        const stage = parseStage(text);
        const call = { ...authorship(options), force: options.force === true, ifRevision: null };
        const before = await session.moving(migration);
        const controller = await session.controller(migration);
        const moves = await controller.planStage(stage);
        const data = { migration, stage, dryRun: options.dryRun === true, plan: moves.map(describeMove) };
        const [first] = moves;
        if (first === undefined) {
          terminal.say(`${migration} is in stage ${stage} already; nothing changed`);
          return { code: EXIT.done, data: { ...data, moves: [] } };
        }
        terminal.say(`${migration} to stage ${stage}: ${data.plan.join(', then ')}`);
        if (options.dryRun === true) {
          const preview = await previewMove(session, controller, before, first, call);
          if (moves.length > 1) terminal.say('the gates of the later moves are judged when their turn comes');
          const code: ExitCode = preview.code;
          return { code, data: { ...data, moves: [preview.data] } };
        }
        const made: MoveData[] = [];
        for (const move of moves) {
          session.signal.throwIfAborted();
          const done = await makeMove(session, controller, move, call);
          made.push(done);
        }
        return { code: EXIT.done, data: { ...data, moves: made } };
      }),
    );
};
