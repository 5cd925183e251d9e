import { type Signal, useSignal } from '@preact/signals';
import { useMemo } from 'preact/hooks';
import type { Points, Series, SeriesMark, Span } from '../../server/api-types.ts';
import { describeError } from '../api.ts';
import { Moment } from '../parts/clock.tsx';
import { Panel, Scroll, Trouble } from '../parts/panel.tsx';
import { actorName, clockTime, compact, milliseconds } from '../wording.ts';
import { Chart, type Line } from './chart.tsx';

interface ChartsProps {
  readonly series: Series | undefined;
  readonly error: unknown;
  readonly span: Signal<Span>;
}

const SPANS: readonly (readonly [Span, string])[] = [
  ['15m', '15 min'],
  ['1h', '1 h'],
  ['24h', '24 h'],
];

/** More marks than this are told in the history only. */
const MOST_MARKS = 9;

/** Divergent reads of a million that were compared. */
const perMillion = (divergent: Points, compared: Points): Points =>
  divergent.map((value, index) => {
    const of = compared[index] ?? 0;
    return value === null || of === 0 ? null : (value * 1_000_000) / of;
  });

interface Picture {
  readonly title: string;
  readonly text: (value: number) => string;
  readonly lines: readonly Line[];
}

function picturesOf(series: Series): readonly Picture[] {
  const { old, new: fresh } = series;
  const both = (name: 'reads' | 'writes' | 'errors'): readonly Line[] => [
    { name: 'old', color: 'old', points: old[name] },
    { name: 'new', color: 'new', points: fresh[name] },
  ];
  const latency = (p50: 'readP50' | 'writeP50', p99: 'readP99' | 'writeP99'): readonly Line[] => [
    { name: 'old p99', color: 'old', points: old[p99] },
    { name: 'new p99', color: 'new', points: fresh[p99] },
    { name: 'old p50', color: 'old', dashed: true, points: old[p50] },
    { name: 'new p50', color: 'new', dashed: true, points: fresh[p50] },
  ];
  const pictures: Picture[] = [
    { title: 'Reads/s', text: compact, lines: both('reads') },
    { title: 'Writes/s', text: compact, lines: both('writes') },
    { title: 'Errors/s', text: compact, lines: both('errors') },
    { title: 'Read latency, ms', text: milliseconds, lines: latency('readP50', 'readP99') },
    { title: 'Write latency, ms', text: milliseconds, lines: latency('writeP50', 'writeP99') },
    {
      title: 'Divergent shadow reads, per million',
      text: compact,
      lines: [{ name: 'divergent', color: 'ink', filled: true, points: perMillion(series.divergent, series.compared) }],
    },
    {
      title: 'Mirror queue and dirt',
      text: compact,
      lines: [
        { name: 'queue', color: 'ink', points: series.mirrorQueue },
        { name: 'dirty', color: 'warn', dashed: true, points: series.dirty },
      ],
    },
    {
      title: 'Replay, records/s',
      text: compact,
      lines: [{ name: 'records', color: 'ink', filled: true, points: series.replay.rate }],
    },
  ];
  return pictures;
}

/** What the fleet did over time, with every move as a mark. */
export function Charts({ series, error, span }: ChartsProps) {
  const cursor = useSignal<number | null>(null);
  const pictures = useMemo(() => (series === undefined ? [] : picturesOf(series)), [series]);
  const marks = useMemo(() => [...(series?.marks ?? [])].sort((a, b) => a.at - b.at).slice(-MOST_MARKS), [series]);
  return (
    <Panel
      title="Traffic"
      class="traffic"
      end={
        // biome-ignore lint/a11y/useSemanticElements: a fieldset cannot be laid out as one line of buttons everywhere
        <span class="seg" role="group" aria-label="How far back">
          {SPANS.map(([value, name]) => (
            <button
              key={value}
              type="button"
              aria-pressed={span.value === value}
              onClick={() => {
                span.value = value;
              }}
            >
              {name}
            </button>
          ))}
        </span>
      }
    >
      {marks.length > 0 && <Marks marks={marks} />}
      {error !== undefined && <Trouble>{describeError(error)}</Trouble>}
      <div class="charts">
        {series !== undefined &&
          pictures.map(({ title, text, lines }) => (
            <Chart
              key={`${title} ${span.value}`}
              title={title}
              text={text}
              lines={lines}
              at={series.at}
              marks={marks}
              cursor={cursor}
            />
          ))}
      </div>
      {series !== undefined && <Table series={series} pictures={pictures} />}
    </Panel>
  );
}

function Marks({ marks }: { readonly marks: readonly SeriesMark[] }) {
  return (
    <ol class="marks body">
      {marks.map(({ at, revision, text, actor, automatic }, index) => (
        <li key={revision}>
          <b class={automatic ? 'mk auto' : 'mk'}>{automatic ? 'A' : index + 1}</b>
          <Moment at={at} /> {text}, {actorName(actor)}
        </li>
      ))}
    </ol>
  );
}

/** Rows of the table behind the charts: enough to read, not all. */
const MOST_ROWS = 30;

function Table({ series, pictures }: { readonly series: Series; readonly pictures: readonly Picture[] }) {
  const open = useSignal(false);
  const columns = pictures.flatMap(({ title, text, lines }) =>
    lines.map((line) => ({ name: `${title}, ${line.name}`, text, line })),
  );
  const step = Math.max(Math.ceil(series.at.length / MOST_ROWS), 1);
  const indexes = series.at.map((_, index) => index).filter((index) => (series.at.length - 1 - index) % step === 0);
  return (
    <details
      class="body"
      onToggle={(event) => {
        open.value = event.currentTarget.open;
      }}
    >
      <summary>The same as a table</summary>
      {open.value && (
        <Scroll label="Traffic as a table">
          <table>
            <thead>
              <tr>
                <th scope="col">At</th>
                {columns.map(({ name }) => (
                  <th key={name} scope="col" class="num">
                    {name}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {indexes.toReversed().map((index) => (
                <tr key={index}>
                  <th scope="row">{clockTime(series.at[index] as number)}</th>
                  {columns.map(({ name, text, line }) => {
                    const value = line.points[index] ?? null;
                    return (
                      <td key={name} class="num">
                        {value === null ? '–' : text(value)}
                      </td>
                    );
                  })}
                </tr>
              ))}
            </tbody>
          </table>
        </Scroll>
      )}
    </details>
  );
}
