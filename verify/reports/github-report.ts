import type { ReportDocument } from './report-document.ts';
import {
  age,
  COUNTS,
  causeText,
  fieldLine,
  fieldTexts,
  nextSteps,
  printable,
  stepLine,
  whole,
} from './report-words.ts';

/** GitHub shows ten annotations of a level a step; the verdict is the first of them. */
const MOST_RECORDS = 9;
const MOST_FIELDS = 10;
const LONGEST_TITLE = 200;

/**
 * The report as workflow commands of GitHub Actions: one annotation for the verdict, one each for the first divergent
 * records. Inconclusive is an error too: the build fails because of it.
 */
export function githubReport(document: ReportDocument): string {
  const { migration, verdict, counts, reasons, revision, expiresAt, divergences, valuesShown } = document;
  const summary = COUNTS.map((count) => `${whole(counts[count])} ${count}`).join(', ');
  const bound = `revision ${revision}, mapping ${document.mappingHash}, valid until ${expiresAt}`;
  const lines = [
    command(verdict === 'consistent' ? 'notice' : 'error', `${migration}: ${verdict}`, [
      summary,
      ...reasons,
      bound,
      ...nextSteps(document).map(stepLine),
    ]),
  ];
  for (const divergence of divergences.slice(0, MOST_RECORDS)) {
    const { kind, cause, ageMs, keyText } = divergence;
    const fields = fieldTexts(divergence, valuesShown);
    const more = fields.length > MOST_FIELDS ? [`… and ${fields.length - MOST_FIELDS} more fields`] : [];
    lines.push(
      command('error', `${kind}: ${keyText}`, [
        `${causeText(cause)}, age ${age(ageMs)}`,
        ...fields.slice(0, MOST_FIELDS).map(fieldLine),
        ...more,
      ]),
    );
  }
  return `${lines.join('\n')}\n`;
}

function command(level: 'error' | 'notice', title: string, message: readonly string[]): string {
  return `::${level} title=${property(printable(title.slice(0, LONGEST_TITLE)))}::${data(message.map(printable).join('\n'))}`;
}

/** As the toolkit of GitHub Actions escapes: nothing ends the command or begins another one. */
const data = (text: string): string => text.replace(/%/g, '%25').replace(/\r/g, '%0D').replace(/\n/g, '%0A');
const property = (text: string): string => data(text).replace(/:/g, '%3A').replace(/,/g, '%2C');
