import { EXIT } from './exit-code.ts';
import { examples, type Registration } from './registration.ts';
import { wholeNumber } from './whole-number.ts';
import { printable } from './wording.ts';

/** What may have been done although gates were shut: their advice was overridden. Of all else it is why it was not. */
const FORCED: ReadonlySet<string> = new Set(['move', 'handover', 'preload']);

/** `changeover history <migration>`: who did what, when and why. */
export const historyCommand: Registration = (program, run) => {
  program
    .command('history')
    .description('who did what, when and why; newest first')
    .argument('<migration>')
    .option('--limit <n>', 'how many lines', '20')
    .addHelpText('after', examples('changeover history events --limit 50'))
    .action(
      run(async (session, name: string, options: { readonly limit: string }) => {
        const { terminal } = session;
        const limit = wholeNumber('--limit', options.limit, 1);
        const plane = await session.plane(name);
        const rows = await plane.history(name, { limit });
        for (const { at, revision, actor, reason, kind, summary, gates } of rows) {
          const when = new Date(at).toISOString().replace('T', ' ').slice(0, 19);
          const number = revision === null ? '' : `r${revision}`;
          terminal.say(`${when}Z  ${number.padStart(5)}  ${printable(summary)}`);
          terminal.say(terminal.style('dim', `${' '.repeat(29)}${printable(actor)}: ${printable(reason)}`));
          const shut = gates.filter((gate) => !gate.passed).map((gate) => gate.gate);
          if (shut.length > 0) {
            const what = FORCED.has(kind) ? 'advice overridden' : 'not met';
            terminal.say(terminal.style('yellow', `${' '.repeat(29)}${what}: ${shut.join(', ')}`));
          }
        }
        if (rows.length === 0) terminal.say('nothing has happened yet');
        const data = rows.map(({ id, revision, at, actor, reason, kind, summary, gates }) => ({
          id,
          revision,
          at: new Date(at).toISOString(),
          actor,
          reason,
          kind,
          summary,
          gates,
        }));
        return { code: EXIT.done, data };
      }),
    );
};
