import { EXIT } from './exit-code.ts';
import { DRY_RUN, examples, REASON, type Registration } from './registration.ts';
import { runReplay } from './replay-run.ts';
import { authorship, type ReasonOptions } from './session.ts';
import { count, duration, plural } from './wording.ts';

/** `changeover repair <migration>`: replays what is dirty, re-stamps what is divergent. */
export const repairCommand: Registration = (program, run) => {
  program
    .command('repair')
    .description('replay what is dirty and re-stamp what is divergent')
    .argument('<migration>')
    .option(...REASON)
    .option(...DRY_RUN)
    .addHelpText('after', examples('changeover repair events --reason "the new store was away"'))
    .action(
      run(async (session, migration: string, options: ReasonOptions) => {
        const { terminal, signal } = session;
        await session.definition(migration);
        const why = authorship(options);
        await session.moving(migration);
        const { dirty, divergences } = await (await session.plane(migration)).status(migration);
        if (options.dryRun === true) {
          terminal.say(
            `dry run: would replay ${plural(dirty.ranges, 'dirty entry', 'dirty entries')}, try ${plural(dirty.rejected, 'rejected key')} again and look at ${plural(divergences, 'divergent record')}`,
          );
          return { code: EXIT.done, data: { migration, dryRun: true, dirty, divergences } };
        }
        const controller = await session.controller(migration);
        const begun = performance.now();
        const summary = await runReplay(session, migration, 'repair', ['old', 'new'], () =>
          controller.repair({ ...why, signal }),
        );
        const tookMs = performance.now() - begun;
        const { applied, cleared, rejected, restamped, divergent } = summary;
        const refused = rejected.old + rejected.new;
        terminal.say(`${terminal.style('bold', migration)} repaired in ${duration(tookMs)}`);
        terminal.say(
          `  ${plural(cleared, 'dirty entry', 'dirty entries')} cleared, ${plural(applied, 'record')} applied`,
        );
        if (restamped > 0)
          terminal.say(`  ${plural(restamped, 'divergent record')} written again; the stores agree on them now`);
        if (refused > 0)
          terminal.say(`  ${plural(refused, 'key')} still rejected; changeover status ${migration} names them`);
        if (divergent > 0) {
          terminal.say(
            `  ${count(divergent)} still divergent: their cause is not mended (a codec, a writer outside); changeover status ${migration} shows them`,
          );
        }
        const code = refused + divergent > 0 ? EXIT.refused : EXIT.done;
        return { code, data: { migration, dryRun: false, ...summary, tookMs: Math.round(tookMs) } };
      }),
    );
};
