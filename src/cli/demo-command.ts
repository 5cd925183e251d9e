import { InvalidConfiguration } from '../core/errors.ts';
import { EXIT, type ExitCode } from './exit-code.ts';
import { examples, type Registration } from './registration.ts';
import { wholeNumber } from './whole-number.ts';

/** `changeover demo`: a whole migration of real data on this machine. */
export const demoCommand: Registration = (program, run) => {
  program
    .command('demo')
    .description('run a whole migration on this machine: live traffic, faults, handovers, and an audit in the end')
    .option('--rate <calls>', 'calls a second of each of the three services', '100')
    .option('--stay', 'keep everything running afterwards, until Ctrl-C')
    .addHelpText('after', examples('changeover demo', 'changeover demo --rate 20 --stay'))
    .action(
      run(async ({ signal, terminal }, options: { readonly rate: string; readonly stay?: true }) => {
        if (!import.meta.url.endsWith('.ts')) {
          throw new InvalidConfiguration(
            'the demonstration is not in an installed package: its data and store are not',
            {
              remedy: 'npm ci && npm start in a clone',
            },
          );
        }
        const rate = wholeNumber('--rate', options.rate, 1, 1_000);
        const { runDemo } = await import('./demo/demo.ts');
        // With --json the story is how it went, and standard output is for the one document.
        const output = terminal.json ? process.stderr : process.stdout;
        const code = (await runDemo({ rate, stay: options.stay === true, signal, output })) as ExitCode;
        return { code, data: { passed: code === EXIT.done } };
      }),
    );
};
