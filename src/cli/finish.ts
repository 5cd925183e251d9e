import { NOBODY } from '../core/dial.ts';
import { GatesRefused, type GateVerdict, InvalidArgument } from '../core/errors.ts';
import type { RulesetDocument } from '../core/ruleset.ts';
import { EXIT } from './exit-code.ts';
import { sayGates } from './gate-text.ts';
import { DRY_RUN, examples, REASON, type Registration } from './registration.ts';
import { authorship, type ReasonOptions, type Session } from './session.ts';
import { duration } from './wording.ts';

interface FinishOptions extends ReasonOptions {
  readonly yes?: true;
}

/** The engine's words for its steps, as people read them. */
const STEPS: Readonly<Record<string, string>> = {
  settle: 'waiting for every process, its reads included',
  starting: 'stamping ends; waiting for the last deadlines',
  off: 'plain writes from here on',
  finished: 'finished; the cleaning goes on',
};

/** `changeover finish <migration>`: the end; there is no way back. */
export const finishCommand: Registration = (program, run) => {
  program
    .command('finish')
    .description(
      'end a migration: stamps and tombstones go, one store stays and is written plainly; there is no way back',
    )
    .argument('<migration>')
    .option('--yes', 'yes, there is no way back')
    .option(...REASON)
    .option(...DRY_RUN)
    .addHelpText(
      'after',
      examples('changeover finish events --dry-run', 'changeover finish events --yes --reason OPS-2400'),
    )
    .action(
      run(async (session, migration: string, options: FinishOptions) => {
        const { terminal, signal } = session;
        await session.definition(migration);
        const why = authorship(options);
        const plane = await session.plane(migration);
        const document = await plane.ruleset(migration);
        const kept = document.dials.retireOld ? 'new' : 'old';
        const dryRun = options.dryRun === true;
        if ((await plane.status(migration)).cleaned) {
          terminal.say(`${terminal.style('bold', migration)} is finished already; nothing is left to do`);
          return { code: EXIT.done, data: { migration, dryRun, kept, revision: document.revision, tookMs: 0 } };
        }
        requireOver(session, document);
        const steps = [
          'every process acknowledges, its reads included',
          'stamping ends, and every deadline that was ever given passes',
          `the ${kept} store is cleaned of stamps and tombstones`,
          kept === 'old'
            ? 'the new store is wiped'
            : 'the old store keeps its records, without stamps, and is no longer written',
        ];
        if (dryRun) {
          terminal.say(`dry run: ${migration} would end with the ${kept} store alone`);
          for (const [i, step] of steps.entries()) terminal.say(`  ${i + 1}. ${step}`);
          return { code: EXIT.done, data: { migration, dryRun, kept, steps } };
        }
        if (options.yes !== true) {
          throw new InvalidArgument(`there is no way back from finish, and the ${kept} store stays alone`, {
            expected: '--yes',
            remedy: `changeover finish ${migration} --dry-run shows the steps`,
          });
        }
        const controller = await session.controller(migration);
        const begun = performance.now();
        let last = '';
        const onStep = (step: string): void => {
          if (step !== last)
            terminal.note(`  ${duration(performance.now() - begun).padStart(7)}  ${STEPS[step] ?? step}`);
          last = step;
        };
        const { revision } = await controller.finish({ ...why, signal, onStep });
        const tookMs = Math.round(performance.now() - begun);
        terminal.say(
          `${terminal.style('bold', migration)} is finished after ${duration(tookMs)}: the ${kept} store is alone, and plain`,
        );
        return { code: EXIT.done, data: { migration, dryRun, kept, revision, tookMs } };
      }),
    );
};

/** @throws GatesRefused while both stores are in use */
function requireOver({ terminal }: Session, { migration, dials }: RulesetDocument): void {
  if (dials.retireOld || (dials.dualWrite === NOBODY && dials.cutover === NOBODY)) return;
  const gates: GateVerdict[] = [
    {
      gate: 'dials',
      passed: false,
      advice: false,
      evidence: 'both stores are in use',
      remedy: `changeover set ${migration} retire-old yes keeps the new store; changeover stage ${migration} off the old one`,
    },
  ];
  sayGates(terminal, gates);
  throw new GatesRefused(`${migration} cannot be finished while both stores are in use; nothing changed`, gates);
}
