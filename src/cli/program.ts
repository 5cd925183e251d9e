import { Command, CommanderError } from 'commander';
import { InvalidArgument } from '../core/errors.ts';
import { VERSION } from '../service/version.ts';
import { acceptCommand } from './accept.ts';
import { backfillCommand } from './backfill.ts';
import { cohortCommand } from './cohort.ts';
import { demoCommand } from './demo-command.ts';
import { doctorCommand } from './doctor.ts';
import { EXIT, type ExitCode } from './exit-code.ts';
import { reportFailure } from './failure.ts';
import { finishCommand } from './finish.ts';
import { fleetCommand } from './fleet.ts';
import { historyCommand } from './history.ts';
import { initCommand } from './init.ts';
import { interruptSignal } from './interrupt.ts';
import { prepareCommand } from './prepare.ts';
import { rampCommand } from './ramp.ts';
import { examples, type Run } from './registration.ts';
import { repairCommand } from './repair.ts';
import { rollbackCommand } from './rollback.ts';
import { routeCommand } from './route.ts';
import { serveCommand } from './serve.ts';
import { Session } from './session.ts';
import { setCommand } from './set.ts';
import { stageCommand } from './stage.ts';
import { statusCommand } from './status.ts';
import { Terminal } from './terminal.ts';
import { tokenCommand } from './token.ts';
import { verifyCommand } from './verify.ts';
import { workerCommand } from './worker.ts';

/** In the order in which a migration meets them. */
const COMMANDS = [
  initCommand,
  doctorCommand,
  prepareCommand,
  acceptCommand,
  statusCommand,
  routeCommand,
  setCommand,
  stageCommand,
  rampCommand,
  cohortCommand,
  rollbackCommand,
  backfillCommand,
  repairCommand,
  verifyCommand,
  historyCommand,
  fleetCommand,
  finishCommand,
  workerCommand,
  serveCommand,
  tokenCommand,
  demoCommand,
];

const EXIT_CODES =
  '\nExit codes: 0 done, 1 refused or divergent, 2 inconclusive, 3 usage or configuration, 4 a store or the control\nplane unreachable, 70 a bug of changeover.';

/** Runs the command line and returns its exit code; everything that it opened is closed. */
export async function runProgram(argv: readonly string[]): Promise<ExitCode> {
  let code: ExitCode = EXIT.done;
  const program = new Command('changeover')
    .description('Moves live data from one database to another while the services that use it keep running.')
    .version(VERSION, '-V, --version', 'print the version')
    .option('--config <file>', 'the configuration (default: the nearest changeover.config.ts, .mts, .js, .mjs)')
    .option('--json', 'print exactly one JSON document')
    .helpOption('-h, --help', 'print help')
    .helpCommand('help [command]', 'print help')
    .configureHelp({ showGlobalOptions: true, minWidthToWrap: 24 })
    .configureOutput({ outputError: () => {} })
    .exitOverride()
    .addHelpText('after', examples('changeover status', 'changeover set events cutover 10 --reason OPS-2291'))
    .addHelpText('after', EXIT_CODES);

  const run: Run =
    (handler) =>
    async (...args) => {
      const { json, config } = program.opts<{ json?: true; config?: string }>();
      const terminal = new Terminal(json === true);
      const { signal, release } = interruptSignal();
      const session = new Session(terminal, signal, config);
      try {
        const outcome = await handler(session, ...args);
        if (terminal.json && outcome.data !== undefined) terminal.document(outcome.data);
        code = outcome.code;
      } catch (error) {
        code = reportFailure(error, terminal);
      } finally {
        await session.close();
        release();
      }
    };
  for (const register of COMMANDS) register(program, run);

  try {
    await program.parseAsync(argv, { from: 'user' });
    return code;
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0) return EXIT.done;
    const json = argv.includes('--json');
    if (error.code !== 'commander.help') return reportFailure(usageError(error), new Terminal(json));
    // The help is there already, for people.
    return json ? reportFailure(new InvalidArgument('no command was given'), new Terminal(json)) : EXIT.usage;
  }
}

/** A mistake in the call itself, in our own form. */
function usageError({ message }: CommanderError): InvalidArgument {
  const [first = '', hint] = message.replace(/^error: /, '').split('\n');
  const near = /Did you mean (?:one of )?(.+)\?/.exec(hint ?? '')?.[1];
  return new InvalidArgument(first, {
    remedy: near === undefined ? 'changeover --help, or changeover help <command>' : `did you mean ${near}?`,
  });
}
