import { cohortIn } from '../control/handovers.ts';
import { GatesRefused, InvalidArgument } from '../core/errors.ts';
import { type Cohort, Ruleset } from '../core/ruleset.ts';
import { EXIT } from './exit-code.ts';
import { sayGates } from './gate-text.ts';
import { moving } from './moving.ts';
import { didYouMean } from './nearest.ts';
import { DRY_RUN, examples, REASON, type Registration } from './registration.ts';
import { positionText } from './route.ts';
import { authorship, type ReasonOptions } from './session.ts';
import { parseUnit } from './unit-text.ts';
import { duration, printable } from './wording.ts';

const COHORTS = ['canary', 'kept-back', 'none'] as const;

/** @throws InvalidArgument */
function parseCohort(text: string): Cohort | null {
  const cohort = COHORTS.find((known) => known === text);
  if (cohort !== undefined) return cohort === 'none' ? null : cohort;
  throw new InvalidArgument(`there is no cohort "${text}"`, {
    expected: COHORTS.join(', '),
    ...didYouMean(text, COHORTS),
  });
}

/** `changeover cohort <migration> <unit> canary|kept-back|none`. */
export const cohortCommand: Registration = (program, run) => {
  program
    .command('cohort')
    .description('move one unit before all others (canary), behind all (kept-back), or back to its bucket (none)')
    .argument('<migration>')
    .argument('<unit>', 'plain text for one string field, JSON for others')
    .argument('<cohort>', COHORTS.join(', '))
    .option(...REASON)
    .option(...DRY_RUN)
    .addHelpText('after', examples('changeover cohort events ada canary --reason "our own account first"'))
    .action(
      run(async (session, migration: string, text: string, to: string, options: ReasonOptions) => {
        const { terminal } = session;
        const { keys } = await session.definition(migration);
        const unit = parseUnit(keys, text);
        const cohort = parseCohort(to);
        const why = authorship(options);
        const before = new Ruleset(await session.moving(migration));
        const name = keys.unit(unit);
        const data = { migration, unit: name, cohort, from: before.position(name) };
        if (options.dryRun === true) {
          terminal.say(
            cohortIn(before.document, name) === cohort
              ? `dry run: ${printable(name)} stands there already: nothing would change`
              : `dry run: ${printable(name)} would leave ${positionText(data.from)}, for ${to === 'none' ? 'its bucket' : to}`,
          );
          return { code: EXIT.done, data: { ...data, dryRun: true, changed: false, revision: before.revision } };
        }
        const controller = await session.controller(migration);
        const begun = performance.now();
        const after = new Ruleset(
          await moving(session, controller, why, async () => {
            try {
              return await controller.cohort(unit, cohort, { ...why, signal: session.signal });
            } catch (error) {
              if (error instanceof GatesRefused) sayGates(terminal, error.gates);
              throw error;
            }
          }),
        );
        const tookMs = Math.round(performance.now() - begun);
        const position = after.position(name);
        const changed = after.revision !== before.revision;
        const { stage, authority } = after.route(name);
        if (!changed) terminal.say(`${printable(name)} stands there already; nothing changed`);
        else {
          terminal.say(
            `${terminal.style('bold', printable(name))} is ${positionText(position)}, revision ${after.revision}, after ${duration(tookMs)}`,
          );
          terminal.say(`stage ${stage}, the ${authority} store leads`);
        }
        return {
          code: EXIT.done,
          data: { ...data, to: position, dryRun: false, changed, revision: after.revision, tookMs },
        };
      }),
    );
};
