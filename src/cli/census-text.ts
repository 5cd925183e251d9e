import type { CensusProgress } from '../../verify/census.ts';
import type { LossMatrix, PathLoss } from '../../verify/lossiness.ts';
import type { CensusRequest, CensusResult } from '../control/preflight.ts';
import { InvalidArgument } from '../core/errors.ts';
import { ProgressMeter } from './progress.ts';
import type { Session } from './session.ts';
import type { Terminal } from './terminal.ts';
import { wholeNumber } from './whole-number.ts';
import { count, keyText, plural, printable, table } from './wording.ts';

/** How a census is asked for on the command line. */
export interface CensusFlags {
  readonly sample?: string;
  readonly all?: true;
  readonly showValues?: true;
}

export const SAMPLE = [
  '--sample <n>',
  'how many records of the old store the census looks at (default: 10000)',
] as const;
export const ALL = ['--all', 'look at all records'] as const;
export const SHOW_VALUES = [
  '--show-values',
  'show the values of what would be lost, not only types and lengths',
] as const;

const EXAMPLES = 20;

/** @throws InvalidArgument */
export function censusOptions(flags: CensusFlags): Pick<CensusRequest, 'sample' | 'showValues'> {
  if (flags.all === true && flags.sample !== undefined) {
    throw new InvalidArgument('--sample and --all exclude each other', { expected: 'one of them' });
  }
  const sample =
    flags.all === true
      ? { sample: null }
      : flags.sample === undefined
        ? {}
        : { sample: wholeNumber('--sample', flags.sample, 1) };
  return { ...sample, showValues: flags.showValues === true };
}

/** Runs what takes a census, with its progress shown. */
export async function withProgress<T>(
  session: Session,
  migration: string,
  work: (onProgress: (progress: CensusProgress) => void) => Promise<T>,
): Promise<T> {
  const meter = new ProgressMeter(session.terminal, `census ${migration}`);
  const onProgress = ({ sampled, wanted }: CensusProgress): void =>
    meter.update({ done: sampled, all: wanted, detail: 'reading the old store' });
  return work(onProgress).finally(() => meter.end());
}

/** Prints a census: nothing but a line where nothing is lost. */
export function sayCensus(terminal: Terminal, census: CensusResult): void {
  const { sampled, exhaustive, unreadable, toNew, toOld, losses, open } = census;
  const scope = exhaustive ? `all ${plural(sampled, 'record')}` : `a sample of ${plural(sampled, 'record')}`;
  const verdict =
    losses.length === 0
      ? terminal.style('green', 'all come back from both stores as they were')
      : terminal.style(open.length === 0 ? 'yellow' : 'red', `${plural(losses.length, 'kind')} of loss`);
  terminal.say(`  census         ${scope}: ${verdict}`);
  if (unreadable !== null)
    terminal.say(`    the old store cannot read ${count(unreadable.count)} of them: ${printable(unreadable.message)}`);
  sayMatrix(terminal, 'old → new', toNew);
  sayMatrix(terminal, 'new → old', toOld);
  const beside = open.filter((loss) => !losses.includes(loss));
  if (beside.length > 0) {
    terminal.say('    a larger census found more, which is not accepted:');
    for (const loss of beside.slice(0, EXAMPLES)) terminal.say(`      ${printable(loss)}`);
  }
}

const loses = ({ lost, changed, refused }: PathLoss): boolean => lost > 0 || changed.length + refused.length > 0;
const number = (value: number): string => (value === 0 ? '' : count(value));

function sayMatrix(terminal: Terminal, title: string, { records, same, refused, paths }: LossMatrix): void {
  const losing = paths.filter(loses);
  if (losing.length === 0) return;
  terminal.say();
  terminal.say(
    `    ${terminal.style('bold', title)}: ${count(same)} of ${plural(records, 'record')} as they were, ${count(refused)} refused`,
  );
  const rows = losing
    .slice(0, EXAMPLES)
    .map((path) => [
      printable(path.path) || '(the whole record)',
      number(path.kept),
      number(path.lost),
      number(path.refused.reduce((sum, line) => sum + line.count, 0)),
      path.changed.map(({ from, to, count: times }) => `${from} → ${to} (${count(times)})`).join(', '),
    ]);
  const text = table(['path', 'kept', 'lost', 'refused', 'changed'], rows, [1, 2, 3]);
  for (const line of text.split('\n')) terminal.say(`      ${line}`);
  for (const path of losing.slice(0, EXAMPLES)) {
    if (path.example === null) continue;
    const { key, given, back } = path.example;
    const why = path.refused[0] === undefined ? '' : `: ${path.refused[0].message}`;
    const values =
      path.refused.length > 0
        ? ''
        : `: ${JSON.stringify(given)} → ${path.lost > 0 && back === null ? 'nothing' : JSON.stringify(back)}`;
    terminal.say(printable(`      ${path.path || '(the whole record)'}, as in ${keyText(key)}${values}${why}`));
  }
  if (losing.length > EXAMPLES) terminal.say(`      and ${losing.length - EXAMPLES} more paths; --json has them`);
}
