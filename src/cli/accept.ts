import { InvalidArgument } from '../core/errors.ts';
import { EXIT } from './exit-code.ts';
import { DRY_RUN, examples, REASON, type Registration } from './registration.ts';
import { authorship, type ReasonOptions } from './session.ts';
import { plural, printable } from './wording.ts';

interface AcceptCall extends ReasonOptions {
  readonly side?: string;
  readonly withdraw?: true;
}

/** `changeover accept <migration> <name>`: takes the responsibility for a finding, or for what a census found. */
export const acceptCommand: Registration = (program, run) => {
  program
    .command('accept')
    .description('accept a risk that doctor found, by its name, or the losses of the census; gates then let it pass')
    .argument('<migration>')
    .argument('<name>', 'as doctor prints it (unique:events_email_key), or census')
    .option('--side <side>', 'the store that it is about: old or new (default: the one that has it)')
    .option('--withdraw', 'take the acceptance back')
    .option(...REASON)
    .option(...DRY_RUN)
    .addHelpText(
      'after',
      examples(
        'changeover accept events unique:events_email_key --side new --reason "no e-mail is ever taken over"',
        'changeover accept events census --reason "nobody reads legacyFlags"',
        'changeover accept events census --withdraw --reason OPS-2291',
      ),
    )
    .action(
      run(async (session, migration: string, name: string, options: AcceptCall) => {
        const { side } = options;
        await session.definition(migration);
        if (side !== undefined && side !== 'old' && side !== 'new') {
          throw new InvalidArgument(`--side cannot be "${side}"`, { expected: 'old or new' });
        }
        const why = authorship(options);
        const dryRun = options.dryRun === true;
        const withdraw = options.withdraw === true;
        await session.moving(migration);
        const controller = await session.controller(migration);
        const result = await controller.accept(name, { ...why, side, withdraw, dryRun });
        const what = name === 'census' ? 'the losses of the census' : `${name} of the ${result.side} store`;
        const verb = withdraw ? 'no longer accepted' : 'accepted';
        const list = result.covers.length === 0 ? '' : `, ${plural(result.covers.length, 'kind')}`;
        session.terminal.say(
          dryRun
            ? `dry run: ${printable(what)} would be ${verb}`
            : result.changed
              ? `${migration}: ${printable(what)} ${result.covers.length === 1 ? 'are' : 'is'} ${verb}${list}`
              : `${migration}: ${printable(what)} was not accepted; nothing changed`,
        );
        for (const loss of result.covers) session.terminal.say(`  ${printable(loss)}`);
        return { code: EXIT.done, data: { migration, ...result, withdraw, dryRun } };
      }),
    );
};
