import { Command, CommanderError } from 'commander';
import { InvalidArgument } from '../core/errors.ts';
import { VERSION } from '../service/version.ts';
import { EXIT, type ExitCode } from './exit-code.ts';
import { reportFailure } from './failure.ts';
import { interruptSignal } from './interrupt.ts';
import { examples, type Registration, type Run } from './registration.ts';
import { Session } from './session.ts';
import { Terminal } from './terminal.ts';

/** In the order in which a migration meets them. Each is loaded when it is called, or shown in the help of all. */
const COMMANDS = {
  init: async () => (await import('./init.ts')).initCommand,
  doctor: async () => (await import('./doctor.ts')).doctorCommand,
  prepare: async () => (await import('./prepare.ts')).prepareCommand,
  accept: async () => (await import('./accept.ts')).acceptCommand,
  status: async () => (await import('./status.ts')).statusCommand,
  route: async () => (await import('./route.ts')).routeCommand,
  set: async () => (await import('./set.ts')).setCommand,
  stage: async () => (await import('./stage.ts')).stageCommand,
  ramp: async () => (await import('./ramp.ts')).rampCommand,
  cohort: async () => (await import('./cohort.ts')).cohortCommand,
  rollback: async () => (await import('./rollback.ts')).rollbackCommand,
  backfill: async () => (await import('./backfill.ts')).backfillCommand,
  repair: async () => (await import('./repair.ts')).repairCommand,
  verify: async () => (await import('./verify.ts')).verifyCommand,
  history: async () => (await import('./history.ts')).historyCommand,
  fleet: async () => (await import('./fleet.ts')).fleetCommand,
  finish: async () => (await import('./finish.ts')).finishCommand,
  worker: async () => (await import('./worker.ts')).workerCommand,
  serve: async () => (await import('./serve.ts')).serveCommand,
  token: async () => (await import('./token.ts')).tokenCommand,
  demo: async () => (await import('./demo-command.ts')).demoCommand,
} satisfies Record<string, () => Promise<Registration>>;

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
    (handler, refused = EXIT.refused) =>
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
        const failed = reportFailure(error, terminal);
        code = failed === EXIT.refused ? refused : failed;
      } finally {
        await session.close();
        release();
      }
    };
  for (const register of await registrations(argv)) register(program, run);

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

/** The command that is called, if that is plain to see; all of them for help, mistakes and options that come first. */
function registrations([first = '']: readonly string[]): Promise<readonly Registration[]> {
  const called = Object.entries(COMMANDS).filter(([name]) => name === first);
  const commands = called.length > 0 ? called : Object.entries(COMMANDS);
  return Promise.all(commands.map(([, load]) => load()));
}

/** A mistake in the call itself, in our own form. */
function usageError({ message }: CommanderError): InvalidArgument {
  const [first = '', hint] = message.replace(/^error: /, '').split('\n');
  const near = /Did you mean (?:one of )?(.+)\?/.exec(hint ?? '')?.[1];
  return new InvalidArgument(first, {
    remedy: near === undefined ? 'changeover --help, or changeover help <command>' : `did you mean ${near}?`,
  });
}
