import type { Proof } from '../verify-report.ts';
import type { ReportDocument } from './report-document.ts';
import {
  age,
  COUNTS,
  causeText,
  fieldLine,
  fieldTexts,
  KIND_NAMES,
  KINDS,
  type Kind,
  proofText,
  scopeText,
  whole,
} from './report-words.ts';

/** How many records a failed check lists: CI servers keep what it says of every build. */
const MOST_RECORDS = 100;

/**
 * The report as JUnit XML, which CI servers show as tests: a check for each kind of divergence, and one that everything
 * could be judged. The names stay the same from run to run, so that a server can draw their history. What could not be
 * judged is an error, so that such a build does not look green.
 */
export function junitReport(document: ReportDocument): string {
  const { migration, counts, startedAt, finishedAt } = document;
  const suite = `changeover verify ${migration}`;
  const failed = KIND_NAMES.filter((kind) => counts[kind] > 0);
  const { proof } = document;
  const proven = proof === undefined || (proof.refused === null && proof.missed.length === 0);
  const judged = document.reasons.length === 0 && document.verdict !== 'inconclusive';
  const seconds = ((Date.parse(finishedAt) - Date.parse(startedAt)) / 1_000).toFixed(3);
  const tests = KIND_NAMES.length + (proof === undefined ? 1 : 2);
  const errors = (judged ? 0 : 1) + (proven ? 0 : 1);
  const totals = `tests="${tests}" failures="${failed.length}" errors="${errors}"`;
  const properties = {
    verdict: document.verdict,
    revision: String(document.revision),
    mappingHash: document.mappingHash,
    compared: scopeText(document),
    finishedAt,
    expiresAt: document.expiresAt,
    ...Object.fromEntries(COUNTS.map((count) => [count, String(counts[count])])),
    valuesShown: String(document.valuesShown),
  };
  const lines = [
    '<?xml version="1.0" encoding="UTF-8"?>',
    `<testsuites name="${attribute(suite)}" ${totals} time="${seconds}">`,
    `  <testsuite name="${attribute(suite)}" ${totals} skipped="0" time="${seconds}" timestamp="${startedAt.replace(/(?:\.\d+)?Z$/, '')}">`,
    '    <properties>',
    ...Object.entries(properties).map(
      ([name, value]) => `      <property name="${name}" value="${attribute(value)}"/>`,
    ),
    '    </properties>',
    ...KIND_NAMES.flatMap((kind) => check(suite, `no record is ${kind}`, kindFailure(document, kind))),
    ...check(suite, 'everything could be judged', judged ? null : unjudged(document)),
    ...(proof === undefined ? [] : check(suite, 'what was planted is found', proven ? null : unproven(proof))),
    `    <system-out>${escapeXml(work(document))}</system-out>`,
    '  </testsuite>',
    '</testsuites>',
  ];
  return `${lines.join('\n')}\n`;
}

function check(suite: string, title: string, body: string | null): string[] {
  const head = `    <testcase classname="${attribute(suite)}" name="${attribute(title)}" time="0"`;
  return body === null ? [`${head}/>`] : [`${head}>`, `      ${body}`, '    </testcase>'];
}

function kindFailure({ counts, divergences, valuesShown }: ReportDocument, kind: Kind): string | null {
  if (counts[kind] === 0) return null;
  const listed = divergences.filter((divergence) => divergence.kind === kind).slice(0, MOST_RECORDS);
  const lines = listed.flatMap((divergence) => [
    `${divergence.keyText} (${causeText(divergence.cause)}, age ${age(divergence.ageMs)})`,
    ...fieldTexts(divergence, valuesShown).map((field) => `  ${fieldLine(field)}`),
  ]);
  const left = counts[kind] - listed.length;
  if (left > 0) lines.push(`… and ${whole(left)} more`);
  const message = `${whole(counts[kind])} ${kind}: ${KINDS[kind]}`;
  return `<failure type="${kind}" message="${attribute(message)}">${escapeXml(lines.join('\n'))}</failure>`;
}

function unjudged({ reasons }: ReportDocument): string {
  return `<error type="inconclusive" message="not everything could be judged">${escapeXml(reasons.join('\n'))}</error>`;
}

const unproven = (proof: Proof): string =>
  `<error type="invalid" message="the verification did not find what was planted">${escapeXml(proofText(proof))}</error>`;

const work = ({ scanned }: ReportDocument): string =>
  `scanned: ${whole(scanned.old.records)} records of the old store, ${whole(scanned.new.records)} of the new one; looked at again: ${whole(scanned.candidates)} keys`;

/** Text for XML 1.0: markup escaped; what XML cannot hold at all becomes U+FFFD. */
function escapeXml(text: string): string {
  return text
    .toWellFormed()
    .replace(NOT_XML, '\ufffd')
    .replace(/&/g, '&amp;')
    .replace(/</g, '&lt;')
    .replace(/>/g, '&gt;')
    .replace(/"/g, '&quot;')
    .replace(/\r/g, '&#13;');
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what XML 1.0 forbids
const NOT_XML = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/g;

const attribute = (text: string): string => escapeXml(text).replace(/\t/g, '&#9;').replace(/\n/g, '&#10;');
