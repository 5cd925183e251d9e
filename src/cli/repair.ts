import type { ControlPlaneApi } from '../control/control-plane.ts';
import type { RepairProgress } from '../control/repair.ts';
import type { PlannedKey, PlannedReplay, PlannedRestamps } from '../control/repair-plan.ts';
import { describePositions } from '../core/dial.ts';
import { otherSide } from '../core/stage.ts';
import { EXIT } from './exit-code.ts';
import { ProgressMeter } from './progress.ts';
import { DRY_RUN, examples, REASON, type Registration } from './registration.ts';
import { runReplay } from './replay-run.ts';
import { authorship, type Outcome, type ReasonOptions, type Session } from './session.ts';
import type { Terminal } from './terminal.ts';
import { count, duration, keyText, plural, printable } from './wording.ts';

/** How many keys that could not be mended are printed; `--json` has up to 100. */
const NAMED = 10;

/** `changeover repair <migration>`: replays what is dirty, re-stamps what is divergent. */
export const repairCommand: Registration = (program, run) => {
  program
    .command('repair')
    .description(
      'replay what is dirty and re-stamp what is divergent; what is interrupted goes on where it stopped, unless other ranges are dirty by then',
    )
    .argument('<migration>')
    .option(...REASON)
    .option(...DRY_RUN)
    .addHelpText(
      'after',
      examples('changeover repair events --dry-run', 'changeover repair events --reason "the new store was away"'),
    )
    .action(
      run(async (session, migration: string, options: ReasonOptions) => {
        await session.definition(migration);
        const why = authorship(options);
        await session.moving(migration);
        const plane = await session.plane(migration);
        return options.dryRun === true ? preview(session, migration, plane) : repair(session, migration, plane, why);
      }),
    );
};

async function repair(
  session: Session,
  migration: string,
  plane: ControlPlaneApi,
  why: { readonly actor: string; readonly reason: string },
): Promise<Outcome> {
  const { terminal, signal } = session;
  const controller = await session.controller(migration);
  const begun = performance.now();
  const progress = new RepairMeter(terminal, migration);
  const summary = await runReplay(session, migration, 'repair', ['old', 'new'], () =>
    controller.repair({ ...why, signal, onProgress: (now) => progress.update(now) }),
  ).finally(() => progress.end());
  const tookMs = performance.now() - begun;
  const { applied, cleared, rejected, restamped, agreed, divergent, unmended } = summary;
  const refused = rejected.old + rejected.new;
  terminal.say(`${terminal.style('bold', migration)} repaired in ${duration(tookMs)}`);
  terminal.say(`  ${plural(cleared, 'dirty entry', 'dirty entries')} cleared, ${plural(applied, 'record')} applied`);
  if (restamped > 0)
    terminal.say(`  ${plural(restamped, 'divergent record')} written again; the stores agree on them now`);
  if (agreed > 0) terminal.say(`  ${plural(agreed, 'divergent record')} had come to agree without it`);
  if (refused > 0)
    terminal.say(`  ${plural(refused, 'key')} still rejected; changeover status ${migration} --rejected names them`);
  if (divergent > 0) {
    terminal.say(
      `  ${count(divergent)} still divergent: their cause is not mended (a codec, a writer outside); changeover status ${migration} shows them`,
    );
    for (const { key, why } of unmended.slice(0, NAMED)) terminal.say(`    ${keyText(key)}: ${printable(why)}`);
  }
  const more = await moreDiverge(plane, migration);
  if (more) terminal.say(`  ${MORE}; changeover verify ${migration}, then repair again`);
  const code = refused + divergent > 0 ? EXIT.refused : EXIT.done;
  return { code, data: { migration, dryRun: false, ...summary, moreDiverge: more, tookMs: Math.round(tookMs) } };
}

const MORE = 'the last verification found more divergent records than it remembers';

/** Whether the last verification remembers only the first of the divergent records. */
async function moreDiverge(plane: ControlPlaneApi, migration: string): Promise<boolean> {
  const [last] = await plane.verifications(migration, { limit: 1 });
  const report = last?.report as { readonly truncated?: unknown } | null | undefined;
  return report?.truncated === true;
}

async function preview(session: Session, migration: string, plane: ControlPlaneApi): Promise<Outcome> {
  const { terminal } = session;
  const { dirty, divergences } = await plane.status(migration);
  const { replays, restamps } = await (await session.controller(migration)).planRepair();
  const more = await moreDiverge(plane, migration);
  if (replays.length === 0 && restamps.records === 0) {
    terminal.say(`dry run: nothing of ${migration} is dirty or divergent; a repair would have nothing to do`);
  } else {
    terminal.say(`dry run: a repair of ${migration} would`);
    for (const replay of replays) sayReplay(terminal, replay);
    if (restamps.records > 0) sayRestamps(terminal, restamps);
  }
  if (more) terminal.say(`  ${MORE}`);
  return {
    code: EXIT.done,
    data: { migration, dryRun: true, dirty, divergences, replays, restamps, moreDiverge: more },
  };
}

function sayReplay(terminal: Terminal, { target, positions, records, keys, rejected, examples }: PlannedReplay): void {
  const what = [
    ...(positions.length === 0
      ? []
      : [`scan ${describePositions(positions)}${records === null ? '' : `, about ${plural(records, 'record')}`}`]),
    ...(keys === 0 ? [] : [`read ${plural(keys, 'single key')}`]),
  ];
  const again = rejected === 0 ? '' : `; ${plural(rejected, 'key')} of them the ${target} store has rejected before`;
  terminal.say(
    `  ${what.join(' and ')} of the ${otherSide(target)} store, and put what the ${target} one lacks${again}`,
  );
  sayKeys(terminal, examples, keys);
}

function sayRestamps(
  terminal: Terminal,
  { records, from, kinds, causes, unmirrored, examples }: PlannedRestamps,
): void {
  const sides = (['old', 'new'] as const).filter((side) => from[side] > 0);
  const led = sides.map((side) => `${count(from[side])} from the ${side} store, which leads them`).join(', ');
  terminal.say(`  write ${plural(records, 'divergent record')} again, with a fresh stamp: ${led}`);
  // The one thing that takes data away, which nobody expects of writing again.
  if (kinds.extra > 0) {
    const which = `${plural(kinds.extra, 'record')} that only the other store has`;
    terminal.say(`    of these, take away ${which}; copy them first if they should stay`);
  }
  const words = Object.entries(kinds)
    .filter(([, number]) => number > 0)
    .map(([kind, number]) => `${count(number)} ${kind}`);
  const why = causes.map(({ cause, records }) => `${count(records)} ${cause ?? 'of unknown cause'}`);
  terminal.say(`    ${words.join(', ')}: ${printable(why.join(', '))}`);
  if (unmirrored > 0) {
    terminal.say(`    ${count(unmirrored)} of them are not mirrored any more and would stay divergent`);
  }
  sayKeys(terminal, examples, records);
}

function sayKeys(terminal: Terminal, examples: readonly PlannedKey[], all: number): void {
  for (const { key, cause } of examples) terminal.say(`    ${keyText(key)}: ${printable(cause)}`);
  if (all > examples.length) terminal.say(`    … and ${count(all - examples.length)} more`);
}

/** Each phase has its own amount, so its own bar. */
class RepairMeter {
  readonly #terminal: Terminal;
  readonly #migration: string;
  #meter: ProgressMeter | null = null;
  #phase = '';

  constructor(terminal: Terminal, migration: string) {
    this.#terminal = terminal;
    this.#migration = migration;
  }

  update({ phase, target, done, all, mended, refused }: RepairProgress): void {
    const words = {
      keys: `single keys to the ${target} store: ${count(mended)} applied, ${count(refused)} rejected`,
      ranges: `dirty ranges to the ${target} store: ${count(mended)} applied, ${count(refused)} rejected`,
      divergent: `divergent records: ${count(mended)} agree now, ${count(refused)} still differ`,
    };
    const here = `${phase} ${target}`;
    if (here !== this.#phase) {
      this.end();
      this.#phase = here;
      this.#meter = new ProgressMeter(this.#terminal, `repair ${this.#migration}`);
    }
    this.#meter?.update({ done, all, detail: words[phase] });
  }

  end(): void {
    this.#meter?.end();
    this.#meter = null;
  }
}
