import { EXIT } from './exit-code.ts';
import { DRY_RUN, examples, type Registration } from './registration.ts';
import { printable } from './wording.ts';

/** `changeover prepare [migration]`: what stamped writing needs, on both stores. */
export const prepareCommand: Registration = (program, run) => {
  program
    .command('prepare')
    .description('create what stamped writing needs on both stores (side tables, never columns); may be repeated')
    .argument('[migration]', 'all when none is named')
    .option(...DRY_RUN)
    .addHelpText('after', examples('changeover prepare --dry-run', 'changeover prepare events'))
    .action(
      run(async (session, name: string | undefined, options: { readonly dryRun?: true }) => {
        const { terminal } = session;
        const dryRun = options.dryRun === true;
        const names = name === undefined ? Object.keys((await session.config()).migrations) : [name];
        for (const each of names) await session.definition(each);
        const data = [];
        for (const migration of names) {
          if (!dryRun) await session.moving(migration);
          const report = await (await session.operations()).prepare(migration, { dryRun });
          data.push({ migration, dryRun, old: report.old.actions, new: report.new.actions });
          terminal.say(terminal.style('bold', migration));
          for (const side of ['old', 'new'] as const) {
            const { actions } = report[side];
            if (actions.length === 0) terminal.say(`  ${side} store: all is in place`);
            else terminal.say(`  ${side} store: ${dryRun ? 'would do' : 'done'}`);
            for (const action of actions) terminal.say(`    ${printable(action.replace(/\s+/g, ' '))}`);
          }
        }
        return { code: EXIT.done, data: name === undefined ? data : data[0] };
      }),
    );
};
