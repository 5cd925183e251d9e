import { GatesRefused } from '../core/errors.ts';
import { ALL, type CensusFlags, censusOptions, SAMPLE, SHOW_VALUES, sayCensus, withProgress } from './census-text.ts';
import { sayFinding } from './doctor.ts';
import { EXIT } from './exit-code.ts';
import { sayGates } from './gate-text.ts';
import { DRY_RUN, examples, type Registration } from './registration.ts';
import { authorship } from './session.ts';
import { printable } from './wording.ts';

/** `changeover prepare [migration]`: what stamped writing needs, on both stores, after a look at them. */
export const prepareCommand: Registration = (program, run) => {
  program
    .command('prepare')
    .description(
      'look at both stores, create what stamped writing needs (side tables, never columns), take a census; may be repeated',
    )
    .argument('[migration]', 'all when none is named')
    .option(...SAMPLE)
    .option(...ALL)
    .option(...SHOW_VALUES)
    .option(DRY_RUN[0], 'say what would be created and what is in the way; take no census, change nothing')
    .addHelpText('after', examples('changeover prepare --dry-run', 'changeover prepare events'))
    .action(
      run(async (session, name: string | undefined, options: CensusFlags & { readonly dryRun?: true }) => {
        const { terminal, signal } = session;
        const dryRun = options.dryRun === true;
        if (!dryRun) session.upgrading();
        const census = censusOptions(options);
        const why = authorship({}, 'prepare');
        const names = name === undefined ? Object.keys((await session.config()).migrations) : [name];
        for (const each of names) await session.definition(each);
        const data = [];
        for (const migration of names) {
          if (!dryRun) await session.moving(migration);
          const operations = await session.operations();
          const report = await withProgress(session, migration, (onProgress) =>
            operations.prepare(migration, { ...census, ...why, dryRun, signal, onProgress }),
          ).catch((error: unknown) => {
            if (error instanceof GatesRefused) sayGates(terminal, error.gates);
            throw error;
          });
          const findings = { old: report.inspections.old.findings, new: report.inspections.new.findings };
          data.push({
            migration,
            dryRun,
            old: report.old.actions,
            new: report.new.actions,
            findings,
            census: report.census,
          });
          const accepted = await operations.plane.acceptances(migration);
          terminal.say(terminal.style('bold', migration));
          for (const side of ['old', 'new'] as const) {
            const { actions } = report[side];
            if (actions.length === 0) terminal.say(`  ${side} store: all is in place`);
            else terminal.say(`  ${side} store: ${dryRun ? 'would do' : 'done'}`);
            for (const action of actions) terminal.say(`    ${printable(action.replace(/\s+/g, ' '))}`);
            for (const finding of findings[side]) {
              const row = accepted.find((each) => each.side === side && each.name === finding.name);
              const by = row === undefined ? null : { ...row, at: new Date(row.at).toISOString() };
              sayFinding(terminal, migration, side, { ...finding, accepted: by });
            }
          }
          if (report.census !== null) sayCensus(terminal, report.census);
          if ((report.census?.open.length ?? 0) > 0) {
            terminal.say(`    → mend the codec, or: changeover accept ${migration} census --reason "…"`);
          }
        }
        return { code: EXIT.done, data: name === undefined ? data : data[0] };
      }),
    );
};
