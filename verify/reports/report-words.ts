import { describePositions } from '../../src/core/dial.ts';
import type { DivergenceCause } from '../divergence.ts';
import { BY_PROOF, type Proof, type Verdict, WAIT_FOR_REPAIR } from '../verify-report.ts';
import type { DivergenceLine, ReportDocument } from './report-document.ts';

/** The counts of a report in the order in which they are shown. */
export const COUNTS = ['old', 'new', 'equal', 'missing', 'extra', 'different', 'stale', 'pending'] as const;

/** The kinds of a divergence, and what each means for a reader. */
export const KINDS = {
  missing: 'the store that follows lacks a record that the leading one has',
  extra: 'the store that follows has a record that the leading one has not',
  different: 'both have the record, with different values',
  stale: 'the store that follows has an older version of the record',
} as const;

export type Kind = keyof typeof KINDS;

export const KIND_NAMES = Object.keys(KINDS) as readonly Kind[];

const VERDICTS: Readonly<Record<Verdict, string>> = {
  consistent: 'Both stores hold the same records.',
  divergent: 'The stores differ, and the differences outlived their rechecks.',
  inconclusive: 'No difference was found, but not everything could be judged.',
};

/** What a verdict says in one sentence. */
export function verdictText({ verdict, counts }: ReportDocument): string {
  const found = KIND_NAMES.some((kind) => counts[kind] > 0);
  if (verdict === 'inconclusive' && found) return 'Differences were found by a verification that did not prove itself.';
  return VERDICTS[verdict];
}

const NOT_BACKFILLED = 'not backfilled' satisfies DivergenceCause;

/** What mends a cause. */
const ADVICE: Readonly<Record<string, string>> = {
  [NOT_BACKFILLED]: 'no backfill has ended there since they are mirrored: it copies these over',
  'lost mirror': 'repair copies these over',
  'dirty range': 'repair copies these over',
  orphan:
    'the leading store never had these, or lost them past the repository: find out which before a repair removes them',
  rejected: 'the store that follows refuses these: mend the record or the constraint first',
  'lossy codec': 'mend the codec or the column first; repair alone brings the same difference back',
  'written outside':
    'find who writes past the repository and stop it (a column that was added since is a write of every record); repair then writes them again from the leading store',
  'in flight for too long': 'look whether the store that follows is slow; verify again, then repair what stays',
};

/** Something to do: in words, or a command and perhaps words about it. */
export interface Step {
  readonly command: string | null;
  readonly words: string;
}

/** What to do about a report, the first thing first. */
export function nextSteps({ migration, verdict, summary, counts, reasons, proof }: ReportDocument): readonly Step[] {
  if (verdict === 'consistent') return [];
  const steps = summary.causes.flatMap(({ cause, count }): Step[] => {
    const advice = cause === null ? undefined : ADVICE[cause];
    return advice === undefined ? [] : [{ command: null, words: `${cause} (${whole(count)}): ${advice}` }];
  });
  const command = (words: string, about = ''): Step => ({ command: `changeover ${words}`, words: about });
  const due = summary.causes.filter(({ cause }) => cause === NOT_BACKFILLED).length;
  if (due > 0) steps.push(command(`backfill ${migration} --reason "…"`));
  const dirty = reasons.some((reason) => reason.includes(WAIT_FOR_REPAIR));
  if (dirty || summary.causes.length > due || (due === 0 && verdict === 'divergent')) {
    steps.push(command(`repair ${migration} --dry-run`, 'says what the next one would do'));
    steps.push(command(`repair ${migration} --reason "…"`));
  }
  // What is not printed is remembered all the same, as far as it was looked at.
  const more = KIND_NAMES.reduce((sum, kind) => sum + counts[kind], 0) > summary.listed;
  // Without a proof nobody would see again that a proof missed something, nor would its records be removed.
  const prove = proof !== undefined || reasons.some((reason) => reason.includes(BY_PROOF)) ? ' --prove' : '';
  steps.push(
    command(
      `verify ${migration}${prove}`,
      more ? 'more diverge than one repair writes again: repair and verify in turn' : '',
    ),
  );
  return steps;
}

/** A step in one line. */
export const stepLine = ({ command, words }: Step): string =>
  [command, words].filter((part) => part !== null && part !== '').join(': ');

/** `12,345`. */
export const whole = (value: number): string => Math.round(value).toLocaleString('en-US');

/** `12.3 MB`. */
export function bytes(value: number): string {
  const unit = value < 1_000 ? 0 : Math.min(4, Math.floor(Math.log10(value) / 3));
  return `${Number((value / 1_000 ** unit).toPrecision(3))} ${['B', 'kB', 'MB', 'GB', 'TB'][unit]}`;
}

/** `90.0 s`, `12 min`, `5 h`; `unknown` where there is no stamp. */
export function age(ms: number | undefined): string {
  if (ms === undefined) return 'unknown';
  if (ms < 1_000) return `${Math.round(ms)} ms`;
  const seconds = ms / 1_000;
  if (seconds < 120) return `${seconds.toFixed(1)} s`;
  if (seconds < 7_200) return `${Math.round(seconds / 60)} min`;
  return seconds < 172_800 ? `${Math.round(seconds / 3_600)} h` : `${Math.round(seconds / 86_400)} days`;
}

/** `2026-01-01 00:00:01 UTC`. */
export const utc = (iso: string): string => iso.replace('T', ' ').replace(/(?:\.\d+)?Z$/, ' UTC');

/** What was compared: positions, and what of them. */
export const scopeText = ({ positions, unit, sample }: ReportDocument): string =>
  [
    positions === undefined ? 'not recorded' : describePositions(positions),
    ...(unit === undefined ? [] : [`only the unit ${unit}`]),
    ...(sample === undefined ? [] : [`a sample of ${Number((sample * 100).toPrecision(3))} % of the units`]),
  ].join('; ');

/** What became of planted records. */
export function proofText({ planted, missed, refused }: Proof): string {
  if (refused !== null) return `not possible: ${refused}`;
  if (missed.length > 0) return `${missed.length} of ${planted} planted records missed: ${missed.join(', ')}`;
  return `all ${planted} planted records found`;
}

export const causeText = (cause: string | null): string => cause ?? 'cause unknown';

const LONGEST_VALUE = 120;

/** A side's value of a field: masked it is words, shown it is JSON. */
function valueText(value: unknown, valuesShown: boolean): string {
  if (value === undefined) return '(no such field)';
  const text = valuesShown ? JSON.stringify(value) : String(value);
  return text.length <= LONGEST_VALUE ? text : `${text.slice(0, LONGEST_VALUE)}…`;
}

export const pathText = (path: string): string => (path === '' ? '(the whole record)' : path);

/** A field of a divergent record for people. */
export interface FieldText {
  readonly path: string;
  readonly old: string;
  readonly new: string;
}

export const fieldTexts = ({ fields }: DivergenceLine, valuesShown: boolean): readonly FieldText[] =>
  fields.map((field) => ({
    path: pathText(field.path),
    old: valueText(field.old, valuesShown),
    new: valueText(field.new, valuesShown),
  }));

export const fieldLine = (field: FieldText): string => `${field.path}: old ${field.old}, new ${field.new}`;

/** What a terminal shows of a key or a value that may be megabytes long. */
const LONGEST = 300;

/** The beginning of a text that is too long for a line of a terminal. */
export const clip = (text: string): string =>
  text.length <= LONGEST ? text : `${text.slice(0, LONGEST)}… (${text.length} characters)`;

/** Characters that steer a terminal, a log or a table, or that no document may hold, written out. */
export const printable = (text: string): string =>
  text
    .toWellFormed()
    .replace(
      /[\p{Cc}\ufffe\uffff\u2028\u2029\u202a-\u202e\u2066-\u2069]/gu,
      (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
    );
