import { canonicalText } from '../src/core/canonical.ts';
import type { Value } from '../src/core/value.ts';
import { isPlainObject } from '../src/core/value.ts';
import { maskValue } from './compare.ts';
import type { Divergence, VerifyReport } from './verify-report.ts';

export interface ReportOptions {
  /** Shows the values of fields that differ. @default false: type and length only, so that reports can be passed on */
  readonly showValues?: boolean;
}

/** What a report can be written as. */
export type ReportFormat = 'json' | 'markdown' | 'junit' | 'text';

/** 0 consistent, 1 divergent, 2 inconclusive: what `changeover verify` exits with. */
export function exitCode(report: Pick<VerifyReport, 'verdict'>): 0 | 1 | 2 {
  return ({ consistent: 0, divergent: 1, inconclusive: 2 } as const)[report.verdict];
}

/** Writes a report in one of its forms. @example writeReport(report, 'junit') */
export function writeReport(report: VerifyReport, format: ReportFormat, options: ReportOptions = {}): string {
  return WRITERS[format](report, options);
}

const WRITERS: Readonly<Record<ReportFormat, (report: VerifyReport, options: ReportOptions) => string>> = Object.freeze(
  {
    json: reportJson,
    markdown: reportMarkdown,
    junit: reportJunit,
    text: reportText,
  },
);

/**
 * A value as JSON can hold it: bigint, Date, bytes, decimals, sets, NaN and -0 by their canonical text; undefined as
 * null, which only a field that one side lacks is.
 */
export function plainJson(value: Value): unknown {
  if (value === undefined || value === null) return null;
  if (typeof value === 'number') return Number.isFinite(value) && !Object.is(value, -0) ? value : canonicalText(value);
  if (typeof value === 'string' || typeof value === 'boolean') return value;
  if (Array.isArray(value)) return value.map(plainJson);
  if (!isPlainObject(value)) return canonicalText(value);
  return Object.fromEntries(Object.entries(value).map(([field, item]) => [field, plainJson(item as Value)]));
}

/** The report as plain JSON data: what `--json` prints and the HTTP API answers. */
export function reportData(report: VerifyReport, options: ReportOptions = {}): Record<string, unknown> {
  const show = (value: Value): unknown => (options.showValues === true ? plainJson(value) : maskValue(value));
  return {
    ...report,
    divergences: report.divergences.map((divergence) => ({
      ...divergence,
      key: plainJson(divergence.key),
      fields: divergence.fields.map(({ path, old, new: fresh }) => ({ path, old: show(old), new: show(fresh) })),
    })),
  };
}

/** The report as a JSON document. */
export function reportJson(report: VerifyReport, options: ReportOptions = {}): string {
  return `${JSON.stringify(reportData(report, options), null, 2)}\n`;
}

const COUNTS = ['old', 'new', 'equal', 'missing', 'extra', 'different', 'stale', 'pending'] as const;
const LONGEST_VALUE = 120;

function shown(value: Value, options: ReportOptions): string {
  if (options.showValues !== true) return maskValue(value);
  const text = canonicalText(value);
  return text.length <= LONGEST_VALUE ? text : `${text.slice(0, LONGEST_VALUE)}…`;
}

/** `userKey="ada", id=7`. */
const keyText = ({ key }: Divergence): string =>
  Object.entries(key)
    .map(([field, part]) => `${field}=${canonicalText(part)}`)
    .join(', ');

function age(ms: number | undefined): string {
  if (ms === undefined) return 'unknown';
  if (ms < 1_000) return `${Math.round(ms)} ms`;
  const seconds = ms / 1_000;
  if (seconds < 120) return `${seconds.toFixed(1)} s`;
  return seconds < 7_200 ? `${Math.round(seconds / 60)} min` : `${Math.round(seconds / 3_600)} h`;
}

function fieldLines({ fields }: Divergence, options: ReportOptions): string[] {
  return fields.map(
    ({ path, old, new: fresh }) =>
      `${path === '' ? '(the whole record)' : path}: old ${shown(old, options)}, new ${shown(fresh, options)}`,
  );
}

/** The report as Markdown, for pull requests and tickets. */
export function reportMarkdown(report: VerifyReport, options: ReportOptions = {}): string {
  const lines = [
    `# ${cell(report.migration)}: ${report.verdict}`,
    '',
    `Revision ${report.revision}, mapping \`${report.mappingHash}\`, ${report.startedAt} to ${report.finishedAt}, valid until ${report.expiresAt}.`,
    '',
    `| ${COUNTS.join(' | ')} |`,
    `|${COUNTS.map(() => ' ---: |').join('')}`,
    `| ${COUNTS.map((name) => report.counts[name]).join(' | ')} |`,
  ];
  if (report.reasons.length > 0)
    lines.push('', 'Not certain:', '', ...report.reasons.map((reason) => `- ${cell(reason)}`));
  if (report.divergences.length > 0) {
    lines.push('', '| key | kind | cause | age | fields |', '| --- | --- | --- | --- | --- |');
    for (const divergence of report.divergences) {
      const fields = fieldLines(divergence, options).map(cell).join('<br>');
      const { kind, cause, ageMs } = divergence;
      lines.push(`| ${cell(keyText(divergence))} | ${kind} | ${cause ?? 'unknown'} | ${age(ageMs)} | ${fields} |`);
    }
    if (report.truncated) lines.push('', `The first ${report.divergences.length} are listed; all are counted.`);
  }
  return `${lines.join('\n')}\n`;
}

/** Text that stays within a cell and is no markup. */
const cell = (text: string): string =>
  text
    .replace(/[\r\n]+/g, ' ')
    .replace(/&/g, '&amp;')
    .replace(/</g, '&lt;')
    .replace(/[\\|`*_[\]]/g, '\\$&');

/**
 * The report as JUnit XML, which CI servers show as tests: one failed test a listed divergence, one test for the
 * verdict itself. Inconclusive is an error, so that a build that could not judge does not look green.
 */
export function reportJunit(report: VerifyReport, options: ReportOptions = {}): string {
  const name = attribute(`changeover verify ${report.migration}`);
  const failures = report.divergences.length + (report.verdict === 'divergent' ? 1 : 0);
  const errors = report.verdict === 'inconclusive' ? 1 : 0;
  const seconds = ((Date.parse(report.finishedAt) - Date.parse(report.startedAt)) / 1_000).toFixed(3);
  const summary = COUNTS.map((count) => `${count} ${report.counts[count]}`).join(', ');
  const totals = `tests="${report.divergences.length + 1}" failures="${failures}" errors="${errors}" time="${seconds}"`;
  const lines = [
    '<?xml version="1.0" encoding="UTF-8"?>',
    `<testsuites name="${name}" ${totals}>`,
    `  <testsuite name="${name}" ${totals} skipped="0" timestamp="${report.startedAt.replace(/Z$/, '')}">`,
    '    <properties>',
    `      <property name="revision" value="${report.revision}"/>`,
    `      <property name="mappingHash" value="${attribute(report.mappingHash)}"/>`,
    `      <property name="expiresAt" value="${attribute(report.expiresAt)}"/>`,
    '    </properties>',
    ...testcase(name, 'old and new agree', verdictBody(report, summary)),
  ];
  for (const divergence of report.divergences) {
    const message = `${divergence.kind}, ${divergence.cause ?? 'cause unknown'}, age ${age(divergence.ageMs)}`;
    const detail = fieldLines(divergence, options).join('\n');
    lines.push(
      ...testcase(
        name,
        keyText(divergence),
        `<failure type="${divergence.kind}" message="${attribute(message)}">${escapeXml(detail)}</failure>`,
      ),
    );
  }
  return `${[...lines, '  </testsuite>', '</testsuites>'].join('\n')}\n`;
}

function verdictBody(report: VerifyReport, summary: string): string | null {
  if (report.verdict === 'consistent') return null;
  const text = escapeXml([summary, ...report.reasons].join('\n'));
  return report.verdict === 'divergent'
    ? `<failure type="divergent" message="the stores differ">${text}</failure>`
    : `<error type="inconclusive" message="the stores could not be judged">${text}</error>`;
}

function testcase(suite: string, title: string, body: string | null): string[] {
  const head = `    <testcase classname="${suite}" name="${attribute(title)}"`;
  return body === null ? [`${head}/>`] : [`${head}>`, `      ${body}`, '    </testcase>'];
}

/** Text for XML 1.0: markup escaped; what XML cannot hold at all becomes U+FFFD. */
function escapeXml(text: string): string {
  return text
    .toWellFormed()
    .replace(NOT_XML, '\ufffd')
    .replace(/&/g, '&amp;')
    .replace(/</g, '&lt;')
    .replace(/>/g, '&gt;')
    .replace(/"/g, '&quot;');
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what XML 1.0 forbids
const NOT_XML = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/g;

const attribute = (text: string): string =>
  escapeXml(text).replace(/\t/g, '&#9;').replace(/\n/g, '&#10;').replace(/\r/g, '&#13;');

/** The report as a terminal shows it: the verdict first, then what led to it. */
export function reportText(report: VerifyReport, options: ReportOptions = {}): string {
  const { counts } = report;
  const lines = [
    `${report.migration}: ${report.verdict} at revision ${report.revision}, valid until ${report.expiresAt}`,
    `  ${counts.old} old, ${counts.new} new, ${counts.equal} equal`,
  ];
  const odd = COUNTS.slice(3).filter((name) => counts[name] > 0);
  if (odd.length > 0) lines.push(`  ${odd.map((name) => `${counts[name]} ${name}`).join(', ')}`);
  for (const reason of report.reasons) lines.push(`  ? ${printable(reason)}`);
  for (const divergence of report.divergences) {
    const { kind, cause, ageMs } = divergence;
    const since = ageMs === undefined ? '' : `, ${age(ageMs)} old`;
    lines.push(`  ${kind.padEnd(9)} ${printable(keyText(divergence))} (${cause ?? 'cause unknown'}${since})`);
    for (const line of fieldLines(divergence, options)) lines.push(`            ${printable(line)}`);
  }
  if (report.truncated) lines.push(`  … the first ${report.divergences.length} are listed`);
  return `${lines.join('\n')}\n`;
}

/** Keeps keys and values of others from steering the terminal. */
const printable = (text: string): string =>
  text.replace(/\p{Cc}/gu, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`);
