import { createHash } from 'node:crypto';
import type { Verdict } from '../verify-report.ts';
import { type Bar, barTable, html, shareBar, timeline } from './html-chart.ts';
import { STYLE } from './html-style.ts';
import type { DivergenceLine, ReportDocument } from './report-document.ts';
import {
  age,
  bytes,
  COUNTS,
  causeText,
  fieldTexts,
  KIND_NAMES,
  KINDS,
  type Kind,
  nextSteps,
  pathText,
  proofText,
  type Step,
  scopeText,
  utc,
  verdictText,
  whole,
} from './report-words.ts';

/** What the page may do: have its own style, by its digest. A server that shows it sends the same. */
export const HTML_REPORT_POLICY = `default-src 'none'; style-src 'sha256-${createHash('sha256').update(STYLE).digest('base64')}'; base-uri 'none'; form-action 'none'`;

/** More make a page that no browser likes; the JSON report lists them all. */
const MOST_RECORDS = 1_000;
const MOST_FIELDS = 10;
const MOST_PATHS = 12;

const ICONS: Readonly<Record<Verdict, string>> = {
  consistent: '<path d="M5 12.5l4.5 4.5L19 7.5"/>',
  divergent: '<path d="M6 6l12 12M18 6L6 18"/>',
  inconclusive: '<path d="M9 9a3 3 0 1 1 4.2 2.8c-.9.4-1.2 1-1.2 2.2M12 17.5v.1"/>',
};

/**
 * The report as a page in one file: no script, no request, light and dark, for a screen, a telephone and paper.
 * `now` says on the page whether the verdict has expired when it is shown.
 */
export function htmlReport(document: ReportDocument, now?: number): string {
  const { migration, verdict } = document;
  const title = `${migration}: ${verdict} (changeover verify)`;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${HTML_REPORT_POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>${html(title)}</title>
<style>${STYLE}</style>
</head>
<body>
<main>
${[head(document), expired(document, now), doubts(document), steps(document), counts(document), charts(document), when(document), records(document), foot(document)].filter((part) => part !== '').join('\n')}
</main>
</body>
</html>
`;
}

const time = (iso: string): string => `<time datetime="${html(iso)}">${html(utc(iso))}</time>`;

const facts = (list: readonly (readonly [string, string])[]): string =>
  `<dl class="facts">${list.map(([name, value]) => `<div><dt>${name}</dt><dd>${value}</dd></div>`).join('')}</dl>`;

function head(document: ReportDocument): string {
  const { migration, verdict, startedAt, finishedAt } = document;
  const took = Date.parse(finishedAt) - Date.parse(startedAt);
  const icon = `<svg viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="2.5" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true">${ICONS[verdict]}</svg>`;
  return `<header class="panel head ${verdict}"><div><p class="crumb">changeover verify</p><div class="title"><h1>${html(migration)}</h1><span class="verdict">${icon}${verdict}</span></div></div><p class="lead">${verdictText(document)}</p>${facts(
    [
      ['Compared', html(scopeText(document))],
      ['Revision', whole(document.revision)],
      ['Mapping', `<code>${html(document.mappingHash)}</code>`],
      ['Began', time(startedAt)],
      ['Ended', `${time(finishedAt)}, after ${age(took)}`],
      ['Valid until', time(document.expiresAt)],
      ...(document.proof === undefined ? [] : [['Proof', html(proofText(document.proof))] as const]),
    ],
  )}</header>`;
}

function expired({ expiresAt }: ReportDocument, now: number | undefined): string {
  if (now === undefined || now < Date.parse(expiresAt)) return '';
  return `<section class="panel alert"><strong>This verdict has expired.</strong> It proves nothing about the stores of today, and no gate takes it.</section>`;
}

function doubts({ reasons }: ReportDocument): string {
  if (reasons.length === 0) return '';
  return `<section class="panel alert"><h2>Not certain</h2><ul>${reasons.map((reason) => `<li>${html(reason)}</li>`).join('')}</ul></section>`;
}

function steps(document: ReportDocument): string {
  const list = nextSteps(document);
  if (list.length === 0) return '';
  const item = ({ command, words }: Step): string => {
    const about = words === '' ? '' : command === null ? html(words) : ` ${html(words)}`;
    return `<li>${command === null ? '' : `<code>${html(command)}</code>`}${about}</li>`;
  };
  return `<section class="panel steps"><h2>What to do</h2><ol>${list.map(item).join('')}</ol></section>`;
}

function counts({ counts }: ReportDocument): string {
  const tone = (name: (typeof COUNTS)[number]): string => {
    if (counts[name] === 0) return 'zero';
    return Object.hasOwn(KINDS, name) ? 'wrong' : name === 'pending' ? 'open' : 'plain';
  };
  const tiles = COUNTS.map(
    (name) => `<div class="tile ${tone(name)}"><dt>${name}</dt><dd>${whole(counts[name])}</dd></div>`,
  );
  return `<section class="panel"><h2>Records</h2><dl class="tiles">${tiles.join('')}</dl>${shareBar(counts)}</section>`;
}

function charts(document: ReportDocument): string {
  const { counts, summary } = document;
  if (summary.listed === 0) return '';
  const of = `of ${whole(summary.listed)} listed divergent records`;
  const panel = (title: string, chart: string): string => `<section class="panel"><h2>${title}</h2>${chart}</section>`;
  const kinds: Bar[] = KIND_NAMES.map((kind) => ({ label: kind, count: counts[kind] }));
  const causes: Bar[] = summary.causes.map(({ cause, count }) => ({ label: causeText(cause), count }));
  const paths = summary.paths.slice(0, MOST_PATHS);
  const left = summary.paths.length - paths.length;
  const parts = [
    panel('By kind', barTable('All divergent records', 'kind', kinds, 'wrong')),
    panel('By cause', barTable(of, 'cause', causes, 'wrong')),
    panel('By age of the newer side', barTable(of, 'age', ageBars(summary), 'plain')),
  ];
  if (paths.length > 0) {
    const caption = `${of}${left > 0 ? `; ${whole(left)} more fields differ` : ''}`;
    const bars = paths.map(
      ({ path, count }): Bar => (path === '' ? { label: pathText(path), count } : { label: path, count, code: true }),
    );
    parts.push(panel('By field', barTable(caption, 'field', bars, 'plain')));
  }
  return `<div class="charts">${parts.join('')}</div>`;
}

function ageBars({ ages, unknownAge }: ReportDocument['summary']): Bar[] {
  const oldest = ages.at(-2)?.belowMs ?? 0;
  const bars = ages.map(({ belowMs, count }, i): Bar => {
    if (belowMs === null) return { label: `${short(oldest)} and more`, count };
    const from = ages[i - 1]?.belowMs ?? 0;
    return { label: from === 0 ? `below ${short(belowMs)}` : `${short(from)} to ${short(belowMs)}`, count };
  });
  return unknownAge === 0 ? bars : [...bars, { label: 'unknown (without a stamp)', count: unknownAge }];
}

/** `10 s`, `1 min`, `7 days`. */
function short(ms: number): string {
  if (ms < 60_000) return `${ms / 1_000} s`;
  if (ms < 3_600_000) return `${ms / 60_000} min`;
  if (ms < 86_400_000) return `${ms / 3_600_000} h`;
  return ms === 86_400_000 ? '1 day' : `${ms / 86_400_000} days`;
}

function when(document: ReportDocument): string {
  if (document.summary.written === null && (document.moves ?? []).length === 0) return '';
  return `<section class="panel"><h2>When</h2>${timeline(document)}</section>`;
}

function records(document: ReportDocument): string {
  const { divergences, counts } = document;
  if (divergences.length === 0) return '';
  const listed = divergences.slice(0, MOST_RECORDS);
  const groups = KIND_NAMES.map((kind) => ({ kind, lines: listed.filter((line) => line.kind === kind) })).filter(
    ({ lines }) => lines.length > 0,
  );
  const links = groups.map(({ kind, lines }) => `<li><a href="#${kind}">${kind}</a> ${whole(lines.length)}</li>`);
  const left = KIND_NAMES.reduce((sum, kind) => sum + counts[kind], 0) - listed.length;
  const more =
    left > 0
      ? `<p class="note">The first ${whole(listed.length)} are listed, ${whole(left)} more are counted.</p>`
      : '';
  const masked = document.valuesShown ? '' : '<p class="note">Values are masked: type and length only.</p>';
  return `<section class="panel long"><h2>Divergent records</h2><ul class="kinds">${links.join('')}</ul>${masked}${more}${groups.map(({ kind, lines }) => group(kind, lines, document.valuesShown)).join('')}</section>`;
}

function group(kind: Kind, lines: readonly DivergenceLine[], valuesShown: boolean): string {
  const fielded = lines.some(({ fields }) => fields.length > 0);
  const rows = lines.map((line) => {
    const texts = fieldTexts(line, valuesShown);
    const fields = texts
      .slice(0, MOST_FIELDS)
      .map(
        (field) =>
          `<li><code>${html(field.path)}</code><br><small>old</small><code class="old">${html(field.old)}</code> <small>new</small><code class="new">${html(field.new)}</code></li>`,
      );
    if (texts.length > MOST_FIELDS) fields.push(`<li>and ${texts.length - MOST_FIELDS} more</li>`);
    return `<tr><td class="key">${html(line.keyText)}</td><td data-name="cause">${html(causeText(line.cause))}</td><td data-name="age">${age(line.ageMs)}</td>${fielded ? `<td><ul class="fields">${fields.join('')}</ul></td>` : ''}</tr>`;
  });
  return `<div class="group" id="${kind}"><h3>${kind}</h3><p>${KINDS[kind]}</p><table class="records"><thead><tr><th scope="col">key</th><th scope="col">cause</th><th scope="col">age</th>${fielded ? '<th scope="col">fields</th>' : ''}</tr></thead><tbody>${rows.join('')}</tbody></table></div>`;
}

function foot({ scanned }: ReportDocument): string {
  return `<footer>Scanned: ${whole(scanned.old.records)} records of the old store, ${whole(scanned.new.records)} of the new one${scanned.byDigests > 0 ? `; ${whole(scanned.byDigests)} of each by the databases themselves` : ''}. Looked at again: ${whole(scanned.candidates)} keys. Kept in files meanwhile: ${bytes(scanned.spilledBytes)}.</footer>`;
}
