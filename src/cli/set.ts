import { DIALS, type DialName, parseDialValue } from '../core/dial.ts';
import { DEFAULT_SETTINGS, settingText } from '../core/settings.ts';
import type { DialMove } from '../core/stage.ts';
import { makeMove, previewMove } from './dial-move.ts';
import { EXIT } from './exit-code.ts';
import { DRY_RUN, examples, REASON, type Registration } from './registration.ts';
import { authorship, type ReasonOptions } from './session.ts';
import { changeSetting } from './setting-change.ts';
import { SETTING_MEANING } from './setting-meaning.ts';
import { parseSetting, parseYesNo, SETTINGS, settingForm } from './setting-value.ts';
import { wholeNumber } from './whole-number.ts';

interface SetOptions extends ReasonOptions {
  readonly force?: true;
  readonly ifRevision?: string;
}

const settingsHelp = (): string =>
  [...SETTINGS]
    .map(
      ([name, field]) =>
        `  ${name.padEnd(26)}${settingForm(field)} (default: ${settingText(DEFAULT_SETTINGS[field])})\n      ${SETTING_MEANING[field]}`,
    )
    .join('\n');

/** `changeover set <migration> <dial or setting> <value>`. */
export const setCommand: Registration = (program, run) => {
  program
    .command('set')
    .description('move a dial, if its gates allow it, or change a setting')
    .argument('<migration>')
    .argument('<name>', `a dial (${DIALS.join(', ')}) or a setting (below)`)
    .argument('<value>', 'of a dial: 0 … 100 in steps of 0.001, canary or all; of retire-old: yes or no')
    .option(...REASON)
    .option('--force', 'override gates that are advice, never those that would lose data')
    .option(...DRY_RUN)
    .option('--if-revision <n>', 'only if the migration is at this revision')
    .addHelpText(
      'after',
      examples(
        'changeover set events dual-write 10 --reason OPS-2291',
        'changeover set events cutover canary --dry-run',
        'changeover set events no-outside-writers yes --reason "all services are wrapped"',
      ),
    )
    .addHelpText('after', () => `\nSettings:\n${settingsHelp()}`)
    .action(
      run(async (session, migration: string, name: string, value: string, options: SetOptions) => {
        const dryRun = options.dryRun === true;
        const ifRevision =
          options.ifRevision === undefined ? null : wholeNumber('--if-revision', options.ifRevision, 1);
        await session.definition(migration);
        const dial = DIALS.find((known) => known === name);
        // What is wrong with the words is said before a reason is asked for.
        const move = dial === undefined ? parseSetting(name, value) && null : parseMove(dial, value);
        const call = { ...authorship(options), ifRevision };
        if (move === null) return changeSetting(session, migration, name, value, { ...call, dryRun });
        const before = await session.moving(migration);
        const controller = await session.controller(migration);
        const moveCall = { ...call, force: options.force === true };
        if (dryRun) return previewMove(session, controller, before, move, moveCall);
        return { code: EXIT.done, data: await makeMove(session, controller, move, moveCall) };
      }),
    );
};

/** @throws InvalidArgument */
function parseMove(dial: DialName, value: string): DialMove {
  return dial === 'retire-old' ? { dial, to: parseYesNo(value, dial) } : { dial, to: parseDialValue(value) };
}
