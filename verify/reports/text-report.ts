import type { ReportDocument } from './report-document.ts';
import {
  age,
  COUNTS,
  causeText,
  clip,
  fieldLine,
  fieldTexts,
  nextSteps,
  pathText,
  printable,
  proofText,
  scopeText,
  stepLine,
  whole,
} from './report-words.ts';

/** How many fields a line names. */
const MOST_PATHS = 8;

/** The report as a terminal shows it: the verdict first, then what led to it. */
export function textReport(document: ReportDocument): string {
  const { counts, divergences, valuesShown } = document;
  const lines = [
    `${document.migration}: ${document.verdict} at revision ${document.revision}, valid until ${document.expiresAt}`,
    `  ${whole(counts.old)} old, ${whole(counts.new)} new, ${whole(counts.equal)} equal`,
  ];
  if (document.unit !== undefined || document.sample !== undefined) {
    lines.push(`  compared: ${printable(scopeText(document))}`);
  }
  if (document.proof !== undefined) lines.push(`  proof: ${printable(proofText(document.proof))}`);
  const odd = COUNTS.slice(3).filter((name) => counts[name] > 0);
  if (odd.length > 0) lines.push(`  ${odd.map((name) => `${whole(counts[name])} ${name}`).join(', ')}`);
  for (const reason of document.reasons) lines.push(`  ? ${printable(reason)}`);
  for (const divergence of divergences) {
    const { kind, cause, ageMs } = divergence;
    const since = ageMs === undefined ? '' : `, ${age(ageMs)} old`;
    lines.push(`  ${kind.padEnd(9)} ${printable(clip(divergence.keyText))} (${causeText(cause)}${since})`);
    for (const field of fieldTexts(divergence, valuesShown)) lines.push(`            ${printable(fieldLine(field))}`);
  }
  if (document.truncated) lines.push(`  … the first ${divergences.length} are listed`);
  const { paths, listed } = document.summary;
  if (paths.length > 0 && listed > 1) {
    const counted = paths
      .slice(0, MOST_PATHS)
      .map(({ path, count }) => `${printable(clip(pathText(path)))} in ${whole(count)}`);
    if (paths.length > MOST_PATHS) counted.push('…');
    lines.push(`  fields    ${counted.join(', ')} of ${whole(listed)} that were looked at`);
  }
  for (const [i, step] of nextSteps(document).entries()) {
    lines.push(`  ${i === 0 ? 'next' : '    '}      ${stepLine(step)}`);
  }
  return `${lines.join('\n')}\n`;
}
