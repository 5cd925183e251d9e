import type { ReportDocument } from './report-document.ts';
import {
  age,
  COUNTS,
  causeText,
  fieldLine,
  fieldTexts,
  nextSteps,
  pathText,
  printable,
  proofText,
  type Step,
  scopeText,
  utc,
  verdictText,
  whole,
} from './report-words.ts';

/** A job's summary is read, not searched: the JSON and HTML reports list more. */
const MOST_RECORDS = 50;
const MOST_FIELDS = 5;
const MOST_PATHS = 10;
const LONGEST = 160;
/** What says what to do is told to its end. */
const LONGEST_ADVICE = 2_000;

/** The report as Markdown, for pull requests, tickets and the summary of a job. */
export function markdownReport(document: ReportDocument): string {
  const { verdict, counts, reasons, summary, divergences } = document;
  const lines = [
    `## ${plain(document.migration)}: ${verdict}`,
    '',
    verdictText(document),
    '',
    `| ${COUNTS.join(' | ')} |`,
    `|${COUNTS.map(() => ' ---: |').join('')}`,
    `| ${COUNTS.map((name) => whole(counts[name])).join(' | ')} |`,
    '',
    `Revision ${document.revision}, mapping ${code(document.mappingHash)}, compared ${plain(scopeText(document))}. Took from ${utc(document.startedAt)} to ${utc(document.finishedAt)}; valid until **${utc(document.expiresAt)}**.`,
  ];
  if (document.proof !== undefined) lines.push('', `Proof: ${plain(proofText(document.proof))}.`);
  if (reasons.length > 0)
    lines.push('', 'Not certain:', '', ...reasons.map((reason) => `- ${plain(reason, LONGEST_ADVICE)}`));
  const steps = nextSteps(document);
  if (steps.length > 0) lines.push('', 'What to do:', '', ...steps.map((step, i) => `${i + 1}. ${stepText(step)}`));
  if (summary.causes.length > 0) {
    lines.push('', '| cause | records |', '| --- | ---: |');
    for (const { cause, count } of summary.causes) lines.push(`| ${plain(causeText(cause))} | ${whole(count)} |`);
  }
  if (summary.paths.length > 0) {
    lines.push('', '| field | records |', '| --- | ---: |');
    for (const { path, count } of summary.paths.slice(0, MOST_PATHS)) {
      lines.push(`| ${code(pathText(path))} | ${whole(count)} |`);
    }
  }
  if (divergences.length > 0) lines.push('', ...divergenceTable(document));
  return `${lines.join('\n')}\n`;
}

function divergenceTable({ divergences, counts, valuesShown }: ReportDocument): string[] {
  const listed = divergences.slice(0, MOST_RECORDS);
  const lines = ['| key | kind | cause | age | fields |', '| --- | --- | --- | ---: | --- |'];
  for (const divergence of listed) {
    const { kind, cause, ageMs, keyText } = divergence;
    const all = fieldTexts(divergence, valuesShown);
    const fields = all.slice(0, MOST_FIELDS).map((field) => code(fieldLine(field)));
    if (all.length > MOST_FIELDS) fields.push(`… and ${all.length - MOST_FIELDS} more`);
    lines.push(`| ${code(keyText)} | ${kind} | ${plain(causeText(cause))} | ${age(ageMs)} | ${fields.join('<br>')} |`);
  }
  const left = counts.missing + counts.extra + counts.different + counts.stale - listed.length;
  if (left > 0) lines.push('', `The first ${listed.length} are listed, ${whole(left)} more are counted.`);
  return lines;
}

const stepText = ({ command, words }: Step): string =>
  command === null ? plain(words, LONGEST_ADVICE) : `${code(command)} ${plain(words, LONGEST_ADVICE)}`.trimEnd();

const shortened = (text: string, longest = LONGEST): string =>
  text.length <= longest ? text : `${text.slice(0, longest).toWellFormed()}…`;

/**
 * Text of others as code within a cell: in code nothing is markup, a mention or a link, if the fence is longer than
 * every run of backticks within and the pipe is escaped.
 */
function code(text: string): string {
  const line = printable(shortened(text));
  const longest = Math.max(0, ...[...line.matchAll(/`+/g)].map(([run]) => run.length));
  const fence = '`'.repeat(longest + 1);
  const pad = /^[` ]|[` ]$/.test(line) ? ' ' : '';
  return `${fence}${pad}${line.replaceAll('|', '\\|')}${pad}${fence}`;
}

/** Text that stays within its line and is no markup. */
const plain = (text: string, longest = LONGEST): string =>
  printable(shortened(text, longest))
    .replace(/&/g, '&amp;')
    .replace(/</g, '&lt;')
    .replace(/[\\|`*_[\]#~]/g, '\\$&');
