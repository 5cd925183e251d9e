import { systemClock } from '../core/clock.ts';
import { ChangeoverError, InvalidConfiguration } from '../core/errors.ts';
import { shellWord } from '../core/shell-word.ts';
import type { Side } from '../core/stage.ts';
import { controlPlaceFindings } from '../service/control-place.ts';
import { clockText, type DoctorOptions, type DoctorReport, examine, type JudgedFinding } from '../service/doctor.ts';
import { ALL, type CensusFlags, censusOptions, SAMPLE, SHOW_VALUES, sayCensus, withProgress } from './census-text.ts';
import { EXIT, type ExitCode } from './exit-code.ts';
import { DRY_RUN, examples, REASON, type Registration } from './registration.ts';
import { authorship, type ReasonOptions, type Session } from './session.ts';
import type { Terminal } from './terminal.ts';
import { plural, printable } from './wording.ts';

const EXIT_OF: Readonly<Record<DoctorReport['verdict'], ExitCode>> = {
  ready: EXIT.done,
  open: EXIT.refused,
  configuration: EXIT.usage,
  unreachable: EXIT.unreachable,
};

/** `changeover doctor [migration]`: what stands in the way, and what mends it. */
export const doctorCommand: Registration = (program, run) => {
  program
    .command('doctor')
    .description('look at the control plane, both stores, the fleet and the mapping, and take a census of round trips')
    .argument('[migration]', 'all when none is named')
    .option(...SAMPLE)
    .option(...ALL)
    .option(...SHOW_VALUES)
    .option(REASON[0], 'why, for the history (default: "doctor")')
    .option(DRY_RUN[0], 'do not record the census')
    .addHelpText('after', examples('changeover doctor', 'changeover doctor events --all --json'))
    .addHelpText('after', '\nExits 0 when nothing is in the way, 1 when something is, 3 and 4 as everywhere.')
    .action(
      run(async (session, name: string | undefined, options: CensusFlags & ReasonOptions) => {
        const { terminal, signal } = session;
        const census = censusOptions(options);
        const why = authorship(options, 'doctor');
        const names = name === undefined ? Object.keys((await session.config()).migrations) : [name];
        for (const each of names) await session.definition(each);
        const reports: DoctorReport[] = [];
        for (const migration of names) {
          const report = await withProgress(session, migration, (onProgress) =>
            look(session, migration, { ...census, ...why, dryRun: options.dryRun === true, signal, onProgress }),
          );
          if (reports.length > 0) terminal.say();
          sayReport(terminal, report);
          reports.push(report);
        }
        const code = Math.max(...reports.map(({ verdict }) => EXIT_OF[verdict])) as ExitCode;
        return { code, data: name === undefined ? reports : reports[0] };
      }),
    );
};

/** The doctor's report; without the control plane where that cannot be opened. */
async function look(session: Session, name: string, options: DoctorOptions): Promise<DoctorReport> {
  const config = await session.config();
  try {
    // Opening it there would be the mistake that is to be found.
    const remote = (await controlPlaceFindings(config.control)).find(({ kind }) => kind === 'topology');
    if (remote !== undefined) throw new InvalidConfiguration(remote.message, { remedy: remote.remedy });
    return await (await session.operations()).doctor(name, options);
  } catch (error) {
    if (!(error instanceof ChangeoverError) || options.signal?.aborted === true) throw error;
    return examine({ config, name, plane: error, clock: systemClock, random: Math.random }, options);
  }
}

function sayReport(terminal: Terminal, report: DoctorReport): void {
  const { migration, finished, control, fleet, mapping, census, censusTrouble, open } = report;
  const line = (what: string, text: string): void => terminal.say(`  ${what.padEnd(15)}${text}`);
  const trouble = (message: string): string => terminal.style('red', printable(message));
  terminal.say(terminal.style('bold', migration));
  const clock = clockText(control.aheadMs);
  line('control plane', `${control.kind}, ${control.trouble === null ? 'writable' : trouble(control.trouble.message)}`);
  if (control.trouble?.remedy) terminal.say(`    → ${printable(control.trouble.remedy)}`);
  if (clock !== null) line('', clock);
  for (const side of ['old', 'new'] as const) sayStore(terminal, report, side);
  if (fleet !== null) {
    const { nodes, acknowledged, behind, unlike } = fleet;
    const late = behind.length === 0 ? '' : `; behind: ${printable(behind.join(', '))}`;
    line('fleet', `${acknowledged} of ${plural(nodes, 'process', 'processes')} at the present revision${late}`);
    for (const each of unlike) line('', trouble(each));
  }
  const codecs = (['old', 'new'] as const).filter((side) => mapping.codecs[side]);
  line(
    'mapping',
    `key ${mapping.key.join(', ')}; unit ${mapping.unit.join(', ')}; ${codecs.length === 0 ? 'no codec' : `codec of the ${codecs.join(' and the ')} store`}`,
  );
  if (census !== null) {
    sayCensus(terminal, census);
    if (!census.recorded) line('', 'not recorded; gates wait for one that is');
  } else line('census', `none: ${printable(censusTrouble?.message ?? '')}`);
  terminal.say();
  if (finished) terminal.say(`  ${terminal.style('green', 'the migration is finished')}: nothing is in the way`);
  else if (open.length === 0) terminal.say(`  ${terminal.style('green', 'nothing is in the way')}`);
  else terminal.say(`  ${terminal.style('red', `${plural(open.length, 'thing is', 'things are')} in the way`)}`);
  if (!finished && census !== null && census.open.length > 0) {
    terminal.say(`    → mend the codec, or: changeover accept ${migration} census --reason "…"`);
  }
}

function sayStore(terminal: Terminal, { migration, finished, stores }: DoctorReport, side: Side): void {
  const { label, trouble, server, prepared, aheadMs, findings } = stores[side];
  const title = `  ${`${side} store`.padEnd(15)}${printable(label)}`;
  if (trouble !== null) {
    // Most messages begin with the store's own name.
    const message = trouble.message.replace(`${label}: `, '');
    terminal.say(`${title}: ${terminal.style('red', printable(message))}`);
    if (trouble.remedy !== null && !finished) terminal.say(`    → ${printable(trouble.remedy)}`);
    return;
  }
  const lacking = prepared !== true && !finished;
  const state = prepared === true ? 'prepared' : lacking ? terminal.style('red', 'not prepared') : 'without stamps';
  terminal.say(`${title}${server === null ? '' : ` on ${printable(server)}`}, ${state}`);
  if (prepared === false && lacking) terminal.say(`    → changeover prepare ${migration}`);
  const clock = clockText(aheadMs);
  if (clock !== null) terminal.say(`    · ${clock}`);
  // What somebody would have to mend or accept before a move; a migration that is finished makes none.
  const told = finished ? findings.filter(({ level }) => level === 'info') : findings;
  for (const finding of told) sayFinding(terminal, migration, side, finding);
}

/** One finding, who accepted it, and what else can be done. */
export function sayFinding(terminal: Terminal, migration: string, side: Side, finding: JudgedFinding): void {
  const { name, level, message, remedy, accepted } = finding;
  const fine = level === 'info' || accepted !== null;
  const mark = level === 'info' ? '·' : fine ? terminal.style('green', '✓') : terminal.style('red', '✗');
  const by = accepted === null ? '' : `; accepted by ${accepted.actor}: ${accepted.reason}`;
  terminal.say(`    ${mark} ${printable(`${name}: ${message}${by}`)}`);
  if (fine) return;
  if (remedy !== '') terminal.say(`      → ${printable(remedy)}`);
  if (level === 'risk') {
    terminal.say(`      → changeover accept ${migration} ${shellWord(printable(name))} --side ${side} --reason "…"`);
  }
}
