import { setTimeout as pause } from 'node:timers/promises';
import { control } from '../../service/control.ts';
import { EXIT } from '../exit-code.ts';
import { demoConfig, MIGRATION } from './demo-config.ts';
import { DemoConsole } from './demo-console.ts';
import { EXAMPLES } from './events.ts';
import { Expectations } from './expectations.ts';
import { Narrator, type Output } from './narrator.ts';
import { Operator } from './operator.ts';
import { concludeWalk } from './summary.ts';
import { type WalkResult, walk } from './walk.ts';
import { Workplace } from './workplace.ts';

/** How the demonstration is run. */
export interface DemoOptions {
  /** Calls a second of each service. */
  readonly rate: number;
  /** Goes on after the walk until the signal aborts, for commands of one's own. */
  readonly stay: boolean;
  /** Ends it early; every process and file goes. */
  readonly signal: AbortSignal;
  /** Where the story goes. @default process.stdout */
  readonly output?: Output;
}

/** What makes sense once the old store is retired: looking, and taking it back. */
const TO_TRY = [
  `status ${MIGRATION}`,
  `fleet ${MIGRATION}`,
  `set ${MIGRATION} retire-old no --reason drill`,
  `backfill ${MIGRATION} --to old --reason drill`,
] as const;
/** What is under way when the demonstration is interrupted gets so long to notice. */
const LETTING_GO_MS = 5_000;

/**
 * Moves live events from one store to another under load, with faults, and audits the result. Resolves with the exit
 * code: 0 if every promise held.
 */
export async function runDemo({ rate, stay, signal, output = process.stdout }: DemoOptions): Promise<number> {
  const colour = output.isTTY === true && (process.env['NO_COLOR'] ?? '') === '';
  const narrator = new Narrator(output, colour);
  const expectations = new Expectations(narrator);
  narrator.title(
    'changeover: a live migration from end to end',
    `GitHub webhook events (${EXAMPLES} real payloads) move from SQLite to the DynamoDB API while services write and read them. Behind each $ stands what an operator types; changes also take a --reason.`,
  );
  const aborted = new Promise<void>((resolve) => {
    signal.addEventListener('abort', () => resolve(), { once: true });
    if (signal.aborted) resolve();
  });
  const begun = performance.now();
  let workplace: Workplace | undefined;
  let demoConsole: DemoConsole | undefined;
  let acted: Promise<void> = Promise.resolve();
  try {
    const place = await Workplace.open(signal, rate);
    workplace = place;
    demoConsole = await DemoConsole.open(place.places);
    narrator.say(`Watch it in a browser: ${demoConsole.url}`);
    narrator.say(`The token to sign in with: ${demoConsole.token}`);
    acted = perform(place, narrator, expectations, signal, begun);
    acted.catch(() => {});
    await Promise.race([acted, aborted.then(() => signal.throwIfAborted())]);
    if (stay) {
      await remain(place, narrator, demoConsole);
      await aborted;
      narrator.gap();
    }
    return expectations.broken.length === 0 ? EXIT.done : EXIT.refused;
  } catch (error) {
    narrator.progressEnd();
    narrator.gap();
    if (signal.aborted) {
      narrator.say('Interrupted. All processes and files of the demonstration go.');
      return EXIT.inconclusive;
    }
    narrator.verdict(false, error instanceof Error ? error.message : String(error));
    return EXIT.refused;
  } finally {
    narrator.end();
    await workplace?.endProcesses();
    await Promise.race([acted.catch(() => {}), pause(LETTING_GO_MS, undefined, { ref: false })]);
    // Whatever becomes of it, the files go.
    await demoConsole?.close().catch(() => {});
    await workplace?.removeFiles();
  }
}

async function perform(
  workplace: Workplace,
  narrator: Narrator,
  expectations: Expectations,
  signal: AbortSignal,
  begun: number,
): Promise<void> {
  const operations = await control(demoConfig(workplace.places));
  let result: WalkResult;
  let pausesMs: readonly number[];
  try {
    const operator = await Operator.begin(operations, workplace, narrator, signal);
    result = await walk({ workplace, narrator, expectations, operator, signal });
    pausesMs = operator.pausesMs;
  } finally {
    await operations.close();
  }
  await workplace.stopServices();
  await concludeWalk({ workplace, narrator, expectations, result, pausesMs, begun });
}

/** Everything runs again, for whoever wants to try the commands. */
async function remain(workplace: Workplace, narrator: Narrator, { url, token }: DemoConsole): Promise<void> {
  await workplace.startServices();
  const typed = (command: string): string => `npm run changeover -- ${command} --config ${workplace.configFile}`;
  narrator.chapter('Your turn; Ctrl-C ends it and removes everything');
  narrator.say('The services run again, on the new store alone. To look, and to take the old one back:');
  for (const command of TO_TRY) narrator.command(typed(command));
  narrator.say(`Or with the dials of the console: ${url}, with the token ${token}`);
  narrator.gap();
}
