import type { VerifyCounts } from '../verify-report.ts';
import type { ReportDocument } from './report-document.ts';
import { KIND_NAMES, printable, utc, whole } from './report-words.ts';

/** Text of others within HTML: no markup, in elements and in attributes. */
export const html = (text: string): string =>
  printable(text)
    .replace(/&/g, '&amp;')
    .replace(/</g, '&lt;')
    .replace(/>/g, '&gt;')
    .replace(/"/g, '&quot;')
    .replace(/'/g, '&#39;');

/** A share of a length; SVG takes it, so nothing needs a style of its own. */
const percent = (part: number): string => `${Number((part * 100).toFixed(3))}%`;

/** One line of a bar chart. */
export interface Bar {
  readonly label: string;
  readonly count: number;
  /** The label is a path or the like. */
  readonly code?: true;
}

/**
 * A bar chart that is its own table: label, bar, number, so that nothing is told by length alone.
 */
export function barTable(caption: string, heading: string, bars: readonly Bar[], tone: 'wrong' | 'plain'): string {
  const most = Math.max(1, ...bars.map(({ count }) => count));
  const rows = bars.map(({ label, count, code }) => {
    const width = count === 0 ? 0 : Math.max(0.004, count / most);
    const name = code === true ? `<code>${html(label)}</code>` : html(label);
    return `<tr><th scope="row">${name}</th><td><svg aria-hidden="true"><rect class="track" width="100%" height="12" rx="2"/><rect class="bar ${tone}" width="${percent(width)}" height="12" rx="2"/></svg></td><td class="number">${whole(count)}</td></tr>`;
  });
  return `<table class="bars"><caption>${html(caption)}</caption><thead><tr><th scope="col">${html(heading)}</th><td></td><th scope="col" class="number">records</th></tr></thead><tbody>${rows.join('')}</tbody></table>`;
}

/** What of all keys is equal, wrong and open, as one bar. */
export function shareBar(counts: VerifyCounts): string {
  const wrong = KIND_NAMES.reduce((sum, kind) => sum + counts[kind], 0);
  const all = counts.equal + wrong + counts.pending;
  if (all === 0) return '';
  const parts = [
    ['right', 'equal', counts.equal],
    ['wrong', 'divergent', wrong],
    ['open', 'pending', counts.pending],
  ] as const;
  // What is there is seen, however little of the whole it is.
  const sizes = parts.map(([, , count]) => (count === 0 ? 0 : Math.max(0.006, count / all)));
  const size = sizes.reduce((sum, each) => sum + each, 0);
  let at = 0;
  const rects = parts.map(([tone], i) => {
    const width = (sizes[i] as number) / size;
    const rect = `<rect class="bar ${tone}" x="${percent(at)}" width="${percent(width)}" height="12"/>`;
    at += width;
    return rect;
  });
  const words = parts.map(([, name, count]) => `${shareText(count, all)} ${name}`).join(', ');
  return `<svg class="share" role="img" aria-label="${html(words)}">${rects.join('')}</svg><p class="note">${html(words)}</p>`;
}

/** Never rounded to all or nothing where it is neither. */
function shareText(count: number, all: number): string {
  const share = (count * 100) / all;
  const rounded = count < all ? Math.min(99.99, share) : share;
  return `${Number((count > 0 ? Math.max(0.01, rounded) : rounded).toFixed(2))} %`;
}

interface Mark {
  readonly at: number;
  readonly iso: string;
  readonly text: string;
}

/** Heights: of the marks' rows, which are above the columns, and of the columns. */
const TOP = 52;
const COLUMNS = 86;
const MOST_MARKS = 20;

/** When the divergent records were written, which moves were made then, and when the verification ran. */
export function timeline(document: ReportDocument): string {
  const { written, listed } = document.summary;
  const marks = (document.moves ?? [])
    .map(({ at, summary }): Mark => ({ at: Date.parse(at), iso: at, text: summary }))
    .slice(-MOST_MARKS);
  const started = Date.parse(document.startedAt);
  const finished = Date.parse(document.finishedAt);
  const from = Math.min(started, ...(written === null ? marks.map(({ at }) => at) : [Date.parse(written.from)]));
  const to = Math.max(finished, ...(written === null ? [] : [Date.parse(written.to)]));
  const base = TOP + (written === null ? 20 : COLUMNS);
  const part = (ms: number): number => Math.min(1, Math.max(0, (ms - from) / Math.max(1, to - from)));
  // What was moved before the first of these records was written stands at the beginning.
  const shown = marks.map((mark, i) => ({ ...mark, number: i + 1, part: part(mark.at) }));
  const drawing = [
    `<rect class="run" x="${percent(Math.min(part(started), 0.996))}" y="${TOP}" width="${percent(Math.max(0.004, part(finished) - part(started)))}" height="${base - TOP}"/>`,
    ...(written === null ? [] : columns(written, part)),
    `<line class="axis" x1="0" x2="100%" y1="${base}" y2="${base}"/>`,
    ...shown.map(
      ({ number, part }) =>
        `<line class="mark" x1="${percent(part)}" x2="${percent(part)}" y1="${markTop(number) + 8}" y2="${base}"/><circle class="dot" cx="${percent(part)}" cy="${markTop(number)}" r="8"/><text x="${percent(part)}" y="${markTop(number) + 4}">${number}</text>`,
    ),
  ];
  const what =
    written === null
      ? 'Moves before the verification'
      : `When ${whole(listed - document.summary.unknownAge)} divergent records were written, and the moves around then`;
  const legend = [
    ...(written === null ? [] : [['written', 'divergent records, by when their newer side was written']]),
    ['run', 'this verification'],
  ]
    .map(
      ([tone, text]) =>
        `<span><svg aria-hidden="true"><rect class="${tone}" width="12" height="12" rx="2"/></svg>${text}</span>`,
    )
    .join('');
  const ends = `<div class="ends"><span>${utc(new Date(from).toISOString())}</span><span>${utc(new Date(to).toISOString())}</span></div>`;
  const moves = shown.map(
    ({ number, iso, text }) =>
      `<tr><td class="number">${number}</td><td><time datetime="${html(iso)}">${utc(iso)}</time></td><td>${html(text)}</td></tr>`,
  );
  const table =
    moves.length === 0
      ? ''
      : `<details open><summary>Moves ${moves.length === 1 ? '1' : `1 to ${moves.length}`}</summary><table><thead><tr><th scope="col" class="number">mark</th><th scope="col">when</th><th scope="col">what</th></tr></thead><tbody>${moves.join('')}</tbody></table></details>`;
  const behind = written === null ? '' : writtenTable(written);
  return `<div class="timeline"><svg width="100%" role="img" aria-label="${html(what)}" height="${base + 8}">${drawing.join('')}</svg>${ends}<div class="legend">${legend}</div>${table}${behind}</div>`;
}

/** Marks stand in three rows, so that neighbours can be told apart. */
const markTop = (number: number): number => 8 + ((number - 1) % 3) * 18;

type Written = NonNullable<ReportDocument['summary']['written']>;

/** The spans of time: where each begins, and its count. */
function spans({
  from,
  to,
  counts,
}: Written): readonly { readonly from: number; readonly to: number; readonly count: number }[] {
  const first = Date.parse(from);
  const length = (Date.parse(to) - first) / counts.length;
  return counts.map((count, i) => ({ from: first + i * length, to: first + (i + 1) * length, count }));
}

function columns(written: Written, part: (ms: number) => number): string[] {
  const most = Math.max(1, ...written.counts);
  return spans(written)
    .filter(({ count }) => count > 0)
    .map(({ from, to, count }) => {
      const height = Math.max(2, Math.round((COLUMNS * count) / most));
      const width = Math.max(0.004, part(to) - part(from));
      return `<rect class="written" x="${percent(Math.min(part(from), 1 - width))}" y="${TOP + COLUMNS - height}" width="${percent(width)}" height="${height}"/>`;
    });
}

function writtenTable(written: Written): string {
  const rows = spans(written)
    .filter(({ count }) => count > 0)
    .map(
      ({ from, count }) =>
        `<tr><td>${utc(new Date(from).toISOString())}</td><td class="number">${whole(count)}</td></tr>`,
    );
  return `<details><summary>When they were written, as a table</summary><table><thead><tr><th scope="col">from</th><th scope="col" class="number">records</th></tr></thead><tbody>${rows.join('')}</tbody></table></details>`;
}
